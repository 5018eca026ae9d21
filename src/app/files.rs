//! The files that the settings name, read as a whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::anyhow;

use super::pins;
use crate::console::{Approvers, ApproversError, ApproversFile};
use crate::document::{self, Level};
use crate::grants::{Grants, GrantsFile, Named};
use crate::policy::{self, Pins, Policy};
use crate::settings::Files;

/// The policies, grants and warnings that the settings' files hold.
pub struct Loaded {
    pub policies: BTreeMap<String, Arc<Policy>>,
    pub grants: Grants,
    /// Who may decide what waits for a person.
    pub approvers: Approvers,
    /// The accepted tools, by server.
    pub pins: BTreeMap<String, Pins>,
    /// Problems that do not stop the gate, rendered.
    pub warnings: Vec<String>,
}

/// What does not stop the gate, rendered.
fn noteworthy(name: &str, shown: &str, text: &str, loaded: &policy::Loaded) -> Vec<String> {
    let warnings = loaded.warnings.iter();
    let mut warnings: Vec<_> = warnings
        .map(|problem| document::render(problem, Level::Warning, Some(text)))
        .collect();
    if loaded.policy.is_shadow() {
        warnings.push(format!(
            "{shown}: the policy `{name}` is in shadow: it blocks nothing"
        ));
    }
    warnings
}

/// What stops the gate about one of the files.
#[derive(Debug)]
pub struct FileProblem {
    /// The file in which it is mended.
    pub file: PathBuf,
    /// Rendered: file, place and remedy, on one line or more.
    pub text: String,
}

/// All of them as one error.
pub(super) fn told(problems: Vec<FileProblem>) -> anyhow::Error {
    let texts: Vec<_> = problems.into_iter().map(|problem| problem.text).collect();
    anyhow!(texts.join("\n"))
}

/// Reads policies, grants, approvers and pins.
///
/// # Errors
/// Every problem at once.
pub fn load_files<'s>(files: &Files, servers: impl Iterator<Item = &'s str>) -> anyhow::Result<Loaded> {
    read(files, &servers.collect::<Vec<_>>()).map_err(told)
}

/// Every problem for which [`load_files`] fails. Grants are read only where the policies that they carry can be.
pub fn file_problems<'s>(files: &Files, servers: impl Iterator<Item = &'s str>) -> Vec<FileProblem> {
    let read = read(files, &servers.collect::<Vec<_>>());
    read.err().unwrap_or_default()
}

fn read(files: &Files, servers: &[&str]) -> Result<Loaded, Vec<FileProblem>> {
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    let policies = read_policies(files, &mut problems, &mut warnings);
    let pins = pins::read_all(files, &mut problems);
    let mut note = |file: &Path, error: anyhow::Error| {
        problems.push(FileProblem {
            file: file.to_owned(),
            text: format!("{error:#}"),
        });
    };
    let named = Named {
        servers: servers.to_vec(),
        policies: &policies,
        issuers: files.issuers.iter().map(String::as_str).collect(),
        anonymous: &files.anonymous,
    };
    let whole = policies.len() == files.policies.len();
    let grants = files.grants.as_ref().filter(|_| whole).map(|path| {
        let grants = read_grants(path, &named);
        grants.map_err(|error| note(path, error)).unwrap_or_default()
    });
    let grants = grants.unwrap_or_default();
    let approvers = files.approvers.as_ref().map(|path| {
        let approvers = read_approvers(path, servers, &grants);
        approvers
            .map_err(|error| note(path, error.into()))
            .unwrap_or_default()
    });
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Loaded {
        approvers: approvers.unwrap_or_default(),
        policies,
        grants,
        pins,
        warnings,
    })
}

fn read_policies(
    files: &Files,
    problems: &mut Vec<FileProblem>,
    warnings: &mut Vec<String>,
) -> BTreeMap<String, Arc<Policy>> {
    let mut policies = BTreeMap::new();
    let mut note = |file: &Path, text: String| {
        let file = file.to_owned();
        problems.push(FileProblem { file, text });
    };
    for (name, path) in &files.policies {
        let shown = path.display().to_string();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                let settings = files.settings.display();
                let text = format!("{shown}: cannot read the policy `{name}` that {settings} names: {error}");
                note(path, text);
                continue;
            }
        };
        match policy::load(name, &shown, &text) {
            Ok(loaded) => {
                warnings.extend(noteworthy(name, &shown, &text, &loaded));
                if loaded.policy.may_ask() && !files.can_ask {
                    let settings = files.settings.display();
                    let text = format!(
                        "{shown}: the policy `{name}` has people approve calls, and in a shared store their requests need a key: set `approvals: {{ key: {{ env: NAME }} }}` in {settings}, the same for all replicas"
                    );
                    note(&files.settings, text);
                }
                policies.insert(name.clone(), Arc::new(loaded.policy));
            }
            Err(found) => found
                .iter()
                .for_each(|problem| note(path, document::render(problem, Level::Error, Some(&text)))),
        }
    }
    policies
}

fn read_grants(path: &Path, named: &Named<'_>) -> anyhow::Result<Grants> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        anyhow!(
            "{}: cannot read the grants: {error}; make the file with `toolgate grant new`",
            path.display()
        )
    })?;
    Ok(GrantsFile::parse(path, &text)?.resolve(path, named)?)
}

fn read_approvers(path: &Path, servers: &[&str], grants: &Grants) -> Result<Approvers, ApproversError> {
    let text = std::fs::read_to_string(path).map_err(|source| ApproversError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    ApproversFile::parse(path, &text)?.resolve(path, servers, grants)
}
