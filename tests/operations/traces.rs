//! Traces: the right parents, over OTLP to a collector, and nothing lost where there is none.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::exposition::until_value;
use crate::support::child::Child;
use crate::support::gate::{Gate, Setup, limited};
use crate::support::http;
use crate::support::mcp::{CURRENT, current_call};
use crate::support::servers::{Era, Fixture};
use crate::support::wait::{PATIENCE, until};

const META: &str = "00-11111111111111111111111111111111-1111111111111111-01";
const HEADER: &str = "00-22222222222222222222222222222222-2222222222222222-01";
const SERVER: u64 = 2;
const CLIENT: u64 = 3;

/// A collector on OpenTelemetry's own definitions.
struct Collector {
    child: Child,
    url: String,
}

impl Collector {
    fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(root.join(".tools/otlp/bin/python"));
        command.arg(root.join("tests/clients/python/otlp_collector.py"));
        let child = Child::start("OTLP collector", &mut command);
        let url = child.wait_event("listening", PATIENCE)["otlp"]
            .as_str()
            .unwrap()
            .to_owned();
        Self { child, url }
    }

    /// Waits for so many spans, and returns them by name and kind.
    async fn spans(&self, count: usize) -> BTreeMap<(String, u64), Value> {
        let spans = until(&format!("{count} spans"), || async {
            let lines = self.child.json_lines();
            assert!(lines.iter().all(|line| line["event"] != "refused"), "{lines:?}");
            let spans: Vec<_> = lines.into_iter().filter(|line| line["event"] == "span").collect();
            (spans.len() >= count).then_some(spans)
        })
        .await;
        assert_eq!(spans.len(), count, "{spans:#?}");
        let key = |span: &Value| {
            (
                span["name"].as_str().unwrap().to_owned(),
                span["kind"].as_u64().unwrap(),
            )
        };
        spans.into_iter().map(|span| (key(&span), span)).collect()
    }
}

fn setup(fixture: &Fixture) -> Setup {
    let mut policy = limited("start_run", 5, json!("hour"));
    policy["tools"]["stop_run"] = json!({ "action": "deny" });
    policy["tools"]["echo"] = json!({});
    Setup::new()
        .server("fixture", &fixture.url)
        .policy("p", policy)
        .grant("ci", "tg_ci", "fixture", "p")
}

/// Calls a tool with these places in a trace; the body as it was sent.
async fn call(gate: &Gate, tool: &str, meta: Option<&str>, header: Option<&str>) -> String {
    let mut message = current_call(&json!(1), tool, &json!({ "message": "m" }));
    if let Some(meta) = meta {
        message["params"]["_meta"]["traceparent"] = json!(meta);
    }
    let body = message.to_string();
    let mut headers = vec![
        ("MCP-Protocol-Version", CURRENT),
        ("Mcp-Method", "tools/call"),
        ("Mcp-Name", tool),
    ];
    headers.extend(header.map(|header| ("traceparent", header)));
    let request = gate
        .caller("fixture", "tg_ci")
        .request("POST", &headers, body.as_bytes());
    let answer = http::exchange(&gate.proxy, &request).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    body
}

