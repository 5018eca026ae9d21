//! Ways round the gate, tried on the wire against a real server that counts what reaches it. Each case of the table
//! of refusals is sent as exact bytes; none may reach the server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test and its helpers a failed unwrap is a failed test"
)]

mod support;

use serde_json::{Value, json};
use support::gate::{Gate, Setup, limited};
use support::http::{Answer, exchange};
use support::mcp::{Caller, Session};
use support::servers::{Era, Fixture};

const TOKEN: &str = "tg_agent";
const BODY_CAP: usize = 64 * 1024;

fn setup(fixture: &Fixture) -> Setup {
    let mut policy = limited("start_run", 1, json!("hour"));
    policy["hide"] = json!(["secret-*"]);
    policy["tools"]["files/write"] = json!({ "action": "deny", "reason": "read only" });
    Setup::new()
        .server("fixture", &fixture.url)
        .policy("p", policy)
        .policy(
            "closed",
            json!({ "version": "1", "default": "deny", "tools": { "echo": {} } }),
        )
        .grant("agent", TOKEN, "fixture", "p")
        .grant("closed", "tg_closed", "fixture", "closed")
        .key("limits", json!({ "body_bytes": BODY_CAP }))
}

/// A gate in front of a fixture, a session through it, and how many requests had reached the fixture by then.
struct Scene {
    fixture: Fixture,
    gate: Gate,
    session: Session,
    reached: Value,
}

impl Scene {
    async fn open() -> Self {
        let fixture = Fixture::start(Era::Session);
        let gate = setup(&fixture).start();
        let session = gate.caller("fixture", TOKEN).open_session().await;
        let reached = fixture.state().await["requests"].clone();
        Self {
            fixture,
            gate,
            session,
            reached,
        }
    }

    fn headers(&self) -> Vec<(&str, &str)> {
        vec![
            ("MCP-Protocol-Version", "2025-11-25"),
            ("Mcp-Session-Id", &self.session.id),
        ]
    }

    async fn post(&self, more: &[(&str, &str)], body: &[u8]) -> Answer {
        let headers = [&self.headers(), more].concat();
        exchange(
            self.session.caller.address(),
            &self.session.caller.request("POST", &headers, body),
        )
        .await
    }

    async fn assert_nothing_reached_the_server(&self, what: &str) {
        let state = self.fixture.state().await;
        assert_eq!(state["requests"], self.reached, "{what} reached the server");
        assert_eq!(state["executions"], json!({}), "{what} ran a tool");
    }
}

fn call(tool: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": tool, "arguments": {} } })
}

const START: &str =
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"start_run","arguments":{}}}"#;

