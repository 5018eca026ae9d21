//! The Inspector's command line lists and calls through toolgate, in each transport and era that it speaks.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test and its helpers a failed unwrap is a failed test"
)]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::child::Child;
use support::gate::{Folder, Gate, Setup};
use support::servers::{Conformance, Everything, bare_node};

const TOKEN: &str = "tg_agent";
const INSPECTOR: &str = "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js";
/// What the Inspector exits with where a tool answered with an error.
const TOOL_ERROR: i32 = 5;

/// `echo` is allowed twice, `hidden` does not exist.
fn gate(upstream: &str, echo: &str, hidden: &str) -> Gate {
    let limit = json!({ "counter": "echo_rate", "window": "hour", "max": 2, "scope": "grant" });
    let policy = json!({ "version": "1", "default": "allow", "hide": [hidden], "tools": { echo: { "limits": [limit] } } });
    Setup::new()
        .server("s", upstream)
        .policy("p", policy)
        .grant("agent", TOKEN, "s", "p")
        .start()
}

/// One run of the Inspector: its exit status and the JSON it printed.
fn inspect(gate: &Gate, transport: &[&str], method: &[&str]) -> (i32, Value) {
    let home = Folder::new("inspector");
    let mut command = bare_node();
    command
        // it keeps a catalog of servers there
        .env("HOME", home.path())
        .args([INSPECTOR, "--cli", "--server-url", &gate.url("s")])
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
        .args(transport)
        .arg("--method")
        .args(method);
    let mut child = Child::start("the Inspector", &mut command);
    let status = child.wait_end(Duration::from_secs(40));
    let text = child.stdout();
    let printed = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error} in `{text}`, stderr: {}", child.stderr()));
    (status.code().unwrap(), printed)
}

fn lists_calls_and_reads_a_refusal(gate: &Gate, transport: &[&str], echo: &str, hidden: &str) {
    let (status, listed) = inspect(gate, transport, &["tools/list"]);
    let names: Vec<&str> = listed["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert!(
        status == 0 && names.contains(&echo) && !names.contains(&hidden),
        "{transport:?}: {status} {names:?}"
    );
    let call = ["tools/call", "--tool-name", echo, "--tool-arg", "message=hi"];
    for _ in 0..2 {
        let (status, answer) = inspect(gate, transport, &call);
        let text = answer["content"][0]["text"].as_str().unwrap();
        assert!(
            status == 0 && text.ends_with("hi"),
            "{transport:?}: {status} {answer}"
        );
    }
    let (status, refused) = inspect(gate, transport, &call);
    let text = refused["content"][0]["text"].as_str().unwrap();
    assert_eq!(status, TOOL_ERROR, "{transport:?}: {refused}");
    assert!(
        text.starts_with(&format!("[POLICY DENIED] {echo}: 2 calls per hour")),
        "{transport:?}: {text}"
    );
}

#[test]
fn over_streamable_http_with_sessions() {
    let server = Everything::start();
    let gate = gate(&server.url, "echo", "get-env");
    let transport = ["--transport", "http", "--protocol-era", "legacy"];
    lists_calls_and_reads_a_refusal(&gate, &transport, "echo", "get-env");
}

#[test]
fn over_the_transport_of_2024_11_05() {
    let server = Everything::start_legacy();
    let gate = gate(&server.url, "echo", "get-env");
    lists_calls_and_reads_a_refusal(&gate, &["--transport", "sse"], "echo", "get-env");
}

#[test]
fn in_the_current_revision() {
    let server = Conformance::start();
    let gate = gate(&server.url, "test_echo", "test_simple_text");
    let transport = ["--transport", "http", "--protocol-era", "modern"];
    lists_calls_and_reads_a_refusal(&gate, &transport, "test_echo", "test_simple_text");
}

#[test]
fn with_the_era_found_out() {
    let server = Conformance::start();
    let gate = gate(&server.url, "test_echo", "test_simple_text");
    let transport = ["--transport", "http", "--protocol-era", "auto"];
    lists_calls_and_reads_a_refusal(&gate, &transport, "test_echo", "test_simple_text");
}
