//! Where sealed lines go, and the lines that are on their way there.

use std::io::{self, Write};

use crate::audit::{Chain, Head};

/// A place that takes sealed lines.
pub trait Sink: Send {
    /// Writes what is left of the batch, and marks what it wrote. What is not marked comes again.
    ///
    /// # Errors
    /// Where it takes no more now.
    fn write(&mut self, batch: &mut Batch) -> io::Result<()>;

    /// Opens the place anew, where it has a name that may lead elsewhere by now.
    ///
    /// # Errors
    /// Where it cannot: the old place stays in use.
    fn reopen(&mut self, _batch: &mut Batch) -> io::Result<()> {
        Ok(())
    }
}

/// Sealed lines in order, and how many of their bytes are written.
#[derive(Debug)]
pub struct Batch {
    boot: String,
    bytes: Vec<u8>,
    /// Where each line ends, and the chain's head after it.
    lines: Vec<(usize, Head)>,
    done: usize,
    /// The head before the first line.
    before: Head,
}

impl Batch {
    pub(super) fn new(chain: &Chain) -> Self {
        Self {
            boot: chain.boot().to_owned(),
            bytes: Vec::new(),
            lines: Vec::new(),
            done: 0,
            before: chain.head(),
        }
    }

    /// Starts anew after its last line; keeps at most `keep` bytes of room.
    pub(super) fn clear(&mut self, keep: usize) {
        self.before = self.lines.last().map_or(self.before, |(_, head)| *head);
        self.bytes.clear();
        self.bytes.shrink_to(keep);
        self.lines.clear();
        self.done = 0;
    }

    pub(super) fn add(&mut self, chain: &mut Chain, json: &[u8], dropped: u64) {
        let head = chain.seal(json, dropped, &mut self.bytes);
        self.lines.push((self.bytes.len(), head));
    }

    pub(super) const fn done(&self) -> usize {
        self.done
    }

    /// How many lines there are.
    pub(super) const fn count(&self) -> usize {
        self.lines.len()
    }

    /// The chain's name.
    pub fn boot(&self) -> &str {
        &self.boot
    }

    /// What is not written yet.
    pub fn rest(&self) -> &[u8] {
        self.bytes.get(self.done..).unwrap_or_default()
    }

    /// As many of the whole lines that are left as have at most so many bytes; empty where not even one has.
    pub fn within(&self, bytes: u64) -> &[u8] {
        let most = usize::try_from(bytes)
            .unwrap_or(usize::MAX)
            .saturating_add(self.done);
        let fitting = self.lines.partition_point(|(end, _)| *end <= most);
        let end = fitting.checked_sub(1).and_then(|index| self.lines.get(index));
        let end = end.map_or(self.done, |(end, _)| (*end).max(self.done));
        self.bytes.get(self.done..end).unwrap_or_default()
    }

    /// What is left of the line that is begun, or the whole next one.
    pub fn line(&self) -> &[u8] {
        let end = self.lines.get(self.whole()).map_or(self.done, |(end, _)| *end);
        self.bytes.get(self.done..end).unwrap_or_default()
    }

    /// The next whole lines with their numbers.
    pub fn numbered(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let mut start = self.done;
        self.lines.iter().skip(self.whole()).map(move |(end, head)| {
            let line = self.bytes.get(start..*end).unwrap_or_default();
            start = *end;
            (head.sequence, line)
        })
    }

    /// So many bytes of the rest are written.
    pub fn wrote(&mut self, bytes: usize) {
        self.done = self.done.saturating_add(bytes).min(self.bytes.len());
    }

    /// Whether the next byte starts a line.
    pub fn is_between_lines(&self) -> bool {
        let last = self
            .whole()
            .checked_sub(1)
            .and_then(|index| self.lines.get(index));
        last.map_or(0, |(end, _)| *end) == self.done
    }

    /// Takes back the part of a line that was written: the line comes again as a whole.
    pub fn rewind(&mut self) {
        let last = self
            .whole()
            .checked_sub(1)
            .and_then(|index| self.lines.get(index));
        self.done = last.map_or(0, |(end, _)| *end);
    }

    /// The chain's head after the whole lines that are written.
    pub fn head(&self) -> Head {
        let last = self
            .whole()
            .checked_sub(1)
            .and_then(|index| self.lines.get(index));
        last.map_or(self.before, |(_, head)| *head)
    }

    /// How many lines are written as a whole.
    fn whole(&self) -> usize {
        self.lines.partition_point(|(end, _)| *end <= self.done)
    }
}

/// A stream without a name, such as stdout.
pub(super) struct Plain<W>(pub(super) W);

impl<W: Write + Send> Sink for Plain<W> {
    fn write(&mut self, batch: &mut Batch) -> io::Result<()> {
        while !batch.rest().is_empty() {
            let wrote = write_some(&mut self.0, batch.rest())?;
            batch.wrote(wrote);
        }
        self.0.flush()
    }
}

/// Writes at least one byte.
pub(super) fn write_some(to: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match to.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
