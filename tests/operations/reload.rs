//! Policies and grants that change on disk are in force without a restart: whole, or not at all.

use serde_json::{Value, json};

use super::exposition::{scrape, until_value};
use crate::support::gate::{Folder, Gate, Setup, limited, token_sha256};
use crate::support::servers::{Era, Fixture};
use crate::support::wait::until;

pub const SUCCESS: &str = "toolgate_policy_reload_success";
pub const TIMESTAMP: &str = "toolgate_policy_reload_timestamp_seconds";
pub const RELOADS: &str = "toolgate_policy_reloads_total";

fn setup(fixture: &Fixture) -> Setup {
    Setup::new()
        .server("fixture", &fixture.url)
        .policy("p", allow(&["echo"]))
        .grant("ci", "tg_ci", "fixture", "p")
}

/// A policy that allows these tools alone.
fn allow(tools: &[&str]) -> Value {
    let tools: serde_json::Map<_, _> = tools
        .iter()
        .map(|tool| ((*tool).to_owned(), json!({ "action": "allow" })))
        .collect();
    json!({ "version": "1", "default": "deny", "tools": tools })
}

/// Replaces a file as a careful editor does.
pub fn replace(folder: &Folder, name: &str, text: &str) {
    folder.write(&format!("{name}.new"), text);
    std::fs::rename(
        folder.path().join(format!("{name}.new")),
        folder.path().join(name),
    )
    .unwrap();
}

pub fn hang_up(gate: &Gate) {
    let status = std::process::Command::new("kill")
        .args(["-HUP", &gate.pid().to_string()])
        .status()
        .unwrap();
    assert!(status.success(), "kill -HUP failed");
}

async fn outcome(gate: &Gate, token: &str, tool: &str) -> String {
    let reply = gate
        .caller("fixture", token)
        .call(tool, &json!({ "message": "m" }))
        .await;
    reply.outcome().to_owned()
}

/// Waits until a call of the tool ends so.
pub async fn until_outcome(gate: &Gate, tool: &str, wanted: &str) {
    until(&format!("`{tool}` is {wanted}"), || async {
        (outcome(gate, "tg_ci", tool).await == wanted).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_changes_is_in_force_and_one_with_problems_changes_nothing() {
    let fixture = Fixture::start(Era::Current);
    let gate = setup(&fixture).start();
    let at_start = scrape(&gate).await;
    assert_eq!(at_start.value(SUCCESS, &[]), Some(1.0));
    let started = at_start.value(TIMESTAMP, &[]).unwrap();
    assert!(started > 1.7e9, "{started}");
    assert_eq!(at_start.value(RELOADS, &[("result", "failure")]), Some(0.0));
    assert_eq!(outcome(&gate, "tg_ci", "echo").await, "executed");
    assert_eq!(outcome(&gate, "tg_ci", "start_run").await, "unknown");

    replace(
        &gate.folder,
        "policies/p.json",
        &allow(&["start_run"]).to_string(),
    );
    until_outcome(&gate, "start_run", "executed").await;
    assert_eq!(outcome(&gate, "tg_ci", "echo").await, "unknown");
    let reloaded = until_value(&gate, TIMESTAMP, &[], |at| at > started).await;

    replace(
        &gate.folder,
        "policies/p.json",
        r#"{"version":"1","default":"maybe","tolls":{}}"#,
    );
    until_value(&gate, SUCCESS, &[], |value| value < 0.5).await;
    let after = scrape(&gate).await;
    assert_eq!(after.value(TIMESTAMP, &[]), Some(reloaded));
    assert_eq!(after.value(RELOADS, &[("result", "failure")]), Some(1.0));
    assert_eq!(outcome(&gate, "tg_ci", "start_run").await, "executed");
    let log = gate.stderr();
    for problem in ["policies/p.json", "maybe", "tolls"] {
        assert!(
            log.contains(problem),
            "the log does not tell of `{problem}`:\n{log}"
        );
    }

    replace(&gate.folder, "policies/p.json", &allow(&["echo"]).to_string());
    until_outcome(&gate, "echo", "executed").await;
    until_value(&gate, SUCCESS, &[], |value| value > 0.5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_that_names_no_policy_that_is_there_keeps_the_policies_out_too() {
    let fixture = Fixture::start(Era::Current);
    let gate = setup(&fixture).start();
    let grants = json!({ "grants": [
        { "id": "ci", "token_sha256": token_sha256("tg_new"), "server": "fixture", "policy": "gone" } ] });
    replace(
        &gate.folder,
        "policies/p.json",
        &allow(&["start_run"]).to_string(),
    );
    replace(&gate.folder, "grants.yaml", &grants.to_string());
    hang_up(&gate);
    until_value(&gate, SUCCESS, &[], |value| value < 0.5).await;
    assert_eq!(outcome(&gate, "tg_ci", "echo").await, "executed");
    assert_eq!(outcome(&gate, "tg_ci", "start_run").await, "unknown");
    assert!(gate.stderr().contains("`gone`"), "{}", gate.stderr());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_under_way_keeps_its_policy_and_counters_go_on() {
    let fixture = Fixture::start(Era::Current);
    let gate = setup(&fixture)
        .policy("p", limited("start_run", 3, json!("hour")))
        .start();
    for _ in 0..2 {
        assert_eq!(outcome(&gate, "tg_ci", "start_run").await, "executed");
    }
    let caller = gate.caller("fixture", "tg_ci");
    let (head, mut events) = caller.call_streaming("slow", &json!({ "name": "n" })).await;
    assert_eq!(head.status, 200);
    fixture.until_waiting("n").await;

    let mut stricter = limited("start_run", 3, json!("hour"));
    stricter["tools"]["slow"] = json!({ "action": "deny" });
    replace(&gate.folder, "policies/p.json", &stricter.to_string());
    until_outcome(&gate, "slow", "denied").await;
    fixture.release("n").await;
    let answer = loop {
        let event = events.next().await.expect("the slow call's answer");
        if event["id"] == 1 {
            break event;
        }
    };
    assert_ne!(answer["result"]["isError"], true, "{answer}");
    assert!(answer["result"]["content"].is_array(), "{answer}");

    // two of three were spent before the reload
    assert_eq!(outcome(&gate, "tg_ci", "start_run").await, "executed");
    assert_eq!(outcome(&gate, "tg_ci", "start_run").await, "limited");
    let slow =
        |outcome: &'static str| move |line: &Value| line["tool"] == "slow" && line["outcome"] == outcome;
    let before = gate.until_decisions("the slow call", 1, slow("allowed")).await;
    let after = gate.until_decisions("the denied call", 1, slow("denied")).await;
    assert_ne!(before[0]["policy"][0]["digest"], after[0]["policy"][0]["digest"]);
    assert_eq!(before[0]["upstream"]["status"], 200);
}
