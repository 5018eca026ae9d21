//! Calls that a person must agree to: what the agent is told, and that one approval runs one exact call once.

use serde_json::{Value, json};
use toolgate::approvals::{Approval, Approvals, Decided, State};

use crate::wire::OTHER;
use crate::wire::client::{Answer, Req, post};
use crate::wire::gate::{Gate, Setup, open};
use crate::wire::upstream::Upstream;

pub const POLICY: &str = r#"{"version":"1","default":"allow","tools":{
    "refund":{"action":"require_approval","reason":"money leaves"},
    "two":{"action":"require_approval","approvers":2},
    "rare":{"action":"require_approval","limits":[{"counter":"rare","window":"hour","max":1}]},
    "some":{"approve_if":[{"conditions":[{"path":"args.amount","op":"gt","value":100}]}]}}}"#;

/// Calls are not held.
pub fn at_once() -> Setup {
    Setup::policy(POLICY).settings("approvals: { hold_ms: 0 }")
}

pub fn ask_for(tool: &str, arguments: &str) -> Req {
    post(format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}}}}}"#
    ))
}

/// The one request that waits.
pub async fn waits(approvals: &Approvals) -> Approval {
    let mut pending = approvals.list(Some(State::Pending)).await.unwrap();
    assert_eq!(pending.len(), 1);
    pending.remove(0)
}

pub async fn decide(approvals: &Approvals, of: &Approval, approve: bool, by: &str) {
    let decided = approvals
        .decide(&of.id, &of.digest, approve, by, "as agreed")
        .await;
    assert!(matches!(decided, Ok(Decided::Done(_))), "{decided:?}");
}

#[track_caller]
pub fn needs_approval(answer: &Answer) -> String {
    let decision = answer.decision();
    assert_eq!(decision["outcome"], "needs_approval", "{}", answer.text());
    decision["approvalId"].as_str().unwrap().to_owned()
}

/// The lines about requests: state, approver.
pub fn events(records: &[Value]) -> Vec<(&str, Option<&str>)> {
    let lines = records.iter().filter(|line| line["event"] == "approval");
    lines
        .map(|line| (line["state"].as_str().unwrap(), line["by"].as_str()))
        .collect()
}

pub fn decisions(records: &[Value]) -> Vec<&Value> {
    records.iter().filter(|line| line["event"].is_null()).collect()
}

