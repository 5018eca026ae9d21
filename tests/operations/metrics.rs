//! The figures on `/metrics`: right, of closed labels, liked by promtool, and in the documents.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use regex::Regex;
use serde_json::json;

use super::exposition::{scrape, until_value};
use crate::support::child::REMEDY;
use crate::support::gate::{Gate, Setup, limited};
use crate::support::http;
use crate::support::servers::{Era, Fixture};

const DURATION: &str = "mcp_server_operation_duration_seconds_count";
const CHARGES: &str = "toolgate_limit_charges_total";

fn start(fixture: &Fixture) -> Gate {
    let mut policy = limited("start_run", 5, json!("hour"));
    policy["tools"]["stop_run"] = json!({ "action": "deny" });
    policy["tools"]["echo"] = json!({ "limits": [
        { "counter": "echoes", "window": "hour", "max": 1, "scope": "grant", "shadow": true } ] });
    Setup::new()
        .server("fixture", &fixture.url)
        .policy("p", policy)
        .grant("ci", "tg_ci", "fixture", "p")
        .start()
}

/// Decisions of many kinds.
async fn traffic(gate: &Gate) {
    let caller = gate.caller("fixture", "tg_ci");
    for _ in 0..7 {
        caller.call("start_run", &json!({})).await;
    }
    for _ in 0..3 {
        caller.call("echo", &json!({ "message": "m" })).await;
    }
    caller.call("stop_run", &json!({})).await;
    assert_eq!(
        gate.caller("fixture", "tg_no")
            .call("echo", &json!({}))
            .await
            .status,
        401
    );
    post(gate, b"{ not json").await;
    for n in 0..20 {
        caller.call(&format!("invented_{n}"), &json!({})).await;
        post(gate, &message(&format!("made/up_{n}"))).await;
    }
}

fn message(method: &str) -> Vec<u8> {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method })
        .to_string()
        .into_bytes()
}

async fn post(gate: &Gate, body: &[u8]) {
    let request = gate.caller("fixture", "tg_ci").request("POST", &[], body);
    http::exchange(&gate.proxy, &request).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_are_counted_and_promtool_has_nothing_to_say() {
    let fixture = Fixture::start(Era::Current);
    let gate = start(&fixture);
    promtool(scrape(&gate).await.text());
    traffic(&gate).await;
    let call = [
        ("mcp_method_name", "tools/call"),
        ("gen_ai_tool_name", "start_run"),
    ];
    let with = |error: &'static str| [&call[..], &[("error_type", error)]].concat();
    until_value(&gate, DURATION, &with("limited"), |count| count > 1.5).await;
    until_value(&gate, DURATION, &with(""), |count| count > 4.5).await;
    let seen = scrape(&gate).await;
    for (state, mode, counter, expected) in [
        ("within", "enforce", "start_run_rate", 3.0),
        ("near", "enforce", "start_run_rate", 2.0),
        ("over", "enforce", "start_run_rate", 2.0),
        ("near", "shadow", "echoes", 1.0),
        ("over", "shadow", "echoes", 2.0),
    ] {
        let labels = [("state", state), ("mode", mode), ("counter", counter)];
        assert_eq!(seen.value(CHARGES, &labels), Some(expected), "{labels:?}");
    }
    let denied = [("error_type", "denied"), ("gen_ai_tool_name", "stop_run")];
    assert_eq!(seen.value(DURATION, &denied), Some(1.0));
    promtool(seen.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_callers_invent_is_never_a_label_and_no_grant_is() {
    let fixture = Fixture::start(Era::Current);
    let gate = start(&fixture);
    traffic(&gate).await;
    let labels = [("mcp_method_name", "_other")];
    until_value(&gate, DURATION, &labels, |count| count > 19.5).await;
    let invented = [("tool", "_other"), ("mode", "enforce"), ("outcome", "allowed")];
    until_value(&gate, "toolgate_decisions_total", &invented, |count| count > 19.5).await;
    let text = scrape(&gate).await.text().to_owned();
    for never in ["invented_", "made/up", "tg_ci", "\"ci\""] {
        assert!(!text.contains(never), "{never} stands in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_streams_and_the_process_are_shown() {
    let fixture = Fixture::start(Era::Session);
    let gate = start(&fixture);
    let open = [("server", "fixture")];
    assert_eq!(
        scrape(&gate).await.value("toolgate_open_streams", &open),
        Some(0.0)
    );
    let session = gate.caller("fixture", "tg_ci").open_session().await;
    let (head, events) = session.listen().await;
    assert_eq!(head.status, 200);
    until_value(&gate, "toolgate_open_streams", &open, |count| count > 0.5).await;
    drop(events);
    until_value(&gate, "toolgate_open_streams", &open, |count| count < 0.5).await;
    let seen = scrape(&gate).await;
    let value = |name| seen.value(name, &[]).unwrap_or_else(|| panic!("no {name}"));
    assert!(value("process_resident_memory_bytes") > 1e6);
    assert!(value("process_open_fds") > 5.0 && value("process_threads") > 1.0);
}

/// `promtool check metrics` reads these lines and complains of none.
fn promtool(text: &str) {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("promtool does not start ({error}): {REMEDY}"));
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(
        output.status.success() && said.trim().is_empty(),
        "{said}\n{text}"
    );
}

/// The names of metrics between these marks.
fn names(text: &str, mark: &str) -> BTreeSet<String> {
    let name = Regex::new(&format!("{mark}((?:toolgate|mcp|process)_[a-z0-9_]+){mark}")).unwrap();
    name.captures_iter(text)
        .map(|found| found[1].to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_is_in_the_documents_and_nothing_else_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/metrics.md")).unwrap();
    let documented = names(&page, "`");
    let mut written = BTreeSet::new();
    let files = std::fs::read_dir(root.join("src/record")).unwrap();
    let files = files
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file());
    for path in files {
        let text = std::fs::read_to_string(path).unwrap();
        written.extend(names(&text, "\""));
    }
    assert_eq!(documented, written, "docs/metrics.md and src/record differ");

    let fixture = Fixture::start(Era::Current);
    let gate = start(&fixture);
    traffic(&gate).await;
    let shown = scrape(&gate).await;
    let shown: BTreeSet<String> = shown
        .text()
        .lines()
        .filter_map(|line| Some(line.strip_prefix("# TYPE ")?.split(' ').next()?.to_owned()))
        .collect();
    let missing: Vec<_> = shown.difference(&documented).collect();
    assert!(missing.is_empty(), "not in docs/metrics.md: {missing:?}");
    assert!(shown.len() > 15, "{shown:?}");
}
