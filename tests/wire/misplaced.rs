//! A list of tools where none belongs: in the answer to a call. Such answers stream through, and are cut off there.

use crate::wire::client::call;
use crate::wire::gate::{Gate, Setup};
use crate::wire::upstream::{self, LAST_CHUNK, Step, Upstream, chunk, events, stream_head};

const POLICY: &str = r#"{"version":"1","default":"deny","tools":{"run":{}}}"#;
const ALL: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"run"},{"name":"secret_plan"},{"name":"unlisted"}]}}"#;

async fn listed() -> (Gate, Upstream) {
    let upstream = Upstream::start().await;
    let gate = Setup::policy(POLICY).before(upstream.addr).await;
    (gate, upstream)
}

/// Answers to a call that hold a list after all: servers that keep one stream for each id give the answer of another
/// request under the same id.
#[tokio::test]
async fn a_list_in_the_answer_of_a_call_is_cut_off() {
    let (gate, upstream) = listed().await;
    let whole =
        |headers: &[(&str, &str)]| vec![Step::Send(upstream::answer("200 OK", headers, ALL.as_bytes()))];
    let data = format!("event: message\ndata: {ALL}\n\n");
    let json = ("Content-Type", "application/json");
    let replies = [
        whole(&[json]),
        whole(&[]),
        whole(&[json, ("Content-Type", "text/event-stream")]),
        whole(&[json, ("Content-Encoding", "gzip")]),
        vec![Step::Send(events(&[&data]))],
        // piece by piece
        [Step::Send(stream_head(""))]
            .into_iter()
            .chain(
                data.as_bytes()
                    .chunks(7)
                    .map(|part| Step::Send(chunk(str::from_utf8(part).unwrap()))),
            )
            .chain([Step::Send(LAST_CHUNK.to_vec())])
            .collect(),
    ];
    for (number, reply) in replies.into_iter().enumerate() {
        upstream.next(reply);
        let mut client = gate.client().await;
        client
            .send(&call("run").header("Connection", "close").bytes())
            .await;
        let text = String::from_utf8(client.rest().await).unwrap();
        assert!(
            !text.contains("secret_plan") && !text.contains("unlisted"),
            "{number}: {text}"
        );
    }
    assert!(gate.ask(&call("run")).await.ran(), "the next call is served");
}

#[tokio::test]
async fn where_nothing_is_hidden_whatever_a_call_answers_passes() {
    let upstream = Upstream::start().await;
    let gate = Setup::default().before(upstream.addr).await;
    upstream.next(vec![Step::Send(upstream::answer(
        "200 OK",
        &[("Content-Type", "application/json")],
        ALL.as_bytes(),
    ))]);
    assert_eq!(gate.ask(&call("run")).await.text(), ALL);
}
