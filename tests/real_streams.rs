//! Streams pass as they come: events one by one, a client that leaves, GET and DELETE of sessions, exact bytes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test and its helpers a failed unwrap is a failed test"
)]

mod support;

use data_encoding::BASE64;
use serde_json::{Value, json};
use support::gate::{Gate, Setup, limited};
use support::servers::{Era, Fixture, contains};

const TOKEN: &str = "tg_agent";

fn gate(fixture: &Fixture) -> Gate {
    let mut policy = limited("start_run", 2, json!("hour"));
    policy["hide"] = json!(["secret-*"]);
    Setup::new()
        .server("fixture", &fixture.url)
        .policy("p", policy)
        .grant("agent", TOKEN, "fixture", "p")
        .grant("other", "tg_other", "fixture", "p")
        .start()
}

#[tokio::test]
async fn the_first_event_is_seen_before_the_last_is_sent() {
    let fixture = Fixture::start(Era::Current);
    let gate = gate(&fixture);
    let (head, mut events) = gate
        .caller("fixture", TOKEN)
        .call_streaming("slow", &json!({ "name": "a" }))
        .await;
    assert_eq!(head.status, 200);
    assert!(
        head.header("content-type")
            .unwrap()
            .starts_with("text/event-stream")
    );
    assert_eq!(events.next().await.unwrap()["params"]["progress"], 1);
    for progress in 2..5 {
        fixture.until_waiting("a").await;
        fixture.step("a").await;
        assert_eq!(events.next().await.unwrap()["params"]["progress"], progress);
    }
    fixture.until_waiting("a").await;
    fixture.release("a").await;
    assert_eq!(
        events.next().await.unwrap()["result"]["content"][0]["text"],
        "a released after 4"
    );
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_client_that_goes_away_aborts_the_call_at_the_server() {
    let fixture = Fixture::start(Era::Current);
    let gate = gate(&fixture);
    let (_, events) = gate
        .caller("fixture", TOKEN)
        .call_streaming("slow", &json!({ "name": "gone" }))
        .await;
    fixture.until_waiting("gone").await;
    drop(events);
    fixture
        .until("the server sees the abort", |state| {
            contains(&state["cancelled"], "gone")
        })
        .await;
    assert_eq!(fixture.requests().await.last().unwrap()["end"], "aborted");
}

#[tokio::test]
async fn a_client_that_goes_away_closes_the_call_of_its_session_at_the_server() {
    let fixture = Fixture::start(Era::Session);
    let gate = gate(&fixture);
    let session = gate.caller("fixture", TOKEN).open_session().await;
    let call = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call",
        "params": { "name": "slow", "arguments": { "name": "gone" } } });
    let headers = [("Mcp-Session-Id", session.id.as_str())];
    let request = session
        .caller
        .request("POST", &headers, call.to_string().as_bytes());
    let wire = session.caller.send_only(&request).await;
    fixture.until_waiting("gone").await;
    drop(wire);
    // in sessions a closed connection cancels nothing: that is for the server to say
    support::wait::until("the server sees the abort", || async {
        (fixture.requests().await.last().unwrap()["end"] == "aborted").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_client_that_goes_away_before_the_head_aborts_the_call_too() {
    // JSON answers: the head comes only with the result, so toolgate is still waiting for it.
    let fixture = Fixture::start_with(Era::Current, json!({ "json": true }));
    let gate = gate(&fixture);
    let caller = gate.caller("fixture", TOKEN);
    let wire = caller
        .send_only(&caller.current_request("slow", &json!({ "name": "early" }), 1))
        .await;
    fixture.until_waiting("early").await;
    drop(wire);
    fixture
        .until("the server sees the abort", |state| {
            contains(&state["cancelled"], "early")
        })
        .await;
}

#[tokio::test]
async fn a_call_that_was_sent_and_then_abandoned_stays_charged() {
    let fixture = Fixture::start_with(Era::Current, json!({ "json": true }));
    let mut policy = limited("slow", 1, json!("hour"));
    policy["tools"]["start_run"] = json!({});
    let gate = Setup::new()
        .server("fixture", &fixture.url)
        .policy("p", policy)
        .grant("agent", TOKEN, "fixture", "p")
        .start();
    let caller = gate.caller("fixture", TOKEN);
    let wire = caller
        .send_only(&caller.current_request("slow", &json!({ "name": "left" }), 1))
        .await;
    fixture.until_waiting("left").await;
    drop(wire);
    fixture
        .until("the server sees the abort", |state| {
            contains(&state["cancelled"], "left")
        })
        .await;
    assert_eq!(
        caller.call("slow", &json!({ "name": "again" })).await.outcome(),
        "limited"
    );
}

#[tokio::test]
async fn a_call_that_cannot_reach_the_server_is_refunded() {
    let mut fixture = Fixture::start(Era::Current);
    let gate = gate(&fixture);
    let port: u16 = fixture.address().rsplit(':').next().unwrap().parse().unwrap();
    fixture.kill();
    let caller = gate.caller("fixture", TOKEN);
    for _ in 0..4 {
        let reply = caller.call("start_run", &json!({})).await;
        assert_eq!(
            (reply.status, &reply.message["error"]["code"]),
            (200, &json!(502)),
            "{:?}",
            reply.message
        );
    }
    let fixture = Fixture::start_with(Era::Current, json!({ "port": port }));
    let mut outcomes = Vec::new();
    for _ in 0..3 {
        outcomes.push(caller.call("start_run", &json!({})).await.outcome().to_owned());
    }
    assert_eq!(outcomes, ["executed", "executed", "limited"]);
    assert_eq!(fixture.executions("start_run").await, 2);
}

#[tokio::test]
async fn the_get_stream_and_delete_of_a_session_pass() {
    let fixture = Fixture::start(Era::Session);
    let gate = gate(&fixture);
    let session = gate.caller("fixture", TOKEN).open_session().await;
    let (head, mut events) = session.listen().await;
    assert_eq!(head.status, 200);
    fixture
        .until("the GET stream is open", |state| state["openStreams"] == 1)
        .await;
    fixture.notify().await;
    assert_eq!(
        events.next().await.unwrap()["method"],
        "notifications/tools/list_changed"
    );
    assert_eq!(session.delete().await.status, 200);
    fixture
        .until("the session is gone", |state| {
            state["sessions"] == 0 && state["openStreams"] == 0
        })
        .await;
    assert_eq!(events.next().await, None);
    assert_eq!(
        session
            .post(&json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }))
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn a_get_stream_that_its_client_leaves_is_closed_at_the_server() {
    let fixture = Fixture::start(Era::Session);
    let gate = gate(&fixture);
    let session = gate.caller("fixture", TOKEN).open_session().await;
    let (_, events) = session.listen().await;
    fixture
        .until("the GET stream is open", |state| state["openStreams"] == 1)
        .await;
    drop(events);
    fixture
        .until("the GET stream is closed", |state| state["openStreams"] == 0)
        .await;
}

#[tokio::test]
async fn another_grant_cannot_use_or_end_a_session() {
    let fixture = Fixture::start(Era::Session);
    let gate = gate(&fixture);
    let own = gate.caller("fixture", TOKEN).open_session().await;
    let requests = fixture.state().await["requests"].clone();
    let stolen = support::mcp::Session {
        caller: gate.caller("fixture", "tg_other"),
        id: own.id.clone(),
    };
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    assert_eq!(stolen.post(&ping).await.status, 404);
    assert_eq!(stolen.delete().await.status, 404);
    assert_eq!(
        fixture.state().await["requests"],
        requests,
        "a stolen session id reached the server"
    );
    assert_eq!(own.post(&ping).await.status, 200);
}

fn header<'a>(request: &'a Value, name: &str) -> Vec<&'a str> {
    let headers = request["headers"].as_array().unwrap();
    headers
        .iter()
        .filter(|pair| pair[0] == name)
        .map(|pair| pair[1].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_call_reaches_the_server_byte_for_byte_and_without_the_token() {
    let fixture = Fixture::start(Era::Session);
    let gate = gate(&fixture);
    let session = gate.caller("fixture", TOKEN).open_session().await;
    let body = br#" { "jsonrpc":"2.0", "id":"\u0041-7",  "method":"tools\/call",
        "params":{"x-unknown":null,"future" : {"a":[1.10,-0.0E+1]},"name":"start_run",
        "arguments":{"pipeline":"n\u00efght","big":1234567890123456789012345}} } "#;
    let headers = [
        ("MCP-Protocol-Version", "2025-11-25"),
        ("Mcp-Session-Id", session.id.as_str()),
        ("Mcp-Param-Anything", "kept"),
        ("X-Unknown", "kept too"),
        ("Cookie", "a=b"),
        ("X-Forwarded-For", "10.0.0.1"),
    ];
    let answer = support::http::exchange(
        session.caller.address(),
        &session.caller.request("POST", &headers, body),
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["id"], "A-7");
    let requests = fixture.requests().await;
    let arrived = requests.last().unwrap();
    assert_eq!(
        BASE64
            .decode(arrived["body"].as_str().unwrap().as_bytes())
            .unwrap(),
        body
    );
    assert_eq!(header(arrived, "mcp-param-anything"), ["kept"]);
    assert_eq!(header(arrived, "x-unknown"), ["kept too"]);
    for gone in ["authorization", "cookie", "x-forwarded-for"] {
        assert!(
            header(arrived, gone).is_empty(),
            "{gone} was forwarded: {arrived}"
        );
    }
    assert_ne!(
        header(arrived, "mcp-session-id"),
        [session.id.as_str()],
        "the signed session id went upstream"
    );
}

#[tokio::test]
async fn a_large_answer_streams_in_bounded_memory() {
    const BYTES: usize = 32 << 20;
    let fixture = Fixture::start_with(Era::Current, json!({ "json": true }));
    let gate = gate(&fixture);
    let caller = gate.caller("fixture", TOKEN);
    assert_eq!(
        caller.call("big", &json!({ "bytes": 1 })).await.outcome(),
        "executed"
    );
    let before = peak_memory_kb(gate.pid());
    let reply = caller.call("big", &json!({ "bytes": BYTES })).await;
    assert_eq!(reply.text().len(), BYTES);
    let grown = peak_memory_kb(gate.pid()) - before;
    assert!(
        grown < 8 * 1024,
        "an answer of {BYTES} bytes took {grown} KB of memory"
    );
}

/// The most memory the process has held so far, in KB (`VmHWM` of proc(5)).
fn peak_memory_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