/// Members put before one of the call's own: two readers would pick different ones.
const AMBIGUOUS: [(&str, &str, &str); 10] = [
    ("a method given twice", "\"id\"", r#""method":"ping","id""#),
    (
        "an escaped duplicate method",
        "\"id\"",
        r#""m\u0065thod":"ping","id""#,
    ),
    ("params given twice", "\"id\"", r#""params":{"name":"echo"},"id""#),
    (
        "a tool named twice",
        "\"arguments\"",
        r#""name":"echo","arguments""#,
    ),
    ("an id given twice", "\"id\"", r#""id":2,"id""#),
    (
        "a request that is a response too",
        "\"id\"",
        r#""result":{},"id""#,
    ),
    ("a request that is an error too", "\"id\"", r#""error":{},"id""#),
    (
        "a method in other letter case",
        "\"method\"",
        r#""Method":"ping","method""#,
    ),
    (
        "a tool in other letter case",
        "\"name\"",
        r#""Name":"echo","name""#,
    ),
    ("a long s that folds to s", "\"id\"", r#""param\u017f":{},"id""#),
];

/// Members of `arguments` that servers read in different ways, or fall over.
const ARGUMENTS: [(&str, &str); 5] = [
    ("an argument given twice", r#""a":1,"a":2"#),
    ("an escaped duplicate argument", r#""a":1,"\u0061":2"#),
    ("a number out of range", r#""a":1e999"#),
    ("a lone surrogate", r#""a":"\ud800""#),
    ("not a number", r#""a":NaN"#),
];

fn ambiguous_bodies() -> Vec<(&'static str, String)> {
    let mut bodies = vec![
        ("a batch", format!("[{START}]")),
        (
            "an unfinished object",
            START.strip_suffix('}').unwrap().to_owned(),
        ),
        ("something after the object", format!("{START}{START}")),
        ("no JSON", "start_run".to_owned()),
        ("nothing", String::new()),
    ];
    bodies.extend(
        AMBIGUOUS
            .iter()
            .map(|(what, member, more)| (*what, START.replace(member, more))),
    );
    let with = |arguments: &str| START.replace("\"arguments\":{}", &format!("\"arguments\":{{{arguments}}}"));
    bodies.extend(ARGUMENTS.iter().map(|(what, arguments)| (*what, with(arguments))));
    let deep = format!("\"a\":{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    bodies.push(("a nesting of 5000", with(&deep)));
    bodies
}

#[tokio::test]
async fn bodies_that_could_be_read_in_two_ways_are_refused_before_the_server_sees_them() {
    let scene = Scene::open().await;
    for (what, body) in ambiguous_bodies() {
        assert_ne!(body, START, "{what}: the case changes nothing");
        let answer = scene.post(&[], body.as_bytes()).await;
        assert_eq!(answer.status, 400, "{what}: {}", answer.text());
        let message = answer.json();
        let code = message["error"]["code"].as_i64().unwrap();
        assert!(code == -32700 || code == -32600, "{what}: {message}");
        assert!(what != "a batch" || code == -32600, "{what}: {message}");
        assert_ne!(
            message.get("id"),
            Some(&Value::Null),
            "{what}: `id: null` hangs clients: {message}"
        );
        scene.assert_nothing_reached_the_server(what).await;
    }
}

#[tokio::test]
async fn encoded_bodies_are_refused_before_the_server_sees_them() {
    let body = call("start_run").to_string();
    let utf16: Vec<u8> = body.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let bom = [b"\xef\xbb\xbf", body.as_bytes()].concat();
    let scene = Scene::open().await;
    let gzip = scene.post(&[("Content-Encoding", "gzip")], body.as_bytes()).await;
    assert_eq!(gzip.status, 415, "{}", gzip.text());
    for (what, bytes) in [
        ("UTF-16", utf16),
        ("a byte order mark", bom),
        ("Latin-1", b"{\"\xe9\":1}".to_vec()),
    ] {
        let answer = scene.post(&[], &bytes).await;
        assert!(
            matches!(answer.status, 400 | 415),
            "{what}: {} {}",
            answer.status,
            answer.text()
        );
    }
    let typed = |kind: &str| {
        let text = String::from_utf8(
            scene
                .session
                .caller
                .request("POST", &scene.headers(), body.as_bytes()),
        )
        .unwrap();
        text.replace("Content-Type: application/json", &format!("Content-Type: {kind}"))
    };
    for kind in [
        "application/json; charset=utf-16",
        "application/json; charset=\"iso-8859-1\"",
    ] {
        let answer = exchange(&scene.gate.proxy, typed(kind).as_bytes()).await;
        assert_eq!(answer.status, 415, "{kind}: {}", answer.text());
    }
    scene.assert_nothing_reached_the_server("an encoded body").await;
}

#[tokio::test]
async fn a_call_is_judged_whatever_its_content_type_says() {
    let scene = Scene::open().await;
    for (count, kind) in ["APPLICATION/JSON", "text/plain; x=application/json", "text/plain"]
        .iter()
        .enumerate()
    {
        let request = scene.session.caller.request(
            "POST",
            &scene.headers(),
            call("files/write").to_string().as_bytes(),
        );
        let text = String::from_utf8(request).unwrap();
        let request = text.replace("Content-Type: application/json", &format!("Content-Type: {kind}"));
        let answer = exchange(&scene.gate.proxy, request.as_bytes()).await;
        assert_eq!(
            answer.json()["result"]["_meta"]["toolgate/decision"]["outcome"],
            "denied",
            "{kind}: {count}"
        );
    }
    scene.assert_nothing_reached_the_server("a denied call").await;
}

#[tokio::test]
async fn headers_that_disagree_with_the_body_are_refused_with_their_own_code() {
    let scene = Scene::open().await;
    let body = call("start_run").to_string();
    for lie in [
        ("Mcp-Name", "echo"),
        ("Mcp-Method", "tools/list"),
        ("Mcp-Method", "TOOLS/CALL"),
    ] {
        let answer = scene.post(&[lie], body.as_bytes()).await;
        assert_eq!(
            (answer.status, &answer.json()["error"]["code"]),
            (400, &json!(-32020)),
            "{lie:?}"
        );
    }
    scene.assert_nothing_reached_the_server("a lying header").await;
}

#[tokio::test]
async fn a_call_without_an_id_is_swallowed_and_recorded() {
    let scene = Scene::open().await;
    let mut message = call("start_run");
    message.as_object_mut().unwrap().remove("id");
    let answer = scene.session.post(&message).await;
    assert_eq!((answer.status, answer.body.len()), (202, 0));
    scene
        .assert_nothing_reached_the_server("a call without an id")
        .await;
    scene
        .gate
        .until_decisions("it is recorded", 1, |line| line["tool"] == "start_run")
        .await;
    // nothing was charged for it: the one call of the hour is still there
    assert_eq!(
        scene.session.call("start_run", &json!({})).await.outcome(),
        "executed"
    );
}

#[tokio::test]
async fn a_body_over_the_cap_is_refused_with_either_framing() {
    let scene = Scene::open().await;
    let mut message = call("echo");
    message["params"]["arguments"]["message"] = json!("x".repeat(BODY_CAP));
    let body = message.to_string();
    assert_eq!(scene.post(&[], body.as_bytes()).await.status, 413);
    let request = scene.session.caller.request("POST", &scene.headers(), b"");
    let head = String::from_utf8(request)
        .unwrap()
        .replace("Content-Length: 0", "Transfer-Encoding: chunked");
    let chunked = format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    assert_eq!(exchange(&scene.gate.proxy, chunked.as_bytes()).await.status, 413);
    scene
        .assert_nothing_reached_the_server("a body over the cap")
        .await;
}

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
