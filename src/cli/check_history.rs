//! `toolgate check-history`: whether the limits held in what replicas wrote down.

mod decisions;
mod input;

use std::io::{self, Write};
use std::path::PathBuf;

use crate::counters::history::{Judge, Options, Report};

/// Nothing is wrong.
const HOLDS: u8 = 0;
/// A limit did not hold, or another fault.
const BROKEN: u8 = 1;
/// A history that cannot be read or judged.
const UNUSABLE: u8 = 2;

/// How far a line may stand behind a later one, in ms: of a history, and of decisions, which are written when the
/// answer is there.
const DISORDER_MS: u64 = 60_000;
const DISORDER_OF_DECISIONS_MS: u64 = 600_000;

pub(super) const EXAMPLES: &str = "\
Examples:
  toolgate check-history admissions.jsonl
  toolgate check-history --tight replica-1.jsonl replica-2.jsonl
  kubectl logs deploy/toolgate | toolgate check-history --decisions -

Exit code: 0 it holds, 1 it is broken, 2 the history cannot be read or judged.";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// One JSON object a line: id, key, t_ms, charge, max, window_ms, replica; `-` is stdin. Several are merged by time.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The lines are decisions, as `serve` writes them.
    #[arg(long)]
    decisions: bool,
    /// The history is whole and there was demand: fail also where windows were not used up or calls denied needlessly.
    #[arg(long)]
    tight: bool,
    /// How many milliseconds a line may stand behind a later one. [default: 60000, with --decisions 600000]
    #[arg(long, value_name = "MS")]
    disorder: Option<u64>,
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// How the result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

/// What was read beside the judged lines.
#[derive(Debug, Default, serde::Serialize)]
struct Read {
    lines: u64,
    /// Charges of decisions that a log does not let one judge: counted by a value that a caller chose, in flight, or
    /// made without the store.
    not_judged: u64,
}

#[derive(serde::Serialize)]
struct Shown<'r> {
    holds: bool,
    #[serde(flatten)]
    read: &'r Read,
    #[serde(flatten)]
    report: &'r Report,
}

/// Judges the files, writes the result to `out`, and returns the exit code.
///
/// # Errors
/// Where `out` cannot be written to.
pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<u8> {
    let (read, report) = match judge(args) {
        Ok(judged) => judged,
        Err(error) => {
            // nothing can be done if stderr is closed too
            drop(writeln!(io::stderr(), "toolgate: {error:#}"));
            return Ok(UNUSABLE);
        }
    };
    match args.format {
        Format::Text => text(&read, &report, out)?,
        Format::Json => {
            let shown = Shown {
                holds: report.holds(),
                read: &read,
                report: &report,
            };
            serde_json::to_writer_pretty(&mut *out, &shown).map_err(io::Error::from)?;
            writeln!(out)?;
        }
    }
    out.flush()?;
    Ok(if report.holds() { HOLDS } else { BROKEN })
}

fn judge(args: &Args) -> anyhow::Result<(Read, Report)> {
    let usual = if args.decisions {
        DISORDER_OF_DECISIONS_MS
    } else {
        DISORDER_MS
    };
    let mut judge = Judge::new(Options {
        disorder_ms: args.disorder.unwrap_or(usual),
        tight: args.tight,
    });
    let mut read = Read::default();
    input::each(&args.files, args.decisions, &mut read, &mut |event| {
        judge.take(event)
    })?;
    Ok((read, judge.end()?))
}

fn text(read: &Read, report: &Report, out: &mut dyn Write) -> io::Result<()> {
    for finding in &report.findings {
        writeln!(out, "{finding}")?;
    }
    let hidden = usize::try_from(report.faults).unwrap_or(usize::MAX);
    let hidden = hidden.saturating_sub(report.findings.len());
    if hidden > 0 {
        writeln!(out, "and {hidden} more")?;
    }
    let Read { lines, not_judged } = read;
    let Report {
        admissions,
        denials,
        refunds,
        keys,
        faults,
        ..
    } = report;
    writeln!(
        out,
        "{lines} lines: {admissions} admissions, {denials} denials, {refunds} refunds on {keys} keys"
    )?;
    if *not_judged > 0 {
        writeln!(out, "not judged: {not_judged} charges")?;
    }
    if let Some(fullest) = &report.fullest {
        let (sum, max, key) = (fullest.sum, fullest.max, &fullest.key);
        let (from, to) = (fullest.from_ms, fullest.to_ms);
        writeln!(
            out,
            "fullest window: {sum} of {max} on `{key}`, from {from} to {to} ms"
        )?;
    }
    if report.holds() {
        writeln!(out, "it holds")
    } else {
        writeln!(out, "it is broken: {faults} faults")
    }
}
