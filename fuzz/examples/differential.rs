//! `differential MINUTES SEED PYTHON NODE`: see `make fuzz-differential`.

#[path = "../differential/mod.rs"]
mod differential;
#[path = "../shared/packed.rs"]
mod packed;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use differential::{Budget, readers, run};
use toolgate::shared;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [minutes, seed, python, node] = arguments.as_slice() else {
        eprintln!("differential MINUTES SEED PYTHON NODE");
        return ExitCode::from(2);
    };
    let (Ok(minutes), Ok(seed)) = (minutes.parse::<f64>(), seed.parse()) else {
        eprintln!("MINUTES and SEED are numbers");
        return ExitCode::from(2);
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = packed::inputs(&root.join("corpus/envelope.txt"));
    let budget = Budget::Time(Duration::from_secs_f64(minutes * 60.0));
    let readers = readers(&root.join("differential"), Path::new(python), Path::new(node));
    match run(budget, seed, corpus, readers) {
        Err(difference) => {
            eprintln!("{difference}");
            ExitCode::FAILURE
        }
        Ok(report) => {
            println!("{report:#?}");
            let (counts, seconds) = (report.counts, report.elapsed.as_secs_f64());
            let (inputs, forwarded) = (counts.inputs, counts.forwarded);
            let per_second = inputs as f64 / seconds;
            println!(
                "| {seed} | {seconds:.0} | {inputs} | {forwarded} | {} | {} | {per_second:.0} |",
                counts.calls, counts.recorded
            );
            ExitCode::SUCCESS
        }
    }
}
