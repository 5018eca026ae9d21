//! Several clients on one channel: their requests get ids that no two share, and what comes back gets the clients' own.
//!
//! Only the bytes of ids change. On the way out these are `id`, `params._meta.progressToken` and, in a cancellation,
//! `params.requestId`; on the way back `id`, `params.progressToken` and the `subscriptionId` in `_meta` (2026-07-28).

use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::ids::IdKey;
use super::text::place_of;

/// What a client wrote in place of the number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Original {
    /// The bytes of the request's id.
    pub id: String,
    /// The bytes of the token under which it is told of progress.
    pub token: Option<String>,
}

#[derive(Default, Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Body<'a> {
    #[serde(borrow, default, rename = "progressToken")]
    token: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "requestId")]
    request: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "_meta")]
    meta: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Meta<'a> {
    #[serde(borrow, default, rename = "progressToken")]
    token: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "io.modelcontextprotocol/subscriptionId")]
    subscription: Option<&'a RawValue>,
}

/// An object's members that are looked at; none of what is no object, or has one of them twice.
fn part<'a, T: Default + Deserialize<'a>>(raw: Option<&'a RawValue>) -> T {
    raw.and_then(|raw| object(raw.get())).unwrap_or_default()
}

/// A struct also reads from a list: only what is an object counts.
fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    let is_object = text.trim_ascii_start().starts_with('{');
    serde_json::from_str(text).ok().filter(|_| is_object)
}

/// The ids of a request of a client; `None` where it is none.
pub fn original(request: &[u8]) -> Option<Original> {
    let message: Message<'_> = object(str::from_utf8(request).ok()?)?;
    let params: Body<'_> = part(message.params);
    let meta: Meta<'_> = part(params.meta);
    Some(Original {
        id: message.id?.get().to_owned(),
        token: meta.token.map(|token| token.get().to_owned()),
    })
}

/// A client's request under `number`. Give it a message that was read strictly.
pub fn request(request: &[u8], number: u64) -> Option<Vec<u8>> {
    let text = str::from_utf8(request).ok()?;
    let message: Message<'_> = object(text)?;
    let params: Body<'_> = part(message.params);
    let meta: Meta<'_> = part(params.meta);
    let number = number.to_string();
    edited(text, [(Some(message.id?), &number), (meta.token, &number)])
}

/// A client's cancellation, which now ends the request `number`.
pub fn cancellation(notification: &[u8], number: u64) -> Option<Vec<u8>> {
    let text = str::from_utf8(notification).ok()?;
    let message: Message<'_> = object(text)?;
    let params: Body<'_> = part(message.params);
    edited(text, [(Some(params.request?), &number.to_string())])
}

/// To which request a server's notification belongs, by the number that it was given: one of progress, in a
/// subscription, or of a subscription's end.
pub fn belongs_to(notification: &[u8]) -> Option<IdKey> {
    let message: Message<'_> = object(str::from_utf8(notification).ok()?)?;
    let params: Body<'_> = part(message.params);
    let meta: Meta<'_> = part(params.meta);
    let named = params.token.or(meta.subscription).or(params.request)?;
    IdKey::of(named.get())
}

/// A server's message about a request, as the client that sent it knows that.
pub fn restored(message: &[u8], original: &Original) -> Option<Vec<u8>> {
    let text = str::from_utf8(message).ok()?;
    let message: Message<'_> = object(text)?;
    let (params, result): (Body<'_>, Body<'_>) = (part(message.params), part(message.result));
    let (of_params, of_result): (Meta<'_>, Meta<'_>) = (part(params.meta), part(result.meta));
    let id = original.id.as_str();
    edited(
        text,
        [
            (message.id, id),
            (params.token, original.token.as_deref().unwrap_or(id)),
            (of_params.subscription, id),
            (of_result.subscription, id),
        ],
    )
}

/// The text with other values in some places. serde_json lends slices of it.
fn edited<const N: usize>(text: &str, edits: [(Option<&RawValue>, &str); N]) -> Option<Vec<u8>> {
    let mut places: Vec<(Range<usize>, &str)> = Vec::with_capacity(N);
    for (raw, with) in edits {
        if let Some(raw) = raw {
            places.push((place_of(text, raw.get())?, with));
        }
    }
    places.sort_by_key(|(range, _)| range.start);
    let mut out = Vec::with_capacity(text.len().saturating_add(64));
    let mut done = 0;
    for (range, with) in places {
        out.extend_from_slice(text.get(done..range.start)?.as_bytes());
        out.extend_from_slice(with.as_bytes());
        done = range.end;
    }
    out.extend_from_slice(text.get(done..)?.as_bytes());
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: Option<Vec<u8>>) -> String {
        String::from_utf8(bytes.unwrap()).unwrap()
    }

    #[test]
    fn a_request_keeps_every_byte_but_its_ids() {
        let sent = r#"{ "params":{"_meta":{"progressToken" : "p\u0041","x":"id"},"n":1.10,"id":9},"\u0069d" : "a/1","jsonrpc":"2.0"}"#;
        let id = r#""a/1""#.to_owned();
        let token = Some(r#""p\u0041""#.to_owned());
        assert_eq!(original(sent.as_bytes()), Some(Original { id, token }));
        assert_eq!(
            text(request(sent.as_bytes(), 17)),
            r#"{ "params":{"_meta":{"progressToken" : 17,"x":"id"},"n":1.10,"id":9},"\u0069d" : 17,"jsonrpc":"2.0"}"#
        );
    }

    #[test]
    fn what_comes_back_is_known_to_its_client() {
        let original = Original {
            id: r#""a/1""#.to_owned(),
            token: Some("1e3".to_owned()),
        };
        for (said, told) in [
            (
                r#"{"id":17.0,"result":{"id":17}}"#,
                r#"{"id":"a/1","result":{"id":17}}"#,
            ),
            (
                r#"{"method":"notifications/progress","params":{"progress":1,"progressToken":17}}"#,
                r#"{"method":"notifications/progress","params":{"progress":1,"progressToken":1e3}}"#,
            ),
            (
                r#"{"params":{"_meta":{"io.modelcontextprotocol/subscriptionId":17}}}"#,
                r#"{"params":{"_meta":{"io.modelcontextprotocol/subscriptionId":"a/1"}}}"#,
            ),
            (
                r#"{"result":{"_meta":{"io.modelcontextprotocol/subscriptionId":17}},"id":17}"#,
                r#"{"result":{"_meta":{"io.modelcontextprotocol/subscriptionId":"a/1"}},"id":"a/1"}"#,
            ),
        ] {
            assert_eq!(text(restored(said.as_bytes(), &original)), told);
        }
    }

    #[test]
    fn a_notification_names_its_request_in_one_of_three_places() {
        for named in [
            r#"{"params":{"progressToken":17}}"#,
            r#"{"params":{"_meta":{"io.modelcontextprotocol/subscriptionId":17}}}"#,
            r#"{"params":{"requestId":17}}"#,
        ] {
            assert_eq!(belongs_to(named.as_bytes()), IdKey::of("17"), "{named}");
        }
        for other in [r#"{"params":{"id":17}}"#, r#"{"params":[17]}"#, "{}", "17"] {
            assert_eq!(belongs_to(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn a_cancellation_ends_the_request_under_its_number() {
        let sent = br#"{"method":"notifications/cancelled","params":{"reason":"1","requestId":1}}"#;
        assert_eq!(
            text(cancellation(sent, 17)),
            r#"{"method":"notifications/cancelled","params":{"reason":"1","requestId":17}}"#
        );
        assert_eq!(cancellation(b"{}", 17), None);
    }
}
