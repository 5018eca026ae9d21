//! A stream in a real Redis, shared by replicas, and the heads of chains beside it.

use std::time::Duration;

use serde_json::json;

use super::bench::{audit, call, decisions, run, setup, until_decisions, upstream};
use crate::support::redis::RedisServer;
use crate::support::wait::until;

const END: Duration = Duration::from_secs(20);

fn count(redis: &RedisServer, key: &str) -> u64 {
    redis::cmd("XLEN")
        .arg(key)
        .query(&mut redis.connection())
        .unwrap()
}

#[tokio::test]
async fn two_replicas_write_one_stream_and_each_ones_chain_in_it_is_whole() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    let setup = setup(&upstream, json!({ "redis_stream": "audit" })).redis(&redis.url(), 2_000);
    let mut gates = setup.start_many(2);
    for _ in 0..10 {
        for gate in &gates {
            run(gate, "run", 1).await;
        }
    }
    until("all decisions are in the stream", || async {
        (count(&redis, "toolgate:audit") >= 20).then_some(())
    })
    .await;
    let config = gates[0].folder.path().join("toolgate.yaml");
    let config = config.to_str().unwrap();
    let tail = [
        "tail",
        "--redis",
        "--config",
        config,
        "--no-follow",
        "--lines",
        "1000",
    ];
    let (code, lines) = audit(&[&tail[..], &["--format", "json"]].concat());
    assert_eq!((code, lines.lines().count()), (0, 20), "{lines}");
    let copy = gates[0].folder.path().join("stream.jsonl");
    std::fs::write(&copy, lines).unwrap();
    gates
        .iter_mut()
        .for_each(|gate| assert!(gate.terminate(END).success()));
    // the heads went to the store at the end
    let (code, text) = audit(&["verify", copy.to_str().unwrap(), "--head", "--config", config]);
    assert!(
        code == 0 && text.matches("up to line 10").count() == 2,
        "{code}: {text}"
    );
    let (code, table) = audit(&tail);
    assert!(
        code == 0 && table.lines().count() == 21 && !table.contains('\u{1b}'),
        "{table}"
    );
}

#[tokio::test]
async fn a_stream_keeps_about_as_many_lines_as_it_is_told_to() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    let audit = json!({ "redis_stream": "log", "redis_lines": 100 });
    let gate = setup(&upstream, audit).redis(&redis.url(), 2_000).start();
    let mut line = gate.caller("s", super::bench::TOKEN).connect().await;
    for _ in 0..600 {
        line.call("free", &json!({})).await;
    }
    let written = r#"toolgate_audit_lines_total{sink="redis_stream"}"#;
    until("all lines are written", || async {
        (super::bench::metric(&gate, written).await > 599.5).then_some(())
    })
    .await;
    let kept = count(&redis, "toolgate:log");
    assert!((100..=300).contains(&kept), "{kept}");
}

#[tokio::test]
async fn a_redis_that_stops_and_comes_back_gets_every_line_once() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    let audit = json!({ "redis_stream": "audit", "on_error": "continue" });
    let mut gate = setup(&upstream, audit).redis(&redis.url(), 2_000).start();
    run(&gate, "free", 3).await;
    redis.signal("STOP");
    // commands are sent and time out: whether they ran nobody knows until the server goes on
    run(&gate, "free", 5).await;
    let failing = r#"toolgate_audit_failing{sink="redis_stream"}"#;
    until("the stream is known to fail", || async {
        (super::bench::metric(&gate, failing).await > 0.5).then_some(())
    })
    .await;
    redis.signal("CONT");
    until("all lines are there", || async {
        (count(&redis, "toolgate:audit") >= 8).then_some(())
    })
    .await;
    assert!(gate.terminate(END).success());
    assert_eq!(count(&redis, "toolgate:audit"), 8);
}

#[tokio::test]
async fn a_log_whose_end_is_cut_off_shows_by_the_head_in_redis() {
    let (upstream, redis) = (upstream().await, RedisServer::start());
    let setup = setup(&upstream, json!({ "file": "audit.jsonl" })).redis(&redis.url(), 2_000);
    let mut gate = setup.start();
    let path = gate.folder.path().join("audit.jsonl");
    run(&gate, "run", 6).await;
    call(&gate, "drop").await;
    until_decisions(&path, 7).await;
    assert!(gate.terminate(END).success());
    let text = std::fs::read_to_string(&path).unwrap();
    let kept: String = text.split_inclusive('\n').take(5).collect();
    std::fs::write(&path, kept).unwrap();
    assert_eq!(decisions(&path).len(), 5);
    let (file, config) = (path.to_str().unwrap(), gate.folder.path().join("toolgate.yaml"));
    let config = config.to_str().unwrap();
    assert_eq!(audit(&["verify", file]).0, 0, "the file alone cannot tell");
    let (code, text) = audit(&["verify", file, "--head", "--config", config]);
    assert!(
        code == 1 && text.contains("head is line 7, and the last one here is 5"),
        "{code}: {text}"
    );
    // the same with heads that were kept in a file
    let (code, heads) = audit(&["heads", "--config", config]);
    assert_eq!(code, 0, "{heads}");
    gate.folder.write("heads.jsonl", &heads);
    let heads = gate.folder.path().join("heads.jsonl");
    assert_eq!(audit(&["verify", file, "--heads", heads.to_str().unwrap()]).0, 1);
}
