//! Real clients of four SDKs, through toolgate, to real servers: what a refusal looks like from inside an agent.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test and its helpers a failed unwrap is a failed test"
)]

mod support;

use serde_json::{Value, json};
use support::clients::{self, Run, Sdk, Seen};
use support::gate::{Gate, Setup, limited};
use support::servers::{Era, Everything, Fixture};

const MAX: usize = 10;

/// `start_run` is limited, two families of tools are hidden, one tool is denied with a reason.
fn policy() -> Value {
    let mut policy = limited("start_run", MAX as u64, json!("minute"));
    policy["hide"] = json!(["secret-*", "admin_delete_user"]);
    policy["tools"]["files/write"] = json!({ "action": "deny", "reason": "files are read-only here" });
    policy
}

/// Each SDK has a grant of its own, so that each has its own ten.
fn gate(server: &str, upstream: &str, policy: Value) -> Gate {
    let setup = Setup::new().server(server, upstream).policy("p", policy);
    Sdk::ALL
        .iter()
        .fold(setup, |setup, &sdk| {
            setup.grant(&grant_of(sdk), &token_of(sdk), server, "p")
        })
        .start()
}

fn grant_of(sdk: Sdk) -> String {
    format!("agent-{sdk:?}")
}

fn token_of(sdk: Sdk) -> String {
    format!("tg_test_{sdk:?}")
}

/// Runs the SDKs side by side.
fn run_all(gate: &Gate, server: &str, sdks: &[Sdk], calls: &Value) -> Vec<(Sdk, Run)> {
    let url = gate.url(server);
    let started: Vec<_> = sdks
        .iter()
        .map(|&sdk| (sdk, clients::start(sdk, &url, &token_of(sdk), calls)))
        .collect();
    started
        .into_iter()
        .map(|(sdk, running)| (sdk, running.finish()))
        .collect()
}

/// What every agent must be able to read from a call over the limit.
fn assert_limited(sdk: Sdk, seen: &Seen, tool: &str) {
    assert_eq!(seen.kind, "tool_error", "{sdk:?}: {seen:?}");
    let text = &seen.text;
    assert!(
        text.starts_with(&format!("[POLICY DENIED] {tool}: ")),
        "{sdk:?}: {text}"
    );
    assert!(
        text.contains("10 calls per minute"),
        "{sdk:?}: the text names no limit: {text}"
    );
    assert!(
        text.contains("Try again in "),
        "{sdk:?}: the text names no wait: {text}"
    );
    assert!(text.ends_with("The call was not executed."), "{sdk:?}: {text}");
    let decision = seen.decision();
    assert_eq!(decision["outcome"], "limited", "{sdk:?}: {seen:?}");
    assert_eq!(decision["executed"], false, "{sdk:?}");
    assert_eq!(
        decision["rule"],
        format!("/tools/{tool}/limits/{tool}_rate"),
        "{sdk:?}"
    );
    let wait = decision["retryAfterMs"].as_u64().unwrap();
    assert!(
        (1..=60_001).contains(&wait),
        "{sdk:?}: a wait of {wait} ms for a window of a minute"
    );
}

/// Twelve calls of the limited tool, then another tool in the same session.
fn twelve_then_echo(tool: &str, arguments: &Value) -> Value {
    json!([
        { "tool": tool, "arguments": arguments, "times": MAX + 2 },
        { "tool": "stop_run", "arguments": { "run": 1 } },
    ])
}

async fn each_client_reads_the_limit_and_goes_on(era: Era, sdks: &[Sdk]) {
    let fixture = Fixture::start(era);
    let gate = gate("fixture", &fixture.url, policy());
    for (sdk, run) in run_all(&gate, "fixture", sdks, &twelve_then_echo("start_run", &json!({}))) {
        let seen = run.calls();
        let (admitted, rest) = seen.split_at(MAX);
        assert!(
            admitted.iter().all(|call| call.kind == "ok"),
            "{sdk:?}: {admitted:?}"
        );
        assert_limited(sdk, &rest[0], "start_run");
        assert_limited(sdk, &rest[1], "start_run");
        assert_eq!(
            (rest[2].kind.as_str(), rest[2].tool.as_str()),
            ("ok", "stop_run"),
            "{sdk:?}: {rest:?}"
        );
        let version = if era == Era::Session {
            "2025-11-25"
        } else {
            "2026-07-28"
        };
        assert_eq!(run.protocol_version(), version, "{sdk:?}");
    }
    let sdks = sdks.len();
    assert_eq!(
        fixture.executions("start_run").await,
        (MAX * sdks) as u64,
        "executions are not the admitted calls"
    );
    assert_eq!(fixture.executions("stop_run").await, sdks as u64);
    let limited = gate.until_decisions("the refusals are logged", 2 * sdks, |line| {
        line["outcome"] == "limited"
    });
    assert_eq!(limited.await.len(), 2 * sdks);
}

#[tokio::test]
async fn four_clients_read_the_limit_as_a_tool_error_and_go_on_in_their_session() {
    each_client_reads_the_limit_and_goes_on(Era::Session, &Sdk::ALL).await;
}

#[tokio::test]
async fn the_current_clients_read_the_limit_as_a_tool_error_without_sessions() {
    each_client_reads_the_limit_and_goes_on(Era::Current, &[Sdk::TypeScript2, Sdk::Python2]).await;
}

