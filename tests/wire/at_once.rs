//! Calls in flight: how long a call holds its place, and that a call that cannot hold it any longer is cut.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::redis_server::RedisServer;
use crate::wire::client::{Client, Req, call, post};
use crate::wire::gate::{Gate, Setup, open};
use crate::wire::relay::Relay;
use crate::wire::upstream::{self, LAST_CHUNK, Latch, Step, Upstream, chunk, stream_head};
use crate::wire::{until, within};

/// The lease of the tests that wait for one; the others have the default, which no test outlasts.
const LEASE: Duration = Duration::from_secs(2);

/// So many `run` at once; `again` shares their places, `free` is not limited.
fn at_once(max: u32, lease: &str) -> Setup {
    Setup::policy(&format!(
        r#"{{"version":"1","default":"allow","tools":{{
            "run":{{"concurrency":{{"counter":"runs","max":{max}{lease}}}}},
            "again":{{"concurrency":{{"counter":"runs","max":{max}{lease}}}}}}}}}"#
    ))
}

fn one() -> Setup {
    at_once(1, "")
}

fn one_in_redis(store: SocketAddr) -> Setup {
    at_once(1, r#","lease":2"#).redis(store, 1_000)
}

async fn redis() -> (RedisServer, SocketAddr) {
    let server = RedisServer::start();
    let addr = format!("127.0.0.1:{}", server.port).parse().unwrap();
    (server, addr)
}

/// A call that waits at the upstream.
async fn running(gate: &Gate, upstream: &Upstream) -> (Client, Latch) {
    let latch = Latch::new();
    upstream.next(vec![Step::Wait(latch.clone()), Step::Answer]);
    let count = upstream.count();
    let mut client = gate.client().await;
    client.send(&call("run").bytes()).await;
    upstream.request(count + 1).await;
    (client, latch)
}

/// After which the connection is closed.
fn last_call() -> Req {
    call("run").header("Connection", "close")
}

/// The first call, after which connections are open and the scripts are known.
async fn warmed(gate: &Gate) {
    assert!(gate.ask(&call("run")).await.ran());
    within(async {
        while gate
            .metric(r#"toolgate_store_seconds_count{operation="release"}"#)
            .await
            == 0
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn is_full(gate: &Gate) -> bool {
    let answer = gate.ask(&call("again")).await;
    let full = answer.text().contains("is running");
    assert!(full || answer.ran(), "{}", answer.text());
    full
}

/// Waits until a place is free. What has ended is given back at once, but not before its client has its answer.
async fn until_free(gate: &Gate) {
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

#[tokio::test]
async fn a_shadow_lease_that_cannot_be_renewed_cuts_nothing() {
    let (_redis, store) = redis().await;
    let relay = Relay::to(store).await;
    let upstream = Upstream::start().await;
    let policy = at_once(1, r#","lease":1"#)
        .policy
        .replacen('{', r#"{"mode":"shadow","#, 1);
    let gate = Setup::policy(&policy)
        .redis(relay.addr, 100)
        .before(upstream.addr)
        .await;
    let (mut client, latch) = running(&gate, &upstream).await;
    relay.stall();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(upstream.aborted(), 0);
    latch.open();
    assert!(client.answer().await.ran());
}

#[tokio::test]
async fn a_call_that_runs_longer_than_its_lease_keeps_its_place() {
    let (_redis, store) = redis().await;
    let upstream = Upstream::start().await;
    let gate = one_in_redis(store).before(upstream.addr).await;
    let beside = one_in_redis(store).before(upstream.addr).await;
    let (mut client, latch) = running(&gate, &upstream).await;
    let start = Instant::now();
    while start.elapsed() < LEASE * 3 / 2 {
        assert!(is_full(&beside).await, "free after {:?}", start.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((upstream.count(), upstream.aborted()), (1, 0));
    latch.open();
    assert!(client.answer().await.ran());
    let ended = Instant::now();
    until_free(&beside).await;
    assert!(ended.elapsed() < LEASE, "its place was not given back");
}

/// Two replicas, one of which loses the store while its call runs: the other may take the place only once the
/// call has been cut.
async fn cut_before_its_place_is_taken(begin: Vec<Step>, read_head: bool) -> Vec<u8> {
    let (_redis, store) = redis().await;
    let relay = Relay::to(store).await;
    let upstream = Upstream::start().await;
    let gate = one_in_redis(relay.addr).before(upstream.addr).await;
    let beside = one_in_redis(store).before(upstream.addr).await;
    assert!(gate.ask(&call("free")).await.ran());
    upstream.next(begin);
    let mut client = Client::with_a_small_buffer(gate.proxy).await;
    let before = Instant::now();
    client.send(&last_call().bytes()).await;
    upstream.request(2).await;
    if read_head {
        client.head().await;
    }
    relay.stall();
    until_free(&beside).await;
    assert_eq!(upstream.aborted(), 1, "two calls ran at once");
    assert!(
        before.elapsed() >= LEASE,
        "its place was free before its lease ended"
    );
    client.rest().await
}

#[tokio::test]
async fn a_call_whose_lease_cannot_be_renewed_is_cut_before_its_place_is_taken() {
    let rest = cut_before_its_place_is_taken(vec![Step::Wait(Latch::new())], false).await;
    let text = String::from_utf8(rest).unwrap();
    assert!(
        text.contains("the call was cut") && text.contains("may have been executed"),
        "{text}"
    );
}

#[tokio::test]
async fn a_stream_whose_lease_cannot_be_renewed_is_cut_too() {
    let rest = cut_before_its_place_is_taken(
        vec![
            Step::Send(stream_head("")),
            Step::Send(chunk("data: 1\n\n")),
            Step::Wait(Latch::new()),
        ],
        true,
    )
    .await;
    let text = String::from_utf8(rest).unwrap();
    assert!(
        !text.ends_with("0\r\n\r\n"),
        "a cut stream must not look whole: {text}"
    );
}

#[tokio::test]
async fn a_client_that_reads_nothing_keeps_no_call_from_being_cut() {
    let flood = 64 << 20;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {flood}\r\n\r\n");
    cut_before_its_place_is_taken(vec![Step::Send(head.into_bytes()), Step::Flood(flood)], true).await;
}

#[tokio::test]
async fn a_store_that_is_away_for_less_than_a_lease_cuts_nothing() {
    let (_redis, store) = redis().await;
    let relay = Relay::to(store).await;
    let upstream = Upstream::start().await;
    // a busy machine must neither miss the store's deadline nor sleep through a lease
    let lease = 2 * LEASE;
    let of = |addr| at_once(1, r#","lease":4"#).redis(addr, 2_000);
    let gate = of(relay.addr).before(upstream.addr).await;
    let (mut client, latch) = running(&gate, &upstream).await;
    let start = Instant::now();
    relay.stall();
    // a renewal is on its way, and waits
    until(|| relay.held() > 0).await;
    relay.heal();
    let beside = of(store).before(upstream.addr).await;
    while start.elapsed() < lease * 3 / 2 {
        assert!(is_full(&beside).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    latch.open();
    assert!(client.answer().await.ran());
}

#[tokio::test]
async fn a_place_that_was_asked_for_too_long_ago_is_not_used() {
    let (_redis, store) = redis().await;
    let relay = Relay::to(store).await;
    let upstream = Upstream::start().await;
    let gate = at_once(1, r#","lease":1"#)
        .redis(relay.addr, 10_000)
        .before(upstream.addr)
        .await;
    warmed(&gate).await;
    relay.stall();
    let mut client = gate.client().await;
    client.send(&call("run").bytes()).await;
    until(|| relay.held() > 0).await;
    // the store answers after the lease, and before its deadline
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    relay.heal();
    let error = client.answer().await.json()["error"]["message"].to_string();
    assert!(error.contains("was not executed"), "{error}");
    assert_eq!(upstream.count(), 1);
    until_free(&gate).await;
}

#[tokio::test]
async fn the_end_of_a_replica_waits_until_the_places_of_what_it_cut_are_given_back() {
    let (_redis, store) = redis().await;
    let relay = Relay::to(store).await;
    let upstream = Upstream::start().await;
    let of = |addr| at_once(1, "").redis(addr, 4_000).settings("drain_ms: 100");
    let gate = of(relay.addr).before(upstream.addr).await;
    let beside = of(store).before(upstream.addr).await;
    let (_client, _latch) = running(&gate, &upstream).await;
    assert!(is_full(&beside).await);
    relay.stall();
    let healed = std::cell::Cell::new(false);
    let healing = async {
        until(|| relay.held() > 0).await;
        // long enough for an end that does not wait
        tokio::time::sleep(Duration::from_millis(300)).await;
        healed.set(true);
        relay.heal();
    };
    let ending = async {
        gate.ended().await;
        assert!(healed.get(), "it ended before the store was asked");
    };
    tokio::join!(healing, ending);
    assert!(!is_full(&beside).await);
}

#[tokio::test]
async fn a_refund_gives_the_place_back_with_the_charge() {
    let (_redis, store) = redis().await;
    let relay = Relay::to(store).await;
    let upstream = Upstream::start().await;
    let addr = upstream.addr;
    let gate = at_once(1, "").redis(relay.addr, 10_000).before(addr).await;
    warmed(&gate).await;
    relay.stall();
    let mut client = gate.client().await;
    client.send(&call("run").bytes()).await;
    until(|| relay.held() > 0).await;
    upstream.stop_listening().await;
    upstream.close_idle();
    until(|| upstream.ended() == 1).await;
    relay.heal();
    assert_eq!(client.answer().await.json()["error"]["code"], 502);
    let record = gate.records(2).await.swap_remove(1);
    assert_eq!(record["upstream"]["refunded"], true, "{record}");
    let _back = Upstream::at(addr).await;
    assert!(!is_full(&gate).await);
}
