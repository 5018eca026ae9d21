//! What was written down: every line of a call and of a request is its own grant's, and bears no id of another's.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use toolgate::approvals::State;

use super::Side;
use super::place::{listed, shows};
use crate::support::gate::Gate;
use crate::support::wait::PATIENCE;

/// Ends the gate, so that everything is written, and looks at all of it.
pub async fn right(gate: &mut Gate, sides: &[Side]) {
    in_the_list(gate, sides).await;
    gate.terminate(PATIENCE);
    let decisions = gate.decisions();
    for (who, side) in sides.iter().enumerate() {
        of_calls(&decisions, who, side);
    }
    let sent: usize = sides.iter().map(|side| side.sent).sum();
    assert_eq!(decisions.len(), sent, "a line for each call");
    let keys = sides.iter().map(|side| key(&decisions, side).to_string());
    let keys: BTreeSet<String> = keys.collect();
    assert_eq!(keys.len(), sides.len(), "what tells grants apart: {keys:?}");
    let text = gate.stdout();
    let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
    let events: Vec<Value> = lines.filter(|line: &Value| line["event"] == "approval").collect();
    for side in sides {
        of_requests(&events, &decisions, side);
    }
}

/// The console's list has all requests of all grants, each where its own grant's book says.
async fn in_the_list(gate: &Gate, sides: &[Side]) {
    let list = listed(gate, "").await;
    let known: usize = sides.iter().map(|side| side.book.requests.len()).sum();
    assert_eq!(list.len(), known);
    for side in sides {
        for request in &side.book.requests {
            let found = list.iter().find(|listed| listed["id"] == json!(request.id));
            shows(found.unwrap(), side.who, request);
        }
    }
}

/// What a line says of whose it is: the grant's id, and its key where it was made of claims.
fn whose(line: &Value) -> Value {
    json!([line["grant"], line["grant_key"]])
}

fn key(decisions: &[Value], side: &Side) -> Value {
    let first = side.first.as_ref().unwrap();
    whose(decisions.iter().find(|line| line["id"] == json!(first)).unwrap())
}

fn of_calls(decisions: &[Value], who: usize, side: &Side) {
    let key = key(decisions, side);
    assert_eq!(key[0], json!(side.who.shown()));
    let own: Vec<&Value> = decisions.iter().filter(|line| whose(line) == key).collect();
    assert_eq!(own.len(), side.sent, "lines of {who}");
    for line in &own {
        if let Some(id) = line["approval"].as_str() {
            assert!(side.book.has(id), "a line of {who} bears another's: {line}");
        }
    }
    let ran = own.iter().filter(|line| line["outcome"] == "allowed");
    let ran: Vec<&str> = ran.map(|line| line["approval"].as_str().unwrap()).collect();
    assert_eq!(ran.len(), side.book.runs(), "runs of {who}");
}

/// Each request was decided at most once and used up at most once, by a call of its own grant.
fn of_requests(events: &[Value], decisions: &[Value], side: &Side) {
    let key = key(decisions, side);
    for request in &side.book.requests {
        let own: Vec<&Value> = events
            .iter()
            .filter(|line| line["approval"] == json!(request.id))
            .collect();
        let mut states: Vec<&str> = own.iter().map(|line| line["state"].as_str().unwrap()).collect();
        // a call that waited may come before the line of the word that let it go
        states.sort_unstable();
        let expected: &[&str] = match request.state {
            State::Pending | State::Expired => &[],
            State::Approved => &["approved"],
            State::Denied => &["denied"],
            State::Consumed => &["approved", "consumed"],
        };
        assert_eq!(states, expected, "{}", request.id);
        for line in own {
            assert_eq!(whose(line), key, "{line}");
            if line["state"] == "consumed" {
                let call = decisions.iter().find(|ran| ran["id"] == line["call"]).unwrap();
                assert_eq!(whose(call), key, "used up by another: {line}");
                assert_eq!(call["approval"], line["approval"]);
            }
        }
    }
}
