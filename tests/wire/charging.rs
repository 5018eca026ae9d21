//! What is charged, what is refunded, and that each decision is recorded exactly once.

use std::net::SocketAddr;

use serde_json::json;

use crate::redis_server::RedisServer;
use crate::wire::client::{Client, call, post, request};
use crate::wire::gate::{Gate, Setup, open};
use crate::wire::relay::Relay;
use crate::wire::until;
use crate::wire::upstream::{self, Latch, Step, Upstream};

async fn is_used_up(gate: &Gate) -> bool {
    let answer = gate.ask(&call("run")).await;
    let used = answer.text().contains("used up");
    assert!(used || answer.ran(), "{}", answer.text());
    used
}

/// A gate whose store is a Redis behind a relay; its deadline is long enough to stall the store meanwhile.
pub async fn behind_a_relay(upstream: SocketAddr) -> (Gate, Relay, RedisServer) {
    let redis = RedisServer::start();
    let relay = Relay::to(format!("127.0.0.1:{}", redis.port).parse().unwrap()).await;
    let gate = Setup::runs(2, "grant")
        .redis(relay.addr, 10_000)
        .before(upstream)
        .await;
    // connections are open and the script is known from here on
    assert!(gate.ask(&call("run")).await.ran());
    (gate, relay, redis)
}

/// A client with a call whose connection to the server closes while the store is asked, and cannot be replaced.
pub async fn losing_its_server(gate: &Gate, relay: &Relay, upstream: &Upstream) -> Client {
    relay.stall();
    let mut client = gate.client().await;
    client.send(&call("run").bytes()).await;
    until(|| relay.held() > 0).await;
    upstream.stop_listening().await;
    upstream.close_idle();
    until(|| upstream.ended() == 1).await;
    relay.heal();
    client
}

#[tokio::test]
async fn a_call_that_finds_no_connection_is_not_charged() {
    let (gate, upstream) = open(Setup::runs(1, "grant")).await;
    let addr = upstream.addr;
    upstream.stop_listening().await;
    for _ in 0..3 {
        assert_eq!(gate.ask(&call("run")).await.json()["error"]["code"], 502);
    }
    let _back = Upstream::at(addr).await;
    assert!(!is_used_up(&gate).await);
    assert!(is_used_up(&gate).await);
    let records = gate.ended().await;
    assert_eq!(
        (&records[0]["outcome"], &records[0]["upstream"]["ended"]),
        (&json!("upstream_error"), &json!("unsent"))
    );
}

