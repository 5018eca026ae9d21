//! A server as a child process: started with little, ended step by step.

use std::ffi::OsString;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process_group, test_kill_process_group};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, sleep, sleep_until};

/// How long a server may take to end after its stdin was closed; then it gets SIGTERM.
const AFTER_CLOSE: Duration = Duration::from_secs(5);
/// How long after a signal; then it gets SIGKILL. Clients kill after 2 s: this comes before.
const AFTER_SIGNAL: Duration = Duration::from_millis(1_800);
/// How often is looked whether the rest of the group has ended.
const GROUP_PAUSE: Duration = Duration::from_millis(10);

/// What to start.
#[derive(Clone)]
pub struct ServerCommand {
    pub program: OsString,
    pub arguments: Vec<OsString>,
    /// All of the child's environment.
    pub environment: Vec<(OsString, OsString)>,
}

/// The ends of a child's pipes.
pub(super) struct Pipes {
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
}

/// Where what a server writes to its stderr goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stderr {
    /// To this process's.
    Ours,
    Piped,
}

/// A running server, in a process group of its own: a launcher's own children get the same signals.
pub(super) struct Process {
    child: Child,
    group: Option<Pid>,
    next: Option<(Instant, Signal)>,
}

impl Process {
    /// Starts the server. Its three pipes, or two and this process's stderr, are all that passes on: Rust opens all others close-on-exec,
    /// and the program has marked those that it was given.
    pub(super) fn start(
        command: &ServerCommand,
        stderr: Stderr,
    ) -> io::Result<(Self, Pipes, Option<ChildStderr>)> {
        let mut child = Command::new(&command.program)
            .args(&command.arguments)
            .env_clear()
            .envs(command.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(match stderr {
                Stderr::Ours => Stdio::inherit(),
                Stderr::Piped => Stdio::piped(),
            })
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let missing = || io::Error::other("a pipe is missing");
        let pipes = Pipes {
            stdin: child.stdin.take().ok_or_else(missing)?,
            stdout: child.stdout.take().ok_or_else(missing)?,
        };
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let (next, stderr) = (None, child.stderr.take());
        Ok((Self { child, group, next }, pipes, stderr))
    }

    /// Waits for its end, and takes the steps towards it that are due. Cancel-safe.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        loop {
            let due = async {
                match self.next {
                    Some((at, signal)) => {
                        sleep_until(at).await;
                        signal
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                status = self.child.wait() => return status,
                signal = due => self.signal(signal),
            }
        }
    }

    /// Once it has ended: where it was made to, what it had started itself must end too.
    pub(super) async fn clear(&mut self) {
        let Some((until, Signal::KILL)) = self.next else {
            return;
        };
        while self
            .group
            .is_some_and(|group| test_kill_process_group(group).is_ok())
        {
            if Instant::now() >= until {
                self.signal(Signal::KILL);
                return;
            }
            sleep(GROUP_PAUSE).await;
        }
    }

    /// Its stdin was closed: from now on it has some time to end by itself.
    pub(super) fn ends_soon(&mut self) {
        if self.next.is_none() {
            self.next = Some((Instant::now() + AFTER_CLOSE, Signal::TERM));
        }
    }

    /// Passes a signal on.
    pub(super) fn signal(&mut self, signal: Signal) {
        self.next = Some((Instant::now() + AFTER_SIGNAL, Signal::KILL));
        let Some(group) = self.group else { return };
        if let Err(error) = kill_process_group(group, signal) {
            tracing::debug!(%error, "a signal could not be passed on");
        }
    }
}

/// The exit code that says the same: a program's own, or 128 and the signal, as shells do.
pub fn exit_code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let signal = || status.signal().map(|signal| signal.saturating_add(128));
    let code = status.code().or_else(signal);
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

/// The exit code of a program that ends because of a signal.
pub fn signal_code(signal: Signal) -> u8 {
    u8::try_from(signal.as_raw().saturating_add(128)).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::exit_code;

    #[test]
    fn exit_codes_are_passed_on_and_signals_told_as_shells_do() {
        assert_eq!(exit_code(ExitStatus::from_raw(0)), 0);
        assert_eq!(exit_code(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(exit_code(ExitStatus::from_raw(255 << 8)), 255);
        assert_eq!(exit_code(ExitStatus::from_raw(15)), 143);
        assert_eq!(exit_code(ExitStatus::from_raw(9)), 137);
    }
}
