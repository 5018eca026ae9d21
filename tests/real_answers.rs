//! What a refused request is answered on the wire: ids, texts, notes, headers and codes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test and its helpers a failed unwrap is a failed test"
)]

mod support;

use serde_json::{Value, json};
use support::http::exchange;
use support::mcp::Caller;
use support::scene::{Scene, TOKEN, call, setup};
use support::servers::{Era, Fixture};

#[tokio::test]
async fn refused_calls_keep_their_raw_id_and_say_why() {
    let scene = Scene::open().await;
    for id in ["\"\\u0061b\"", "12345678901234567890", "-5", "\"\""] {
        let body = call("files/write")
            .to_string()
            .replace("\"id\":1", &format!("\"id\":{id}"));
        let answer = scene.post(&[], body.as_bytes()).await;
        assert_eq!(answer.status, 200, "{id}: {}", answer.text());
        assert!(
            answer.text().contains(&format!("\"id\":{id}")),
            "the id {id} changed: {}",
            answer.text()
        );
        assert!(answer.text().contains("read only"), "{}", answer.text());
    }
    let hidden = scene.post(&[], call("secret-show").to_string().as_bytes()).await;
    let error = &hidden.json()["error"];
    assert_eq!((hidden.status, &error["code"]), (200, &json!(-32602)));
    assert_eq!(error["message"], "Unknown tool: secret-show");
    scene.assert_nothing_reached_the_server("a denied call").await;
}

#[tokio::test]
async fn a_limited_call_tells_when_to_retry_in_text_note_and_headers() {
    let scene = Scene::open().await;
    let first = scene.session.call("start_run", &json!({})).await;
    assert_eq!(first.outcome(), "executed");
    assert!(
        first.header("ratelimit-policy").is_some() && first.header("ratelimit").is_some(),
        "{:?}",
        first.headers
    );
    let second = scene.session.call("start_run", &json!({})).await;
    assert_eq!(
        (second.status, second.outcome()),
        (200, "limited"),
        "{:?}",
        second.message
    );
    let wait_ms = second.decision()["retryAfterMs"].as_u64().unwrap();
    let wait_s: u64 = second.header("retry-after").unwrap().parse().unwrap();
    assert_eq!(wait_s, wait_ms.div_ceil(1_000));
    assert!(
        (3_590_000..=3_600_001).contains(&wait_ms),
        "{wait_ms} ms left of an hour"
    );
    assert!(second.header("ratelimit").is_some());
    assert!(
        second.text().contains("1 call per hour for this grant"),
        "{}",
        second.text()
    );
}

#[tokio::test]
async fn a_task_augmented_call_that_is_denied_gets_an_error_since_its_result_would_be_a_task() {
    let scene = Scene::open().await;
    let mut message = call("files/write");
    message["params"]["task"] = json!({ "ttl": 1000 });
    let answer = scene.session.post(&message).await;
    assert_eq!(
        (answer.status, &answer.json()["error"]["code"]),
        (200, &json!(403)),
        "{}",
        answer.text()
    );
    scene.assert_nothing_reached_the_server("a denied task").await;
}

#[tokio::test]
async fn methods_that_reach_server_code_follow_the_default() {
    let scene = Scene::open().await;
    let closed = scene.gate.caller("fixture", "tg_closed").open_session().await;
    let before = scene.fixture.state().await["requests"].clone();
    for method in [
        "resources/read",
        "prompts/get",
        "completion/complete",
        "vendor/unknown",
    ] {
        let message =
            json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": { "uri": "a:b", "name": "x" } });
        let answer = closed.post(&message).await;
        assert_eq!(
            (answer.status, &answer.json()["error"]["code"]),
            (200, &json!(403)),
            "{method}: {}",
            answer.text()
        );
        let notification = json!({ "jsonrpc": "2.0", "method": method });
        let silent = closed.post(&notification).await;
        assert_eq!(
            (silent.status, silent.body.len()),
            (202, 0),
            "{method}: {}",
            silent.text()
        );
    }
    assert_eq!(
        scene.fixture.state().await["requests"],
        before,
        "a closed method reached the server"
    );
    assert_eq!(
        closed.call("echo", &json!({ "message": "hi" })).await.text(),
        "Echo: hi"
    );
    let listed = closed
        .post(&json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" }))
        .await
        .json();
    let names: Vec<&Value> = listed["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| &tool["name"])
        .collect();
    assert_eq!(
        names,
        ["echo"],
        "a tool that nothing names is listed under `default: deny`"
    );
}

#[tokio::test]
async fn only_a_valid_token_for_this_server_opens_the_gate() {
    let fixture = Fixture::start(Era::Session);
    let gate = setup(&fixture)
        .server("second", &fixture.url)
        .grant("elsewhere", "tg_elsewhere", "second", "p")
        .entry(
            json!({ "id": "old", "token_sha256": support::gate::token_sha256("tg_old"), "server": "fixture",
            "policy": "p", "expires": "2020-01-01T00:00:00Z" }),
        )
        .start();
    let body = call("echo").to_string();
    for token in [
        "tg_nobody",
        "tg_elsewhere",
        "tg_old",
        "",
        &support::gate::token_sha256(TOKEN),
    ] {
        let caller = Caller::new(&gate.url("fixture"), token);
        let answer = exchange(&gate.proxy, &caller.request("POST", &[], body.as_bytes())).await;
        assert_eq!(answer.status, 401, "{token}: {}", answer.text());
        assert!(
            answer.header("www-authenticate").unwrap().starts_with("Bearer"),
            "{token}"
        );
        assert!(
            token.is_empty() || !answer.text().contains(token),
            "the answer repeats the token"
        );
        assert!(
            token.is_empty() || !format!("{}{}", gate.stdout(), gate.stderr()).contains(token),
            "a token is logged"
        );
    }
    assert_eq!(
        fixture.state().await["requests"],
        0,
        "a request without a grant reached the server"
    );
}
