//! A JSON reader of the fuzzers' own (RFC 8259), to hold toolgate's against: written without serde, it keeps every member,
//! keeps numbers as they are written, and knows lone surrogates, as JavaScript does.

use std::cmp::Ordering;
use std::fmt::Write as _;

/// Deeper texts are not read: the fuzzers' stack is small. toolgate itself stops far before.
const MAX_DEPTH: usize = 300;

/// A value as it is written.
#[derive(Clone, Debug)]
pub enum Reading {
    Null,
    Bool(bool),
    /// As written.
    Number(String),
    Text(Text),
    List(Vec<Reading>),
    /// In their order, equal keys too.
    Object(Vec<(Text, Reading)>),
}

/// A decoded string in UTF-16 code units, surrogates as they come.
pub type Text = Vec<u16>;

pub fn text(plain: &str) -> Text {
    plain.encode_utf16().collect()
}

/// Reads the whole text. `None`: not JSON, or deeper than 300.
pub fn read(json: &str) -> Option<Reading> {
    let mut reader = Reader {
        rest: json.as_bytes(),
    };
    let value = reader.value(0)?;
    reader.blank();
    reader.rest.is_empty().then_some(value)
}

impl Reading {
    /// The last member of this name: what Python, JavaScript and most others take.
    pub fn last(&self, key: &str) -> Option<&Self> {
        let key = text(key);
        let Self::Object(members) = self else { return None };
        members
            .iter()
            .rev()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    }

    pub fn as_text(&self) -> Option<&Text> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The same value to a reader of doubles: objects without order, numbers as IEEE doubles (`-0` is `0`), strings by
    /// code units. A key that stands twice makes it no value at all.
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(one), Self::Bool(other)) => one == other,
            (Self::Number(one), Self::Number(other)) => one == other || equal(double(one), double(other)),
            (Self::Text(one), Self::Text(other)) => one == other,
            (Self::List(one), Self::List(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.same(other))
            }
            (Self::Object(one), Self::Object(other)) => {
                let found = |(key, value): &(Text, Self)| {
                    let mut named = other.iter().filter(|(name, _)| name == key);
                    let first = named.next();
                    first.is_some_and(|(_, other)| value.same(other)) && named.next().is_none()
                };
                one.len() == other.len() && one.iter().all(found)
            }
            _ => false,
        }
    }

    /// The same value in other bytes: every character escaped, blanks between tokens, members in reverse.
    pub fn disguised(&self) -> String {
        let mut out = String::new();
        self.disguise(&mut out);
        out
    }

    fn disguise(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("\tnull "),
            Self::Bool(value) => out.push_str(if *value { "true\n" } else { " false" }),
            Self::Number(number) => {
                out.push('\r');
                out.push_str(number);
            }
            Self::Text(text) => escape(out, text),
            Self::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index > 0 { " ," } else { "" });
                    item.disguise(out);
                }
                out.push_str(" ]");
            }
            Self::Object(members) => {
                out.push_str("{ ");
                for (index, (key, value)) in members.iter().rev().enumerate() {
                    out.push_str(if index > 0 { "\n,\t" } else { "" });
                    escape(out, key);
                    out.push_str(" : ");
                    value.disguise(out);
                }
                out.push('}');
            }
        }
    }

    /// Calls `see` with each member of each object.
    pub fn each_member(&self, see: &mut impl FnMut(&Text, &Self)) {
        match self {
            Self::List(items) => items.iter().for_each(|item| item.each_member(see)),
            Self::Object(members) => {
                for (key, value) in members {
                    see(key, value);
                    value.each_member(see);
                }
            }
            _ => {}
        }
    }
}

fn escape(out: &mut String, text: &Text) {
    out.push('"');
    for unit in text {
        // Writing to a string cannot fail.
        let _ = write!(out, "\\u{unit:04X}");
    }
    out.push('"');
}

/// Without NaN, which no JSON number is.
pub fn equal(one: f64, other: f64) -> bool {
    one.partial_cmp(&other) == Some(Ordering::Equal)
}

/// The nearest double of a number's text.
pub fn double(number: &str) -> f64 {
    number.parse().unwrap_or(f64::NAN)
}

