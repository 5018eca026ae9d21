//! Streams of change notifications (2026-07-28, "Subscriptions"): a request `subscriptions/listen` opens one, and
//! nothing may be said on it before its acknowledgement.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::ids::IdKey;

/// The request that opens a subscription.
pub const LISTEN: &str = "subscriptions/listen";

const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";

/// What a server agreed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// The id of the request that opened the subscription.
    pub id: IdKey,
    /// It is told when the list of tools changes.
    pub tools: bool,
}

/// Reads one message of a server; `None` where it is something else, or names no subscription.
pub fn acknowledged(message: &[u8]) -> Option<Acknowledged> {
    #[derive(Deserialize)]
    struct Notification<'a> {
        #[serde(borrow)]
        method: Cow<'a, str>,
        #[serde(borrow)]
        params: Params<'a>,
    }
    #[derive(Deserialize)]
    struct Params<'a> {
        #[serde(borrow, rename = "_meta")]
        meta: Meta<'a>,
        notifications: Notifications,
    }
    #[derive(Deserialize)]
    struct Meta<'a> {
        #[serde(borrow, rename = "io.modelcontextprotocol/subscriptionId")]
        id: &'a RawValue,
    }
    #[derive(Deserialize)]
    struct Notifications {
        #[serde(default, rename = "toolsListChanged")]
        tools: bool,
    }
    // most messages are something else
    memchr::memmem::find(message, b"acknowledged")?;
    let read: Notification<'_> = serde_json::from_slice(message).ok()?;
    if read.method != ACKNOWLEDGED {
        return None;
    }
    let id = IdKey::of(read.params.meta.id.get())?;
    let tools = read.params.notifications.tools;
    Some(Acknowledged { id, tools })
}

#[cfg(test)]
mod tests {
    use super::{Acknowledged, IdKey, acknowledged};

    fn of(id: &str, filter: &str) -> Option<Acknowledged> {
        let text = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{{"_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}},"notifications":{filter}}}}}"#
        );
        acknowledged(text.as_bytes())
    }

    #[test]
    fn an_acknowledgement_names_its_subscription_and_what_it_is_told() {
        let id = IdKey::of("7").unwrap();
        let tools = true;
        assert_eq!(
            of("7", r#"{"toolsListChanged":true}"#),
            Some(Acknowledged {
                id: id.clone(),
                tools
            })
        );
        assert_eq!(
            of("7", r#"{"promptsListChanged":true}"#),
            Some(Acknowledged { id, tools: false })
        );
        assert_eq!(of("{}", "{}"), None);
    }

    #[test]
    fn other_messages_acknowledge_nothing() {
        for other in [
            &br#"{"method":"notifications/tools/list_changed"}"#[..],
            br#"{"id":1,"result":{"text":"notifications/subscriptions/acknowledged"}}"#,
            b"acknowledged",
        ] {
            assert_eq!(acknowledged(other), None);
        }
    }
}
