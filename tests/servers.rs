//! Servers that are commands, behind `toolgate serve`: real clients of four SDKs, and what a process can do wrong.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test and its helpers a failed unwrap is a failed test"
)]

mod support;

#[path = "servers/clients.rs"]
mod clients;
#[path = "servers/ends.rs"]
mod ends;
#[path = "servers/grants.rs"]
mod grants;
#[path = "servers/shared.rs"]
mod shared;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use support::gate::{Folder, Gate, Setup, limited};
use support::servers::node;
use support::wait::until;

const TOKEN: &str = "tg_agent";
const OTHER: &str = "tg_other";

/// Two `start_run` an hour, `secret-*` hidden, `files/write` denied, the rest allowed.
fn policy() -> Value {
    let mut policy = limited("start_run", 2, json!("hour"));
    policy["hide"] = json!(["secret-*", "admin_delete_user", "get-env"]);
    policy["tools"]["files/write"] = json!({ "action": "deny", "reason": "files are read-only here" });
    policy["tools"]["die"] = json!({ "limits": [
        { "counter": "deaths", "window": "hour", "max": 1, "scope": "grant" } ] });
    policy["tools"]["never"] = json!({ "concurrency": { "counter": "one", "max": 1 } });
    policy
}

/// A gate in front of one command, with two grants of one policy.
fn setup(command: &Command, more: &Value) -> Setup {
    Setup::new()
        .command("s", command, more)
        .policy("p", policy())
        .grant("agent", TOKEN, "s", "p")
        .grant("other", OTHER, "s", "p")
}

fn gate(command: &Command, more: &Value) -> Gate {
    setup(command, more).start()
}

fn everything() -> Command {
    let mut command = node("node_modules/@modelcontextprotocol/server-everything/dist/index.js");
    command.arg("stdio");
    command
}

/// The fixture over stdio; each process of it writes where its side port is.
fn fixture(folder: &Folder, era: &str) -> Command {
    let settings = json!({ "era": era, "control": folder.path().join("control.json") });
    let mut command = node("fixture-stdio.mjs");
    command.arg(settings.to_string());
    command
}

/// The raw server; all its processes write to one log.
fn raw(folder: &Folder, keep: bool) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/python/raw_stdio_server.py");
    let settings = json!({ "log": folder.path().join("server.log"), "keep": keep });
    let mut command = Command::new("/usr/bin/python3");
    command.arg(script).arg(settings.to_string());
    command
}

/// What the raw servers saw and did.
fn log(folder: &Folder) -> Vec<String> {
    let text = std::fs::read_to_string(folder.path().join("server.log")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// How often this stands in the log.
fn count(folder: &Folder, line: &str) -> usize {
    log(folder).iter().filter(|found| **found == line).count()
}

/// Waits until the servers have logged this line so often.
async fn until_logged(folder: &Folder, line: &str, times: usize) {
    until(&format!("`{line}` is logged {times} times"), || async {
        (count(folder, line) >= times).then_some(())
    })
    .await;
}

async fn until_gone(pid: u32) {
    until(&format!("the process {pid} has ended"), || async {
        (!is_running(pid)).then_some(())
    })
    .await;
}

/// The processes that were started, oldest first.
fn processes(folder: &Folder) -> Vec<u32> {
    let lines = log(folder);
    let started = lines.iter().filter_map(|line| line.strip_prefix("started "));
    started.map(|pid| pid.parse().unwrap()).collect()
}

fn is_running(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}
