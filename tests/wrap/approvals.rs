//! Calls over stdio that people must agree to: they wait while other lines go on.

use std::time::Duration;

use serde_json::{Value, json};
use toolgate::approvals::{Approval, Approvals, Decided, State};
use toolgate::counters::{self, RedisOptions, Store};

use super::support::redis::RedisServer;
use super::support::wait::until;
use super::support::wrapped::{Place, Wrapped, text_of};

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn asking() -> Value {
    json!({ "version": "1", "default": "allow", "tools": { "start_run": { "action": "require_approval" } } })
}

/// A wrapped server whose `start_run` needs a person, and that person.
fn wrapped(redis: &RedisServer, hold_ms: u32) -> (Place, Wrapped, Approvals) {
    let place = Place::with(&asking());
    place.folder.write("key", KEY);
    let settings = json!({
        "counters": { "store": "redis", "url": redis.url(), "deadline_ms": 5_000 },
        "approvals": { "hold_ms": hold_ms, "key": { "file": "key" } },
    });
    place.folder.write("toolgate.yaml", &settings.to_string());
    let config = place.path("toolgate.yaml").display().to_string();
    let client = place.start(&["--config", &config, "--server", "raw"]);
    let options = RedisOptions {
        deadline: Duration::from_secs(5),
        ..RedisOptions::new(counters::Place::Single(redis.url()), "toolgate")
    };
    let Ok(Store::Redis(store)) = Store::redis(options) else {
        panic!("no store");
    };
    let person = Approvals::in_redis(store, KEY.as_bytes(), Duration::from_secs(600)).unwrap();
    (place, client, person)
}

const NOBODY: &str = "has people approve calls, and nobody can decide them";

/// Calls a tool of a server that is wrapped without a shared store; its stderr, once all has ended.
fn called(policy: &Value, tool: &str) -> String {
    let place = Place::with(policy);
    let mut client = place.start(&[]);
    assert_eq!(text_of(&client.call(1, tool, json!({}))), format!("{tool} ran"));
    client.close_stdin();
    client.end();
    client.stderr()
}

#[test]
fn where_nobody_can_decide_a_warning_says_so_and_other_tools_work() {
    let mut policy = asking();
    let told = called(&policy, "echo");
    assert!(told.contains(&format!("the policy `policy` {NOBODY}")), "{told}");
    assert!(
        told.contains("set `counters.store: redis` and `approvals.key`"),
        "{told}"
    );
    // what blocks nothing asks nobody
    policy["mode"] = json!("shadow");
    let told = called(&policy, "start_run");
    assert!(!told.contains(NOBODY), "{told}");
}

async fn waits(person: &Approvals) -> Approval {
    until("a request waits", || async {
        person.list(Some(State::Pending)).await.unwrap().pop()
    })
    .await
}

async fn decide(person: &Approvals, of: &Approval, approve: bool) {
    let decided = person.decide(&of.id, &of.digest, approve, "ann", "not now").await;
    assert!(matches!(decided, Ok(Decided::Done(_))), "{decided:?}");
}

fn call(id: u32) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": "start_run", "arguments": { "n": 1 } } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_waits_while_others_go_on_and_runs_when_it_is_approved() {
    let redis = RedisServer::start();
    let (place, mut client, person) = wrapped(&redis, 60_000);
    client.send(&call(1));
    let approval = waits(&person).await;
    assert_eq!(
        (approval.grant.as_str(), approval.server.as_str()),
        ("local", "raw")
    );
    assert_eq!(text_of(&client.call(2, "echo", json!({}))), "echo ran");
    decide(&person, &approval, true).await;
    assert_eq!(text_of(&client.answer(&json!(1))), "start_run ran");
    client.send(&call(3));
    let next = waits(&person).await;
    assert_ne!(next.id, approval.id);
    decide(&person, &next, false).await;
    let refused = client.answer(&json!(3));
    assert!(
        text_of(&refused).contains("an approver refused this call: not now"),
        "{refused}"
    );
    assert_eq!(place.ran("start_run"), 1);
    client.close_stdin();
    client.end();
    assert!(!client.stderr().contains(NOBODY), "{}", client.stderr());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_cancelled_while_it_waits_runs_nothing_and_is_not_answered() {
    let redis = RedisServer::start();
    let (place, mut client, person) = wrapped(&redis, 60_000);
    client.send(&call(1));
    let approval = waits(&person).await;
    client.send(
        &json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } }),
    );
    // what came before it is done
    client.request(2, "ping", json!({}));
    decide(&person, &approval, true).await;
    client.request(3, "ping", json!({}));
    assert!(!client.stdout().contains("\"id\":1,"));
    assert_eq!(place.ran("start_run"), 0);
    // it was agreed to: the same call runs now
    client.send(&call(4));
    assert_eq!(text_of(&client.answer(&json!(4))), "start_run ran");
    client.close_stdin();
    client.end();
    let outcomes: Vec<_> = client
        .decisions()
        .iter()
        .map(|line| line["outcome"].clone())
        .collect();
    assert!(outcomes.contains(&json!("needs_approval")), "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_nobody_decides_about_is_told_what_waits() {
    let redis = RedisServer::start();
    let (place, mut client, person) = wrapped(&redis, 200);
    client.send(&call(1));
    let answer = client.answer(&json!(1));
    let decision = &answer["result"]["_meta"]["toolgate/decision"];
    assert_eq!(decision["outcome"], "needs_approval", "{answer}");
    let approval = waits(&person).await;
    assert_eq!(decision["approvalId"], json!(approval.id.to_string()));
    decide(&person, &approval, true).await;
    assert_eq!(
        text_of(&client.call(2, "start_run", json!({ "n": 1 }))),
        "start_run ran"
    );
    assert_eq!(place.ran("start_run"), 1);
}
