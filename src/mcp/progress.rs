//! Progress: the token that a request gives for it, and the notification.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::ids::IdKey;

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    params: Params<'a>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow, rename = "_meta")]
    meta: BTreeMap<String, &'a RawValue>,
}

/// The bytes of `params._meta.progressToken`, where it is a text or a number.
pub fn token(message: &str) -> Option<String> {
    let meta = serde_json::from_str::<Message<'_>>(message).ok()?.params.meta;
    let token = meta.get("progressToken")?.get();
    IdKey::of(token).map(|_| token.to_owned())
}

/// `notifications/progress` for a token as it was sent.
pub fn notification(token: &str, progress: f64, message: &str) -> Vec<u8> {
    let message = serde_json::Value::from(message);
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":{progress},"message":{message}}}}}"#
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::{notification, token};

    #[test]
    fn a_token_is_a_text_or_a_number() {
        let of = |token_text: &str| {
            token(&format!(
                r#"{{"params":{{"_meta":{{"progressToken":{token_text}}}}}}}"#
            ))
        };
        assert_eq!(of("7").as_deref(), Some("7"));
        assert_eq!(of(r#""a\"b""#).as_deref(), Some(r#""a\"b""#));
        for none in ["null", "{}", "[1]", "true"] {
            assert_eq!(of(none), None, "{none}");
        }
        assert_eq!(token(r#"{"params":{}}"#), None);
        assert_eq!(token("{}"), None);
    }

    #[test]
    fn a_notification_is_one_message() {
        let told = notification(r#""t""#, 0.001, "waits \"here\"");
        let read: serde_json::Value = serde_json::from_slice(&told).unwrap();
        assert_eq!(read["params"]["progressToken"], "t");
        assert_eq!(read["params"]["progress"], 0.001);
        assert_eq!(read["params"]["message"], "waits \"here\"");
    }
}
