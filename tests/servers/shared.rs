//! Several clients on one process: each gets its own answers, progress and cancellations, under its own ids.

use serde_json::{Value, json};

use super::support::gate::Folder;
use super::support::http::{Answer, exchange};
use super::support::mcp::Session;
use super::{TOKEN, count, gate, log, processes, raw, until_logged};

fn call(id: &str, tool: &str, arguments: &Value, token: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments},"_meta":{{"progressToken":{token}}}}}}}"#
    )
}

async fn post(session: &Session, body: &str) -> Answer {
    let headers = [
        ("MCP-Protocol-Version", "2025-11-25"),
        ("Mcp-Session-Id", session.id.as_str()),
    ];
    let request = session.caller.request("POST", &headers, body.as_bytes());
    exchange(session.caller.address(), &request).await
}

#[tokio::test]
async fn the_same_ids_and_tokens_of_two_sessions_are_told_apart_and_come_back_byte_for_byte() {
    let folder = Folder::new("raw");
    let gate = gate(&raw(&folder, false), &json!({ "sessions": "shared" }));
    let caller = gate.caller("s", TOKEN);
    let (one, two) = (caller.open_session().await, caller.open_session().await);
    assert_eq!(processes(&folder).len(), 1);
    for id in ["1", "1.0e0", r#""a\/\u0062""#, "12345678901234567890"] {
        let slow = call(id, "later", &json!({ "ms": 300, "say": "one" }), "1");
        let fast = call(id, "later", &json!({ "ms": 30, "say": "two" }), "1");
        let (slow, fast) = tokio::join!(post(&one, &slow), post(&two, &fast));
        for (answer, text) in [(slow, "one"), (fast, "two")] {
            let said = answer.text();
            assert!(said.contains(&format!("\"id\": {id},")), "{id}: {said}");
            assert_eq!(answer.json()["result"]["content"][0]["text"], text, "{id}");
        }
    }
    let token = r#""p\u0031""#;
    let first = call("9", "progress", &json!({ "progress": 10 }), token);
    let second = call("9", "progress", &json!({ "progress": 20 }), token);
    let (first, second) = tokio::join!(post(&one, &first), post(&two, &second));
    for (answer, progress) in [(first, 10), (second, 20)] {
        let said = answer.text();
        assert_eq!(said.matches("notifications/progress").count(), 1, "{said}");
        let own = format!("\"progressToken\": {token}, \"progress\": {progress}");
        assert!(said.contains(&own), "{said}");
    }
}

#[tokio::test]
async fn a_cancellation_ends_its_own_sessions_call_and_no_other() {
    let folder = Folder::new("raw");
    let gate = gate(&raw(&folder, false), &json!({ "sessions": "shared" }));
    let caller = gate.caller("s", TOKEN);
    let (one, two) = (caller.open_session().await, caller.open_session().await);
    let ends = call("7", "later", &json!({ "ms": 60_000 }), "1");
    let stays = call("7", "later", &json!({ "ms": 1_500, "say": "stays" }), "1");
    let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 7, "reason": "enough" } });
    let (ended, stayed, ()) = tokio::join!(post(&one, &ends), post(&two, &stays), async {
        until_logged(&folder, "ran later", 2).await;
        assert_eq!(one.post(&cancel).await.status, 202);
        // once more there is nothing to stop
        assert_eq!(one.post(&cancel).await.status, 202);
    });
    assert_eq!((ended.status, ended.text().as_str()), (200, ""));
    assert_eq!(stayed.json()["result"]["content"][0]["text"], "stays");
    let lines = log(&folder);
    let told: Vec<&String> = lines.iter().filter(|line| line.contains("cancelled")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    let asked = lines.iter().find(|line| line.contains("60000")).unwrap();
    let number = asked.split("\"id\":").nth(1).unwrap().split(',').next().unwrap();
    assert!(
        told[0].contains(&format!("\"requestId\":{number}")) && told[0].contains("enough"),
        "{told:?} {number}"
    );
}

#[tokio::test]
async fn a_client_that_leaves_cancels_in_2026_07_28_and_does_not_before() {
    let folder = Folder::new("raw");
    let gate = gate(&raw(&folder, false), &json!({}));
    let caller = gate.caller("s", TOKEN);
    let wire = caller
        .send_only(&caller.current_request("later", &json!({ "ms": 60_000 }), 5))
        .await;
    until_logged(&folder, "ran later", 1).await;
    drop(wire);
    super::support::wait::until("the process is told", || async {
        let told = |line: &String| line.contains("notifications/cancelled");
        log(&folder).iter().any(told).then_some(())
    })
    .await;
    let session = caller.open_session().await;
    let body = call("1", "later", &json!({ "ms": 60_000 }), "1");
    let headers = [("Mcp-Session-Id", session.id.as_str())];
    let wire = caller
        .send_only(&caller.request("POST", &headers, body.as_bytes()))
        .await;
    until_logged(&folder, "ran later", 2).await;
    drop(wire);
    gate.until_decisions("the client that left is recorded", 2, |line| {
        line["tool"] == "later" && line["upstream"]["ended"] == "aborted"
    })
    .await;
    // the session goes on, and nobody was told to stop
    assert_eq!(session.call("echo", &json!({})).await.text(), "echo ran");
    let lines = log(&folder);
    let told = lines
        .iter()
        .filter(|line| line.contains("notifications/cancelled"));
    assert_eq!(told.count(), 1);
}

#[tokio::test]
async fn a_shared_process_that_asks_a_client_is_answered_by_the_gate() {
    let folder = Folder::new("raw");
    let gate = gate(&raw(&folder, false), &json!({ "sessions": "shared" }));
    let session = gate.caller("s", TOKEN).open_session().await;
    let answer = session.call("ask", &json!({})).await;
    assert_eq!(answer.text(), "the client said null", "{}", answer.message);
    assert!(log(&folder).iter().any(|line| line.contains("share the process")));
    // an answer of a client's own to it goes nowhere
    let forged = json!({ "jsonrpc": "2.0", "id": "question", "result": { "forged": true } });
    assert_eq!(session.post(&forged).await.status, 202);
    session.call("echo", &json!({})).await;
    assert!(!log(&folder).iter().any(|line| line.contains("forged")));
    assert_eq!(count(&folder, "ran ask"), 1);
}

#[tokio::test]
async fn a_subscription_of_2026_07_28_is_acknowledged_under_its_own_id() {
    let folder = Folder::new("raw");
    let gate = gate(&raw(&folder, false), &json!({}));
    let caller = gate.caller("s", TOKEN);
    let meta = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28" });
    let body = json!({ "jsonrpc": "2.0", "id": "l/1", "method": "subscriptions/listen",
        "params": { "notifications": { "toolsListChanged": true }, "_meta": meta } });
    let headers = [
        ("MCP-Protocol-Version", "2026-07-28"),
        ("Mcp-Method", "subscriptions/listen"),
    ];
    let request = caller.request("POST", &headers, body.to_string().as_bytes());
    let mut wire = caller.send_only(&request).await;
    assert_eq!(wire.head().await.status, 200);
    let mut events = super::support::http::Events::new(wire);
    let first = events.next().await.unwrap();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    let id = &first["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
    assert_eq!(id, "l/1", "{first}");
}
