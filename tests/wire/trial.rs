//! Rules on trial, values on record, methods by name, counts by claim: what the wire and the record show.

use serde_json::{Value, json};

use crate::wire::OTHER;
use crate::wire::client::{call, post};
use crate::wire::gate::{Setup, open};

fn with_arguments(tool: &str, arguments: &Value) -> String {
    let params = json!({ "name": tool, "arguments": arguments });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string()
}

#[tokio::test]
async fn a_policy_in_shadow_blocks_nothing_and_its_denials_are_recorded_and_measured() {
    let policy = r#"{"version":"1","default":"deny","mode":"shadow","tools":{
        "run":{"limits":[{"counter":"runs","window":"hour","max":1}]},"drop":{"action":"deny","reason":"No."}}}"#;
    let (gate, upstream) = open(Setup::policy(policy)).await;
    let answers = [
        gate.ask(&call("run")).await,
        gate.ask(&call("run")).await,
        gate.ask(&call("drop")).await,
        gate.ask(&call("unlisted")).await,
    ];
    assert!(answers.iter().all(|answer| answer.ran()));
    assert!(answers.iter().all(|answer| answer.header("ratelimit").is_none()));
    assert_eq!(upstream.count(), 4);
    let line = r#"toolgate_decisions_total{mode="shadow",outcome="limited",server="s",tool="run"}"#;
    assert_eq!(gate.metric(line).await, 1);
    let records = gate.ended().await;
    let shadow: Vec<_> = records.iter().map(|record| &record["shadow"]).collect();
    assert_eq!(shadow[0], &json!(null));
    assert_eq!(shadow[1][0]["rule"], "/tools/run/limits/runs");
    assert_eq!(shadow[1][0]["outcome"], "limited");
    assert!(
        shadow[1][0]["message"]
            .as_str()
            .unwrap()
            .contains("1 call per hour")
    );
    assert_eq!(shadow[2][0]["rule"], "/tools/drop/action");
    assert_eq!(shadow[3][0]["outcome"], "hidden");
    for record in &records {
        assert_eq!(
            (&record["outcome"], &record["rule"]),
            (&json!("allowed"), &json!(null))
        );
    }
    let charges: Vec<_> = records.iter().map(|record| &record["charges"][0]).collect();
    assert_eq!(
        (&charges[0]["shadow"], charges[0]["store_ms"].is_u64()),
        (&json!(true), true)
    );
    // it would not have been charged, and so is not
    assert_eq!(
        (&charges[1]["left"], &charges[1]["store_ms"]),
        (&json!(0), &json!(null))
    );
}

#[tokio::test]
async fn a_limit_in_shadow_is_not_charged_for_a_call_that_another_limit_refuses() {
    let policy = r#"{"version":"1","default":"deny","tools":{
        "run":{"limits":[{"counter":"runs","window":"hour","max":5,"shadow":true},{"counter":"free_of_one","window":"hour","max":1}]},
        "probe":{"limits":[{"counter":"runs","window":"hour","max":5,"shadow":true}]}}}"#;
    let (gate, _upstream) = open(Setup::policy(policy)).await;
    assert!(gate.ask(&call("run")).await.ran());
    assert!(gate.ask(&call("run")).await.tool_error().contains("used up"));
    assert!(gate.ask(&call("probe")).await.ran());
    let records = gate.ended().await;
    assert_eq!(records[2]["charges"][0]["left"], 3);
}

#[tokio::test]
async fn values_that_the_policy_names_are_recorded_for_allowed_and_denied_calls_and_no_others() {
    let policy = r#"{"version":"1","default":"deny","record":["args.amount","args.to.id"],"tools":{
        "pay":{"require":[{"conditions":[{"path":"args.amount","op":"lte","value":100}]}]}}}"#;
    let (gate, _upstream) = open(Setup::policy(policy)).await;
    let paid = json!({ "amount": 10.5, "to": { "id": "acct_1", "iban": "hush" }, "note": "hush" });
    assert!(gate.ask(&post(with_arguments("pay", &paid))).await.ran());
    let denied = gate
        .ask(&post(with_arguments("pay", &json!({ "amount": 1_000 }))))
        .await;
    assert!(denied.tool_error().contains("args.amount lte 100"));
    assert!(!denied.text().contains("1000"));
    let sink = gate.sink.clone();
    let records = gate.ended().await;
    assert_eq!(
        records[0]["recorded"],
        json!({ "args.amount": 10.5, "args.to.id": "acct_1" })
    );
    assert_eq!(records[1]["recorded"], json!({ "args.amount": 1000 }));
    assert!(!sink.text().contains("hush"));
}

#[tokio::test]
async fn a_method_that_the_policy_opens_passes_and_one_that_it_closes_names_its_rule() {
    let policy =
        r#"{"version":"1","default":"deny","methods":{"resources/read":"allow","prompts/get":"deny"}}"#;
    let (gate, upstream) = open(Setup::policy(policy)).await;
    let ask = |method: &str| post(json!({ "jsonrpc": "2.0", "id": 1, "method": method }).to_string());
    assert_eq!(gate.ask(&ask("resources/read")).await.status, 200);
    assert_eq!(upstream.count(), 1);
    let closed = gate.ask(&ask("prompts/get")).await.json();
    assert_eq!(closed["error"]["data"]["rule"], "/methods/prompts~1get");
    let unnamed = gate.ask(&ask("completion/complete")).await.json();
    let message = unnamed["error"]["message"].as_str().unwrap();
    assert!(
        message.contains(r#""methods": {"completion/complete": "allow"}"#),
        "{message}"
    );
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn grants_of_one_team_share_its_budget_and_are_not_told_what_is_left_of_it() {
    let policy = r#"{"version":"1","default":"deny","tools":{
        "run":{"limits":[{"counter":"runs","window":"hour","max":2,"scope":"claim:team","on_deny":"The team has had its two runs"}]}}}"#;
    let (gate, _upstream) = open(Setup::policy(policy)).await;
    let first = gate.ask(&call("run")).await;
    assert!(first.ran() && first.header("ratelimit").is_none());
    assert!(gate.ask(&call("run").token(OTHER)).await.ran());
    let refused = gate.ask(&call("run")).await;
    assert!(
        refused
            .tool_error()
            .contains("The team has had its two runs. Try again in")
    );
    assert_eq!(refused.decision()["outcome"], "limited");
}
