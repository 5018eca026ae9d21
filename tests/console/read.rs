//! What approvers and viewers see.

use serde_json::{Value, json};

use crate::place::{ELSEWHERE, EYE, LEAD, Place, code};

const ARGUMENTS: &str = "{\"note\":\"<script>alert(1)</script>\u{202e}\",\"amount\":9007199254740993}";

async fn list(place: &Place, query: &str, token: &str) -> Vec<Value> {
    let answer = place.get(&format!("/approvals{query}"), token).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["approvals"].as_array().unwrap().clone()
}

#[tokio::test]
async fn approvers_see_the_exact_call_and_viewers_only_its_names() {
    let place = Place::new().await;
    let approval = place.asks("stripe", "refund", ARGUMENTS, 2).await;
    let answer = place.get("/approvals?state=pending", LEAD).await;
    // exactly as it was sent, numbers too
    assert!(
        answer.text().contains(&format!("\"arguments\":{ARGUMENTS}")),
        "{}",
        answer.text()
    );
    let one = &answer.json()["approvals"][0];
    assert_eq!(one["id"], approval.id.to_string());
    assert_eq!(one["digest"], approval.digest);
    assert_eq!(
        (&one["state"], &one["approvals_needed"]),
        (&json!("pending"), &json!(2))
    );
    assert_eq!(one["created"], "2026-01-01T00:00:00.000Z");
    assert_eq!(one["expires"], "2026-01-01T00:10:00.000Z");
    let shown = one["shown"]["arguments"].as_str().unwrap();
    assert!(
        shown.contains("\\u{202e}\"  (26 characters)") && shown.is_ascii(),
        "{shown}"
    );

    let answer = place.get(&format!("/approvals/{}", approval.id), EYE).await;
    let one = answer.json();
    assert!(one["arguments"].is_null() && one["shown"]["arguments"].is_null());
    assert_eq!(one["argument_keys"], json!(["amount", "note"]));
    assert!(!answer.text().contains("script") && !answer.text().contains("9007199254740993"));
}

#[tokio::test]
async fn what_is_out_of_reach_is_not_listed() {
    let place = Place::new().await;
    let theirs = place.asks("stripe", "refund", "{}", 1).await;
    let own = place.asks("crm", "export", "{}", 1).await;
    assert_eq!(list(&place, "", LEAD).await.len(), 2);
    let listed = list(&place, "", ELSEWHERE).await;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["id"], own.id.to_string());
    let answer = place.get(&format!("/approvals/{}", theirs.id), ELSEWHERE).await;
    assert_eq!((answer.status, code(&answer).as_str()), (404, "not_found"));
}

#[tokio::test]
async fn states_can_be_asked_for_and_guessed_ids_are_nothing() {
    let place = Place::new().await;
    let approval = place.asks("stripe", "refund", "{}", 1).await;
    assert_eq!(list(&place, "?state=approved", LEAD).await.len(), 0);
    assert_eq!(list(&place, "?state=pending", LEAD).await.len(), 1);
    assert_eq!(place.get("/approvals?state=open", LEAD).await.status, 400);
    let id = approval.id.to_string();
    let other = if id.starts_with('0') { "1" } else { "0" };
    for wrong in [
        "x".to_owned(),
        id.to_uppercase() + "A",
        format!("{other}{}", id.get(1..).unwrap()),
        String::new(),
        "..%2f..".to_owned(),
    ] {
        let answer = place.get(&format!("/approvals/{wrong}"), LEAD).await;
        assert_eq!(answer.status, 404, "{wrong}");
    }
    place
        .clock
        .fetch_add(600_000, std::sync::atomic::Ordering::Relaxed);
    let ended = list(&place, "?state=expired", LEAD).await;
    assert_eq!(ended.len(), 1);
    assert!(
        ended[0]["arguments"].is_null(),
        "arguments end with their request"
    );
}
