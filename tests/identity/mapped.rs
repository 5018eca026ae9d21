//! From claims to grants.

use serde_json::{Value, json};

use crate::issuer::{Issuer, gate_for, resource};
use crate::signer::{Signer, seconds_from_now, set_of};
use crate::wire::CI;
use crate::wire::client::{Answer, call};
use crate::wire::gate::{Gate, Setup, open};

async fn ask(gate: &Gate, token: &str) -> Answer {
    gate.ask(&call("run").token(token)).await
}

/// What Kubernetes puts into a projected service-account token: RS256, an audience list, its claims in an object.
fn service_account(audience: &str, namespace: &str, account: &str) -> Value {
    json!({
        "aud": [audience],
        "exp": seconds_from_now(3_607),
        "iat": seconds_from_now(0),
        "iss": "https://kubernetes.default.svc.cluster.local",
        "jti": "0b1a9f5e-6d1c-4c9f-9f2a-9a3d5f0f2a11",
        "kubernetes.io": {
            "namespace": namespace,
            "node": { "name": "node-1", "uid": "646e7c5e-32d6-4d42-9dbd-e504e6cbe6b1" },
            "pod": { "name": "ci-7f9b", "uid": "5e0bd49b-f040-43b0-99b7-22765a53f7f3" },
            "serviceaccount": { "name": account, "uid": "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798" },
            "warnafter": seconds_from_now(3_600),
        },
        "nbf": seconds_from_now(0),
        "sub": format!("system:serviceaccount:{namespace}:{account}"),
    })
}

#[tokio::test]
async fn a_projected_service_account_token_is_known_by_its_claims_without_the_api_server() {
    let signer = Signer::rsa("6Zl3fVvbGzEaMlZlmYrKy4QJT0Y3Xb0pP7lqJ4m0a1s");
    let keys = std::env::temp_dir().join(format!("toolgate-jwks-{}.json", std::process::id()));
    std::fs::write(&keys, set_of(&[&signer])).unwrap();
    let issuer = format!(
        "issuers: {{ cluster: {{ issuer: 'https://kubernetes.default.svc.cluster.local', jwks: '{}', audience: toolgate }} }}",
        keys.display()
    );
    let setup = Setup::runs(1, "grant").settings(&issuer).grant(
        "id: 'ci:{kubernetes.io/serviceaccount/name}', jwt: { issuer: cluster, claims: { kubernetes.io/namespace: ci } }, server: s, policy: p",
    );
    let (gate, upstream) = open(setup).await;
    // the header as the API server writes it: no `typ`
    let token = |namespace: &str, account: &str| {
        let mut draft = signer.draft(&service_account("toolgate", namespace, account));
        draft.header.as_object_mut().unwrap().remove("typ");
        signer.sign(&draft)
    };
    assert!(ask(&gate, &token("ci", "runner")).await.ran());
    assert_eq!(
        ask(&gate, &token("ci", "runner")).await.decision()["outcome"],
        "limited"
    );
    // a limit for each account
    assert!(ask(&gate, &token("ci", "deployer")).await.ran());
    let other = ask(&gate, &token("default", "runner")).await;
    assert_eq!(other.status, 403);
    assert!(
        other
            .header("www-authenticate")
            .unwrap()
            .contains("error=\"insufficient_scope\"")
    );
    assert_eq!(upstream.count(), 2);
    std::fs::remove_file(&keys).unwrap();
    let records = gate.ended().await;
    assert_eq!(records[0]["grant"], "ci:runner");
    assert!(records[0]["grant_key"].as_str().unwrap().starts_with('#'));
    assert_ne!(records[0]["grant_key"], records[2]["grant_key"]);
    assert_eq!(records[3]["outcome"], "unauthenticated");
}

/// A gate with these entries, for an issuer `i` with one key.
async fn gate_with(
    entries: &[&str],
    setup: Setup,
) -> (Gate, crate::wire::upstream::Upstream, Issuer, Signer) {
    let signer = Signer::p256("k");
    let issuer = Issuer::with_keys(&[&signer]).await;
    let setup = entries
        .iter()
        .fold(setup.settings(&issuer.settings("")), |setup, keys| {
            setup.grant(keys)
        });
    let (gate, upstream) = open(setup).await;
    (gate, upstream, issuer, signer)
}

