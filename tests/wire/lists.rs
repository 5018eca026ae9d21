//! Hidden and unlisted tools are cut from every answer that can carry a list; the other bytes stay.

use serde_json::json;

use crate::wire::client::{Answer, call, post, request};
use crate::wire::gate::{Gate, Setup};
use crate::wire::upstream::{self, LAST_CHUNK, Latch, Step, Upstream, chunk, events, stream_head};

const POLICY: &str = r#"{"version":"1","default":"deny","hide":["secret_*"],"tools":{"run":{},"drop":{"action":"deny"},"secret_plan":{}}}"#;
const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
const ALL: &str = "{ \"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[ {\"name\":\"run\",\"n\":1.10},\t{\"name\":\"secret_plan\"}, {\"n\\u0061me\":\"drop\"} ,{\"name\":\"unlisted\"} ],\"nextCursor\":\"c\",\"_meta\":{\"big\":12345678901234567890.5} } }\r\n";
const CUT: &str = "{ \"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[ {\"name\":\"run\",\"n\":1.10}, {\"n\\u0061me\":\"drop\"} ],\"nextCursor\":\"c\",\"_meta\":{\"big\":12345678901234567890.5} } }\r\n";

async fn listed() -> (Gate, Upstream) {
    let upstream = Upstream::start().await;
    let gate = Setup::policy(POLICY).before(upstream.addr).await;
    (gate, upstream)
}

fn holds_no_secret(answer: &Answer) {
    let text = answer.text();
    assert!(
        !text.contains("secret_plan") && !text.contains("unlisted"),
        "{text}"
    );
}

#[tokio::test]
async fn a_json_list_loses_hidden_and_unlisted_tools_and_no_other_byte() {
    let (gate, upstream) = listed().await;
    upstream.next(vec![Step::Send(upstream::json(ALL))]);
    let answer = gate.ask(&post(LIST)).await;
    assert_eq!((answer.status, answer.text()), (200, CUT.to_owned()));
}

#[tokio::test]
async fn an_unfiltered_list_passes_byte_for_byte() {
    let (gate, upstream) = listed().await;
    let plain =
        " {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[{\"name\":\"run\"} , {\"name\":\"drop\"}]}}\n";
    upstream.next(vec![Step::Send(upstream::json(plain))]);
    assert_eq!(gate.ask(&post(LIST)).await.text(), plain);
}

