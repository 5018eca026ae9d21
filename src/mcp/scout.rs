//! A look at answers that hold no list of tools, while their bytes pass.
//!
//! A client chooses its ids. Two requests of one session under one id make some servers answer `tools/list` where
//! the answer of a call is awaited (measured: the official SDKs keep one stream for each id). Such answers are too
//! large to be held, so they are only looked at: nothing is decoded but keys, and no more than one key is kept.

use super::text::is_lookalike;

/// Longest key that is kept, in bytes: `tools` with each letter escaped fits well.
const KEPT: usize = 64;

/// Looks for `tools` in a `result`, which may itself stand in a `result`, `params` or a batch. What is not JSON
/// is not found, however lenient its readers are: they find no list in it either.
#[derive(Debug, Default)]
pub struct Scout {
    /// One for each open object or list.
    open: Vec<Level>,
    /// Levels beyond those that can lead to a list.
    beyond: u64,
    in_string: bool,
    escaped: bool,
    /// The string that is read stands where a key does.
    in_key: bool,
    key: Vec<u8>,
    found: bool,
}

/// An open object or list on the way to where a list of tools may stand.
#[derive(Clone, Copy, Debug)]
struct Level {
    object: bool,
    /// It is the value of a `result`.
    result: bool,
    key: Key,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    /// The next string is one.
    Awaited,
    Result,
    Params,
    Other,
}

/// `result` in `result` and so on: more levels than any message has.
const DEEPEST: usize = 8;

impl Scout {
    /// Looks at the next bytes of a message. `true` once a list of tools stands in it.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        while let Some((byte, after)) = rest.split_first() {
            if self.found {
                return true;
            }
            rest = if self.in_string && !self.in_key && !self.escaped {
                // what is neither key nor structure is stepped over
                let skipped = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                match rest.get(skipped..).and_then(<[u8]>::split_first) {
                    Some((byte, after)) => {
                        self.string_byte(*byte);
                        after
                    }
                    None => &[],
                }
            } else {
                if self.in_string {
                    self.string_byte(*byte);
                } else {
                    self.byte(*byte);
                }
                after
            };
        }
        self.found
    }

    /// A new message begins.
    pub fn restart(&mut self) {
        *self = Self {
            found: self.found,
            ..Self::default()
        };
    }

    fn string_byte(&mut self, byte: u8) {
        if self.in_key && self.key.len() <= KEPT {
            self.key.push(byte);
        }
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'"' => self.string_ends(),
            _ => {}
        }
    }

    fn string_ends(&mut self) {
        self.in_string = false;
        if !std::mem::take(&mut self.in_key) {
            return;
        }
        let key = serde_json::from_slice::<String>(&self.key).unwrap_or_default();
        let is = |name: &str| key == name || is_lookalike(&key, &[name]);
        if let Some(level) = self.open.last_mut() {
            self.found |= level.result && is("tools");
            level.key = if is("result") {
                Key::Result
            } else if is("params") {
                Key::Params
            } else {
                Key::Other
            };
        }
    }

    fn byte(&mut self, byte: u8) {
        match byte {
            b'"' => {
                self.in_string = true;
                self.in_key = self.beyond == 0
                    && self
                        .open
                        .last()
                        .is_some_and(|level| level.object && level.key == Key::Awaited);
                self.key.clear();
                self.key.push(byte);
            }
            b'{' | b'[' => self.opens(byte == b'{'),
            b'}' | b']' => {
                if self.beyond > 0 {
                    self.beyond = self.beyond.saturating_sub(1);
                } else {
                    self.open.pop();
                }
            }
            b',' if self.beyond == 0 => {
                if let Some(level) = self.open.last_mut() {
                    level.key = Key::Awaited;
                }
            }
            _ => {}
        }
    }

    fn opens(&mut self, object: bool) {
        let leads = match self.open.last() {
            // the message itself, or a batch
            None => true,
            Some(level) if !level.object => self.open.len() == 1 && object,
            Some(level) => object && matches!(level.key, Key::Result | Key::Params),
        };
        if !leads || self.beyond > 0 || self.open.len() >= DEEPEST {
            self.beyond = self.beyond.saturating_add(1);
            return;
        }
        let result = self.open.last().is_some_and(|level| level.key == Key::Result);
        self.open.push(Level {
            object,
            result,
            key: Key::Awaited,
        });
    }
}

/// The same for an event stream (WHATWG HTML, section 9.2): the data of each event is a message.
#[derive(Debug)]
pub struct EventScout {
    data: Scout,
    line: Line,
    after_cr: bool,
}

/// Where in a line the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// After this many bytes, all of which are those of `data:`.
    Field(usize),
    /// Behind `data:`; a space is none of the data, and no reader of JSON minds one.
    Data,
    Other,
}

const FIELD: &[u8] = b"data:";

impl Default for EventScout {
    fn default() -> Self {
        Self {
            data: Scout::default(),
            line: Line::Field(0),
            after_cr: false,
        }
    }
}

impl EventScout {
    /// Looks at the next bytes of the stream. `true` once a list of tools stands in an event.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        while let Some((byte, after)) = rest.split_first() {
            let length = match self.line {
                Line::Field(_) => 1,
                Line::Data | Line::Other => memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len()),
            };
            if length > 1 || !matches!(byte, b'\r' | b'\n') {
                self.after_cr = false;
            }
            match self.line {
                _ if matches!(byte, b'\r' | b'\n') => {
                    self.line_end(*byte);
                    rest = after;
                    continue;
                }
                Line::Field(matched) => self.line = field(matched, *byte),
                Line::Data => {
                    let Some(part) = rest.get(..length) else { break };
                    if self.data.push(part) {
                        return true;
                    }
                }
                Line::Other => {}
            }
            rest = rest.get(length.max(1)..).unwrap_or_default();
        }
        self.data.found
    }

    fn line_end(&mut self, byte: u8) {
        let second_half = byte == b'\n' && std::mem::take(&mut self.after_cr);
        self.after_cr = byte == b'\r';
        if second_half {
            return;
        }
        if self.line == Line::Field(0) {
            self.data.restart();
        }
        self.line = Line::Field(0);
    }
}

fn field(matched: usize, byte: u8) -> Line {
    match FIELD.get(matched) {
        Some(wanted) if *wanted == byte && matched.saturating_add(1) == FIELD.len() => Line::Data,
        Some(wanted) if *wanted == byte => Line::Field(matched.saturating_add(1)),
        // a byte order mark before the first line
        _ if matched == 0 && matches!(byte, 0xEF | 0xBB | 0xBF) => Line::Field(0),
        _ => Line::Other,
    }
}

#[cfg(test)]
mod tests;
