//! The audit log in a file: private, turned over by size, opened anew when it was moved away.

use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::sink::{Batch, Sink, write_some};
use crate::audit::Chain;

/// Where the file is, and how large it gets.
#[derive(Clone, Debug)]
pub struct FileOptions {
    pub path: PathBuf,
    /// Above so many bytes it is turned over: renamed to `PATH.1`, and older ones up by one. 0: never.
    pub rotate_bytes: u64,
    /// How many turned-over files are kept, at least 1.
    pub keep: u32,
}

/// A file that lines are appended to.
pub struct FileSink {
    options: FileOptions,
    file: File,
    /// Bytes in the file; `None` for what is no plain file.
    size: Option<u64>,
    /// Bytes that come before the next line, such as the one that takes the chain over.
    first: Vec<u8>,
    /// After a turn that failed, no other before the file has grown to this.
    turn_at: u64,
}

impl FileSink {
    /// Opens the file, or makes it, readable for its owner alone.
    ///
    /// # Errors
    /// Where it cannot be opened for appending.
    pub fn open(options: FileOptions) -> io::Result<Self> {
        let (file, size) = open(&options.path)?;
        let mut first = Vec::new();
        if size.is_some_and(|size| size > 0) && !ends_well(&options.path)? {
            // what a crash left of a line becomes a line of its own
            first.push(b'\n');
        }
        Ok(Self {
            turn_at: options.rotate_bytes,
            options,
            file,
            size,
            first,
        })
    }

    /// Turns the file over. Only between two lines.
    fn turn(&mut self, batch: &Batch) -> io::Result<()> {
        let path = &self.options.path;
        for number in (1..self.options.keep).rev() {
            let (from, to) = (
                turned_over(path, number),
                turned_over(path, number.saturating_add(1)),
            );
            match std::fs::rename(from, to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        std::fs::rename(path, turned_over(path, 1))?;
        self.take_over(batch)
    }

    /// Goes on in the file that the path leads to now.
    fn take_over(&mut self, batch: &Batch) -> io::Result<()> {
        let next = Self::open(self.options.clone())?;
        *self = next;
        let head = batch.head();
        if head.sequence > 0 {
            self.first.extend(Chain::continued(batch.boot(), head));
        }
        Ok(())
    }

    /// How many bytes go into the file before it is turned over.
    fn room(&self) -> u64 {
        match self.size {
            Some(size) if self.options.rotate_bytes > 0 => self.turn_at.saturating_sub(size),
            _ => u64::MAX,
        }
    }

    fn wrote(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.size = self.size.map(|size| size.saturating_add(bytes));
    }

    fn write_first(&mut self) -> io::Result<()> {
        while !self.first.is_empty() {
            let wrote = write_some(&mut self.file, &self.first)?;
            self.first.drain(..wrote);
            self.wrote(wrote);
        }
        Ok(())
    }

    fn append(&mut self, batch: &mut Batch) -> io::Result<()> {
        while !batch.rest().is_empty() {
            self.write_first()?;
            let fitting = batch.within(self.room());
            // a line that is begun is ended; one that is larger than a file stands in a file of its own
            let bytes =
                if batch.is_between_lines() && fitting.is_empty() && self.size.is_some_and(|size| size > 0) {
                    if let Err(error) = self.turn(batch) {
                        self.turn_at = self.turn_at.saturating_add(self.options.rotate_bytes);
                        tracing::error!(%error, "the audit log cannot be turned over: it grows");
                    }
                    continue;
                } else if fitting.is_empty() {
                    batch.line()
                } else {
                    fitting
                };
            let wrote = write_some(&mut self.file, bytes)?;
            batch.wrote(wrote);
            self.wrote(wrote);
        }
        Ok(())
    }

    /// Whether the path leads to another file than the open one.
    fn is_elsewhere(&self) -> bool {
        let same = |a: &Metadata, b: &Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
        match (self.file.metadata(), std::fs::metadata(&self.options.path)) {
            (Ok(own), Ok(named)) => !same(&own, &named),
            _ => true,
        }
    }
}

impl Sink for FileSink {
    fn write(&mut self, batch: &mut Batch) -> io::Result<()> {
        let result = self.append(batch);
        if result.is_err() && self.is_elsewhere() {
            // the next try meets the new file
            self.reopen(batch)?;
        }
        result
    }

    fn reopen(&mut self, batch: &mut Batch) -> io::Result<()> {
        if !batch.is_between_lines() {
            let ended = write_some(&mut self.file, batch.line());
            ended.into_iter().for_each(|wrote| batch.wrote(wrote));
        }
        // where it did not fit, the line comes again as a whole
        batch.rewind();
        self.take_over(batch)
    }
}

fn open(path: &Path) -> io::Result<(File, Option<u64>)> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    let data = file.metadata()?;
    Ok((file, data.is_file().then_some(data.len())))
}

fn ends_well(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// The name of a file that was turned over so many times since: `PATH.1` is the latest.
pub fn turned_over(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    PathBuf::from(name)
}
