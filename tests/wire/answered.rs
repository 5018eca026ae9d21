//! The table "Answered": what a caller is told, and that nothing reached the upstream.

use serde_json::json;

use crate::wire::client::{call, post};
use crate::wire::gate::{Gate, Setup};
use crate::wire::upstream::{self, Step, Upstream};
use crate::wire::{BARE, within};

pub const POLICY: &str = r#"{"version":"1","default":"deny","hide":["secret_*"],
  "tools":{"run":{"limits":[{"counter":"runs","window":"minute","max":1}]},
           "free":{}, "drop":{"action":"deny","reason":"Dropping tables is for people."},"secret_plan":{}}}"#;

pub async fn strict() -> (Gate, Upstream) {
    let upstream = Upstream::start().await;
    let gate = Setup::policy(POLICY).before(upstream.addr).await;
    (gate, upstream)
}

#[tokio::test]
async fn a_denied_call_is_a_tool_error_with_its_rule_and_never_reaches_the_upstream() {
    let (gate, upstream) = strict().await;
    let answer = gate.ask(&call("drop")).await;
    let text = answer.tool_error();
    assert!(
        text.contains("Dropping tables is for people.") && text.contains("not executed"),
        "{text}"
    );
    let decision = answer.decision();
    assert_eq!(
        (&decision["outcome"], &decision["executed"]),
        (&json!("denied"), &json!(false))
    );
    assert_eq!(decision["rule"], "/tools/drop/action");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(upstream.accepted(), 0);
    let records = gate.ended().await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["id"], decision["id"]);
}

