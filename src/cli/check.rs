//! `toolgate check`: every problem of every policy, each with its place.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use crate::document::{Level, MAX_BYTES, render};
use crate::policy::load;

/// Everything is in order, or only warnings were found.
pub const CLEAN: u8 = 0;
/// A policy holds errors; with `strict`, warnings count as errors.
pub const FAULTY: u8 = 1;
/// A file could not be read.
pub const UNREADABLE: u8 = 2;

#[derive(Default)]
struct Tally {
    errors: usize,
    warnings: usize,
    unreadable: usize,
}

/// Checks the policies and writes what is wrong with them to `out`, then one line that counts it.
/// Returns the exit code: [`CLEAN`], [`FAULTY`] or [`UNREADABLE`], the highest that applies.
///
/// # Errors
/// Where `out` cannot be written to.
pub fn run(paths: &[PathBuf], strict: bool, out: &mut dyn Write) -> io::Result<u8> {
    let mut tally = Tally::default();
    for path in paths {
        check_file(path, &mut tally, out)?;
    }
    let policies = counted(paths.len(), "policy", "policies");
    let errors = counted(tally.errors, "error", "errors");
    let warnings = counted(tally.warnings, "warning", "warnings");
    write!(out, "checked {policies}: {errors}, {warnings}")?;
    match tally.unreadable {
        0 => writeln!(out)?,
        count => writeln!(out, ", {count} unreadable")?,
    }
    Ok(match tally {
        Tally { unreadable: 1.., .. } => UNREADABLE,
        Tally { errors: 1.., .. } => FAULTY,
        Tally { warnings: 1.., .. } if strict => FAULTY,
        _ => CLEAN,
    })
}

fn check_file(path: &Path, tally: &mut Tally, out: &mut dyn Write) -> io::Result<()> {
    let file = path.display().to_string();
    let text = match read(path) {
        Ok(text) => text,
        Err(error) => {
            tally.unreadable += 1;
            return writeln!(out, "{file}: error: cannot be read: {error}");
        }
    };
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let (problems, level) = match load(&name, &file, &text) {
        Ok(loaded) => (loaded.warnings, Level::Warning),
        Err(problems) => (problems, Level::Error),
    };
    match level {
        Level::Error => tally.errors += problems.len(),
        Level::Warning => tally.warnings += problems.len(),
    }
    for problem in &problems {
        out.write_all(render(problem, level, Some(&text)).as_bytes())?;
    }
    if problems.is_empty() {
        writeln!(out, "{file}: ok")?;
    }
    Ok(())
}

/// Reads at most one byte more than a document may have, so that a device file cannot fill the memory.
pub(super) fn read(path: &Path) -> io::Result<String> {
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

fn counted(count: usize, one: &str, many: &str) -> String {
    let word = if count == 1 { one } else { many };
    format!("{count} {word}")
}

#[cfg(test)]
mod tests;
