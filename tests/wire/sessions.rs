//! Sessions belong to a grant.

use crate::redis_server::RedisServer;
use crate::wire::client::{Answer, call, post, request};
use crate::wire::gate::{Gate, Setup};
use crate::wire::relay::Relay;
use crate::wire::upstream::{self, Step, Upstream};
use crate::wire::{ELSEWHERE, OTHER};

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;

fn with_session(id: &str) -> Vec<Step> {
    let headers = [("Content-Type", "application/json"), ("Mcp-Session-Id", id)];
    vec![Step::Send(upstream::answer(
        "200 OK",
        &headers,
        br#"{"jsonrpc":"2.0","id":0,"result":{}}"#,
    ))]
}

/// Opens a session of the upstream's under a grant's token; gives the id that the client got.
async fn open_session(gate: &Gate, upstream: &Upstream, token: &str, id: &str) -> String {
    upstream.next(with_session(id));
    let answer = gate.ask(&post(INITIALIZE).token(token)).await;
    assert_eq!(answer.status, 200);
    let ids = answer.all("mcp-session-id");
    assert_eq!(ids.len(), 1);
    ids[0].to_owned()
}

async fn call_in(gate: &Gate, session: &str) -> Answer {
    gate.ask(&call("run").header("Mcp-Session-Id", session)).await
}

#[tokio::test]
async fn the_client_gets_a_signed_id_and_the_upstream_sees_its_own() {
    let upstream = Upstream::start().await;
    let gate = Setup::default().before(upstream.addr).await;
    let id = open_session(&gate, &upstream, crate::wire::CI, "up.1-2_3").await;
    let signature = id.strip_prefix("up.1-2_3.").unwrap();
    assert!(signature.len() >= 22, "{signature}");
    assert!(call_in(&gate, &id).await.ran());
    assert_eq!(upstream.last().all("mcp-session-id"), ["up.1-2_3"]);
    let records = gate.ended().await;
    assert_eq!(records[0]["session"], serde_json::Value::Null);
    let shown = records[1]["session"].as_str().unwrap();
    assert!(shown.len() == 16 && !shown.contains("up"), "{shown}");
}

#[tokio::test]
async fn an_id_that_does_not_verify_is_404_and_never_reaches_the_upstream() {
    let upstream = Upstream::start().await;
    let second = Upstream::start().await;
    let gate = Gate::start(
        Setup {
            second: Some(second.addr),
            ..Setup::default()
        },
        upstream.addr,
    )
    .await;
    let mine = open_session(&gate, &upstream, crate::wire::CI, "abc").await;
    let theirs = open_session(&gate, &upstream, OTHER, "def").await;
    let signature = mine.strip_prefix("abc.").unwrap();
    let bad = [
        "abc".to_owned(),
        "invented".to_owned(),
        "abc.".to_owned(),
        theirs.clone(),
        format!("def.{signature}"),
        format!("{mine}x"),
        format!(" {mine}."),
        mine[..mine.len() - 1].to_owned(),
        mine.to_uppercase(),
    ];
    for id in &bad {
        for asked in [call("run"), request("GET", ""), request("DELETE", "")] {
            let answer = gate.ask(&asked.header("Mcp-Session-Id", id)).await;
            assert_eq!((answer.status, answer.json().get("id")), (404, None), "{id}");
            assert!(answer.text().contains("initialize again"));
        }
    }
    let elsewhere = call("run")
        .token(ELSEWHERE)
        .to("/mcp/t")
        .header("Mcp-Session-Id", &mine);
    assert_eq!(gate.ask(&elsewhere).await.status, 404);
    assert_eq!(
        (upstream.count(), second.count()),
        (2, 0),
        "only the two initialize calls"
    );
    assert!(call_in(&gate, &mine).await.ran());
}

#[tokio::test]
async fn get_and_delete_pass_with_the_right_id() {
    let upstream = Upstream::start().await;
    let gate = Setup::default().before(upstream.addr).await;
    let id = open_session(&gate, &upstream, crate::wire::CI, "abc").await;
    upstream.next(vec![Step::Send(upstream::events(&[
        "data: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n",
    ]))]);
    let stream = gate
        .ask(
            &request("GET", "")
                .header("Mcp-Session-Id", &id)
                .header("Last-Event-ID", "7"),
        )
        .await;
    assert_eq!((stream.status, stream.text().contains("\"x\"")), (200, true));
    let seen = upstream.last();
    assert_eq!(
        (seen.request_line(), seen.header("mcp-session-id")),
        ("GET /upstream/mcp HTTP/1.1", Some("abc"))
    );
    assert_eq!(
        seen.header("last-event-id"),
        Some("7"),
        "within a session a replay is the grant's own"
    );
    for reply in [
        upstream::answer("200 OK", &[], b""),
        upstream::answer("204 No Content", &[], b""),
        upstream::answer("200 OK", &[("Content-Type", "text/plain")], b"Session terminated"),
        upstream::answer("405 Method Not Allowed", &[("Content-Type", "text/plain")], b"no"),
    ] {
        upstream.next(vec![Step::Send(reply.clone())]);
        let answer = gate
            .ask(&request("DELETE", "").header("Mcp-Session-Id", &id))
            .await;
        assert!(
            String::from_utf8(reply)
                .unwrap()
                .contains(&answer.status.to_string()),
            "{}",
            answer.text()
        );
        assert_eq!(upstream.last().header("mcp-session-id"), Some("abc"));
    }
}

