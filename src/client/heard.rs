//! What a message of a server says to a request.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::ClientError;

/// What the server says to the request: `None` where the message is about something else.
pub(super) type Said = Option<Result<String, (i64, String)>>;

#[derive(Deserialize)]
struct Answered<'a> {
    #[serde(borrow)]
    result: &'a RawValue,
}

/// An error without an id answers too: a server that could not read a request knows none.
pub(super) fn said(bytes: &[u8], id: u64) -> Said {
    let message: Value = serde_json::from_slice(bytes).ok()?;
    let own = message.get("id").and_then(Value::as_u64) == Some(id);
    if message.get("result").is_some() {
        let answered: Answered<'_> = serde_json::from_slice(bytes).ok()?;
        return own.then(|| Ok(answered.result.get().to_owned()));
    }
    let error = message.get("error")?;
    let nobodys = message.get("id").is_none_or(Value::is_null);
    (own || nobodys).then(|| {
        let code = error.get("code").and_then(Value::as_i64).unwrap_or_default();
        let text = error
            .get("message")
            .and_then(Value::as_str)
            .unwrap_or("no message");
        Err((code, crate::document::shown(text)))
    })
}

/// The next request, and its id.
pub(super) fn request(next_id: &mut u64, method: &str, params: &Value) -> (u64, Value) {
    let id = *next_id;
    *next_id = id.saturating_add(1);
    let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
    (id, message)
}

/// What the method was answered.
pub(super) fn answered(
    method: &'static str,
    said: Result<String, (i64, String)>,
) -> Result<String, ClientError> {
    said.map_err(|(code, message)| ClientError::Refused {
        method,
        code,
        message,
    })
}

/// What is answered to a request of the server, which may wait for it; `None`: it is none.
pub(super) fn reply_to(message: &[u8]) -> Option<Value> {
    let message: Value = serde_json::from_slice(message).ok()?;
    let (id, method) = (message.get("id")?, message.get("method")?.as_str()?);
    Some(if method == "ping" {
        json!({ "jsonrpc": "2.0", "id": id, "result": {} })
    } else {
        let error = json!({ "code": -32601, "message": "this client only lists tools" });
        json!({ "jsonrpc": "2.0", "id": id, "error": error })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_the_request_counts() {
        let own = said(br#"{"jsonrpc":"2.0","id":7,"result":{"tools":[]}}"#, 7);
        assert!(matches!(own, Some(Ok(_))));
        for other in [
            br#"{"jsonrpc":"2.0","id":8,"result":{}}"#.as_slice(),
            br#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#,
            br#"{"jsonrpc":"2.0","method":"notifications/message"}"#,
            br#"{"jsonrpc":"2.0","id":8,"error":{"code":1,"message":"x"}}"#,
            b"",
            b"[]",
            b"not json",
        ] {
            assert!(said(other, 7).is_none(), "{:?}", String::from_utf8_lossy(other));
        }
        let nameless = said(
            br#"{"id":null,"error":{"code":-32000,"message":"no session"}}"#,
            7,
        );
        assert_eq!(nameless, Some(Err((-32000, "no session".to_owned()))));
    }
}
