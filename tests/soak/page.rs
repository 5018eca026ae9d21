//! `docs/soak.md`, written by a run.

use std::fmt::Write as _;
use std::path::Path;

use crate::run::{Plan, Seen};
use crate::watch::Sample;

/// Rows of the table, at most.
const ROWS: usize = 30;

pub fn write(plan: &Plan, seen: &Seen) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/soak.md");
    std::fs::write(page, text(plan, seen)).unwrap();
}

fn text(plan: &Plan, seen: &Seen) -> String {
    let mut page = HEAD.to_owned();
    let minutes = plan.load.as_secs() / 60;
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let build = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    write!(
        page,
        "## The last run\n\n{minutes} minutes on {cores} cores, a {build} build, with the clients and the server on the same cores. \
         {} streams were open at a time, {} were opened and left, {} of them ended by the gate itself.\n\n",
        plan.streams, seen.opened, seen.ended
    )
    .unwrap();
    verdict(&mut page, seen);
    page += "| minute | resident memory, MB | descriptors | streams at the server | calls counted |\n| --- | --- | --- | --- | --- |\n";
    row(&mut page, "start", &seen.start);
    let every = seen.samples.len().div_ceil(ROWS).max(1);
    for sample in seen.samples.iter().skip(every - 1).step_by(every) {
        row(
            &mut page,
            &format!("{:.1}", sample.at.as_secs_f64() / 60.0),
            sample,
        );
    }
    row(&mut page, "end", &seen.end);
    page += "\n| tool | outcome | lines |\n| --- | --- | --- |\n";
    for ((tool, outcome), lines) in &seen.books.outcomes {
        writeln!(page, "| `{tool}` | `{outcome}` | {lines} |").unwrap();
    }
    page
}

fn verdict(page: &mut String, seen: &Seen) {
    let (first, last) = seen.thirds();
    let word = |good: bool| if good { "holds" } else { "**does not hold**" };
    write!(
        page,
        "- Memory is flat: {}. Median {:.1} MB in the first third after warm-up, {:.1} MB in the last.\n\
         - Descriptors come back: {}. {} at the start, {} at the end.\n\
         - Every call is accounted for: {}. Clients counted {} calls, the decision lines have {}, and {} differ.\n\n",
        word(seen.is_flat()),
        mb(first),
        mb(last),
        word(seen.end.open <= seen.start.open),
        seen.start.open,
        seen.end.open,
        word(seen.books.faults.is_empty()),
        seen.end.calls,
        seen.books.lines(),
        seen.books.faults.len(),
    )
    .unwrap();
}

fn row(page: &mut String, at: &str, sample: &Sample) {
    let Sample {
        rss,
        open,
        streams,
        calls,
        ..
    } = sample;
    writeln!(page, "| {at} | {:.1} | {open} | {streams} | {calls} |", mb(*rss)).unwrap();
}

fn mb(kb: u64) -> f64 {
    f64::from(u32::try_from(kb).unwrap()) / 1024.0
}

const HEAD: &str = "# Soak

`make soak MINUTES=30` keeps 2 000 event streams open through one `toolgate serve` and calls all the while; [`tests/soak.rs`](../tests/soak.rs)
is the load, the server and the count, and writes this page. `make test` runs 20 seconds of it.

- **Streams.** Of ten, six are GET streams of sessions, two listen without a session (2026-07-28), two are those of 2024-11-05,
  whose clients also call through the announced endpoint. Each says something every 2 s, every other time a list that holds a
  hidden tool; a client that sees it fails the run. Clients vanish without a word and come back.
- **Calls.** Answered at once, answered as a stream, limited, one at a time, denied, hidden; the server breaks off, never
  answers, or stops within its answer; the client vanishes once the server has its call.
- **Accounts.** Each call has a number that the policy puts on record. Every call that a client counted must stand in the
  decision lines exactly once, with the tool and the outcome that the client saw, and no other call may stand there.
- **Memory** is flat where the median of the last third is within 10 % of the first third's, after a tenth for warm-up.
  **Descriptors** come back where no more are open after the load than before it.

";