#[tokio::test]
async fn a_list_in_an_event_stream_is_cut_event_by_event() {
    let (gate, upstream) = listed().await;
    let data = ALL.trim_end();
    let asked = [
        post(LIST),
        request("GET", ""),
        request("GET", "").header("Last-Event-ID", "3"),
        post(r#"{"jsonrpc":"2.0","id":1,"method":"tasks/result","params":{"taskId":"t"}}"#),
        post(r#"{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{}}"#),
        post(r#"{"jsonrpc":"2.0","id":9,"result":{}}"#),
    ];
    for asked in asked {
        let before = "id: 7\nretry: 100\ndata:\n\n";
        let list = format!("event: message\nid: 8\ndata: {data}\n\n");
        let after = ": ping\n\nevent: ping\ndata: 2026-11-22 10:00\n\nevent: notice\ndata: /message?x=1\n\n";
        upstream.next(vec![Step::Send(events(&[before, &list, after]))]);
        let answer = gate.ask(&asked).await;
        let expected = format!(
            "{before}event: message\nid: 8\ndata: {}\n\n{after}",
            CUT.trim_end()
        );
        assert_eq!((answer.status, answer.text()), (200, expected), "{asked:?}");
    }
}

#[tokio::test]
async fn a_list_that_comes_in_small_pieces_is_never_passed_in_part() {
    let (gate, upstream) = listed().await;
    let event = format!("data: {}\r\r", ALL.trim_end());
    let mut steps = vec![Step::Send(stream_head(""))];
    steps.extend(
        event
            .as_bytes()
            .chunks(7)
            .map(|piece| Step::Send(chunk(std::str::from_utf8(piece).unwrap()))),
    );
    steps.push(Step::Send(LAST_CHUNK.to_vec()));
    upstream.next(steps);
    let answer = gate.ask(&request("GET", "")).await;
    assert_eq!(answer.text(), format!("data: {}\r\r", CUT.trim_end()));
    // and one that the stream never finished is no event
    upstream.next(vec![Step::Send(events(&[&format!(
        "data: {}\n",
        ALL.trim_end()
    )]))]);
    assert_eq!(gate.ask(&request("GET", "")).await.text(), "");
}

#[tokio::test]
async fn a_list_in_the_result_of_a_task_or_a_batch_is_cut() {
    let (gate, upstream) = listed().await;
    let result = post(r#"{"jsonrpc":"2.0","id":1,"method":"tasks/result","params":{"taskId":"t"}}"#);
    for body in [
        ALL.to_owned(),
        format!("[{{\"jsonrpc\":\"2.0\",\"method\":\"x\"}},{}]", ALL.trim_end()),
    ] {
        upstream.next(vec![Step::Send(upstream::json(&body))]);
        let answer = gate.ask(&result).await;
        assert_eq!(answer.text(), body.replace(ALL.trim_end(), CUT.trim_end()));
    }
}

#[tokio::test]
async fn what_may_hold_a_list_and_cannot_be_read_without_doubt_fails_closed() {
    let kind = ("Content-Type", "application/json");
    let twice = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[],"tools":[{"name":"secret_plan"}]}}"#;
    let folded = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[],"Tools":[{"name":"secret_plan"}]}}"#;
    let lists: &[(&[(&str, &str)], &str)] = &[
        (&[kind, ("Content-Encoding", "gzip")], ALL),
        (
            &[kind, ("Content-Encoding", "identity"), ("Content-Encoding", "br")],
            ALL,
        ),
        (&[kind], twice),
        (&[kind], folded),
        (&[kind], "{\"result\":{\"tools\":[{\"name\":\"secret_plan\"}]}"),
        (&[kind], "\"secret_plan\""),
        (
            &[],
            "data: {\"result\":{\"tools\":[{\"name\":\"secret_plan\"}]}}\n\n",
        ),
        (
            &[("Content-Type", "text/plain")],
            "data: {\"result\":{\"tools\":[{\"name\":\"secret_plan\"}]}}\n\n",
        ),
        (
            &[("Content-Type", "text/event-stream"), kind],
            "{\"x\":\n\n{},\"result\":{\"tools\":[{\"name\":\"secret_plan\"}]}}\n\n",
        ),
        (
            &[kind],
            "\u{feff}{\"result\":{\"tools\":[{\"name\":\"secret_plan\"}]}}",
        ),
    ];
    for (headers, body) in lists {
        let (gate, upstream) = listed().await;
        upstream.keeps_answering(vec![Step::Send(upstream::answer(
            "200 OK",
            headers,
            body.as_bytes(),
        ))]);
        let answer = gate.ask(&post(LIST)).await;
        let json = answer.json();
        assert_eq!(
            (answer.status, &json["id"], &json["error"]["code"]),
            (200, &json!(1), &json!(502)),
            "{headers:?} {body}"
        );
        assert!(
            json["error"]["message"]
                .as_str()
                .unwrap()
                .contains("was forwarded"),
            "{json}"
        );
        holds_no_secret(&answer);
        let stream = gate.ask(&request("GET", "")).await;
        assert_eq!(stream.status, 502, "{headers:?} {body}");
        holds_no_secret(&stream);
        assert_eq!(gate.ended().await[0]["outcome"], "upstream_error");
    }
}

#[tokio::test]
async fn an_event_that_cannot_be_read_without_doubt_cuts_the_stream() {
    let (gate, upstream) = listed().await;
    for data in [
        r#"{"result":{"tools":[],"tools":[{"name":"secret_plan"}]}}"#,
        r#"{"result":{"tools":[{"name":"secret_plan"}]}"#,
        "not json secret_plan",
    ] {
        upstream.next(vec![Step::Send(events(&[
            "data: {\"jsonrpc\":\"2.0\",\"method\":\"first\"}\n\n",
            &format!("data: {data}\n\n"),
        ]))]);
        let mut client = gate.client().await;
        client.send(&request("GET", "").bytes()).await;
        let whole = String::from_utf8(client.rest().await).unwrap();
        assert!(
            whole.contains("first") && !whole.contains("secret_plan") && !whole.ends_with("0\r\n\r\n"),
            "{whole}"
        );
    }
    // a list under another event name is cut too
    upstream.next(vec![Step::Send(events(&[&format!(
        "event: other\ndata: {}\n\n",
        ALL.trim_end()
    )]))]);
    holds_no_secret(&gate.ask(&request("GET", "")).await);
}

