//! The files that the settings name, read as a whole.

use std::collections::BTreeMap;
use std::path::Path;
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

/// Reads policies, grants, approvers and pins. Every problem in every policy is told at once.
pub fn load_files<'s>(files: &Files, servers: impl Iterator<Item = &'s str>) -> anyhow::Result<Loaded> {
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    let policies = read_policies(files, &mut problems, &mut warnings);
    let pins = pins::read_all(files, &mut problems);
    if !problems.is_empty() {
        return Err(anyhow!(problems.join("\n")));
    }
    let servers: Vec<&str> = servers.collect();
    let grants = match &files.grants {
        None => Grants::default(),
        Some(path) => {
            let named = Named {
                servers: servers.clone(),
                policies: &policies,
                issuers: files.issuers.iter().map(String::as_str).collect(),
                anonymous: &files.anonymous,
            };
            read_grants(path, &named)?
        }
    };
    let approvers = match &files.approvers {
        None => Approvers::default(),
        Some(path) => read_approvers(path, &servers, &grants)?,
    };
    Ok(Loaded {
        policies,
        grants,
        approvers,
        pins,
        warnings,
    })
}

fn read_policies(
    files: &Files,
    problems: &mut Vec<String>,
    warnings: &mut Vec<String>,
) -> BTreeMap<String, Arc<Policy>> {
    let mut policies = BTreeMap::new();
    for (name, path) in &files.policies {
        let shown = path.display().to_string();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                let settings = files.settings.display();
                problems.push(format!(
                    "{shown}: cannot read the policy `{name}` that {settings} names: {error}"
                ));
                continue;
            }
        };
        match policy::load(name, &shown, &text) {
            Ok(loaded) => {
                warnings.extend(noteworthy(name, &shown, &text, &loaded));
                if loaded.policy.may_ask() && !files.can_ask {
                    let settings = files.settings.display();
                    problems.push(format!(
                        "{shown}: the policy `{name}` has people approve calls, and in a shared store their requests need a key: set `approvals: {{ key: {{ env: NAME }} }}` in {settings}, the same for all replicas"
                    ));
                }
                policies.insert(name.clone(), Arc::new(loaded.policy));
            }
            Err(found) => problems.extend(
                found
                    .iter()
                    .map(|problem| document::render(problem, Level::Error, Some(&text))),
            ),
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
