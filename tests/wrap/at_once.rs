//! How many calls run at once, where no connection can be closed to stop one.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::wrapped::{Place, Wrapped, text_of};

/// One call of `never` or `later` at once; a place lasts two seconds unless it is renewed.
fn place() -> Place {
    let one = json!({ "concurrency": { "counter": "runs", "max": 1, "lease": "2s" } });
    Place::with(&json!({ "version": "1", "default": "allow", "tools": { "never": one, "later": one } }))
}

fn start(client: &mut Wrapped, id: &str, tool: &str) {
    let params = json!({ "name": tool, "arguments": { "ms": 3000 } });
    client.send(&json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }));
}

fn is_refused(answer: &Value) -> bool {
    answer["result"]["_meta"]["toolgate/decision"]["outcome"] == "limited"
}

#[test]
fn a_call_holds_its_place_until_it_is_answered() {
    let place = place();
    let (mut one, mut other) = (
        place.start(&["--server", "raw"]),
        place.start(&["--server", "raw"]),
    );
    let began = Instant::now();
    start(&mut one, "first", "later");
    one.request("ready", "ping", json!({}));
    // longer than the lease: it is renewed. Both gates see it
    while began.elapsed() < Duration::from_millis(2_700) {
        assert!(is_refused(&other.call(
            format!("{:?}", began.elapsed()),
            "later",
            json!({ "ms": 1 })
        )));
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(text_of(&one.answer(&json!("first"))), "later");
    admitted_soon(&mut other);
    assert_eq!(place.ran("later"), 2);
}

/// Asks until a call is admitted; the place is given back shortly after the answer.
fn admitted_soon(client: &mut Wrapped) -> Duration {
    let began = Instant::now();
    for turn in 0.. {
        if !is_refused(&client.call(format!("again {turn}"), "later", json!({ "ms": 1 }))) {
            break;
        }
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "the place was never free"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    began.elapsed()
}

#[test]
fn a_cancelled_call_keeps_its_place_until_the_lease_ends_since_nobody_knows_whether_it_stopped() {
    let place = place();
    let mut client = place.start(&[]);
    start(&mut client, "never", "never");
    let cancel = json!({ "requestId": "never" });
    client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancel }));
    let began = Instant::now();
    assert!(is_refused(&client.call(1, "later", json!({ "ms": 1 }))));
    admitted_soon(&mut client);
    assert!(began.elapsed() < Duration::from_secs(6));
}

#[test]
fn a_call_whose_place_cannot_be_renewed_is_stopped_before_it_is_lost() {
    let place = place();
    let mut client = place.start(&["--server", "raw"]);
    start(&mut client, "never", "never");
    client.request("ready", "ping", json!({}));
    let began = Instant::now();
    // from now on the counters cannot be read
    place.folder.write("state/toolgate/raw.counters", "damaged");
    let error = client.answer(&json!("never"))["error"].clone();
    assert!(
        error["message"].as_str().unwrap().contains("the call was cut"),
        "{error}"
    );
    assert!(began.elapsed() < Duration::from_secs(4));
    client.request("still there", "ping", json!({}));
    let log = place.log();
    let told = log
        .iter()
        .any(|line| line.contains("notifications/cancelled") && line.contains("\"never\""));
    assert!(told, "{log:?}");
    client.close_stdin();
    client.end();
    assert!(
        client
            .decisions()
            .iter()
            .any(|line| line["upstream"]["ended"] == "cut")
    );
}

#[test]
fn an_answer_to_another_request_under_the_same_id_gives_no_place_back() {
    let place = place();
    let mut client = place.start(&[]);
    start(&mut client, "same", "never");
    client.request("same", "ping", json!({}));
    assert!(is_refused(&client.call(1, "later", json!({ "ms": 1 }))));
}
