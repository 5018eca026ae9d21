//! Whole gates whose calls wait for people.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::gate::{Folder, Gate, Setup, token_sha256};
use crate::support::redis::RedisServer;
use crate::support::servers::Fixture;

pub const AGENT: &str = "tg_agent-token-of-the-test";
pub const LEAD: &str = "tg_lead-token-of-the-test";
pub const EYE: &str = "tg_eye-token-of-the-test";

/// `start_run` needs a person, `echo` has a limit, `stop_run` is denied.
pub fn policy() -> Value {
    json!({ "version": "1", "default": "deny", "tools": {
        "start_run": { "action": "require_approval" },
        "echo": { "limits": [{ "counter": "echo_rate", "window": "hour", "max": 5 }] },
        "stop_run": { "action": "deny", "reason": "runs end by themselves" } } })
}

/// A gate before the fixture; `more`: further keys of `approvals`.
pub fn setup(fixture: &Fixture, redis: Option<&RedisServer>, more: &Value) -> Setup {
    let mut approvals = json!({ "approvers": "approvers.yaml", "key": { "env": "APPROVALS_KEY" } });
    for (key, value) in more.as_object().unwrap() {
        approvals[key] = value.clone();
    }
    let setup = Setup::new()
        .server("fixture", &fixture.url)
        .policy("people", policy())
        .grant("agent", AGENT, "fixture", "people")
        .key("console", json!("127.0.0.1:0"))
        .key("approvals", approvals);
    match redis {
        Some(redis) => setup.redis(&redis.url(), 5_000),
        None => setup,
    }
}

/// `approvers.yaml` with these entries.
pub fn approvers(entries: &[(&str, &str, &str)]) -> String {
    let entries = entries
        .iter()
        .map(|(id, role, token)| json!({ "id": id, "role": role, "token_sha256": token_sha256(token) }));
    json!({ "approvers": entries.collect::<Vec<_>>() }).to_string()
}

/// Starts it with a lead who approves and a viewer.
pub fn start(setup: &Setup) -> Gate {
    start_with(setup, &[])
}

pub fn start_with(setup: &Setup, env: &[(&str, &str)]) -> Gate {
    let folder = setup.write();
    folder.write(
        "approvers.yaml",
        &approvers(&[("lead", "approver", LEAD), ("eye", "viewer", EYE)]),
    );
    start_in(folder, env)
}

pub fn start_in(folder: Folder, env: &[(&str, &str)]) -> Gate {
    let mut all = vec![("APPROVALS_KEY", "0123456789abcdef0123456789abcdef")];
    all.extend(env);
    Setup::start_in_with(folder, &all)
}

/// `toolgate approvals …` at this gate's console, as the holder of this token.
pub fn command(gate: &Gate, token: &str, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toolgate"));
    command
        .env_clear()
        .env("TOOLGATE_APPROVER_TOKEN", token)
        .arg("approvals")
        .args(words);
    command
        .arg("--console")
        .arg(format!("http://{}", gate.console.as_ref().unwrap()));
    command
}

/// What the command printed, what it said on stderr, and its exit code.
pub fn run(gate: &Gate, token: &str, words: &[&str]) -> (String, String, i32) {
    let done = command(gate, token, words).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(done.stdout), text(done.stderr), done.status.code().unwrap())
}

/// The approvals that wait at this gate.
pub fn pending(gate: &Gate) -> Vec<Value> {
    let (out, err, code) = run(gate, LEAD, &["list", "--format", "json"]);
    assert_eq!(code, 0, "{err}");
    let listed: Value = serde_json::from_str(&out).unwrap();
    listed["approvals"].as_array().unwrap().clone()
}
