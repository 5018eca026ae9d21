//! What a message is and which id it has, found while its bytes pass: also of one that is too long to be kept.
//!
//! For valid JSON it is exact. For anything else it finds something or nothing; rely on it only to tell a peer
//! that waits for an answer under that id that none comes.

use serde_json::value::RawValue;

use super::ids::IdKey;

/// Longest id or key that is kept, in bytes.
const KEPT: usize = 1024;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skimmed {
    /// The bytes of the id; `None` where there is none, it is too long, or no string or number.
    pub id: Option<String>,
    /// There is a `method`.
    pub method: bool,
    /// There is a `result` or an `error`.
    pub outcome: bool,
}

impl Skimmed {
    /// The id that is answered here, where the message is an answer.
    pub fn answers(&self) -> Option<IdKey> {
        let answer = self.outcome && !self.method;
        self.id.as_deref().filter(|_| answer).and_then(IdKey::of)
    }
}

/// Looks at one message, piece by piece.
#[derive(Debug, Default)]
pub struct Skim {
    found: Skimmed,
    depth: u64,
    in_string: bool,
    escaped: bool,
    place: Place,
    kept: Vec<u8>,
}

/// Where in the outermost object the next byte stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Before the object, behind it, or in something else.
    #[default]
    Outside,
    BeforeKey,
    Key,
    AfterKey,
    IdValue,
    OtherValue,
}

impl Skim {
    /// Of a whole message.
    pub fn of(message: &[u8]) -> Skimmed {
        let mut skim = Self::default();
        skim.push(message);
        skim.end()
    }

    /// The ids that a whole message answers: one, or those of a batch (legacy servers).
    pub fn answered(message: &[u8]) -> Vec<IdKey> {
        if message.trim_ascii_start().first() != Some(&b'[') {
            return Self::of(message).answers().into_iter().collect();
        }
        let batch: Vec<&RawValue> = serde_json::from_slice(message).unwrap_or_default();
        let skimmed = batch.iter().map(|one| Self::of(one.get().as_bytes()));
        skimmed.filter_map(|skimmed| skimmed.answers()).collect()
    }

    /// Looks at the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.in_string {
                self.string_byte(byte);
            } else {
                self.byte(byte);
            }
        }
    }

    /// What was found.
    pub fn end(self) -> Skimmed {
        self.found
    }

    fn keep(&mut self, byte: u8) {
        let wanted = matches!(self.place, Place::Key | Place::IdValue);
        // one more than is allowed, so that the end sees that it was too long
        if wanted && self.kept.len() <= KEPT {
            self.kept.push(byte);
        }
    }

    fn string_byte(&mut self, byte: u8) {
        self.keep(byte);
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'"' => {
                self.in_string = false;
                if self.depth == 1 && self.place == Place::Key {
                    self.place = Place::AfterKey;
                }
            }
            _ => {}
        }
    }

    fn byte(&mut self, byte: u8) {
        match byte {
            b'"' => {
                self.in_string = true;
                if self.depth == 1 && self.place == Place::BeforeKey {
                    self.place = Place::Key;
                    self.kept.clear();
                }
                self.keep(byte);
            }
            b'{' | b'[' => {
                self.depth = self.depth.saturating_add(1);
                if self.depth == 1 && byte == b'{' {
                    self.place = Place::BeforeKey;
                }
                self.keep(byte);
            }
            b'}' | b']' => {
                if self.depth == 1 {
                    self.value_ends();
                    self.place = Place::Outside;
                }
                self.depth = self.depth.saturating_sub(1);
                self.keep(byte);
            }
            b':' if self.depth == 1 && self.place == Place::AfterKey => self.key_ends(),
            b',' if self.depth == 1 && self.place != Place::Outside => {
                self.value_ends();
                self.place = Place::BeforeKey;
            }
            b' ' | b'\t' | b'\r' | b'\n' => {}
            _ => self.keep(byte),
        }
    }

    fn key_ends(&mut self) {
        let key = serde_json::from_slice::<String>(&self.kept).unwrap_or_default();
        self.found.method |= key == "method";
        self.found.outcome |= key == "result" || key == "error";
        self.place = if key == "id" {
            Place::IdValue
        } else {
            Place::OtherValue
        };
        self.kept.clear();
    }

    fn value_ends(&mut self) {
        if self.place == Place::IdValue {
            let text = String::from_utf8(std::mem::take(&mut self.kept)).ok();
            self.found.id = text.filter(|text| text.len() <= KEPT && IdKey::of(text).is_some());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{IdKey, KEPT, Skim, Skimmed};

    fn found(message: &str) -> (Option<String>, bool, bool) {
        let Skimmed { id, method, outcome } = Skim::of(message.as_bytes());
        (id, method, outcome)
    }

    #[test]
    fn the_id_is_found_wherever_it_stands() {
        for message in [
            r#"{"id":7,"result":{"id":1,"x":["id",{"id":2}]}}"#,
            r#"{"result":{"id":1,"x":["id",{"id":2}]},"jsonrpc":"2.0","id":7}"#,
            r#" { "error" : {"message":"\"id\":3,}"} , "\u0069d" : 7 } "#,
        ] {
            assert_eq!(found(message), (Some("7".to_owned()), false, true), "{message}");
        }
        assert_eq!(
            found(r#"{"id":"a\"b","method":"ping"}"#),
            (Some(r#""a\"b""#.to_owned()), true, false)
        );
    }

    #[test]
    fn pieces_say_the_same_as_the_whole() {
        let message = r#"{"result":{"a":[1,"\\\"}"]},"id":"x\u0041,}","jsonrpc":"2.0"}"#;
        for at in 0..=message.len() {
            let mut skim = Skim::default();
            skim.push(&message.as_bytes()[..at]);
            skim.push(&message.as_bytes()[at..]);
            assert_eq!(skim.end(), Skim::of(message.as_bytes()), "{at}");
        }
    }

    #[test]
    fn what_is_no_id_is_not_taken_for_one() {
        let long = format!(r#"{{"id":"{}","result":1}}"#, "x".repeat(KEPT));
        for message in [
            r#"{"id":null,"result":1}"#,
            r#"{"id":{"id":1},"result":1}"#,
            r#"{"id":[7],"result":1}"#,
            r#"[{"id":7,"result":1}]"#,
            r#"{"result":{"id":7}}"#,
            &long,
            "id: 7, result",
            "",
        ] {
            assert_eq!(found(message).0, None, "{message}");
        }
    }

    #[test]
    fn only_an_answer_answers() {
        let answers = |message: &str| Skim::of(message.as_bytes()).answers();
        assert_eq!(answers(r#"{"id":7,"result":{}}"#), IdKey::of("7"));
        assert_eq!(answers(r#"{"id":7,"error":{}}"#), IdKey::of("7"));
        assert_eq!(answers(r#"{"id":7,"method":"roots/list"}"#), None);
        assert_eq!(answers(r#"{"id":7,"method":"x","result":{}}"#), None);
        let batch = br#" [{"id":1,"result":{}},{"method":"x"},{"id":"b","error":{}}]"#;
        let expected: Vec<_> = ["1", "\"b\""].iter().filter_map(|id| IdKey::of(id)).collect();
        assert_eq!(Skim::answered(batch), expected);
    }
}
