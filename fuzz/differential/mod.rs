//! Bodies that toolgate would forward, as Python, Node and serde_json read them: method, name and arguments must be
//! what was judged.
//!
//! Bodies come from a generator with a fixed seed. Each is judged here; those that would be forwarded go in batches to
//! two processes that read them and say what they saw. Objects are compared without order, strings by code units,
//! numbers as IEEE doubles, because that is what Node keeps of a number.

mod bodies;
mod judged;
mod random;
mod reader;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bodies::Bodies;
pub use judged::Counts;
use judged::{Batch, Judge};
use reader::Reader;

/// Bodies for one round trip.
const BATCH: usize = 1_000;

/// When to end.
#[derive(Clone, Copy, Debug)]
pub enum Budget {
    Inputs(u64),
    Time(Duration),
}

/// What was run.
#[derive(Debug)]
pub struct Report {
    pub counts: Counts,
    pub elapsed: Duration,
}

/// The commands that read: Python with `pydantic_core`, and Node. `folder` is that of the scripts.
pub fn readers(folder: &Path, python: &Path, node: &Path) -> Vec<(&'static str, Command)> {
    let command = |program: &Path, script: &str| {
        let mut command = Command::new(program);
        command.arg(folder.join(script));
        command
    };
    vec![
        ("python", command(python, "read.py")),
        ("node", command(node, "read.mjs")),
    ]
}

/// Runs until the budget is used up.
///
/// # Errors
/// The first body that a reader reads otherwise than it was judged, with both readings; or a reader that died or hung.
pub fn run(
    budget: Budget,
    seed: u64,
    corpus: Vec<Vec<u8>>,
    readers: Vec<(&'static str, Command)>,
) -> Result<Report, String> {
    let start = Instant::now();
    let readers: Vec<Reader> = readers
        .into_iter()
        .map(|(name, command)| Reader::start(name, command))
        .collect::<Result<_, _>>()?;
    let mut bodies = Bodies::new(seed, corpus);
    let mut judge = Judge::new();
    let mut batch = Batch::default();
    let give = |batch: &mut Batch| {
        let full = Arc::new(std::mem::take(batch));
        readers.iter().all(|reader| reader.give(&full))
    };
    let mut going = true;
    while going
        && match budget {
            Budget::Inputs(inputs) => judge.counts.inputs < inputs,
            Budget::Time(time) => start.elapsed() < time,
        }
    {
        judge.judge(bodies.body(), &mut batch)?;
        going = batch.len() < BATCH || give(&mut batch);
    }
    give(&mut batch);
    let read: Vec<u64> = readers
        .into_iter()
        .map(Reader::finish)
        .collect::<Result<_, _>>()?;
    if read.iter().any(|read| *read != judge.counts.forwarded) {
        return Err(format!("{read:?} of {} bodies were read", judge.counts.forwarded));
    }
    Ok(Report {
        counts: judge.counts,
        elapsed: start.elapsed(),
    })
}
