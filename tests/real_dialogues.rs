//! What passes while a call runs, with real clients of four SDKs: the server asks the client, tells of progress, and
//! hears that the client gave up.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test and its helpers a failed unwrap is a failed test"
)]

mod support;

use serde_json::{Value, json};
use support::clients::{self, Sdk};
use support::gate::{Gate, Setup, limited};
use support::servers::{Conformance, Era, Everything, Fixture, contains};
use support::wait::until;

const TOKEN: &str = "tg_agent";
const SAMPLING: &str = "sampling/createMessage";
const ELICITATION: &str = "elicitation/create";

fn gate(upstream: &str) -> Gate {
    Setup::new()
        .server("fixture", upstream)
        .policy("p", json!({ "version": "1", "default": "allow" }))
        .grant("agent", TOKEN, "fixture", "p")
        .start()
}

/// Runs the SDKs side by side, and expects of each these texts, these questions and the progress of the last call.
fn converse(gate: &Gate, sdks: [Sdk; 2], calls: &Value, texts: &[&str], asked: &[&str]) {
    let url = gate.url("fixture");
    let running = sdks.map(|sdk| (sdk, clients::start_asked(sdk, &url, TOKEN, calls)));
    for (sdk, running) in running {
        let run = running.finish();
        let seen = run.calls();
        for (call, text) in seen.iter().zip(texts) {
            assert_eq!(call.kind, "ok", "{sdk:?}: {call:?}");
            assert!(call.text.contains(text), "{sdk:?}: no `{text}` in {call:?}");
        }
        assert_eq!(seen.len(), texts.len(), "{sdk:?}");
        assert_eq!(run.asked(), asked, "{sdk:?}");
        assert_eq!(seen.last().unwrap().progress, [0.0, 50.0, 100.0], "{sdk:?}");
    }
}

#[tokio::test]
async fn a_server_asks_its_client_and_tells_of_progress_while_a_call_of_a_session_runs() {
    let server = Conformance::start();
    let gate = gate(&server.url);
    let calls = json!([
        { "tool": "test_sampling", "arguments": { "prompt": "who?" } },
        { "tool": "test_elicitation", "arguments": { "message": "who?" } },
        { "tool": "test_tool_with_progress", "watch": true },
    ]);
    let texts = [
        "LLM response: sampled",
        r#"action=accept, content={"username":"ada","email":"ada"}"#,
        "",
    ];
    let sdks = [Sdk::TypeScript1, Sdk::Python1];
    converse(&gate, sdks, &calls, &texts, &[SAMPLING, ELICITATION]);
}

#[tokio::test]
async fn a_call_that_needs_input_is_made_again_with_it_and_each_time_judged() {
    let server = Conformance::start();
    let gate = gate(&server.url);
    let calls = json!([
        { "tool": "test_input_required_result_sampling" },
        { "tool": "test_input_required_result_multi_round" },
        { "tool": "test_tool_with_progress", "watch": true },
    ]);
    let texts = ["sampled", "ada likes ada", ""];
    let sdks = [Sdk::TypeScript2, Sdk::Python2];
    let asked = [SAMPLING, ELICITATION, ELICITATION];
    converse(&gate, sdks, &calls, &texts, &asked);
    for (tool, rounds) in [
        ("test_input_required_result_sampling", 2),
        ("test_input_required_result_multi_round", 3),
    ] {
        let made = gate.until_decisions("each round is recorded", rounds * sdks.len(), |line| {
            line["tool"] == tool && line["outcome"] == "allowed"
        });
        assert_eq!(made.await.len(), rounds * sdks.len(), "{tool}");
    }
}

/// A call that is given up at its first progress ends at the server too, and the session goes on.
async fn giving_up_reaches_the_server(era: Era, sdks: &[Sdk]) {
    let fixture = Fixture::start(era);
    let gate = gate(&fixture.url);
    for sdk in sdks {
        let name = format!("{sdk:?}");
        let calls = json!([
            { "tool": "slow", "arguments": { "name": name }, "abort": true },
            { "tool": "stop_run" },
        ]);
        let running = clients::start(*sdk, &gate.url("fixture"), TOKEN, &calls);
        fixture
            .until(&format!("the call of {name} is cancelled"), |state| {
                contains(&state["cancelled"], &name)
            })
            .await;
        let seen = running.finish().calls();
        let kinds: Vec<&str> = seen.iter().map(|call| call.kind.as_str()).collect();
        assert_eq!(kinds, ["aborted", "ok"], "{sdk:?}: {seen:?}");
        assert_eq!(seen[0].progress, [1.0], "{sdk:?}");
    }
    assert_eq!(fixture.executions("stop_run").await, sdks.len() as u64);
}

#[tokio::test]
async fn a_client_that_gives_up_a_call_of_its_session_is_heard_by_the_server() {
    giving_up_reaches_the_server(Era::Session, &[Sdk::TypeScript1, Sdk::TypeScript2, Sdk::Python2]).await;
}

#[tokio::test]
async fn a_client_that_gives_up_a_call_without_a_session_is_heard_by_the_server() {
    giving_up_reaches_the_server(Era::Current, &[Sdk::TypeScript2, Sdk::Python2]).await;
}

/// Tasks of 2025-11-25, at the reference server, whose one task takes four seconds.
#[tokio::test]
async fn a_task_is_charged_when_it_starts_and_followed_by_its_own_session_for_nothing() {
    const TASK: &str = "simulate-research-query";
    let server = Everything::start();
    let gate = Setup::new()
        .server("fixture", &server.url)
        .policy("p", limited(TASK, 1, json!("hour")))
        .grant("agent", TOKEN, "fixture", "p")
        .grant("other", "tg_other", "fixture", "p")
        .start();
    let session = gate.caller("fixture", TOKEN).open_session().await;
    let start = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": TASK, "arguments": { "topic": "gates" }, "task": { "ttl": 60_000 } } });
    let task = session.post(&start).await.json()["result"]["task"]["taskId"].clone();
    assert!(task.is_string(), "no task was started");
    let refused = session.post(&start).await.json();
    assert_eq!(refused["error"]["code"], 429, "{refused}");
    let follow = |method: &str| json!({ "jsonrpc": "2.0", "id": method, "method": method, "params": { "taskId": task } });

    let other = gate.caller("fixture", "tg_other").open_session().await;
    for method in ["tasks/get", "tasks/result", "tasks/cancel"] {
        let answer = other.post(&follow(method)).await.json();
        assert!(answer["error"].is_object(), "another grant's {method}: {answer}");
    }
    until("the task is done", || async {
        let told = session.post(&follow("tasks/get")).await.json();
        (told["result"]["status"] == "completed").then_some(())
    })
    .await;
    let result = session.post(&follow("tasks/result")).await.json();
    let text = result["result"]["content"][0]["text"]
        .as_str()
        .unwrap_or_default();
    assert!(text.contains("Research Report"), "{result}");
    let charged = gate
        .until_decisions("the calls are recorded", 2, |line| line["tool"] == TASK)
        .await;
    let outcomes: Vec<&Value> = charged.iter().map(|line| &line["outcome"]).collect();
    assert_eq!(outcomes, ["allowed", "limited"]);
}
