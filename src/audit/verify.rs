//! Reads logs line by line and finds what was changed in them. Holds a few hundred bytes for each file and chain.

use std::collections::{BTreeMap, HashMap};

use super::line::{Broken, Sealed};
use super::links::{Finding, Gravity, Place, Run, between};
use super::seal::{Chain, Head};

/// Most findings that are kept; all are counted.
const KEPT: usize = 100;

/// A verification under way.
#[derive(Debug, Default)]
pub struct Verifier {
    /// The input may start in the middle of a chain.
    partial: bool,
    heads: HashMap<String, Head>,
    chains: BTreeMap<String, Seen>,
    report: Report,
    file: Option<File>,
}

/// The file that is being read.
#[derive(Debug)]
struct File {
    name: String,
    runs: HashMap<String, Run>,
    lines: u64,
    /// A line that may be the piece that a crash left: so says what follows it.
    piece: Option<Place>,
}

/// What was read of one chain.
#[derive(Debug, Default)]
struct Seen {
    replica: String,
    runs: Vec<Run>,
}

/// What the logs hold.
#[derive(Debug, Default)]
pub struct Report {
    /// Sealed decisions.
    pub lines: u64,
    /// Other events, such as `listening`.
    pub events: u64,
    /// One for each sink of each boot of a replica: boot, replica, and its last line.
    pub chains: Vec<(String, String, Head)>,
    /// Heads of chains of which nothing was read, by boot.
    pub absent: Vec<(String, Head)>,
    /// The gravest first, then by place.
    pub findings: Vec<Finding>,
    /// Findings beyond those that are kept.
    pub more: u64,
    pub gravity: Option<Gravity>,
}

impl Verifier {
    /// `partial`: a log whose first lines were thrown away is whole. `heads` by boot: lines that must be there.
    pub fn new(partial: bool, heads: HashMap<String, Head>) -> Self {
        Self {
            partial,
            heads,
            ..Self::default()
        }
    }

    /// The lines that follow are of this file.
    pub fn open(&mut self, name: &str) {
        self.close();
        self.file = Some(File {
            name: name.to_owned(),
            runs: HashMap::new(),
            lines: 0,
            piece: None,
        });
    }

    /// Takes the next line, without its end; `ended`: it had one.
    pub fn line(&mut self, line: &[u8], ended: bool) {
        let Some(file) = &mut self.file else { return };
        file.lines = file.lines.saturating_add(1);
        let place = Place {
            file: file.name.clone(),
            line: file.lines,
        };
        match Sealed::read(line) {
            _ if !ended => self.cut(place),
            Ok(sealed) => self.sealed(&sealed, place),
            Err(Broken::Event) => self.report.events = self.report.events.saturating_add(1),
            Err(Broken::Changed(sealed)) => {
                self.find(
                    Gravity::Tampered,
                    &place,
                    "the line was changed: its hash does not fit".to_owned(),
                );
                self.sealed(&sealed, place);
            }
            Err(Broken::Foreign) => self.piece(place),
        }
    }

    /// The findings of all files.
    pub fn end(mut self) -> Report {
        self.close();
        let chains = std::mem::take(&mut self.chains);
        for (boot, mut seen) in chains {
            seen.runs
                .sort_by_key(|run| (run.first.head.sequence, run.last.head.sequence));
            if let Some(head) = self.join(&boot, &seen) {
                self.report.chains.push((boot, seen.replica, head));
            }
        }
        let read = &self.report.chains;
        let absent = self
            .heads
            .iter()
            .filter(|(boot, _)| !read.iter().any(|(own, _, _)| own == *boot));
        self.report.absent = absent.map(|(boot, head)| (boot.clone(), *head)).collect();
        self.report.absent.sort_by(|(a, _), (b, _)| a.cmp(b));
        let by = |finding: &Finding| (std::cmp::Reverse(finding.gravity), finding.place.clone());
        self.report.findings.sort_by_key(by);
        self.report
    }

