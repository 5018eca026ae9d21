//! JSON with places (RFC 8259). The structure is read here; each string is decoded by serde_json, so
//! that escapes mean exactly what they mean elsewhere in toolgate.

use super::place::{Place, Places};
use super::tree::{Entry, Key, Node, Value};
use super::{Fault, MAX_DEPTH, quoted};

pub(super) fn read(text: &str) -> Result<Node, Fault> {
    let mut reader = Reader {
        text,
        at: 0,
        places: Places::new(text),
    };
    let root = reader.node(0)?;
    match reader.next_token() {
        None => Ok(root),
        Some(found) => Err(reader.fault(format!(
            "the document has ended, but here stands {}",
            character(found)
        ))),
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    places: Places<'t>,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn place(&mut self) -> Place {
        self.places.at(self.at)
    }

    fn fault(&mut self, message: impl Into<String>) -> Fault {
        let fault = Fault::new(self.place(), message);
        if self.rest().starts_with("//") || self.rest().starts_with("/*") || self.rest().starts_with('#') {
            return fault.help("JSON knows no comments; a file that ends in `.yaml` may hold them");
        }
        fault
    }

    fn advance(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes).min(self.text.len());
    }

    /// Skips blanks and says which character comes next.
    fn next_token(&mut self) -> Option<char> {
        let rest = self.rest();
        let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
        self.advance(blank);
        self.rest().chars().next()
    }

    fn node(&mut self, depth: usize) -> Result<Node, Fault> {
        let found = self.next_token();
        let place = self.place();
        if depth >= MAX_DEPTH && matches!(found, Some('{' | '[')) {
            return Err(Fault::too_deep(place));
        }
        let value = match found {
            Some('{') => Value::Object(self.object(depth)?),
            Some('[') => Value::List(self.list(depth)?),
            Some('"') => Value::Text(self.string()?),
            Some('-' | '0'..='9') => Value::Number(self.number()?),
            Some('a'..='z') => self.literal()?,
            None => return Err(self.fault("the file ends where a value should stand")),
            Some(found) => {
                return Err(self.fault(format!("a value should stand here, not {}", character(found))));
            }
        };
        Ok(Node { place, value })
    }

    fn object(&mut self, depth: usize) -> Result<Vec<Entry>, Fault> {
        self.advance(1);
        let mut entries = Vec::new();
        if self.next_token() == Some('}') {
            self.advance(1);
            return Ok(entries);
        }
        loop {
            let key = self.key()?;
            match self.next_token() {
                Some(':') => self.advance(1),
                _ => return Err(self.fault("a `:` should stand here, between key and value")),
            }
            entries.push(Entry {
                key,
                value: self.node(depth + 1)?,
            });
            if self.closes('}')? {
                return Ok(entries);
            }
        }
    }

    fn key(&mut self) -> Result<Key, Fault> {
        match self.next_token() {
            Some('"') => {
                let place = self.place();
                Ok(Key {
                    place,
                    text: self.string()?,
                })
            }
            Some('}') => Err(self.fault("a comma must be followed by another key")),
            None => Err(self.fault("the file ends inside an object: a `}` is missing")),
            Some(_) => Err(self.fault("a key should stand here, in double quotes")),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, Fault> {
        self.advance(1);
        let mut items = Vec::new();
        if self.next_token() == Some(']') {
            self.advance(1);
            return Ok(items);
        }
        loop {
            if self.next_token() == Some(']') {
                return Err(self.fault("a comma must be followed by another element"));
            }
            items.push(self.node(depth + 1)?);
            if self.closes(']')? {
                return Ok(items);
            }
        }
    }

    /// After an element: `true` at the closing bracket, `false` at a comma.
    fn closes(&mut self, bracket: char) -> Result<bool, Fault> {
        match self.next_token() {
            Some(found) if found == bracket => {
                self.advance(1);
                Ok(true)
            }
            Some(',') => {
                self.advance(1);
                Ok(false)
            }
            Some(found) => Err(self.fault(format!(
                "a `,` or `{bracket}` should stand here, not {}",
                character(found)
            ))),
            None => Err(self.fault(format!("the file ends here: a `{bracket}` is missing"))),
        }
    }

    fn string(&mut self) -> Result<String, Fault> {
        let rest = self.rest();
        let mut escaped = false;
        for (offset, byte) in rest.bytes().enumerate().skip(1) {
            match byte {
                0..=0x1f => {
                    self.advance(offset);
                    return Err(self.fault("a control character in a string must be written as an escape"));
                }
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    let literal = rest.get(..=offset).unwrap_or_default();
                    let decoded = serde_json::from_str::<String>(literal).map_err(|_| {
                        self.fault("this string holds an escape that JSON does not know, or half of a pair")
                    })?;
                    self.advance(literal.len());
                    return Ok(decoded);
                }
                _ => {}
            }
        }
        Err(self.fault("this string has no end: a `\"` is missing"))
    }

    fn number(&mut self) -> Result<String, Fault> {
        let length = self
            .rest()
            .find(|c: char| !matches!(c, '-' | '+' | '.' | '0'..='9' | 'a'..='z' | 'A'..='Z'));
        let text = self
            .rest()
            .get(..length.unwrap_or(self.rest().len()))
            .unwrap_or_default();
        if !is_number(text) {
            return Err(self.fault(format!("{} is not a JSON number", quoted(text))));
        }
        self.advance(text.len());
        Ok(text.to_owned())
    }

    fn literal(&mut self) -> Result<Value, Fault> {
        let length = self.rest().find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let word = self
            .rest()
            .get(..length.unwrap_or(self.rest().len()))
            .unwrap_or_default();
        let value = match word {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" => Value::Null,
            _ => {
                let message = format!("{} is not a JSON value", quoted(word));
                return Err(self.fault(message).help("put text in double quotes"));
            }
        };
        self.advance(word.len());
        Ok(value)
    }
}

fn character(c: char) -> String {
    quoted(c.encode_utf8(&mut [0; 4]))
}

/// Whether `text` is a number by the grammar of RFC 8259, section 6.
pub(super) fn is_number(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let exponent = exponent.map(|exponent| exponent.strip_prefix(['+', '-']).unwrap_or(exponent));
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(digits)
}

pub(super) fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
