//! Logs read line by line, with a bound on each.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use anyhow::{Context, bail};

/// The longest line that is read, in bytes. `serve` writes at most some 32 KiB and the recorded values.
pub(super) const LONGEST: usize = 1 << 20;
/// What is read from a file at once, in bytes.
const CHUNK: usize = 1 << 16;
/// What a gzip file begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A log that is being read.
pub(super) struct LogReader {
    pub(super) name: String,
    reader: Box<dyn BufRead>,
    /// The line that was read last, with its end; of one that is too long the first [`LONGEST`] bytes and one more.
    pub(super) buffer: Vec<u8>,
}

impl LogReader {
    /// Opens a file; `-` is stdin. `command` is what a compressed one is to be piped into.
    ///
    /// # Errors
    /// Where it cannot be read, or is compressed.
    pub(super) fn open(path: &Path, command: &str) -> anyhow::Result<Self> {
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
            bail!("{name}: the log is compressed: `gzip -dc {name} | {command} -`");
        }
        Ok(Self {
            name,
            reader,
            buffer: Vec::new(),
        })
    }

    /// Whether the line that was read last has more bytes than a log's lines have.
    pub(super) fn is_too_long(&self) -> bool {
        self.buffer.len() > LONGEST
    }

    /// Reads one line into the buffer, at most one byte more than the longest, and passes over the rest of it.
    /// Returns its length; `None` at the end.
    pub(super) fn read_line(&mut self) -> io::Result<Option<u64>> {
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