#[tokio::test]
async fn without_a_session_no_events_are_replayed() {
    let upstream = Upstream::start().await;
    let gate = Setup::default().before(upstream.addr).await;
    upstream.next(vec![Step::Send(upstream::events(&[]))]);
    gate.ask(&request("GET", "").header("Last-Event-ID", "7")).await;
    assert_eq!(upstream.last().header("last-event-id"), None);
}

#[tokio::test]
async fn replicas_that_share_a_redis_verify_each_others_ids() {
    let redis = RedisServer::start();
    let upstream = Upstream::start().await;
    let addr = format!("127.0.0.1:{}", redis.port).parse().unwrap();
    let one = Setup::default().redis(addr, 1000).before(upstream.addr).await;
    let two = Setup::default().redis(addr, 1000).before(upstream.addr).await;
    for gate in [&one, &two] {
        ready_to_sign(gate, &upstream).await;
    }
    let id = open_session(&one, &upstream, crate::wire::CI, "abc").await;
    assert!(call_in(&two, &id).await.ran());
    assert_eq!(
        two.ask(&call("run").token(OTHER).header("Mcp-Session-Id", &id))
            .await
            .status,
        404
    );
}

/// The key is agreed on in the background.
async fn ready_to_sign(gate: &Gate, upstream: &Upstream) {
    let start = std::time::Instant::now();
    loop {
        upstream.next(with_session("probe"));
        if gate.ask(&post(INITIALIZE)).await.status == 200 {
            return;
        }
        assert!(start.elapsed().as_secs() < 10, "no session key");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn replicas_with_one_configured_key_verify_each_others_ids_without_a_store() {
    let upstream = Upstream::start().await;
    let mut setup = Setup::default().settings("session_key: { env: KEY }");
    setup
        .env
        .insert("KEY".to_owned(), "0123456789abcdef0123456789abcdef".to_owned());
    let one = setup.clone().before(upstream.addr).await;
    let two = setup.clone().before(upstream.addr).await;
    setup
        .env
        .insert("KEY".to_owned(), "another key, as long as the first".to_owned());
    let stranger = setup.before(upstream.addr).await;
    let id = open_session(&one, &upstream, crate::wire::CI, "abc").await;
    assert!(call_in(&two, &id).await.ran());
    assert_eq!(call_in(&stranger, &id).await.status, 404);
}

#[tokio::test]
async fn until_the_key_is_known_sessions_are_503_and_afterwards_they_work() {
    let redis = RedisServer::start();
    let relay = Relay::to(format!("127.0.0.1:{}", redis.port).parse().unwrap()).await;
    relay.cut();
    let upstream = Upstream::start().await;
    let gate = Setup::default()
        .redis(relay.addr, 200)
        .before(upstream.addr)
        .await;
    upstream.next(with_session("abc"));
    let refused = gate.ask(&post(INITIALIZE)).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(refused.header("mcp-session-id"), None);
    // a session that another replica signed must not be ended by one that cannot judge it yet
    assert_eq!(call_in(&gate, "abc.AAAAAAAAAAAAAAAAAAAAAA").await.status, 503);
    assert_eq!(upstream.count(), 1);
    assert!(gate.ask(&call("run")).await.ran(), "what needs no session passes");
    relay.heal();
    ready_to_sign(&gate, &upstream).await;
    assert_eq!(call_in(&gate, "abc.AAAAAAAAAAAAAAAAAAAAAA").await.status, 404);
}

#[tokio::test]
async fn a_session_limit_counts_per_verified_session_and_per_grant_without_one() {
    let upstream = Upstream::start().await;
    let gate = Setup::runs(1, "session").before(upstream.addr).await;
    let one = open_session(&gate, &upstream, crate::wire::CI, "one").await;
    let two = open_session(&gate, &upstream, crate::wire::CI, "two").await;
    for id in [&one, &two] {
        assert!(call_in(&gate, id).await.ran());
        assert!(call_in(&gate, id).await.tool_error().contains("for this session"));
    }
    assert!(gate.ask(&call("run")).await.ran());
    for _ in 0..2 {
        assert!(
            gate.ask(&call("run"))
                .await
                .tool_error()
                .contains("for this grant")
        );
    }
    assert!(
        gate.ask(&call("run").token(OTHER)).await.ran(),
        "the other grant has its own"
    );
}