#[tokio::test]
async fn a_limited_call_says_when_to_come_back() {
    let (gate, upstream) = strict().await;
    let first = gate.ask(&call("run")).await;
    assert!(first.ran());
    assert_eq!(first.header("ratelimit-policy"), Some(r#""runs";q=1;w=60"#));
    let left = first.header("ratelimit").unwrap();
    assert!(left.starts_with(r#""runs";r=0;t="#), "{left}");
    assert_eq!(first.header("retry-after"), None);

    let second = gate.ask(&call("run")).await;
    let text = second.tool_error();
    let ms = second.decision()["retryAfterMs"].as_u64().unwrap();
    let seconds = ms.div_ceil(1000);
    assert!((1..=61).contains(&seconds));
    assert_eq!(
        text,
        format!(
            "[POLICY DENIED] run: 1 call per minute for this grant is used up. Try again in {seconds} s. The call was not executed."
        )
    );
    assert_eq!(second.decision()["outcome"], "limited");
    assert_eq!(second.header("retry-after"), Some(seconds.to_string().as_str()));
    assert!(second.header("ratelimit").is_some() && second.header("ratelimit-policy").is_some());
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn hidden_and_unlisted_tools_look_as_if_they_did_not_exist() {
    let (gate, upstream) = strict().await;
    for tool in ["secret_plan", "nobody_names_this"] {
        let answer = gate.ask(&call(tool)).await;
        let expected = format!(
            r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":-32602,"message":"Unknown tool: {tool}"}}}}"#
        );
        assert_eq!((answer.status, answer.text()), (200, expected));
    }
    assert_eq!(upstream.accepted(), 0);
    let outcomes: Vec<_> = gate
        .ended()
        .await
        .iter()
        .map(|record| record["outcome"].clone())
        .collect();
    assert_eq!(outcomes, ["hidden", "hidden"]);
}

#[tokio::test]
async fn a_refusal_in_the_current_revision_says_that_the_result_is_complete() {
    let (gate, _upstream) = strict().await;
    let legacy = gate.ask(&call("drop")).await.json();
    assert_eq!(legacy["result"].get("resultType"), None);
    let modern = gate
        .ask(&call("drop").header("MCP-Protocol-Version", "2026-07-28"))
        .await
        .json();
    assert_eq!(modern["result"]["resultType"], "complete");
    assert_eq!(modern["result"].get("structuredContent"), None);
}

#[tokio::test]
async fn the_id_of_a_refused_call_comes_back_byte_for_byte() {
    let (gate, _upstream) = strict().await;
    for id in [
        r#""a\u0062 \"c\"""#,
        "123456789012345678901234567890",
        "-7",
        r#""""#,
    ] {
        let body =
            format!(r#"{{"jsonrpc":"2.0","id": {id} ,"method":"tools/call","params":{{"name":"drop"}}}}"#);
        let text = gate.ask(&post(body)).await.text();
        assert!(
            text.starts_with(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result""#)),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_grant_without_a_policy_is_denied_every_call_and_sees_no_tool() {
    let upstream = Upstream::always(vec![Step::Send(upstream::json(
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a"}]}}"#,
    ))])
    .await;
    let gate = Setup::default().before(upstream.addr).await;
    let answer = gate.ask(&call("run").token(BARE)).await;
    assert!(answer.tool_error().contains("carries no policy"));
    let list = post(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#).token(BARE);
    assert_eq!(gate.ask(&list).await.json()["result"]["tools"], json!([]));
}

#[tokio::test]
async fn a_denied_notification_is_202_without_a_body_and_goes_nowhere() {
    let (gate, upstream) = strict().await;
    let cases = [
        r#"{"jsonrpc":"2.0","method":"resources/read","params":{"uri":"file:///x"}}"#,
        r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"free"}}"#,
        r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"drop"}}"#,
    ];
    for body in cases {
        let answer = gate.ask(&post(body)).await;
        assert_eq!((answer.status, answer.body.len()), (202, 0), "{body}");
    }
    assert_eq!(upstream.accepted(), 0);
    let records = gate.ended().await;
    assert_eq!(records.len(), cases.len());
    assert_eq!(
        (&records[1]["tool"], &records[1]["outcome"]),
        (&json!("free"), &json!("invalid"))
    );
}

#[tokio::test]
async fn a_denied_task_or_method_is_a_json_rpc_error_that_names_rule_and_remedy() {
    let (gate, upstream) = strict().await;
    let task = |tool: &str| {
        post(format!(
            r#"{{"jsonrpc":"2.0","id":"t","method":"tools/call","params":{{"name":"{tool}","task":{{"ttl":1}}}}}}"#
        ))
    };
    let denied = gate.ask(&task("drop")).await;
    let error = denied.json()["error"].clone();
    assert_eq!(
        (denied.status, &error["code"], &error["data"]["rule"]),
        (200, &json!(403), &json!("/tools/drop/action"))
    );
    assert!(gate.ask(&task("run")).await.ran());
    let limited = gate.ask(&task("run")).await.json()["error"].clone();
    assert_eq!(limited["code"], 429);
    assert!(limited["data"]["retryAfterMs"].as_u64().unwrap() > 0);

    for method in [
        "resources/read",
        "prompts/get",
        "completion/complete",
        "server/made_up",
        "Tools/call",
        "tools/call ",
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":3,"method":"{method}","params":{{}}}}"#);
        let answer = gate.ask(&post(body)).await;
        let json = answer.json();
        assert_eq!(
            (answer.status, &json["id"], &json["error"]["code"]),
            (200, &json!(3), &json!(403)),
            "{method}"
        );
        assert!(
            json["error"]["message"].as_str().unwrap().contains("default"),
            "{json}"
        );
    }
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn protocol_methods_and_answers_to_the_server_pass_under_default_deny() {
    let (gate, upstream) = strict().await;
    let methods = [
        "initialize",
        "ping",
        "server/discover",
        "tools/list",
        "resources/list",
        "prompts/list",
        "tasks/get",
        "tasks/cancel",
    ];
    for method in methods {
        let body = format!(r#"{{"jsonrpc":"2.0","id":3,"method":"{method}","params":{{}}}}"#);
        assert!(gate.ask(&post(body)).await.ran(), "{method}");
    }
    for body in [
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","id":5,"result":{"roots":[]}}"#,
        r#"{"jsonrpc":"2.0","id":5,"error":{"code":1,"message":"no"}}"#,
    ] {
        let answer = gate.ask(&post(body)).await;
        assert!(
            answer.status == 202 || answer.status == 200,
            "{body}: {}",
            answer.text()
        );
        assert_eq!(upstream.last().text(), body);
    }
}

#[tokio::test]
async fn other_methods_pass_where_the_policy_allows_by_default() {
    let upstream = Upstream::start().await;
    let gate = Setup::default().before(upstream.addr).await;
    assert!(
        gate.ask(&post(
            r#"{"jsonrpc":"2.0","id":3,"method":"resources/read","params":{"uri":"x:y"}}"#
        ))
        .await
        .ran()
    );
}

#[tokio::test]
async fn the_plain_path_is_the_only_servers() {
    let upstream = Upstream::start().await;
    let gate = Setup::default().before(upstream.addr).await;
    assert!(gate.ask(&call("x").to("/mcp")).await.ran());
    let two = Gate::start(
        Setup {
            second: Some(upstream.addr),
            ..Setup::default()
        },
        upstream.addr,
    )
    .await;
    assert_eq!(within(two.ask(&call("x").to("/mcp"))).await.status, 404);
}
