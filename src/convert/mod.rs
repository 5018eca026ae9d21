//! Policies of PolicyLayer's open-source proxy, written anew as toolgate's. Pure.
//!
//! What has no equal is turned to the strict side and said so, never dropped. The result is loaded before it is
//! handed out: where it holds an error, that error is told at the line that it comes from.

mod counters;
mod read;
mod turn;
mod write;

use crate::document::{self, Place, Problem};
use crate::policy;

/// A policy that was written anew.
#[derive(Debug)]
pub struct Converted {
    /// A toolgate policy that loads without errors.
    pub yaml: String,
    /// What is not the same as before, at its place in the old file.
    pub notes: Vec<Problem>,
}

/// Converts the text of `file`.
///
/// # Errors
/// Everything in it that cannot be read, or that toolgate has no way to say, each with its place.
pub fn convert(file: &str, text: &str) -> Result<Converted, Vec<Problem>> {
    let document = document::parse(file, text).map_err(|problem| vec![problem])?;
    let mut faults = Faults {
        file,
        problems: document.duplicates,
    };
    let old = read::read(&document.root, &mut faults);
    let new = turn::turn(&old, &mut faults);
    if !faults.problems.is_empty() {
        return Err(sorted(faults.problems));
    }
    let written = write::write(file, &new);
    if let Err(problems) = policy::load("converted", "converted.yaml", &written.text) {
        let back = |problem: Problem| {
            let message = format!("cannot be said in a toolgate policy: {}", problem.message);
            let placed = Problem::new(file, written.origin(problem.line), message);
            match problem.help {
                Some(help) => placed.with_help(help),
                None => placed,
            }
        };
        return Err(sorted(problems.into_iter().map(back).collect()));
    }
    let notes = new
        .notes
        .iter()
        .map(|(place, note)| Problem::new(file, *place, note.as_str()));
    Ok(Converted {
        notes: sorted(notes.collect()),
        yaml: written.text,
    })
}

/// Collects what is wrong with the old file.
struct Faults<'f> {
    file: &'f str,
    problems: Vec<Problem>,
}

impl Faults<'_> {
    fn add(&mut self, place: Place, message: impl Into<String>) {
        self.problems.push(Problem::new(self.file, place, message));
    }
}

fn sorted(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(Problem::place);
    problems
}

#[cfg(test)]
mod tests;
