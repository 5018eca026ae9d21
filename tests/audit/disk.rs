//! Disks that are full or cannot be written to.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use super::bench::{call, decisions, metric, run, setup, upstream, verify};
use crate::support::gate::{Gate, Setup};
use crate::support::wait::until;

/// Starts a gate that has a small disk of its own, in memory, at `disk`.
fn on_small_disk(setup: &Setup, size: &str) -> (Gate, PathBuf) {
    let folder = setup.write();
    std::fs::create_dir_all(folder.path().join("disk")).unwrap();
    let script =
        r#"mount -t tmpfs -o "size=$1" none "$2/disk" && exec "$3" serve --config "$2/toolgate.yaml""#;
    let mut command = Command::new("unshare");
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .args(["--map-root-user", "--mount", "sh", "-c", script, "sh", size])
        .arg(folder.path())
        .arg(env!("CARGO_BIN_EXE_toolgate"));
    let gate = Setup::start_command(folder, &mut command);
    // the disk is seen in the gate's own view of the files alone
    let seen = Path::new("/proc").join(gate.pid().to_string()).join("root");
    let disk = seen.join(gate.folder.path().join("disk").strip_prefix("/").unwrap());
    (gate, disk)
}

async fn until_failing(gate: &Gate, value: f64) {
    until("the metric tells whether the log is written", || async {
        (metric(gate, r#"toolgate_audit_failing{sink="file"}"#).await - value)
            .abs()
            .lt(&0.5)
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_full_disk_refuses_limited_calls_until_there_is_room_and_loses_nothing() {
    let upstream = upstream().await;
    let (mut gate, disk) = on_small_disk(&setup(&upstream, json!({ "file": "disk/audit.jsonl" })), "64k");
    run(&gate, "run", 2).await;
    std::fs::write(disk.join("ballast"), vec![0; 48 << 10]).unwrap();
    let mut calls = 2;
    // every call until the gate knows is on record, so it may pass
    let refused = loop {
        let reply = call(&gate, "run").await;
        calls += 1;
        if reply.outcome() != "executed" {
            break reply;
        }
        assert!(calls < 1_000, "a full disk is not noticed");
    };
    assert_eq!(
        (refused.outcome(), &refused.decision()["rule"]),
        ("store_error", &json!("(audit)"))
    );
    assert!(
        refused.text().contains("the audit log cannot be written"),
        "{}",
        refused.text()
    );
    run(&gate, "free", 3).await;
    calls += 3;
    until_failing(&gate, 1.0).await;
    assert!(metric(&gate, r#"toolgate_audit_errors_total{sink="file"}"#).await > 0.0);
    // what was written ends in the middle of a line; a reader says so
    let (code, text) = verify(&[disk.join("audit.jsonl")]);
    assert!(code == 0 || code == 3, "{code}: {text}");

    std::fs::remove_file(disk.join("ballast")).unwrap();
    until_failing(&gate, 0.0).await;
    run(&gate, "run", 2).await;
    calls += 2;
    let path = disk.join("audit.jsonl");
    until("all is written", || async {
        (decisions(&path).len() >= calls).then_some(())
    })
    .await;
    let (code, text) = verify(std::slice::from_ref(&path));
    assert!(
        code == 0 && text.contains(&format!("{calls} decisions")),
        "{code}: {text}"
    );
    assert_eq!(
        metric(&gate, r#"toolgate_audit_dropped_total{sink="file"}"#)
            .await
            .to_bits(),
        0
    );
    gate.kill();
}

#[tokio::test]
async fn where_it_is_set_so_calls_go_on_without_a_record_and_a_new_file_ends_the_trouble() {
    let upstream = upstream().await;
    let audit = json!({ "file": "audit.jsonl", "on_error": "continue" });
    let setup = setup(&upstream, audit);
    let folder = setup.write();
    let path = folder.path().join("audit.jsonl");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let mut gate = Setup::start_in(folder);
    run(&gate, "run", 3).await;
    until_failing(&gate, 1.0).await;
    run(&gate, "run", 3).await;
    // the path leads to a real file now: found without a signal
    let fresh = gate.folder.path().join("fresh");
    std::os::unix::fs::symlink("real.jsonl", &fresh).unwrap();
    std::fs::rename(&fresh, &path).unwrap();
    until_failing(&gate, 0.0).await;
    assert!(gate.terminate(Duration::from_secs(20)).success());
    assert_eq!(decisions(&path).len(), 6);
    assert_eq!(verify(&[path]).0, 0);
}

#[test]
fn a_folder_that_cannot_be_written_to_stops_the_start_and_the_file_is_named() {
    let setup = Setup::new()
        .server("s", "http://127.0.0.1:9/mcp")
        .key("audit", json!({ "file": "disk/audit.jsonl" }));
    let folder = setup.write();
    std::fs::create_dir_all(folder.path().join("disk")).unwrap();
    folder.write("grants.yaml", "grants: []\n");
    let script = r#"mount -t tmpfs -o ro none "$1/disk" && exec "$2" serve --config "$1/toolgate.yaml""#;
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script, "sh"])
        .arg(folder.path())
        .arg(env!("CARGO_BIN_EXE_toolgate"))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("disk/audit.jsonl: decisions cannot be written there") && said.contains("`audit.file`"),
        "{said}"
    );
}
