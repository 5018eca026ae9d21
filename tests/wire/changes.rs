//! Clients that listen are told when their list of tools looks otherwise: here, because other tools are accepted.

use crate::pins::{RUN, STOP, accept, pinned};
use crate::wire::client::{Client, call, post, request};
use crate::wire::gate::Gate;
use crate::wire::upstream::{Latch, Step, Upstream, chunk, stream_head};

const CHANGED: &str =
    "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n";
const LISTEN: &str = r#"{"jsonrpc":"2.0","id":"l/1","method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true}}}"#;

/// The acknowledgement of the subscription `l/1`.
fn acknowledged(filter: &str) -> String {
    format!(
        "data: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\",\"params\":{{\"_meta\":{{\"io.modelcontextprotocol/subscriptionId\":\"l/1\"}},\"notifications\":{filter}}}}}\n\n"
    )
}

/// A stream of the upstream: these pieces at once, then, when the latch opens, the others.
async fn open(
    gate: &Gate,
    upstream: &Upstream,
    asked: &[u8],
    first: &[&str],
    then: &[&str],
) -> (Client, Latch) {
    let latch = Latch::new();
    let mut reply = vec![Step::Send(stream_head(""))];
    reply.extend(first.iter().map(|piece| Step::Send(chunk(piece))));
    reply.push(Step::Wait(latch.clone()));
    reply.extend(then.iter().map(|piece| Step::Send(chunk(piece))));
    reply.push(Step::Wait(Latch::new()));
    upstream.next(reply);
    let mut client = gate.client().await;
    client.send(asked).await;
    assert_eq!(client.head().await.status, 200);
    (client, latch)
}

/// Opens a session and gives its id at the gate.
async fn session(gate: &Gate, upstream: &Upstream) -> String {
    let opened = crate::wire::upstream::answer(
        "200 OK",
        &[("Content-Type", "application/json"), ("Mcp-Session-Id", "abc")],
        br#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
    );
    upstream.next(vec![Step::Send(opened)]);
    let answer = gate.ask(&call("run")).await;
    answer.header("mcp-session-id").unwrap().to_owned()
}

#[tokio::test]
async fn the_stream_of_a_session_is_told_at_once_and_never_within_an_event() {
    let (gate, upstream) = pinned().await;
    let id = session(&gate, &upstream).await;
    let get = request("GET", "").header("Mcp-Session-Id", &id).bytes();
    let (mut quiet, _held) = open(&gate, &upstream, &get, &[], &[]).await;
    let rest = "data: {\"jsonrpc\":\"2.0\",\"method\":\"b\"}\n\n";
    let (half, other) = rest.split_at(20);
    let (mut within, latch) = open(&gate, &upstream, &get, &[half], &[other]).await;
    let marked = "\u{feff}data: {\"jsonrpc\":\"2.0\",\"method\":\"c\"}\r\n\r\n";
    let (mut first, mark) = open(&gate, &upstream, &get, &[], &[marked]).await;
    accept(&gate, &[("run", RUN)]);
    for client in [&mut quiet, &mut within, &mut first] {
        assert_eq!(client.chunks_until("\n\n").await, CHANGED);
    }
    latch.open();
    assert_eq!(within.chunks_until("\n\n").await, rest);
    mark.open();
    assert_eq!(
        first.chunks_until("\r\n\r\n").await,
        &marked['\u{feff}'.len_utf8()..]
    );
    // the same again is no change; the next one is told once more
    accept(&gate, &[("run", RUN)]);
    accept(&gate, &[("run", RUN), ("stop", STOP)]);
    assert_eq!(quiet.chunks_until("\n\n").await, CHANGED);
}

#[tokio::test]
async fn a_subscription_is_told_under_its_id_after_its_acknowledgement_where_it_asked_for_it() {
    let (gate, upstream) = pinned().await;
    let asked = post(LISTEN).bytes();
    let (agreed, without) = (
        acknowledged(r#"{"toolsListChanged":true}"#),
        acknowledged(r#"{"promptsListChanged":true}"#),
    );
    let (mut open_now, _held) = open(&gate, &upstream, &asked, &[&agreed], &[]).await;
    assert_eq!(open_now.chunks_until("\n\n").await, agreed);
    let (mut late, acknowledge) = open(&gate, &upstream, &asked, &[], &[&agreed]).await;
    let (mut other, say) = open(&gate, &upstream, &asked, &[&without], &["data: {}\n\n"]).await;
    assert_eq!(other.chunks_until("\n\n").await, without);
    let (mut call_stream, end) = open(&gate, &upstream, &call("run").bytes(), &[], &["data: {}\n\n"]).await;
    accept(&gate, &[("run", RUN)]);
    let told = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\",\"params\":{\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":\"l/1\"}}}\n\n";
    assert_eq!(open_now.chunks_until("\n\n").await, told);
    acknowledge.open();
    assert_eq!(late.chunks_until("l/1\"}}}\n\n").await, format!("{agreed}{told}"));
    say.open();
    end.open();
    for untold in [&mut other, &mut call_stream] {
        assert_eq!(untold.chunks_until("\n\n").await, "data: {}\n\n");
    }
}

#[tokio::test]
async fn a_stream_of_2024_11_05_is_told_once_its_endpoint_is_known() {
    let (gate, upstream) = pinned().await;
    let get = request("GET", "").bytes();
    let endpoint = "event: endpoint\ndata: /m?s=1\n\n";
    let (mut known, _held) = open(&gate, &upstream, &get, &[endpoint], &[]).await;
    assert!(known.chunks_until("\n\n").await.starts_with("event: endpoint\n"));
    let (mut late, announce) = open(&gate, &upstream, &get, &[], &[endpoint]).await;
    accept(&gate, &[("run", RUN)]);
    assert_eq!(known.chunks_until("\n\n").await, CHANGED);
    announce.open();
    let both = late.chunks_until("list_changed\"}\n\n").await;
    assert!(
        both.starts_with("event: endpoint\n") && both.ends_with(CHANGED),
        "{both}"
    );
}

#[tokio::test]
async fn a_list_that_the_gate_finds_changed_itself_is_told_too() {
    let (gate, upstream) = pinned().await;
    let id = session(&gate, &upstream).await;
    let get = request("GET", "").header("Mcp-Session-Id", &id).bytes();
    let own = CHANGED.replacen("event: message\n", "", 1);
    let (mut stream, says) = open(&gate, &upstream, &get, &[], &[&own]).await;
    upstream.lists(&format!(r#"{{"name":"run","description":"other"}},{STOP}"#));
    // the server says so, the gate looks, and tells what it found
    says.open();
    let told = stream.chunks_until(CHANGED).await;
    assert_eq!(told, format!("{own}{CHANGED}"));
}
