//! What an open page is told.

use serde_json::Value;

use crate::place::{ELSEWHERE, EYE, LEAD, Place};
use crate::support::http::Wire;
use crate::support::wait::{PATIENCE, within};

struct Page {
    wire: Wire,
    text: String,
}

impl Page {
    async fn open(place: &Place, token: &str) -> Self {
        let mut wire = Wire::open(&place.address).await;
        let bearer = format!("Bearer {token}");
        let request = place.bytes("GET", "/events", &[("Authorization", &bearer)], "");
        wire.send(request.as_bytes()).await;
        let head = wire.head().await;
        assert_eq!(head.status, 200);
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        Self {
            wire,
            text: String::new(),
        }
    }

    /// The next event of this name for which the condition holds.
    async fn until(&mut self, name: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let wanted = format!("event: {name}\ndata: ");
        within(name, PATIENCE, async {
            loop {
                while let Some(end) = self.text.find("\n\n") {
                    let event: String = self.text.drain(..end + 2).collect();
                    let Some(data) = event.strip_prefix(&wanted) else {
                        continue;
                    };
                    let data: Value = serde_json::from_str(data.trim_end()).unwrap();
                    if holds(&data) {
                        return data;
                    }
                }
                let piece = self.wire.piece().await.expect("the stream ended");
                self.text.push_str(&String::from_utf8(piece).unwrap());
            }
        })
        .await
    }

    async fn until_state(&mut self, id: &str, state: &str) -> Value {
        let holds = |data: &Value| {
            let all = data["approvals"].as_array().unwrap();
            all.iter().any(|one| one["id"] == id && one["state"] == state)
        };
        self.until("approvals", holds).await
    }
}

#[tokio::test]
async fn two_pages_see_a_request_come_and_what_becomes_of_it() {
    let place = Place::new().await;
    let mut pages = [Page::open(&place, LEAD).await, Page::open(&place, EYE).await];
    let hello = pages[1].until("hello", |_| true).await;
    assert_eq!(
        (
            hello["approver"]["id"].as_str(),
            hello["approver"]["role"].as_str()
        ),
        (Some("eye"), Some("viewer"))
    );
    let approval = place.asks("stripe", "refund", "{\"amount\": 7}", 1).await;
    let id = approval.id.to_string();
    let seen = pages[0].until_state(&id, "pending").await;
    assert_eq!(
        seen["approvals"][0]["shown"]["arguments"],
        "{\n  \"amount\": 7\n}"
    );
    let seen = pages[1].until_state(&id, "pending").await;
    assert!(seen["approvals"][0]["shown"]["arguments"].is_null());
    assert_eq!(place.say("deny", &approval, LEAD, "no").await.status, 200);
    for page in &mut pages {
        page.until_state(&id, "denied").await;
    }
}

#[tokio::test]
async fn large_arguments_are_cut_in_events_and_the_page_is_told() {
    let place = Place::new().await;
    let mut page = Page::open(&place, LEAD).await;
    let arguments = format!("{{\"text\":\"{}\"}}", "x".repeat(50_000));
    let approval = place.asks("stripe", "refund", &arguments, 1).await;
    let id = approval.id.to_string();
    let seen = page.until_state(&id, "pending").await;
    let shown = &seen["approvals"][0]["shown"];
    assert!(shown["arguments"].as_str().unwrap().len() <= 8 << 10);
    assert!(shown["left_out"].as_u64().unwrap() > 40_000);
    let whole = place.get(&format!("/approvals/{id}"), LEAD).await.json();
    assert!(
        whole["shown"]["arguments"]
            .as_str()
            .unwrap()
            .contains("(50000 characters)")
    );
    assert_eq!(whole["shown"]["left_out"], 0);
}

#[tokio::test]
async fn health_and_limits_come_as_far_as_the_approver_reaches() {
    let place = Place::new().await;
    let mut page = Page::open(&place, LEAD).await;
    let health = page.until("health", |_| true).await;
    assert_eq!(
        (health["store"].as_str(), health["policies"].as_str()),
        (Some("up"), Some("current"))
    );
    assert_eq!(health["servers"].as_array().unwrap().len(), 2);
    assert_eq!(health["servers"][0]["state"], "unreachable");
    let limits = page.until("limits", |_| true).await;
    assert_eq!(limits["limits"].as_array().unwrap().len(), 2);

    let mut page = Page::open(&place, ELSEWHERE).await;
    let health = page.until("health", |_| true).await;
    assert_eq!(health["servers"].as_array().unwrap().len(), 1);
    let limits = page.until("limits", |_| true).await;
    let limits = limits["limits"].as_array().unwrap();
    assert_eq!((limits.len(), limits[0]["grant"].as_str()), (1, Some("sales")));
}