#[tokio::test]
async fn a_call_whose_connection_closed_meanwhile_and_cannot_be_replaced_is_refunded() {
    let upstream = Upstream::start().await;
    let addr = upstream.addr;
    let (gate, relay, _redis) = behind_a_relay(addr).await;
    let mut client = losing_its_server(&gate, &relay, &upstream).await;
    let error = client.answer().await.json()["error"].clone();
    assert_eq!(error["code"], 502);
    assert!(
        error["message"].as_str().unwrap().contains("was not executed"),
        "{error}"
    );
    let record = gate.records(2).await.swap_remove(1);
    assert_eq!(
        (&record["upstream"]["ended"], &record["upstream"]["refunded"]),
        (&json!("unsent"), &json!(true)),
        "{record}"
    );
    assert_eq!(
        gate.metric(r#"toolgate_refunds_total{result="refunded",server="s"}"#)
            .await,
        1
    );
    let back = Upstream::at(addr).await;
    assert!(!is_used_up(&gate).await);
    assert!(is_used_up(&gate).await);
    assert_eq!((upstream.count(), back.count()), (1, 1));
}

#[tokio::test]
async fn a_call_whose_idle_connection_closed_goes_out_once_on_a_new_one() {
    let upstream = Upstream::start().await;
    let (gate, relay, _redis) = behind_a_relay(upstream.addr).await;
    relay.stall();
    let mut client = gate.client().await;
    client.send(&call("run").bytes()).await;
    until(|| relay.held() > 0).await;
    upstream.close_idle();
    until(|| upstream.ended() == 1).await;
    relay.heal();
    assert!(client.answer().await.ran());
    assert_eq!((upstream.accepted(), upstream.count()), (2, 2));
    assert!(is_used_up(&gate).await);
}

#[tokio::test]
async fn a_client_that_leaves_after_the_charge_and_before_sending_is_refunded_and_recorded() {
    let upstream = Upstream::start().await;
    let (gate, relay, _redis) = behind_a_relay(upstream.addr).await;
    relay.stall();
    let mut client = gate.client().await;
    client.send(&call("run").bytes()).await;
    until(|| relay.held() > 0).await;
    drop(client);
    while gate.metric("toolgate_open_connections").await > 0 {
        tokio::task::yield_now().await;
    }
    relay.heal();
    let record = gate.records(2).await.swap_remove(1);
    assert_eq!(
        (&record["upstream"]["ended"], &record["upstream"]["refunded"]),
        (&json!("unsent"), &json!(true)),
        "{record}"
    );
    assert_eq!(record["charges"][0]["counter"], "runs");
    assert_eq!(upstream.count(), 1, "the call of the one who left was not sent");
    assert!(!is_used_up(&gate).await);
    assert!(is_used_up(&gate).await);
    assert_eq!(gate.ended().await.len(), 4);
}

#[tokio::test]
async fn a_client_that_leaves_before_the_charge_left_nothing_that_counts_as_a_call() {
    // it takes connections, and never says a word of TLS
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let setup = Setup::runs(1, "grant").https();
    let gate = setup.before(silent.local_addr().unwrap()).await;
    let mut client = gate.client().await;
    client.send(&call("run").bytes()).await;
    let _stalled = silent.accept().await.unwrap();
    drop(client);
    let record = gate.records(1).await.swap_remove(0);
    assert_eq!(
        (&record["upstream"]["ended"], &record["charges"]),
        (&json!("unsent"), &json!([])),
        "{record}"
    );
    let told = r#"mcp_server_operation_duration_seconds_count{error_type="unsent",gen_ai_tool_name="run",mcp_method_name="tools/call",server="s"}"#;
    assert_eq!(gate.metric(told).await, 1);
}

#[tokio::test]
async fn a_client_that_leaves_after_sending_aborts_the_upstream_and_stays_charged() {
    let (gate, upstream) = open(Setup::runs(1, "grant")).await;
    upstream.next(vec![Step::Wait(Latch::new())]);
    let mut client = gate.client().await;
    client.send(&call("run").bytes()).await;
    upstream.request(1).await;
    drop(client);
    until(|| upstream.aborted() == 1).await;
    let record = gate.records(1).await.swap_remove(0);
    assert_eq!(
        (&record["upstream"]["ended"], &record["upstream"]["refunded"]),
        (&json!("aborted"), &json!(false))
    );
    assert!(is_used_up(&gate).await);
    assert_eq!(gate.ended().await.len(), 2);
}

#[tokio::test]
async fn a_client_that_leaves_an_open_stream_ends_it_at_the_upstream() {
    let (gate, upstream) = open(Setup::runs(1, "grant")).await;
    for asked in [call("run"), request("GET", "")] {
        let aborted = upstream.aborted();
        upstream.next(vec![
            Step::Send(upstream::stream_head("")),
            Step::Send(upstream::chunk(
                "data: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n",
            )),
            Step::Wait(Latch::new()),
        ]);
        let mut client = gate.client().await;
        client.send(&asked.bytes()).await;
        client.head().await;
        client.chunks_until("\n\n").await;
        assert_eq!(gate.metric(r#"toolgate_in_flight{server="s"}"#).await, 1);
        drop(client);
        until(|| upstream.aborted() == aborted + 1).await;
    }
    assert_eq!(gate.metric(r#"toolgate_in_flight{server="s"}"#).await, 0);
    let records = gate.ended().await;
    assert_eq!(records.len(), 2);
    assert!(
        records
            .iter()
            .all(|record| record["upstream"]["ended"] == "answered")
    );
}

#[tokio::test]
async fn a_call_that_timed_out_or_broke_after_sending_stays_charged() {
    for reply in [
        vec![Step::Wait(Latch::new())],
        vec![Step::Close],
        vec![Step::Send(b"HTTP/1.1 ".to_vec()), Step::Close],
    ] {
        let (gate, upstream) = open(Setup::runs(1, "grant").server(", response_timeout_ms: 100")).await;
        upstream.next(reply);
        assert!(
            gate.ask(&call("run"))
                .await
                .text()
                .contains("may have been executed")
        );
        assert!(is_used_up(&gate).await);
        let records = gate.ended().await;
        assert_eq!(
            (records.len(), &records[0]["upstream"]["refunded"]),
            (2, &json!(false))
        );
        assert_eq!(records[0]["charges"][0]["left"], 0);
    }
}

#[tokio::test]
async fn an_error_of_the_server_stays_charged() {
    let (gate, upstream) = open(Setup::runs(1, "grant")).await;
    upstream.next(vec![Step::Send(upstream::answer(
        "500 Internal Server Error",
        &[],
        b"",
    ))]);
    assert_eq!(gate.ask(&call("run")).await.status, 500);
    assert!(is_used_up(&gate).await);
}

#[tokio::test]
async fn a_denied_call_charges_nothing() {
    let policy = r#"{"version":"1","default":"allow","hide":["h"],
        "all_tools":{"limits":[{"counter":"all","window":"hour","max":2}]},
        "tools":{"run":{"limits":[{"counter":"runs","window":"hour","max":1}]},"drop":{"action":"deny"}}}"#;
    let (gate, upstream) = open(Setup::policy(policy)).await;
    assert!(gate.ask(&call("run")).await.ran());
    for tool in ["run", "run", "drop", "h"] {
        assert!(!gate.ask(&call(tool)).await.ran());
    }
    gate.ask(&post(
        r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"free"}}"#,
    ))
    .await;
    gate.ask(&post(
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"free","arguments":[]}}"#,
    ))
    .await;
    assert!(gate.ask(&call("free")).await.ran(), "`all` has one left");
    assert!(gate.ask(&call("free")).await.tool_error().contains("used up"));
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn a_retry_with_input_or_a_task_is_charged_like_every_call() {
    let (gate, upstream) = open(Setup::runs(2, "grant")).await;
    let retry = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"run","requestState":"x","inputResponses":{"a":{}}}}"#;
    let task = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"run","task":{}}}"#;
    assert!(gate.ask(&post(retry)).await.ran());
    assert!(gate.ask(&post(task)).await.ran());
    assert!(gate.ask(&post(retry)).await.tool_error().contains("used up"));
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn a_resent_json_rpc_id_is_charged_again() {
    let (gate, _upstream) = open(Setup::runs(1, "grant")).await;
    assert!(!is_used_up(&gate).await);
    assert!(is_used_up(&gate).await);
}
