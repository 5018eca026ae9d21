//! Clients of 2026-07-28 that can send their user to a URL are pointed to the page where people decide.

use serde_json::{Value, json};
use toolgate::approvals::State;

use crate::approvals::{POLICY, decide, decisions, needs_approval, waits};
use crate::wire::OTHER;
use crate::wire::client::{Answer, Req, post};
use crate::wire::gate::{Setup, open};

fn pointing(hold_ms: u32) -> Setup {
    let hash = "0".repeat(64);
    Setup::policy(POLICY)
        .settings("console: 127.0.0.1:0")
        .settings("console_url: https://approve.example")
        .settings(&format!(
            "approvals: {{ hold_ms: {hold_ms}, approvers: approvers.yaml }}"
        ))
        .file(
            "approvers.yaml",
            &format!("approvers: [ {{ id: ann, token_sha256: '{hash}', role: approver }} ]"),
        )
}

/// A call with these further members of `params`; the client declares what it can do.
fn current(arguments: &str, more: &str, elicitation: &str) -> Req {
    let meta = format!(
        r#""_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{"elicitation":{elicitation}}}}}"#
    );
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":"q/1","method":"tools/call","params":{{"name":"refund",{more}"arguments":{arguments},{meta}}}}}"#
    );
    post(body)
        .header("MCP-Protocol-Version", "2026-07-28")
        .header("Mcp-Method", "tools/call")
        .header("Mcp-Name", "refund")
}

const URLS: &str = r#"{"form":{},"url":{}}"#;

fn back(arguments: &str, state: &str, action: &str) -> Req {
    let more = format!(
        r#""inputResponses":{{"toolgate_approval":{{"action":"{action}"}}}},"requestState":"{state}","#
    );
    current(arguments, &more, URLS)
}

/// The state that the client is to bring back.
#[track_caller]
fn pointed(answer: &Answer) -> String {
    let result = answer.json()["result"].clone();
    assert_eq!(result["resultType"], "input_required", "{result}");
    result["requestState"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_client_is_pointed_to_the_request_on_the_page_and_its_call_runs_without_the_answer() {
    let (gate, upstream) = open(pointing(60_000)).await;
    let answer = gate.ask(&current("{}", "", URLS)).await;
    let state = pointed(&answer);
    let approval = waits(&gate.approvals).await;
    let json = answer.json();
    let question = &json["result"]["inputRequests"]["toolgate_approval"];
    assert_eq!(json["id"], "q/1");
    assert_eq!(question["method"], "elicitation/create");
    assert_eq!(question["params"]["mode"], "url");
    assert_eq!(
        question["params"]["url"],
        json!(format!("https://approve.example/#{}", approval.id))
    );
    let decision = &json["result"]["_meta"]["toolgate/decision"];
    assert_eq!(decision["approvalId"], json!(approval.id.to_string()));
    assert_eq!(decision["executed"], false);
    // back, it waits; what is forwarded is the call as it was first
    let mut client = gate.client().await;
    client.send(&back("{}", &state, "accept").bytes()).await;
    decide(&gate.approvals, &approval, true, "ann").await;
    assert!(client.answer().await.ran());
    assert_eq!(upstream.count(), 1);
    let sent: Value = serde_json::from_slice(&upstream.last().body).unwrap();
    assert_eq!(sent["params"]["requestState"], Value::Null);
    assert_eq!(sent["params"]["inputResponses"], Value::Null);
    assert_eq!(sent["params"]["arguments"], json!({}));
    // used up: the same answer points to a new request
    let next = pointed(&gate.ask(&current("{}", "", URLS)).await);
    assert_ne!(next, state);
    let records = gate.ended().await;
    let outcomes: Vec<_> = decisions(&records)
        .iter()
        .map(|line| line["outcome"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(outcomes, ["needs_approval", "allowed", "needs_approval"]);
}

#[tokio::test]
async fn a_client_that_comes_back_too_early_is_pointed_again_and_one_that_declined_is_told() {
    let (gate, upstream) = open(pointing(200)).await;
    let state = pointed(&gate.ask(&current("{}", "", URLS)).await);
    assert_eq!(pointed(&gate.ask(&back("{}", &state, "accept")).await), state);
    for action in ["decline", "cancel"] {
        let answer = gate.ask(&back("{}", &state, action)).await;
        let approval = waits(&gate.approvals).await;
        assert_eq!(needs_approval(&answer), approval.id.to_string());
        assert!(answer.tool_error().contains("must approve"), "{}", answer.text());
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_state_that_is_forged_foreign_or_of_another_call_is_refused() {
    let (gate, upstream) = open(pointing(0)).await;
    let state = pointed(&gate.ask(&current("{}", "", URLS)).await);
    decide(&gate.approvals, &waits(&gate.approvals).await, true, "ann").await;
    let invented = format!("toolgate-approval.{}.1.x.AAAA", "0".repeat(32));
    for forged in [
        state.replace("approval.", "approval.0"),
        format!("{state}A"),
        invented,
    ] {
        let answer = gate.ask(&back("{}", &forged, "accept")).await;
        assert_eq!(answer.json()["error"]["code"], -32602, "{}", answer.text());
    }
    let stolen = gate.ask(&back("{}", &state, "accept").token(OTHER)).await;
    assert_eq!(stolen.json()["error"]["code"], -32602, "{}", stolen.text());
    let other = gate.ask(&back(r#"{"amount":1}"#, &state, "accept")).await;
    assert_eq!(other.decision()["outcome"], "invalid", "{}", other.text());
    assert_eq!(upstream.count(), 0);
    let pending = gate.approvals.list(Some(State::Pending)).await.unwrap();
    assert!(pending.is_empty(), "nobody was asked about any of these");
    assert!(gate.ask(&back("{}", &state, "accept")).await.ran());
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn other_clients_and_calls_that_answer_the_server_are_told_as_before() {
    let (gate, _upstream) = open(pointing(0)).await;
    for call in [
        current("{}", "", "{}"),
        current("{}", "", r#"{"form":{}}"#),
        current(
            "{}",
            r#""requestState":"the server's","inputResponses":{"x":{}},"#,
            URLS,
        ),
    ] {
        needs_approval(&gate.ask(&call).await);
    }
}
