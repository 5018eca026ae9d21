//! How a gate ends, and what it says of itself meanwhile.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::gate::{Folder, Gate, Setup};
use crate::support::redis::RedisServer;
use crate::support::servers::{Era, Fixture};
use crate::support::wait::{PATIENCE, until, within};

fn setup(fixture: &Fixture) -> Setup {
    Setup::new()
        .server("fixture", &fixture.url)
        .policy("p", json!({ "version": "1", "default": "allow" }))
        .grant("ci", "tg_ci", "fixture", "p")
}

async fn readyz(gate: &Gate, query: &str) -> (u16, Value) {
    let (status, text) = gate.admin(&format!("/readyz{query}")).await;
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_begins_with_readiness_and_lets_calls_and_streams_end_well() {
    let fixture = Fixture::start(Era::Session);
    let mut gate = setup(&fixture).key("drain_delay_ms", json!(5_000)).start();
    let session = gate.caller("fixture", "tg_ci").open_session().await;
    let (head, mut listening) = session.listen().await;
    assert_eq!(head.status, 200);
    let slow = tokio::spawn(async move { session.call("slow", &json!({ "name": "n" })).await });
    fixture.until_waiting("n").await;

    let pid = gate.pid().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    until("the gate is not ready any more", || async {
        (readyz(&gate, "").await == (503, json!({ "status": "stopping", "store": "up" }))).then_some(())
    })
    .await;
    // those who send clients have not heard of it yet
    let late = gate.caller("fixture", "tg_ci").open_session().await;
    let late = late.call("echo", &json!({ "message": "late" })).await;
    assert_eq!(
        (late.outcome(), late.header("connection")),
        ("executed", Some("close"))
    );

    // what only listens ends as a stream ends, while the call goes on
    let ended = within("the end of the stream", PATIENCE, async {
        while listening.next().await.is_some() {}
    });
    ended.await;
    until("connections are refused", || async {
        tokio::net::TcpStream::connect(&gate.proxy)
            .await
            .is_err()
            .then_some(())
    })
    .await;
    assert!(!slow.is_finished());
    fixture.release("n").await;
    let slow = slow.await.unwrap();
    assert_eq!((slow.outcome(), slow.text()), ("executed", "n released after 1"));
    let status = tokio::task::block_in_place(|| gate.wait_end(PATIENCE));
    assert_eq!(status.code(), Some(0), "{}", gate.stderr());
    let lines = gate.decisions();
    let called = lines.iter().filter(|line| line["method"] == "tools/call");
    assert_eq!(called.filter(|line| line["upstream"]["status"] == 200).count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_does_not_end_is_cut_at_the_end_of_the_drain() {
    let fixture = Fixture::start(Era::Current);
    let mut gate = setup(&fixture).key("drain_ms", json!(300)).start();
    let caller = gate.caller("fixture", "tg_ci");
    let (_, events) = caller.call_streaming("slow", &json!({ "name": "n" })).await;
    fixture.until_waiting("n").await;
    let status = tokio::task::block_in_place(|| gate.terminate(Duration::from_secs(15)));
    assert_eq!(status.code(), Some(0));
    assert!(
        gate.stderr().contains("connections were cut"),
        "{}",
        gate.stderr()
    );
    assert_eq!(gate.decisions().len(), 1);
    drop(events);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_is_listed_as_started_on_demand_and_not_started_to_be_asked() {
    let fixture = Fixture::start(Era::Session);
    let folder = Folder::new("on-demand");
    let started = folder.path().join("started");
    let mut command = Command::new("touch");
    command.arg(&started);
    let gate = setup(&fixture).command("files", &command, &json!({})).start();
    let servers = json!({ "files": "on_demand", "fixture": "up" });
    let (status, said) = readyz(&gate, "?verbose").await;
    assert_eq!((status, &said["servers"]), (200, &servers));
    let (status, said) = readyz(&gate, "?server=files").await;
    assert_eq!((status, &said["server"]), (200, &json!({ "files": "on_demand" })));
    let (_, page) = gate.admin("/").await;
    assert!(page.contains("serves files, fixture"), "{page}");
    assert!(!started.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_depends_on_nothing_and_tells_of_everything() {
    let (mut fixture, redis) = (Fixture::start(Era::Session), RedisServer::start());
    let gate = setup(&fixture).redis(&redis.url(), 200).start();
    let up = json!({ "status": "ready", "store": "up", "breaker": "closed", "servers": { "fixture": "up" }, "policies": "current" });
    until("all is up", || async {
        (readyz(&gate, "?verbose").await == (200, up.clone())).then_some(())
    })
    .await;
    assert_eq!(readyz(&gate, "?server=fixture").await.0, 200);
    assert_eq!(gate.admin("/readyz?server=other").await.0, 404);
    assert_eq!(gate.admin("/readyz?servers").await.0, 400);

    fixture.kill();
    redis.signal("STOP");
    gate.folder.write("policies/p.json", "{");
    // looks at the store go on, and find no answer
    let down = json!({ "status": "ready", "store": "down", "breaker": "open", "servers": { "fixture": "unreachable" }, "policies": "stale" });
    until("all is down", || async {
        (readyz(&gate, "?verbose").await == (200, down.clone())).then_some(())
    })
    .await;
    assert_eq!(
        readyz(&gate, "").await,
        (200, json!({ "status": "ready", "store": "down" }))
    );
    let (status, said) = readyz(&gate, "?server=fixture").await;
    assert_eq!((status, &said["server"]["fixture"]), (503, &json!("unreachable")));
    redis.signal("CONT");
    until("the store is asked again", || async {
        (readyz(&gate, "?verbose").await.1["breaker"] == "closed").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_whose_calls_nobody_could_approve_says_so_at_its_start() {
    let fixture = Fixture::start(Era::Session);
    let tools = json!({ "echo": { "action": "require_approval" } });
    let asks = json!({ "version": "1", "default": "allow", "tools": tools });
    let tries = json!({ "version": "1", "mode": "shadow", "default": "allow", "tools": tools });
    let setup = setup(&fixture).policy("asks", asks).policy("tries", tries);
    let gate = setup.start();
    until("the gate has said it", || async {
        let said = "the policy `asks` has people approve calls, and nobody can decide them: set `console`";
        gate.stderr().contains(said).then_some(())
    })
    .await;
    assert!(!gate.stderr().contains("`tries` has people"), "{}", gate.stderr());
}