#[tokio::test]
async fn a_list_above_the_cap_fails_closed_and_calls_above_it_stream() {
    let upstream = Upstream::start().await;
    let gate = Setup::policy(POLICY)
        .settings("limits: { max_list_bytes: 2000 }")
        .before(upstream.addr)
        .await;
    let large = format!(
        r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{{"name":"run"}}],"pad":"{}"}}}}"#,
        "x".repeat(2000)
    );
    upstream.next(vec![Step::Send(upstream::json(&large))]);
    let answer = gate.ask(&post(LIST)).await;
    assert_eq!(answer.json()["error"]["code"], 502);
    assert!(answer.text().contains("max_list_bytes"), "{}", answer.text());
    let large = large.replace("tools", "content");
    upstream.next(vec![Step::Send(upstream::json(&large))]);
    assert_eq!(gate.ask(&call("run")).await.text(), large);
    // an event that never ends is cut when it is above the cap, and the upstream is let go
    let never = Latch::new();
    upstream.next(vec![
        Step::Send(stream_head("")),
        Step::Send(chunk("data: {}\n\n")),
        Step::Send(chunk(&format!("data: {}", "x".repeat(2500)))),
        Step::Wait(never),
    ]);
    let mut client = gate.client().await;
    client.send(&request("GET", "").bytes()).await;
    let whole = String::from_utf8(client.rest().await).unwrap();
    assert!(whole.contains("data: {}") && !whole.contains("xxx"), "{whole}");
    crate::wire::until(|| upstream.aborted() == 1).await;
}

#[tokio::test]
async fn a_filtered_list_in_the_current_revision_may_not_be_shared_or_kept() {
    let (gate, upstream) = listed().await;
    let body = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"run"},{"name":"secret_plan"}],"ttlMs":86400000,"cacheScope":"public"}}"#;
    let modern = post(LIST).header("MCP-Protocol-Version", "2026-07-28");
    upstream.next(vec![Step::Send(upstream::json(body))]);
    let result = gate.ask(&modern).await.json()["result"].clone();
    assert_eq!(
        (&result["cacheScope"], &result["ttlMs"]),
        (&json!("private"), &json!(1000))
    );
    assert_eq!(result["tools"], json!([{"name": "run"}]));
    upstream.next(vec![Step::Send(upstream::json(ALL))]);
    let result = gate.ask(&modern).await.json()["result"].clone();
    assert_eq!(
        (&result["cacheScope"], &result["ttlMs"]),
        (&json!("private"), &json!(1000))
    );
    upstream.next(vec![Step::Send(events(&[&format!("data: {body}\n\n")]))]);
    let text = gate.ask(&modern).await.text();
    assert!(
        text.contains("\"cacheScope\":\"private\"") && text.contains("\"ttlMs\":1000"),
        "{text}"
    );
    // older revisions know neither
    upstream.next(vec![Step::Send(upstream::json(ALL))]);
    assert!(!gate.ask(&post(LIST)).await.text().contains("cacheScope"));
}

#[tokio::test]
async fn answers_that_carry_no_message_pass_as_they_came() {
    let (gate, upstream) = listed().await;
    let page = |status, kind: &'static str, body: &'static str| {
        let headers: Vec<_> = [("Content-Type", kind)]
            .into_iter()
            .filter(|(_, kind)| !kind.is_empty())
            .collect();
        vec![Step::Send(upstream::answer(status, &headers, body.as_bytes()))]
    };
    for (asked, reply, status, body) in [
        (
            post(LIST),
            page("503 Unavailable", "text/html", "<h1>down</h1>"),
            503,
            "<h1>down</h1>",
        ),
        (
            post(LIST),
            page("404 Not Found", "application/json", "{\"error\":1}"),
            404,
            "{\"error\":1}",
        ),
        (
            post(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#),
            page("202 Accepted", "", "Accepted"),
            202,
            "Accepted",
        ),
        (
            post(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#),
            page("202 Accepted", "text/plain", "ok"),
            202,
            "ok",
        ),
        (
            request("GET", ""),
            page("405 Method Not Allowed", "text/plain", "no stream"),
            405,
            "no stream",
        ),
        (
            request("GET", ""),
            page("405 Method Not Allowed", "", ""),
            405,
            "",
        ),
        (post(LIST), page("200 OK", "application/json", ""), 200, ""),
    ] {
        upstream.next(reply);
        let answer = gate.ask(&asked).await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (status, body),
            "{asked:?}"
        );
    }
}
