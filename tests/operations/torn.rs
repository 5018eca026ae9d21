//! Reloads under load: every call is judged by files of one moment, and nothing is left behind.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::exposition::{scrape, until_value};
use super::reload::{RELOADS, hang_up};
use super::reload_settings::mount;
use crate::support::gate::{Folder, Gate, Setup, token_sha256};
use crate::support::servers::{Era, Fixture};

const CALLERS: usize = 4;
/// What the memory may grow by once it is warm, in KiB: far less than a policy for each reload.
const GROWTH_KIB: u64 = 6 * 1024;

/// Each version has one policy that denies the tool. Only a mix of the two allows it: `left` with the
/// first of the new and the second of the old, `right` the other way round.
fn policies(version: usize) -> [String; 2] {
    let action = |allowed: bool| if allowed { "allow" } else { "deny" };
    let policy = |first: bool| {
        let left = (version == 0) == first;
        // some weight, so that what is not freed shows
        let filler: Vec<String> = (0..100).map(|n| format!("filler_{n}")).collect();
        json!({ "version": "1", "default": "deny", "hide": filler, "tools": {
            "start_run": { "action": action(left) }, "stop_run": { "action": action(!left) } } })
        .to_string()
    };
    [policy(true), policy(false)]
}

fn mount_version(folder: &Folder, version: usize, number: usize) {
    let [first, second] = policies(version);
    mount(
        folder.path(),
        &format!("v{number}"),
        &[("first.json", &first), ("second.json", &second)],
    );
    if number > 1 {
        std::fs::remove_dir_all(folder.path().join(format!("..v{}", number - 2))).unwrap();
    }
}

fn start(fixture: &Fixture) -> Gate {
    let folder = Folder::new("torn");
    mount_version(&folder, 0, 0);
    let settings = json!({
        "listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "grants": "grants.yaml",
        "servers": { "fixture": { "upstream": fixture.url } },
        "policies": { "first": "first.json", "second": "second.json" },
    });
    folder.write("toolgate.yaml", &settings.to_string());
    let grant = json!({ "id": "ci", "token_sha256": token_sha256("tg_ci"), "server": "fixture",
        "policy": ["first", "second"] });
    folder.write("grants.yaml", &json!({ "grants": [grant] }).to_string());
    Setup::start_in(folder)
}

/// Calls both tools until told to stop; every call must be denied.
async fn hammer(gate: crate::support::mcp::Caller, stop: Arc<AtomicBool>, calls: Arc<AtomicU64>) {
    let mut line = gate.connect().await;
    while !stop.load(Ordering::Relaxed) {
        for tool in ["start_run", "stop_run"] {
            let reply = line.call(tool, &json!({})).await;
            assert_eq!(reply.outcome(), "denied", "{tool}: {:?}", reply.message);
            calls.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn memory_kib(gate: &Gate) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gate.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[expect(clippy::print_stdout, reason = "`make reloads` shows what was measured")]
async fn reload_under_load(reloads: usize) {
    let fixture = Fixture::start(Era::Current);
    let gate = start(&fixture);
    let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut load = JoinSet::new();
    for _ in 0..CALLERS {
        load.spawn(hammer(
            gate.caller("fixture", "tg_ci"),
            Arc::clone(&stop),
            Arc::clone(&calls),
        ));
    }
    let mut warm = 0;
    for number in 1..=reloads {
        let before = scrape(&gate)
            .await
            .value(RELOADS, &[("result", "success")])
            .unwrap();
        // the first reading runs into the swap
        hang_up(&gate);
        mount_version(&gate.folder, number % 2, number);
        hang_up(&gate);
        until_value(&gate, RELOADS, &[("result", "success")], |count| count > before).await;
        if number == reloads / 4 {
            warm = memory_kib(&gate);
        }
    }
    let after = memory_kib(&gate);
    stop.store(true, Ordering::Relaxed);
    load.join_all().await;

    assert_eq!(
        fixture.executions("start_run").await + fixture.executions("stop_run").await,
        0
    );
    let total = usize::try_from(calls.load(Ordering::Relaxed)).unwrap();
    let lines = gate
        .until_decisions("every call is on record", total, |_| true)
        .await;
    assert_eq!(lines.len(), total);
    let pairs: BTreeSet<[&str; 2]> = lines.iter().map(digests).collect();
    assert_eq!(pairs.len(), 2, "calls were judged by a mix: {pairs:?}");
    assert!(
        after < warm + GROWTH_KIB,
        "memory grew from {warm} KiB to {after} KiB over {reloads} reloads"
    );
    println!("{reloads} reloads, {total} calls, {warm} KiB warm, {after} KiB at the end");
}

fn digests(line: &Value) -> [&str; 2] {
    [0, 1].map(|at| line["policy"][at]["digest"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_under_load_never_mix_two_versions() {
    reload_under_load(60).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: `make reloads`"]
async fn a_thousand_reloads_under_load_never_mix_two_versions_and_leave_nothing_behind() {
    reload_under_load(1_000).await;
}
