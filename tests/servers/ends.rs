//! Processes that die, do not end, are too many, or never start.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::support::gate::{Folder, Gate};
use super::support::mcp::Session;
use super::support::wait::until;
use super::{OTHER, TOKEN, count, gate, is_running, log, processes, raw, setup, until_gone, until_logged};

fn kill(pid: u32) {
    let status = Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(status.unwrap().success());
}

/// A call of a tool that waits, and its answer once `then` was done.
async fn called_meanwhile(session: &Session, tool: &str, folder: &Folder, then: impl FnOnce()) -> Value {
    let times = count(folder, &format!("ran {tool}")) + 1;
    let arguments = json!({});
    let (reply, ()) = tokio::join!(session.call(tool, &arguments), async {
        until_logged(folder, &format!("ran {tool}"), times).await;
        then();
    });
    reply.message
}

#[tokio::test]
async fn a_process_that_is_killed_in_the_middle_ends_its_session_with_an_error_that_says_so() {
    let folder = Folder::new("raw");
    let gate = gate(&raw(&folder, false), &json!({}));
    let caller = gate.caller("s", TOKEN);
    let session = caller.open_session().await;
    let pid = processes(&folder)[0];
    let answer = called_meanwhile(&session, "never", &folder, || kill(pid)).await;
    assert_eq!(answer["id"], 7, "{answer}");
    assert_eq!(answer["error"]["code"], 502, "{answer}");
    let text = answer["error"]["message"].as_str().unwrap();
    assert!(text.contains("may have been executed"), "{text}");
    until_gone(pid).await;
    let gone = session
        .post(&json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }))
        .await;
    assert_eq!(gone.status, 404, "{}", gone.text());
    // another session is another process, and the place among calls at once was given back
    let session = caller.open_session().await;
    let pid = processes(&folder)[1];
    let answer = called_meanwhile(&session, "never", &folder, || kill(pid)).await;
    assert_eq!(answer["error"]["code"], 502, "{answer}");
    let broken = gate.until_decisions("both are recorded", 2, |line| {
        line["upstream"]["ended"] == "broken"
    });
    assert!(
        broken
            .await
            .iter()
            .all(|line| line["outcome"] == "upstream_error")
    );
}

#[tokio::test]
async fn the_charge_of_a_call_that_reached_a_process_stands() {
    let folder = Folder::new("raw");
    let gate = gate(&raw(&folder, false), &json!({ "sessions": "shared" }));
    let session = gate.caller("s", TOKEN).open_session().await;
    let died = session.call("die", &json!({})).await;
    assert_eq!(died.message["error"]["code"], 502, "{}", died.message);
    // the session goes on with a new process
    let again = session.call("die", &json!({})).await;
    assert_eq!(again.outcome(), "limited", "{}", again.message);
    assert_eq!(session.call("echo", &json!({})).await.text(), "echo ran");
    assert_eq!((processes(&folder).len(), count(&folder, "ran die")), (2, 1));
}

#[tokio::test]
async fn a_session_that_is_ended_or_not_used_ends_its_process() {
    let folder = Folder::new("raw");
    let gate = gate(&raw(&folder, false), &json!({ "process_idle_ms": 1500 }));
    let caller = gate.caller("s", TOKEN);
    let (ended, idle, listening) = (
        caller.open_session().await,
        caller.open_session().await,
        caller.open_session().await,
    );
    let (_, mut events) = listening.listen().await;
    let pids = processes(&folder);
    assert_eq!(ended.delete().await.status, 204);
    until_gone(pids[0]).await;
    assert_eq!(ended.delete().await.status, 404);
    until_gone(pids[1]).await;
    let gone = idle
        .post(&json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }))
        .await;
    assert_eq!(gone.status, 404);
    assert!(is_running(pids[2]), "its client listens");
    kill(pids[2]);
    assert_eq!(events.next().await, None, "its stream ends with it");
    assert!(log(&folder).contains(&"eof".to_owned()), "stdin was closed first");
}

