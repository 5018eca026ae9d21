//! Processes that are killed between a person's word and the run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use toolgate::approvals::{Approval, Approvals, Decided, State};

use crate::replicas::replica_with;
use crate::support::canned::Canned;
use crate::support::gate::{Gate, Setup};
use crate::support::redis::RedisServer;
use crate::support::wait::until;

const KEY: &str = "0123456789abcdef0123456789abcdef";
const RAN: &[u8] = br#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"ran"}]}}"#;

fn setup(upstream: &Canned, redis: &RedisServer, hold_ms: u32) -> Setup {
    let policy =
        json!({ "version": "1", "default": "deny", "tools": { "refund": { "action": "require_approval" } } });
    Setup::new()
        .server("s", &upstream.url)
        .policy("p", policy)
        .grant("ci", "tg_ci", "s", "p")
        .redis(&redis.url(), 5_000)
        .key(
            "approvals",
            json!({ "hold_ms": hold_ms, "key": { "env": "KEY" } }),
        )
}

fn start(setup: &Setup) -> Gate {
    setup.start_with_env(&[("KEY", KEY)])
}

fn person(redis: &RedisServer) -> Approvals {
    replica_with(redis, KEY.as_bytes(), Duration::from_secs(600))
}

async fn waits(person: &Approvals) -> Approval {
    until("a request waits", || async {
        person.list(Some(State::Pending)).await.unwrap().pop()
    })
    .await
}

async fn approve(person: &Approvals, of: &Approval) {
    let decided = person.decide(&of.id, &of.digest, true, "ann", "").await;
    assert!(matches!(decided, Ok(Decided::Done(_))), "{decided:?}");
}

async fn call(gate: &Gate) -> Value {
    let reply = gate
        .caller("s", "tg_ci")
        .call("refund", &json!({ "to": "bob" }))
        .await;
    reply.message
}

fn signal(gate: &Gate, name: &str) {
    let status = std::process::Command::new("kill")
        .args([&format!("-{name}"), &gate.pid().to_string()])
        .status();
    assert!(status.unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_gate_dies_before_it_runs_runs_once_at_another() {
    let (redis, upstream) = (
        RedisServer::start(),
        Canned::start(&Canned::answer(
            "200 OK",
            &["Content-Type: application/json"],
            RAN,
        ))
        .await,
    );
    let person = person(&redis);
    let setup = setup(&upstream, &redis, 60_000);
    let mut first = start(&setup);
    let caller = first.caller("s", "tg_ci");
    let held = tokio::spawn(async move { caller.call("refund", &json!({ "to": "bob" })).await });
    let approval = waits(&person).await;
    // it does not hear of the decision any more
    signal(&first, "STOP");
    approve(&person, &approval).await;
    first.kill();
    held.abort();
    assert!(upstream.requests().is_empty());
    let second = start(&setup);
    assert_eq!(call(&second).await["result"]["content"][0]["text"], "ran");
    assert_eq!(upstream.requests().len(), 1);
    let known = person.get(&approval.id).await.unwrap().unwrap();
    assert_eq!(known.state, State::Consumed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_gate_dies_while_it_runs_is_asked_about_anew() {
    let redis = RedisServer::start();
    let blocked = Arc::new(AtomicBool::new(true));
    let door = Arc::clone(&blocked);
    let upstream = Canned::start_with(move |_| {
        // the first request is never answered
        if door.swap(false, Ordering::SeqCst) {
            Vec::new()
        } else {
            Canned::answer("200 OK", &["Content-Type: application/json"], RAN)
        }
    })
    .await;
    let person = person(&redis);
    let setup = setup(&upstream, &redis, 0);
    let mut first = start(&setup);
    assert_eq!(decision(&call(&first).await)["outcome"], "needs_approval");
    let approval = waits(&person).await;
    approve(&person, &approval).await;
    // sent, and then nobody knows
    assert!(
        call(&first).await["error"]["message"]
            .as_str()
            .unwrap()
            .contains("may have been executed")
    );
    assert_eq!(upstream.requests().len(), 1);
    first.kill();
    let second = start(&setup);
    let asked = decision(&call(&second).await);
    assert_eq!(asked["outcome"], "needs_approval");
    assert_ne!(asked["approvalId"], json!(approval.id.to_string()));
    assert_eq!(upstream.requests().len(), 1);
}

fn decision(answer: &Value) -> Value {
    answer["result"]["_meta"]["toolgate/decision"].clone()
}
