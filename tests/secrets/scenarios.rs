//! What is tried: a table, with what its lines are made of.

use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::support::mcp::Caller;
use crate::{ARGUMENT, MARK, TOKEN};

/// What happens in one gate.
pub struct Scenario {
    pub name: &'static str,
    pub policy: Value,
    /// Further keys of the server.
    pub server: Value,
    /// Further keys of the settings.
    pub settings: Vec<(&'static str, Value)>,
    pub upstream: Upstream,
    pub send: Vec<Vec<u8>>,
    /// In a log line, a decision or an answer: shows that what is meant has happened.
    pub happened: &'static str,
}

/// What the server does.
#[derive(Clone, Copy)]
pub enum Upstream {
    Good,
    /// Nobody listens.
    Down,
    /// Asked over TLS, which it does not speak.
    NoTls,
    /// Asked through the egress proxy, which is down.
    Elsewhere,
    /// Answers with this status, and headers and a text that hold the mark.
    Echoes(&'static str),
}

pub fn base(name: &'static str, send: Vec<Vec<u8>>, happened: &'static str) -> Scenario {
    Scenario {
        name,
        policy: json!({ "version": "1", "default": "allow" }),
        server: json!({ "headers": { "Authorization": { "env": "UPSTREAM_KEY" } } }),
        settings: vec![("session_key", json!({ "env": "SESSION_KEY" }))],
        upstream: Upstream::Good,
        send,
        happened,
    }
}

fn caller(token: &str) -> Caller {
    Caller::new("http://127.0.0.1/mcp/s", token)
}

fn call() -> Vec<u8> {
    caller(TOKEN).current_request(
        "run",
        &json!({ "secret": ARGUMENT, "deep": [{ "x": ARGUMENT }] }),
        1,
    )
}

fn post(headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    caller(TOKEN).request("POST", headers, body.as_bytes())
}

fn tools(entry: Value) -> Value {
    json!({ "version": "1", "default": "deny", "tools": { "run": entry } })
}

fn limit(max: u64) -> Value {
    json!({ "counter": "runs", "window": "hour", "max": max })
}

#[allow(clippy::too_many_lines, reason = "a table reads best in one piece")]
pub fn scenarios() -> Vec<Scenario> {
    let with_token = |token: &str| caller(token).current_request("run", &json!({ "secret": ARGUMENT }), 1);
    let jwt = format!(
        "{}.{}.{MARK}",
        BASE64.encode(b"{\"alg\":\"none\"}"),
        BASE64.encode(b"{\"sub\":\"zqmark\"}")
    );
    let long = format!("{}{ARGUMENT}", "x".repeat(3_000));
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    vec![
        base("a call that is allowed", vec![call()], "\"allowed\""),
        Scenario {
            policy: tools(json!({ "action": "require_approval" })),
            settings: vec![(
                "approvals",
                json!({ "hold_ms": 0, "key": { "env": "APPROVALS_KEY" } }),
            )],
            ..base(
                "a call that waits for a person",
                vec![call()],
                "\"needs_approval\"",
            )
        },
        base(
            "a bad token",
            vec![with_token("zqmark-stranger")],
            "\"unauthenticated\"",
        ),
        base(
            "a token that looks like a JWT",
            vec![with_token(&jwt)],
            "\"unauthenticated\"",
        ),
        base(
            "two credentials",
            vec![post(&[("Authorization", "Basic enFtYXJr")], ping)],
            "HTTP 400",
        ),
        Scenario {
            policy: tools(json!({ "action": "deny", "reason": "no runs" })),
            ..base("denied by a rule", vec![call()], "no runs")
        },
        Scenario {
            policy: tools(
                json!({ "deny_if": [{ "conditions": [{ "path": "args.secret", "op": "eq", "value": ARGUMENT }], "on_deny": "not this one" }] }),
            ),
            ..base(
                "denied by a condition on the argument",
                vec![call()],
                "not this one",
            )
        },
        Scenario {
            policy: tools(
                json!({ "arguments": { "type": "object", "properties": { "secret": { "enum": ["a"] } } } }),
            ),
            ..base("an argument that the schema refuses", vec![call()], "\"denied\"")
        },
        Scenario {
            policy: json!({ "version": "1", "default": "deny" }),
            ..base("a tool that does not exist", vec![call()], "\"hidden\"")
        },
        Scenario {
            policy: json!({ "version": "1", "default": "allow", "hide": ["run"] }),
            ..base("a hidden tool", vec![call()], "\"hidden\"")
        },
        Scenario {
            policy: tools(json!({ "limits": [limit(1)] })),
            ..base("limited", vec![call(), call()], "\"limited\"")
        },
        Scenario {
            policy: json!({ "version": "1", "default": "allow", "mode": "shadow", "tools": { "run": { "action": "deny" } } }),
            ..base("in shadow", vec![call()], "\"shadow\"")
        },
        base(
            "no JSON",
            vec![post(&[], &format!("{{\"jsonrpc\": {ARGUMENT}"))],
            "not valid JSON",
        ),
        base(
            "a key that stands twice",
            vec![post(
                &[],
                &format!(r#"{{"jsonrpc":"2.0","id":"{ARGUMENT}","id":1}}"#),
            )],
            "same key twice",
        ),
        base(
            "headers that lie",
            vec![post(
                &[
                    ("MCP-Protocol-Version", "2026-07-28"),
                    ("Mcp-Method", "ping"),
                    ("Mcp-Name", ARGUMENT),
                ],
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"run"}}"#,
            )],
            "headers and body disagree",
        ),
        base(
            "a compressed body",
            vec![post(&[("Content-Encoding", "gzip")], ARGUMENT)],
            "encoded body",
        ),
        base(
            "a session of nobody's",
            vec![post(&[("Mcp-Session-Id", "zqmark.zqmark")], ping)],
            "not given",
        ),
        Scenario {
            settings: vec![("limits", json!({ "body_bytes": 1024 }))],
            ..base(
                "a body that is too large",
                vec![post(&[], &long)],
                "body too large",
            )
        },
        base(
            "a name that is too long",
            vec![post(
                &[],
                &format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{long}"}}"#),
            )],
            "more than 1024 bytes",
        ),
        Scenario {
            upstream: Upstream::Down,
            ..base("an upstream that is down", vec![call()], "\"upstream_error\"")
        },
        Scenario {
            upstream: Upstream::NoTls,
            ..base("an upstream without TLS", vec![call()], "\"upstream_error\"")
        },
        Scenario {
            upstream: Upstream::Elsewhere,
            ..base("an egress proxy that is down", vec![call()], "opens no tunnel")
        },
        Scenario {
            upstream: Upstream::Echoes("302 Found"),
            ..base("an upstream that redirects", vec![call()], "redirects")
        },
        Scenario {
            upstream: Upstream::Echoes("101 Switching Protocols"),
            ..base("an upstream that switches", vec![call()], "upstream_error")
        },
        Scenario {
            settings: vec![(
                "counters",
                json!({ "store": "redis", "url": "redis://:zqmark-password@127.0.0.1:1/", "deadline_ms": 200 }),
            )],
            policy: tools(json!({ "limits": [limit(1)] })),
            ..base("a store that is down", vec![call()], "\"store_error\"")
        },
        Scenario {
            server: json!({ "oauth": { "token_url": "http://127.0.0.1:1/token", "client_id": "c", "client_secret": { "env": "OAUTH_SECRET" } } }),
            ..base("a token server that is down", vec![call()], "no credentials")
        },
        Scenario {
            server: json!({ "headers": { "Authorization": { "env": "UPSTREAM_KEY" } }, "idle_timeout_ms": 200 }),
            ..base(
                "a stream",
                vec![caller(TOKEN).request(
                    "GET",
                    &[("Accept", "text/event-stream"), ("Last-Event-ID", ARGUMENT)],
                    b"",
                )],
                "\"GET\"",
            )
        },
        base(
            "two lengths",
            vec![post(&[("Transfer-Encoding", "chunked")], ARGUMENT)],
            "HTTP 400",
        ),
    ]
}
