//! HTTP+SSE, the transport of 2024-11-05: the endpoint leads back to the gate, and refusals go out on the stream.

use serde_json::{Value, json};

use crate::wire::client::{Client, call_body, post, request};
use crate::wire::gate::{Gate, Setup};
use crate::wire::upstream::{self, Latch, Step, Upstream, chunk, stream_head};
use crate::wire::{OTHER, until};

const POLICY: &str = r#"{"version":"1","default":"deny","hide":["secret"],"tools":{
    "run":{"limits":[{"counter":"runs","window":"hour","max":1,"scope":"session"}]},
    "free":{}, "one":{"concurrency":{"counter":"one","max":1}}}}"#;

/// An open stream: its client, the endpoint that it announced, and what makes the upstream say more.
struct Session {
    client: Client,
    endpoint: String,
    said: Latch,
}

/// Opens a stream that announces `endpoint` and, once its latch is open, says `then` and ends.
async fn open_stream(gate: &Gate, upstream: &Upstream, endpoint: &str, then: &[&str]) -> Session {
    open_stream_that(gate, upstream, endpoint, then, vec![Step::Close]).await
}

async fn open_stream_that(
    gate: &Gate,
    upstream: &Upstream,
    endpoint: &str,
    then: &[&str],
    last: Vec<Step>,
) -> Session {
    let said = Latch::new();
    let mut reply = vec![
        Step::Send(stream_head("")),
        Step::Send(chunk(&format!("event: endpoint\ndata: {endpoint}\n\n"))),
        Step::Wait(said.clone()),
    ];
    reply.extend(then.iter().map(|event| Step::Send(chunk(event))));
    reply.extend(last);
    upstream.next(reply);
    let mut client = gate.client().await;
    client.send(&request("GET", "").bytes()).await;
    assert_eq!(client.head().await.status, 200);
    let event = client.chunks_until("\n\n").await;
    let told = event.strip_prefix("event: endpoint\ndata: ").unwrap().trim_end();
    Session {
        client,
        endpoint: told.to_owned(),
        said,
    }
}

async fn gate_before(upstream: &Upstream) -> Gate {
    Setup::policy(POLICY).before(upstream.addr).await
}

/// What an upstream of this transport answers to a POST.
fn accepted() -> Vec<Step> {
    vec![Step::Send(upstream::answer("202 Accepted", &[], b"Accepted"))]
}

fn message(event: &str) -> Value {
    let data = event.strip_prefix("event: message\ndata: ").unwrap();
    serde_json::from_str(data.trim_end()).unwrap()
}

#[tokio::test]
async fn messages_to_the_announced_endpoint_reach_the_upstreams_own_and_nothing_else_does() {
    let upstream = Upstream::start().await;
    let gate = gate_before(&upstream).await;
    let session = open_stream(&gate, &upstream, "/messages/?session_id=abc", &[]).await;
    assert!(
        session.endpoint.starts_with("/mcp/s?endpoint="),
        "{}",
        session.endpoint
    );
    assert!(!session.endpoint.contains("abc"));
    upstream.next(accepted());
    let answer = gate.ask(&post(call_body("free")).to(&session.endpoint)).await;
    assert_eq!((answer.status, answer.text().as_str()), (202, "Accepted"));
    assert_eq!(
        upstream.last().request_line(),
        "POST /messages/?session_id=abc HTTP/1.1"
    );
    assert_eq!(upstream.last().text(), call_body("free"));
    // the body of a POST's answer is nobody's message, whatever was asked
    upstream.next(accepted());
    let listed = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let answer = gate.ask(&post(listed).to(&session.endpoint)).await;
    assert_eq!((answer.status, answer.text().as_str()), (202, "Accepted"));
    let count = upstream.count();
    let bent = session.endpoint.replace("endpoint=", "endpoint=A");
    for target in [bent.as_str(), "/mcp/s?endpoint=", "/mcp/s?endpoint=L21lc3NhZ2Vz"] {
        assert_eq!(
            gate.ask(&post(call_body("free")).to(target)).await.status,
            404,
            "{target}"
        );
    }
    let stolen = post(call_body("free")).to(&session.endpoint).token(OTHER);
    assert_eq!(gate.ask(&stolen).await.status, 404);
    assert_eq!(upstream.count(), count);
    session.said.open();
}

