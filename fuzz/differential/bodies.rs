//! Bodies to be judged: messages by a grammar that knows what readers disagree on, and broken ones.

use std::fmt::Write as _;

use super::random::Random;

const MEMBERS: [&str; 9] = [
    "method",
    "id",
    "jsonrpc",
    "params",
    "Method",
    "METHOD",
    "param\u{17f}",
    "result",
    "error",
];
const METHODS: [&str; 7] = [
    "tools/call",
    "tools/list",
    "ping",
    "resources/read",
    "notifications/initialized",
    "tasks/get",
    "Tools/Call",
];
const TOOLS: [&str; 8] = [
    "t",
    "start_run",
    "a.b",
    "files/write",
    "\u{e9}",
    "\u{1f980}",
    "",
    "__proto__",
];
const KEYS: [&str; 16] = [
    "a",
    "b",
    "c",
    "a",
    "b",
    "c",
    "name",
    "Name",
    "amount",
    "__proto__",
    "constructor",
    "0",
    "1",
    "\u{fb06}",
    "x y",
    "",
];
const TEXTS: [&str; 12] = [
    "",
    "a",
    "main",
    "/etc/passwd",
    "\u{0}",
    "\u{7f}\u{80}",
    "\u{2028}\u{2029}",
    "\u{feff}",
    "\u{10ffff}",
    "\u{e9}\u{301}",
    "\"\\/",
    "\r\n\t\u{8}\u{c}",
];
const NUMBERS: [&str; 18] = [
    "0",
    "-0",
    "1",
    "-1",
    "0.1",
    "1e2",
    "1E-2",
    "100.0",
    "9007199254740993",
    "18446744073709551616",
    "1e308",
    "1.7976931348623157e308",
    "5e-324",
    "2.2250738585072011e-308",
    "1e-400",
    "123456789012345678901234567890",
    "0.30000000000000004",
    "-1.5E+3",
];
/// Pieces that are put where they do not belong.
const SCRAPS: [&str; 28] = [
    "\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\\",
    "\\u0000",
    "\\ud800",
    "\\udc00",
    "null",
    "1e999",
    "NaN",
    "Infinity",
    "01",
    "+1",
    ".5",
    "1.",
    "/**/",
    "\u{feff}",
    "\u{a0}",
    "\u{0}",
    "'",
    "\"method\":\"x\",",
    "\"m\\u0065thod\":\"x\",",
    "\"name\":\"x\",",
    "\t",
];

/// What may stand in an escaped form.
const SHORT: [(char, &str); 8] = [
    ('"', "\\\""),
    ('\\', "\\\\"),
    ('/', "\\/"),
    ('\u{8}', "\\b"),
    ('\u{c}', "\\f"),
    ('\n', "\\n"),
    ('\r', "\\r"),
    ('\t', "\\t"),
];

pub struct Bodies {
    random: Random,
    /// Inputs that fuzzing kept, to be broken further.
    corpus: Vec<Vec<u8>>,
}

impl Bodies {
    pub fn new(seed: u64, corpus: Vec<Vec<u8>>) -> Self {
        Self {
            random: Random::new(seed),
            corpus,
        }
    }

    /// The next body.
    pub fn body(&mut self) -> Vec<u8> {
        let mut body = if self.random.once_in(5) && !self.corpus.is_empty() {
            let at = self.random.below(self.corpus.len());
            self.corpus[at].clone()
        } else {
            let mut written = Written {
                random: &mut self.random,
                out: String::with_capacity(256),
            };
            written.message();
            written.out.into_bytes()
        };
        if self.random.once_in(4) {
            for _ in 0..=self.random.below(3) {
                self.change(&mut body);
            }
        }
        body
    }

    /// One change of a few bytes.
    fn change(&mut self, body: &mut Vec<u8>) {
        let random = &mut self.random;
        let (one, other) = (random.below(body.len() + 1), random.below(body.len() + 1));
        let (from, until) = (one.min(other), one.max(other).min(one.min(other) + 24));
        match random.below(8) {
            0 => drop(body.drain(from..until)),
            1 => {
                let part = body[from..until].to_vec();
                drop(body.splice(until..until, part));
            }
            2 | 3 => {
                let scrap = random.one_of(&SCRAPS);
                drop(body.splice(from..from, scrap.bytes()));
            }
            4 => {
                let byte = random.next().to_le_bytes()[0];
                if let Some(place) = body.get_mut(from) {
                    *place = byte;
                }
            }
            5 => {
                if let Some(place) = body.get_mut(from) {
                    *place ^= 1 << random.below(8);
                }
            }
            6 => {
                let digit = b'0' + random.next().to_le_bytes()[0] % 10;
                drop(body.splice(from..from, [digit]));
            }
            _ if !self.corpus.is_empty() => {
                let at = random.below(self.corpus.len());
                let donor = &self.corpus[at];
                let start = random.below(donor.len());
                let part: Vec<u8> = donor.iter().skip(start).take(random.below(40)).copied().collect();
                drop(body.splice(from..until, part));
            }
            _ => {}
        }
    }
}

struct Written<'r> {
    random: &'r mut Random,
    out: String,
}

