//! Ways round the gate, tried as exact bytes against a real server that counts what reaches it: nothing may.

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
use support::scene::{BODY_CAP, Scene, call};

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
