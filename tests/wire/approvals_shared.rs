//! Several gates over one Redis.

use std::collections::BTreeMap;

use serde_json::json;
use toolgate::approvals::State;

use crate::approvals::{POLICY, ask_for, decide, needs_approval, waits};
use crate::redis_server::RedisServer;
use crate::wire::gate::{Gate, Setup};
use crate::wire::upstream::Upstream;

fn shared(redis: &RedisServer, hold_ms: u32) -> Setup {
    let addr = format!("127.0.0.1:{}", redis.port).parse().unwrap();
    Setup {
        env: BTreeMap::from([("KEY".to_owned(), "0123456789abcdef0123456789abcdef".to_owned())]),
        ..Setup::policy(POLICY).redis(addr, 5_000).settings(&format!(
            "approvals: {{ hold_ms: {hold_ms}, key: {{ env: KEY }} }}"
        ))
    }
}

async fn two_gates(redis: &RedisServer, upstream: &Upstream, hold_ms: u32) -> (Gate, Gate) {
    let setup = shared(redis, hold_ms);
    (
        setup.clone().before(upstream.addr).await,
        setup.before(upstream.addr).await,
    )
}

#[tokio::test]
async fn a_call_held_by_one_gate_runs_when_another_hears_of_the_decision() {
    let redis = RedisServer::start();
    let upstream = Upstream::start().await;
    let (one, two) = two_gates(&redis, &upstream, 60_000).await;
    let mut client = one.client().await;
    client.send(&ask_for("refund", "{}").bytes()).await;
    for _ in 0..1_500 {
        if two.approvals.pending().await.unwrap() == 1 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    decide(&two.approvals, &waits(&two.approvals).await, true, "ann").await;
    assert!(client.answer().await.ran());
    assert_eq!(upstream.count(), 1);
}

/// An agent that tries again and again at both gates, while a person approves once.
#[tokio::test]
async fn however_often_an_agent_tries_at_two_gates_one_approval_runs_one_call() {
    let redis = RedisServer::start();
    let upstream = Upstream::start().await;
    let (one, two) = two_gates(&redis, &upstream, 0).await;
    for round in 0..5 {
        let call = ask_for("refund", &format!(r#"{{"round":{round}}}"#));
        let first = needs_approval(&one.ask(&call).await);
        assert_eq!(needs_approval(&two.ask(&call).await), first);
        let approval = waits(&one.approvals).await;
        decide(&one.approvals, &approval, true, "ann").await;
        let tries = (0..8).map(|number| {
            let gate = if number % 2 == 0 { one.proxy } else { two.proxy };
            let call = call.clone();
            tokio::spawn(async move {
                let mut client = crate::wire::client::Client::connect(gate).await;
                client.ask(&call).await
            })
        });
        let mut ran = 0;
        for answer in tries.collect::<Vec<_>>() {
            let answer = answer.await.unwrap();
            if answer.ran() {
                ran += 1;
            } else {
                assert_ne!(needs_approval(&answer), first, "{}", answer.text());
            }
        }
        assert_eq!(ran, 1, "round {round}");
        assert_eq!(upstream.count(), round + 1);
        for left in one.approvals.list(Some(State::Pending)).await.unwrap() {
            decide(&one.approvals, &left, false, "ann").await;
        }
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_denies_and_asks_nobody() {
    let mut redis = RedisServer::start();
    let upstream = Upstream::start().await;
    let gate = shared(&redis, 0).before(upstream.addr).await;
    let call = ask_for("refund", "{}");
    needs_approval(&gate.ask(&call).await);
    redis.kill();
    let answer = gate.ask(&call).await;
    assert_eq!(answer.decision()["outcome"], "store_error");
    assert!(
        answer.tool_error().contains("could not be looked for"),
        "{}",
        answer.text()
    );
    assert_eq!(answer.decision()["executed"], json!(false));
    assert_eq!(upstream.count(), 0);
}

#[test]
fn a_shared_store_without_a_key_stops_the_start_and_the_key_is_named() {
    let folder = std::env::temp_dir().join(format!("toolgate-key-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let files = [
        ("p.json", POLICY.to_owned()),
        (
            "toolgate.yaml",
            "servers: { s: { upstream: 'http://127.0.0.1:1/mcp' } }\npolicies: { p: p.json }\ncounters: { store: redis, url: 'redis://127.0.0.1:1' }\n".to_owned(),
        ),
    ];
    for (name, text) in &files {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let settings = toolgate::settings::load_with(&folder.join("toolgate.yaml"), &BTreeMap::new()).unwrap();
    let loaded = toolgate::app::load_files(&settings.files, settings.servers.keys().map(String::as_str));
    std::fs::remove_dir_all(&folder).unwrap();
    let error = loaded.err().unwrap().to_string();
    assert!(
        error.contains("p.json: the policy `p`") && error.contains("approvals: { key: { env: NAME } }"),
        "{error}"
    );
}
