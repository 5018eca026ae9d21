//! How the lines of one chain follow each other, and what is found where they do not.

use std::fmt;

use super::line::Sealed;
use super::seal::Head;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub file: String,
    /// From 1.
    pub line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gravity {
    /// Worth knowing; the log is whole.
    Note,
    /// Lines were lost, and the log itself tells so: a crash, or a full queue.
    Incomplete,
    /// Somebody changed, removed, added or moved lines.
    Tampered,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub gravity: Gravity,
    pub place: Place,
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Lines of one chain that stand one after the other in one file.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) first: Point,
    pub(super) last: Point,
    /// `previous` of the first line.
    pub(super) previous: [u8; 32],
    /// The file begins with a line that says where it takes the chain over.
    pub(super) continued: bool,
}

/// A line of a chain.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub(super) head: Head,
    pub(super) place: Place,
}

impl Run {
    pub(super) fn start(line: &Sealed<'_>, place: Place) -> Self {
        let continued = line.is_continued();
        let (hash, previous) = if continued {
            (line.previous, line.previous)
        } else {
            (line.hash, line.previous)
        };
        let head = Head {
            sequence: line.sequence,
            hash,
        };
        let point = Point { head, place };
        Self {
            first: point.clone(),
            last: point,
            previous,
            continued,
        }
    }

    /// Takes the next line of the file, and says what is wrong with its place.
    pub(super) fn follow(&mut self, line: &Sealed<'_>, place: &Place) -> Option<(Gravity, String)> {
        let last = self.last.head;
        let said = if line.is_continued() {
            let fits = (line.sequence, line.previous) == (last.sequence, last.hash);
            return (!fits).then(|| {
                (
                    Gravity::Tampered,
                    "takes the chain over from another line".to_owned(),
                )
            });
        } else if line.sequence <= last.sequence {
            let what = if (line.sequence, line.hash) == (last.sequence, last.hash) {
                "is there twice".to_owned()
            } else {
                format!(
                    "stands after line {} of its chain: lines were moved or added",
                    last.sequence
                )
            };
            // the chain goes on where it was
            return Some((Gravity::Tampered, format!("line {} {what}", line.sequence)));
        } else {
            between(last, line.sequence, line.previous)
        };
        self.last = Point {
            head: Head {
                sequence: line.sequence,
                hash: line.hash,
            },
            place: place.clone(),
        };
        said
    }
}

/// What lies between the line at `last` and the one with this number that says it follows `previous`.
pub(super) fn between(last: Head, sequence: u64, previous: [u8; 32]) -> Option<(Gravity, String)> {
    let gap = sequence.saturating_sub(last.sequence).saturating_sub(1);
    let missing = || match gap {
        1 => format!("line {} of its chain", last.sequence.saturating_add(1)),
        _ => format!(
            "lines {} to {} of its chain",
            last.sequence.saturating_add(1),
            sequence.saturating_sub(1)
        ),
    };
    match (gap, previous == last.hash) {
        (0, true) => None,
        (0, false) => Some((
            Gravity::Tampered,
            format!(
                "line {sequence} does not follow line {} as it stands here",
                last.sequence
            ),
        )),
        (_, true) => Some((
            Gravity::Incomplete,
            format!(
                "the gate dropped {} for want of room, and counted them",
                missing()
            ),
        )),
        (_, false) => Some((
            Gravity::Tampered,
            format!("{} missing before this one", is_or_are(gap, missing())),
        )),
    }
}

fn is_or_are(count: u64, what: String) -> String {
    let verb = if count == 1 { "is" } else { "are" };
    format!("{what} {verb}")
}
