//! Real clients over Streamable HTTP and HTTP+SSE, real servers over stdio.

use serde_json::{Value, json};

use super::support::clients::{self, Run, Sdk};
use super::support::gate::{Folder, Gate};
use super::support::servers::contains;
use super::{TOKEN, everything, fixture, gate, setup};

fn calls() -> Value {
    json!([
        { "tool": "start_run", "times": 3 },
        { "tool": "secret-show" },
        { "tool": "files/write" },
        { "tool": "stop_run", "arguments": { "run": 1 } },
    ])
}

/// Refused calls are read as such, and the session goes on.
fn assert_refused_then_allowed(sdk: Sdk, run: &Run) {
    assert_eq!(run.failure(), None, "{sdk:?}");
    let seen = run.calls();
    let kinds: Vec<&str> = seen.iter().map(|call| call.kind.as_str()).collect();
    let expected = ["ok", "ok", "tool_error", "protocol_error", "tool_error", "ok"];
    assert_eq!(kinds, expected, "{sdk:?}: {seen:?}");
    assert_eq!(seen[2].decision()["outcome"], "limited", "{sdk:?}");
    assert_eq!(seen[3].code, Some(-32602), "{sdk:?}");
    assert!(seen[4].text.contains("files are read-only here"), "{sdk:?}");
    let tools = run.tools();
    assert!(tools.contains(&"start_run"), "{sdk:?}: {tools:?}");
    let hidden = |name: &&&str| name.starts_with("secret-") || **name == "admin_delete_user";
    assert_eq!(tools.iter().filter(hidden).count(), 0, "{sdk:?}: {tools:?}");
}

/// A grant for each client, so that each has limits of its own.
fn gate_for(sdks: &[Sdk], era: &str, more: &Value) -> (Folder, Gate) {
    let folder = Folder::new("fixture");
    let mut setup = setup(&fixture(&folder, era), more);
    for sdk in sdks {
        setup = setup.grant(&format!("{sdk:?}"), &token(*sdk), "s", "p");
    }
    (folder, setup.start())
}

fn token(sdk: Sdk) -> String {
    format!("tg_{sdk:?}")
}

async fn refused_then_allowed(sdks: &[Sdk], era: &str, more: &Value, legacy: bool) {
    let (_folder, gate) = gate_for(sdks, era, more);
    let start = if legacy {
        clients::start_legacy
    } else {
        clients::start
    };
    let running: Vec<_> = sdks
        .iter()
        .map(|sdk| (*sdk, start(*sdk, &gate.url("s"), &token(*sdk), &calls())))
        .collect();
    for (sdk, running) in running {
        assert_refused_then_allowed(sdk, &running.finish());
    }
    let limited = gate.until_decisions("each client was limited once", sdks.len(), |line| {
        line["outcome"] == "limited"
    });
    assert_eq!(limited.await.len(), sdks.len());
}

#[tokio::test]
async fn four_clients_with_a_process_each_read_refusals_and_go_on() {
    refused_then_allowed(&Sdk::ALL, "session", &json!({}), false).await;
}

#[tokio::test]
async fn four_clients_of_sessions_that_share_read_refusals_and_go_on() {
    refused_then_allowed(&Sdk::ALL, "session", &json!({ "sessions": "shared" }), false).await;
}

#[tokio::test]
async fn clients_of_2026_07_28_read_refusals_and_go_on() {
    refused_then_allowed(&[Sdk::TypeScript2, Sdk::Python2], "current", &json!({}), false).await;
}

#[tokio::test]
async fn clients_of_2024_11_05_read_refusals_and_go_on() {
    let sdks = [Sdk::TypeScript1, Sdk::Python1];
    refused_then_allowed(&sdks, "session", &json!({}), true).await;
    refused_then_allowed(&sdks, "session", &json!({ "sessions": "shared" }), true).await;
}

#[tokio::test]
async fn clients_are_asked_back_and_told_of_progress_while_their_calls_run() {
    let gate = gate(&everything(), &json!({}));
    let calls = json!([
        { "tool": "trigger-sampling-request", "arguments": { "prompt": "who?" } },
        { "tool": "trigger-elicitation-request" },
        { "tool": "trigger-long-running-operation", "arguments": { "duration": 0.3, "steps": 3 }, "watch": true },
        { "tool": "echo", "arguments": { "message": "after" } },
    ]);
    let running = [Sdk::TypeScript1, Sdk::Python1]
        .map(|sdk| (sdk, clients::start_asked(sdk, &gate.url("s"), TOKEN, &calls)));
    for (sdk, running) in running {
        let run = running.finish();
        let seen = run.calls();
        assert!(seen.iter().all(|call| call.kind == "ok"), "{sdk:?}: {seen:?}");
        assert!(seen[0].text.contains("sampled"), "{sdk:?}: {seen:?}");
        assert_eq!(seen[3].text, "Echo: after", "{sdk:?}");
        for asked in ["sampling/createMessage", "elicitation/create"] {
            assert!(contains(&json!(run.asked()), asked), "{sdk:?}: {:?}", run.asked());
        }
        assert!(seen[2].progress.len() >= 2, "{sdk:?}: {seen:?}");
    }
}
