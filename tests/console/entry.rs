//! Who is let in.

use std::sync::Arc;

use crate::place::{AGENT, ELSEWHERE, ENDED, EYE, LEAD, Place, code};
use crate::support::http::Wire;
use crate::support::wait::{PATIENCE, until, within};

#[tokio::test]
async fn without_an_approvers_token_nothing_is_told_or_done() {
    let place = Place::new().await;
    let approval = place.asks("stripe", "refund", "{\"amount\":5}", 1).await;
    let one = format!("/approvals/{}", approval.id);
    let paths = ["/approvals", one.as_str(), "/events"];
    for path in paths {
        let answer = place.send("GET", path, &[], "").await;
        assert_eq!(
            (answer.status, code(&answer)),
            (401, "no_token".to_owned()),
            "{path}"
        );
        assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"));
        for token in [AGENT, ENDED, "tg_guessed", &approval.digest] {
            let answer = place.get(path, token).await;
            assert_eq!(
                (answer.status, code(&answer)),
                (401, "bad_token".to_owned()),
                "{path} {token}"
            );
        }
    }
    for word in ["approve", "deny"] {
        let answer = place.say(word, &approval, AGENT, "because").await;
        assert_eq!((answer.status, code(&answer)), (401, "bad_token".to_owned()));
    }
    // a cookie or a query is no credential
    let cookie = format!("token={LEAD}; Authorization=Bearer {LEAD}");
    let answer = place.send("GET", "/approvals", &[("Cookie", &cookie)], "").await;
    assert_eq!(answer.status, 401);
    assert_eq!(
        place.get(&format!("/approvals?token={LEAD}"), "x").await.status,
        400
    );
    let metrics = String::from_utf8(place.recorder.metrics.text()).unwrap();
    assert!(
        metrics.contains("toolgate_console_refused_tokens_total 14\n"),
        "{metrics}"
    );
    let state = place.approvals.get(&approval.id).await.unwrap().unwrap().state;
    assert_eq!(state.as_str(), "pending");
}

#[tokio::test]
async fn pages_of_other_places_cannot_ask() {
    let place = Place::new().await;
    let approval = place.asks("stripe", "refund", "{}", 1).await;
    let bearer = format!("Bearer {LEAD}");
    let body = format!("{{\"digest\":\"{}\"}}", approval.digest);
    let path = format!("/approvals/{}/approve", approval.id);
    let own = format!("http://{}", place.address);
    for (host, origin, expected) in [
        ("evil.example", None, "foreign_host"),
        ("evil.example", Some("http://evil.example"), "foreign_host"),
        (
            place.address.as_str(),
            Some("http://evil.example"),
            "foreign_origin",
        ),
        (place.address.as_str(), Some("null"), "foreign_origin"),
        (
            place.address.as_str(),
            Some("http://127.0.0.1:1"),
            "foreign_origin",
        ),
        ("people.example", Some(own.as_str()), "foreign_origin"),
    ] {
        let mut headers = vec![
            ("Host", host),
            ("Authorization", bearer.as_str()),
            ("Content-Type", "application/json"),
        ];
        headers.extend(origin.map(|origin| ("Origin", origin)));
        let answer = place.send("POST", &path, &headers, &body).await;
        assert_eq!(
            (answer.status, code(&answer).as_str()),
            (403, expected),
            "{host} {origin:?}"
        );
        let page = place.send("GET", "/", &headers, "").await;
        assert_eq!(page.status, 403, "{host} {origin:?}");
    }
    // what a form of another page can send without asking
    for kind in ["text/plain", "application/x-www-form-urlencoded"] {
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", kind)];
        let answer = place.send("POST", &path, &headers, &body).await;
        assert_eq!((answer.status, code(&answer).as_str()), (415, "not_json"));
    }
    let preflight = place.send("OPTIONS", &path, &[("Origin", &own)], "").await;
    assert_eq!(preflight.status, 405);
    assert!(preflight.header("access-control-allow-origin").is_none());
    let state = place.approvals.get(&approval.id).await.unwrap().unwrap().state;
    assert_eq!(state.as_str(), "pending");
    let headers = [
        ("Host", "people.example:8443"),
        ("Origin", "https://people.example:8443"),
        ("Authorization", bearer.as_str()),
        ("Content-Type", "application/json"),
    ];
    assert_eq!(place.send("POST", &path, &headers, &body).await.status, 200);
}

#[tokio::test]
async fn the_page_is_sealed_and_asks_nobody_else() {
    let place = Place::new().await;
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/console.js", "text/javascript; charset=utf-8"),
        ("/console.css", "text/css; charset=utf-8"),
        ("/openapi.json", "application/json"),
    ] {
        let answer = place.send("GET", path, &[], "").await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some(kind)),
            "{path}"
        );
        let policy = answer.header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';"),
            "{policy}"
        );
        assert!(
            policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(answer.header("set-cookie").is_none());
        let text = answer.text();
        for word in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "localStorage",
            "sessionStorage",
            "document.cookie",
            "style=",
            "onclick=",
        ] {
            assert!(!text.contains(word), "{path} has {word}");
        }
    }
    assert_eq!(place.send("POST", "/", &[], "").await.status, 405);
    assert_eq!(place.send("GET", "/metrics", &[], "").await.status, 404);
    let list = place.get("/approvals", LEAD).await;
    assert!(list.header("content-security-policy").is_some());
}

#[tokio::test]
async fn a_token_that_is_taken_away_ends_its_stream() {
    let place = Place::new().await;
    let mut wire = Wire::open(&place.address).await;
    let bearer = format!("Bearer {EYE}");
    wire.send(
        place
            .bytes("GET", "/events", &[("Authorization", &bearer)], "")
            .as_bytes(),
    )
    .await;
    assert_eq!(wire.head().await.status, 200);
    assert!(wire.piece().await.is_some());
    place.approvers.store(Arc::default());
    within("the end of the stream", PATIENCE, async {
        while wire.piece().await.is_some() {}
    })
    .await;
    let answer = place.get("/approvals", EYE).await;
    assert_eq!(answer.status, 401);
    until("the stream's connection is closed", || async {
        (place.recorder.metrics.console().connections().get() == 0).then_some(())
    })
    .await;
    assert_eq!(place.get("/approvals", ELSEWHERE).await.status, 401);
}
