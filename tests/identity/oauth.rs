//! The official clients find their way: from a 401 by the metadata to an authorization server, and back with a token
//! to a call that works.

use serde_json::json;

use crate::support::clients::{self, Sdk};
use crate::support::gate::{Gate, Setup, limited};
use crate::support::servers::{AuthorizationServer, Era, Fixture};

const MAX: usize = 2;

fn gate(fixture: &Fixture, authorization: &AuthorizationServer) -> Gate {
    Setup::new()
        .server("fixture", &fixture.url)
        .server_key("fixture", "scopes", json!(["mcp:run"]))
        .policy("p", limited("start_run", MAX as u64, json!("minute")))
        .key("issuers", json!({ "as": { "issuer": authorization.issuer } }))
        // a client that waits for its turn on a busy machine keeps its connection
        .key("limits", json!({ "header_timeout_ms": 60_000 }))
        .entry(json!({
            "id": "oauth:{sub}:{client_id}", "jwt": { "issuer": "as", "claims": { "scope": "mcp:run" } },
            "server": "fixture", "policy": "p",
        }))
        .start()
}

async fn clients_find_their_way(era: Era, sdks: &[Sdk]) {
    let (fixture, authorization) = (Fixture::start(era), AuthorizationServer::start());
    let gate = gate(&fixture, &authorization);
    let url = gate.url("fixture");
    let calls = json!([{ "tool": "start_run", "arguments": {}, "times": MAX + 1 }]);
    let running: Vec<_> = sdks
        .iter()
        .map(|&sdk| (sdk, clients::start_oauth(sdk, &url, &calls)))
        .collect();
    for (sdk, running) in running {
        let run = running.finish();
        assert_eq!(run.failure(), None, "{sdk:?}");
        let calls = run.calls();
        let (admitted, over) = calls.split_at(MAX);
        assert!(
            admitted.iter().all(|call| call.kind == "ok"),
            "{sdk:?}: {admitted:?}"
        );
        // each client registered by itself, and has a limit of its own
        assert_eq!(over[0].decision()["outcome"], "limited", "{sdk:?}: {over:?}");
    }
    assert_eq!(fixture.executions("start_run").await, (MAX * sdks.len()) as u64);
    let seen = authorization.seen().await;
    for asked in [&seen["authorized"], &seen["tokens"]] {
        let wanted = json!({ "resource": url, "scope": "mcp:run" });
        assert_eq!(
            asked,
            &json!(vec![wanted; sdks.len()]),
            "RFC 8707 and the scope of the challenge"
        );
    }
    // no client's token reached the server
    let requests = fixture.requests().await;
    assert!(!requests.is_empty());
    assert!(
        requests
            .iter()
            .all(|request| request["headers"].get("authorization").is_none())
    );
    let admitted = gate
        .decisions()
        .into_iter()
        .filter(|line| line["tool"] == "start_run" && line["outcome"] == "allowed");
    assert!(
        admitted
            .into_iter()
            .all(|line| line["grant"].as_str().unwrap().starts_with("oauth:ada:"))
    );
}

#[tokio::test]
async fn four_clients_get_a_token_where_the_gate_sends_them_and_call_with_it() {
    clients_find_their_way(Era::Session, &Sdk::ALL).await;
}

#[tokio::test]
async fn the_current_clients_do_so_without_sessions() {
    clients_find_their_way(Era::Current, &[Sdk::TypeScript2, Sdk::Python2]).await;
}
