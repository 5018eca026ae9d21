//! Tasks, in the form of 2025-11-25 (`params.task`) and in that of 2026-07-28 (the server decides): charged when they
//! start, followed for nothing, and no way to a hidden tool.

use serde_json::{Value, json};

use crate::wire::client::{Req, post, request};
use crate::wire::gate::{Gate, Setup, open};
use crate::wire::until;
use crate::wire::upstream::{self, Latch, Step, dead_address};

fn task_call() -> Req {
    post(
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"run","arguments":{},"task":{"ttl":60000}}}"#,
    )
}

/// A call of the current revision, to which the server may answer with a task.
fn current_call() -> Req {
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;
    let body =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"run",{meta}}}}}"#);
    current(body, "tools/call", "run")
}

fn current(body: String, method: &str, name: &str) -> Req {
    post(body)
        .header("MCP-Protocol-Version", "2026-07-28")
        .header("Mcp-Method", method)
        .header("Mcp-Name", name)
}

fn follow(method: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":2,"method":"{method}","params":{{"taskId":"t-1"}}}}"#)
}

fn says(result: &Value) -> Vec<Step> {
    let answer = json!({ "jsonrpc": "2.0", "id": 1, "result": result });
    vec![Step::Send(upstream::json(&answer.to_string()))]
}

fn created() -> Vec<Step> {
    says(&json!({ "task": { "taskId": "t-1", "status": "working", "ttl": 60000 } }))
}

async fn left(gate: &Gate) -> Value {
    gate.sink.records().pop().unwrap()["charges"][0]["left"].clone()
}

#[tokio::test]
async fn a_call_as_a_task_is_charged_when_it_starts_and_not_while_it_is_followed() {
    let (gate, upstream) = open(Setup::two_runs()).await;
    for _ in 0..2 {
        upstream.next(created());
        let answer = gate.ask(&task_call()).await.json();
        assert_eq!(answer["result"]["task"]["taskId"], "t-1");
        for method in ["tasks/get", "tasks/result", "tasks/cancel"] {
            assert!(gate.ask(&post(follow(method))).await.ran(), "{method}");
        }
    }
    let count = upstream.count();
    let refused = gate.ask(&task_call()).await;
    // the result of such a call would have to be a task
    assert_eq!(
        (refused.status, &refused.json()["error"]["code"]),
        (200, &json!(429))
    );
    assert_eq!(refused.json()["error"]["data"]["outcome"], "limited");
    assert_eq!(upstream.count(), count, "the refused call was sent");
    assert!(
        gate.ask(&post(follow("tasks/result"))).await.ran(),
        "what was judged goes on"
    );
}

#[tokio::test]
async fn a_task_of_the_current_revision_is_charged_once_whatever_the_server_makes_of_the_call() {
    let (gate, upstream) = open(Setup::two_runs()).await;
    upstream.next(says(
        &json!({ "resultType": "task", "taskId": "t-1", "status": "working" }),
    ));
    let answer = gate.ask(&current_call()).await.json();
    assert_eq!(answer["result"]["resultType"], "task");
    for method in ["tasks/get", "tasks/cancel"] {
        let followed = gate.ask(&current(follow(method), method, "t-1")).await;
        assert!(followed.ran(), "{method}: {}", followed.text());
    }
    assert!(gate.ask(&current_call()).await.ran());
    assert_eq!(gate.ask(&current_call()).await.decision()["outcome"], "limited");
    // more input for a task reaches the tool: whether it may is for the policy to say
    assert!(
        gate.ask(&current(follow("tasks/update"), "tasks/update", "t-1"))
            .await
            .ran()
    );
}

#[tokio::test]
async fn more_input_for_a_task_is_refused_where_the_policy_denies_by_default() {
    let (gate, upstream) = open(Setup::policy(
        r#"{"version":"1","default":"deny","tools":{"run":{}}}"#,
    ))
    .await;
    let refused = gate
        .ask(&current(follow("tasks/update"), "tasks/update", "t-1"))
        .await;
    assert_eq!(refused.json()["error"]["code"], 403);
    assert!(refused.text().contains("tasks/update"), "{}", refused.text());
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_task_that_never_left_is_refunded_and_one_whose_answer_got_lost_stays_charged() {
    let gate = Setup::two_runs().before(dead_address().await).await;
    assert_eq!(gate.ask(&task_call()).await.json()["error"]["code"], 502);
    assert_eq!(gate.ended().await[0]["upstream"]["ended"], "unsent");

    let (gate, upstream) = open(Setup::two_runs()).await;
    upstream.next(vec![Step::Close]);
    let lost = gate.ask(&task_call()).await;
    assert!(
        lost.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("may have"),
        "{}",
        lost.text()
    );
    let never = Latch::new();
    upstream.next(vec![Step::Wait(never)]);
    let mut client = gate.client().await;
    client.send(&task_call().bytes()).await;
    upstream.request(2).await;
    drop(client);
    until(|| upstream.aborted() == 1).await;
    assert_eq!(gate.ask(&task_call()).await.json()["error"]["code"], 429);
    gate.records(3).await;
    assert_eq!(left(&gate).await, 0);
}

#[tokio::test]
async fn no_hidden_tool_is_seen_in_what_a_task_says() {
    let policy = r#"{"version":"1","default":"allow","hide":["secret"]}"#;
    let (gate, upstream) = open(Setup::policy(policy)).await;
    let list = json!({ "tools": [{ "name": "run" }, { "name": "secret" }] });
    let inner = json!({ "taskId": "t-1", "status": "completed", "result": list });
    for (asked, result) in [
        (post(follow("tasks/result")), &list),
        (current(follow("tasks/get"), "tasks/get", "t-1"), &inner),
    ] {
        upstream.next(says(result));
        let text = gate.ask(&asked).await.text();
        assert!(text.contains("run") && !text.contains("secret"), "{text}");
    }
    let told = json!({ "jsonrpc": "2.0", "method": "notifications/tasks", "params": inner });
    let listen = r#"{"jsonrpc":"2.0","id":3,"method":"subscriptions/listen","params":{}}"#;
    for asked in [post(listen), request("GET", "")] {
        upstream.next(vec![Step::Send(upstream::events(&[&format!(
            "data: {told}\n\n"
        )]))]);
        let text = gate.ask(&asked).await.text();
        assert!(text.contains("completed") && !text.contains("secret"), "{text}");
    }
}
