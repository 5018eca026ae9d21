//! Where a stdio client wants to hear that the list of tools looks otherwise now: from the end of the handshake on in the
//! revisions that have one, in a subscription in 2026-07-28.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::pending::WAITING_AT_MOST;
use crate::mcp::envelope::{Envelope, Kind};
use crate::mcp::ids::IdKey;
use crate::mcp::line::cancelled;
use crate::mcp::reply;
use crate::mcp::skim::Skim;
use crate::mcp::subscription::{LISTEN, acknowledged};

/// What one client has asked for.
#[derive(Default)]
pub(super) struct Listens(Mutex<Asked>);

#[derive(Default)]
struct Asked {
    /// The handshake is done.
    open: bool,
    subscriptions: HashMap<IdKey, Subscription>,
}

struct Subscription {
    /// As the client sent it.
    id: String,
    /// It was acknowledged, and is told of tools.
    open: bool,
}

impl Listens {
    fn lock(&self) -> MutexGuard<'_, Asked> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client sends this message to the server.
    pub(super) fn asked(&self, message: &Envelope<'_>, line: &[u8]) {
        match message.method.as_deref() {
            Some("notifications/initialized") => self.lock().open = true,
            Some("notifications/cancelled") => {
                if let Some(id) = cancelled(line) {
                    self.lock().subscriptions.remove(&id);
                }
            }
            Some(LISTEN) if message.kind == Kind::Request => {
                let Some((id, key)) = message.id.and_then(|id| Some((id, IdKey::of(id)?))) else {
                    return;
                };
                let mut asked = self.lock();
                if asked.subscriptions.len() < WAITING_AT_MOST {
                    let id = id.to_owned();
                    asked.subscriptions.insert(key, Subscription { id, open: false });
                }
            }
            _ => {}
        }
    }

    /// The client is told this message.
    pub(super) fn heard(&self, message: &[u8]) {
        if self.lock().subscriptions.is_empty() {
            return;
        }
        if let Some(told) = acknowledged(message) {
            if let Some(subscription) = self.lock().subscriptions.get_mut(&told.id) {
                subscription.open = told.tools;
            }
            return;
        }
        for ended in Skim::answered(message) {
            self.lock().subscriptions.remove(&ended);
        }
    }

    /// What the client is told when the list has changed.
    pub(super) fn notifications(&self) -> Vec<Vec<u8>> {
        let asked = self.lock();
        let open = asked.subscriptions.values().filter(|one| one.open);
        let in_subscriptions = open.map(|one| reply::list_changed(Some(&one.id)));
        let plain = asked.open.then(|| reply::list_changed(None));
        plain.into_iter().chain(in_subscriptions).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Listens;
    use crate::mcp::envelope;

    fn told(listens: &Listens) -> Vec<String> {
        let told = listens.notifications().into_iter();
        told.map(|message| String::from_utf8(message).unwrap()).collect()
    }

    fn asks(listens: &Listens, message: &str) {
        listens.asked(&envelope::read(message.as_bytes()).unwrap(), message.as_bytes());
    }

    #[test]
    fn a_client_is_told_once_its_handshake_is_done() {
        let listens = Listens::default();
        asks(&listens, r#"{"jsonrpc":"2.0","id":1,"method":"initialize"}"#);
        assert!(told(&listens).is_empty());
        asks(
            &listens,
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        );
        assert_eq!(told(&listens).len(), 1);
    }

    #[test]
    fn a_subscription_is_told_between_its_acknowledgement_and_its_end() {
        let listens = Listens::default();
        let ends = [
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7.0}}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":{}}"#,
        ];
        for end in ends {
            asks(
                &listens,
                r#"{"jsonrpc":"2.0","id":7,"method":"subscriptions/listen"}"#,
            );
            assert!(told(&listens).is_empty());
            for (tools, count) in [("false", 0), ("true", 1)] {
                let acknowledgement = format!(
                    r#"{{"method":"notifications/subscriptions/acknowledged","params":{{"_meta":{{"io.modelcontextprotocol/subscriptionId":7}},"notifications":{{"toolsListChanged":{tools}}}}}}}"#
                );
                listens.heard(acknowledgement.as_bytes());
                assert_eq!(told(&listens).len(), count);
            }
            assert!(told(&listens)[0].contains(r#""io.modelcontextprotocol/subscriptionId":7"#));
            if end.contains("method") {
                asks(&listens, end);
            } else {
                listens.heard(end.as_bytes());
            }
            assert!(told(&listens).is_empty());
        }
    }
}
