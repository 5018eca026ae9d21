//! Nanoseconds for one strict reading. Not a timed test: it prints, and fails only where a body is
//! not read.
//!
//! `cargo test --release --test mcp_bytes_speed -- --ignored --nocapture`

#![expect(clippy::unwrap_used, reason = "a panic in a helper is a failed test")]

use std::hint::black_box;
use std::time::Instant;

use toolgate::mcp::envelope::read;
use toolgate::mcp::list::filter_tools;

/// A tool call of about `size` bytes, with text, numbers and small objects as arguments.
fn call(size: usize) -> String {
    let mut items = String::new();
    let mut n = 0;
    let start = r#"{"jsonrpc":"2.0","id":42,"method":"tools/call","params":{"name":"start_run","arguments":{"job":"nightly","items":["#;
    let end = r#"]},"_meta":{"progressToken":"p-1"}}}"#;
    while start.len() + items.len() + end.len() + 70 < size {
        let comma = if n == 0 { "" } else { "," };
        items.push_str(&format!(
            r#"{comma}{{"id":{n},"path":"/data/part-{n:04}.csv","weight":{n}.25,"ok":true}}"#
        ));
        n += 1;
    }
    format!("{start}{items}{end}")
}

/// The best of thirty rounds (a busy machine only adds), in nanoseconds for one run of `work`.
fn nanoseconds(mut work: impl FnMut()) -> u128 {
    let round = |_| {
        let start = Instant::now();
        for _ in 0..1_000 {
            work();
        }
        start.elapsed().as_nanos() / 1_000
    };
    (0..30).map(round).min().unwrap()
}

#[test]
#[ignore = "a measurement: run it in release with --ignored --nocapture"]
fn nanoseconds_of_one_reading() {
    for size in [250, 8 * 1024] {
        let body = call(size);
        let strict = nanoseconds(|| {
            let envelope = read(black_box(body.as_bytes())).unwrap();
            black_box(envelope.tool_call().unwrap().unwrap().name.len());
        });
        let value = nanoseconds(|| {
            black_box(serde_json::from_slice::<serde_json::Value>(black_box(body.as_bytes())).unwrap());
        });
        println!(
            "read {:>5} B: {strict:>6} ns strict, {value:>6} ns as a `Value`",
            body.len()
        );
    }
    let tools: Vec<String> = (0..40)
        .map(|n| format!(r#"{{"name":"tool_{n}","description":"does {n}","inputSchema":{{"type":"object","properties":{{"a":{{"type":"string"}}}}}}}}"#))
        .collect();
    let list = format!(
        r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{}]}}}}"#,
        tools.join(",")
    );
    let filter = nanoseconds(|| {
        black_box(filter_tools(black_box(list.as_bytes()), true, |name| !name.ends_with('7')).unwrap());
    });
    println!("filter {:>5} B, 40 tools: {filter:>6} ns", list.len());
}