#[tokio::test]
async fn processes_are_bounded_and_an_idle_one_of_the_same_grant_makes_room() {
    let folder = Folder::new("raw");
    let gate = gate(
        &raw(&folder, false),
        &json!({ "processes": 2, "connect_timeout_ms": 20_000 }),
    );
    let caller = gate.caller("s", TOKEN);
    let (oldest, second) = (caller.open_session().await, caller.open_session().await);
    let pids = processes(&folder);
    let third = caller.open_session().await;
    assert!(!is_running(pids[0]) && is_running(pids[1]));
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    assert_eq!(oldest.post(&ping).await.status, 404);
    // another grant takes no place from it
    let hello = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {} }).to_string();
    let other = gate.caller("s", OTHER);
    let request = other.request("POST", &[], hello.as_bytes());
    let refused = super::support::http::exchange(other.address(), &request).await;
    let text = refused.text();
    assert!(
        text.contains("too many processes") && text.contains("not executed"),
        "{text}"
    );
    assert_eq!(refused.header("mcp-session-id"), None);
    for session in [second, third] {
        assert_eq!(session.post(&ping).await.status, 200);
    }
    assert_eq!(processes(&folder).len(), 3);
}

/// Waits for these figures: processes that run, and those that ended by themselves.
async fn until_counted(gate: &Gate, running: u32, failures: u32) {
    let lines = [
        format!("toolgate_children{{server=\"s\"}} {running}\n"),
        format!("toolgate_child_failures_total{{server=\"s\"}} {failures}\n"),
    ];
    until(&format!("{lines:?}"), || async {
        let text = gate.admin("/metrics").await.1;
        lines.iter().all(|line| text.contains(line)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn processes_are_counted_and_those_that_end_by_themselves_apart() {
    let folder = Folder::new("raw");
    let gate = gate(&raw(&folder, false), &json!({}));
    until_counted(&gate, 0, 0).await;
    let caller = gate.caller("s", TOKEN);
    let (first, _second) = (caller.open_session().await, caller.open_session().await);
    until_counted(&gate, 2, 0).await;
    kill(processes(&folder)[1]);
    until_counted(&gate, 1, 1).await;
    assert_eq!(first.delete().await.status, 204);
    until_counted(&gate, 0, 1).await;
}

#[tokio::test]
async fn a_program_that_ends_at_once_is_started_again_with_growing_pauses() {
    let folder = Folder::new("broken");
    let log = folder.path().join("server.log");
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "echo \"started $$\" >> \"$0\"; exit 3"])
        .arg(&log);
    let gate =
        setup(&command, &json!({ "connect_timeout_ms": 1100 })).start_with_env(&[("PATH", "/usr/bin:/bin")]);
    let caller = gate.caller("s", TOKEN);
    let hello = json!({ "jsonrpc": "2.0", "id": "h", "method": "initialize", "params": {} }).to_string();
    let mut texts = Vec::new();
    for _ in 0..12 {
        let request = caller.request("POST", &[], hello.as_bytes());
        let answer = super::support::http::exchange(caller.address(), &request).await;
        assert_eq!(
            (answer.status, &answer.json()["id"]),
            (200, &json!("h")),
            "{}",
            answer.text()
        );
        texts.push(answer.json()["error"]["message"].as_str().unwrap().to_owned());
    }
    // pauses of 0.25, 0.5 and 1 s are waited for, the next is longer than a client waits
    assert!(texts[11].contains("cannot be reached"), "{texts:?}");
    assert!(
        (1..=4).contains(&processes(&folder).len()),
        "{:?}",
        processes(&folder)
    );
}

#[tokio::test]
async fn at_the_end_of_the_gate_every_process_ends_and_one_that_will_not_is_killed() {
    for keep in [false, true] {
        let folder = Folder::new("raw");
        let mut gate = gate(&raw(&folder, keep), &json!({}));
        let (one, other) = (gate.caller("s", TOKEN), gate.caller("s", OTHER));
        let _sessions = (one.open_session().await, other.open_session().await);
        let status = gate.terminate(Duration::from_secs(40));
        assert!(status.success(), "{status}");
        let pids = processes(&folder);
        assert_eq!(pids.len(), 2);
        assert!(pids.iter().all(|pid| !is_running(*pid)), "keep: {keep}");
        assert_eq!(count(&folder, "eof"), 2, "keep: {keep}");
        // a well-behaved one is never sent a signal
        assert_eq!(count(&folder, "signal SIGTERM"), if keep { 2 } else { 0 });
    }
}

#[tokio::test]
async fn a_process_gets_little_of_the_environment_and_its_stderr_is_in_the_log() {
    let folder = Folder::new("raw");
    let env = [
        ("PATH", "/usr/bin:/bin"),
        ("HOME", "/nowhere"),
        ("GIVEN", "value-given"),
        ("SECRET", "value-secret"),
        ("TOOLGATE__DRAIN_MS", "2000"),
    ];
    let gate = setup(&raw(&folder, false), &json!({ "env": ["GIVEN"] })).start_with_env(&env);
    let session = gate.caller("s", TOKEN).open_session().await;
    let told = session.call("env", &json!({})).await;
    let found: Value = serde_json::from_str(told.text()).unwrap();
    let mut names: Vec<_> = found["env"].as_object().unwrap().keys().cloned().collect();
    // Python's own
    names.retain(|name| name != "LC_CTYPE");
    assert_eq!(names, ["GIVEN", "HOME", "PATH"]);
    let open: Vec<_> = found["fds"].as_object().unwrap().iter().collect();
    let pipes = open
        .iter()
        .filter(|(_, target)| target.as_str().unwrap().starts_with("pipe:"));
    assert_eq!(pipes.count(), 3, "{open:?}");
    let foreign = |target: &Value| {
        let target = target.as_str().unwrap();
        !target.starts_with("pipe:") && !target.contains("server.log") && !target.starts_with("/proc")
    };
    assert!(!open.iter().any(|(_, target)| foreign(target)), "{open:?}");
    session.call("noise", &json!({ "bytes": 10 })).await;
    session.call("noise", &json!({ "bytes": 5_000 })).await;
    super::support::wait::until("the long line is told of", || async {
        gate.stderr()
            .contains("a line of more than 2048 bytes")
            .then_some(())
    })
    .await;
    let logged = gate.stderr();
    assert!(
        logged.contains("raw server: started") && logged.contains("red"),
        "{logged}"
    );
    assert!(
        !logged.contains('\u{1b}') && !logged.contains(&"y".repeat(2_100)),
        "{logged}"
    );
}

#[test]
fn settings_that_mix_a_url_and_a_program_name_the_place_and_the_remedy() {
    let folder = Folder::new("settings");
    let servers = json!({
        "both": { "command": ["x"], "upstream": "http://127.0.0.1:1/mcp" },
        "headers": { "command": ["x"], "headers": { "A": { "env": "B" } }, "host": "pass" },
        "none": { "command": [] },
        "words": { "command": ["x"], "sessions": "one", "processes": 0 },
        "unset": { "command": ["x"], "env": ["NOT_SET_ANYWHERE"] },
        "url": { "upstream": "http://127.0.0.1:1/mcp", "sessions": "each", "env": [] },
    });
    folder.write("toolgate.yaml", &json!({ "servers": servers }).to_string());
    let output = Command::new(env!("CARGO_BIN_EXE_toolgate"))
        .args(["check", "--config", "toolgate.yaml"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for wanted in [
        "`servers.both.upstream`: cannot stand beside `command`",
        "`servers.headers.headers`: cannot stand beside `command`",
        "`servers.headers.host`: cannot stand beside `command`",
        "`servers.none.command`: names no program",
        "`servers.words.sessions`: `one` is not known: write `each`",
        "`servers.words.processes`: must be at least 1",
        "`servers.unset.env`: the environment has no `NOT_SET_ANYWHERE`",
        "`servers.url.sessions`: is for a server with `command`",
        "`servers.url.env`: is for a server with `command`",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
}
