//! Which tokens are taken, and that everything else about them is refused.

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::issuer::{BY_SUBJECT, Issuer, gate_for, resource};
use crate::signer::{Draft, Signer, b64, seconds_from_now};
use crate::wire::client::{Answer, call};
use crate::wire::gate::{Gate, Setup};
use crate::wire::upstream::Upstream;

async fn ask(gate: &Gate, token: &str) -> Answer {
    gate.ask(&call("run").token(token)).await
}

/// Refused with 401 and a challenge that says why, before anything is forwarded.
async fn assert_refused(gate: &Gate, upstream: &Upstream, what: &str, token: &str, why: &str) {
    let before = upstream.count();
    let answer = ask(gate, token).await;
    assert_eq!(answer.status, 401, "{what}: {}", answer.text());
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(
        challenge.contains("error=\"invalid_token\""),
        "{what}: {challenge}"
    );
    assert!(challenge.contains("resource_metadata="), "{what}: {challenge}");
    assert!(challenge.contains(why), "{what}: {challenge} lacks {why}");
    assert_eq!(upstream.count(), before, "{what} reached the upstream");
}

#[tokio::test]
async fn each_algorithm_of_the_default_is_taken_with_real_keys() {
    let signers = [
        Signer::rsa("r"),
        Signer::p256("e"),
        Signer::p384("f"),
        Signer::ed25519("d"),
    ];
    let issuer = Issuer::with_keys(&signers.iter().collect::<Vec<_>>()).await;
    let (gate, upstream) = gate_for(&issuer, Setup::default()).await;
    let claims = issuer.claims(&gate, json!({}));
    for signer in &signers {
        let answer = ask(&gate, &signer.token(&claims)).await;
        assert!(answer.ran(), "{}: {}", signer.kid, answer.text());
    }
    let mut pss = signers[0].draft(&claims);
    pss.header["alg"] = json!("PS256");
    assert!(ask(&gate, &signers[0].sign(&pss)).await.ran());
    // the gate's token never goes on
    assert!(
        upstream
            .seen()
            .iter()
            .all(|seen| seen.header("authorization").is_none())
    );
    assert_eq!(gate.ended().await[0]["grant"], "u:bob");
}

