//! Limits: what one grant was charged (in all, in a session, for a value) is never charged to the other.

use serde_json::json;

use super::{ECHOES, Play, STARTS, STOPS, TOKENS};
use crate::support::mcp::Reply;

impl Play<'_> {
    pub(super) async fn echo(&mut self, who: usize, at: usize) {
        let Some(opened) = self.sides[who].free(at) else {
            return;
        };
        let reply = opened
            .session
            .call("echo", &json!({ "message": TOKENS[who] }))
            .await;
        self.echoed(who, &reply);
    }

    fn echoed(&mut self, who: usize, reply: &Reply) {
        let side = &mut self.sides[who];
        let spent = side.echoes;
        if side.expects(reply, spent, ECHOES) {
            side.echoes += 1;
            assert_eq!(reply.text(), format!("Echo: {}", TOKENS[who]));
        }
    }

    pub(super) async fn stop(&mut self, who: usize, at: usize) {
        let Some(opened) = self.sides[who].free(at) else {
            return;
        };
        let reply = opened.session.call("stop_run", &json!({})).await;
        let spent = opened.stops;
        opened.stops += u64::from(spent < STOPS);
        self.sides[who].expects(&reply, spent, STOPS);
    }

    pub(super) async fn start(&mut self, who: usize, at: usize, pipeline: &'static str) {
        let Some(opened) = self.sides[who].free(at) else {
            return;
        };
        let reply = opened
            .session
            .call("start_run", &json!({ "pipeline": pipeline }))
            .await;
        let spent = self.sides[who].starts.get(pipeline).copied().unwrap_or_default();
        if self.sides[who].expects(&reply, spent, STARTS) {
            self.sides[who].starts.insert(pipeline, spent + 1);
        }
    }

    /// Both call at once, under one id.
    pub(super) async fn both(&mut self, one: usize, other: usize) {
        let [first, second] = &mut self.sides;
        let (Some(first), Some(second)) = (first.free(one), second.free(other)) else {
            return;
        };
        let messages = TOKENS.map(|token| json!({ "message": token }));
        let (first, second) = tokio::join!(
            first.session.call("echo", &messages[0]),
            second.session.call("echo", &messages[1])
        );
        self.echoed(0, &first);
        self.echoed(1, &second);
    }
}
