//! Several sinks, storms, and the metrics of all of them.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use toolgate::record::{DecisionRecord, FileOptions, FileSink, Lines, OnError, Overflow, RecordedValues};

use super::bench::{call, decisions, files, metric, run, setup, until_decisions, upstream, verify};
use crate::support::gate::Folder;
use crate::support::wait::until;

#[tokio::test]
async fn each_sink_has_every_decision_in_a_chain_of_its_own() {
    let upstream = upstream().await;
    let audit = json!({ "file": "audit.jsonl", "stdout": true });
    let mut gate = setup(&upstream, audit).start();
    run(&gate, "run", 5).await;
    let path = gate.folder.path().join("audit.jsonl");
    until_decisions(&path, 5).await;
    for sink in ["file", "stdout"] {
        until("five lines are counted", || async {
            let lines = metric(&gate, &format!("toolgate_audit_lines_total{{sink=\"{sink}\"}}")).await;
            ((lines - 5.0).abs() < 0.5).then_some(())
        })
        .await;
        let nothing = metric(&gate, &format!("toolgate_audit_lag_seconds{{sink=\"{sink}\"}}")).await;
        assert_eq!(nothing.to_bits(), 0, "no line waits in {sink}");
    }
    let (_, metrics) = gate.admin("/metrics").await;
    assert!(
        metrics.contains("toolgate_audit_head_sequence{boot="),
        "{metrics}"
    );
    assert!(gate.terminate(Duration::from_secs(20)).success());
    let ids = |lines: &[Value]| lines.iter().map(|line| line["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&decisions(&path)), ids(&gate.decisions()));
    assert_ne!(decisions(&path)[0]["boot"], gate.decisions()[0]["boot"]);
    let stdout = gate.folder.path().join("stdout.jsonl");
    std::fs::write(&stdout, gate.stdout() + "\n").unwrap();
    let (code, text) = verify(&[path, stdout]);
    assert!(
        code == 0 && text.contains("10 decisions, 1 other events"),
        "{code}: {text}"
    );
}

#[tokio::test]
async fn a_storm_of_equal_denials_is_a_few_lines_and_all_are_counted() {
    let upstream = upstream().await;
    let mut gate = setup(&upstream, json!({ "file": "audit.jsonl" })).start();
    let path = gate.folder.path().join("audit.jsonl");
    let mut line = gate.caller("s", super::bench::TOKEN).connect().await;
    for _ in 0..500 {
        assert_eq!(line.call("drop", &json!({})).await.outcome(), "denied");
    }
    run(&gate, "run", 30).await;
    until_decisions(&path, 530).await;
    let counted = metric(
        &gate,
        r#"toolgate_decisions_total{mode="enforce",outcome="denied",server="s",tool="drop"}"#,
    );
    assert!((counted.await - 500.0).abs() < 0.5);
    assert!(metric(&gate, "toolgate_audit_folded_total").await > 0.0);
    assert!(gate.terminate(Duration::from_secs(20)).success());
    let text = std::fs::read_to_string(&path).unwrap();
    let admitted = text
        .lines()
        .filter(|line| line.contains(r#""outcome":"allowed""#));
    assert_eq!(admitted.count(), 30, "admissions are one line each");
    let folded = text.lines().find(|line| line.contains(r#""count":"#)).unwrap();
    let folded: Value = serde_json::from_str(folded).unwrap();
    assert!(
        folded["first"].as_str() <= folded["last"].as_str() && folded["mixed"].is_null(),
        "{folded}"
    );
    assert_eq!(verify(std::slice::from_ref(&path)).0, 0);
    // a replay counts all of them, and the same policy decides the same
    let policy = gate.folder.path().join("policies/p.json");
    let replay = Command::new(env!("CARGO_BIN_EXE_toolgate"))
        .args(["replay", "--format", "json", "--policy"])
        .args([&policy, &path])
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&replay.stdout).unwrap();
    assert_eq!(
        (&report["totals"]["decisions"], &report["totals"]["alike"]),
        (&json!(530), &json!(530))
    );
}

#[tokio::test]
async fn what_is_answered_before_the_end_is_on_record_at_the_end() {
    let upstream = upstream().await;
    let mut gate = setup(&upstream, json!({ "file": "audit.jsonl" })).start();
    for _ in 0..12 {
        call(&gate, "drop").await;
    }
    run(&gate, "run", 7).await;
    // denials that still wait to be folded are written too
    assert!(gate.terminate(Duration::from_secs(20)).success());
    assert_eq!(decisions(&gate.folder.path().join("audit.jsonl")).len(), 19);
}

fn record<'r>(id: &str, keys: &'r [String]) -> DecisionRecord<'r> {
    DecisionRecord {
        time: "2026-01-01T00:00:00.000Z".to_owned(),
        id: id.to_owned(),
        grant: Some("agent"),
        grant_key: None,
        label: None,
        server: "s",
        session: None,
        method: "tools/call",
        tool: Some("run"),
        argument_keys: keys,
        policy: Vec::new(),
        outcome: "allowed",
        rule: None,
        message: None,
        approval: None,
        store_ms: None,
        charges: Vec::new(),
        upstream: None,
        recorded: RecordedValues(&[]),
        shadow: Vec::new(),
        trace_id: None,
        degraded: false,
        replica: "r",
    }
}

/// The short form of `make audit-load`: the same work, without its pace.
#[tokio::test]
async fn many_decisions_at_once_from_several_threads_lose_none() {
    let folder = Folder::new("load");
    let path = folder.path().join("audit.jsonl");
    let options = FileOptions {
        path: path.clone(),
        rotate_bytes: 1 << 20,
        keep: 1_000,
    };
    let sink = FileSink::open(options).unwrap();
    let lines = Lines::open(vec![("file", Box::new(sink))], Overflow::Wait, OnError::Refuse).unwrap();
    let tasks = (0..4).map(|task| {
        let lines = lines.clone();
        tokio::spawn(async move {
            for number in 0..5_000 {
                lines.write(&record(&format!("{task}-{number}"), &[]), true);
                lines.room().await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    lines.flush().await;
    let all = files(&path);
    let (code, text) = verify(&all);
    assert!(
        code == 0 && text.contains("20000 decisions") && all.len() > 2,
        "{code}: {text}"
    );
}

#[tokio::test]
async fn a_full_queue_drops_where_it_is_set_so_and_the_chain_tells_how_many() {
    let folder = Folder::new("drop");
    let path = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    // somebody holds the other end and does not read, so that writes block
    let held = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    let sink = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    let lines = Lines::open(vec![Lines::stdout(sink)], Overflow::Drop, OnError::Continue).unwrap();
    let keys = ["k".repeat(10_000)];
    for number in 0..2_000 {
        let began = Instant::now();
        lines.room().await;
        lines.write(&record(&number.to_string(), &keys), true);
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "a full queue holds up a call"
        );
    }
    let copy = folder.path().join("copy");
    let reading = std::thread::spawn({
        let (mut held, copy) = (held, copy.clone());
        move || {
            let mut copy = std::fs::File::create(copy).unwrap();
            let mut chunk = vec![0; 1 << 16];
            loop {
                let read = std::io::Read::read(&mut held, &mut chunk).unwrap();
                std::io::Write::write_all(&mut copy, &chunk[..read]).unwrap();
                if chunk[..read].windows(5).any(|bytes| bytes == b"\"end\"") {
                    return;
                }
            }
        }
    });
    lines.flush().await;
    lines.write(&record("end", &keys), true);
    lines.flush().await;
    reading.join().unwrap();
    let (code, text) = verify(&[copy]);
    assert!(
        code == 3 && text.contains("the gate dropped lines"),
        "{code}: {text}"
    );
    assert!(text.contains("up to line 2001"), "{text}");
}
