//! The strict walk over one JSON value: what serde_json alone would let pass.
//!
//! serde_json refuses lone surrogates, numbers beyond a double and trailing bytes only in values
//! that it builds, not in those that it skips or keeps raw, and it never reports duplicate keys.
//! The walk builds nothing, looks at every string and number, and refuses duplicate keys at any
//! depth (RFC 8259 section 4 leaves their meaning open; real servers take the last).

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::envelope::Fault;
use super::text::Text;

/// How many lists and objects may stand inside each other, the message itself included.
/// serde_json stops at 127 by itself; one less, so that the reason given is this one.
pub(crate) const MAX_DEPTH: u8 = 126;

/// Objects with more keys than this look for duplicates with a hash set, so that a large object
/// costs linear time.
const FEW_KEYS: usize = 24;

/// Keys that serde_json gives a meaning of its own when it builds a `Value`: text behind
/// `$serde_json::private::RawValue` would be read as JSON by us and as text by everyone else.
const RESERVED: &str = "$serde_json::private::";

/// What one reading carries along: the keys of the objects that are open, and why it stopped.
#[derive(Default)]
pub(crate) struct Scan<'de> {
    keys: Vec<Cow<'de, str>>,
    pub(crate) fault: Option<Fault>,
}

/// The keys of one open object.
pub(crate) struct Keys<'de> {
    base: usize,
    many: Option<HashSet<Cow<'de, str>>>,
}

impl<'de> Scan<'de> {
    /// Opens an object or a list at `depth` (1 is the message itself).
    pub(crate) fn open<E: Error>(&mut self, depth: u8) -> Result<Keys<'de>, E> {
        if depth > MAX_DEPTH {
            return Err(self.stop(Fault::TooDeep));
        }
        Ok(Keys {
            base: self.keys.len(),
            many: None,
        })
    }

    /// Takes note of one key of the object that was opened last.
    pub(crate) fn key<E: Error>(&mut self, keys: &mut Keys<'de>, key: Cow<'de, str>) -> Result<(), E> {
        if key.starts_with(RESERVED) {
            return Err(self.stop(Fault::ReservedKey));
        }
        let fresh = match &mut keys.many {
            Some(many) => many.insert(key),
            None => {
                let few = self.keys.get(keys.base..).unwrap_or_default();
                if few.contains(&key) {
                    false
                } else if few.len() < FEW_KEYS {
                    self.keys.push(key);
                    true
                } else {
                    let mut many: HashSet<_> = self.keys.drain(keys.base..).collect();
                    many.insert(key);
                    keys.many = Some(many);
                    true
                }
            }
        };
        if fresh {
            Ok(())
        } else {
            Err(self.stop(Fault::DuplicateKey))
        }
    }

    /// Closes the object that was opened last.
    pub(crate) fn close(&mut self, keys: &Keys<'de>) {
        self.keys.truncate(keys.base);
    }

    /// Ends the reading; the error itself carries nothing, the reason stands in `fault`.
    pub(crate) fn stop<E: Error>(&mut self, fault: Fault) -> E {
        self.fault = Some(fault);
        E::custom("")
    }

    /// The reason of a reading that ended with `error`.
    pub(crate) fn reason(&mut self, error: &serde_json::Error) -> Fault {
        match self.fault.take() {
            Some(fault) => fault,
            // Only `params` asks for a shape that a value may not have.
            None if error.is_data() => Fault::Params,
            None => Fault::NotJson,
        }
    }
}

/// Walks one value that stands at `depth` and keeps nothing of it.
pub(crate) struct Strict<'s, 'de> {
    pub(crate) scan: &'s mut Scan<'de>,
    pub(crate) depth: u8,
}

impl<'de> DeserializeSeed<'de> for Strict<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_, 'de> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.scan.open(self.depth)?;
        let depth = self.depth.saturating_add(1);
        while list
            .next_element_seed(Strict {
                scan: &mut *self.scan,
                depth,
            })?
            .is_some()
        {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut keys = self.scan.open(self.depth)?;
        let depth = self.depth.saturating_add(1);
        while let Some(Text(key)) = map.next_key()? {
            self.scan.key(&mut keys, key)?;
            map.next_value_seed(Strict {
                scan: &mut *self.scan,
                depth,
            })?;
        }
        self.scan.close(&keys);
        Ok(())
    }
}

/// One member's value, as far as a decision needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Field<'a> {
    #[default]
    Absent,
    Null,
    Text(Cow<'a, str>),
    /// A number, a boolean, a list or an object.
    Other,
}

impl Field<'_> {
    /// The decoded text, where the value is a string.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Absent | Self::Null | Self::Other => None,
        }
    }
}

/// Walks one value like [`Strict`] and keeps it where it is a string.
pub(crate) struct FieldSeed<'s, 'de>(pub(crate) Strict<'s, 'de>);

impl<'de> DeserializeSeed<'de> for FieldSeed<'_, 'de> {
    type Value = Field<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Field<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FieldSeed<'_, 'de> {
    type Value = Field<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Field<'de>, E> {
        Ok(Field::Null)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Field<'de>, E> {
        Ok(Field::Other)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Field<'de>, E> {
        Ok(Field::Other)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Field<'de>, E> {
        Ok(Field::Other)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Field<'de>, E> {
        Ok(Field::Other)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Field<'de>, E> {
        Ok(Field::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Field<'de>, E> {
        Ok(Field::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Field<'de>, A::Error> {
        self.0.visit_seq(list).map(|()| Field::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Field<'de>, A::Error> {
        self.0.visit_map(map).map(|()| Field::Other)
    }
}
