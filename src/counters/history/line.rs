//! One line of a history: a JSON object, `{"id", "key", "t_ms", "charge", "max", "window_ms", "replica"}`.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::{Event, Wanted, What};
use crate::counters::command::Span;

/// What a line may hold. `kind` is `admission` where it is left out.
#[derive(serde::Deserialize)]
pub struct Line<'l> {
    #[serde(borrow)]
    id: Cow<'l, str>,
    #[serde(borrow)]
    key: Cow<'l, str>,
    t_ms: u64,
    #[serde(default)]
    kind: Kind,
    charge: Option<u64>,
    max: Option<u64>,
    window_ms: Option<u64>,
    /// Of a calendar window, instead of `window_ms`: it counts from `from_ms` up to, not including, `until_ms`.
    from_ms: Option<u64>,
    until_ms: Option<u64>,
    #[serde(borrow)]
    replica: Option<Cow<'l, str>>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Admission,
    Denial,
    Refund,
}

impl Line<'_> {
    /// Reads one line, with or without its end.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn read(line: &[u8]) -> Result<Event, String> {
        let line: Line<'_> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let what = match line.kind {
            Kind::Refund => What::Refund,
            Kind::Admission => What::Admission(line.wanted()?),
            Kind::Denial => What::Denial(line.wanted()?),
        };
        Ok(Event {
            id: id_of(&line.id),
            key: line.key.into_owned(),
            t_ms: line.t_ms,
            replica: line.replica.unwrap_or_default().into_owned(),
            what,
        })
    }

    fn wanted(&self) -> Result<Wanted, String> {
        let (Some(charge), Some(max)) = (self.charge, self.max) else {
            return Err("`charge` or `max` is missing".to_owned());
        };
        let span = match (self.window_ms, self.from_ms, self.until_ms) {
            (Some(window), None, None) => Span::Window { window },
            (None, Some(start), Some(end)) if start < end => Span::Calendar { start, end },
            _ => return Err("give it `window_ms`, or `from_ms` and a later `until_ms`".to_owned()),
        };
        Ok(Wanted { charge, max, span })
    }
}

/// An id of 16 hexadecimal digits as a number; any other by its hash.
pub fn id_of(text: &str) -> u64 {
    let hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let (true, Ok(id)) = (hex, u64::from_str_radix(text, 16)) {
        return id;
    }
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
