//! A file: private, turned over, moved away by others, and cut off by a crash.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::json;

use super::bench::{call, decisions, files, run, setup, signal, until_decisions, upstream, verify};
use crate::support::gate::Setup;
use crate::support::mcp::current_call;
use crate::support::wait::until;

const END: Duration = Duration::from_secs(20);

#[tokio::test]
async fn decisions_are_in_a_private_file_and_nowhere_else_and_the_log_is_whole() {
    let upstream = upstream().await;
    let mut gate = setup(&upstream, json!({ "file": "audit.jsonl" })).start();
    let path = gate.folder.path().join("audit.jsonl");
    run(&gate, "run", 3).await;
    call(&gate, "drop").await;
    until_decisions(&path, 4).await;
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(gate.terminate(END).success());
    assert!(
        gate.decisions().is_empty(),
        "stdout holds none where a file is set alone"
    );
    let (code, text) = verify(std::slice::from_ref(&path));
    assert!(
        code == 0 && text.contains("4 decisions, 0 other events: whole"),
        "{code}: {text}"
    );
    // and one byte of it changed
    let mut bytes = std::fs::read(&path).unwrap();
    let place = bytes
        .iter()
        .position(|&byte| byte == b'4' || byte == b'5')
        .unwrap();
    bytes[place] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (code, text) = verify(std::slice::from_ref(&path));
    let named = format!("error: {}:1: the line was changed", path.display());
    assert!(code == 1 && text.starts_with(&named), "{code}: {text}");
}

#[tokio::test]
async fn the_chain_can_be_checked_with_a_shell() {
    let upstream = upstream().await;
    let mut gate = setup(&upstream, json!({ "file": "audit.jsonl" })).start();
    run(&gate, "run", 3).await;
    assert!(gate.terminate(END).success());
    let script = r#"
        previous=$(printf '0%.0s' $(seq 64))
        while IFS= read -r line; do
          hash=$(printf '%s' "${line%,\"hash\":*}" | sha256sum | cut -d' ' -f1)
          case $line in *"\"previous\":\"$previous\",\"hash\":\"$hash\"}") ;; *) exit 1 ;; esac
          previous=$hash
        done <"$1""#;
    let path = gate.folder.path().join("audit.jsonl");
    let mut shell = std::process::Command::new("bash");
    shell.args(["-euc", script, "bash"]).arg(&path);
    assert!(shell.status().unwrap().success());
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("\"agent\"", "\"other\"", 1)).unwrap();
    assert!(!shell.status().unwrap().success());
}

#[tokio::test]
async fn a_file_is_turned_over_by_size_and_the_chain_goes_through_all_of_them() {
    let upstream = upstream().await;
    let audit = json!({ "file": "audit.jsonl", "rotate_bytes": 4096, "keep": 3 });
    let mut gate = setup(&upstream, audit).start();
    run(&gate, "run", 40).await;
    assert!(gate.terminate(END).success());
    let path = gate.folder.path().join("audit.jsonl");
    let all = files(&path);
    assert_eq!(all.len(), 4, "{all:?}");
    assert!(
        all.iter()
            .all(|file| std::fs::metadata(file).unwrap().len() <= 4096 + 300)
    );
    let (code, text) = verify(&all);
    assert!(code == 0 && text.contains("up to line 40"), "{code}: {text}");
    let (code, text) = verify(&[all[0].clone(), all[2].clone()]);
    assert!(
        code == 1 && text.contains("missing before this one"),
        "{code}: {text}"
    );
}

#[tokio::test]
async fn a_turn_that_cannot_be_made_loses_nothing() {
    let upstream = upstream().await;
    let audit = json!({ "file": "audit.jsonl", "rotate_bytes": 4096, "keep": 1 });
    let setup = setup(&upstream, audit);
    let folder = setup.write();
    folder.write("audit.jsonl.1/in-the-way", "");
    let mut gate = Setup::start_in(folder);
    run(&gate, "run", 20).await;
    assert!(gate.terminate(END).success());
    let path = gate.folder.path().join("audit.jsonl");
    assert_eq!(decisions(&path).len(), 20);
    assert_eq!(verify(&[path]).0, 0);
}

#[tokio::test]
async fn a_file_that_is_moved_away_and_a_hangup_lose_nothing() {
    let upstream = upstream().await;
    let mut gate = setup(&upstream, json!({ "file": "audit.jsonl" })).start();
    let folder = gate.folder.path().to_owned();
    let path = folder.join("audit.jsonl");
    let caller = gate.caller("s", super::bench::TOKEN);
    let calling = tokio::spawn(async move {
        let mut line = caller.connect().await;
        for _ in 0..300 {
            assert_eq!(line.call("run", &json!({})).await.outcome(), "executed");
        }
    });
    for number in 0..5 {
        // as logrotate does with `postrotate kill -HUP`
        until_decisions(&path, 5).await;
        std::fs::rename(&path, folder.join(format!("audit.jsonl.{number}"))).unwrap();
        signal(gate.pid(), "HUP");
        until("the file is there anew", || async { path.exists().then_some(()) }).await;
    }
    calling.await.unwrap();
    assert!(gate.terminate(END).success());
    let all = files(&path);
    assert_eq!(all.len(), 6);
    assert_eq!(all.iter().map(|file| decisions(file).len()).sum::<usize>(), 300);
    let (code, text) = verify(&all);
    assert!(code == 0 && text.contains("300 decisions"), "{code}: {text}");
}

#[tokio::test]
async fn a_gate_that_is_killed_leaves_a_log_that_is_read_to_its_last_whole_line_and_goes_on() {
    let upstream = upstream().await;
    let setup = setup(&upstream, json!({ "file": "audit.jsonl" }));
    let mut gate = setup.start();
    let path = gate.folder.path().join("audit.jsonl");
    // several callers, so that the end comes in the middle of something
    let body = current_call(&json!(1), "run", &json!({})).to_string();
    for _ in 0..8 {
        let caller = gate.caller("s", super::bench::TOKEN);
        let request = caller.request("POST", &[], body.as_bytes());
        tokio::spawn(async move {
            loop {
                // ends when the gate does
                let Ok(mut stream) = tokio::net::TcpStream::connect(caller.address()).await else {
                    return;
                };
                let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, &request).await;
                let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 64]).await;
            }
        });
    }
    until_decisions(&path, 50).await;
    gate.kill();
    let (code, text) = verify(std::slice::from_ref(&path));
    assert!(code == 0 || code == 3, "{code}: {text}");
    // a crash in the middle of a line, at its worst place
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.truncate(bytes.len() - 3);
    std::fs::write(&path, bytes).unwrap();
    let whole = decisions(&path).len();
    let (code, text) = verify(std::slice::from_ref(&path));
    let told = text.contains("was not written to its end") && text.contains(&format!("{whole} decisions"));
    assert!(code == 3 && told, "{code}: {text}");

    let mut gate = Setup::start_in(gate.folder);
    run(&gate, "run", 2).await;
    assert!(gate.terminate(END).success());
    assert_eq!(decisions(&path).len(), whole + 2);
    let (code, text) = verify(std::slice::from_ref(&path));
    assert!(code == 3 && text.contains("up to line 2"), "{code}: {text}");
}