#[tokio::test]
async fn the_first_entry_that_matches_decides_and_lists_match_by_an_entry() {
    let (gate, _upstream, issuer, signer) = gate_with(
        &[
            "id: ended, jwt: { issuer: i, claims: { groups: former } }, server: s, policy: p, revoked: true",
            "id: late-ones, jwt: { issuer: i, claims: { groups: late } }, server: s, policy: p, expires: 2020-01-01T00:00:00Z",
            "id: admins, jwt: { issuer: i, claims: { groups: admin, email_verified: true } }, server: s, policy: p",
            "id: writers, jwt: { issuer: i, claims: { scope: 'mcp:write' } }, server: s, policy: p",
            "id: 'team:{team}', jwt: { issuer: i, claims: { level: 3 } }, server: s, policy: p",
        ],
        Setup::default(),
    )
    .await;
    let ask = async |more: Value| ask(&gate, &signer.token(&issuer.claims(&gate, more))).await;
    for more in [
        json!({ "groups": ["dev", "admin"], "email_verified": true }),
        json!({ "groups": "admin", "email_verified": true, "team": "x" }),
        json!({ "scope": "openid mcp:write" }),
        json!({ "level": 3, "team": "data" }),
    ] {
        let answer = ask(more.clone()).await;
        assert!(answer.ran(), "{more}: {}", answer.text());
    }
    for more in [
        json!({}),
        json!({ "groups": ["admin"] }),
        json!({ "groups": ["admin"], "email_verified": "true" }),
        json!({ "groups": ["administrators"], "email_verified": true }),
        json!({ "scope": "mcp:writer" }),
        json!({ "level": "3", "team": "data" }),
        json!({ "level": 3 }),
        json!({ "level": 3, "team": ["data"] }),
        json!({ "level": 3, "team": "da\nta" }),
    ] {
        let answer = ask(more.clone()).await;
        assert_eq!(answer.status, 403, "{more}: {}", answer.text());
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
    }
    // an entry that has ended is not passed over for a wider one behind it
    let admin = json!({ "groups": ["former", "admin"], "email_verified": true });
    assert_eq!(ask(admin).await.status, 401);
    let late = json!({ "groups": ["late", "admin"], "email_verified": true });
    assert_eq!(ask(late).await.status, 401);
    let grants: Vec<_> = gate
        .ended()
        .await
        .iter()
        .map(|record| record["grant"].clone())
        .collect();
    assert_eq!(
        grants[..4],
        [
            json!("admins"),
            json!("admins"),
            json!("writers"),
            json!("team:data")
        ]
    );
}

#[tokio::test]
async fn a_subject_does_not_become_a_static_grant_of_the_same_name() {
    let (gate, _upstream, issuer, signer) = gate_with(
        &["id: '{sub}', jwt: { issuer: i }, server: s, policy: p"],
        Setup::runs(1, "grant"),
    )
    .await;
    let token = |sub: &str| signer.token(&issuer.claims(&gate, json!({ "sub": sub })));
    // `ci` is a grant of the file's
    let answer = ask(&gate, &token("ci")).await;
    assert_eq!(
        (answer.status, answer.text().contains("another grant's")),
        (403, true)
    );
    assert!(ask(&gate, CI).await.ran());
    assert!(ask(&gate, &token("bob")).await.ran());
    assert_eq!(ask(&gate, &token("bob")).await.decision()["outcome"], "limited");
}

#[tokio::test]
async fn claims_are_counted_by_and_looked_at_in_conditions() {
    let policy = r#"{"version":"1","default":"allow","tools":{
        "run":{"limits":[{"counter":"runs","window":"hour","max":1,"scope":"claim:team"}]},
        "drop":{"require":[{"conditions":[{"path":"grant.claims.realm/role","op":"eq","value":"admin"}]}]},
        "whoami":{"require":[{"conditions":[{"path":"grant.id","op":"eq","value":"u:ann"}]}]}}}"#;
    let signer = Signer::p256("k");
    let issuer = Issuer::with_keys(&[&signer]).await;
    let (gate, _upstream) = gate_for(&issuer, Setup::policy(policy)).await;
    let ask = async |tool: &str, sub: &str, team: &str, role: &str| {
        let more = json!({ "sub": sub, "team": team, "realm": { "role": role } });
        gate.ask(&call(tool).token(&signer.token(&issuer.claims(&gate, more))))
            .await
    };
    assert!(ask("run", "ann", "data", "x").await.ran());
    assert!(!ask("run", "bob", "data", "x").await.ran());
    assert!(ask("run", "bob", "web", "x").await.ran());
    // the static grant `ci` is of team data too
    assert!(!gate.ask(&call("run")).await.ran());
    assert!(ask("drop", "bob", "web", "admin").await.ran());
    assert!(!ask("drop", "bob", "web", "dev").await.ran());
    assert!(ask("whoami", "ann", "web", "x").await.ran());
    assert!(!ask("whoami", "bob", "web", "x").await.ran());
}

#[tokio::test]
async fn a_session_of_one_subject_is_not_anothers() {
    let signer = Signer::p256("k");
    let issuer = Issuer::with_keys(&[&signer]).await;
    let (gate, upstream) = gate_for(&issuer, Setup::default()).await;
    let token = |sub: &str| signer.token(&issuer.claims(&gate, json!({ "sub": sub })));
    let headers = [("Content-Type", "application/json"), ("Mcp-Session-Id", "up-1")];
    let opened = br#"{"jsonrpc":"2.0","id":0,"result":{}}"#;
    upstream.next(vec![crate::wire::upstream::Step::Send(
        crate::wire::upstream::answer("200 OK", &headers, opened),
    )]);
    let hello = crate::wire::client::post(r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#);
    let session = gate
        .ask(&hello.token(&token("ann")))
        .await
        .header("mcp-session-id")
        .unwrap()
        .to_owned();
    let within = |sub: &str| call("run").token(&token(sub)).header("Mcp-Session-Id", &session);
    assert!(gate.ask(&within("ann")).await.ran());
    assert_eq!(gate.ask(&within("bob")).await.status, 404);
    assert_eq!(
        gate.ask(&call("run").header("Mcp-Session-Id", &session))
            .await
            .status,
        404
    );
    assert_eq!(upstream.count(), 2);
    assert!(resource(&gate).ends_with("/mcp/s"));
}
