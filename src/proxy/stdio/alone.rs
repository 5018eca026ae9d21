//! A command that this process alone speaks to: no client behind it, and nothing that is judged.

use std::io;

use bytes::Bytes;
use rustix::process::Signal;
use tokio::process::{ChildStdin, ChildStdout};

use super::lines::{Line, Lines, write_line};
use super::process::{Pipes, Process, ServerCommand, Stderr};
use crate::mcp::line::one_line;

/// A running command. Dropped, it and what it has started itself are killed.
pub struct Alone {
    process: Process,
    stdin: Option<ChildStdin>,
    lines: Lines<ChildStdout>,
    ended: bool,
}

impl Alone {
    /// Starts it; lines of more than `cap` bytes are skipped.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &ServerCommand, cap: usize) -> io::Result<Self> {
        let (process, Pipes { stdin, stdout }, _) = Process::start(command, Stderr::Ours)?;
        Ok(Self {
            process,
            stdin: Some(stdin),
            lines: Lines::new(stdout, cap),
            ended: false,
        })
    }

    /// Writes one message as a line.
    ///
    /// # Errors
    /// It does not read any more.
    pub async fn write(&mut self, message: &[u8]) -> io::Result<()> {
        let stdin = self.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let written = write_line(stdin, &one_line(message)).await;
        written.map_err(|stuck| stuck.error)
    }

    /// Its next line; `Some(None)` for one that is too long, `None` at the end.
    ///
    /// # Errors
    /// Its stdout cannot be read.
    pub async fn next(&mut self) -> io::Result<Option<Option<Bytes>>> {
        let line = self.lines.next().await?;
        Ok(line.map(|line| match line {
            Line::Whole(line) => Some(line),
            Line::TooLong(_) => None,
        }))
    }

    /// Closes its stdin and waits for its end, within the bounds that every process has.
    pub async fn end(mut self) {
        self.stdin = None;
        self.process.ends_soon();
        if let Err(error) = self.process.ended().await {
            tracing::debug!(%error, "the server's end was not seen");
        }
        self.process.clear().await;
        self.ended = true;
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        if !self.ended {
            self.process.signal(Signal::KILL);
        }
    }
}
