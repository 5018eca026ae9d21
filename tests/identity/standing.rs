//! Grants of the file: several tokens, revoked ones, labels, and calls without a token.

use crate::wire::client::call;
use crate::wire::gate::{Setup, open};
use crate::wire::{CI, LATE, logs};
use toolgate::grants::TokenHash;

fn hash(token: &str) -> String {
    TokenHash::of(token.as_bytes()).to_hex()
}

#[tokio::test]
async fn each_of_several_tokens_is_the_same_grant_and_a_revoked_grant_is_none() {
    let (first, second) = (hash("tok-first"), hash("tok-second"));
    let revoked = hash("tok-revoked");
    let setup = Setup::runs(2, "grant")
        .grant(&format!(
            "id: two, tokens_sha256: [{first}, {second}], label: 'CI of team data', server: s, policy: p"
        ))
        .grant(&format!(
            "id: gone, token_sha256: {revoked}, server: s, policy: p, revoked: true"
        ));
    let (gate, upstream) = open(setup).await;
    assert!(gate.ask(&call("run").token("tok-first")).await.ran());
    assert!(gate.ask(&call("run").token("tok-second")).await.ran());
    assert_eq!(
        gate.ask(&call("run").token("tok-first")).await.decision()["outcome"],
        "limited"
    );
    let answer = gate.ask(&call("run").token("tok-revoked")).await;
    assert_eq!(answer.status, 401);
    assert!(
        answer
            .header("www-authenticate")
            .unwrap()
            .contains("its grant has ended")
    );
    assert_eq!(upstream.count(), 2);
    let records = gate.ended().await;
    assert_eq!(
        (records[0]["grant"].as_str(), records[0]["label"].as_str()),
        (Some("two"), Some("CI of team data"))
    );
    assert!(records[0].get("grant_key").is_none());
}

#[tokio::test]
async fn a_call_without_a_token_acts_as_the_grant_that_the_settings_name_and_a_bad_one_never_does() {
    let setup = Setup::runs(1, "grant")
        .settings("anonymous: { s: guest }")
        .grant("id: guest, server: s, policy: p");
    let (gate, upstream) = open(setup).await;
    let nobody = call("run").without("Authorization");
    assert!(gate.ask(&nobody).await.ran());
    assert_eq!(gate.ask(&nobody).await.decision()["outcome"], "limited");
    assert!(gate.ask(&call("run").token(CI)).await.ran());
    for bad in [
        "Bearer wrong",
        "Bearer ",
        "Basic Zm9vOmJhcg==",
        "",
        "tok-ci-5f1c9d",
        "Bearer \u{e4}",
    ] {
        let answer = gate.ask(&call("run").with("Authorization", bad)).await;
        assert_eq!(answer.status, 401, "{bad}");
    }
    assert_eq!(gate.ask(&call("run").token(LATE)).await.status, 401);
    let beside = nobody.header("X-Toolgate-Grant", "wrong");
    assert_eq!(gate.ask(&beside).await.status, 401);
    assert_eq!(upstream.count(), 2);
    assert_eq!(gate.ended().await[0]["grant"], "guest");
}

#[tokio::test]
async fn an_open_server_is_warned_of_where_others_can_reach_it() {
    let open_on = async |listen: &str| {
        let logs = logs();
        let listening = logs.listen();
        let setup = Setup::default()
            .settings("anonymous: { s: guest }")
            .settings(&format!("listen: {listen}"))
            .grant("id: guest, server: s, policy: p");
        let (gate, _upstream) = open(setup).await;
        drop((gate, listening));
        logs.text()
    };
    assert!(open_on("0.0.0.0:0").await.contains("without a token"));
    assert!(!open_on("127.0.0.1:0").await.contains("without a token"));
}
