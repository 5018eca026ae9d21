//! Two grants before one command never meet, and nothing gets round the policy on its way to a process.

use serde_json::{Value, json};

use super::support::gate::Folder;
use super::support::http::exchange;
use super::support::mcp::Session;
use super::support::ways_round;
use super::{OTHER, TOKEN, count, gate, log, processes, raw};

#[tokio::test]
async fn two_grants_have_processes_and_sessions_of_their_own() {
    for sessions in ["each", "shared"] {
        let folder = Folder::new("raw");
        let gate = gate(&raw(&folder, false), &json!({ "sessions": sessions }));
        let mine = gate.caller("s", TOKEN).open_session().await;
        let theirs = gate.caller("s", OTHER).open_session().await;
        assert_eq!(processes(&folder).len(), 2, "{sessions}");
        // one that steals the other's id is told of no such session
        let stolen = Session {
            caller: gate.caller("s", OTHER),
            id: mine.id.clone(),
        };
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "echo" } });
        assert_eq!(stolen.post(&call).await.status, 404, "{sessions}");
        assert_eq!(stolen.delete().await.status, 404, "{sessions}");
        assert_eq!(stolen.listen().await.0.status, 404, "{sessions}");
        assert_eq!(count(&folder, "ran echo"), 0);
        // what one process says is for its own grant
        let (_, mut my_events) = mine.listen().await;
        let (_, mut their_events) = theirs.listen().await;
        mine.call("news", &json!({ "uri": "file:///mine" })).await;
        theirs.call("news", &json!({ "uri": "file:///theirs" })).await;
        let uri = |event: Option<Value>| event.unwrap()["params"]["uri"].clone();
        assert_eq!(uri(my_events.next().await), "file:///mine", "{sessions}");
        assert_eq!(uri(their_events.next().await), "file:///theirs", "{sessions}");
        // without sessions too
        gate.caller("s", TOKEN).call("echo", &json!({})).await;
        gate.caller("s", OTHER).call("echo", &json!({})).await;
        assert_eq!(processes(&folder).len(), 4, "{sessions}");
    }
}

#[tokio::test]
async fn no_way_round_runs_a_denied_tool_and_hidden_tools_are_cut_from_every_list() {
    let folder = Folder::new("raw");
    let gate = gate(&raw(&folder, false), &json!({}));
    let session = gate.caller("s", TOKEN).open_session().await;
    let headers = [
        ("MCP-Protocol-Version", "2025-11-25"),
        ("Mcp-Session-Id", session.id.as_str()),
    ];
    let address = session.caller.address();
    for (what, body, _) in ways_round::lines() {
        let request = session.caller.request("POST", &headers, &body);
        exchange(address, &request).await;
        session
            .post(&json!({ "jsonrpc": "2.0", "id": "after", "method": "ping" }))
            .await;
        assert_eq!(count(&folder, "ran files/write"), 0, "{what}");
    }
    // what passes is one line, whatever breaks the body has
    let broken =
        "{\"jsonrpc\":\"2.0\",\r\n\"id\":1,\r\"method\":\"tools/call\",\n\"params\":{\"name\":\"echo\"}}";
    let request = session.caller.request("POST", &headers, broken.as_bytes());
    assert_eq!(exchange(address, &request).await.status, 200);
    assert_eq!(count(&folder, "ran echo"), 1);
    let lines = log(&folder);
    assert!(
        lines
            .iter()
            .any(|line| line.contains("\"2.0\",  \"id\":1, \"method\"")),
        "{lines:?}"
    );
    // lists under any name
    let listed = session
        .post(&json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" }))
        .await;
    assert!(listed.text().contains("start_run") && !listed.text().contains("secret-show"));
    let (_, mut events) = session.listen().await;
    let leaked = session.call("leak", &json!({})).await;
    assert_eq!(leaked.text(), "leaked");
    // the batch's notification came, the lists that nobody had asked for did not
    assert_eq!(events.next().await.unwrap()["method"], "notifications/x");
    // a line that is no message is dropped, and the answer behind it passes
    let chatter = session.call("chatter", &json!({})).await;
    assert_eq!(chatter.text(), "split");
}

#[tokio::test]
async fn a_line_of_a_process_beyond_the_cap_is_replaced_by_an_error_for_its_request() {
    let folder = Folder::new("raw");
    let gate = super::setup(&raw(&folder, false), &json!({}))
        .key("limits", json!({ "line_bytes": 30_000 }))
        .start();
    let session = gate.caller("s", TOKEN).open_session().await;
    let fits = session.call("long", &json!({ "bytes": 29_000 })).await;
    assert_eq!(fits.message["result"]["x"].as_str().unwrap().len(), 29_000);
    let long = session.call("long", &json!({ "bytes": 40_000 })).await;
    assert_eq!(long.message["error"]["code"], 502, "{}", long.message);
    let text = long.message["error"]["message"].as_str().unwrap();
    assert!(
        text.contains("30000 bytes") && text.contains("was forwarded"),
        "{text}"
    );
    assert_eq!(session.call("echo", &json!({})).await.text(), "echo ran");
}
