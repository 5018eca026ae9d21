//! The one case in which a client's token goes upstream.

use serde_json::json;

use crate::issuer::{BY_SUBJECT, Issuer};
use crate::signer::Signer;
use crate::wire::CI;
use crate::wire::client::{Req, call, request};
use crate::wire::gate::{Gate, Setup, open};
use crate::wire::upstream::Upstream;

const RESOURCE: &str = "https://mcp.example/mcp";

/// A sidecar before an OAuth-protected server of that name.
async fn sidecar(issuer: &Issuer) -> (Gate, Upstream) {
    let audience = format!(", audience: ['{RESOURCE}', 'https://toolgate.example']");
    let setup = Setup::default()
        .server(&format!(", authorization: forward, resource: '{RESOURCE}'"))
        .settings(&issuer.settings(&audience))
        .grant(BY_SUBJECT);
    open(setup).await
}

#[tokio::test]
async fn a_token_for_this_very_server_is_passed_on_and_no_other() {
    let signer = Signer::p256("k");
    let issuer = Issuer::with_keys(&[&signer]).await;
    let (gate, upstream) = sidecar(&issuer).await;
    let token = |audience: &str| signer.token(&issuer.claims_for(audience, json!({})));
    let theirs = token(RESOURCE);
    let sent = async |request: Req| {
        let before = upstream.count();
        let status = gate.ask(&request).await.status;
        let seen = upstream.seen();
        let seen = seen.get(before);
        assert!(seen.is_none_or(|seen| seen.header("x-toolgate-grant").is_none()));
        (status, seen.map(|seen| seen.all("authorization").join(",")))
    };
    let passed = Some(format!("Bearer {theirs}"));
    // judged by its claims
    assert_eq!(sent(call("run").token(&theirs)).await, (200, passed.clone()));
    assert_eq!(gate.records(1).await[0]["grant"], "u:bob");
    // judged by the grant token beside it
    let beside = |token: &str, grant: &str| call("run").token(token).header("X-Toolgate-Grant", grant);
    assert_eq!(sent(beside(&theirs, CI)).await, (200, passed));
    assert_eq!(gate.records(2).await[1]["grant"], "ci");
    // taken, but not for this server: it stays here
    let nothing = Some(String::new());
    assert_eq!(
        sent(call("run").token(&token("https://toolgate.example"))).await,
        (200, nothing.clone())
    );
    // a token of the gate's own stays here too
    assert_eq!(sent(call("run").token(CI)).await, (200, nothing.clone()));
    assert_eq!(
        sent(
            call("run")
                .without("Authorization")
                .header("X-Toolgate-Grant", CI)
        )
        .await,
        (200, nothing)
    );
    for refused in [
        beside(&token("https://toolgate.example"), CI),
        beside(&token("https://other.example"), CI),
        beside("opaque", CI),
        beside(CI, CI),
        beside(
            &Signer::p256("k").token(&issuer.claims_for(RESOURCE, json!({}))),
            CI,
        ),
        beside(&theirs, "wrong"),
        beside(&theirs, ""),
        beside(&theirs, CI).with("Authorization", "Basic Zm9vOmJhcg=="),
    ] {
        assert_eq!(sent(refused.clone()).await, (401, None), "{refused:?}");
    }
    // two readers could pick different ones
    let twice = beside(&theirs, CI).header("X-Toolgate-Grant", CI);
    assert_eq!(sent(twice).await, (400, None));
    let named = beside(&theirs, CI).header("Connection", "x-toolgate-grant");
    assert_eq!(sent(named).await, (400, None));
    let metadata = request("GET", "").to("/.well-known/oauth-protected-resource/mcp/s");
    assert_eq!(gate.ask(&metadata).await.json()["resource"], RESOURCE);
}

#[tokio::test]
async fn a_token_passed_on_is_in_no_record_and_no_log() {
    let signer = Signer::p256("k");
    let issuer = Issuer::with_keys(&[&signer]).await;
    let logs = crate::wire::logs();
    let listening = logs.listen();
    let (gate, _upstream) = sidecar(&issuer).await;
    let token = signer.token(&issuer.claims_for(RESOURCE, json!({})));
    let expired = signer.token(&issuer.claims_for(RESOURCE, json!({ "exp": 1 })));
    for token in [&token, &expired] {
        let answer = gate.ask(&call("run").token(token)).await;
        assert!(!answer.text().contains(token.as_str()) && !answer.head.contains(token.as_str()));
    }
    gate.records(2).await;
    let metrics = gate.admin("/metrics").await.text();
    let sink = gate.sink.clone();
    gate.ended().await;
    drop(listening);
    for token in [&token, &expired] {
        for part in token.split('.') {
            for (what, text) in [
                ("log", logs.text()),
                ("record", sink.text()),
                ("metrics", metrics.clone()),
            ] {
                assert!(!text.contains(part), "a part of a token is in the {what}");
            }
        }
    }
}

#[tokio::test]
async fn elsewhere_the_clients_token_stays_here() {
    let signer = Signer::p256("k");
    let issuer = Issuer::with_keys(&[&signer]).await;
    let (gate, upstream) = crate::issuer::gate_for(&issuer, Setup::default()).await;
    let token = signer.token(&issuer.claims(&gate, json!({})));
    assert!(
        gate.ask(&call("run").token(&token).header("X-Toolgate-Grant", "x"))
            .await
            .ran()
    );
    let seen = upstream.last();
    assert!(seen.header("authorization").is_none() && seen.header("x-toolgate-grant").is_none());
}