#[tokio::test]
async fn the_agent_is_told_what_waits_under_which_id_until_when_and_that_nothing_was_executed() {
    let (gate, upstream) = open(at_once()).await;
    let answer = gate.ask(&ask_for("refund", r#"{"to":"bob"}"#)).await;
    let text = answer.tool_error();
    let id = needs_approval(&answer);
    let until = answer.decision()["expiresAt"].as_str().unwrap().to_owned();
    assert_eq!(
        text,
        format!(
            "[POLICY DENIED] refund: a person must approve this call: money leaves. Its approval `{id}` is pending until {until}. Call again with the same arguments: it runs once it is approved. The call was not executed."
        )
    );
    assert_eq!(answer.decision()["executed"], false);
    assert_eq!(answer.decision()["rule"], "/tools/refund/action");
    assert_eq!(answer.decision()["retryAfterMs"], json!(null));
    assert_eq!(upstream.count(), 0);
    let approval = waits(&gate.approvals).await;
    assert_eq!(approval.id.to_string(), id);
    assert_eq!(approval.arguments.as_deref(), Some(r#"{"to":"bob"}"#));
    assert_eq!(
        (
            approval.grant.as_str(),
            approval.server.as_str(),
            approval.tool.as_str()
        ),
        ("ci", "s", "refund")
    );
    let records = gate.ended().await;
    let line = decisions(&records)[0];
    assert_eq!(
        (&line["outcome"], &line["approval"]),
        (&json!("needs_approval"), &json!(id))
    );
}

#[tokio::test]
async fn the_same_call_joins_its_request_runs_once_when_approved_and_is_then_asked_about_anew() {
    let (gate, upstream) = open(at_once()).await;
    let first = needs_approval(&gate.ask(&ask_for("refund", r#"{"a":1,"b":[2,3]}"#)).await);
    // the order of keys, blanks and escapes mean nothing
    let same = ask_for("refund", r#"{ "b" : [2, 3], "\u0061":1 }"#);
    assert_eq!(needs_approval(&gate.ask(&same).await), first);
    decide(&gate.approvals, &waits(&gate.approvals).await, true, "ann").await;
    assert!(gate.ask(&same).await.ran());
    let next = needs_approval(&gate.ask(&same).await);
    assert_ne!(next, first);
    assert_eq!(upstream.count(), 1);
    // the bytes that were judged
    assert!(upstream.last().text().contains(r#"{ "b" : [2, 3], "\u0061":1 }"#));
    let metric = |state| format!(r#"toolgate_approvals_total{{server="s",state="{state}"}}"#);
    assert_eq!(gate.metric(&metric("pending")).await, 2);
    assert_eq!(gate.metric(&metric("consumed")).await, 1);
    let records = gate.ended().await;
    assert_eq!(events(&records), [("consumed", None)]);
    let ran = decisions(&records)
        .into_iter()
        .find(|line| line["outcome"] == "allowed");
    let consumed = records.iter().find(|line| line["event"] == "approval").unwrap();
    assert_eq!(ran.unwrap()["approval"], json!(first));
    assert_eq!(ran.unwrap()["id"], consumed["call"]);
}

#[tokio::test]
async fn any_other_call_is_another_request() {
    let (gate, upstream) = open(at_once()).await;
    let call = ask_for("refund", r#"{"amount":100}"#);
    let first = needs_approval(&gate.ask(&call).await);
    decide(&gate.approvals, &waits(&gate.approvals).await, true, "ann").await;
    let with_task = post(
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"refund","arguments":{"amount":100},"inputResponses":{"x":1}}}"#,
    );
    for other in [
        ask_for("refund", r#"{"amount":101}"#),
        ask_for("refund", r#"{"amount":1e2}"#),
        ask_for("refund", r#"{"amount":"100"}"#),
        ask_for("refund", r#"{"amount":100,"to":null}"#),
        ask_for("two", r#"{"amount":100}"#),
        call.clone().token(OTHER),
        with_task,
    ] {
        let answer = gate.ask(&other).await;
        assert_ne!(
            needs_approval(&answer),
            first,
            "{}",
            String::from_utf8_lossy(&other.body)
        );
    }
    assert_eq!(upstream.count(), 0);
    // what differs is the id and what the transport alone reads
    let same = post(
        r#"{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{"_meta":{"progressToken":7},"arguments":{"amount":100},"name":"refund"}}"#,
    );
    assert!(gate.ask(&same.without("Accept")).await.ran());
}

#[tokio::test]
async fn a_no_is_told_with_its_reason_and_stands() {
    let (gate, upstream) = open(at_once()).await;
    let call = ask_for("refund", "{}");
    let id = needs_approval(&gate.ask(&call).await);
    decide(&gate.approvals, &waits(&gate.approvals).await, false, "ann").await;
    for _ in 0..2 {
        let answer = gate.ask(&call).await;
        assert!(
            answer
                .tool_error()
                .contains("an approver refused this call: as agreed."),
            "{}",
            answer.text()
        );
        let decision = answer.decision();
        assert_eq!(
            (&decision["outcome"], &decision["approvalId"]),
            (&json!("denied"), &json!(id))
        );
    }
    assert_eq!(gate.approvals.list(None).await.unwrap().len(), 1);
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn two_people_must_agree_where_the_policy_says_two() {
    let (gate, upstream) = open(at_once()).await;
    let call = ask_for("two", "{}");
    assert!(
        gate.ask(&call)
            .await
            .tool_error()
            .contains("2 people must approve")
    );
    let approval = waits(&gate.approvals).await;
    decide(&gate.approvals, &approval, true, "ann").await;
    needs_approval(&gate.ask(&call).await);
    decide(&gate.approvals, &approval, true, "bob").await;
    assert!(gate.ask(&call).await.ran());
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn a_condition_decides_whether_people_are_asked() {
    let (gate, upstream) = open(at_once()).await;
    assert!(gate.ask(&ask_for("some", r#"{"amount":100}"#)).await.ran());
    needs_approval(&gate.ask(&ask_for("some", r#"{"amount":101}"#)).await);
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn a_call_that_no_limit_would_admit_is_put_before_nobody_and_asking_charges_nothing() {
    let (gate, _upstream) = open(at_once()).await;
    let call = ask_for("rare", "{}");
    for _ in 0..3 {
        needs_approval(&gate.ask(&call).await);
    }
    decide(&gate.approvals, &waits(&gate.approvals).await, true, "ann").await;
    assert!(gate.ask(&call).await.ran());
    let answer = gate.ask(&call).await;
    assert_eq!(answer.decision()["outcome"], "limited");
    assert!(answer.decision()["retryAfterMs"].as_u64().unwrap() > 0);
    assert!(
        gate.approvals
            .list(Some(State::Pending))
            .await
            .unwrap()
            .is_empty()
    );
    let records = gate.ended().await;
    let lines = decisions(&records);
    let outcomes: Vec<_> = lines
        .iter()
        .map(|line| line["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(
        outcomes,
        [
            "needs_approval",
            "needs_approval",
            "needs_approval",
            "allowed",
            "limited"
        ]
    );
    assert_eq!(lines[3]["charges"][0]["left"], 0);
    assert_eq!(lines[0]["charges"], json!([]));
}

#[tokio::test]
async fn an_approval_whose_call_did_not_leave_can_be_used_again() {
    let (gate, upstream) = open(at_once()).await;
    let (call, addr) = (ask_for("rare", "{}"), upstream.addr);
    needs_approval(&gate.ask(&call).await);
    decide(&gate.approvals, &waits(&gate.approvals).await, true, "ann").await;
    upstream.stop_listening().await;
    assert_eq!(gate.ask(&call).await.json()["error"]["code"], 502);
    let back = Upstream::at(addr).await;
    assert!(gate.ask(&call).await.ran());
    assert_eq!(back.count(), 1);
}

#[tokio::test]
async fn at_most_ten_calls_of_a_grant_wait_and_further_ones_are_told_so() {
    let (gate, _upstream) = open(at_once()).await;
    for number in 0..10 {
        needs_approval(
            &gate
                .ask(&ask_for("refund", &format!(r#"{{"n":{number}}}"#)))
                .await,
        );
    }
    let answer = gate.ask(&ask_for("refund", r#"{"n":10}"#)).await;
    assert!(
        answer.tool_error().contains("too many calls wait for people"),
        "{}",
        answer.text()
    );
    assert_eq!(answer.decision()["outcome"], "needs_approval");
    assert_eq!(answer.decision()["approvalId"], json!(null));
    needs_approval(&gate.ask(&ask_for("refund", r#"{"n":10}"#).token(OTHER)).await);
}

#[tokio::test]
async fn a_call_as_a_task_is_told_as_a_json_rpc_error() {
    let (gate, _upstream) = open(at_once()).await;
    let call = post(
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"refund","arguments":{},"task":{"ttl":60000}}}"#,
    );
    let answer = gate.ask(&call).await.json();
    assert_eq!(answer["error"]["code"], 403, "{answer}");
    assert_eq!(answer["error"]["data"]["outcome"], "needs_approval");
    assert!(answer["error"]["data"]["approvalId"].is_string());
}

#[tokio::test]
async fn what_a_person_is_shown_stands_in_no_record() {
    let (gate, _upstream) = open(at_once()).await;
    needs_approval(&gate.ask(&ask_for("refund", r#"{"card":"4242-secret"}"#)).await);
    let approval = waits(&gate.approvals).await;
    assert!(!format!("{approval:?}").contains("4242"));
    decide(&gate.approvals, &approval, true, "ann").await;
    assert!(
        gate.ask(&ask_for("refund", r#"{"card":"4242-secret"}"#))
            .await
            .ran()
    );
    let Gate { sink, .. } = &gate;
    let sink = sink.clone();
    gate.ended().await;
    assert!(sink.text().contains("consumed") && !sink.text().contains("4242"));
}
