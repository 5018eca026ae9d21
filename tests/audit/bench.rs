//! What the tests here start, and how they ask the readers.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::canned::Canned;
use crate::support::gate::{Gate, Setup};
use crate::support::mcp::Reply;
use crate::support::wait::until;

pub const TOKEN: &str = "tg_agent";

/// An upstream that answers every call well.
pub async fn upstream() -> Canned {
    let body = br#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"ok"}]}}"#;
    Canned::start(&Canned::answer(
        "200 OK",
        &["Content-Type: application/json"],
        body,
    ))
    .await
}

/// `run` is limited, far beyond what is called; `drop` is denied; all else passes.
pub fn setup(upstream: &Canned, audit: Value) -> Setup {
    let policy = json!({ "version": "1", "default": "allow", "tools": {
        "run": { "limits": [ { "counter": "runs", "window": "hour", "max": 1_000_000, "scope": "grant" } ] },
        "drop": { "action": "deny" } } });
    Setup::new()
        .server("s", &upstream.url)
        .policy("p", policy)
        .grant("agent", TOKEN, "s", "p")
        .key("audit", audit)
}

pub async fn call(gate: &Gate, tool: &str) -> Reply {
    gate.caller("s", TOKEN).call(tool, &json!({})).await
}

/// Calls a tool so often, and expects each to be executed.
pub async fn run(gate: &Gate, tool: &str, times: usize) {
    for number in 0..times {
        assert_eq!(
            call(gate, tool).await.outcome(),
            "executed",
            "call {number} of {tool}"
        );
    }
}

/// The decisions in a file, each as often as it counts; a line that is not whole is left out.
pub fn decisions(path: &Path) -> Vec<Value> {
    let text = std::fs::read(path).unwrap_or_default();
    let whole = text
        .split_inclusive(|&byte| byte == b'\n')
        .filter(|line| line.ends_with(b"\n"));
    let lines = whole.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let decisions = lines.filter(|line| line["outcome"].is_string());
    decisions
        .flat_map(|line| {
            let count = line["count"].as_u64().unwrap_or(1);
            std::iter::repeat_n(line, usize::try_from(count).unwrap())
        })
        .collect()
}

pub async fn until_decisions(path: &Path, count: usize) {
    until("the decisions are in the file", || async {
        (decisions(path).len() >= count).then_some(())
    })
    .await;
}

/// The value of a line of `/metrics`; 0 where it is not there.
pub async fn metric(gate: &Gate, line: &str) -> f64 {
    let (_, text) = gate.admin("/metrics").await;
    let found = text
        .lines()
        .find_map(|found| found.strip_prefix(line)?.strip_prefix(' ')?.parse().ok());
    found.unwrap_or(0.0)
}

/// `toolgate audit …`: exit code and what it printed.
pub fn audit(arguments: &[&str]) -> (i32, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO_BIN_EXE_toolgate"))
        .arg("audit")
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap();
    (status.code().unwrap(), text)
}

/// `toolgate audit verify` of these files.
pub fn verify(files: &[PathBuf]) -> (i32, String) {
    let files = files.iter().map(|file| file.to_str().unwrap());
    audit(&std::iter::once("verify").chain(files).collect::<Vec<_>>())
}

/// The file and those that were turned over.
pub fn files(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    let entries = std::fs::read_dir(path.parent().unwrap()).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&name))
        .collect();
    files.sort();
    files
}

pub fn signal(pid: u32, name: &str) {
    let pid = pid.to_string();
    assert!(
        Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status()
            .unwrap()
            .success()
    );
}
