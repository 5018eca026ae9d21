//! The logs: opened, read line by line, and merged by time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::PathBuf;

use anyhow::{Context, bail};

use super::progress::Progress;
use crate::cli::lines::{LONGEST, LogReader};
use crate::replay::{Call, Line, Replay};

/// One log that is being read.
pub(super) struct Log {
    reader: LogReader,
    line: u64,
}

/// Opens every log.
///
/// # Errors
/// Where one cannot be opened, is compressed, or stdin is named twice.
pub(super) fn open(paths: &[PathBuf]) -> anyhow::Result<Vec<Log>> {
    let stdin = paths.iter().filter(|path| path.as_os_str() == "-");
    if stdin.count() > 1 {
        bail!("`-` stands twice: stdin can be read once");
    }
    let open = |path: &PathBuf| {
        let reader = LogReader::open(path, "toolgate replay …")?;
        Ok(Log { reader, line: 0 })
    };
    paths.iter().map(open).collect()
}

/// How many bytes there are to read; `None` where that is not known.
pub(super) fn size(paths: &[PathBuf]) -> Option<u64> {
    let sizes = paths.iter().map(|path| {
        let data = std::fs::metadata(path).ok()?;
        data.is_file().then_some(data.len())
    });
    sizes.sum()
}

/// Feeds every line of the logs to the replay: of the calls that stand next in each log the earliest first.
///
/// # Errors
/// Where a log cannot be read any further.
pub(super) fn merge(mut logs: Vec<Log>, replay: &mut Replay, mut progress: Progress) -> anyhow::Result<()> {
    let mut heads = Vec::new();
    let mut order = BinaryHeap::new();
    for (index, log) in logs.iter_mut().enumerate() {
        let head = log.next(replay, &mut progress)?;
        order.extend(head.as_ref().map(|call| Reverse((call.at, index))));
        heads.push(head);
    }
    while let Some(Reverse((_, index))) = order.pop() {
        let (Some(log), Some(head)) = (logs.get_mut(index), heads.get_mut(index)) else {
            break;
        };
        if let Some(call) = head.take() {
            replay.take(Line::Call(call));
        }
        *head = log.next(replay, &mut progress)?;
        order.extend(head.as_ref().map(|call| Reverse((call.at, index))));
    }
    progress.end();
    Ok(())
}

impl Log {
    /// The next call. What stands before it is counted.
    fn next(&mut self, replay: &mut Replay, progress: &mut Progress) -> anyhow::Result<Option<Box<Call>>> {
        loop {
            let number = self.line.saturating_add(1);
            let read = self.reader.read_line();
            let place = || format!("{}:{number}", self.reader.name);
            let read = read.with_context(|| format!("{}: cannot read the log", place()))?;
            let Some(bytes) = read else { return Ok(None) };
            self.line = number;
            progress.read(bytes);
            let line = if self.reader.is_too_long() {
                Err(format!("the line has more than {LONGEST} bytes"))
            } else {
                Line::read(&self.reader.buffer)
            };
            match line {
                Ok(Line::Call(call)) => return Ok(Some(call)),
                Ok(other) => replay.take(other),
                Err(why) => replay.malformed(place(), why),
            }
        }
    }
}
