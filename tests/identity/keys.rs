//! An issuer's keys: rotated, and fetched from places that are down, slow, endless or elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use serde_json::json;

use crate::issuer::{BY_SUBJECT, Issuer, Reply, gate_for};
use crate::signer::{Signer, set_of};
use crate::wire::client::{Answer, call};
use crate::wire::gate::{Gate, Setup, open};
use crate::wire::upstream::dead_address;
use crate::wire::{CI, until};

async fn ask(gate: &Gate, token: &str) -> Answer {
    gate.ask(&call("run").token(token)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_rotated_under_load_refuse_no_good_token() {
    let (old, new) = (Signer::p256("old"), Signer::p256("new"));
    let issuer = Issuer::with_keys(&[&old]).await;
    let (gate, _upstream) = gate_for(&issuer, Setup::default()).await;
    let gate = Arc::new(gate);
    let claims = issuer.claims(&gate, json!({}));
    let tokens = Arc::new([old.token(&claims), new.token(&claims)]);
    let (rotated, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (gate, tokens) = (Arc::clone(&gate), Arc::clone(&tokens));
            let (rotated, asked) = (Arc::clone(&rotated), Arc::clone(&asked));
            tokio::spawn(async move {
                let mut client = gate.client().await;
                for _ in 0..100 {
                    let token = &tokens[usize::from(rotated.load(SeqCst))];
                    let answer = client.ask(&call("run").token(token)).await;
                    assert!(answer.ran(), "{}", answer.text());
                    asked.fetch_add(1, SeqCst);
                }
            })
        })
        .collect();
    until(|| asked.load(SeqCst) >= 100).await;
    // as issuers do, the old key stays in the set while tokens of it are about
    issuer.serves(&[&old, &new]);
    rotated.store(true, SeqCst);
    for loading in load {
        loading.await.unwrap();
    }
    // one at the start, one for the unknown name
    assert_eq!(issuer.hits("/keys"), 2);
}

/// A gate whose issuer answers like this; its own grants must go on working whatever the issuer does.
async fn assert_unavailable(reply: Option<Reply>) {
    let signer = Signer::p256("k");
    let issuer = Issuer::start().await;
    let keys = match reply {
        Some(reply) => {
            issuer.answers("/keys", reply);
            issuer.keys_url()
        }
        None => format!("http://{}/keys", dead_address().await),
    };
    issuer.answers("/elsewhere", Reply::Json(set_of(&[&signer])));
    let settings = format!(
        "issuers: {{ i: {{ issuer: '{}', jwks: '{keys}' }} }}",
        issuer.url()
    );
    let (gate, upstream) = open(Setup::default().settings(&settings).grant(BY_SUBJECT)).await;
    let token = signer.token(&issuer.claims(&gate, json!({})));
    let answer = ask(&gate, &token).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(answer.header("retry-after"), Some("5"));
    assert_eq!(upstream.count(), 0);
    assert!(ask(&gate, CI).await.ran());
    // a token that is bad whatever the keys are is told so
    let expired = issuer.claims(&gate, json!({ "exp": 1 }));
    assert_eq!(ask(&gate, &signer.token(&expired)).await.status, 401);
    assert_eq!(issuer.hits("/elsewhere"), 0);
}

#[tokio::test]
async fn without_keys_no_token_is_taken_and_the_gate_goes_on() {
    let issuer = Issuer::start().await;
    issuer.answers("/elsewhere", Reply::Json(set_of(&[&Signer::p256("k")])));
    let large = json!({ "keys": [], "x": "y".repeat(300 << 10) }).to_string();
    let cases = [
        None,
        Some(Reply::Status(500)),
        Some(Reply::Json("not json".to_owned())),
        Some(Reply::Json(large)),
        Some(Reply::Redirect(format!("{}/elsewhere", issuer.url()))),
        Some(Reply::Silence),
        Some(Reply::Endless),
    ];
    let tried = cases.map(|reply| tokio::spawn(assert_unavailable(reply)));
    for trial in tried {
        trial.await.unwrap();
    }
    assert_eq!(issuer.hits("/elsewhere"), 0);
}

#[tokio::test]
async fn keys_that_are_known_outlive_their_place() {
    let signer = Signer::p256("k");
    let issuer = Issuer::with_keys(&[&signer]).await;
    let (gate, _upstream) = gate_for(&issuer, Setup::default()).await;
    let token = signer.token(&issuer.claims(&gate, json!({})));
    assert!(ask(&gate, &token).await.ran());
    issuer.answers("/keys", Reply::Endless);
    let unknown = Signer::p256("other").token(&issuer.claims(&gate, json!({})));
    assert_eq!(ask(&gate, &unknown).await.status, 401);
    assert!(ask(&gate, &token).await.ran());
}

#[tokio::test]
async fn keys_are_found_by_the_issuers_own_discovery_document() {
    let signer = Signer::p256("k");
    for path in [
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
    ] {
        let issuer = Issuer::with_keys(&[&signer]).await;
        let document = json!({ "issuer": issuer.url(), "jwks_uri": issuer.keys_url() });
        issuer.answers(path, Reply::Json(document.to_string()));
        let settings = format!("issuers: {{ i: {{ issuer: '{}' }} }}", issuer.url());
        let (gate, _upstream) = open(Setup::default().settings(&settings).grant(BY_SUBJECT)).await;
        let token = signer.token(&issuer.claims(&gate, json!({})));
        let answer = ask(&gate, &token).await;
        assert!(answer.ran(), "{path}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_discovery_document_of_another_issuer_or_with_keys_in_the_clear_gives_none() {
    let signer = Signer::p256("k");
    for (issuer_named, keys) in [
        ("http://127.0.0.1:1", ""),
        ("", "http://keys.example/keys"),
        ("", "file:///keys"),
    ] {
        let issuer = Issuer::with_keys(&[&signer]).await;
        let or = |text: &str, own: String| if text.is_empty() { own } else { text.to_owned() };
        let document =
            json!({ "issuer": or(issuer_named, issuer.url()), "jwks_uri": or(keys, issuer.keys_url()) });
        issuer.answers(
            "/.well-known/openid-configuration",
            Reply::Json(document.to_string()),
        );
        let settings = format!("issuers: {{ i: {{ issuer: '{}' }} }}", issuer.url());
        let (gate, _upstream) = open(Setup::default().settings(&settings).grant(BY_SUBJECT)).await;
        let token = signer.token(&issuer.claims(&gate, json!({})));
        assert_eq!(ask(&gate, &token).await.status, 503);
        assert_eq!(issuer.hits("/keys"), 0);
    }
}

#[tokio::test]
async fn a_token_for_the_keys_is_read_anew_each_time_and_sent_to_them_alone() {
    let signer = Signer::p256("k");
    let issuer = Issuer::with_keys(&[&signer]).await;
    let path = std::env::temp_dir().join(format!("toolgate-keys-token-{}", std::process::id()));
    std::fs::write(&path, "first\n").unwrap();
    let more = format!(", jwks_token: '{}'", path.display());
    let setup = Setup::default()
        .settings(&issuer.settings(&more))
        .grant(BY_SUBJECT);
    let (gate, upstream) = open(setup).await;
    let token = signer.token(&issuer.claims(&gate, json!({})));
    assert!(ask(&gate, &token).await.ran());
    std::fs::write(&path, "second\n").unwrap();
    let unknown = Signer::p256("other").token(&issuer.claims(&gate, json!({})));
    assert_eq!(ask(&gate, &unknown).await.status, 401);
    let heads = issuer.heads();
    assert!(
        heads[0].contains("\r\nauthorization: Bearer first\r\n"),
        "{}",
        heads[0]
    );
    assert!(
        heads[1].contains("\r\nauthorization: Bearer second\r\n"),
        "{}",
        heads[1]
    );
    assert!(
        upstream
            .seen()
            .iter()
            .all(|seen| seen.header("authorization").is_none())
    );
    std::fs::remove_file(path).unwrap();
}
