//! Browsers, probes and metrics.

use serde_json::json;

use crate::redis_server::RedisServer;
use crate::wire::CI;
use crate::wire::client::{call, post, request};
use crate::wire::gate::Setup;
use crate::wire::relay::Relay;
use crate::wire::upstream::{self, Step, Upstream};

const ORIGIN: &str = "http://app.example:3000";

#[tokio::test]
async fn a_preflight_of_an_allowed_origin_is_answered_without_a_token() {
    let upstream = Upstream::start().await;
    let gate = Setup::default()
        .settings(&format!("allowed_origins: ['{ORIGIN}']"))
        .before(upstream.addr)
        .await;
    let preflight = request("OPTIONS", "")
        .without("Authorization")
        .header("Origin", ORIGIN)
        .header("Access-Control-Request-Method", "POST")
        .header(
            "Access-Control-Request-Headers",
            "authorization,mcp-protocol-version",
        );
    let answer = gate.ask(&preflight).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN));
    assert_eq!(
        answer.header("access-control-allow-headers"),
        Some("authorization,mcp-protocol-version")
    );
    assert!(
        answer
            .header("access-control-allow-methods")
            .unwrap()
            .contains("DELETE")
    );
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    assert_eq!(
        gate.ask(&preflight.clone().with("Origin", "http://app.example:3001"))
            .await
            .status,
        403
    );
    assert_eq!(gate.ask(&preflight.to("/mcp/nothing")).await.status, 404);
    assert_eq!(upstream.accepted(), 0);
}

#[tokio::test]
async fn a_browser_can_read_answers_refusals_and_the_session_id() {
    let upstream = Upstream::start().await;
    let gate = Setup::two_runs()
        .settings(&format!("allowed_origins: ['{ORIGIN}']"))
        .before(upstream.addr)
        .await;
    let headers = [
        ("Access-Control-Allow-Origin", "*"),
        ("Access-Control-Expose-Headers", "X"),
        ("Mcp-Session-Id", "a"),
    ];
    upstream.next(vec![Step::Send(upstream::answer("200 OK", &headers, b"{}"))]);
    for asked in [
        call("run"),
        call("run").token("nobody"),
        call("run").to("/mcp/x"),
        post("{"),
    ] {
        let answer = gate.ask(&asked.header("Origin", ORIGIN)).await;
        assert_eq!(
            answer.all("access-control-allow-origin"),
            [ORIGIN],
            "{}",
            answer.head
        );
        let exposed = answer.all("access-control-expose-headers");
        assert_eq!(exposed.len(), 1);
        for name in ["Mcp-Session-Id", "RateLimit", "Retry-After", "WWW-Authenticate"] {
            assert!(exposed[0].contains(name), "{exposed:?}");
        }
        assert!(answer.all("vary").iter().any(|vary| vary.contains("Origin")));
    }
    assert_eq!(
        gate.ask(&call("run")).await.header("access-control-allow-origin"),
        None
    );
}

#[tokio::test]
async fn the_address_of_a_loopback_gate_is_no_foreign_origin() {
    let upstream = Upstream::start().await;
    let gate = Setup::default().before(upstream.addr).await;
    let own = format!("http://{}", gate.proxy);
    let asked = call("run").with("Host", &gate.proxy.to_string());
    let from = |origin: &str| asked.clone().header("Origin", origin);
    assert_eq!(gate.ask(&from(&own)).await.status, 200);
    assert_eq!(gate.ask(&from("http://127.0.0.1:1")).await.status, 403);
    let rebound = from("http://evil.example").with("Host", "evil.example");
    assert_eq!(gate.ask(&rebound).await.status, 403);
    assert_eq!(upstream.count(), 1, "a refused request was forwarded");
}