#[tokio::test]
async fn a_claim_or_header_that_is_not_right_is_refused() {
    let (signer, stranger) = (Signer::p256("k"), Signer::p256("k"));
    let issuer = Issuer::with_keys(&[&signer]).await;
    let (gate, upstream) = gate_for(&issuer, Setup::default()).await;
    let good = issuer.claims(&gate, json!({}));
    assert!(ask(&gate, &signer.token(&good)).await.ran());

    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        signer.token(&claims)
    };
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        signer.token(&claims)
    };
    let header = |name: &str, value: Value| {
        let mut draft = signer.draft(&good);
        draft.header[name] = value;
        signer.sign(&draft)
    };
    let other_server = format!("http://{}/mcp/t", gate.proxy);
    let cases = [
        (
            "another issuer",
            with("iss", json!("http://127.0.0.1:1")),
            "issuer",
        ),
        (
            "an issuer with a slash more",
            with("iss", json!(format!("{}/", issuer.url()))),
            "issuer",
        ),
        ("a list of issuers", with("iss", json!([issuer.url()])), "issuer"),
        ("no issuer", without("iss"), "issuer"),
        (
            "another audience",
            with("aud", json!("https://other.example/mcp")),
            "audience",
        ),
        (
            "another server of the gate",
            with("aud", json!(other_server)),
            "audience",
        ),
        (
            "the audience with a slash more",
            with("aud", json!(resource(&gate) + "/")),
            "audience",
        ),
        ("no audience", without("aud"), "audience"),
        ("an empty audience", with("aud", json!([])), "audience"),
        (
            "an audience that is no text",
            with("aud", json!([resource(&gate), 7])),
            "audience",
        ),
        ("expired", with("exp", json!(seconds_from_now(-31))), "expired"),
        ("no end", without("exp"), "exp"),
        ("an end that is text", with("exp", json!("9999999999")), "no time"),
        ("an end with an exponent", with("exp", json!(1e300)), "no time"),
        ("an end before 1970", with("exp", json!(-1)), "expired"),
        (
            "not yet valid",
            with("nbf", json!(seconds_from_now(120))),
            "not valid yet",
        ),
        ("a begin that is no time", with("nbf", json!(null)), "no time"),
        ("crit", header("crit", json!(["b64"])), "crit"),
        ("another type", header("typ", json!("logout+jwt")), "type"),
        ("a type that is no text", header("typ", json!(1)), "type"),
        (
            "a name in another case",
            header("alg", json!("es256")),
            "algorithm",
        ),
        ("an unknown key", header("kid", json!("other")), "no such key"),
        (
            "a key that is no text",
            header("kid", json!(["k"])),
            "does not verify",
        ),
        (
            "another key of the same name",
            stranger.token(&good),
            "does not verify",
        ),
    ];
    for (what, token, why) in &cases[..cases.len() - 2] {
        assert_refused(&gate, &upstream, what, token, why).await;
    }
    let (what, token, why) = &cases[cases.len() - 1];
    assert_refused(&gate, &upstream, what, token, why).await;
    // 30 s of leeway, and audiences beside ours, are fine
    assert!(ask(&gate, &with("exp", json!(seconds_from_now(-5)))).await.ran());
    assert!(ask(&gate, &with("nbf", json!(seconds_from_now(20)))).await.ran());
    assert!(ask(&gate, &with("exp", json!(4_102_444_800.75))).await.ran());
    assert!(
        ask(&gate, &with("aud", json!(["x", resource(&gate)])))
            .await
            .ran()
    );
    assert!(
        ask(&gate, &header("typ", json!("application/at+jwt")))
            .await
            .ran()
    );
}

/// HS256 with what everybody can read of the key.
fn hmac_signed(secret: &[u8], draft: &Draft) -> String {
    let signed = format!(
        "{}.{}",
        b64(draft.header.to_string().as_bytes()),
        b64(draft.claims.to_string().as_bytes())
    );
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", b64(&mac.finalize().into_bytes()))
}

#[tokio::test]
async fn none_and_hmac_with_the_public_key_are_refused() {
    let signer = Signer::rsa("r");
    let issuer = Issuer::with_keys(&[&signer]).await;
    let (gate, upstream) = gate_for(&issuer, Setup::default()).await;
    let good = issuer.claims(&gate, json!({}));
    let der = signer.public_der();
    let pem = format!(
        "-----BEGIN RSA PUBLIC KEY-----\n{}\n-----END RSA PUBLIC KEY-----\n",
        BASE64.encode(&der)
    );
    let jwk = signer.jwk().to_string();
    let modulus = signer.jwk()["n"].as_str().unwrap().to_owned();
    for algorithm in [
        "HS256", "HS384", "HS512", "none", "None", "NONE", "", "RS1", "ES256K",
    ] {
        let mut draft = signer.draft(&good);
        draft.header["alg"] = json!(algorithm);
        for secret in [&der[..], pem.as_bytes(), jwk.as_bytes(), modulus.as_bytes(), b""] {
            let token = hmac_signed(secret, &draft);
            assert_refused(&gate, &upstream, algorithm, &token, "algorithm").await;
        }
        let unsigned = hmac_signed(b"", &draft);
        let unsigned = &unsigned[..=unsigned.rfind('.').unwrap()];
        assert_refused(&gate, &upstream, algorithm, unsigned, "signature").await;
    }
    // the right name over a wrong signature
    assert_refused(
        &gate,
        &upstream,
        "RS256",
        &hmac_signed(&der, &signer.draft(&good)),
        "does not verify",
    )
    .await;
}

