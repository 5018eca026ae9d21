//! Real stdio clients through `toolgate wrap --upstream` to real servers of Streamable HTTP.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test and its helpers a failed unwrap is a failed test"
)]

mod support;

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use support::child::Child;
use support::clients::{self, Sdk};
use support::gate::limited;
use support::servers::{Era, Everything, Fixture, node};
use support::wrapped::{Place, Wrapped, text_of};

fn policy() -> Value {
    let mut policy = limited("start_run", 2, json!("hour"));
    policy["hide"] = json!(["secret-*", "admin_delete_user"]);
    policy
}

async fn limited_then_allowed(era: Era, sdks: &[Sdk]) {
    let fixture = Fixture::start(era);
    let calls = json!([
        { "tool": "start_run", "times": 3 },
        { "tool": "secret-show" },
        { "tool": "stop_run", "arguments": { "run": 1 } },
    ]);
    let running: Vec<_> = sdks
        .iter()
        .map(|&sdk| {
            let place = Place::with(&policy());
            let words = place.words_for(&fixture.url, &["--server", "fixture"]);
            let running = clients::start_stdio(sdk, &words, &place.env(), &calls);
            (sdk, place, running)
        })
        .collect();
    for (sdk, _place, running) in running {
        let run = running.finish();
        let seen = run.calls();
        let kinds: Vec<&str> = seen.iter().map(|call| call.kind.as_str()).collect();
        assert_eq!(
            kinds,
            ["ok", "ok", "tool_error", "protocol_error", "ok"],
            "{sdk:?}: {seen:?}"
        );
        assert_eq!(seen[2].decision()["outcome"], "limited", "{sdk:?}");
        let tools = run.tools();
        assert!(
            tools.contains(&"start_run") && !tools.contains(&"secret-show"),
            "{sdk:?}: {tools:?}"
        );
        let version = if era == Era::Session {
            "2025-11-25"
        } else {
            "2026-07-28"
        };
        if sdk != Sdk::TypeScript1 {
            // that one does not tell which it speaks over stdio
            assert_eq!(run.protocol_version(), version, "{sdk:?}");
        }
    }
    let state = fixture.state().await;
    let expected = json!({ "start_run": 2 * sdks.len(), "stop_run": sdks.len() });
    assert_eq!(state["executions"], expected);
    if era == Era::Session {
        fixture
            .until("every session is ended", |state| state["sessions"] == 0)
            .await;
    }
}

#[tokio::test]
async fn four_stdio_clients_reach_an_http_server_with_sessions() {
    limited_then_allowed(Era::Session, &Sdk::ALL).await;
}

#[tokio::test]
async fn the_current_stdio_clients_reach_an_http_server_without_sessions() {
    limited_then_allowed(Era::Current, &[Sdk::TypeScript2, Sdk::Python2]).await;
}

fn asked_back(client: &mut Command) -> Value {
    let server = Everything::start();
    let place = Place::with(&policy());
    let words = place.words_for(&server.url, &[]);
    let spec = json!({ "command": words, "env": place.env() });
    let mut child = Child::start("client that is asked back", client.arg(spec.to_string()));
    child.wait_end(Duration::from_secs(90));
    let answer = child.json_lines().pop().expect("the client prints its answer");
    assert!(answer["failed"].is_null(), "{answer}");
    let text = |tool: &str| answer["texts"][tool].as_str().unwrap_or_default().to_owned();
    assert_eq!(answer["asked"], json!(["sampling", "elicitation", "roots"]));
    assert!(
        text("trigger-sampling-request").contains("sampled words"),
        "{answer}"
    );
    assert!(text("get-roots-list").contains("file:///tmp/a-root"), "{answer}");
    // the SDK forgets the last one where it comes together with the answer
    assert!(answer["progress"].as_u64().unwrap() >= 2, "{answer}");
    assert_eq!(text("echo"), "Echo: after");
    answer
}

#[test]
fn a_typescript_client_is_asked_back_by_an_http_server() {
    let answer = asked_back(&mut node("client-talks.mjs"));
    assert!(
        answer["cancelled"].as_str().unwrap().contains("enough"),
        "{answer}"
    );
}

