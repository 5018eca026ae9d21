//! Real stdio clients of four SDKs, through `toolgate wrap`, to real stdio servers.

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
use support::http;
use support::servers::node;
use support::wrapped::{Place, decisions_in};

fn policy() -> Value {
    let mut policy = limited("start_run", 2, json!("hour"));
    policy["hide"] = json!(["secret-*", "admin_delete_user", "get-env"]);
    policy["tools"]["files/write"] = json!({ "action": "deny", "reason": "files are read-only here" });
    policy
}

fn everything() -> Command {
    node("node_modules/@modelcontextprotocol/server-everything/dist/index.js")
}

/// The fixture over stdio, and where it tells its side port.
fn fixture(place: &Place, era: &str) -> Command {
    let settings = json!({ "era": era, "control": place.path("control.json") });
    let mut command = node("fixture-stdio.mjs");
    command.arg(settings.to_string());
    command
}

/// A place for each client: each has limits of its own.
fn places() -> Vec<(Sdk, Place)> {
    Sdk::ALL
        .iter()
        .map(|&sdk| (sdk, Place::with(&policy())))
        .collect()
}

fn limited_then_allowed(era: &str) {
    let calls = json!([
        { "tool": "start_run", "times": 3 },
        { "tool": "secret-show" },
        { "tool": "files/write" },
        { "tool": "stop_run", "arguments": { "run": 1 } },
    ]);
    let places = places();
    let running: Vec<_> = places
        .iter()
        .filter(|(sdk, _)| era == "session" || sdk.is_current())
        .map(|(sdk, place)| {
            let record = place.path("record.jsonl").display().to_string();
            let words = place.words(
                &["--server", "fixture", "--record", &record],
                &fixture(place, era),
            );
            (
                *sdk,
                place,
                clients::start_stdio(*sdk, &words, &place.env(), &calls),
            )
        })
        .collect();
    for (sdk, place, running) in running {
        let run = running.finish();
        let seen = run.calls();
        let kinds: Vec<&str> = seen.iter().map(|call| call.kind.as_str()).collect();
        let expected = ["ok", "ok", "tool_error", "protocol_error", "tool_error", "ok"];
        assert_eq!(kinds, expected, "{sdk:?}: {seen:?}");
        assert!(
            seen[2]
                .text
                .starts_with("[POLICY DENIED] start_run: 2 calls per hour"),
            "{sdk:?}"
        );
        assert_eq!(seen[2].decision()["outcome"], "limited", "{sdk:?}");
        assert_eq!(seen[3].code, Some(-32602), "{sdk:?}");
        assert!(seen[4].text.contains("files are read-only here"), "{sdk:?}");
        let tools = run.tools();
        assert!(
            tools.contains(&"start_run") && tools.contains(&"files/write"),
            "{sdk:?}: {tools:?}"
        );
        let hidden = |name: &&&str| name.starts_with("secret-") || **name == "admin_delete_user";
        assert_eq!(tools.iter().filter(hidden).count(), 0, "{sdk:?}: {tools:?}");
        // the third start_run counts itself in the server: it would say 3 if a refused one had run
        assert!(seen[1].text.starts_with("run 2 "), "{sdk:?}: {}", seen[1].text);
        let recorded = std::fs::read_to_string(place.path("record.jsonl")).unwrap();
        let outcomes = decisions_in(&recorded);
        let limited = outcomes.iter().filter(|line| line["outcome"] == "limited");
        assert_eq!(limited.count(), 1, "{sdk:?}");
    }
}

#[test]
fn four_stdio_clients_read_refusals_and_go_on_in_their_session() {
    limited_then_allowed("session");
}

#[test]
fn the_current_stdio_clients_read_refusals_and_go_on() {
    limited_then_allowed("current");
}

