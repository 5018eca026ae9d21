//! The gate without a capability, without new privileges, on a root file system that cannot be written.

use std::process::{Command, Stdio};

use serde_json::json;

use crate::others;
use crate::support::child::Child;
use crate::support::gate::Setup;
use crate::support::http;
use crate::support::mcp::Caller;
use crate::support::wait::PATIENCE;

/// Whether this kernel lets us have mounts of our own (containers often may not).
fn may_mount() -> bool {
    let probe = Command::new("unshare")
        .args(["--map-root-user", "--mount", "true"])
        .stderr(Stdio::null())
        .status();
    probe.is_ok_and(|status| status.success())
}

fn capabilities(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .unwrap();
    u64::from_str_radix(line.trim(), 16).unwrap()
}

/// Files that the process may write to; pipes and sockets are none.
fn written_files(pid: u32) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
        let entry = entry.unwrap();
        let number = entry.file_name().into_string().unwrap();
        let Ok(target) = std::fs::read_link(entry.path()) else {
            continue;
        };
        let info = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags
            .and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok())
            .unwrap_or(0);
        if target.starts_with("/") && !target.starts_with("/dev") && flags & 3 != 0 {
            found.push(target.display().to_string());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gate_needs_no_capability_and_writes_no_file() {
    let server = others::server().await;
    let folder = Setup::new()
        .server("s", &format!("http://{server}/mcp"))
        .policy("p", json!({ "version": "1", "default": "allow" }))
        .grant("worker", "tok-worker", "s", "p")
        .write();
    // everything is dropped that there is; without root there is nothing to drop
    let dropped = if rustix::process::geteuid().is_root() || may_mount() {
        "setpriv --no-new-privs --bounding-set=-all --inh-caps=-all"
    } else {
        "setpriv --no-new-privs"
    };
    let gate = format!(
        "exec {dropped} {} serve --config toolgate.yaml",
        env!("CARGO_BIN_EXE_toolgate")
    );
    let mut command = if may_mount() {
        let mut command = Command::new("unshare");
        let script = format!("mount --rbind / / && mount -o remount,bind,ro / && cd . && {gate}");
        command.args(["--map-root-user", "--mount", "sh", "-c", &script]);
        command
    } else {
        let mut command = Command::new("sh");
        command.args(["-c", &gate]);
        command
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "where programs are is the test's to know"
    )]
    let path = std::env::var("PATH").unwrap();
    let child = Child::start(
        "toolgate",
        command.env_clear().env("PATH", path).current_dir(folder.path()),
    );
    let ready = child.wait_event("listening", PATIENCE);
    let proxy = http::address_of(ready["proxy"].as_str().unwrap()).to_owned();
    let reply = Caller::new(&format!("http://{proxy}/mcp/s"), "tok-worker")
        .call("run", &json!({}))
        .await;
    assert_eq!(reply.outcome(), "executed");
    // `exec` all the way: the child is the gate itself
    assert_eq!(capabilities(child.pid()), 0);
    assert_eq!(written_files(child.pid()), Vec::<String>::new());
}
