//! Messages as lines: the framing of MCP over stdio (2025-11-25, "Transports", stdio).
//!
//! A message ends with a line feed and holds none. Readers differ in what else ends a line for them: those of
//! Python, Java and .NET also take a bare CR. JSON allows CR and LF between tokens only, so that a space in
//! its place says the same and is one line to every reader.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::ids::IdKey;

/// The message without raw CR and LF: the content of one line, to be followed by LF. Give it valid JSON.
pub fn one_line(message: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'\r', b'\n', message).is_none() {
        return Cow::Borrowed(message);
    }
    let space = |byte: &u8| {
        if matches!(byte, b'\r' | b'\n') {
            b' '
        } else {
            *byte
        }
    };
    Cow::Owned(message.iter().map(space).collect())
}

/// A line without the CR of a CR LF that ended it.
pub fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Whether some readers would take this line for several.
pub fn has_bare_cr(line: &[u8]) -> bool {
    memchr::memchr(b'\r', line).is_some()
}

/// Whether there is nothing in the line.
pub fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

/// The request that a `notifications/cancelled` ends, where it names one.
pub fn cancelled(notification: &[u8]) -> Option<IdKey> {
    #[derive(Deserialize)]
    struct Notification<'a> {
        #[serde(borrow)]
        params: Params<'a>,
    }
    #[derive(Deserialize)]
    struct Params<'a> {
        #[serde(borrow, rename = "requestId")]
        request_id: &'a RawValue,
    }
    let read: Notification<'_> = serde_json::from_slice(notification).ok()?;
    IdKey::of(read.params.request_id.get())
}

/// The protocol version that an answer to `initialize` names.
pub fn agreed_version(answer: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Answer {
        result: Agreed,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Agreed {
        protocol_version: String,
    }
    let read: Answer = serde_json::from_slice(answer).ok()?;
    Some(read.result.protocol_version)
}

#[cfg(test)]
mod tests {
    use super::{agreed_version, cancelled, has_bare_cr, is_blank, one_line, without_cr};
    use crate::mcp::ids::IdKey;

    #[test]
    fn raw_line_ends_become_spaces_and_escaped_ones_stay() {
        let message = b"{\"a\":\r\n1,\r\"b\":\"x\\r\\ny\"\n}";
        assert_eq!(&*one_line(message), b"{\"a\":  1, \"b\":\"x\\r\\ny\" }");
        assert!(matches!(one_line(b"{}"), std::borrow::Cow::Borrowed(_)));
    }

    #[test]
    fn one_cr_before_the_lf_belongs_to_the_line_end() {
        assert_eq!(without_cr(b"{}\r"), b"{}");
        assert!(has_bare_cr(without_cr(b"{}\r\r")));
        assert!(!has_bare_cr(without_cr(b"{}\r")));
        assert!(is_blank(b" \t\r") && is_blank(b"") && !is_blank(b"{}"));
    }

    #[test]
    fn a_cancellation_names_its_request_in_the_form_of_the_request() {
        let of = |id: &str| {
            let text = format!(r#"{{"method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#);
            cancelled(text.as_bytes())
        };
        assert_eq!(of("7"), IdKey::of("7"));
        assert_eq!(of(r#""\u0061""#), IdKey::of(r#""a""#));
        assert_eq!(of("{}"), None);
        assert_eq!(cancelled(b"{}"), None);
    }

    #[test]
    fn the_agreed_version_stands_in_the_answer_to_initialize() {
        let answer =
            br#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{}}}"#;
        assert_eq!(agreed_version(answer).as_deref(), Some("2025-06-18"));
        assert_eq!(agreed_version(br#"{"error":{}}"#), None);
    }
}
