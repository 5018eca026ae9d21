//! Shapes: the types in which [`super::language`] writes the language down. The check of a file
//! ([`super::conform`]) and the JSON Schema ([`super::schema`]) are both made from them.

use crate::document::{Place, Problem, Value};

/// An object with known keys.
#[derive(Debug)]
pub(super) struct Record {
    /// What messages call it, with its article.
    pub(super) what: &'static str,
    /// Its name in the schema's `$defs`.
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) keys: &'static [Key],
}

/// One key of the language.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) need: Need,
    pub(super) shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Must be there; the text is what to write.
    Required(&'static str),
    Optional,
}

/// What may stand as a value.
#[derive(Debug)]
pub(super) enum Shape {
    /// Anything at all.
    Anything,
    /// Any text, not blank.
    Text,
    /// True or false.
    Flag,
    /// A whole number between these two, both included.
    Whole(u64, u64),
    /// One of these words.
    Words(&'static [Word]),
    /// A scalar with a syntax of its own.
    Form(&'static Form),
    Record(&'static Record),
    /// The record, or the scalar that stands for it.
    Short(&'static Record, &'static Form),
    List(&'static Shape),
    /// A shape that is written down elsewhere.
    Same(&'static Shape),
    /// Names of the author's own → values.
    Named(&'static Record),
    /// Names of the author's own → one of these words.
    NamedWords(&'static [Word]),
}

#[derive(Debug)]
pub(super) struct Word {
    pub(super) text: &'static str,
    pub(super) about: &'static str,
}

/// A scalar's syntax, in three tellings that tests hold together.
#[derive(Debug)]
pub(super) struct Form {
    /// Follows `must be`.
    pub(super) expected: &'static str,
    pub(super) help: Option<&'static str>,
    pub(super) accepts: fn(&Value) -> bool,
    pub(super) schema: fn() -> serde_json::Value,
}

/// Collects the problems of one file.
#[derive(Debug)]
pub(super) struct Report<'f> {
    pub(super) file: &'f str,
    pub(super) problems: Vec<Problem>,
}

impl Report<'_> {
    pub(super) fn add(&mut self, place: Place, message: impl Into<String>) {
        self.problems.push(Problem::new(self.file, place, message));
    }

    pub(super) fn add_with_help(
        &mut self,
        place: Place,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.problems
            .push(Problem::new(self.file, place, message).with_help(help));
    }
}