#[test]
fn a_python_client_is_asked_back_by_an_http_server() {
    asked_back(&mut clients::python("mcp-1", "client_talks.py"));
}

/// A client of ours in a session with the fixture.
fn client_of(place: &Place, url: &str) -> Wrapped {
    let mut client = Wrapped::start(place.wrap(&["--server", "fixture"]).args(["--upstream", url]));
    let hello = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } });
    client.request(0, "initialize", hello);
    client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    client
}

#[tokio::test]
async fn a_cancellation_and_what_the_server_says_by_itself_find_their_way() {
    let fixture = Fixture::start(Era::Session);
    let place = Place::with(&policy());
    let mut client = client_of(&place, &fixture.url);
    fixture
        .until("its own stream is open", |state| state["openStreams"] == 1)
        .await;
    fixture.notify().await;
    client.until("the list changes", |message| {
        message["method"] == "notifications/tools/list_changed"
    });
    let call = json!({ "name": "slow", "arguments": { "name": "x" }, "_meta": { "progressToken": "p" } });
    client.send(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call }));
    client.until("progress", |message| {
        message["method"] == "notifications/progress"
    });
    client.send(
        &json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } }),
    );
    fixture
        .until("the tool is cancelled", |state| {
            state["cancelled"] == json!(["x"])
        })
        .await;
    assert_eq!(
        text_of(&client.call(2, "stop_run", json!({}))),
        "run 0 stopped (1)"
    );
    client.close_stdin();
    assert_eq!(client.end().code(), Some(0));
}

#[tokio::test]
async fn in_the_current_revision_a_cancellation_closes_the_request() {
    let fixture = Fixture::start(Era::Current);
    let place = Place::with(&policy());
    let mut client = Wrapped::start(place.wrap(&[]).args(["--upstream", &fixture.url]));
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "t", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
        "progressToken": "p",
    });
    let call = json!({ "name": "slow", "arguments": { "name": "x" }, "_meta": meta });
    client.send(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call }));
    client.until("progress", |message| {
        message["method"] == "notifications/progress"
    });
    client.send(
        &json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } }),
    );
    fixture
        .until("the tool is cancelled", |state| {
            state["cancelled"] == json!(["x"])
        })
        .await;
    client.close_stdin();
    assert_eq!(client.end().code(), Some(0));
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_costs_nothing_and_the_session_lives_on() {
    let mut fixture = Fixture::start(Era::Session);
    let place = Place::with(&policy());
    let mut client = client_of(&place, &fixture.url);
    assert_eq!(
        text_of(&client.call(1, "start_run", json!({}))),
        "run 1 of default started"
    );
    fixture.kill();
    for id in 2..6 {
        let error = client.call(id, "start_run", json!({}))["error"].clone();
        assert_eq!(error["code"], 502, "{error}");
        assert!(
            error["message"].as_str().unwrap().contains("was not executed"),
            "{error}"
        );
    }
    client.close_stdin();
    client.end();
    let decisions = client.decisions();
    let unsent = decisions
        .iter()
        .filter(|line| line["upstream"]["ended"] == "unsent");
    assert_eq!(unsent.count(), 4, "{}", client.stderr());
}

#[test]
fn a_page_about_an_error_is_an_error_for_its_request() {
    let server = Everything::start();
    let place = Place::with(&policy());
    // no session yet: the reference server answers 400
    let mut client = Wrapped::start(place.wrap(&[]).args(["--upstream", &server.url]));
    let refused = client.call(7, "echo", json!({ "message": "x" }));
    assert!(refused["error"]["code"].is_i64(), "{refused}");
    let nowhere = server.url.replace("/mcp", "/nowhere");
    let mut client = Wrapped::start(place.wrap(&[]).args(["--upstream", &nowhere]));
    let refused = client.call(8, "echo", json!({ "message": "x" }));
    assert_eq!(refused["error"]["code"], 502, "{refused}");
    assert!(
        refused["error"]["message"].as_str().unwrap().contains("404"),
        "{refused}"
    );
    client.signal("TERM");
    assert_eq!(client.end().code(), Some(143));
}