impl Written<'_> {
    fn message(&mut self) {
        let mut members: Vec<&str> = vec!["jsonrpc", "method", "params"];
        if !self.random.once_in(12) {
            members.push("id");
        }
        if self.random.once_in(12) {
            members.push(self.random.one_of(&MEMBERS));
        }
        if self.random.once_in(8) {
            members.push(self.random.one_of(&KEYS));
        }
        self.shuffle(&mut members);
        self.object(&members, |written, key| match key {
            "jsonrpc" => written.text("2.0"),
            "method" => written.method(),
            "params" => written.params(),
            "id" => written.id(),
            _ => written.value(1),
        });
    }

    fn shuffle(&mut self, members: &mut [&str]) {
        for at in 1..members.len() {
            let other = self.random.below(at + 1);
            members.swap(at, other);
        }
    }

    fn method(&mut self) {
        let method = if self.random.once_in(6) {
            self.random.one_of(&METHODS)
        } else {
            "tools/call"
        };
        self.text(method);
    }

    fn id(&mut self) {
        match self.random.below(4) {
            0 => {
                let text = self.random.one_of(&TEXTS);
                self.text(text);
            }
            1 => self.number(),
            _ => self.out.push('1'),
        }
    }

    fn params(&mut self) {
        let mut members: Vec<&str> = vec!["name", "arguments"];
        if self.random.once_in(10) {
            members.remove(0);
        }
        for (key, one_in) in [
            ("_meta", 6),
            ("task", 12),
            ("uri", 20),
            ("Name", 60),
            ("name", 60),
            ("argument\u{17f}", 90),
        ] {
            if self.random.once_in(one_in) {
                members.push(key);
            }
        }
        if self.random.once_in(8) {
            members.push(self.random.one_of(&KEYS));
        }
        self.shuffle(&mut members);
        self.object(&members, |written, key| match key {
            "name" | "Name" => {
                let tool = written.random.one_of(&TOOLS);
                written.text(tool);
            }
            "arguments" if !written.random.once_in(40) => written.some_object(1),
            _ => written.value(2),
        });
    }

    fn some_object(&mut self, depth: usize) {
        let mut keys: Vec<&str> = (0..self.random.below(4))
            .map(|_| self.random.one_of(&KEYS))
            .collect();
        if !self.random.once_in(30) {
            keys.sort_unstable();
            keys.dedup();
            self.shuffle(&mut keys);
        }
        self.object(&keys, |written, _| written.value(depth + 1));
    }

    fn object(&mut self, keys: &[&str], mut value: impl FnMut(&mut Self, &str)) {
        self.token("{");
        for (index, key) in keys.iter().enumerate() {
            if index > 0 {
                self.token(",");
            }
            self.text(key);
            self.token(":");
            value(self, key);
        }
        self.token("}");
    }

    fn value(&mut self, depth: usize) {
        match self.random.below(10) {
            0 => self.token("null"),
            1 => self.token("true"),
            2..=4 => self.number(),
            5 if depth < 6 => self.some_object(depth),
            6 if depth < 6 => {
                self.token("[");
                for index in 0..self.random.below(4) {
                    if index > 0 {
                        self.token(",");
                    }
                    self.value(depth + 1);
                }
                self.token("]");
            }
            7 if self.random.once_in(60) => {
                let deep = 100 + self.random.below(40);
                self.out.push_str(&"[".repeat(deep));
                self.out.push_str(&"]".repeat(deep));
            }
            8 => {
                let random: String = (0..self.random.below(6)).map(|_| self.any_char()).collect();
                self.text(&random);
            }
            _ => {
                let text = self.random.one_of(&TEXTS);
                self.text(text);
            }
        }
    }

    fn any_char(&mut self) -> char {
        let below = self.random.one_of(&[0x80, 0x800, 0x1_0000, 0x11_0000]);
        u32::try_from(self.random.below(below))
            .ok()
            .and_then(char::from_u32)
            .unwrap_or('\u{fffd}')
    }

    fn number(&mut self) {
        match self.random.below(4) {
            0 => {
                // Whatever a double can be; what is none is written as a word, which nobody may accept.
                let double = f64::from_bits(self.random.next());
                let _ = write!(self.out, "{double:e}");
            }
            1 => {
                let digits = 1 + self.random.below(25);
                self.digits(digits);
                if self.random.once_in(2) {
                    self.out.push('.');
                    let digits = 1 + self.random.below(25);
                    self.digits(digits);
                }
                if self.random.once_in(3) {
                    let exponent = self.random.below(650);
                    let sign = self.random.one_of(&["", "+", "-"]);
                    let _ = write!(self.out, "e{sign}{exponent}");
                }
            }
            _ => {
                let number = self.random.one_of(&NUMBERS);
                self.out.push_str(number);
            }
        }
    }

    fn digits(&mut self, count: usize) {
        for _ in 0..count {
            let digit = char::from(b'1' + self.random.next().to_le_bytes()[0] % 9);
            self.out.push(digit);
        }
    }

    fn text(&mut self, text: &str) {
        self.out.push('"');
        // Most texts hold no escapes, as most that clients send.
        let escaping = self.random.once_in(4);
        for c in text.chars() {
            self.character(c, escaping);
        }
        if self.random.once_in(300) {
            self.out.push_str("\\ud83e");
        }
        self.out.push('"');
    }

    fn character(&mut self, c: char, escaping: bool) {
        let must = c < ' ' || c == '"' || c == '\\';
        let short = SHORT.iter().find(|(plain, _)| *plain == c);
        match short {
            Some((_, short)) if must || escaping && self.random.once_in(2) => self.out.push_str(short),
            _ if must && !self.random.once_in(200) || escaping && self.random.once_in(2) => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    let _ = match self.random.below(2) {
                        0 => write!(self.out, "\\u{unit:04x}"),
                        _ => write!(self.out, "\\u{unit:04X}"),
                    };
                }
            }
            _ => self.out.push(c),
        }
    }

    fn token(&mut self, token: &str) {
        self.out.push_str(token);
        if self.random.once_in(12) {
            let blank = self.random.one_of(&[" ", "\n", "\r", "\t", "\r\n"]);
            self.out.push_str(blank);
        }
    }
}
