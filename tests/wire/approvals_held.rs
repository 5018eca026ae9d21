//! Calls that are held while people decide: each is judged again from the start before it runs.

use serde_json::{Value, json};
use toolgate::approvals::State;

use crate::approvals::{POLICY, ask_for, decide, decisions, events, needs_approval, waits};
use crate::wire::client::{Client, post, request};
use crate::wire::gate::{Gate, Setup, open};
use crate::wire::upstream::{self, Latch, Step, chunk, stream_head};
use crate::wire::{CI, until};

fn held() -> Setup {
    Setup::policy(POLICY).settings("approvals: { hold_ms: 60000 }")
}

/// Sends a call that will wait, and waits until it does.
async fn asks(gate: &Gate, tool: &str, arguments: &str) -> Client {
    let mut client = gate.client().await;
    client.send(&ask_for(tool, arguments).bytes()).await;
    wait_for(gate, 1).await;
    client
}

async fn wait_for(gate: &Gate, count: usize) {
    let count = u64::try_from(count).unwrap();
    for _ in 0..1_500 {
        if gate.approvals.pending().await.unwrap() as u64 == count {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{count} requests did not come to wait");
}

#[tokio::test]
async fn a_call_runs_when_it_is_approved_while_its_client_waits() {
    let (gate, upstream) = open(held()).await;
    let mut client = asks(&gate, "refund", "{}").await;
    decide(&gate.approvals, &waits(&gate.approvals).await, true, "ann").await;
    let answer = client.answer().await;
    assert!(answer.ran(), "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(upstream.count(), 1);
    let records = gate.ended().await;
    assert_eq!(decisions(&records).len(), 1, "{records:?}");
    assert_eq!(events(&records), [("consumed", None)]);
}

#[tokio::test]
async fn a_call_is_refused_with_the_reason_when_it_is_denied_while_its_client_waits() {
    let (gate, upstream) = open(held()).await;
    let mut client = asks(&gate, "refund", "{}").await;
    decide(&gate.approvals, &waits(&gate.approvals).await, false, "ann").await;
    let text = client.answer().await.tool_error();
    assert!(
        text.contains("an approver refused this call: as agreed"),
        "{text}"
    );
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_call_that_nobody_decides_about_is_answered_when_the_hold_is_over() {
    let (gate, _upstream) = open(Setup::policy(POLICY).settings("approvals: { hold_ms: 300 }")).await;
    let first = needs_approval(&gate.ask(&ask_for("refund", "{}")).await);
    assert_eq!(needs_approval(&gate.ask(&ask_for("refund", "{}")).await), first);
    decide(&gate.approvals, &waits(&gate.approvals).await, true, "ann").await;
    assert!(gate.ask(&ask_for("refund", "{}")).await.ran());
}

#[tokio::test]
async fn a_client_that_leaves_stops_waiting_and_its_request_stays() {
    let (gate, upstream) = open(held()).await;
    drop(asks(&gate, "refund", "{}").await);
    until(|| !gate.sink.records().is_empty()).await;
    assert_eq!(gate.sink.records()[0]["outcome"], "needs_approval");
    decide(&gate.approvals, &waits(&gate.approvals).await, true, "ann").await;
    assert!(gate.ask(&ask_for("refund", "{}")).await.ran());
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn of_two_equal_calls_that_wait_one_runs_and_the_other_asks_anew() {
    let (gate, upstream) = open(held()).await;
    let mut first = asks(&gate, "refund", "{}").await;
    let mut second = asks(&gate, "refund", "{}").await;
    // a duplicate joins: there is one request before and after
    let approval = waits(&gate.approvals).await;
    decide(&gate.approvals, &approval, true, "ann").await;
    upstream.request(1).await;
    wait_for(&gate, 1).await;
    let next = waits(&gate.approvals).await;
    assert_ne!(next.id, approval.id);
    decide(&gate.approvals, &next, false, "ann").await;
    let answers = [first.answer().await, second.answer().await];
    assert_eq!(answers.iter().filter(|answer| answer.ran()).count(), 1);
    assert_eq!(upstream.count(), 1);
}

/// Where a client reads events and gave a token, it sees life from the start.
#[tokio::test]
async fn a_client_that_takes_progress_is_told_while_it_waits_and_gets_the_answer_as_an_event() {
    let (gate, upstream) = open(held()).await;
    let body = r#"{"jsonrpc":"2.0","id":"a/1","method":"tools/call","params":{"_meta":{"progressToken":"p-1"},"name":"refund","arguments":{}}}"#;
    for (number, answer) in [
        // an answer in lines, and one as a stream with progress of its own
        vec![Step::Send(upstream::json(
            "{\"jsonrpc\":\"2.0\",\r\n\"id\":\"a/1\",\n\"result\":{}}",
        ))],
        vec![
            Step::Send(stream_head("")),
            Step::Send(chunk("data: {\"jsonrpc\":\"2.0\",\"method\":\"own\"}\n\n")),
            Step::Send(chunk(
                "data: {\"jsonrpc\":\"2.0\",\"id\":\"a/1\",\"result\":{}}\n\n",
            )),
            Step::Send(upstream::LAST_CHUNK.to_vec()),
        ],
    ]
    .into_iter()
    .enumerate()
    {
        upstream.next(answer);
        let mut client = gate.client().await;
        client.send(&post(body).bytes()).await;
        let head = client.head().await;
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        let told = client.chunks_until("\n\n").await;
        let told: Value = serde_json::from_str(told.split_once("data: ").unwrap().1.trim_end()).unwrap();
        assert_eq!(told["method"], "notifications/progress");
        assert_eq!(told["params"]["progressToken"], "p-1");
        let approval = waits(&gate.approvals).await;
        let message = told["params"]["message"].as_str().unwrap();
        assert!(message.contains(&approval.id.to_string()), "{message}");
        decide(&gate.approvals, &approval, true, "ann").await;
        // the stream ends with the answer
        let mut text = String::new();
        while let Some(piece) = client.chunk().await {
            text.push_str(std::str::from_utf8(&piece).unwrap());
        }
        let messages: Vec<Value> = text
            .split("\n\n")
            .filter_map(|event| event.split_once("data: "))
            .map(|(_, data)| serde_json::from_str(data).unwrap())
            .filter(|message: &Value| message["method"] != "notifications/progress")
            .collect();
        assert_eq!(messages.last().unwrap()["id"], "a/1");
        assert_eq!(messages.len(), number + 1);
    }
}

#[tokio::test]
async fn a_client_that_leaves_its_stream_stops_waiting() {
    let (gate, upstream) = open(held()).await;
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{"progressToken":1},"name":"refund","arguments":{}}}"#;
    let mut client = gate.client().await;
    client.send(&post(body).bytes()).await;
    client.head().await;
    drop(client);
    until(|| !gate.sink.records().is_empty()).await;
    assert_eq!(gate.sink.records()[0]["outcome"], "needs_approval");
    decide(&gate.approvals, &waits(&gate.approvals).await, true, "ann").await;
    assert_eq!(upstream.count(), 0);
    assert!(gate.ask(&ask_for("refund", "{}")).await.ran());
}

#[tokio::test]
async fn a_client_that_cancels_its_call_stops_it_and_nobody_elses() {
    let (gate, upstream) = open(held()).await;
    let opened = upstream::answer(
        "200 OK",
        &[("Content-Type", "application/json"), ("Mcp-Session-Id", "abc")],
        br#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
    );
    upstream.next(vec![Step::Send(opened)]);
    let session = gate.ask(&ask_for("free", "{}")).await;
    let session = session.header("mcp-session-id").unwrap().to_owned();
    let mut client = gate.client().await;
    let call = ask_for("refund", "{}").header("Mcp-Session-Id", &session);
    client.send(&call.bytes()).await;
    wait_for(&gate, 1).await;
    let cancel = |id: &str| {
        post(format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#
        ))
    };
    // another request, and another client
    gate.ask(&cancel("2").header("Mcp-Session-Id", &session)).await;
    gate.ask(&cancel("1")).await;
    let listed = gate.sink.records();
    assert!(
        !listed.iter().any(|line| line["outcome"] == "needs_approval"),
        "{listed:?}"
    );
    gate.ask(&cancel("1").header("Mcp-Session-Id", &session)).await;
    needs_approval(&client.answer().await);
    decide(&gate.approvals, &waits(&gate.approvals).await, true, "ann").await;
    assert!(upstream.seen().iter().all(|seen| !seen.text().contains("refund")));
}

async fn reloaded(gate: &Gate, times: u64) {
    let line = r#"toolgate_policy_reloads_total{result="success"}"#;
    for _ in 0..1_500 {
        if gate.metric(line).await >= times {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the files were not read again");
}

#[tokio::test]
async fn a_policy_that_denies_by_now_holds_although_the_call_was_approved_before() {
    let (gate, upstream) = open(held().reloads()).await;
    let mut client = asks(&gate, "refund", "{}").await;
    let approval = waits(&gate.approvals).await;
    let now = POLICY.replace(
        r#""action":"require_approval","reason":"money leaves""#,
        r#""action":"deny","reason":"closed""#,
    );
    std::fs::write(gate.folder.join("p.json"), now).unwrap();
    reloaded(&gate, 1).await;
    decide(&gate.approvals, &approval, true, "ann").await;
    let text = client.answer().await.tool_error();
    assert!(text.contains("closed"), "{text}");
    assert_eq!(upstream.count(), 0);
    // nothing was used up
    let known = gate.approvals.get(&approval.id).await.unwrap().unwrap();
    assert_eq!(known.state, State::Approved);
}

#[tokio::test]
async fn what_was_approved_under_another_policy_is_asked_about_anew() {
    let (gate, upstream) = open(
        Setup::policy(POLICY)
            .settings("approvals: { hold_ms: 0 }")
            .reloads(),
    )
    .await;
    let call = ask_for("refund", "{}");
    let first = needs_approval(&gate.ask(&call).await);
    decide(&gate.approvals, &waits(&gate.approvals).await, true, "ann").await;
    std::fs::write(
        gate.folder.join("p.json"),
        POLICY.replace("money leaves", "money goes"),
    )
    .unwrap();
    reloaded(&gate, 1).await;
    assert_ne!(needs_approval(&gate.ask(&call).await), first);
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_grant_that_is_revoked_while_its_call_waits_runs_nothing() {
    let (gate, upstream) = open(held().reloads()).await;
    let mut client = asks(&gate, "refund", "{}").await;
    let approval = waits(&gate.approvals).await;
    let grants = std::fs::read_to_string(gate.folder.join("grants.yaml")).unwrap();
    let revoked = grants.replacen("{ id: ci,", "{ id: ci, revoked: true,", 1);
    assert_ne!(revoked, grants);
    std::fs::write(gate.folder.join("grants.yaml"), revoked).unwrap();
    reloaded(&gate, 1).await;
    decide(&gate.approvals, &approval, true, "ann").await;
    assert_eq!(client.answer().await.status, 401);
    assert_eq!(upstream.count(), 0);
    let records = gate.ended().await;
    let lines = decisions(&records);
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["outcome"], "unauthenticated");
}

#[tokio::test]
async fn a_limit_that_is_used_up_while_a_call_waits_refuses_it_and_leaves_the_approval() {
    let policy = POLICY.replace(
        r#""some":{"#,
        r#""free":{"limits":[{"counter":"rare","window":"hour","max":1}]},"some":{"#,
    );
    let (gate, upstream) = open(Setup::policy(&policy).settings("approvals: { hold_ms: 60000 }")).await;
    let mut client = asks(&gate, "rare", "{}").await;
    assert!(gate.ask(&ask_for("free", "{}")).await.ran());
    let approval = waits(&gate.approvals).await;
    decide(&gate.approvals, &approval, true, "ann").await;
    let answer = client.answer().await;
    assert_eq!(answer.decision()["outcome"], "limited");
    assert_eq!(upstream.count(), 1);
    let known = gate.approvals.get(&approval.id).await.unwrap().unwrap();
    assert_eq!(known.state, State::Approved);
}

#[tokio::test]
async fn a_gate_that_goes_tells_those_who_wait() {
    let (gate, _upstream) = open(held()).await;
    let mut client = asks(&gate, "refund", "{}").await;
    gate.stop();
    needs_approval(&client.answer().await);
}

#[tokio::test]
async fn over_the_transport_of_2024_11_05_the_answer_comes_on_the_stream() {
    let (gate, upstream) = open(held()).await;
    let said = Latch::new();
    upstream.next(vec![
        Step::Send(stream_head("")),
        Step::Send(chunk("event: endpoint\ndata: /m?s=1\n\n")),
        Step::Wait(said.clone()),
        Step::Close,
    ]);
    let mut stream = gate.client().await;
    stream.send(&request("GET", "").bytes()).await;
    assert_eq!(stream.head().await.status, 200);
    let event = stream.chunks_until("\n\n").await;
    let endpoint = event
        .strip_prefix("event: endpoint\ndata: ")
        .unwrap()
        .trim_end()
        .to_owned();
    // nothing is waited for in the POST
    let ask = ask_for("refund", "{}").to(&endpoint);
    assert_eq!(gate.ask(&ask).await.status, 202);
    wait_for(&gate, 1).await;
    decide(&gate.approvals, &waits(&gate.approvals).await, false, "ann").await;
    let told = stream.chunks_until("\n\n").await;
    assert!(told.contains("an approver refused this call"), "{told}");
    // another one, which runs
    let ask = ask_for("refund", r#"{"n":2}"#).to(&endpoint);
    upstream.next(vec![Step::Send(upstream::answer("202 Accepted", &[], b""))]);
    assert_eq!(gate.ask(&ask).await.status, 202);
    wait_for(&gate, 1).await;
    decide(&gate.approvals, &waits(&gate.approvals).await, true, "ann").await;
    assert_eq!(upstream.request(2).await.request_line(), "POST /m?s=1 HTTP/1.1");
    assert!(upstream.request(2).await.text().contains(r#"{"n":2}"#));
    assert_eq!(upstream.request(2).await.header("authorization"), None, "{CI}");
    said.open();
    let records = gate.ended().await;
    let outcomes: Vec<_> = decisions(&records)
        .iter()
        .map(|line| line["outcome"].clone())
        .collect();
    assert!(
        outcomes.contains(&json!("denied")) && outcomes.contains(&json!("allowed")),
        "{outcomes:?}"
    );
}
