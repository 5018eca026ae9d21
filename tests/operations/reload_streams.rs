//! Streams that are open while policies change: they are told, and the lists that pass on them are of the new policy.

use serde_json::{Value, json};

use super::reload::{hang_up, replace};
use crate::support::gate::Setup;
use crate::support::http::{Wire, exchange};
use crate::support::mcp::Caller;
use crate::support::servers::Everything;
use crate::support::wait::{PATIENCE, within};

/// A stream of the transport of 2024-11-05, on which all answers come.
struct Stream {
    wire: Wire,
    text: String,
    caller: Caller,
}

impl Stream {
    /// Everything up to this text; it is not seen again.
    async fn until(&mut self, wanted: &str) -> String {
        let what = format!("{wanted} on the stream");
        within(&what, PATIENCE, async {
            loop {
                if let Some(at) = self.text.find(wanted) {
                    let rest = self.text.split_off(at + wanted.len());
                    return std::mem::replace(&mut self.text, rest);
                }
                let piece = self.wire.piece().await.expect("the stream ended");
                self.text += &String::from_utf8_lossy(&piece);
            }
        })
        .await
    }

    async fn post(&self, message: &Value) {
        let request = self.caller.request("POST", &[], message.to_string().as_bytes());
        let answer = exchange(self.caller.address(), &request).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
    }

    /// The names of the tools that the server lists.
    async fn list(&mut self, id: u64) -> Vec<String> {
        self.post(&json!({ "jsonrpc": "2.0", "id": id, "method": "tools/list" }))
            .await;
        loop {
            self.until("data:").await;
            let data = self.until("\n").await;
            let Ok(message) = serde_json::from_str::<Value>(data.trim()) else {
                continue;
            };
            if message["id"] == id {
                let tools = message["result"]["tools"].as_array().unwrap().iter();
                return tools
                    .map(|tool| tool["name"].as_str().unwrap().to_owned())
                    .collect();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_on_a_stream_that_was_open_before_shows_the_new_policy() {
    let server = Everything::start_legacy();
    let gate = Setup::new()
        .server("everything", &server.url)
        .policy("p", json!({ "version": "1", "default": "allow" }))
        .grant("ci", "tg_ci", "everything", "p")
        .start();
    let caller = gate.caller("everything", "tg_ci");
    let mut wire = caller
        .send_only(&caller.request("GET", &[("Accept", "text/event-stream")], b""))
        .await;
    assert_eq!(wire.head().await.status, 200);
    let mut stream = Stream {
        wire,
        text: String::new(),
        caller,
    };
    stream.until("event: endpoint\ndata: ").await;
    let endpoint = stream.until("\n").await;
    stream.caller = Caller::new(&format!("http://{}{}", gate.proxy, endpoint.trim()), "tg_ci");
    let hello = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": { "protocolVersion": "2024-11-05",
        "capabilities": {}, "clientInfo": { "name": "toolgate-test", "version": "1" } } });
    stream.post(&hello).await;
    stream.until("serverInfo").await;
    stream
        .post(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))
        .await;
    let before = stream.list(1).await;
    assert!(
        before.iter().any(|tool| tool == "echo") && before.len() > 2,
        "{before:?}"
    );

    replace(
        &gate.folder,
        "policies/p.json",
        r#"{"version":"1","default":"allow","hide":["echo"]}"#,
    );
    hang_up(&gate);
    stream.until("notifications/tools/list_changed").await;
    let after = stream.list(2).await;
    assert!(
        !after.iter().any(|tool| tool == "echo") && after.len() + 1 == before.len(),
        "{after:?}"
    );
}
