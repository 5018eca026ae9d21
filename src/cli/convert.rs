//! `toolgate check --convert`: another proxy's policy → toolgate's.

use std::io::{self, Write};
use std::path::Path;

use super::check::{CLEAN, FAULTY, UNREADABLE, read};
use crate::convert::convert;
use crate::document::{Level, render};

/// Writes the new policy to `out`, and what is not the same as before to `err`; where it cannot be converted, what
/// is wrong goes to `err` and nothing to `out`. Returns the exit code.
///
/// # Errors
/// Where one of them cannot be written to.
pub fn run(path: &Path, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let file = path.display().to_string();
    let text = match read(path) {
        Ok(text) => text,
        Err(error) => {
            writeln!(err, "{file}: error: cannot be read: {error}")?;
            return Ok(UNREADABLE);
        }
    };
    let (problems, level, code) = match convert(&file, &text) {
        Ok(converted) => {
            out.write_all(converted.yaml.as_bytes())?;
            (converted.notes, Level::Note, CLEAN)
        }
        Err(problems) => (problems, Level::Error, FAULTY),
    };
    for problem in &problems {
        err.write_all(render(problem, level, Some(&text)).as_bytes())?;
    }
    Ok(code)
}
