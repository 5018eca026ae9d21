//! Every call is judged, and what a server would run is what was judged.

use serde_json::{Value, json};

use super::policy;
use super::support::ways_round;
use super::support::wrapped::{Place, Wrapped, text_of};

fn names(answer: &Value) -> Vec<&str> {
    let tools = answer["result"]["tools"].as_array().unwrap();
    tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}

#[test]
fn a_refused_call_does_not_run_and_the_next_one_does() {
    let place = Place::with(&policy());
    let mut client = place.start(&["--server", "raw"]);
    for id in 1..=2 {
        assert_eq!(text_of(&client.call(id, "start_run", json!({}))), "start_run ran");
    }
    let limited = client.call("third", "start_run", json!({}));
    assert_eq!(limited["result"]["isError"], true);
    assert!(
        text_of(&limited).starts_with("[POLICY DENIED] start_run: 2 calls per hour"),
        "{limited}"
    );
    let decision = &limited["result"]["_meta"]["toolgate/decision"];
    assert_eq!(
        (&decision["outcome"], &decision["executed"]),
        (&json!("limited"), &json!(false))
    );
    assert!(
        decision["retryAfterMs"].as_u64().unwrap() > 3_000_000,
        "{decision}"
    );
    let denied = client.call(4, "files/write", json!({}));
    assert!(text_of(&denied).contains("read only"), "{denied}");
    let hidden = client.call(5, "secret-show", json!({}));
    assert_eq!(
        hidden["error"],
        json!({ "code": -32602, "message": "Unknown tool: secret-show" })
    );
    assert_eq!(text_of(&client.call(6, "echo", json!({}))), "echo ran");
    assert_eq!(
        (
            place.ran("start_run"),
            place.ran("files/write"),
            place.ran("secret-show"),
            place.ran("echo")
        ),
        (2, 0, 0, 1)
    );
}

#[test]
fn each_decision_is_on_record() {
    let place = Place::with(&policy());
    let mut client = place.start(&["--server", "raw"]);
    for (id, tool) in [
        "start_run",
        "start_run",
        "start_run",
        "files/write",
        "secret-show",
    ]
    .iter()
    .enumerate()
    {
        client.call(id, tool, json!({}));
    }
    client.close_stdin();
    assert_eq!(client.end().code(), Some(0));
    let decisions = client.decisions();
    for outcome in ["limited", "denied", "hidden"] {
        let found = decisions.iter().filter(|line| line["outcome"] == outcome);
        assert_eq!(found.count(), 1, "{outcome}");
    }
    let allowed = decisions
        .iter()
        .find(|line| line["outcome"] == "allowed")
        .unwrap();
    assert_eq!(
        (&allowed["grant"], &allowed["server"], &allowed["tool"]),
        (&json!("local"), &json!("raw"), &json!("start_run"))
    );
    assert_eq!(allowed["upstream"]["ended"], "answered");
    assert_eq!(allowed["charges"][0]["max"], 2);
}

#[test]
fn a_list_of_tools_is_filtered_whichever_way_it_comes() {
    let place = Place::with(&policy());
    let mut client = place.start(&[]);
    let listed = client.request(1, "tools/list", json!({}));
    assert_eq!(names(&listed), ["echo", "die", "env", "hidden", "start_run"]);
    assert_eq!(text_of(&client.call(2, "leak", json!({}))), "leaked");
    let stdout = client.stdout();
    assert!(
        stdout.contains("never asked") && stdout.contains("a batch"),
        "{stdout}"
    );
    assert!(!stdout.contains("secret-show"), "{stdout}");
}

#[test]
fn what_the_server_says_that_cannot_be_filtered_does_not_pass() {
    let place = Place::with(&policy());
    let mut client = place.start(&[]);
    let split = client.call(1, "chatter", json!({}));
    assert_eq!(text_of(&split), "split");
    let broken = client.call(2, "broken", json!({}));
    assert_eq!(broken["error"]["code"], 502, "{broken}");
    let stdout = client.stdout();
    assert!(
        !stdout.contains('\r') && !stdout.contains("no JSON"),
        "{stdout:?}"
    );
    assert_eq!(text_of(&client.call(3, "echo", json!({}))), "echo ran");
}

