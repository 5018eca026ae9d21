//! What of the settings is reloaded, and files that are swapped as Kubernetes swaps them.

use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};

use super::exposition::until_value;
use super::reload::{SUCCESS, hang_up, replace, until_outcome};
use crate::support::gate::{Folder, Gate, Setup, token_sha256};
use crate::support::servers::{Era, Fixture};
use crate::support::wait::until;

const ECHO: &str = r#"{"version":"1","default":"deny","tools":{"echo":{}}}"#;
const RUNS: &str = r#"{"version":"1","default":"deny","tools":{"start_run":{}}}"#;

/// Puts the files behind `..data`, as the kubelet does with a mounted ConfigMap or Secret.
pub fn mount(folder: &Path, version: &str, files: &[(&str, &str)]) {
    let data = format!("..{version}");
    std::fs::create_dir_all(folder.join(&data)).unwrap();
    for (name, text) in files {
        std::fs::write(folder.join(&data).join(name), text).unwrap();
        if !folder.join(name).is_symlink() {
            symlink(format!("..data/{name}"), folder.join(name)).unwrap();
        }
    }
    symlink(&data, folder.join("..data_tmp")).unwrap();
    std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
}

fn grants(token: &str) -> String {
    json!({ "grants": [{ "id": "ci", "token_sha256": token_sha256(token), "server": "fixture", "policy": "p" }] })
        .to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swapped_mount_brings_policies_and_tokens() {
    let fixture = Fixture::start(Era::Current);
    let folder = Folder::new("mounted");
    mount(
        folder.path(),
        "1",
        &[("p.json", ECHO), ("grants.yaml", &grants("tg_ci"))],
    );
    let settings = json!({
        "listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "grants": "grants.yaml",
        "servers": { "fixture": { "upstream": fixture.url } }, "policies": { "p": "p.json" },
    });
    folder.write("toolgate.yaml", &settings.to_string());
    let gate = Setup::start_in(folder);
    until_outcome(&gate, "echo", "executed").await;

    mount(
        gate.folder.path(),
        "2",
        &[("p.json", RUNS), ("grants.yaml", &grants("tg_rotated"))],
    );
    until("the old token is refused", || async {
        (status(&gate, "tg_ci", "start_run").await == 401).then_some(())
    })
    .await;
    assert_eq!(status(&gate, "tg_rotated", "start_run").await, 200);
    assert_eq!(fixture.executions("start_run").await, 1);
}

async fn status(gate: &Gate, token: &str, tool: &str) -> u16 {
    gate.caller("fixture", token).call(tool, &json!({})).await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_policy_file_is_taken_over_and_what_needs_a_restart_is_told() {
    let fixture = Fixture::start(Era::Current);
    let setup = Setup::new()
        .server("fixture", &fixture.url)
        .policy("p", serde_json::from_str(ECHO).unwrap())
        .grant("ci", "tg_ci", "fixture", "p");
    let gate = setup.start();
    let path = gate.folder.path().join("toolgate.yaml");
    let mut settings: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    settings["policies"]["p"] = json!("policies/other.json");
    settings["drain_ms"] = json!(4321);
    settings["servers"]["more"] = json!({ "upstream": fixture.url });
    // the file that it names is not there yet
    replace(&gate.folder, "toolgate.yaml", &settings.to_string());
    hang_up(&gate);
    until_value(&gate, SUCCESS, &[], |value| value < 0.5).await;
    until_outcome(&gate, "echo", "executed").await;
    replace(&gate.folder, "policies/other.json", RUNS);
    until_outcome(&gate, "start_run", "executed").await;
    until_value(&gate, SUCCESS, &[], |value| value > 0.5).await;
    until("the log tells what needs a restart", || async {
        gate.stderr().contains("drain_ms, servers.more").then_some(())
    })
    .await;
}
