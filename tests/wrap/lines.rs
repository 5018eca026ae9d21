//! Long lines, and peers that do not read.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::policy;
use super::support::wrapped::{Place, text_of};

fn place_with_limits() -> Place {
    let place = Place::with(&policy());
    let limits =
        json!({ "limits": { "body_bytes": 20_000, "line_bytes": 30_000, "max_list_bytes": 30_000 } });
    place.folder.write("toolgate.yaml", &limits.to_string());
    place
}

#[test]
fn a_line_beyond_the_cap_is_answered_with_an_error_and_never_forwarded() {
    let place = place_with_limits();
    let config = place.path("toolgate.yaml").display().to_string();
    let mut client = place.start(&["--config", &config]);
    let long = client.call("long one", "echo", json!({ "message": "x".repeat(25_000) }));
    assert_eq!(long["error"]["code"], 413, "{long}");
    assert!(
        long["error"]["message"].as_str().unwrap().contains("20000 bytes"),
        "{long}"
    );
    let fits = client.call(2, "echo", json!({ "message": "x".repeat(19_000) }));
    assert_eq!(text_of(&fits), "echo ran");
    assert_eq!(place.ran("echo"), 1);
}

#[test]
fn a_line_of_the_server_beyond_the_cap_is_replaced_by_an_error_for_its_request() {
    let place = place_with_limits();
    let config = place.path("toolgate.yaml").display().to_string();
    let mut client = place.start(&["--config", &config]);
    let fits = client.call(1, "long", json!({ "bytes": 29_000 }));
    assert_eq!(fits["result"]["x"].as_str().unwrap().len(), 29_000);
    let long = client.call(2, "long", json!({ "bytes": 40_000 }));
    assert_eq!(long["error"]["code"], 502, "{long}");
    let text = long["error"]["message"].as_str().unwrap();
    assert!(
        text.contains("30000 bytes") && text.contains("was forwarded"),
        "{text}"
    );
    assert_eq!(text_of(&client.call(3, "echo", json!({}))), "echo ran");
}

/// Resident memory in KiB.
fn memory_of(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_server_that_does_not_read_holds_the_client_up_and_memory_stays() {
    let place = Place::with(&policy());
    let mut client = place.start(&[]);
    client.send(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "stall" } }));
    client.until("the stall", |message| {
        message["method"] == "notifications/stalled"
    });
    let before = memory_of(client.pid());
    let mut stdin = client.take_stdin();
    let written = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&written);
    let flood = std::thread::spawn(move || {
        let line = format!(
            "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\",\"params\":{{\"x\":\"{}\"}}}}\n",
            "x".repeat(50_000)
        );
        for _ in 0..1_000 {
            if stdin.write_all(line.as_bytes()).is_err() {
                return;
            }
            counted.fetch_add(line.len(), Ordering::SeqCst);
        }
    });
    // it has stopped taking more: nothing more was taken for half a second
    let began = Instant::now();
    let mut last = (0, Instant::now());
    while last.1.elapsed() < Duration::from_millis(500) {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "the client was never held up"
        );
        let now = written.load(Ordering::SeqCst);
        if now != last.0 {
            last = (now, Instant::now());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(last.0 < 2_000_000, "{} bytes were taken", last.0);
    let grown = memory_of(client.pid()).saturating_sub(before);
    assert!(grown < 8_000, "{grown} KiB more");
    client.signal("TERM");
    client.end();
    flood.join().unwrap();
}
