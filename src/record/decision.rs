//! One decision as a line. Field names are part of the contract.

use serde::ser::{Error as _, Serialize, SerializeMap as _, Serializer};
use serde_json::value::RawValue;

use crate::policy::{Denial, Recorded, Window};

/// Longest tool name or method that a record shows, in characters.
const NAME_CHARS: usize = 128;
/// Longest message that a record shows, in characters: it may quote what a caller sent.
const MESSAGE_CHARS: usize = 1_000;

/// One decision. Of arguments it holds the names of those at the top, and values only where a policy's `record`
/// asks for them.
#[derive(Debug, Clone, serde::Serialize)]
pub struct DecisionRecord<'a> {
    /// RFC 3339 in UTC with milliseconds.
    pub time: String,
    /// The call's id: 16 hexadecimal digits, the same in a refusal's `_meta`.
    pub id: String,
    pub grant: Option<&'a str>,
    /// What the grant is counted under, where it was made of claims: an id that looks the same may be another's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant_key: Option<&'a str>,
    /// What people call the grant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<&'a str>,
    pub server: &'a str,
    /// A hash of the session id.
    pub session: Option<String>,
    pub method: &'a str,
    pub tool: Option<&'a str>,
    pub argument_keys: &'a [String],
    pub policy: Vec<PolicyRecord<'a>>,
    pub outcome: &'static str,
    pub rule: Option<&'a str>,
    pub message: Option<&'a str>,
    /// The request for approval that the call waits for, was refused by, or used up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<&'a str>,
    /// Store time in milliseconds since 1970 at which limits were asked, where nothing was charged; else left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_ms: Option<u64>,
    pub charges: Vec<ChargeRecord<'a>>,
    pub upstream: Option<UpstreamRecord>,
    /// Values of arguments that a policy's `record` asks for; left out where there are none.
    #[serde(skip_serializing_if = "RecordedValues::is_empty")]
    pub recorded: RecordedValues<'a>,
    /// What rules in shadow would have refused; left out where there is nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shadow: Vec<ShadowRecord<'a>>,
    /// The store did not answer, and the limits' `on_store_error` let the call go on.
    pub degraded: bool,
    /// The trace that the message belongs to: 32 hexadecimal digits; left out where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<&'a str>,
    pub replica: &'a str,
}

/// A policy that was asked, and the digest of its text.
#[derive(Debug, Clone, serde::Serialize)]
pub struct PolicyRecord<'a> {
    pub name: &'a str,
    pub digest: &'a str,
}

/// What one limit was charged, or looked at.
#[derive(Debug, Clone, serde::Serialize)]
pub struct ChargeRecord<'a> {
    pub rule: &'a str,
    pub counter: &'a str,
    pub weight: u64,
    pub max: u64,
    pub left: Option<u64>,
    /// Store time of the charge in milliseconds since 1970; none where nothing was charged.
    pub store_ms: Option<u64>,
    /// A limit in shadow; left out for others.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub shadow: bool,
    /// Over what the limit counts: `grant`, `session`, `server`, `global`, `claim`, `argument` or `arguments`.
    pub scope: &'static str,
    #[serde(flatten)]
    pub window: WindowRecord,
    /// Decimal places that the counter keeps; left out where there are none.
    #[serde(skip_serializing_if = "is_zero")]
    pub scale: u8,
}

/// How long a charge counts, as one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum WindowRecord {
    #[serde(rename = "window_ms")]
    Sliding(u64),
    /// The unit's word.
    #[serde(rename = "calendar")]
    Calendar(&'static str),
    /// While the call runs; the length of its lease.
    #[serde(rename = "lease_ms")]
    Lease(u64),
}

impl From<Window> for WindowRecord {
    fn from(window: Window) -> Self {
        match window {
            Window::Sliding { ms } => Self::Sliding(ms),
            Window::Calendar(unit) => Self::Calendar(unit.as_str()),
            Window::Lease { ms } => Self::Lease(ms),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(scale: &u8) -> bool {
    *scale == 0
}

/// What one rule in shadow would have refused.
#[derive(Debug, Clone, serde::Serialize)]
pub struct ShadowRecord<'a> {
    pub rule: &'a str,
    pub outcome: &'static str,
    pub message: &'a str,
}

impl<'a> ShadowRecord<'a> {
    pub fn of(denial: &'a Denial) -> Self {
        Self {
            rule: &denial.rule,
            outcome: denial.outcome.as_str(),
            message: shown_message(&denial.message),
        }
    }
}

/// Path → the JSON value as it was sent.
#[derive(Debug, Clone, Copy)]
pub struct RecordedValues<'a>(pub &'a [Recorded]);

impl RecordedValues<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for RecordedValues<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for Recorded { path, json } in self.0 {
            let value: &RawValue = serde_json::from_str(json).map_err(S::Error::custom)?;
            map.serialize_entry(path.as_ref(), value)?;
        }
        map.end()
    }
}

/// What became of the forwarded request.
#[derive(Debug, Clone, serde::Serialize)]
pub struct UpstreamRecord {
    /// HTTP status of the answer; none where no answer came.
    pub status: Option<u16>,
    /// From sending to the head of the answer, in milliseconds.
    pub ms: f64,
    /// `answered`, `unsent` (nothing reached the upstream), `broken`, `timeout`, `aborted` (the client left after it
    /// was sent) or `cut` (the call's lease could not be renewed).
    pub ended: &'static str,
    /// True where the charges of the call were taken back.
    pub refunded: bool,
}

/// Cuts a name that a caller chose to what a record shows.
pub fn shown_name(name: &str) -> &str {
    cut(name, NAME_CHARS)
}

/// Cuts a message to what a record shows.
pub fn shown_message(message: &str) -> &str {
    cut(message, MESSAGE_CHARS)
}

fn cut(text: &str, chars: usize) -> &str {
    text.char_indices()
        .nth(chars)
        .map_or(text, |(end, _)| text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::shown_name;

    #[test]
    fn long_names_are_cut_between_characters() {
        assert_eq!(shown_name("abc"), "abc");
        assert_eq!(shown_name(&"ü".repeat(200)), "ü".repeat(128));
    }
}
