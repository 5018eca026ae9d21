//! The page in a real browser.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::place::{AGENT, EYE, LEAD, Place};
use crate::support::browser::{Browser, Window};
use crate::support::gate::Folder;
use crate::support::servers::node;

const SCRIPT: &str = "{\"note\":\"</pre><img src=x onerror=alert(1)><script>alert(2)</script>\u{202e}\u{200b}\",\"amount\":250}";

/// The card of a request.
fn card(id: &impl std::fmt::Display) -> String {
    format!("article[data-id=\"{id}\"]")
}

/// The page signs in, shows and decides; nothing of it leaves the tab, and no text of a caller becomes markup.
async fn sign_in_look_and_decide(place: &Place, window: Window<'_>) {
    window.goto(&format!("http://{}/", place.address));
    window.fill("#token", AGENT);
    window.press("Enter");
    window.wait("#sign-in-problem:not(:empty)");
    assert!(
        window
            .text("#sign-in-problem")
            .contains("the token is no approver's")
    );
    window.sign_in(LEAD);
    assert_eq!(window.focused(), "pending-title");
    window.wait("#pending-none");

    let hostile = place.asks("stripe", "refund", SCRIPT, 1).await;
    let at = card(&hostile.id);
    window.wait(&at);
    let shown = window.text(&format!("{at} pre"));
    assert!(
        shown.contains("</pre><img src=x onerror=alert(1)><script>"),
        "{shown}"
    );
    assert!(shown.contains("\\u{202e}\\u{200b}\"  (61 characters)"), "{shown}");
    assert_eq!(
        window.count(&format!("{at} mark")),
        2,
        "hidden characters are marked"
    );
    assert_eq!(window.count(&format!("{at} img, {at} pre script")), 0);

    // without a reason nothing is denied, and the keyboard alone does it all
    window.click(&format!("{at} button.danger"));
    window.wait(&format!("{at} .bad:not(:empty)"));
    assert_eq!(window.focused(), format!("reason-{}", hostile.id));
    window.fill(&format!("{at} input"), "not this one");
    window.press("Tab");
    assert_eq!(window.focused(), "Approve");
    window.press("Tab");
    assert_eq!(window.focused(), "Deny");
    window.press("Enter");
    window.wait(&format!("#ended {at}[data-state=denied]"));
    assert!(window.text(&at).contains("denied by lead: not this one"));

    let storage = window.ask("storage");
    assert_eq!(storage, json!({ "local": 0, "session": 0, "cookie": "" }));
    assert_eq!(window.ask("wide"), 0, "the page is not wider than its window");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_decide_in_a_browser() {
    let place = Place::new().await;
    let browser = Browser::start();
    let window = browser.window("lead", &json!({}));
    sign_in_look_and_decide(&place, window).await;

    // a second window of a viewer sees names alone, and both see what becomes of it
    let eye = browser.window(
        "eye",
        &json!({ "colorScheme": "dark", "viewport": { "width": 390, "height": 844 } }),
    );
    eye.goto(&format!("http://{}/", place.address));
    eye.sign_in(EYE);
    let asked = place.asks("stripe", "refund", "{\"amount\":7001}", 1).await;
    let at = card(&asked.id);
    eye.wait(&format!("#pending {at}"));
    window.wait(&format!("#pending {at}"));
    let seen = eye.text(&at);
    assert!(
        seen.contains("arguments (names only): amount") && !seen.contains("7001"),
        "{seen}"
    );
    assert_eq!(eye.count(&format!("{at} button")), 0);
    window.click(&format!("{at} button.primary"));
    for both in [window, eye] {
        both.wait(&format!("#ended {at}[data-state=approved]"));
    }
    assert_eq!(eye.ask("wide"), 0, "the page is not wider than a phone");

    // expiry takes a card away without anybody's doing
    let late = place.asks("stripe", "refund", "{\"amount\":8}", 1).await;
    window.wait(&format!("#pending {}", card(&late.id)));
    place.clock.fetch_add(600_000, Ordering::Relaxed);
    window.wait(&format!("#ended {}[data-state=expired]", card(&late.id)));

    // what is too long for an event is approved only once it was seen
    let arguments = format!("{{\"text\":\"{}\",\"last\":\"seen\"}}", "x".repeat(20_000));
    let long = place.asks("stripe", "refund", &arguments, 1).await;
    let at = card(&long.id);
    window.wait(&format!("{at} button.primary:disabled"));
    window.click(&format!("{at} button[data-part=all]"));
    window.wait(&format!("{at} button.primary:enabled"));
    assert!(window.text(&format!("{at} pre")).contains("\"last\": \"seen\""));

    // health and limits are there, with labels for those who cannot see the bars
    window.wait("#health b.good");
    window.wait("#limits meter[aria-label='refund_rate of ci: 3 of 10 used']");
    window.click("#leave");
    window.wait("#sign-in");
    assert_eq!(window.count("article"), 0, "nothing is left of what was seen");
    let refused: Vec<Value> = window.ask("noise").as_array().unwrap().clone();
    // the browser itself tells of the one token that was refused
    assert!(
        refused.len() == 1 && refused[0].as_str().unwrap().contains("401"),
        "{refused:?}"
    );
    eye.assert_quiet();
}

#[test]
fn the_description_is_valid_open_api() {
    let folder = Folder::new("openapi");
    folder.write("openapi.json", toolgate::console::OPEN_API);
    let mut command = node("openapi.mjs");
    let done = command.arg(folder.path().join("openapi.json")).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    let said: Value = serde_json::from_str(said.trim()).unwrap_or_else(|_| panic!("{done:?}"));
    assert_eq!(
        (&said["valid"], &said["version"]),
        (&json!(true), &json!("3.1")),
        "{said}"
    );
}
