//! Saying yes and no.

use std::sync::atomic::Ordering;

use serde_json::json;
use toolgate::approvals::State;

use crate::place::{ELSEWHERE, EYE, LEAD, Place, SECOND, code};
use crate::support::http::Wire;

async fn state(place: &Place, approval: &toolgate::approvals::Approval) -> State {
    place.approvals.get(&approval.id).await.unwrap().unwrap().state
}

#[tokio::test]
async fn an_approver_approves_and_denies_and_a_decision_stands() {
    let place = Place::new().await;
    let yes = place.asks("stripe", "refund", "{\"a\":1}", 1).await;
    let answer = place.say("approve", &yes, LEAD, "agreed").await;
    assert_eq!(
        (answer.status, &answer.json()["state"]),
        (200, &json!("approved"))
    );
    let made = &answer.json()["decisions"][0];
    assert_eq!(
        (&made["by"], &made["decision"], &made["reason"]),
        (&json!("lead"), &json!("approve"), &json!("agreed"))
    );

    let no = place.asks("stripe", "refund", "{\"a\":2}", 1).await;
    let answer = place.say("deny", &no, LEAD, "not today").await;
    assert_eq!((answer.status, &answer.json()["state"]), (200, &json!("denied")));

    // the same and the other word, by the same and another person: too late
    for (approval, word, token, expected) in [
        (&yes, "approve", LEAD, "approved"),
        (&yes, "deny", SECOND, "approved"),
        (&no, "approve", SECOND, "denied"),
        (&no, "deny", LEAD, "denied"),
    ] {
        let answer = place.say(word, approval, token, "again").await;
        assert_eq!((answer.status, code(&answer).as_str()), (409, "not_pending"));
        assert_eq!(answer.json()["error"]["state"], expected);
    }
    let late = place.asks("stripe", "refund", "{\"a\":3}", 1).await;
    place.clock.fetch_add(600_000, Ordering::Relaxed);
    let answer = place.say("approve", &late, LEAD, "").await;
    assert_eq!(
        (answer.status, &answer.json()["error"]["state"]),
        (409, &json!("expired"))
    );
}

#[tokio::test]
async fn four_eyes_are_two_persons() {
    let place = Place::new().await;
    let approval = place.asks("stripe", "refund", "{}", 2).await;
    let answer = place.say("approve", &approval, LEAD, "").await;
    assert_eq!((answer.status, &answer.json()["state"]), (200, &json!("pending")));
    let answer = place.say("approve", &approval, LEAD, "").await;
    assert_eq!((answer.status, code(&answer).as_str()), (409, "already_decided"));
    assert_eq!(state(&place, &approval).await, State::Pending);
    let answer = place.say("approve", &approval, SECOND, "").await;
    assert_eq!(
        (answer.status, &answer.json()["state"]),
        (200, &json!("approved"))
    );
}

#[tokio::test]
async fn viewers_and_those_out_of_reach_decide_nothing() {
    let place = Place::new().await;
    let approval = place.asks("stripe", "refund", "{}", 1).await;
    for (token, expected) in [(EYE, "viewer"), (ELSEWHERE, "out_of_reach")] {
        for word in ["approve", "deny"] {
            let answer = place.say(word, &approval, token, "because").await;
            assert_eq!((answer.status, code(&answer).as_str()), (403, expected));
        }
    }
    assert_eq!(state(&place, &approval).await, State::Pending);
}

#[tokio::test]
async fn what_is_decided_is_what_was_looked_at() {
    let place = Place::new().await;
    let looked = place.asks("stripe", "refund", "{\"amount\":1}", 1).await;
    let other = place.asks("stripe", "refund", "{\"amount\":1000}", 1).await;
    let path = format!("/approvals/{}/approve", other.id);
    let body = json!({ "digest": looked.digest, "reason": "" }).to_string();
    let answer = place.post(&path, LEAD, &body).await;
    assert_eq!((answer.status, code(&answer).as_str()), (409, "other_digest"));
    for body in [
        "{}",
        "",
        "[]",
        "{\"digest\":\"x\",\"extra\":1}",
        "{\"digest\":\"a\",\"digest\":\"b\"}",
    ] {
        let answer = place.post(&path, LEAD, body).await;
        assert_eq!(
            (answer.status, code(&answer).as_str()),
            (400, "bad_body"),
            "{body}"
        );
    }
    let answer = place.say("deny", &other, LEAD, " ").await;
    assert_eq!((answer.status, code(&answer).as_str()), (400, "bad_body"));
    let large = json!({ "digest": other.digest, "reason": "x".repeat(20_000) }).to_string();
    let answer = place.post(&path, LEAD, &large).await;
    assert_eq!((answer.status, code(&answer).as_str()), (413, "too_large"));
    assert_eq!(state(&place, &other).await, State::Pending);
}

/// A client that announces a body and sends none is answered all the same.
#[tokio::test]
async fn what_can_be_refused_without_the_body_is_refused_before_it_comes() {
    let place = Place::new().await;
    let approval = place.asks("stripe", "refund", "{}", 1).await;
    let known = approval.id.to_string();
    for (id, token, status) in [
        ("not-an-id", LEAD, 404),
        ("00000000000000000000000000000000", LEAD, 404),
        (known.as_str(), EYE, 403),
        (known.as_str(), ELSEWHERE, 403),
        (known.as_str(), "tg_nobody", 401),
    ] {
        let mut wire = Wire::open(&place.address).await;
        let head = format!(
            "POST /approvals/{id}/approve HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n",
            place.address
        );
        wire.send(head.as_bytes()).await;
        assert_eq!(wire.head().await.status, status, "{id}");
    }
}
