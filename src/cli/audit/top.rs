//! `toolgate audit top`.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::paint::{cell, painted};
use super::source;
use crate::audit::{Entry, Row, Top};

pub(super) const EXAMPLES: &str = "\
Examples:
  toolgate audit top audit.jsonl
  toolgate audit top --redis --config toolgate.yaml --since 1h
  toolgate audit top audit.jsonl --outcome limited | head";

/// How often the table is drawn anew.
const EVERY: Duration = Duration::from_secs(1);
/// Rows on a terminal, and elsewhere.
const ON_SCREEN: usize = 20;
const PRINTED: usize = 1_000;
const WIDTHS: [usize; 3] = [24, 32, 15];

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: source::Which,
    /// Print the table once, on a terminal too. The last minute is then the log's own last one.
    #[arg(long)]
    once: bool,
    /// How many rows are shown.
    #[arg(long, value_name = "NUMBER")]
    rows: Option<usize>,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<u8> {
    let live = io::stdout().is_terminal() && !args.once;
    let filter = args.source.filter()?;
    let mut source = args.source.open(None)?;
    let (mut top, mut newest) = (Top::default(), 0);
    loop {
        let began = Instant::now();
        source.read(&mut |line| {
            if let Some(entry) = Entry::read(line)
                && filter.takes(&entry)
                && let Ok(time) = entry.time.parse::<Timestamp>()
            {
                let second = u64::try_from(time.as_second()).unwrap_or(0);
                newest = newest.max(second);
                top.add(&entry, second);
            }
            Ok(())
        })?;
        if !live || source.has_ended() {
            write(&top.rows(newest), args.rows.unwrap_or(PRINTED), false, out)?;
            return Ok(0);
        }
        let now = u64::try_from(source::now().as_second()).unwrap_or(0);
        write!(out, "\u{1b}[2J\u{1b}[H")?;
        write(&top.rows(now), args.rows.unwrap_or(ON_SCREEN), true, out)?;
        out.flush()?;
        std::thread::sleep(EVERY.saturating_sub(began.elapsed()));
    }
}

fn write(rows: &[Row], most: usize, colours: bool, out: &mut dyn Write) -> io::Result<()> {
    let [grant, tool, outcome] = WIDTHS;
    let head = [cell("GRANT", grant), cell("TOOL", tool), cell("OUTCOME", outcome)];
    writeln!(out, "{}  {:>8}  {:>10}", head.join("  "), "LAST MIN", "TOTAL")?;
    for row in rows.iter().take(most) {
        writeln!(
            out,
            "{}  {}  {}  {:>8}  {:>10}",
            cell(&row.grant, grant),
            cell(&row.tool, tool),
            painted(&cell(&row.outcome, outcome), &row.outcome, colours),
            row.last_minute,
            row.total
        )?;
    }
    let beyond = rows.len().saturating_sub(most);
    if beyond > 0 {
        writeln!(out, "and {beyond} rows more")?;
    }
    out.flush()
}
