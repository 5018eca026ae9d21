//! `pin: true` before real servers of both eras: what `toolgate pin` accepted runs, what changed since does not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test and its helpers a failed unwrap is a failed test"
)]

mod support;

use std::process::{Command, Output};

use serde_json::json;
use support::gate::{Folder, Setup};
use support::mcp::Session;
use support::servers::{Era, Fixture};
use support::wait::until;

const TOKEN: &str = "tok-pins-31aa";

fn files(fixture: &Fixture) -> Folder {
    Setup::new()
        .server("s", &fixture.url)
        .policy("p", json!({ "version": "1", "default": "allow" }))
        .grant("ci", TOKEN, "s", "p")
        .pinned()
        .write()
}

/// Runs `toolgate pin s` on the files.
fn pin(folder: &Folder, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toolgate"));
    command
        .args(["pin", "s", "--config", "toolgate.yaml"])
        .args(arguments);
    command.current_dir(folder.path()).output().unwrap()
}

fn told(output: &Output) -> (Option<i32>, String) {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), text)
}

async fn runs(session: &Session, tool: &str) -> bool {
    let reply = session.call(tool, &json!({})).await;
    if reply.outcome() == "executed" {
        return true;
    }
    let error = json!({ "code": -32602, "message": format!("Unknown tool: {tool}") });
    assert_eq!(reply.message["error"], error, "{}", reply.message);
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_a_real_server_changes_in_a_running_session_stops_running_until_it_is_accepted() {
    let fixture = Fixture::start(Era::Session);
    let folder = files(&fixture);
    let (code, text) = told(&pin(&folder, &[]));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("new      start_run (accepted)"), "{text}");
    assert_eq!(
        told(&pin(&folder, &[])).0,
        Some(0),
        "the same list has the same digests"
    );

    let gate = Setup::start_in(folder);
    let session = gate.caller("s", TOKEN).open_session().await;
    assert!(runs(&session, "start_run").await);
    let (head, mut events) = session.listen().await;
    assert_eq!(head.status, 200);
    fixture.describe("start_run", "poisoned").await;
    fixture.notify().await;
    let event = events.next().await.unwrap();
    assert!(
        format!("{event:?}").contains("list_changed"),
        "it passes: {event:?}"
    );
    until("the gate has seen the change", || async {
        (!runs(&session, "start_run").await).then_some(())
    })
    .await;
    let ran = fixture.executions("start_run").await;
    assert!(!runs(&session, "start_run").await && runs(&session, "stop_run").await);
    assert_eq!(fixture.executions("start_run").await, ran);

    let fresh = gate.caller("s", TOKEN).open_session().await;
    let list = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {} });
    let listed = fresh.post(&list).await.text();
    assert!(
        listed.contains("stop_run") && !listed.contains("start_run"),
        "{listed}"
    );

    let (code, text) = told(&pin(&gate.folder, &[]));
    assert_eq!(
        (code, text.contains("changed  start_run: description\n")),
        (Some(1), true),
        "{text}"
    );
    assert_eq!(told(&pin(&gate.folder, &["--accept", "start_run"])).0, Some(0));
    until("the change is accepted", || async {
        runs(&fresh, "start_run").await.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stateless_server_that_changed_while_the_gate_was_down_is_seen_at_the_start() {
    let fixture = Fixture::start(Era::Current);
    let folder = files(&fixture);
    assert_eq!(told(&pin(&folder, &[])).0, Some(0));
    fixture.describe("start_run", "poisoned").await;
    let gate = Setup::start_in(folder);
    until("the gate has looked", || async {
        let (_, metrics) = gate.admin("/metrics").await;
        metrics
            .contains("toolgate_pinned_tools{server=\"s\",state=\"changed\"} 1")
            .then_some(())
    })
    .await;
    let reply = gate.caller("s", TOKEN).call("start_run", &json!({})).await;
    assert_eq!(reply.message["error"]["message"], "Unknown tool: start_run");
    assert_eq!(fixture.executions("start_run").await, 0);
    assert_eq!(
        gate.caller("s", TOKEN)
            .call("stop_run", &json!({}))
            .await
            .outcome(),
        "executed"
    );
}
