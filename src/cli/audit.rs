//! `toolgate audit`: checks the audit log, and shows it to people.

mod follow;
mod paint;
mod source;
mod tail;
mod top;
mod verify;

use std::io::Write;

/// What is to be done with the log.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Find out whether a log is as it was written: no line changed, missing, moved or added.
    ///
    /// Give all files of a log, in any order. Exit code: 0 whole; 1 changed; 2 unreadable; 3 nothing was changed, but
    /// lines were lost: a crash cut one off, or the gate dropped some for want of room.
    #[command(after_help = verify::EXAMPLES)]
    Verify(verify::Args),
    /// Print the chains' heads that the replicas keep in Redis, one JSON object a line.
    ///
    /// Kept elsewhere, they prove later that nothing was cut off a log: `toolgate audit verify --heads FILE`.
    Heads(verify::HeadsArgs),
    /// Show decisions as they are made, as a table.
    #[command(after_help = tail::EXAMPLES)]
    Tail(tail::Args),
    /// Show which grants call which tools most, and with what outcome.
    ///
    /// On a terminal the table moves; elsewhere it is printed once.
    #[command(after_help = top::EXAMPLES)]
    Top(top::Args),
}

/// Runs the command and returns the exit code.
///
/// # Errors
/// Where the log cannot be read or `out` cannot be written to.
pub fn run(command: &Command, out: &mut dyn Write) -> anyhow::Result<u8> {
    match command {
        Command::Verify(args) => verify::run(args, out),
        Command::Heads(args) => verify::heads(args, out),
        Command::Tail(args) => tail::run(args, out),
        Command::Top(args) => top::run(args, out),
    }
}
