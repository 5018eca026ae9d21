//! The logs: opened, read line by line, and merged by time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::progress::Progress;
use crate::replay::{Call, Line, Replay};

/// The longest line that is read, in bytes. `serve` writes at most some 32 KiB and the recorded values.
const LONGEST: usize = 1 << 20;
/// What is read from a file at once, in bytes.
const CHUNK: usize = 1 << 16;
/// What a gzip file begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// One log that is being read.
pub(super) struct Log {
    name: String,
    reader: Box<dyn BufRead>,
    line: u64,
    buffer: Vec<u8>,
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
    paths.iter().map(|path| Log::open(path)).collect()
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
    fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let mut reader: Box<dyn BufRead> = if path.as_os_str() == "-" {
            Box::new(BufReader::with_capacity(CHUNK, io::stdin()))
        } else {
            let file = File::open(path).with_context(|| format!("{name}: cannot open the log"))?;
            Box::new(BufReader::with_capacity(CHUNK, file))
        };
        let start = reader
            .fill_buf()
            .with_context(|| format!("{name}: cannot read the log"))?;
        if start.starts_with(&GZIP) {
            bail!("{name}: the log is compressed: `gzip -dc {name} | toolgate replay … -`");
        }
        Ok(Self {
            name,
            reader,
            line: 0,
            buffer: Vec::new(),
        })
    }

    /// The next call. What stands before it is counted.
    fn next(&mut self, replay: &mut Replay, progress: &mut Progress) -> anyhow::Result<Option<Box<Call>>> {
        loop {
            let number = self.line.saturating_add(1);
            let read = self
                .read_line()
                .with_context(|| format!("{}:{number}: cannot read the log", self.name))?;
            let Some(bytes) = read else { return Ok(None) };
            self.line = number;
            progress.read(bytes);
            let line = if self.buffer.len() > LONGEST {
                Err(format!("the line has more than {LONGEST} bytes"))
            } else {
                Line::read(&self.buffer)
            };
            match line {
                Ok(Line::Call(call)) => return Ok(Some(call)),
                Ok(other) => replay.take(other),
                Err(why) => replay.malformed(format!("{}:{number}", self.name), why),
            }
        }
    }

    /// Reads one line into the buffer, at most one byte more than the longest, and passes over the rest of it.
    /// Returns its length; `None` at the end.
    fn read_line(&mut self) -> io::Result<Option<u64>> {
        self.buffer.clear();
        self.buffer.shrink_to(CHUNK);
        let most = u64::try_from(LONGEST).unwrap_or(u64::MAX).saturating_add(1);
        let read = (&mut self.reader)
            .take(most)
            .read_until(b'\n', &mut self.buffer)?;
        let mut bytes = u64::try_from(read).unwrap_or(u64::MAX);
        if read == 0 {
            return Ok(None);
        }
        let mut ended = self.buffer.ends_with(b"\n") || read <= LONGEST;
        while !ended {
            let chunk = self.reader.fill_buf()?;
            let end = chunk.iter().position(|&byte| byte == b'\n');
            ended = end.is_some() || chunk.is_empty();
            let used = end.map_or(chunk.len(), |end| end.saturating_add(1));
            self.reader.consume(used);
            bytes = bytes.saturating_add(u64::try_from(used).unwrap_or(u64::MAX));
        }
        Ok(Some(bytes))
    }
}
