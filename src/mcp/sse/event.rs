//! One event: its lines, its fields, and the same event with other data.

use std::borrow::Cow;
use std::fmt;

use super::ends::without_bom;

/// The bytes of one event as they came, up to and including the blank line that ends it. Its
/// `Debug` form does not show them.
#[derive(Clone, PartialEq, Eq)]
pub struct RawEvent {
    bytes: Vec<u8>,
    /// Where its first line begins.
    start: usize,
    complete: bool,
}

impl fmt::Debug for RawEvent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RawEvent")
            .field("len", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// One line of an event: its text and the bytes that end it.
#[derive(Clone, Copy)]
struct Line<'e> {
    text: &'e [u8],
    end: &'e [u8],
}

impl RawEvent {
    pub(super) fn new(bytes: Vec<u8>, first: bool, after_cr: bool, complete: bool) -> Self {
        let mut lines: &[u8] = &bytes;
        if first {
            lines = without_bom(lines);
        } else if after_cr {
            lines = lines.strip_prefix(b"\n").unwrap_or(lines);
        }
        let start = bytes.len().saturating_sub(lines.len());
        Self {
            bytes,
            start,
            complete,
        }
    }

    /// All bytes, as they came.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All bytes, as they came.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Drops what the bytes begin with before the first line.
    pub fn drop_start(&mut self) {
        self.bytes.drain(..self.start);
        self.start = 0;
    }

    /// Whether a blank line ended the event (else the stream ended within it).
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether there is a `data` line. An event without one is never seen by a client.
    pub fn has_data(&self) -> bool {
        self.values(b"data").next().is_some()
    }

    /// The values of all `data` lines, joined by LF.
    pub fn data(&self) -> Cow<'_, [u8]> {
        let mut values = self.values(b"data");
        let first = values.next().unwrap_or_default();
        let Some(second) = values.next() else {
            return Cow::Borrowed(first);
        };
        let mut joined = first.to_vec();
        for value in std::iter::once(second).chain(values) {
            joined.push(b'\n');
            joined.extend_from_slice(value);
        }
        Cow::Owned(joined)
    }

    /// The value of the last `event` line. None, or an empty one, means `message`.
    pub fn event_name(&self) -> Option<&[u8]> {
        self.values(b"event").last()
    }

    /// The value of the last `id` line, under which a stream can be taken up again.
    pub fn id(&self) -> Option<&[u8]> {
        self.values(b"id").last()
    }

    /// After how many milliseconds a client is asked to come back.
    pub fn retry_ms(&self) -> Option<u64> {
        let text = str::from_utf8(self.values(b"retry").last()?).ok()?;
        text.parse().ok()
    }

    /// Whether a client takes the event for a message: its name is absent, empty or `message`.
    pub fn is_message(&self) -> bool {
        matches!(self.event_name(), None | Some(b"" | b"message"))
    }

    /// The same event with `data` in place of its data lines. Every other line stays where it is;
    /// what the bytes began with before the first line (a byte order mark) stays too. Where line
    /// ends are mixed all become LF: a line that goes could leave a CR before a LF, and the two
    /// would be one end.
    pub fn with_data(&self, data: &[u8]) -> Vec<u8> {
        let mut out = self.bytes.get(..self.start).unwrap_or_default().to_vec();
        let first = self.lines().next().map_or(&b"\n"[..], |line| line.end);
        let uniform = self.lines().all(|line| line.end == first);
        let line_end = if uniform && !first.is_empty() {
            first
        } else {
            b"\n"
        };
        let mut written = false;
        for line in self.lines() {
            let is_data = line.value(b"data").is_some();
            if !written && (is_data || line.text.is_empty()) {
                push_data(&mut out, data, line_end);
                written = true;
            }
            if !is_data {
                out.extend_from_slice(line.text);
                out.extend_from_slice(line_end);
            }
        }
        out
    }

    fn values<'e>(&'e self, field: &'static [u8]) -> impl Iterator<Item = &'e [u8]> {
        self.lines().filter_map(move |line| line.value(field))
    }

    fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let mut rest = self.bytes.get(self.start..).unwrap_or_default();
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let length = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            let (text, after) = rest.split_at_checked(length)?;
            let ended = if after.starts_with(b"\r\n") {
                2
            } else {
                after.len().min(1)
            };
            let (end, after) = after.split_at_checked(ended)?;
            rest = after;
            Some(Line { text, end })
        })
    }
}

impl<'e> Line<'e> {
    /// The value, where the line is of this field. A line without a colon is a field without a
    /// value; one space after the colon is not part of it.
    fn value(self, field: &[u8]) -> Option<&'e [u8]> {
        let rest = self.text.strip_prefix(field)?;
        match rest.split_first() {
            None => Some(rest),
            Some((b':', value)) => Some(value.strip_prefix(b" ").unwrap_or(value)),
            Some(_) => None,
        }
    }
}

/// Writes `data` as data lines, one for each line that it has.
pub(super) fn push_data(out: &mut Vec<u8>, data: &[u8], line_end: &[u8]) {
    let mut rest = data;
    loop {
        let length = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let (line, after) = rest.split_at_checked(length).unwrap_or((rest, b""));
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.extend_from_slice(line_end);
        match after.strip_prefix(b"\r\n").or_else(|| after.get(1..)) {
            Some(next) => rest = next,
            None => return,
        }
    }
}
