//! Counters in a file: shared by a restart and by a second gate of the same server, and never in doubt.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use super::policy;
use super::support::wrapped::{Place, Wrapped, text_of};

fn admitted(client: &mut Wrapped, calls: usize) -> usize {
    (0..calls)
        .filter(|id| text_of(&client.call(*id, "start_run", json!({}))) == "start_run ran")
        .count()
}

#[test]
fn a_restart_spends_from_the_same_limit() {
    let place = Place::with(&policy());
    let mut first = place.start(&["--server", "raw"]);
    assert_eq!(admitted(&mut first, 1), 1);
    // as a crash would end it
    first.signal("KILL");
    first.end();
    let mut second = place.start(&["--server", "raw"]);
    assert_eq!(admitted(&mut second, 3), 1);
    let mut other = place.start(&["--server", "another"]);
    assert_eq!(admitted(&mut other, 3), 2);
    assert_eq!(place.ran("start_run"), 4);
}

#[test]
fn gates_side_by_side_spend_from_the_same_limit() {
    let place = Place::with(&super::support::gate::limited("start_run", 7, json!("hour")));
    // without a name too: it is made from the command
    let mut gates: Vec<_> = (0..4).map(|_| place.start(&[])).collect();
    let sent: Vec<Vec<usize>> = (0..4).map(|_| (0..5).collect()).collect();
    for (gate, ids) in gates.iter_mut().zip(&sent) {
        for id in ids {
            gate.send(&json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": "start_run" } }));
        }
    }
    let mut ran = 0;
    for (gate, ids) in gates.iter().zip(&sent) {
        for id in ids {
            let answer = gate.answer(&json!(id));
            let refused = text_of(&answer).contains("7 calls per hour");
            assert!(refused || text_of(&answer) == "start_run ran", "{answer}");
            ran += usize::from(!refused);
        }
    }
    assert_eq!((ran, place.ran("start_run")), (7, 7));
}

#[test]
fn a_file_that_cannot_be_read_denies_and_is_left_as_it_is() {
    let place = Place::with(&policy());
    for damaged in [
        "",
        "{\"version\":1",
        "{\"version\":2,\"swept\":0,\"model\":{\"logs\":{},\"indexes\":{}},\"secrets\":{}}",
    ] {
        place.folder.write("state/toolgate/raw.counters", damaged);
        let mut client = place.start(&["--server", "raw"]);
        let refused = client.call(1, "start_run", json!({}));
        let decision = &refused["result"]["_meta"]["toolgate/decision"];
        assert_eq!(decision["outcome"], "store_error", "{damaged:?}: {refused}");
        // calls without limits do not need the counters
        assert_eq!(text_of(&client.call(2, "echo", json!({}))), "echo ran");
        let text = std::fs::read_to_string(place.path("state/toolgate/raw.counters")).unwrap();
        assert_eq!(text, damaged);
    }
    assert_eq!(place.ran("start_run"), 0);
}

#[test]
fn a_file_that_another_holds_denies_within_a_deadline() {
    let place = Place::with(&policy());
    place.folder.write("state/toolgate/raw.counters.lock", "");
    let lock = place.path("state/toolgate/raw.counters.lock");
    let lock = std::fs::File::open(lock).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let mut client = place.start(&["--server", "raw"]);
    let began = std::time::Instant::now();
    let refused = client.call(1, "start_run", json!({}));
    let took = began.elapsed().as_secs_f64();
    drop(lock);
    assert_eq!(
        refused["result"]["_meta"]["toolgate/decision"]["outcome"], "store_error",
        "{refused}"
    );
    assert!(took < 10.0, "{took} s");
    assert_eq!(place.ran("start_run"), 0);
    // and when it is free, calls go on
    assert_eq!(admitted(&mut client, 1), 1);
}

#[test]
fn the_counters_are_their_owners_alone() {
    let place = Place::with(&policy());
    let mut client = place.start(&["--server", "raw"]);
    admitted(&mut client, 1);
    let mode = |name: &str| place.path(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("state/toolgate"), 0o700);
    assert_eq!(mode("state/toolgate/raw.counters"), 0o600);
    assert_eq!(mode("state/toolgate/raw.counters.lock"), 0o600);
}

#[test]
fn gates_that_are_killed_in_the_middle_leave_whole_counters_and_no_call_for_free() {
    let place = Place::with(&super::support::gate::limited("start_run", 25, json!("hour")));
    for round in 0..6 {
        let mut client = place.start(&["--server", "raw"]);
        client.request("ready", "ping", json!({}));
        for id in 0..20 {
            client.send(&json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": "start_run" } }));
        }
        // somewhere in the middle of the rest
        client.answer(&json!(round));
        client.signal("KILL");
        client.end();
    }
    let mut last = place.start(&["--server", "raw"]);
    admitted(&mut last, 30);
    let answer = last.call("over", "start_run", json!({}));
    assert!(text_of(&answer).contains("25 calls per hour"), "{answer}");
    assert!(place.ran("start_run") <= 25, "{}", place.ran("start_run"));
}