/// A key as a reader sees it that ignores case in the way of Go's `encoding/json` (simple folding into ASCII).
pub fn folded(key: &Text) -> Text {
    let fold = |unit: &u16| match *unit {
        0x17F => u16::from(b's'),
        0x212A => u16::from(b'k'),
        unit => u8::try_from(unit).map_or(unit, |byte| u16::from(byte.to_ascii_lowercase())),
    };
    key.iter().map(fold).collect()
}

struct Reader<'t> {
    rest: &'t [u8],
}

impl Reader<'_> {
    fn blank(&mut self) {
        while let Some((b' ' | b'\t' | b'\n' | b'\r', rest)) = self.rest.split_first() {
            self.rest = rest;
        }
    }

    fn take(&mut self, wanted: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(wanted)?;
        Some(())
    }

    fn peek(&mut self) -> Option<u8> {
        self.blank();
        self.rest.first().copied()
    }

    fn value(&mut self, depth: usize) -> Option<Reading> {
        if depth > MAX_DEPTH {
            return None;
        }
        match self.peek()? {
            b'n' => self.take(b"null").map(|()| Reading::Null),
            b't' => self.take(b"true").map(|()| Reading::Bool(true)),
            b'f' => self.take(b"false").map(|()| Reading::Bool(false)),
            b'"' => self.string().map(Reading::Text),
            b'[' => self.list(depth).map(Reading::List),
            b'{' => self.object(depth).map(Reading::Object),
            _ => self.number().map(Reading::Number),
        }
    }

    fn list(&mut self, depth: usize) -> Option<Vec<Reading>> {
        let mut items = Vec::new();
        self.take(b"[")?;
        if self.peek()? == b']' {
            self.take(b"]")?;
            return Some(items);
        }
        loop {
            items.push(self.value(depth + 1)?);
            match self.peek()? {
                b',' => self.take(b",")?,
                _ => return self.take(b"]").map(|()| items),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Option<Vec<(Text, Reading)>> {
        let mut members = Vec::new();
        self.take(b"{")?;
        if self.peek()? == b'}' {
            self.take(b"}")?;
            return Some(members);
        }
        loop {
            self.blank();
            let key = self.string()?;
            self.blank();
            self.take(b":")?;
            members.push((key, self.value(depth + 1)?));
            match self.peek()? {
                b',' => self.take(b",")?,
                _ => return self.take(b"}").map(|()| members),
            }
        }
    }

    fn string(&mut self) -> Option<Text> {
        self.take(b"\"")?;
        let mut units = Vec::new();
        loop {
            let plain = self
                .rest
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
            let (before, rest) = self.rest.split_at_checked(plain)?;
            units.extend(str::from_utf8(before).ok()?.encode_utf16());
            let (end, rest) = rest.split_first()?;
            self.rest = rest;
            match end {
                b'"' => return Some(units),
                b'\\' => units.push(self.escaped()?),
                _ => return None,
            }
        }
    }

    fn escaped(&mut self) -> Option<u16> {
        let (kind, rest) = self.rest.split_first()?;
        self.rest = rest;
        let plain = match kind {
            b'"' | b'\\' | b'/' => *kind,
            b'b' => 8,
            b't' => 9,
            b'n' => 10,
            b'f' => 12,
            b'r' => 13,
            b'u' => {
                let (digits, rest) = self.rest.split_at_checked(4)?;
                self.rest = rest;
                return digits.iter().try_fold(0, |unit: u16, digit| {
                    let digit = char::from(*digit).to_digit(16)?;
                    Some(unit << 4 | u16::try_from(digit).ok()?)
                });
            }
            _ => return None,
        };
        Some(u16::from(plain))
    }

    fn number(&mut self) -> Option<String> {
        let whole = self.rest;
        let _ = self.take(b"-");
        if self.take(b"0").is_none() {
            self.digits()?;
        }
        if self.take(b".").is_some() {
            self.digits()?;
        }
        if self.take(b"e").or_else(|| self.take(b"E")).is_some() {
            let _ = self.take(b"+").or_else(|| self.take(b"-"));
            self.digits()?;
        }
        let length = whole.len().checked_sub(self.rest.len())?;
        str::from_utf8(whole.get(..length)?).ok().map(str::to_owned)
    }

    fn digits(&mut self) -> Option<()> {
        let more = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.rest = self.rest.get(more..)?;
        (more > 0).then_some(())
    }
}
