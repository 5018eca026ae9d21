//! A YAML or JSON document as a tree whose every node knows its place, and problems with places. Pure.
//!
//! JSON is read by JSON's own rules (RFC 8259) and YAML by those of YAML 1.2 (core schema): neither
//! is passed off as the other, since they differ in escapes, tabs and the meaning of plain words.
//! Both end in the same tree. Where YAML would leave room for doubt (`012`, `.inf`, a key that is a
//! number), the text is refused with a remedy. Anchors, aliases and tags are refused too: nothing in
//! a document can stand for more than its own text.

mod escaped;
mod json;
mod place;
mod problem;
mod tree;
mod yaml;

pub use escaped::{escaped, escaped_json};
pub use place::Place;
pub use problem::{Level, Problem, excerpt, is_invisible, quoted, render, shown};
pub use tree::{Entry, Key, Node, Value};

/// The longest text that is read, in bytes.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;

/// How deep lists and objects may stand in each other.
pub const MAX_DEPTH: usize = 64;

/// How a text is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Yaml,
}

impl Format {
    /// From the file's ending: `.json`, `.yaml` or `.yml`. Any other file is JSON where its first
    /// character is `{`, and YAML otherwise.
    pub fn of(file: &str, text: &str) -> Self {
        let ending = file
            .rsplit_once('.')
            .map(|(_, ending)| ending.to_ascii_lowercase());
        match ending.as_deref() {
            Some("json") => Self::Json,
            Some("yaml" | "yml") => Self::Yaml,
            _ if text.trim_start().starts_with('{') => Self::Json,
            _ => Self::Yaml,
        }
    }
}

/// A document that could be read.
#[derive(Debug)]
pub struct Document {
    pub root: Node,
    /// Keys that stand twice in one object, each with its place. The tree holds all of them.
    pub duplicates: Vec<Problem>,
}

/// Reads `text`. `file` is the name that problems carry; its ending tells the format ([`Format::of`]).
///
/// # Errors
/// Where the text is not JSON or YAML, is longer than [`MAX_BYTES`] or deeper than [`MAX_DEPTH`]: the
/// one problem after which nothing more can be said.
pub fn parse(file: &str, text: &str) -> Result<Document, Problem> {
    if text.len() > MAX_BYTES {
        let message = format!(
            "the file has {} bytes, the most that is read is {MAX_BYTES}",
            text.len()
        );
        return Err(Problem::new(file, Place::START, message));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let read = match Format::of(file, text) {
        Format::Json => json::read(text),
        Format::Yaml => yaml::read(text),
    };
    let root = read.map_err(|fault| fault.in_file(file))?;
    let mut duplicates = Vec::new();
    find_duplicates(file, &root, &mut duplicates);
    Ok(Document { root, duplicates })
}

/// Why a text cannot be read, and where.
#[derive(Debug)]
struct Fault {
    place: Place,
    message: String,
    help: Option<String>,
}

impl Fault {
    fn new(place: Place, message: impl Into<String>) -> Self {
        Self {
            place,
            message: message.into(),
            help: None,
        }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn too_deep(place: Place) -> Self {
        Self::new(
            place,
            format!("lists and objects stand more than {MAX_DEPTH} deep in each other"),
        )
    }

    fn in_file(self, file: &str) -> Problem {
        let problem = Problem::new(file, self.place, self.message);
        match self.help {
            Some(help) => problem.with_help(help),
            None => problem,
        }
    }
}

fn find_duplicates(file: &str, node: &Node, problems: &mut Vec<Problem>) {
    match &node.value {
        Value::List(items) => items
            .iter()
            .for_each(|item| find_duplicates(file, item, problems)),
        Value::Object(entries) => {
            let mut seen = std::collections::HashMap::new();
            for Entry { key, value } in entries {
                match seen.get(key.text.as_str()) {
                    None => {
                        seen.insert(key.text.as_str(), key.place.line);
                    }
                    Some(line) => {
                        let name = quoted(&key.text);
                        let message = format!("the key {name} was written on line {line} already");
                        problems.push(
                            Problem::new(file, key.place, message)
                                .with_help("keep one of them: which one counts would be a guess"),
                        );
                    }
                }
                find_duplicates(file, value, problems);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