#[tokio::test]
async fn four_clients_read_the_limit_in_front_of_the_reference_server() {
    let server = Everything::start();
    let gate = gate(
        "everything",
        &server.url,
        limited("echo", MAX as u64, json!("minute")),
    );
    let calls = json!([
        { "tool": "echo", "arguments": { "message": "hi" }, "times": MAX + 1 },
        { "tool": "get-sum", "arguments": { "a": 2, "b": 3 } },
    ]);
    for (sdk, run) in run_all(&gate, "everything", &Sdk::ALL, &calls) {
        let seen = run.calls();
        let (admitted, rest) = seen.split_at(MAX);
        assert!(
            admitted.iter().all(|call| call.text == "Echo: hi"),
            "{sdk:?}: {admitted:?}"
        );
        assert_limited(sdk, &rest[0], "echo");
        assert_eq!(rest[1].kind, "ok", "{sdk:?}: {rest:?}");
    }
}

#[tokio::test]
async fn four_clients_read_a_refusal_over_the_transport_of_2024_11_05_and_go_on_in_their_session() {
    let server = Everything::start_legacy();
    let mut policy = limited("echo", MAX as u64, json!("minute"));
    policy["hide"] = json!(["get-env"]);
    let gate = gate("everything", &server.url, policy);
    let calls = json!([
        { "tool": "echo", "arguments": { "message": "hi" }, "times": MAX + 1 },
        { "tool": "get-env" },
        { "tool": "get-sum", "arguments": { "a": 2, "b": 3 } },
    ]);
    let url = gate.url("everything");
    let start = |sdk| clients::start_legacy(sdk, &url, &token_of(sdk), &calls);
    let running: Vec<_> = Sdk::ALL.iter().map(|&sdk| (sdk, start(sdk))).collect();
    for (sdk, running) in running {
        let run = running.finish();
        let seen = run.calls();
        let (admitted, rest) = seen.split_at(MAX);
        assert!(
            admitted.iter().all(|call| call.text == "Echo: hi"),
            "{sdk:?}: {admitted:?}"
        );
        assert_limited(sdk, &rest[0], "echo");
        assert_eq!(
            (rest[1].kind.as_str(), rest[1].code),
            ("protocol_error", Some(-32602)),
            "{sdk:?}"
        );
        assert_eq!(rest[2].kind, "ok", "{sdk:?}: {rest:?}");
        assert!(!run.tools().contains(&"get-env"), "{sdk:?}");
    }
}

async fn hidden_tools_do_not_exist(era: Era, sdks: &[Sdk]) {
    let fixture = Fixture::start(era);
    let gate = gate("fixture", &fixture.url, policy());
    let calls = json!([
        { "tool": "secret-show" },
        { "tool": "admin_delete_user" },
        { "tool": "files/write" },
        { "tool": "files/read" },
    ]);
    for (sdk, run) in run_all(&gate, "fixture", sdks, &calls) {
        let tools = run.tools();
        for hidden in ["secret-show", "secret-rotate", "admin_delete_user"] {
            assert!(!tools.contains(&hidden), "{sdk:?} is shown {hidden}: {tools:?}");
        }
        for shown in ["start_run", "admin_list_users", "files/write", "report.daily"] {
            assert!(tools.contains(&shown), "{sdk:?} is not shown {shown}: {tools:?}");
        }
        let seen = run.calls();
        for (call, tool) in seen.iter().zip(["secret-show", "admin_delete_user"]) {
            assert_eq!(
                (call.kind.as_str(), call.code),
                ("protocol_error", Some(-32602)),
                "{sdk:?}: {call:?}"
            );
            assert!(
                call.text.contains(&format!("Unknown tool: {tool}")),
                "{sdk:?}: {}",
                call.text
            );
        }
        assert_eq!(seen[2].kind, "tool_error", "{sdk:?}: {:?}", seen[2]);
        assert!(
            seen[2].text.contains("files are read-only here"),
            "{sdk:?}: {}",
            seen[2].text
        );
        assert_eq!(seen[2].decision()["outcome"], "denied", "{sdk:?}");
        assert_eq!(seen[3].kind, "ok", "{sdk:?}: {:?}", seen[3]);
    }
    let ran = fixture.state().await["executions"].clone();
    assert_eq!(ran, json!({ "files/read": sdks.len() }), "a refused tool ran");
}

#[tokio::test]
async fn hidden_tools_do_not_exist_for_any_client_with_sessions() {
    hidden_tools_do_not_exist(Era::Session, &Sdk::ALL).await;
}

#[tokio::test]
async fn hidden_tools_do_not_exist_for_current_clients() {
    hidden_tools_do_not_exist(Era::Current, &[Sdk::TypeScript2, Sdk::Python2]).await;
}

#[tokio::test]
async fn a_client_without_a_known_token_is_turned_away() {
    let fixture = Fixture::start(Era::Session);
    let gate = gate("fixture", &fixture.url, policy());
    let running: Vec<_> = Sdk::ALL
        .iter()
        .map(|&sdk| {
            (
                sdk,
                clients::start(
                    sdk,
                    &gate.url("fixture"),
                    "tg_nobody",
                    &json!([{ "tool": "start_run" }]),
                ),
            )
        })
        .collect();
    for (sdk, running) in running {
        let run = running.finish();
        assert!(run.failure().is_some(), "{sdk:?} was let in: {}", run.answer);
    }
    assert_eq!(
        fixture.state().await["requests"],
        0,
        "a request of an unknown token reached the server"
    );
}
