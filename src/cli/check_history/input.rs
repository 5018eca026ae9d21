//! The files, read line by line and merged by time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};

use super::{Read, decisions};
use crate::counters::history::{Event, Line, Unusable};

/// The longest line that is read, in bytes.
const LONGEST: u64 = 1 << 20;
/// What is read from a file at once, in bytes.
const CHUNK: usize = 1 << 16;

/// One file that is being read, and what its last line told.
struct Source {
    name: String,
    reader: Box<dyn BufRead>,
    line: u64,
    buffer: Vec<u8>,
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
            take(event).with_context(|| format!("{}:{}", source.name, source.line))?;
        }
        order.extend(source.head(decisions, read)?.map(|at| Reverse((at, index))));
    }
    Ok(())
}

impl Source {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let reader: Box<dyn BufRead> = if path.as_os_str() == "-" {
            Box::new(BufReader::with_capacity(CHUNK, io::stdin()))
        } else {
            let file = File::open(path).with_context(|| format!("{name}: cannot open the history"))?;
            Box::new(BufReader::with_capacity(CHUNK, file))
        };
        Ok(Self {
            name,
            reader,
            line: 0,
            buffer: Vec::new(),
            told: VecDeque::new(),
        })
    }

    /// The time of the next event; reads on where the last line has told all.
    fn head(&mut self, decisions: bool, read: &mut Read) -> anyhow::Result<Option<u64>> {
        while self.told.is_empty() {
            self.buffer.clear();
            let got = (&mut self.reader)
                .take(LONGEST)
                .read_until(b'\n', &mut self.buffer)
                .with_context(|| format!("{}: cannot read the history", self.name))?;
            if got == 0 {
                return Ok(None);
            }
            self.line = self.line.saturating_add(1);
            let whole = self.buffer.ends_with(b"\n");
            if !whole && u64::try_from(got).is_ok_and(|got| got >= LONGEST) {
                bail!(
                    "{}:{}: the line has more than {LONGEST} bytes",
                    self.name,
                    self.line
                );
            }
            if self.buffer.trim_ascii().is_empty() {
                continue;
            }
            let told = if decisions {
                decisions::read(&self.buffer, &mut self.told).map(|skipped| {
                    read.not_judged = read.not_judged.saturating_add(skipped);
                })
            } else {
                Line::read(&self.buffer).map(|event| self.told.push_back(event))
            };
            match told {
                Ok(()) => read.lines = read.lines.saturating_add(1),
                // a writer that was killed leaves half a line at the end
                Err(_) if !whole => return Ok(None),
                Err(why) => return Err(anyhow!("{}:{}: {why}", self.name, self.line)),
            }
        }
        Ok(self.told.front().map(|event| event.t_ms))
    }
}
