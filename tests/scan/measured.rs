//! How well tools are classed: the confusion matrices of `docs/scan.md`, and the line that must hold.
//!
//! `make scan-report` writes the tables anew.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use toolgate::scan::{Class, Classed};

use crate::labelled::{Half, Server, servers};

const START: &str = "<!-- measured: make scan-report -->\n";
const END: &str = "<!-- end of what is measured -->\n";

fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/scan.md")
}

/// What was classed otherwise than it is labelled, and how many tools have each label and class.
struct Measured {
    servers: usize,
    /// By label, then class.
    counts: [[usize; 5]; 5],
    differences: Vec<(String, Classed, Class)>,
}

impl Measured {
    fn of<'s>(servers: impl Iterator<Item = &'s Server>) -> Self {
        let mut measured = Self {
            servers: 0,
            counts: [[0; 5]; 5],
            differences: Vec::new(),
        };
        for server in servers {
            measured.servers += 1;
            for (tool, label) in server.classed() {
                measured.counts[label as usize][tool.class as usize] += 1;
                if tool.class != label {
                    measured.differences.push((server.name.clone(), tool, label));
                }
            }
        }
        measured
    }

    fn tools(&self) -> usize {
        self.counts.iter().flatten().sum()
    }

    fn agreeing(&self) -> usize {
        (0..5).map(|class| self.counts[class][class]).sum()
    }

    fn graver(&self) -> usize {
        self.differences
            .iter()
            .filter(|(_, tool, label)| tool.class > *label)
            .count()
    }

    fn write(&self, title: &str, out: &mut String) {
        let (tools, agreeing, graver) = (self.tools(), self.agreeing(), self.graver());
        let milder = tools - agreeing - graver;
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "\n### {title}: {tools} tools of {} servers\n\n{agreeing} of {tools} as labelled ({:.1} %), {graver} \
             taken for graver, {milder} for milder.\n\n\
             | labelled ↓ classed → | read | write | execute | destructive | financial |\n\
             | --- | --- | --- | --- | --- | --- |",
            self.servers,
            100.0 * f64::from(u32::try_from(agreeing).unwrap()) / f64::from(u32::try_from(tools).unwrap()),
        );
        for label in Class::ALL {
            let cells = self.counts[label as usize].iter().map(usize::to_string);
            let _ = writeln!(
                out,
                "| **{}** | {} |",
                label.word(),
                cells.collect::<Vec<_>>().join(" | ")
            );
        }
        let _ = writeln!(
            out,
            "\n| tool | labelled | classed | because |\n| --- | --- | --- | --- |"
        );
        for (server, tool, label) in &self.differences {
            let first = tool.reasons.first().map_or("", String::as_str);
            let _ = writeln!(
                out,
                "| {server}: `{}` | {} | {} | {first} |",
                tool.name,
                label.word(),
                tool.class.word()
            );
        }
    }
}

fn report() -> String {
    let servers = servers();
    let half = |half| Measured::of(servers.iter().filter(move |server| server.half == half));
    let mut out = String::new();
    half(Half::HeldBack).write("Held back", &mut out);
    half(Half::Tuning).write("Tuned on", &mut out);
    let _ = writeln!(out);
    out
}

fn with_report(text: &str) -> String {
    let (before, rest) = text.split_once(START).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    format!("{before}{START}{}{END}{after}", report())
}

#[test]
fn the_document_shows_the_matrices_as_they_are() {
    let text = fs::read_to_string(document()).unwrap();
    assert!(
        text == with_report(&text),
        "docs/scan.md is out of date: run `make scan-report`"
    );
}

#[test]
fn nothing_that_takes_away_or_moves_money_is_classed_as_reading() {
    let all = Measured::of(servers().iter());
    let grave: Vec<_> = all
        .differences
        .iter()
        .filter(|(_, tool, label)| *label >= Class::Destructive && tool.class == Class::Read)
        .map(|(server, tool, _)| format!("{server}: {}", tool.name))
        .collect();
    assert!(grave.is_empty(), "{grave:?}");
    let labelled: usize = all.counts[3..].iter().flatten().sum();
    assert!(labelled > 50, "only {labelled} tools that are grave");
}

#[test]
#[ignore = "writes the matrices anew: make scan-report"]
fn bless() {
    let text = fs::read_to_string(document()).unwrap();
    fs::write(document(), with_report(&text)).unwrap();
}
