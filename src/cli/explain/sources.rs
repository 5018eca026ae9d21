//! The policies with the files that they stand in.

use std::path::Path;
use std::sync::Arc;

use super::caller::Unfit;
use crate::cli::check::{self, UNREADABLE};
use crate::document::{Level, Node, Place, parse, render};
use crate::policy::{Policy, load, place_of};

/// Policies and their texts, in one order.
#[derive(Default)]
pub(super) struct Sources {
    pub(super) policies: Vec<Arc<Policy>>,
    files: Vec<Source>,
}

/// One file.
pub(super) struct Source {
    pub(super) name: String,
    pub(super) file: String,
    text: String,
    root: Node,
}

impl Source {
    pub(super) fn place(&self, pointer: &str) -> Place {
        place_of(&self.root, pointer)
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

impl Sources {
    /// Reads policies under the names that they go by. Every problem in every file is told at once.
    pub(super) fn read<'p>(named: impl Iterator<Item = (String, &'p Path)>) -> Result<Self, Unfit> {
        let mut sources = Self::default();
        let mut unfit = Unfit::default();
        for (name, path) in named {
            let file = path.display().to_string();
            let text = match check::read(path) {
                Ok(text) => text,
                Err(error) => {
                    unfit.add(&format!("{file}: error: cannot be read: {error}\n"), UNREADABLE);
                    continue;
                }
            };
            match (load(&name, &file, &text), parse(&file, &text)) {
                (Ok(loaded), Ok(document)) => {
                    sources.policies.push(Arc::new(loaded.policy));
                    sources.files.push(Source {
                        name,
                        file,
                        text,
                        root: document.root,
                    });
                }
                (Err(problems), _) => {
                    for problem in &problems {
                        unfit.add(&render(problem, Level::Error, Some(&text)), super::FAULTY);
                    }
                }
                // What loads has been parsed.
                (Ok(_), Err(problem)) => {
                    unfit.add(&render(&problem, Level::Error, Some(&text)), super::FAULTY);
                }
            }
        }
        if unfit.report.is_empty() {
            Ok(sources)
        } else {
            Err(unfit)
        }
    }

    pub(super) fn get(&self, policy: usize) -> Option<&Source> {
        self.files.get(policy)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Source, &Arc<Policy>)> {
        self.files.iter().zip(&self.policies)
    }

    pub(super) fn text_of(&self, file: &str) -> Option<&str> {
        let found = self.files.iter().find(|source| source.file == file);
        found.map(|source| source.text.as_str())
    }

    /// The file and pointer of a rule as denials and charges name it: with `policy#` in front where there are
    /// several policies.
    pub(super) fn find<'r>(&self, rule: &'r str) -> Option<(&Source, &'r str)> {
        if let [only] = self.files.as_slice() {
            return rule.starts_with('/').then_some((only, rule));
        }
        let named = |source: &Source| {
            let pointer = rule.strip_prefix(&source.name)?.strip_prefix('#')?;
            pointer.starts_with('/').then_some(pointer)
        };
        let mut found = self
            .files
            .iter()
            .filter_map(|source| Some((source, named(source)?)));
        found.next()
    }
}
