//! The parts that the other tests rely on, without toolgate between them: real clients against real servers, the
//! relay, the window check. Where one of these fails, a failure of the tests with toolgate says nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test and its helpers a failed unwrap is a failed test"
)]

mod support;

use std::time::Duration;

use serde_json::json;
use support::clients::{self, Sdk};
use support::history::{Span, surely_within, worst_window};
use support::http;
use support::mcp::Caller;
use support::redis::RedisServer;
use support::relay::Relay;
use support::servers::{Era, Everything, Fixture};

/// Five calls that every client makes of the fixture.
fn calls() -> serde_json::Value {
    json!([
        { "tool": "start_run", "arguments": { "pipeline": "nightly" }, "times": 2 },
        { "tool": "fail", "arguments": { "message": "on purpose" } },
        { "tool": "no_such_tool" },
        { "tool": "echo", "arguments": { "message": "still here" } },
    ])
}

async fn every_client_works_against(era: Era, sdks: &[Sdk]) {
    let fixture = Fixture::start(era);
    for (index, &sdk) in sdks.iter().enumerate() {
        let run = clients::run(sdk, &fixture.url, "any", &calls());
        let seen = run.calls();
        let kinds: Vec<&str> = seen.iter().map(|call| call.kind.as_str()).collect();
        let unknown = if era == Era::Session {
            "tool_error"
        } else {
            "protocol_error"
        };
        assert_eq!(kinds, ["ok", "ok", "tool_error", unknown, "ok"], "{sdk:?}");
        assert_eq!(seen[2].text, "failed: on purpose", "{sdk:?}");
        assert!(
            seen[3].text.contains("no_such_tool not found"),
            "{sdk:?}: {}",
            seen[3].text
        );
        assert_eq!(seen[4].text, "Echo: still here", "{sdk:?}");
        assert_eq!(
            run.protocol_version(),
            if era == Era::Session {
                "2025-11-25"
            } else {
                "2026-07-28"
            }
        );
        assert!(
            run.tools().contains(&"admin_delete_user") && run.tools().contains(&"start_run"),
            "{sdk:?}"
        );
        assert_eq!(
            fixture.executions("start_run").await,
            2 * (index as u64 + 1),
            "{sdk:?}"
        );
    }
}

#[tokio::test]
async fn four_clients_work_against_the_fixture_with_sessions() {
    every_client_works_against(Era::Session, &Sdk::ALL).await;
}

#[tokio::test]
async fn the_two_current_clients_work_against_the_fixture_without_sessions() {
    let current: Vec<Sdk> = Sdk::ALL.into_iter().filter(|sdk| sdk.is_current()).collect();
    every_client_works_against(Era::Current, &current).await;
}

#[tokio::test]
async fn four_clients_work_against_the_reference_server() {
    let server = Everything::start();
    let calls = json!([{ "tool": "echo", "arguments": { "message": "hi" }, "times": 3 }, { "tool": "get-sum", "arguments": { "a": 2, "b": 3 } }]);
    let started: Vec<_> = Sdk::ALL
        .iter()
        .map(|&sdk| (sdk, clients::start(sdk, &server.url, "any", &calls)))
        .collect();
    for (sdk, running) in started {
        let run = running.finish();
        let texts: Vec<String> = run.calls().into_iter().map(|call| call.text).collect();
        assert_eq!(texts[..3], ["Echo: hi", "Echo: hi", "Echo: hi"], "{sdk:?}");
        assert!(texts[3].contains('5'), "{sdk:?}: {}", texts[3]);
    }
}

#[tokio::test]
async fn a_client_reports_that_it_could_not_connect() {
    let mut fixture = Fixture::start(Era::Session);
    fixture.kill();
    for sdk in [Sdk::TypeScript1, Sdk::Python1] {
        let run = clients::run(sdk, &fixture.url, "any", &calls());
        assert!(run.failure().is_some(), "{sdk:?}: {}", run.answer);
    }
}

