//! The scene of the tests on refusals: a gate in front of a counting server, and a session through it.

use serde_json::{Value, json};

use super::gate::{Gate, Setup, limited};
use super::http::{Answer, exchange};
use super::mcp::Session;
use super::servers::{Era, Fixture};

pub const TOKEN: &str = "tg_agent";
/// The cap on bodies that the scene sets.
pub const BODY_CAP: usize = 64 * 1024;

/// One call of `start_run` an hour, `secret-*` hidden, `files/write` denied; a second grant under `default: deny`.
pub fn setup(fixture: &Fixture) -> Setup {
    let mut policy = limited("start_run", 1, json!("hour"));
    policy["hide"] = json!(["secret-*"]);
    policy["tools"]["files/write"] = json!({ "action": "deny", "reason": "read only" });
    Setup::new()
        .server("fixture", &fixture.url)
        .policy("p", policy)
        .policy(
            "closed",
            json!({ "version": "1", "default": "deny", "tools": { "echo": {} } }),
        )
        .grant("agent", TOKEN, "fixture", "p")
        .grant("closed", "tg_closed", "fixture", "closed")
        .key("limits", json!({ "body_bytes": BODY_CAP }))
}

/// A gate in front of a fixture, a session through it, and how many requests had reached the fixture by then.
pub struct Scene {
    pub fixture: Fixture,
    pub gate: Gate,
    pub session: Session,
    reached: Value,
}

impl Scene {
    pub async fn open() -> Self {
        let fixture = Fixture::start(Era::Session);
        let gate = setup(&fixture).start();
        let session = gate.caller("fixture", TOKEN).open_session().await;
        let reached = fixture.state().await["requests"].clone();
        Self {
            fixture,
            gate,
            session,
            reached,
        }
    }

    /// What a client of the session sends with each request.
    pub fn headers(&self) -> Vec<(&str, &str)> {
        vec![
            ("MCP-Protocol-Version", "2025-11-25"),
            ("Mcp-Session-Id", &self.session.id),
        ]
    }

    /// Posts exactly this body in the session, with further headers.
    pub async fn post(&self, more: &[(&str, &str)], body: &[u8]) -> Answer {
        let headers = [&self.headers(), more].concat();
        exchange(
            self.session.caller.address(),
            &self.session.caller.request("POST", &headers, body),
        )
        .await
    }

    pub async fn assert_nothing_reached_the_server(&self, what: &str) {
        let state = self.fixture.state().await;
        assert_eq!(state["requests"], self.reached, "{what} reached the server");
        assert_eq!(state["executions"], json!({}), "{what} ran a tool");
    }
}

/// A call without arguments.
pub fn call(tool: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": tool, "arguments": {} } })
}