#[tokio::test]
async fn a_refused_call_is_told_on_the_stream_and_the_session_goes_on() {
    let upstream = Upstream::start().await;
    let gate = gate_before(&upstream).await;
    let mut session = open_stream(
        &gate,
        &upstream,
        "/m?s=1",
        &["data: {\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{}}\n\n"],
    )
    .await;
    let mut ask = async |tool: &str| {
        let answer = gate.ask(&post(call_body(tool)).to(&session.endpoint)).await;
        assert_eq!((answer.status, answer.body.len()), (202, 0));
        message(&session.client.chunks_until("\n\n").await)
    };
    let unknown = ask("secret").await;
    assert_eq!(unknown["error"]["message"], "Unknown tool: secret");
    upstream.next(accepted());
    let run = gate.ask(&post(call_body("run")).to(&session.endpoint)).await;
    assert_eq!(run.status, 202);
    let limited = ask("run").await;
    assert_eq!(
        (&limited["id"], &limited["result"]["isError"]),
        (&json!(1), &json!(true))
    );
    assert_eq!(
        limited["result"]["_meta"]["toolgate/decision"]["outcome"],
        "limited"
    );
    // the same limit counts each session by itself
    let other = open_stream(&gate, &upstream, "/m?s=2", &[]).await;
    upstream.next(accepted());
    gate.ask(&post(call_body("run")).to(&other.endpoint)).await;
    assert_eq!(upstream.last().request_line(), "POST /m?s=2 HTTP/1.1");
    session.said.open();
    assert!(session.client.chunks_until("\n\n").await.contains("\"id\":3"));
    other.said.open();
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_answered_on_the_stream_where_it_has_an_id() {
    let upstream = Upstream::start().await;
    let gate = gate_before(&upstream).await;
    let mut session = open_stream(&gate, &upstream, "/m", &[]).await;
    let twice = r#"{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"free","name":"secret"}}"#;
    let answer = gate.ask(&post(twice).to(&session.endpoint)).await;
    assert_eq!(answer.status, 202);
    let told = message(&session.client.chunks_until("\n\n").await);
    assert_eq!(told["id"], 9);
    assert!(told["error"]["code"].as_i64().unwrap() <= -32_600);
    let batch = gate.ask(&post("[]").to(&session.endpoint)).await;
    assert_eq!(batch.status, 400);
    assert_eq!(upstream.count(), 1);
    session.said.open();
}

#[tokio::test]
async fn an_endpoint_of_another_origin_ends_the_stream() {
    let upstream = Upstream::start().await;
    let gate = gate_before(&upstream).await;
    for endpoint in [
        "http://127.0.0.1:1/m",
        "//evil.example/m",
        "https://evil.example/",
    ] {
        upstream.next(vec![
            Step::Send(stream_head("")),
            Step::Send(chunk(&format!("event: endpoint\ndata: {endpoint}\n\n"))),
            Step::Wait(Latch::new()),
        ]);
        let mut client = gate.client().await;
        client.send(&request("GET", "").bytes()).await;
        // at the first event, so that its head may not have gone out
        if client.try_head().await.is_some() {
            assert_eq!(client.chunk().await, None, "{endpoint}");
        }
        until(|| upstream.aborted() > 0).await;
    }
}

#[tokio::test]
async fn a_second_endpoint_event_is_dropped_and_one_that_answers_a_post_passes_for_what_it_is() {
    let upstream = Upstream::start().await;
    let gate = gate_before(&upstream).await;
    let later = [
        "event: endpoint\ndata: /admin\n\n",
        "data: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n",
    ];
    let mut session = open_stream(&gate, &upstream, "/m", &later).await;
    session.said.open();
    let next = session.client.chunks_until("\n\n").await;
    assert!(
        next.contains("\"method\":\"x\"") && !next.contains("admin"),
        "{next}"
    );

    let event = "event: endpoint\ndata: /admin\n\n";
    upstream.next(vec![Step::Send(upstream::events(&[event]))]);
    let listed = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    assert!(gate.ask(&post(listed)).await.text().contains(event));
    assert_eq!(gate.ask(&post(call_body("free")).to("/admin")).await.status, 404);
}

#[tokio::test]
async fn once_its_stream_has_ended_an_endpoint_takes_no_messages() {
    let upstream = Upstream::start().await;
    let gate = gate_before(&upstream).await;
    let session = open_stream(&gate, &upstream, "/m", &[]).await;
    let Session { client, endpoint, .. } = session;
    drop(client);
    until(|| upstream.aborted() == 1).await;
    let answer = gate.ask(&post(call_body("free")).to(&endpoint)).await;
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains("open it again"));
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn hidden_tools_are_taken_out_of_lists_on_the_stream() {
    let upstream = Upstream::start().await;
    let gate = gate_before(&upstream).await;
    let list = r#"data: {"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"free","inputSchema":{}},{"name":"secret","inputSchema":{}}]}}"#;
    let mut session = open_stream(&gate, &upstream, "/m", &[&format!("{list}\n\n")]).await;
    session.said.open();
    let told = session.client.chunks_until("\n\n").await;
    assert!(told.contains("free") && !told.contains("secret"), "{told}");
}

#[tokio::test]
async fn a_call_holds_its_place_until_its_answer_has_passed_on_the_stream() {
    let upstream = Upstream::start().await;
    let gate = gate_before(&upstream).await;
    let done = "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[]}}\n\n";
    let mut session = open_stream(&gate, &upstream, "/m", &[done]).await;
    upstream.next(accepted());
    assert_eq!(
        gate.ask(&post(call_body("one")).to(&session.endpoint))
            .await
            .status,
        202
    );
    let mut full = async || {
        let answer = gate.ask(&post(call_body("one")).to(&session.endpoint)).await;
        assert_eq!(answer.status, 202);
        message(&session.client.chunks_until("\n\n").await).to_string()
    };
    assert!(full().await.contains("is running"));
    session.said.open();
    assert!(session.client.chunks_until("\n\n").await.contains("content"));
    let other = open_stream(&gate, &upstream, "/m2", &[]).await;
    upstream.keeps_answering(accepted());
    let count = upstream.count();
    while upstream.count() == count {
        gate.ask(&post(call_body("one")).to(&other.endpoint)).await;
    }
}

#[tokio::test]
async fn an_answer_to_another_request_under_the_same_id_gives_no_place_back() {
    let upstream = Upstream::start().await;
    let gate = gate_before(&upstream).await;
    let pong = "data: {\"jsonrpc\":\"2.0\",\"id\":1.0,\"result\":{}}\n\n";
    let stays = vec![Step::Wait(Latch::new())];
    let mut session = open_stream_that(&gate, &upstream, "/m", &[pong], stays).await;
    upstream.keeps_answering(accepted());
    let endpoint = session.endpoint.clone();
    let call = || post(call_body("one")).to(&endpoint);
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    for sent in [call(), post(ping).to(&endpoint)] {
        assert_eq!(gate.ask(&sent).await.status, 202);
    }
    session.said.open();
    assert!(session.client.chunks_until("\n\n").await.contains("1.0"));
    assert_eq!(gate.ask(&call()).await.status, 202);
    assert!(session.client.chunks_until("\n\n").await.contains("is running"));
    assert_eq!(upstream.count(), 3, "the second call was not sent");
}