    fn sealed(&mut self, line: &Sealed<'_>, place: Place) {
        let Some(file) = &mut self.file else { return };
        let piece = file.piece.take();
        let starts = line.sequence == 1 && !line.is_continued();
        let said = match file.runs.get_mut(line.boot) {
            Some(run) => run.follow(line, &place),
            None => {
                file.runs
                    .insert(line.boot.to_owned(), Run::start(line, place.clone()));
                None
            }
        };
        if let Some(piece) = piece {
            if starts {
                self.cut(piece);
            } else {
                let what = "this is no line of the log: it was changed or added".to_owned();
                self.find(Gravity::Tampered, &piece, what);
            }
        }
        if let Some((gravity, what)) = said {
            self.find(gravity, &place, what);
        }
        if line.is_continued() {
            return;
        }
        self.report.lines = self.report.lines.saturating_add(1);
        if let Some(head) = self.heads.get(line.boot)
            && head.sequence == line.sequence
            && head.hash != line.hash
        {
            let what = format!(
                "line {} is another than the chain's head that was kept",
                line.sequence
            );
            self.find(Gravity::Tampered, &place, what);
        }
        if !self.chains.contains_key(line.boot) {
            let seen = Seen {
                replica: line.replica().to_owned(),
                runs: Vec::new(),
            };
            self.chains.insert(line.boot.to_owned(), seen);
        }
    }

    /// A line without form: a crash leaves one, before the next boot's first line.
    fn piece(&mut self, place: Place) {
        let before = self.file.as_mut().and_then(|file| file.piece.replace(place));
        if let Some(before) = before {
            self.find(
                Gravity::Tampered,
                &before,
                "this is no line of the log".to_owned(),
            );
        }
    }

    fn cut(&mut self, place: Place) {
        let what = "the line was not written to its end, as after a crash; all before it was read".to_owned();
        self.find(Gravity::Incomplete, &place, what);
    }

    fn close(&mut self) {
        let Some(file) = self.file.take() else { return };
        if let Some(piece) = file.piece {
            self.find(Gravity::Tampered, &piece, "this is no line of the log".to_owned());
        }
        let mut runs: Vec<_> = file.runs.into_iter().collect();
        runs.sort_by_key(|(_, run)| run.first.place.line);
        for (boot, run) in runs {
            self.chains.entry(boot).or_default().runs.push(run);
        }
    }

    /// Holds the pieces of one chain in several files against each other, and the whole against its head.
    fn join(&mut self, boot: &str, seen: &Seen) -> Option<Head> {
        let (first, rest) = seen.runs.split_first()?;
        self.start(first);
        let mut last = &first.last;
        for run in rest {
            let from = run.first.head.sequence;
            let said = if run.continued && from == last.head.sequence {
                let fits = run.previous == last.head.hash;
                (!fits).then(|| {
                    (
                        Gravity::Tampered,
                        "the file takes the chain over from another line".to_owned(),
                    )
                })
            } else if run.continued {
                // it names a line, which is there or is not
                between(last.head, from.saturating_add(1), run.previous)
                    .map(|(_, what)| (Gravity::Tampered, what))
            } else if from <= last.head.sequence {
                let what = format!("line {from} of its chain stands in {} too", last.place.file);
                Some((Gravity::Tampered, what))
            } else {
                between(last.head, from, run.previous)
            };
            if let Some((gravity, what)) = said {
                self.find(gravity, &run.first.place, what);
            }
            if run.last.head.sequence > last.head.sequence {
                last = &run.last;
            }
        }
        if let Some(head) = self.heads.get(boot).copied()
            && head.sequence > last.head.sequence
        {
            let what = format!(
                "the chain's head is line {}, and the last one here is {}: the rest was cut off",
                head.sequence, last.head.sequence
            );
            let place = last.place.clone();
            self.find(Gravity::Tampered, &place, what);
        }
        Some(last.head)
    }

    /// What stands before the first line that was read of a chain.
    fn start(&mut self, run: &Run) {
        let from = run.first.head.sequence;
        let nothing = Chain::new([0; 8]).head();
        let (gravity, what) = if from <= nothing.sequence {
            return;
        } else if !run.continued && run.previous == nothing.hash {
            match between(nothing, from, run.previous) {
                Some(dropped) => dropped,
                None => return,
            }
        } else if run.continued {
            let what = format!("lines up to {from} of its chain are in files that were not read");
            (Gravity::Note, what)
        } else if self.partial {
            (
                Gravity::Note,
                format!("the log starts with line {from} of its chain"),
            )
        } else {
            let what = format!(
                "lines before {from} of its chain are missing; where the log was cut at its start on purpose, say --partial"
            );
            (Gravity::Tampered, what)
        };
        self.find(gravity, &run.first.place, what);
    }

    fn find(&mut self, gravity: Gravity, place: &Place, what: String) {
        let report = &mut self.report;
        report.gravity = report.gravity.max(Some(gravity));
        if report.findings.len() < KEPT {
            report.findings.push(Finding {
                gravity,
                place: place.clone(),
                what,
            });
        } else {
            report.more = report.more.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests;
