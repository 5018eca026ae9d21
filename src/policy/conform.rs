//! The check of a document against the tables of the language: unknown keys, values of
//! the wrong type. Goes on after each problem.

use super::language::RECORDS;
use super::shape::{Form, Need, Record, Report, Shape, Word};
use super::suggest::{list, nearest, resembling};
use crate::document::{Entry, Key as Written, Node, Value, quoted, shown};

/// Reports everything in `node` that does not fit `record`.
pub(super) fn check_record(record: &'static Record, node: &Node, report: &mut Report<'_>) {
    let Value::Object(entries) = &node.value else {
        let message = format!("{} must be an object, not {}", record.what, found(&node.value));
        return match &node.value {
            Value::Null if required(record).next().is_none() => {
                report.add_with_help(node.place, message, "write `{}`");
            }
            _ => report.add(node.place, message),
        };
    };
    let mut misspelt = Vec::new();
    for Entry { key, value } in entries {
        match record.keys.iter().find(|known| known.name == key.text) {
            None => misspelt.extend(unknown_key(record, key, report)),
            Some(known) => check(&known.shape, known.name, value, report),
        }
    }
    for (name, example) in required(record) {
        if node.get(name).is_none() && !misspelt.contains(&name) {
            let message = format!("{} needs the key `{name}`", record.what);
            report.add_with_help(node.place, message, format!("write `{example}`"));
        }
    }
}

fn required(record: &'static Record) -> impl Iterator<Item = (&'static str, &'static str)> {
    record.keys.iter().filter_map(|key| match key.need {
        Need::Required(example) => Some((key.name, example)),
        Need::Optional => None,
    })
}

fn check(shape: &'static Shape, key: &str, node: &Node, report: &mut Report<'_>) {
    match (shape, &node.value) {
        (Shape::Anything, _) => {}
        (Shape::Same(other), _) => check(other, key, node, report),
        (Shape::Text, Value::Text(text)) if !text.trim().is_empty() => {}
        (Shape::Text, _) => mismatch(key, "text that is not blank", node, report),
        (Shape::Flag, Value::Bool(_)) => {}
        (Shape::Flag, _) => mismatch(key, "true or false", node, report),
        (Shape::Whole(min, max), _) => check_whole(*min, *max, key, node, report),
        (Shape::Words(words), _) => check_word(words, key, node, report),
        (Shape::Short(record, _), Value::Object(_)) => check_record(record, node, report),
        (Shape::Form(form) | Shape::Short(_, form), _) => check_form(form, key, node, report),
        (Shape::Record(record), _) => check_record(record, node, report),
        (Shape::List(element), Value::List(items)) => {
            items.iter().for_each(|item| check(element, key, item, report));
        }
        (Shape::List(_), _) => mismatch(key, "a list", node, report),
        (Shape::Named(record), Value::Object(entries)) => {
            entries
                .iter()
                .for_each(|entry| check_record(record, &entry.value, report));
        }
        (Shape::NamedWords(words), Value::Object(entries)) => {
            entries
                .iter()
                .for_each(|entry| check_word(words, &entry.key.text, &entry.value, report));
        }
        (Shape::Named(_) | Shape::NamedWords(_), _) => mismatch(key, "an object", node, report),
    }
}

fn check_whole(min: u64, max: u64, key: &str, node: &Node, report: &mut Report<'_>) {
    if node.whole().is_some_and(|number| (min..=max).contains(&number)) {
        return;
    }
    let expected = format!("a whole number in plain digits, from {min} to {max}");
    match &node.value {
        Value::Text(text) if text.parse().is_ok_and(|number| (min..=max).contains(&number)) => {
            let message = must_be(key, &expected, node);
            report.add_with_help(
                node.place,
                message,
                format!("write it without quotes: `{}`", shown(text)),
            );
        }
        _ => mismatch(key, &expected, node, report),
    }
}

fn check_form(form: &Form, key: &str, node: &Node, report: &mut Report<'_>) {
    if (form.accepts)(&node.value) {
        return;
    }
    match form.help {
        Some(help) => report.add_with_help(node.place, must_be(key, form.expected, node), help),
        None => mismatch(key, form.expected, node, report),
    }
}

fn check_word(words: &'static [Word], key: &str, node: &Node, report: &mut Report<'_>) {
    let key = &shown(key);
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
    if words.iter().any(is) {
        return;
    }
    let message = must_be(key, &list_words(words), node);
    match nearest(text, texts(words)).or_else(|| resembling(text, texts(words))) {
        Some(near) => report.add_with_help(node.place, message, format!("did you mean `\"{near}\"`?")),
        None => report.add(node.place, message),
    }
}

fn texts(words: &'static [Word]) -> impl Iterator<Item = &'static str> {
    words.iter().map(|word| word.text)
}

fn list_words(words: &'static [Word]) -> String {
    list(texts(words).map(|word| format!("`\"{word}\"`")), "or")
}

fn mismatch(key: &str, expected: &str, node: &Node, report: &mut Report<'_>) {
    report.add(node.place, must_be(key, expected, node));
}

fn must_be(key: &str, expected: &str, node: &Node) -> String {
    format!("`{key}` must be {expected}, not {}", found(&node.value))
}

/// Reports the key and returns the one that was probably meant.
fn unknown_key(record: &'static Record, key: &Written, report: &mut Report<'_>) -> Option<&'static str> {
    let message = format!("unknown key {} in {}", quoted(&key.text), record.what);
    let names = || record.keys.iter().map(|key| key.name);
    let home = RECORDS
        .iter()
        .find(|record| record.keys.iter().any(|known| known.name == key.text));
    let meant = match home {
        // A known key in the wrong place is not a slip of the pen, unless it is one letter off.
        Some(_) => nearest(&key.text, names()),
        None => nearest(&key.text, names()).or_else(|| resembling(&key.text, names())),
    };
    let help = match (meant, home) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, Some(home)) => format!("`{}` belongs in {}", key.text, home.what),
        (None, None) => format!(
            "{} knows {}",
            record.what,
            list(names().map(|name| format!("`{name}`")), "and")
        ),
    };
    report.add_with_help(key.place, message, help);
    meant
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