#[test]
fn four_stdio_clients_use_the_reference_server_through_wrap_as_without_it() {
    let calls = json!([
        { "tool": "echo", "arguments": { "message": "hi" } },
        { "tool": "get-env" },
        { "tool": "get-tiny-image" },
        { "tool": "get-sum", "arguments": { "a": 2, "b": 3 } },
    ]);
    let open = json!({ "version": "1", "default": "allow" });
    let running: Vec<_> = Sdk::ALL
        .iter()
        .map(|&sdk| {
            let (gated, direct) = (Place::with(&policy()), Place::with(&open));
            let words = gated.words(&["--server", "everything"], &everything());
            let bare: Vec<String> = words
                .iter()
                .skip_while(|word| *word != "--")
                .skip(1)
                .cloned()
                .collect();
            let through = clients::start_stdio(sdk, &words, &gated.env(), &calls);
            let without = clients::start_stdio(sdk, &bare, &direct.env(), &calls);
            (sdk, gated, direct, through, without)
        })
        .collect();
    for (sdk, _gated, _direct, through, without) in running {
        let (through, without) = (through.finish(), without.finish());
        let mut tools = without.tools();
        assert!(tools.contains(&"get-env"), "{sdk:?}: {tools:?}");
        tools.retain(|name| *name != "get-env");
        assert_eq!(through.tools(), tools, "{sdk:?}");
        assert_eq!(through.protocol_version(), without.protocol_version(), "{sdk:?}");
        let (seen, mut expected) = (through.calls(), without.calls());
        assert_eq!(expected[1].kind, "ok", "{sdk:?}");
        expected[1] = seen[1].clone();
        assert_eq!(seen, expected, "{sdk:?}");
        assert_eq!(seen[1].code, Some(-32602), "{sdk:?}: {:?}", seen[1]);
    }
}

fn asked_back(client: &mut Command) -> Value {
    let place = Place::with(&policy());
    let words = place.words(&["--server", "everything"], &everything());
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
    assert!(
        text("trigger-elicitation-request").contains("declined"),
        "{answer}"
    );
    assert!(text("get-roots-list").contains("file:///tmp/a-root"), "{answer}");
    // the SDK forgets the last one where it comes together with the answer
    assert!(answer["progress"].as_u64().unwrap() >= 2, "{answer}");
    assert_eq!(text("echo"), "Echo: after");
    answer
}

#[test]
fn a_typescript_client_is_asked_back_sees_progress_and_cancels() {
    let answer = asked_back(&mut node("client-talks.mjs"));
    assert!(
        answer["cancelled"].as_str().unwrap().contains("enough"),
        "{answer}"
    );
}

#[test]
fn a_python_client_is_asked_back_and_sees_progress() {
    asked_back(&mut clients::python("mcp-1", "client_talks.py"));
}

/// One raw exchange with the fixture's side port.
async fn control(place: &Place, method: &str, path: &str) -> Value {
    let text = std::fs::read_to_string(place.path("control.json")).unwrap();
    let at: Value = serde_json::from_str(&text).unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: fixture\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    let address = http::address_of(at["control"].as_str().unwrap());
    http::exchange(address, request.as_bytes()).await.json()
}

#[tokio::test]
async fn a_cancellation_reaches_the_running_tool_and_progress_the_client() {
    let place = Place::with(&policy());
    let mut command = place.wrap(&["--server", "fixture", "--"]);
    let server = fixture(&place, "session");
    command.arg(server.get_program()).args(server.get_args());
    let mut client = support::wrapped::Wrapped::start(&mut command);
    let hello = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } });
    client.request(0, "initialize", hello);
    client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    let call = json!({ "name": "slow", "arguments": { "name": "x" }, "_meta": { "progressToken": "p" } });
    client.send(&json!({ "jsonrpc": "2.0", "id": "s/1", "method": "tools/call", "params": call }));
    let progress = |count: u64| {
        move |message: &Value| {
            message["method"] == "notifications/progress" && message["params"]["progress"] == count
        }
    };
    client.until("first progress", progress(1));
    control(&place, "POST", "/step?name=x").await;
    client.until("second progress", progress(2));
    let cancel = json!({ "requestId": "s/1", "reason": "enough" });
    client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancel }));
    support::wait::until("the tool is cancelled", || async {
        let state = control(&place, "GET", "/state").await;
        (state["cancelled"] == json!(["x"])).then_some(())
    })
    .await;
    // the list changes: told by the server, filtered when it is asked for
    control(&place, "POST", "/notify").await;
    client.until("the list changes", |message| {
        message["method"] == "notifications/tools/list_changed"
    });
    let listed = client.request(9, "tools/list", json!({})).to_string();
    assert!(
        listed.contains("start_run") && !listed.contains("secret-show"),
        "{listed}"
    );
}
