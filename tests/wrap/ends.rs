//! How it ends: a server that dies, a client that leaves, signals.

use std::time::Instant;

use serde_json::json;

use super::policy;
use super::support::wrapped::{Place, Wrapped, text_of};

/// Waits until the server has said something, so that its handlers are in place.
fn ready(client: &mut Wrapped) {
    client.request("ready", "ping", json!({}));
}

#[test]
fn a_server_that_dies_leaves_errors_and_its_exit_status() {
    let place = Place::with(&policy());
    let mut client = place.start(&[]);
    client.send(
        &json!({ "jsonrpc": "2.0", "id": "waits", "method": "tools/call", "params": { "name": "never" } }),
    );
    client.send(&json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": { "name": "die", "arguments": { "status": 9 } } }));
    for id in [json!("waits"), json!(2)] {
        let error = client.answer(&id)["error"].clone();
        assert_eq!(error["code"], 502, "{error}");
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .contains("may have been executed"),
            "{error}"
        );
    }
    assert_eq!(client.end().code(), Some(9));
    let decisions = client.decisions();
    let broken = decisions
        .iter()
        .filter(|line| line["upstream"]["ended"] == "broken");
    assert_eq!(broken.count(), 2, "{}", client.stderr());
}

#[test]
fn a_charge_stands_when_the_server_dies_in_the_middle() {
    let mut policy = policy();
    policy["tools"]["die"] =
        json!({ "limits": [{ "counter": "d", "window": "hour", "max": 1, "scope": "grant" }] });
    let place = Place::with(&policy);
    let mut client = place.start(&["--server", "raw"]);
    assert_eq!(client.call(1, "die", json!({}))["error"]["code"], 502);
    client.end();
    let mut again = place.start(&["--server", "raw"]);
    let refused = again.call(1, "die", json!({}));
    assert!(text_of(&refused).contains("1 call per hour"), "{refused}");
}

#[test]
fn a_client_that_closes_its_end_lets_the_server_finish() {
    let place = Place::with(&policy());
    let mut client = place.start(&[]);
    let later = json!({ "name": "later", "arguments": { "ms": 300 } });
    client.send(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": later }));
    client.close_stdin();
    assert_eq!(text_of(&client.answer(&json!(1))), "later");
    assert_eq!(client.end().code(), Some(0));
    assert!(place.log().contains(&"eof".to_owned()));
}

#[test]
fn a_server_that_does_not_end_gets_sigterm_and_then_sigkill() {
    let place = Place::with(&policy());
    let mut client = place.start_keeping(&[], true);
    ready(&mut client);
    let began = Instant::now();
    client.close_stdin();
    assert_eq!(client.end().code(), Some(137));
    let took = began.elapsed().as_secs_f64();
    assert!((5.0..15.0).contains(&took), "{took} s");
    let log = place.log();
    let told: Vec<_> = log.iter().rev().take(2).rev().collect();
    assert_eq!(told, ["eof", "signal SIGTERM"]);
}

#[test]
fn signals_are_passed_on_and_the_servers_status_is_ours() {
    for (name, code) in [("INT", 42), ("TERM", 55), ("HUP", 41)] {
        let place = Place::with(&policy());
        let mut client = place.start(&[]);
        ready(&mut client);
        client.signal(name);
        assert_eq!(client.end().code(), Some(code), "{name}");
        assert!(place.log().contains(&format!("signal SIG{name}")), "{name}");
    }
}

#[test]
fn a_server_that_ignores_sigterm_is_killed_before_clients_lose_patience() {
    let place = Place::with(&policy());
    let mut client = place.start_keeping(&[], true);
    ready(&mut client);
    let began = Instant::now();
    client.signal("TERM");
    assert_eq!(client.end().code(), Some(137));
    assert!(began.elapsed().as_secs_f64() >= 1.8);
}

#[test]
fn a_launchers_own_children_end_too() {
    let place = Place::with(&policy());
    let server = place.raw_server(true);
    let mut command = place.wrap(&["--", "sh", "-c", r#""$@"; exit 3"#, "sh"]);
    let mut client = Wrapped::start(command.args(server));
    ready(&mut client);
    client.signal("TERM");
    client.end();
    assert!(place.log().contains(&"signal SIGTERM".to_owned()));
    // the server was the shell's child, and its parent now may be slow to look at its end
    let log = place.log();
    let pid = log[0].strip_prefix("started ").unwrap();
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(
        state.is_empty() || state.contains(") Z "),
        "a server was left behind: {state}"
    );
}