/// What the server saw of the last request: its `traceparent`, and its body.
async fn arrived(fixture: &Fixture) -> (Option<String>, String) {
    let requests = fixture.requests().await;
    let last = requests.last().unwrap();
    let body = BASE64.decode(last["body"].as_str().unwrap().as_bytes()).unwrap();
    let mut headers = last["headers"].as_array().unwrap().iter();
    let traceparent = headers.find(|header| header[0] == "traceparent");
    let traceparent = traceparent.map(|header| header[1].as_str().unwrap().to_owned());
    (traceparent, String::from_utf8(body).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_have_the_right_parents_and_the_body_passes_unchanged() {
    let (fixture, collector) = (Fixture::start(Era::Current), Collector::start());
    let gate = setup(&fixture)
        .key("tracing", json!({ "otlp": collector.url }))
        .start();
    let sent = call(&gate, "echo", Some(META), Some(HEADER)).await;
    let spans = collector.spans(2).await;
    let (server, client) = (
        &spans[&("tools/call echo".to_owned(), SERVER)],
        &spans[&("tools/call echo".to_owned(), CLIENT)],
    );
    assert_eq!(server["parent"], "1111111111111111");
    assert_eq!(server["links"], json!([["2".repeat(32), "2222222222222222"]]));
    assert_eq!(client["parent"], server["span"]);
    for span in [server, client] {
        assert_eq!(span["trace"], "1".repeat(32));
        assert_eq!(
            (&span["failed"], &span["service"]),
            (&json!(false), &json!("toolgate"))
        );
        let attributes = &span["attributes"];
        assert_eq!(attributes["mcp.method.name"], "tools/call");
        assert_eq!(attributes["gen_ai.tool.name"], "echo");
        assert_eq!(attributes["gen_ai.operation.name"], "execute_tool");
        assert_eq!(attributes["jsonrpc.request.id"], "1");
        assert_eq!(attributes["mcp.protocol.version"], CURRENT);
        assert_eq!(
            (&attributes["toolgate.grant"], &attributes["toolgate.outcome"]),
            (&json!("ci"), &json!("allowed"))
        );
    }
    assert!(
        server["took_ns"].as_u64() >= client["took_ns"].as_u64(),
        "{server} {client}"
    );
    let (traceparent, body) = arrived(&fixture).await;
    assert_eq!(body, sent);
    let span = client["span"].as_str().unwrap();
    assert_eq!(traceparent.unwrap(), format!("00-{}-{span}-01", "1".repeat(32)));
    let line = gate
        .until_decisions("the call", 1, |line| line["tool"] == "echo")
        .await;
    assert_eq!(line[0]["trace_id"], "1".repeat(32));
    assert_eq!(server["attributes"]["toolgate.decision.id"], line[0]["id"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_invented_names_and_calls_without_a_trace_have_spans_too() {
    let (fixture, collector) = (Fixture::start(Era::Current), Collector::start());
    let mut gate = setup(&fixture)
        .key("tracing", json!({ "otlp": collector.url }))
        .start();
    call(&gate, "stop_run", None, Some(HEADER)).await;
    call(&gate, "invented", None, None).await;
    // not sampled by its client
    call(&gate, "echo", None, Some(&HEADER.replace("-01", "-00"))).await;
    assert_eq!(arrived(&fixture).await.0.unwrap(), HEADER.replace("-01", "-00"));
    // what is still in the queue goes out at the end
    assert!(gate.terminate(PATIENCE).success());
    let spans = collector.spans(3).await;
    let refused = &spans[&("tools/call stop_run".to_owned(), SERVER)];
    assert_eq!(
        (&refused["parent"], &refused["failed"]),
        (&json!("2222222222222222"), &json!(true))
    );
    assert_eq!(refused["attributes"]["error.type"], "denied");
    assert_eq!(refused["attributes"]["toolgate.rule"], "/tools/stop_run/action");
    let invented = &spans[&("tools/call".to_owned(), SERVER)];
    assert_eq!(
        (&invented["parent"], &invented["links"]),
        (&json!(""), &json!([]))
    );
    assert!(
        invented["attributes"].get("gen_ai.tool.name").is_none(),
        "{invented}"
    );
    assert!(spans.contains_key(&("tools/call".to_owned(), CLIENT)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_gone_holds_up_neither_calls_nor_the_end() {
    let (fixture, mut collector) = (Fixture::start(Era::Current), Collector::start());
    let mut gate = setup(&fixture)
        .key("tracing", json!({ "otlp": collector.url }))
        .start();
    collector.child.kill();
    for _ in 0..20 {
        call(&gate, "echo", None, None).await;
    }
    until_value(&gate, "toolgate_spans_total", &[("result", "failed")], |count| {
        count > 0.5
    })
    .await;
    until("the log tells of it", || async {
        gate.stderr().contains("spans were not exported").then_some(())
    })
    .await;
    call(&gate, "echo", None, None).await;
    assert!(gate.terminate(Duration::from_secs(15)).success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_export_the_clients_trace_passes_and_stands_in_lines_and_logs() {
    let mut fixture = Fixture::start(Era::Current);
    let gate = setup(&fixture).start();
    call(&gate, "echo", None, Some(HEADER)).await;
    assert_eq!(arrived(&fixture).await.0.as_deref(), Some(HEADER));
    call(&gate, "echo", None, None).await;
    assert_eq!(arrived(&fixture).await.0, None);
    fixture.kill();
    call(&gate, "echo", Some(META), Some(HEADER)).await;
    let lines = gate
        .until_decisions("the calls", 3, |line| line["tool"] == "echo")
        .await;
    let traces: Vec<_> = lines.iter().map(|line| line["trace_id"].clone()).collect();
    assert_eq!(
        traces,
        [json!("2".repeat(32)), Value::Null, json!("1".repeat(32))]
    );
    let log = until("the log tells of the upstream", || async {
        let log = gate.stderr();
        let line = log.lines().find(|line| line.contains("upstream"))?.to_owned();
        Some(line)
    })
    .await;
    let log: Value = serde_json::from_str(&log).unwrap();
    assert_eq!(
        (&log["span"]["trace_id"], &log["level"]),
        (&json!("1".repeat(32)), &json!("WARN"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_are_text_where_the_settings_say_so() {
    let fixture = Fixture::start(Era::Current);
    let gate = setup(&fixture).key("log", json!("text")).start();
    until("a line of text", || async {
        gate.stderr()
            .contains("WARN counters are in memory")
            .then_some(())
    })
    .await;
}
