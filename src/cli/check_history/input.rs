//! The files, read line by line and merged by time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};

use super::{Read, decisions};
use crate::cli::lines::{LONGEST, LogReader};
use crate::counters::history::{Event, Line, Unusable};

/// One file that is being read, and what its last line told.
struct Source {
    reader: LogReader,
    line: u64,
    told: VecDeque<Event>,
}

/// Feeds every event of the files to `take`: of those that stand next in each file the earliest first.
///
/// # Errors
/// Where a file cannot be read, or `take` refuses.
pub(super) fn each(
    files: &[PathBuf],
    decisions: bool,
    read: &mut Read,
    take: &mut dyn FnMut(Event) -> Result<(), Unusable>,
) -> anyhow::Result<()> {
    let mut sources = files
        .iter()
        .map(|file| Source::open(file))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut order = BinaryHeap::new();
    for (index, source) in sources.iter_mut().enumerate() {
        order.extend(source.head(decisions, read)?.map(|at| Reverse((at, index))));
    }
    while let Some(Reverse((_, index))) = order.pop() {
        let Some(source) = sources.get_mut(index) else {
            break;
        };
        if let Some(event) = source.told.pop_front() {
            take(event).with_context(|| source.place())?;
        }
        order.extend(source.head(decisions, read)?.map(|at| Reverse((at, index))));
    }
    Ok(())
}

impl Source {
    fn open(path: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            reader: LogReader::open(path, "toolgate check-history …")?,
            line: 0,
            told: VecDeque::new(),
        })
    }

    /// Of the line that was read last.
    fn place(&self) -> String {
        format!("{}:{}", self.reader.name, self.line)
    }

    /// The time of the next event; reads on where the last line has told all.
    fn head(&mut self, decisions: bool, read: &mut Read) -> anyhow::Result<Option<u64>> {
        while self.told.is_empty() {
            let got = self.reader.read_line();
            let got = got.with_context(|| format!("{}: cannot read the history", self.reader.name))?;
            if got.is_none() {
                return Ok(None);
            }
            self.line = self.line.saturating_add(1);
            if self.reader.is_too_long() {
                bail!("{}: the line has more than {LONGEST} bytes", self.place());
            }
            let line = self.reader.buffer.as_slice();
            if line.trim_ascii().is_empty() {
                continue;
            }
            let told = if decisions {
                decisions::read(line, &mut self.told).map(|skipped| {
                    read.not_judged = read.not_judged.saturating_add(skipped);
                })
            } else {
                Line::read(line).map(|event| self.told.push_back(event))
            };
            match told {
                Ok(()) => read.lines = read.lines.saturating_add(1),
                // a writer that was killed leaves half a line at the end
                Err(_) if !line.ends_with(b"\n") => return Ok(None),
                Err(why) => return Err(anyhow!("{}: {why}", self.place())),
            }
        }
        Ok(self.told.front().map(|event| event.t_ms))
    }
}
