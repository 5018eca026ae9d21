//! Shapes: the types in which [`super::language`] writes the language down, and the check of a
//! document against them. The JSON Schema is made from the same table.

use crate::document::{Entry, Key as Written, Node, Place, Problem, Value, quoted, shown};

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
    /// Part of the language, but not of this version: refused, never skipped.
    Later,
}

/// What may stand as a value.
#[derive(Debug)]
pub(super) enum Shape {
    /// Anything at all.
    Anything,
    /// Any text, not blank.
    Text,
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
    /// Names of the author's own → values.
    Named(&'static Record),
}

#[derive(Debug)]
pub(super) struct Word {
    pub(super) text: &'static str,
    pub(super) about: &'static str,
    pub(super) later: bool,
}

/// A scalar's syntax, in three tellings that tests hold together.
#[derive(Debug)]
pub(super) struct Form {
    /// Follows `must be`.
    pub(super) expected: &'static str,
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

/// Reports everything in `node` that does not fit `record`.
pub(super) fn check_record(record: &'static Record, node: &Node, known: &[&Record], report: &mut Report<'_>) {
    let Value::Object(entries) = &node.value else {
        let message = format!("{} must be an object, not {}", record.what, found(&node.value));
        let all_optional = !record
            .keys
            .iter()
            .any(|key| matches!(key.need, Need::Required(_)));
        return match &node.value {
            Value::Null if all_optional => report.add_with_help(node.place, message, "write `{}`"),
            _ => report.add(node.place, message),
        };
    };
    for Entry { key, value } in entries {
        match record.keys.iter().find(|known| known.name == key.text) {
            None => unknown_key(record, key, known, report),
            Some(Key {
                need: Need::Later, ..
            }) => not_supported(&quoted(&key.text), key.place, report),
            Some(known_key) => check(&known_key.shape, known_key.name, value, known, report),
        }
    }
    for key in record.keys {
        if let Need::Required(example) = key.need
            && node.get(key.name).is_none()
        {
            let message = format!("{} needs the key `{}`", record.what, key.name);
            report.add_with_help(node.place, message, format!("write `{example}`"));
        }
    }
}

fn check(shape: &'static Shape, key: &str, node: &Node, known: &[&Record], report: &mut Report<'_>) {
    match (shape, &node.value) {
        (Shape::Anything, _) => {}
        (Shape::Text, Value::Text(text)) if !text.trim().is_empty() => {}
        (Shape::Text, _) => mismatch(key, "text that is not blank", node, report),
        (Shape::Whole(min, max), value) => {
            let fits = node.whole().is_some_and(|number| (*min..=*max).contains(&number));
            if !fits || matches!(value, Value::Number(text) if text.starts_with('-')) {
                mismatch(key, &format!("a whole number from {min} to {max}"), node, report);
            }
        }
        (Shape::Words(words), _) => check_word(words, key, node, report),
        (Shape::Form(form) | Shape::Short(_, form), value) if !matches!(value, Value::Object(_)) => {
            if !(form.accepts)(value) {
                mismatch(key, form.expected, node, report);
            }
        }
        (Shape::Form(form), _) => mismatch(key, form.expected, node, report),
        (Shape::Record(record) | Shape::Short(record, _), _) => check_record(record, node, known, report),
        (Shape::List(element), Value::List(items)) => {
            items
                .iter()
                .for_each(|item| check(element, key, item, known, report));
        }
        (Shape::List(_), _) => mismatch(key, "a list", node, report),
        (Shape::Named(record), Value::Object(entries)) => {
            entries
                .iter()
                .for_each(|entry| check_record(record, &entry.value, known, report));
        }
        (Shape::Named(_), _) => mismatch(key, "an object", node, report),
    }
}

fn check_word(words: &'static [Word], key: &str, node: &Node, report: &mut Report<'_>) {
    let text = match &node.value {
        Value::Text(text) => text,
        Value::Number(text) if words.iter().any(|word| word.text == text) => {
            let message = format!("`{key}` must be text, not {}", found(&node.value));
            return report.add_with_help(node.place, message, format!("put it in quotes: `\"{text}\"`"));
        }
        _ => return mismatch(key, &list_words(words), node, report),
    };
    // A word that ends with a colon stands for all that begin with it.
    let is = |word: &Word| word.text == text || (word.text.ends_with(':') && text.starts_with(word.text));
    match words.iter().find(|word| is(word)) {
        Some(word) if word.later => {
            not_supported(&format!("`\"{key}\": \"{}\"`", shown(text)), node.place, report);
        }
        Some(_) => {}
        None => {
            let message = format!(
                "`{key}` must be {}, not {}",
                list_words(words),
                found(&node.value)
            );
            match nearest(text, supported(words)) {
                Some(near) => report.add_with_help(node.place, message, format!("did you mean `{near}`?")),
                None => report.add(node.place, message),
            }
        }
    }
}

fn supported(words: &'static [Word]) -> impl Iterator<Item = &'static str> {
    words.iter().filter(|word| !word.later).map(|word| word.text)
}

fn list_words(words: &'static [Word]) -> String {
    list(
        supported(words).map(|word| format!("`\"{word}\"`")).collect(),
        "or",
    )
}

fn mismatch(key: &str, expected: &str, node: &Node, report: &mut Report<'_>) {
    report.add(
        node.place,
        format!("`{key}` must be {expected}, not {}", found(&node.value)),
    );
}

fn not_supported(what: &str, place: Place, report: &mut Report<'_>) {
    let help = "take it out: toolgate refuses a policy that it would enforce only in part";
    report.add_with_help(place, format!("{what} is not supported yet"), help);
}

fn unknown_key(record: &'static Record, key: &Written, known: &[&Record], report: &mut Report<'_>) {
    let message = format!("unknown key {} in {}", quoted(&key.text), record.what);
    let names = || {
        record
            .keys
            .iter()
            .filter(|key| key.need != Need::Later)
            .map(|key| key.name)
    };
    let home = known
        .iter()
        .find(|record| record.keys.iter().any(|known| known.name == key.text));
    let help = match (nearest(&key.text, names()), home) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, Some(home)) => format!("`{}` belongs in {}", key.text, home.what),
        (None, None) => {
            format!(
                "{} knows {}",
                record.what,
                list(names().map(|name| format!("`{name}`")).collect(), "and")
            )
        }
    };
    report.add_with_help(key.place, message, help);
}

/// The known word that `written` was probably meant to be: at most one slip in three characters.
pub(super) fn nearest<'k>(written: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    // Distances of long texts are dear, and no word is that long.
    if written.len() > 64 {
        return None;
    }
    let folded = written.to_lowercase();
    known
        .map(|word| (strsim::damerau_levenshtein(&folded, word), word))
        .filter(|(distance, word)| *distance <= (word.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

fn list(mut words: Vec<String>, joint: &str) -> String {
    match words.pop() {
        None => "nothing".to_owned(),
        Some(last) if words.is_empty() => last,
        Some(last) => format!("{} {joint} {last}", words.join(", ")),
    }
}

/// What stands there, for messages.
fn found(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => format!("`{value}`"),
        Value::Number(text) => quoted(text),
        Value::Text(text) => format!("`\"{}\"`", shown(text)),
        Value::List(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}
