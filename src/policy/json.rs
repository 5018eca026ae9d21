//! Values of a call's arguments and of rules, with numbers exactly as they are written.

use std::borrow::Cow;
use std::collections::HashSet;

use super::number::Decimal;
use crate::document::{Node, Value};

/// How deep lists and objects are read. A message that was read strictly is never deeper.
const MAX_DEPTH: u8 = 128;

/// Objects with more keys than this look for duplicates with a hash set.
const FEW_KEYS: usize = 16;

/// A JSON value. `Debug` shows its type alone: arguments stand in no log.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Json<'a> {
    Null,
    Bool(bool),
    /// The number's text; always one of RFC 8259.
    Number(Cow<'a, str>),
    Text(Cow<'a, str>),
    List(Vec<Json<'a>>),
    /// No key stands twice.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

impl std::fmt::Debug for Json<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind())
    }
}

impl<'a> Json<'a> {
    /// Reads one JSON text. `None` for what a strict reader of messages would have refused.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value(0)?;
        reader.peek().is_none().then_some(value)
    }

    /// The value that stands in a policy.
    pub(super) fn of(node: &Node) -> Json<'static> {
        match &node.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(text) => Json::Number(Cow::Owned(text.clone())),
            Value::Text(text) => Json::Text(Cow::Owned(text.clone())),
            Value::List(items) => Json::List(items.iter().map(Json::of).collect()),
            Value::Object(entries) => Json::Object(
                entries
                    .iter()
                    .map(|entry| (Cow::Owned(entry.key.text.clone()), Json::of(&entry.value)))
                    .collect(),
            ),
        }
    }

    /// The same value without the text that it was read from.
    pub(super) fn into_owned(self) -> Json<'static> {
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => Json::Bool(value),
            Self::Number(text) => Json::Number(Cow::Owned(text.into_owned())),
            Self::Text(text) => Json::Text(Cow::Owned(text.into_owned())),
            Self::List(items) => Json::List(items.into_iter().map(Json::into_owned).collect()),
            Self::Object(entries) => Json::Object(
                entries
                    .into_iter()
                    .map(|(key, value)| (Cow::Owned(key.into_owned()), value.into_owned()))
                    .collect(),
            ),
        }
    }

    /// Writes it as JSON, numbers as they were written. `None` where that takes more than `most` bytes.
    pub(super) fn text(&self, most: usize) -> Option<String> {
        let mut text = String::new();
        self.write(&mut text, most)?;
        (text.len() <= most).then_some(text)
    }

    fn write(&self, out: &mut String, most: usize) -> Option<()> {
        if out.len() > most {
            return None;
        }
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(text) => out.push_str(text),
            Self::Text(text) if text.len() > most => return None,
            Self::Text(text) => out.push_str(&serde_json::to_string(text).ok()?),
            Self::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    out.push(if index == 0 { '[' } else { ',' });
                    item.write(out, most)?;
                }
                out.push_str(if items.is_empty() { "[]" } else { "]" });
            }
            Self::Object(entries) => {
                for (index, (key, value)) in entries.iter().enumerate() {
                    out.push(if index == 0 { '{' } else { ',' });
                    out.push_str(&serde_json::to_string(key).ok()?);
                    out.push(':');
                    value.write(out, most)?;
                }
                out.push_str(if entries.is_empty() { "{}" } else { "}" });
            }
        }
        Some(())
    }

    /// The text that it is.
    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Its JSON type.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Number(_) => "number",
            Self::Text(_) => "string",
            Self::List(_) => "list",
            Self::Object(_) => "object",
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Skips blanks and says which byte comes next.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.rest();
        let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
        self.at = self.at.saturating_add(blank);
        self.rest().bytes().next()
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at = self.at.saturating_add(1))
    }

    fn value(&mut self, depth: u8) -> Option<Json<'a>> {
        match self.peek()? {
            b'{' if depth < MAX_DEPTH => self.object(depth),
            b'[' if depth < MAX_DEPTH => self.list(depth),
            b'"' => self.string().map(Json::Text),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word("true", Json::Bool(true)),
            b'f' => self.word("false", Json::Bool(false)),
            b'n' => self.word("null", Json::Null),
            _ => None,
        }
    }

    fn word(&mut self, word: &str, value: Json<'a>) -> Option<Json<'a>> {
        self.rest().starts_with(word).then(|| {
            self.at = self.at.saturating_add(word.len());
            value
        })
    }

    fn number(&mut self) -> Option<Json<'a>> {
        let rest = self.rest();
        let end = rest.find(|c: char| !matches!(c, '-' | '+' | '.' | 'e' | 'E' | '0'..='9'));
        let text = rest.get(..end.unwrap_or(rest.len()))?;
        Decimal::read(text)?;
        self.at = self.at.saturating_add(text.len());
        Some(Json::Number(Cow::Borrowed(text)))
    }

    fn string(&mut self) -> Option<Cow<'a, str>> {
        let rest = self.rest();
        let mut escaped = false;
        let mut plain = true;
        let inner = rest.bytes().enumerate().skip(1);
        for (at, byte) in inner {
            match byte {
                0..=0x1f => return None,
                _ if escaped => escaped = false,
                b'\\' => (escaped, plain) = (true, false),
                b'"' => {
                    self.at = self.at.saturating_add(at).saturating_add(1);
                    return if plain {
                        rest.get(1..at).map(Cow::Borrowed)
                    } else {
                        serde_json::from_str(rest.get(..=at)?).ok().map(Cow::Owned)
                    };
                }
                _ => {}
            }
        }
        None
    }

    fn list(&mut self, depth: u8) -> Option<Json<'a>> {
        self.take(b'[')?;
        let mut items = Vec::new();
        if self.take(b']').is_some() {
            return Some(Json::List(items));
        }
        loop {
            items.push(self.value(depth.saturating_add(1))?);
            if self.take(b',').is_none() {
                self.take(b']')?;
                return Some(Json::List(items));
            }
        }
    }

    fn object(&mut self, depth: u8) -> Option<Json<'a>> {
        self.take(b'{')?;
        let mut entries = Vec::new();
        if self.take(b'}').is_some() {
            return Some(Json::Object(entries));
        }
        loop {
            let key = (self.peek()? == b'"').then(|| self.string())??;
            self.take(b':')?;
            entries.push((key, self.value(depth.saturating_add(1))?));
            if self.take(b',').is_none() {
                self.take(b'}')?;
                return unique(&entries).then_some(Json::Object(entries));
            }
        }
    }
}