#[tokio::test]
async fn each_enforced_limit_of_the_grant_is_told_and_shared_ones_are_not() {
    let policy = r#"{"version":"1","default":"allow",
        "all_tools":{"limits":[{"counter":"all","window":"hour","max":5},{"counter":"srv","window":60,"max":9,"scope":"server"}]},
        "tools":{"run":{"limits":[{"counter":"runs","window":"minute","max":2}]}}}"#;
    let upstream = Upstream::start().await;
    let gate = Setup::policy(policy).before(upstream.addr).await;
    upstream.next(vec![Step::Send(upstream::answer(
        "200 OK",
        &[("RateLimit", "\"own\";r=1")],
        b"{}",
    ))]);
    let answer = gate.ask(&call("run")).await;
    assert_eq!(
        answer.header("ratelimit-policy"),
        Some(r#""runs";q=2;w=60, "all";q=5;w=3600"#)
    );
    let told = answer.all("ratelimit").join(", ");
    assert!(
        told.contains("\"runs\";r=1;t=")
            && told.contains("\"all\";r=4;t=")
            && told.contains("\"own\"")
            && !told.contains("srv"),
        "{told}"
    );
    let free = gate.ask(&call("free")).await;
    assert_eq!(free.header("ratelimit-policy"), Some(r#""all";q=5;w=3600"#));
    let list = gate
        .ask(&post(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#))
        .await;
    assert_eq!(
        (list.header("ratelimit"), list.header("ratelimit-policy")),
        (None, None)
    );
}

#[tokio::test]
async fn probes_answer_get_only_and_readiness_tells_how_the_store_is() {
    let redis = RedisServer::start();
    let relay = Relay::to(format!("127.0.0.1:{}", redis.port).parse().unwrap()).await;
    let upstream = Upstream::start().await;
    let gate = Setup::two_runs()
        .redis(relay.addr, 200)
        .before(upstream.addr)
        .await;
    assert_eq!(
        (
            gate.admin("/livez").await.status,
            gate.admin("/readyz").await.status
        ),
        (200, 200)
    );
    let start = std::time::Instant::now();
    while gate.admin("/readyz").await.json() != json!({"status": "ready", "store": "up"}) {
        assert!(start.elapsed().as_secs() < 5);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    relay.cut();
    let down = gate.admin("/readyz").await;
    assert_eq!(
        (down.status, &down.json()["store"]),
        (200, &json!("down")),
        "a store that is down takes no replica out"
    );
    assert_eq!(gate.admin("/livez").await.status, 200);
    assert_eq!(gate.admin("/nothing").await.status, 404);
    let mut client = crate::wire::client::Client::connect(gate.admin).await;
    assert_eq!(client.ask(&post("{}").to("/metrics")).await.status, 405);
}

#[tokio::test]
async fn metrics_count_decisions_and_show_neither_grants_nor_invented_names() {
    let policy = r#"{"version":"1","default":"allow","tools":{"run":{"limits":[{"counter":"runs","window":"hour","max":1}]}}}"#;
    let upstream = Upstream::start().await;
    let gate = Setup::policy(policy).before(upstream.addr).await;
    upstream.next(vec![Step::Send(upstream::json(
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"from_the_list"}]}}"#,
    ))]);
    gate.ask(&post(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#))
        .await;
    for tool in ["run", "run", "from_the_list", "invented\\\"}", "invented_2"] {
        gate.ask(&call(tool)).await;
    }
    gate.ask(&post(r#"{"jsonrpc":"2.0","id":1,"method":"invented/method"}"#))
        .await;
    gate.ask(&call("run").token("nobody")).await;
    gate.ask(&call("run").to("/mcp/invented_server")).await;
    upstream.next(vec![Step::Close]);
    gate.ask(&call("invented_3")).await;
    let decisions = |tool: &str, outcome: &str| {
        format!(r#"toolgate_decisions_total{{mode="enforce",outcome="{outcome}",server="s",tool="{tool}"}}"#)
    };
    for (tool, outcome, count) in [
        ("run", "allowed", 1),
        ("run", "limited", 1),
        ("from_the_list", "allowed", 1),
        ("_other", "allowed", 2),
        ("_none", "allowed", 2),
        ("_none", "unauthenticated", 1),
        ("_other", "upstream_error", 1),
    ] {
        assert_eq!(
            gate.metric(&decisions(tool, outcome)).await,
            count,
            "{tool} {outcome}"
        );
    }
    let text = gate.admin("/metrics").await.text();
    for absent in ["invented", "\"ci\"", CI, "nobody", "grant="] {
        assert!(!text.contains(absent), "{absent}: {text}");
    }
    for present in [
        "toolgate_build_info{version=",
        "toolgate_store_seconds_bucket",
        "toolgate_in_flight{server=\"s\"} 0",
        "toolgate_upstream_seconds_count{server=\"s\"}",
    ] {
        assert!(text.contains(present), "{present}: {text}");
    }
}

#[tokio::test]
async fn unknown_tokens_are_all_counted_and_sampled_in_the_record() {
    let upstream = Upstream::start().await;
    let gate = Setup::default().before(upstream.addr).await;
    let mut client = gate.client().await;
    for _ in 0..300 {
        assert_eq!(client.ask(&call("run").token("nobody")).await.status, 401);
    }
    let counted =
        r#"toolgate_decisions_total{mode="enforce",outcome="unauthenticated",server="s",tool="_none"}"#;
    assert_eq!(gate.metric(counted).await, 300);
    let lines = gate.ended().await.len();
    assert!((10..=150).contains(&lines), "{lines} lines");
}
