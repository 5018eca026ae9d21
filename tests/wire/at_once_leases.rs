//! Calls in flight whose places are in Redis: one that runs longer than its lease keeps its place or is cut before the
//! place is another's.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::at_once::{at_once, is_full, last_call, running, until_free};
use crate::charging::losing_its_server;
use crate::redis_server::RedisServer;
use crate::wire::client::{Client, call};
use crate::wire::gate::{Gate, Setup};
use crate::wire::relay::Relay;
use crate::wire::upstream::{Latch, Step, Upstream, chunk, stream_head};
use crate::wire::{until, within};

/// The lease of [`one_in_redis`]; where none is named it is the default, which no test outlasts.
const LEASE: Duration = Duration::from_secs(2);

fn one_in_redis(store: SocketAddr) -> Setup {
    at_once(1, r#","lease":2"#).redis(store, 1_000)
}

async fn redis() -> (RedisServer, SocketAddr) {
    let server = RedisServer::start();
    let addr = format!("127.0.0.1:{}", server.port).parse().unwrap();
    (server, addr)
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
    let mut client = losing_its_server(&gate, &relay, &upstream).await;
    assert_eq!(client.answer().await.json()["error"]["code"], 502);
    let record = gate.records(2).await.swap_remove(1);
    assert_eq!(record["upstream"]["refunded"], true, "{record}");
    let _back = Upstream::at(addr).await;
    assert!(!is_full(&gate).await);
}
