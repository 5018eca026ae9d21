//! Calls in flight: how long a call holds its place.

use serde_json::json;

use crate::wire::client::{Client, Req, call, post};
use crate::wire::gate::{Gate, Setup, open};
use crate::wire::upstream::{self, LAST_CHUNK, Latch, Step, Upstream, chunk, stream_head};
use crate::wire::{until, within};

/// So many `run` at once; `again` shares their places, `free` is not limited.
pub fn at_once(max: u32, lease: &str) -> Setup {
    Setup::policy(&format!(
        r#"{{"version":"1","default":"allow","tools":{{
            "run":{{"concurrency":{{"counter":"runs","max":{max}{lease}}}}},
            "again":{{"concurrency":{{"counter":"runs","max":{max}{lease}}}}}}}}}"#
    ))
}

fn one() -> Setup {
    at_once(1, "")
}

/// A call that waits at the upstream.
pub async fn running(gate: &Gate, upstream: &Upstream) -> (Client, Latch) {
    let latch = Latch::new();
    upstream.next(vec![Step::Wait(latch.clone()), Step::Answer]);
    let count = upstream.count();
    let mut client = gate.client().await;
    client.send(&call("run").bytes()).await;
    upstream.request(count + 1).await;
    (client, latch)
}

/// After which the connection is closed.
pub fn last_call() -> Req {
    call("run").header("Connection", "close")
}

pub async fn is_full(gate: &Gate) -> bool {
    let answer = gate.ask(&call("again")).await;
    let full = answer.text().contains("is running");
    assert!(full || answer.ran(), "{}", answer.text());
    full
}

/// Waits until a place is free. What has ended is given back at once, but not before its client has its answer.
pub async fn until_free(gate: &Gate) {
    within(async {
        while is_full(gate).await {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_call_that_finds_all_places_taken_is_told_so_and_not_forwarded() {
    let (gate, upstream) = open(one()).await;
    let (mut client, latch) = running(&gate, &upstream).await;
    let refused = gate.ask(&call("again")).await;
    assert_eq!(
        refused.tool_error(),
        "[POLICY DENIED] again: 1 call for this grant is running, and no other may run beside it. \
         Try again in 1 s. The call was not executed."
    );
    let decision = refused.decision();
    assert_eq!(
        (&decision["outcome"], &decision["rule"], &decision["retryAfterMs"]),
        (
            &json!("limited"),
            &json!("/tools/again/concurrency"),
            &json!(1_000)
        )
    );
    assert_eq!(
        (refused.header("ratelimit-policy"), refused.header("ratelimit")),
        (
            Some(r#""runs";q=1;qu="concurrent-requests""#),
            Some(r#""runs";r=0"#)
        )
    );
    assert!(gate.ask(&call("free")).await.ran());
    assert_eq!(upstream.count(), 2, "the refused call was forwarded");
    latch.open();
    assert!(client.answer().await.ran());
    until_free(&gate).await;
    let records = gate.ended().await;
    assert_eq!(records[0]["outcome"], "limited");
    assert_eq!(records[0]["charges"][0]["counter"], "runs");
}

#[tokio::test]
async fn a_stream_holds_its_place_until_its_end() {
    let (gate, upstream) = open(one()).await;
    let (first, second) = (Latch::new(), Latch::new());
    upstream.next(vec![
        Step::Send(stream_head("")),
        Step::Send(chunk("data: 1\n\n")),
        Step::Wait(first.clone()),
        Step::Send(chunk("data: 2\n\n")),
        Step::Wait(second.clone()),
        Step::Send(LAST_CHUNK.to_vec()),
    ]);
    let mut client = gate.client().await;
    client.send(&call("run").bytes()).await;
    client.head().await;
    client.chunks_until("data: 1").await;
    assert!(is_full(&gate).await);
    first.open();
    client.chunks_until("data: 2").await;
    assert!(is_full(&gate).await);
    second.open();
    assert_eq!(client.chunk().await, None);
    until_free(&gate).await;
    assert_eq!(upstream.aborted(), 0);
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_place_before_and_within_the_answer() {
    let (gate, upstream) = open(one()).await;
    let (client, _latch) = running(&gate, &upstream).await;
    assert!(is_full(&gate).await);
    drop(client);
    until_free(&gate).await;
    until(|| upstream.aborted() == 1).await;
    upstream.next(vec![
        Step::Send(stream_head("")),
        Step::Send(chunk("data: 1\n\n")),
        Step::Wait(Latch::new()),
    ]);
    let mut client = gate.client().await;
    client.send(&call("run").bytes()).await;
    client.head().await;
    client.chunks_until("data: 1").await;
    assert!(is_full(&gate).await);
    drop(client);
    until_free(&gate).await;
    until(|| upstream.aborted() == 2).await;
}

#[tokio::test]
async fn a_call_frees_its_place_however_it_ends() {
    let (gate, upstream) = open(one().server(", response_timeout_ms: 100")).await;
    let moved = upstream::answer("302 Found", &[("Location", "/x")], b"");
    for reply in [
        vec![Step::Wait(Latch::new())],
        vec![Step::Close],
        vec![Step::Send(b"HTTP/1.1 ".to_vec()), Step::Close],
        vec![Step::Send(upstream::answer(
            "500 Internal Server Error",
            &[],
            b"",
        ))],
        vec![Step::Send(upstream::answer("202 Accepted", &[], b""))],
        vec![Step::Send(moved)],
        vec![
            Step::Send(stream_head("")),
            Step::Send(chunk("data: 1\n\n")),
            Step::Close,
        ],
    ] {
        upstream.next(reply.clone());
        let mut client = gate.client().await;
        client.send(&last_call().bytes()).await;
        client.rest().await;
        until_free(&gate).await;
    }
    let addr = upstream.addr;
    upstream.stop_listening().await;
    upstream.close_idle();
    until(|| upstream.ended() == upstream.accepted()).await;
    assert_eq!(gate.ask(&call("run")).await.json()["error"]["code"], 502);
    let _back = Upstream::at(addr).await;
    until_free(&gate).await;
}

#[tokio::test]
async fn a_task_holds_its_place_as_long_as_the_request_that_started_it() {
    let (gate, upstream) = open(one()).await;
    let task = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"run","task":{}}}"#;
    let latch = Latch::new();
    upstream.next(vec![Step::Wait(latch.clone()), Step::Answer]);
    let mut client = gate.client().await;
    client.send(&post(task).bytes()).await;
    upstream.request(1).await;
    assert!(is_full(&gate).await);
    latch.open();
    assert!(client.answer().await.ran());
    until_free(&gate).await;
}

#[tokio::test]
async fn in_shadow_no_call_is_refused_and_what_would_have_been_is_noted() {
    let policy = at_once(1, "").policy.replacen('{', r#"{"mode":"shadow","#, 1);
    let (gate, upstream) = open(Setup::policy(&policy)).await;
    let (mut client, latch) = running(&gate, &upstream).await;
    assert!(gate.ask(&call("again")).await.ran());
    latch.open();
    assert!(client.answer().await.ran());
    let records = gate.ended().await;
    assert_eq!(records[0]["shadow"][0]["rule"], "/tools/again/concurrency");
    assert!(
        records[0]["shadow"][0]["message"]
            .as_str()
            .unwrap()
            .contains("1 call for this grant is running")
    );
    assert_eq!(records[1]["shadow"], json!(null));
}
