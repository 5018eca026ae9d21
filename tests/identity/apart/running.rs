//! Calls that go on: the other's calls take no place of theirs, and its cancellations do not reach them.

use serde_json::json;

use super::Play;
use crate::support::mcp::Session;

fn same(session: &Session) -> Session {
    Session {
        caller: session.caller.clone(),
        id: session.id.clone(),
    }
}

impl Play<'_> {
    /// A call that goes on, unless one of the same grant does already.
    pub(super) async fn slow(&mut self, who: usize, at: usize) {
        let taken = self.sides[who].runs();
        let Some(opened) = self.sides[who].free(at) else {
            return;
        };
        let (session, name) = (same(&opened.session), format!("slow-{}", self.slow));
        self.slow += 1;
        if taken {
            let reply = session.call("slow", &json!({ "name": name })).await;
            assert_eq!(reply.outcome(), "limited", "{:?}", reply.message);
            return;
        }
        let arguments = json!({ "name": name });
        let runs = tokio::spawn(async move { session.call("slow", &arguments).await });
        opened.runs = Some((name.clone(), runs));
        self.fixture.until_waiting(&name).await;
    }

    /// Cancels what runs under the id that all calls here have.
    pub(super) async fn cancel(&mut self, who: usize, at: usize) {
        let Some(opened) = self.sides[who].free(at) else {
            return;
        };
        let cancel =
            json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 7 } });
        assert_eq!(opened.session.post(&cancel).await.status, 202);
    }

    /// What was begun runs until it is released.
    pub(super) async fn calls_go_on(&mut self) {
        for side in &mut self.sides {
            for opened in &mut side.sessions {
                let Some((name, runs)) = opened.runs.take() else {
                    continue;
                };
                assert!(!runs.is_finished(), "{name} did not go on");
                self.fixture.release(&name).await;
                assert_eq!(runs.await.unwrap().text(), format!("{name} released after 1"));
                side.executed += 1;
            }
        }
    }
}
