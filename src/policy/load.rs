//! Text → policy: read, check the shapes, compile, lint.

use sha2::{Digest as _, Sha256};

use super::against::against;
use super::compile::{Identity, compile};
use super::compiled::Policy;
use super::conform::check_record;
use super::language::POLICY;
use super::lint::lint;
use super::shape::Report;
use super::written;
use crate::document::{self, Problem};
use crate::mcp::tools::Tool;

/// A policy that may be used, and what its author should look at.
#[derive(Debug)]
pub struct Loaded {
    pub policy: Policy,
    /// Lints, in the order of their places.
    pub warnings: Vec<Problem>,
    /// What is worth knowing about the server's tools ([`load_against`]).
    pub notes: Vec<Problem>,
}

/// Reads a policy. `name` is the one that the settings give it, `file` the one that problems show;
/// its ending tells JSON from YAML ([`document::Format::of`]).
///
/// # Errors
/// Every problem in the file at once, in the order of their places. Where the text is not JSON or
/// YAML at all, that one problem.
pub fn load(name: &str, file: &str, text: &str) -> Result<Loaded, Vec<Problem>> {
    read(name, file, text, None)
}

/// The same, and compares the policy with the tools of the server that it is for: names that the server
/// does not have, tools that no rule names, arguments that a tool does not take.
///
/// # Errors
/// As [`load`].
pub fn load_against(name: &str, file: &str, text: &str, tools: &[Tool]) -> Result<Loaded, Vec<Problem>> {
    read(name, file, text, Some(tools))
}

fn read(name: &str, file: &str, text: &str, tools: Option<&[Tool]>) -> Result<Loaded, Vec<Problem>> {
    let read = document::parse(file, text).map_err(|problem| vec![problem])?;
    let mut report = Report {
        file,
        problems: read.duplicates,
    };
    check_record(&POLICY, &read.root, &mut report);
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(text.as_bytes()));
    let written = written::read(&read.root);
    let policy = compile(
        &written,
        Identity {
            name,
            file,
            digest: &digest,
        },
        &mut report,
    );
    if !report.problems.is_empty() {
        return Err(sorted(report.problems));
    }
    lint(&written, &policy, &mut report);
    let mut notes = Report {
        file,
        problems: Vec::new(),
    };
    if let Some(tools) = tools {
        against(&written, &policy, tools, &mut report, &mut notes);
    }
    Ok(Loaded {
        policy,
        warnings: sorted(report.problems),
        notes: sorted(notes.problems),
    })
}

fn sorted(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(Problem::place);
    problems
}
