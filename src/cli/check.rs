//! `toolgate check`: every problem of every policy, each with its place.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use super::report::{Entry, Finding, Format, Report};
use crate::document::{Level, MAX_BYTES};
use crate::mcp::tools::Tool;
use crate::policy::{load, load_against};

/// Everything is in order, or only warnings were found.
pub const CLEAN: u8 = 0;
/// A policy holds errors; with `strict`, warnings count as errors.
pub const FAULTY: u8 = 1;
/// A file could not be read.
pub const UNREADABLE: u8 = 2;

/// How to check, and how to tell.
#[derive(Debug, Default)]
pub struct Options {
    pub strict: bool,
    pub format: Format,
    /// The tools of the server that the policies are for.
    pub tools: Option<Vec<Tool>>,
}

/// Checks the policies and writes what is wrong with them to `out`, then one line that counts it.
/// Returns the exit code: [`CLEAN`], [`FAULTY`] or [`UNREADABLE`], the highest that applies.
///
/// # Errors
/// Where `out` cannot be written to.
pub fn run(paths: &[PathBuf], options: &Options, out: &mut dyn Write) -> io::Result<u8> {
    let mut report = Report::default();
    check(paths, options, &mut report);
    report.write(options.format, out)?;
    Ok(code(&report, options.strict))
}

/// Checks the policies into `report`.
pub fn check(paths: &[PathBuf], options: &Options, report: &mut Report) {
    let tools = options.tools.as_deref();
    report
        .entries
        .extend(paths.iter().map(|path| check_file(path, tools)));
    report.policies += paths.len();
}

/// The exit code that a report asks for.
pub fn code(report: &Report, strict: bool) -> u8 {
    if report.unreadable() > 0 {
        UNREADABLE
    } else if report.count(Level::Error) > 0 || strict && report.count(Level::Warning) > 0 {
        FAULTY
    } else {
        CLEAN
    }
}

fn check_file(path: &Path, tools: Option<&[Tool]>) -> Entry {
    let file = path.display().to_string();
    let text = match read(path) {
        Ok(text) => text,
        Err(error) => return Entry::unreadable(file, &format!("cannot be read: {error}")),
    };
    let mut entry = Entry::new(file);
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let loaded = match tools {
        None => load(&name, &entry.file, &text),
        Some(tools) => load_against(&name, &entry.file, &text, tools),
    };
    let mut add = |level, problems: Vec<_>| {
        let placed = problems
            .into_iter()
            .map(|problem| Finding::Placed(level, problem));
        entry.findings.extend(placed);
    };
    match loaded {
        Ok(loaded) => {
            add(Level::Warning, loaded.warnings);
            add(Level::Note, loaded.notes);
        }
        Err(problems) => add(Level::Error, problems),
    }
    entry.source = Some(text);
    entry
}

/// Reads at most one byte more than a document may have, so that a device file cannot fill the memory.
pub fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    let most = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX);
    File::open(path)?
        .take(most.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() > MAX_BYTES {
        let message = format!("it has more than {MAX_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
}

#[cfg(test)]
mod tests;
