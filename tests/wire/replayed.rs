//! A gate's own record, replayed: its policy decides the same again, another one as it should.

use std::sync::Arc;

use serde_json::{Value, json};
use toolgate::policy::{Policy, load};
use toolgate::replay::{Filter, Line, Replay, Report, Rulebook};

use crate::redis_server::RedisServer;
use crate::wire::client::post;
use crate::wire::gate::{Gate, Setup};
use crate::wire::upstream::Upstream;
use crate::wire::{CI, OTHER};

const POLICY: &str = r#"{
  "version": "1", "default": "deny", "record": ["args.amount", "args.customer"],
  "all_tools": { "limits": [{ "counter": "all", "window": "hour", "max": 40, "scope": "global" }] },
  "tools": {
    "run": { "limits": [{ "counter": "runs", "window": 1, "max": 7 }, { "counter": "sessions", "window": "minute", "max": 5, "scope": "session" }] },
    "pay": {
      "require": [{ "conditions": [{ "path": "args.amount", "op": "lte", "value": 40 }] }],
      "limits": [
        { "counter": "spend", "window": "hour", "max": 99, "increment_from": "args.amount", "scale": 2 },
        { "counter": "of_customer", "window": "hour", "max": 3, "scope": "arg:customer" } ] },
    "stop": { "action": "deny" }
  }
}"#;

fn call(tool: &str, arguments: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": tool, "arguments": arguments } })
        .to_string()
}

/// Many calls at once, of two grants, some beyond every limit.
async fn drive(gates: &[&Gate]) {
    let mut asked = Vec::new();
    for number in 0..90_u32 {
        let gate = gates[number as usize % gates.len()];
        let amount = [1.5, 33.0, 41.0, 0.25][number as usize % 4];
        let (tool, arguments) = match number % 3 {
            0 => ("run", json!({})),
            1 => ("pay", json!({ "amount": amount, "customer": number % 5 })),
            _ => (
                ["stop", "gone", "pay"][number as usize / 3 % 3],
                json!({ "amount": "x" }),
            ),
        };
        let token = if number % 4 == 0 { OTHER } else { CI };
        let request = post(call(tool, &arguments)).token(token);
        let mut client = gate.client().await;
        asked.push(tokio::spawn(async move { client.ask(&request).await }));
    }
    for answer in asked {
        answer.await.unwrap();
    }
    let read = r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"a:b"}}"#;
    gates[0].ask(&post(read)).await;
}

fn policy(text: &str) -> Vec<Arc<Policy>> {
    vec![Arc::new(load("p", "p.json", text).unwrap().policy)]
}

fn replay(policy_text: &str, logs: &[String]) -> Report {
    let mut replay = Replay::new(Rulebook::Everyone(policy(policy_text)), Filter::default());
    for line in logs.iter().flat_map(|log| log.lines()) {
        replay.take(Line::read(line.as_bytes()).unwrap());
    }
    replay.end()
}

async fn logs(gates: Vec<Gate>) -> Vec<String> {
    let mut logs = Vec::new();
    for gate in gates {
        let sink = gate.sink.clone();
        gate.ended().await;
        logs.push(sink.text());
    }
    logs
}

fn limited(logs: &[String]) -> usize {
    logs.iter()
        .map(|log| log.matches(r#""outcome":"limited""#).count())
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_that_was_live_decides_the_same_and_a_stricter_one_what_it_should() {
    let upstream = Upstream::start().await;
    let gate = Setup::policy(POLICY).before(upstream.addr).await;
    drive(&[&gate]).await;
    let logs = logs(vec![gate]).await;
    assert!(limited(&logs) > 10, "{}", limited(&logs));
    let report = replay(POLICY, &logs);
    assert_eq!((&report.differences, &report.cannot_be_told), (&vec![], &vec![]));
    assert_eq!((report.totals.decisions, report.totals.alike), (91, 91));

    // of 30 runs some were allowed; now none is
    let allowed = logs[0]
        .lines()
        .filter(|line| line.contains(r#""tool":"run""#) && line.contains(r#""outcome":"allowed""#));
    let allowed = allowed.count() as u64;
    let stricter = POLICY.replace(r#""run": {"#, r#""run": { "action": "deny","#);
    let report = replay(&stricter, &logs);
    let newly: u64 = report
        .differences
        .iter()
        .filter(|row| row.then == "allowed" && row.tool == "run")
        .map(|row| row.count)
        .sum();
    assert!(allowed > 0 && newly == allowed, "{newly} of {allowed}");
    assert_eq!(
        report.differences[0].now_rule.as_deref(),
        Some("/tools/run/action")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_records_of_two_replicas_that_share_redis_replay_to_the_same_decisions() {
    let redis = RedisServer::start();
    let upstream = Upstream::start().await;
    let addr = format!("127.0.0.1:{}", redis.port).parse().unwrap();
    let setup = Setup::policy(POLICY).redis(addr, 5_000);
    let (one, two) = (
        setup.clone().before(upstream.addr).await,
        setup.before(upstream.addr).await,
    );
    drive(&[&one, &two]).await;
    let logs = logs(vec![one, two]).await;
    assert!(limited(&logs) > 10, "{}", limited(&logs));
    let report = replay(POLICY, &logs);
    assert_eq!((&report.differences, &report.cannot_be_told), (&vec![], &vec![]));
    assert_eq!((report.totals.decisions, report.totals.alike), (91, 91));
}