#[tokio::test]
async fn a_slow_call_streams_progress_and_ends_when_it_is_released() {
    let fixture = Fixture::start(Era::Current);
    let (head, mut events) = Caller::new(&fixture.url, "any")
        .call_streaming("slow", &json!({ "name": "a" }))
        .await;
    assert_eq!(head.status, 200);
    assert_eq!(events.next().await.unwrap()["params"]["progress"], 1);
    fixture.until_waiting("a").await;
    fixture.step("a").await;
    assert_eq!(events.next().await.unwrap()["params"]["progress"], 2);
    fixture.until_waiting("a").await;
    fixture.release("a").await;
    assert_eq!(
        events.next().await.unwrap()["result"]["content"][0]["text"],
        "a released after 2"
    );
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn the_fixture_sees_a_client_that_goes_away() {
    let fixture = Fixture::start(Era::Current);
    let (_, events) = Caller::new(&fixture.url, "any")
        .call_streaming("slow", &json!({ "name": "gone" }))
        .await;
    fixture.until_waiting("gone").await;
    drop(events);
    fixture
        .until("the call is cancelled", |state| {
            support::servers::contains(&state["cancelled"], "gone")
        })
        .await;
    assert_eq!(fixture.requests().await.last().unwrap()["end"], "aborted");
}

#[tokio::test]
async fn a_session_listens_on_its_get_stream_until_it_is_deleted() {
    let fixture = Fixture::start(Era::Session);
    let session = Caller::new(&fixture.url, "any").open_session().await;
    assert_eq!(
        session.call("echo", &json!({ "message": "hi" })).await.text(),
        "Echo: hi"
    );
    let (head, mut events) = session.listen().await;
    assert_eq!(head.status, 200);
    fixture.notify().await;
    assert_eq!(
        events.next().await.unwrap()["method"],
        "notifications/tools/list_changed"
    );
    assert_eq!(session.delete().await.status, 200);
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn the_relay_cuts_stalls_and_heals() {
    let redis = RedisServer::start();
    let relay = Relay::start(&format!("127.0.0.1:{}", redis.port)).await;
    let address = relay.address.to_string();
    let mut wire = http::Wire::open(&address).await;
    wire.send(b"PING\r\n").await;
    assert_eq!(wire.piece().await.unwrap(), b"+PONG\r\n");

    relay.stall();
    wire.send(b"PING\r\n").await;
    let held = tokio::time::timeout(Duration::from_millis(100), wire.piece()).await;
    assert!(held.is_err(), "a byte passed a stalled relay");
    relay.heal();
    assert_eq!(wire.piece().await.unwrap(), b"+PONG\r\n");

    relay.cut();
    assert_eq!(wire.piece().await, None);
    relay.heal();
    let mut again = http::Wire::open(&address).await;
    again.send(b"PING\r\n").await;
    assert_eq!(again.piece().await.unwrap(), b"+PONG\r\n");
}

#[tokio::test]
async fn redis_comes_back_on_its_port_after_a_crash() {
    let mut redis = RedisServer::start();
    let address = format!("127.0.0.1:{}", redis.port);
    redis.kill();
    assert!(tokio::net::TcpStream::connect(&address).await.is_err());
    redis.restart();
    let mut wire = http::Wire::open(&address).await;
    wire.send(b"PING\r\n").await;
    assert_eq!(wire.piece().await.unwrap(), b"+PONG\r\n");
}

#[test]
fn the_window_check_counts_both_ends_of_a_window() {
    let times = [0, 500, 2_000, 4_001];
    assert_eq!(worst_window(&times, 2_000), 3);
    assert_eq!(worst_window(&times, 1_999), 2);
    assert_eq!(worst_window(&[], 2_000), 0);
}

#[test]
fn only_calls_that_surely_lie_in_a_window_break_it() {
    let span = |sent_ms, answered_ms| Span { sent_ms, answered_ms };
    let spans = [
        span(0, 10),
        span(5, 2_000),
        span(1_990, 2_005),
        span(5_000, 5_001),
    ];
    assert_eq!(surely_within(&spans, 2_000), 2);
    assert_eq!(surely_within(&spans, 2_005), 3);
}