#[test]
fn no_way_round_reaches_the_server() {
    let place = Place::with(&policy());
    let mut client = place.start(&[]);
    client.request(0, "ping", json!({}));
    let before = place.log().len();
    for (number, (what, line, code)) in ways_round::lines().into_iter().enumerate() {
        client.raw(&line);
        client.raw(b"\n");
        // an honest request behind it shows that the line was dealt with, and that the session lives
        let id = format!("after {number}");
        client.request(id.clone(), "ping", json!({}));
        let log = place.log();
        let reached: Vec<_> = log
            .iter()
            .skip(before)
            .filter(|line| !line.contains("after "))
            .collect();
        assert!(reached.is_empty(), "{what} reached the server: {reached:?}");
        let told = client.stdout();
        let told = told
            .lines()
            .rev()
            .nth(1)
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let told = told.unwrap();
        if code == 0 {
            assert_eq!(told["result"]["isError"], true, "{what}: {told}");
        } else {
            let got = told["error"]["code"].as_i64();
            assert!(got == Some(code) || got == Some(-32700), "{what}: {told}");
        }
    }
    assert_eq!(place.ran("files/write"), 0);
}

#[test]
fn a_call_without_an_id_is_never_forwarded() {
    let place = Place::with(&policy());
    let mut client = place.start(&[]);
    client.send(&json!({ "jsonrpc": "2.0", "method": "tools/call", "params": { "name": "echo" } }));
    client.request(1, "ping", json!({}));
    assert_eq!(place.ran("echo"), 0);
    assert_eq!(
        client.stdout().lines().count(),
        1,
        "a notification gets no answer"
    );
    client.close_stdin();
    client.end();
    assert!(client.decisions().iter().any(|line| line["rule"] == "(no id)"));
}

#[test]
fn ids_of_any_form_go_there_and_back() {
    let place = Place::with(&policy());
    let mut client = place.start(&[]);
    for id in [
        json!("a/b"),
        json!(-7),
        json!(1.5),
        json!(""),
        json!("1"),
        json!(1),
    ] {
        assert_eq!(
            text_of(&client.call(id.clone(), "echo", json!({}))),
            "echo ran",
            "{id}"
        );
    }
    client.raw(b"{\"jsonrpc\":\"2.0\",\"id\":\"x\\/y\",\"method\":\"tools/call\",\"params\":{\"name\":\"echo\"}}\r\n");
    assert_eq!(text_of(&client.answer(&json!("x/y"))), "echo ran");
    client.close_stdin();
    client.end();
    let calls = client.decisions();
    let calls = calls.iter().filter(|line| line["tool"] == "echo");
    let ended: Vec<_> = calls.map(|line| line["upstream"]["ended"].clone()).collect();
    assert_eq!(
        ended,
        vec![json!("answered"); 7],
        "an answer was not taken for its request's"
    );
}

#[test]
fn what_the_server_asks_reaches_the_client_while_a_call_runs() {
    let place = Place::with(&policy());
    let mut client = place.start(&[]);
    client.send(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "ask" } }));
    let asked = client.until("question", |message| {
        message["method"] == "sampling/createMessage"
    });
    // meanwhile others are served
    assert_eq!(text_of(&client.call(2, "echo", json!({}))), "echo ran");
    client.send(&json!({ "jsonrpc": "2.0", "id": asked["id"], "result": { "role": "user" } }));
    assert_eq!(
        text_of(&client.answer(&json!(1))),
        r#"the client said {"role": "user"}"#
    );
}

#[test]
fn calls_run_side_by_side_and_are_answered_as_they_end() {
    let place = Place::with(&policy());
    let mut client = place.start(&[]);
    let later = json!({ "name": "later", "arguments": { "ms": 300 } });
    client.send(&json!({ "jsonrpc": "2.0", "id": "slow", "method": "tools/call", "params": later }));
    client.call("quick", "echo", json!({}));
    client.answer(&json!("slow"));
    let stdout = client.stdout();
    let order: Vec<_> = stdout.lines().map(|line| line.contains("quick")).collect();
    assert_eq!(order, [true, false]);
}

#[test]
fn a_cancelled_call_is_on_record_as_such_and_the_server_hears_of_it() {
    let place = Place::with(&policy());
    let mut client = place.start(&[]);
    client.send(&json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": { "name": "never" } }));
    let cancel = json!({ "requestId": 7, "reason": "enough" });
    client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancel }));
    client.request(8, "ping", json!({}));
    assert!(
        place
            .log()
            .iter()
            .any(|line| line.contains("notifications/cancelled"))
    );
    let found = |client: &Wrapped| {
        let decisions = client.decisions();
        decisions
            .iter()
            .any(|line| line["tool"] == "never" && line["upstream"]["ended"] == "aborted")
    };
    client.close_stdin();
    client.end();
    assert!(found(&client), "{}", client.stderr());
}
