//! An HTTP server that lets go of an answer's stream: it is taken up again, and the call keeps its place meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::support::canned::Canned;
use super::support::wrapped::{Place, Wrapped, text_of};

fn stream(events: &str) -> Vec<u8> {
    Canned::answer("200 OK", &["Content-Type: text/event-stream"], events.as_bytes())
}

fn result(id: &Value) -> String {
    let text = json!([{ "type": "text", "text": "ran" }]);
    json!({ "jsonrpc": "2.0", "id": id, "result": { "content": text } }).to_string()
}

/// Answers calls on a stream that ends at once, and only `done` on the streams that take it up again.
async fn server(done: &Arc<AtomicBool>, resumed: &Arc<AtomicUsize>) -> Canned {
    let (done, resumed) = (Arc::clone(done), Arc::clone(resumed));
    let waits = "id: e/1\nretry: 50\ndata:\n\n";
    Canned::start_with(move |request| {
        if request.starts_with("GET") {
            assert!(request.to_lowercase().contains("last-event-id: e/1"), "{request}");
            resumed.fetch_add(1, Ordering::SeqCst);
            let answer = format!("id: e/2\ndata: {}\n\n", result(&json!("one")));
            return stream(if done.load(Ordering::SeqCst) {
                &answer
            } else {
                waits
            });
        }
        let body: Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
        if body["id"] == "one" {
            return stream(waits);
        }
        stream(&format!("data: {}\n\n", result(&body["id"])))
    })
    .await
}

fn call(id: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": "run", "arguments": {} } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_keeps_its_place_while_its_stream_is_taken_up_again() {
    let (done, resumed) = (Arc::default(), Arc::default());
    let server = server(&done, &resumed).await;
    let place = Place::with(&json!({ "version": "1", "default": "deny",
        "tools": { "run": { "concurrency": { "counter": "one", "max": 1 } } } }));
    let mut command = place.wrap(&["--upstream", &server.url]);
    let mut client = Wrapped::start(&mut command);
    client.send(&call("one"));
    let asked = || async { (resumed.load(Ordering::SeqCst) >= 2).then_some(()) };
    super::support::wait::until("the stream is taken up again", asked).await;
    client.send(&call("two"));
    let refused = client.answer(&json!("two"));
    assert_eq!(refused["result"]["isError"], true, "{refused}");
    assert!(text_of(&refused).contains("not executed"), "{refused}");
    done.store(true, Ordering::SeqCst);
    assert_eq!(text_of(&client.answer(&json!("one"))), "ran");
    // its place is given back behind its answer
    let free = (3..200).any(|number| text_of(&client.call(number, "run", json!({}))) == "ran");
    assert!(free, "its place was never given back");
}