#[tokio::test]
async fn an_algorithm_that_is_not_listed_for_its_issuer_is_refused() {
    let (rsa, ec) = (Signer::rsa("r"), Signer::p256("e"));
    let issuer = Issuer::with_keys(&[&rsa, &ec]).await;
    let setup = Setup::default()
        .settings(&issuer.settings(", algorithms: [ES256]"))
        .grant(BY_SUBJECT);
    let (gate, upstream) = crate::wire::gate::open(setup).await;
    let claims = issuer.claims(&gate, json!({}));
    assert!(ask(&gate, &ec.token(&claims)).await.ran());
    assert_refused(&gate, &upstream, "RS256", &rsa.token(&claims), "algorithm").await;
}

#[tokio::test]
async fn keys_that_a_token_brings_along_are_not_looked_at() {
    let (signer, stranger) = (Signer::p256("k"), Signer::p256("k"));
    let issuer = Issuer::with_keys(&[&signer]).await;
    issuer.answers(
        "/stranger",
        crate::issuer::Reply::Json(crate::signer::set_of(&[&stranger])),
    );
    let (gate, upstream) = gate_for(&issuer, Setup::default()).await;
    let mut draft = stranger.draft(&issuer.claims(&gate, json!({})));
    draft.header["jku"] = json!(format!("{}/stranger", issuer.url()));
    draft.header["x5u"] = draft.header["jku"].clone();
    draft.header["jwk"] = stranger.jwk();
    assert_refused(
        &gate,
        &upstream,
        "jku, x5u, jwk",
        &stranger.sign(&draft),
        "does not verify",
    )
    .await;
    assert_eq!(issuer.hits("/stranger"), 0);
}

#[tokio::test]
async fn tokens_that_two_readers_could_read_in_two_ways_are_refused() {
    let signer = Signer::p256("k");
    let issuer = Issuer::with_keys(&[&signer]).await;
    let (gate, upstream) = gate_for(&issuer, Setup::default()).await;
    let draft = signer.draft(&issuer.claims(&gate, json!({})));
    let (header, claims) = (draft.header.to_string(), draft.claims.to_string());
    let twice = |text: &str, more: &str| format!("{{{more},{}", &text[1..]);
    let good = signer.sign(&draft);
    let (start, signature) = good.rsplit_once('.').unwrap();
    let cases = [
        (
            "a header key twice",
            signer.sign_text(&twice(&header, r#""alg":"ES256""#), &claims),
            "header",
        ),
        (
            "a claim twice",
            signer.sign_text(&header, &twice(&claims, r#""sub":"root""#)),
            "claims",
        ),
        (
            "a claim twice further down",
            signer.sign_text(&header, &twice(&claims, r#""k":{"a":1,"\u0061":2}"#)),
            "claims",
        ),
        (
            "a list of claims",
            signer.sign_text(&header, &format!("[{claims}]")),
            "claims",
        ),
        (
            "bytes behind the claims",
            signer.sign_text(&header, &format!("{claims}{{}}")),
            "claims",
        ),
        ("two parts", start.to_owned(), "signed"),
        ("four parts", format!("{good}.x"), "claims"),
        ("five parts", format!("{good}.x.y"), "claims"),
        ("padding", format!("{good}=="), "signature"),
        (
            "another alphabet",
            format!("{start}.{}", signature.replace(['-', '_'], "+")) + "+",
            "signature",
        ),
        ("an empty signature", format!("{start}."), "signature"),
        (
            "a long token",
            signer.token(&json!({ "x": "y".repeat(17 << 10) })),
            "16 KiB",
        ),
        ("no token", "".to_owned(), "no bearer token"),
        ("blanks", "  ".to_owned(), "no bearer token"),
    ];
    for (what, token, why) in &cases {
        assert_refused(&gate, &upstream, what, token, why).await;
    }
    assert!(ask(&gate, &good).await.ran());
    // another scheme is no token, and nobody
    let basic = call("run").with("Authorization", "Basic Zm9vOmJhcg==");
    assert_eq!(gate.ask(&basic).await.status, 401);
}