fn unique(entries: &[(Cow<'_, str>, Json<'_>)]) -> bool {
    if entries.len() > FEW_KEYS {
        let mut seen = HashSet::with_capacity(entries.len());
        return entries.iter().all(|(key, _)| seen.insert(key.as_ref()));
    }
    entries
        .iter()
        .enumerate()
        .all(|(at, (key, _))| entries.iter().take(at).all(|(other, _)| other != key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_it_is_written() {
        let read = Json::read(" {\"a\": [1.50, true, null, \"x\\u0041\"], \"b\": {}} ").unwrap();
        let Json::Object(entries) = &read else {
            panic!("{read:?}")
        };
        let Json::List(items) = &entries[0].1 else {
            panic!("{read:?}")
        };
        assert!(items[0] == Json::Number("1.50".into()));
        assert!(items[1..3] == [Json::Bool(true), Json::Null]);
        assert!(items[3] == Json::Text("xA".into()));
        assert!(entries[1].1 == Json::Object(vec![]));
    }

    #[test]
    fn what_a_strict_reader_refuses_is_not_read() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        for text in [
            "",
            "{",
            "{}}",
            "{\"a\":1,\"a\":2}",
            "{\"a\":1,\"\\u0061\":2}",
            "[1,]",
            "{\"a\":1,}",
            "01",
            "nul",
            "\"\\x\"",
            "\"\\ud800\"",
            "'a'",
            "{a:1}",
            "[1 2]",
            "\"a\nb\"",
            "\u{feff}{}",
            &deep,
        ] {
            assert!(Json::read(text).is_none(), "{text}");
        }
        let many: Vec<String> = (0..40).map(|n| format!("\"k{}\":1", n % 39)).collect();
        assert!(Json::read(&format!("{{{}}}", many.join(","))).is_none());
    }

    #[test]
    fn a_value_is_written_as_it_was_read_unless_it_is_too_long() {
        let text = r#"{"a":[1.50,true,null,"x\"y",[],{}],"b":{"c":25e3}}"#;
        let read = Json::read(text).unwrap();
        assert_eq!(read.text(text.len()).as_deref(), Some(text));
        assert_eq!(read.text(text.len() - 1), None);
        assert!(read.clone().into_owned() == read);
    }

    #[test]
    fn no_value_stands_in_debug_output() {
        let read = Json::read("{\"secret\": \"token\"}").unwrap();
        assert_eq!(format!("{read:?}"), "object");
    }
}
