//! What people are shown and decide: each request is of one grant, and so is what becomes of it.

use serde_json::{Value, json};
use toolgate::approvals::State;

use super::Play;
use super::place::{console, listed, shows};

/// What the person says of a request.
pub fn reason(id: &str) -> String {
    format!("said of {id}")
}

impl Play<'_> {
    /// All that waits: whose it is, and its id.
    pub(super) fn pending(&self) -> Vec<(usize, String)> {
        let sides = self.sides.iter().enumerate();
        let waits = sides.flat_map(|(who, side)| {
            let waits = side.book.in_state(State::Pending);
            waits.map(move |request| (who, request.id.clone()))
        });
        waits.collect()
    }

    /// What the console lists is all that waits, each under its own grant's name.
    async fn looked_at(&mut self) -> Vec<Value> {
        let list = listed(&self.gate, "?state=pending").await;
        assert_eq!(list.len(), self.pending().len());
        for (who, id) in self.pending() {
            let found = list.iter().find(|listed| listed["id"] == json!(id)).unwrap();
            let side = &mut self.sides[who];
            let request = side.book.of(&id);
            shows(found, side.who, request);
            assert_eq!(found["arguments"], request.call.arguments());
        }
        list
    }

    pub(super) async fn decide(&mut self, at: usize, approve: bool) {
        let list = self.looked_at().await;
        let pending = self.pending();
        let Some((who, id)) = at.checked_rem(pending.len()).map(|at| pending[at].clone()) else {
            return;
        };
        let found = list.iter().find(|listed| listed["id"] == json!(id)).unwrap();
        let word = if approve { "approve" } else { "deny" };
        let (status, answer) = self.say(word, &id, &found["digest"]).await;
        assert_eq!(status, 200, "{answer}");
        let side = &mut self.sides[who];
        let request = side.book.of(&id);
        request.state = if approve { State::Approved } else { State::Denied };
        let call = request.call;
        if let Some(waits) = side.lines.iter().position(|(waits, _)| *waits == call) {
            let (_, mut line) = side.lines.remove(waits);
            let told = line.answer().await;
            self.judge(who, call, &told);
        }
    }

    async fn say(&self, word: &str, id: &str, digest: &Value) -> (u16, Value) {
        let body = json!({ "digest": digest, "reason": reason(id) }).to_string();
        console(&self.gate, "POST", &format!("/approvals/{id}/{word}"), &body).await
    }

    pub(super) async fn mixed(&mut self, at: usize, other: usize) {
        let list = self.looked_at().await;
        let Some(at) = at.checked_rem(list.len()) else {
            return;
        };
        let (found, other) = (&list[at], &list[other % list.len()]);
        if found["id"] != other["id"] {
            let (status, answer) = self
                .say("approve", found["id"].as_str().unwrap(), &other["digest"])
                .await;
            assert_eq!(
                (status, &answer["error"]["code"]),
                (409, &json!("other_digest")),
                "{answer}"
            );
        }
    }
}
