//! Sessions and their streams: nobody calls, listens or ends in one but the grant that opened it.

use serde_json::json;

use super::{Opened, Play, TOKENS, Tries};
use crate::support::mcp::Session;

impl Play<'_> {
    pub(super) async fn open(&mut self, who: usize) {
        let session = self.gate.caller("fixture", TOKENS[who]).open_session().await;
        self.sides[who].sessions.push(Opened {
            session,
            stops: 0,
            stream: None,
            runs: None,
        });
    }

    pub(super) async fn listen(&mut self, who: usize, at: usize) {
        let Some(opened) = self.sides[who].free(at) else {
            return;
        };
        if opened.stream.is_none() {
            let (head, events) = opened.session.listen().await;
            assert_eq!(head.status, 200);
            opened.stream = Some(events);
        }
    }

    pub(super) async fn end(&mut self, who: usize, at: usize) {
        let side = &mut self.sides[who];
        let Some(place) = at.checked_rem(side.sessions.len()) else {
            return;
        };
        if side.sessions[place].runs.is_some() {
            return;
        }
        let ended = side.sessions.remove(place);
        assert_eq!(ended.session.delete().await.status, 200);
        assert_eq!(
            ended
                .session
                .post(&json!({ "jsonrpc": "2.0", "id": 7, "method": "ping" }))
                .await
                .status,
            404
        );
    }

    /// One grant tries a session of the other.
    pub(super) async fn foreign(&mut self, who: usize, at: usize, tries: Tries) {
        let [first, second] = &mut self.sides;
        let (own, theirs) = if who == 0 {
            (first, second)
        } else {
            (second, first)
        };
        let Some(theirs) = theirs.session(at) else { return };
        let mut stolen = Session {
            caller: self.gate.caller("fixture", TOKENS[who]),
            id: theirs.session.id.clone(),
        };
        let status = match tries {
            Tries::Call => stolen.call("echo", &json!({ "message": "stolen" })).await.status,
            Tries::Listen => stolen.listen().await.0.status,
            Tries::End => stolen.delete().await.status,
            Tries::Forge => {
                let Some(mine) = own.session(at) else { return };
                let (id, tag) = (
                    stolen.id.rsplit_once('.').unwrap().0,
                    mine.session.id.rsplit_once('.').unwrap().1,
                );
                stolen.id = format!("{id}.{tag}");
                stolen.call("echo", &json!({ "message": "forged" })).await.status
            }
        };
        assert_eq!(status, 404, "{tries:?}");
    }

    /// The server knows as many sessions as are open here, and each stream still brings what it sends.
    pub(super) async fn sessions_go_on(&mut self) {
        let open: usize = self.sides.iter().map(|side| side.sessions.len()).sum();
        let known = self.fixture.state().await["sessions"].as_u64().unwrap();
        assert_eq!(known, self.before + open as u64, "sessions of the server");
        self.fixture.notify().await;
        for opened in self.sides.iter_mut().flat_map(|side| &mut side.sessions) {
            if let Some(stream) = &mut opened.stream {
                let event = stream.next().await.expect("its stream has ended");
                assert_eq!(event["method"], "notifications/tools/list_changed");
            }
        }
    }

    pub(super) async fn end_all_sessions(&mut self) {
        for opened in self.sides.iter_mut().flat_map(|side| side.sessions.drain(..)) {
            assert_eq!(opened.session.delete().await.status, 200);
        }
    }
}
