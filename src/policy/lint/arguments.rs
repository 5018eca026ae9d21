//! Lints of an arguments schema.

use super::super::compile::arguments::inner;
use super::super::shape::Report;
use crate::document::{Entry, Node};

/// Keywords that say nothing about values of another type than theirs.
const TYPED: [(&str, &str); 20] = [
    ("additionalProperties", "object"),
    ("contains", "array"),
    ("exclusiveMaximum", "number"),
    ("exclusiveMinimum", "number"),
    ("format", "string"),
    ("items", "array"),
    ("maxItems", "array"),
    ("maxLength", "string"),
    ("maxProperties", "object"),
    ("maximum", "number"),
    ("minItems", "array"),
    ("minLength", "string"),
    ("minProperties", "object"),
    ("minimum", "number"),
    ("multipleOf", "number"),
    ("pattern", "string"),
    ("prefixItems", "array"),
    ("properties", "object"),
    ("required", "object"),
    ("uniqueItems", "array"),
];

/// `{"maximum": 100}` lets `"200"` pass. The schema itself needs no `type`: arguments are an object.
pub(super) fn lint_schema(schema: &Node, report: &mut Report<'_>) {
    for (_, _, part) in inner(schema) {
        lint_part(part, report);
    }
}

fn lint_part(schema: &Node, report: &mut Report<'_>) {
    let says_type = ["type", "const", "enum", "$ref"]
        .iter()
        .any(|key| schema.get(key).is_some());
    let typed = |entry: &&Entry| TYPED.iter().any(|(name, _)| *name == entry.key.text);
    if let (Some(entry), false) = (schema.entries().iter().find(typed), says_type) {
        let name = entry.key.text.as_str();
        let of = TYPED
            .iter()
            .find(|(known, _)| *known == name)
            .map_or("", |(_, of)| *of);
        let message = format!("`{name}` without `type` lets every value that is not of type {of} pass");
        report.add_with_help(entry.key.place, message, format!("add `\"type\": \"{of}\"`"));
    }
    for (_, _, part) in inner(schema) {
        lint_part(part, report);
    }
}
