//! `toolgate audit tail`.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};

use super::paint::{cell, painted};
use super::source::{self, PAUSE};
use crate::audit::Entry;

pub(super) const EXAMPLES: &str = "\
Examples:
  toolgate audit tail audit.jsonl
  toolgate audit tail --config toolgate.yaml --grant ci-runner --outcome limited
  toolgate audit tail --redis --config toolgate.yaml --since 10m --no-follow
  toolgate audit tail audit.jsonl --no-follow --lines 1000 --format json | jq .message";

/// How a decision is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    /// The lines as they stand in the log.
    Json,
}

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: source::Which,
    /// How many of the decisions that are there already are shown.
    #[arg(long, short = 'n', value_name = "NUMBER", default_value_t = 20)]
    lines: usize,
    /// Show what is there, and end.
    #[arg(long)]
    no_follow: bool,
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Widths of the columns but the last.
const WIDTHS: [usize; 7] = [24, 18, 14, 24, 15, 6, 9];

pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<u8> {
    let colours = io::stdout().is_terminal() && args.format == Format::Table;
    let filter = args.source.filter()?;
    let mut source = args.source.open(None)?;
    if args.format == Format::Table {
        writeln!(out, "{}", row(&HEAD, None))?;
    }
    let show = |line: &[u8], out: &mut dyn Write| match args.format {
        Format::Json => out.write_all(line).and_then(|()| writeln!(out)),
        Format::Table => match Entry::read(line) {
            Some(entry) => writeln!(out, "{}", of(&entry, colours)),
            None => Ok(()),
        },
    };
    let takes = |line: &[u8]| Entry::read(line).is_some_and(|entry| filter.takes(&entry));
    let mut last: VecDeque<Vec<u8>> = VecDeque::new();
    source.read(&mut |line| {
        if takes(line) {
            last.push_back(line.to_vec());
            if last.len() > args.lines {
                last.pop_front();
            }
        }
        Ok(())
    })?;
    for line in last {
        show(&line, out)?;
    }
    out.flush()?;
    while !args.no_follow && !source.has_ended() {
        std::thread::sleep(PAUSE);
        source.read(&mut |line| {
            if takes(line) {
                show(line, out)?;
            }
            Ok(())
        })?;
        out.flush()?;
    }
    Ok(0)
}

const HEAD: [&str; 8] = [
    "TIME", "GRANT", "SERVER", "TOOL", "OUTCOME", "COUNT", "MS", "RULE",
];

fn of(entry: &Entry<'_>, colours: bool) -> String {
    let count = if entry.count == 1 {
        String::new()
    } else {
        entry.count.to_string()
    };
    let ms = entry.upstream.map(|upstream| format!("{:.1}", upstream.ms));
    let cells = [
        &entry.time,
        entry.grant.as_deref().unwrap_or("-"),
        &entry.server,
        entry.what(),
        &entry.outcome,
        &count,
        ms.as_deref().unwrap_or_default(),
        entry.rule.as_deref().unwrap_or_default(),
    ];
    row(&cells, colours.then_some(&*entry.outcome))
}

/// `colour`: the outcome that colours its own cell.
fn row(cells: &[&str; 8], colour: Option<&str>) -> String {
    let mut line = String::new();
    for (index, text) in cells.iter().enumerate() {
        let width = WIDTHS.get(index).copied().unwrap_or(80);
        let cell = cell(text, width);
        match colour {
            Some(outcome) if *text == outcome && index == 4 => line.push_str(&painted(&cell, outcome, true)),
            _ => line.push_str(&cell),
        }
        line.push_str("  ");
    }
    line.truncate(line.trim_end().len());
    line
}
