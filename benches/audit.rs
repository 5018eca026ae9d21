//! Decisions at a steady pace into an audit log on disk, which is verified afterwards: none may be missing.
//!
//! `make audit-load`; arguments: decisions a second, seconds.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a measurement prints, and a failed unwrap is a failed run"
)]

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use toolgate::audit::{Report, Verifier};
use toolgate::record::{
    ChargeRecord, DecisionRecord, FileOptions, FileSink, Lines, Metrics, OnError, Overflow, PolicyRecord,
    RecordedValues, Recorder, UpstreamRecord, WindowRecord,
};

const TASKS: u64 = 8;
/// Between two bursts of one task.
const TICK: Duration = Duration::from_millis(10);

fn main() {
    let numbers: Vec<u64> = std::env::args().filter_map(|text| text.parse().ok()).collect();
    let [rate, seconds] = numbers[..] else {
        // `cargo bench` without arguments runs the other benches; this one takes a minute
        return println!("audit: not run; use `make audit-load`");
    };
    let folder = std::env::temp_dir().join(format!("toolgate-audit-load-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("audit.jsonl");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let took = runtime.block_on(load(&path, rate, seconds));
    let began = Instant::now();
    let (report, bytes) = verify(&folder);
    let verified = began.elapsed();
    std::fs::remove_dir_all(&folder).unwrap();
    let wanted = rate * seconds;
    println!(
        "{wanted} decisions in {:.1} s ({:.0} a second), {} MiB in {} chain(s); {} lines verified in {:.1} s ({} MiB/s)",
        took.elapsed.as_secs_f64(),
        as_f64(wanted) / took.elapsed.as_secs_f64(),
        bytes >> 20,
        report.chains.len(),
        report.lines,
        verified.as_secs_f64(),
        (as_f64(bytes >> 20) / verified.as_secs_f64()).round(),
    );
    println!(
        "longest wait of a line: {:.0} ms; of a call for room: {:.1} ms",
        took.lag.as_secs_f64() * 1e3,
        took.room.as_secs_f64() * 1e3
    );
    assert!(report.gravity.is_none(), "{:?}", report.findings);
    assert_eq!(report.lines, wanted, "decisions are missing");
}

#[expect(clippy::cast_precision_loss, reason = "numbers to be read")]
fn as_f64(number: u64) -> f64 {
    number as f64
}

struct Took {
    elapsed: Duration,
    /// Of a line until it was written, at most; looked at every 10 ms.
    lag: Duration,
    room: Duration,
}

async fn load(path: &Path, rate: u64, seconds: u64) -> Took {
    let options = FileOptions {
        path: path.to_owned(),
        rotate_bytes: 100 << 20,
        keep: 10_000,
    };
    let sinks: Vec<(_, Box<dyn toolgate::record::Sink>)> =
        vec![("file", Box::new(FileSink::open(options).unwrap()))];
    let lines = Lines::open(sinks, Overflow::Wait, OnError::Refuse).unwrap();
    let metrics = std::sync::Arc::new(Metrics::new("load").unwrap());
    let recorder = Recorder::new(std::sync::Arc::clone(&metrics), Some(lines));
    let began = Instant::now();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let recorder = recorder.clone();
            // shares of each tick, so that all together give the rate
            let total = rate * seconds;
            let (from, to) = (total * task / TASKS, total * (task + 1) / TASKS);
            tokio::spawn(async move {
                let mut room = Duration::ZERO;
                let mut tick = tokio::time::interval(TICK);
                let mut done = from;
                while done < to {
                    tick.tick().await;
                    let share =
                        (to - from) * u64::try_from(began.elapsed().as_millis()).unwrap() / (seconds * 1_000);
                    while done < to.min(from + share) {
                        write(&recorder, done);
                        let asked = Instant::now();
                        recorder.room().await;
                        room = room.max(asked.elapsed());
                        done += 1;
                    }
                }
                room
            })
        })
        .collect();
    let mut lag = Duration::ZERO;
    while !tasks.iter().all(tokio::task::JoinHandle::is_finished) {
        tokio::time::sleep(TICK).await;
        lag = lag.max(lag_of(&metrics));
    }
    let mut room = Duration::ZERO;
    for task in tasks {
        room = room.max(task.await.unwrap());
    }
    recorder.flush().await;
    Took {
        elapsed: began.elapsed(),
        lag,
        room,
    }
}

fn lag_of(metrics: &Metrics) -> Duration {
    let text = String::from_utf8(metrics.text()).unwrap();
    let lag = text
        .lines()
        .find_map(|line| line.strip_prefix("toolgate_audit_lag_seconds{sink=\"file\"} "));
    Duration::from_secs_f64(lag.and_then(|lag| lag.parse().ok()).unwrap_or(0.0))
}

/// A line as an admitted call with one limit leaves it.
fn write(recorder: &Recorder, number: u64) {
    recorder.decision(&DecisionRecord {
        time: "2026-01-01T00:00:00.000Z".to_owned(),
        id: format!("{number:016x}"),
        grant: Some("ci-runner"),
        grant_key: None,
        label: None,
        server: "coalesce",
        session: Some("1f0c7d2a9b3e4f5a".to_owned()),
        method: "tools/call",
        tool: Some("start_run"),
        argument_keys: &[],
        policy: vec![PolicyRecord {
            name: "coalesce-default",
            digest: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        }],
        outcome: "allowed",
        rule: None,
        message: None,
        approval: None,
        store_ms: None,
        charges: vec![ChargeRecord {
            rule: "/tools/start_run/limits/start_run_rate",
            counter: "start_run_rate",
            weight: 1,
            max: 10,
            left: Some(3),
            store_ms: Some(1_767_225_600_000),
            shadow: false,
            scope: "grant",
            window: WindowRecord::Sliding(60_000),
            scale: 0,
        }],
        upstream: Some(UpstreamRecord {
            status: Some(200),
            ms: 1.5,
            ended: "answered",
            refunded: false,
        }),
        recorded: RecordedValues(&[]),
        shadow: Vec::new(),
        trace_id: None,
        degraded: false,
        replica: "gate-7d9f-3c41a0de",
    });
}

fn verify(folder: &Path) -> (Report, u64) {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let (mut verifier, mut bytes) = (Verifier::new(false, HashMap::new()), 0);
    for file in files {
        verifier.open(&file.display().to_string());
        let mut reader = BufReader::with_capacity(1 << 16, File::open(&file).unwrap());
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).unwrap() > 0 {
            bytes += u64::try_from(line.len()).unwrap();
            let bare = line.strip_suffix(b"\n");
            verifier.line(bare.unwrap_or(&line), bare.is_some());
            line.clear();
        }
    }
    (verifier.end(), bytes)
}
