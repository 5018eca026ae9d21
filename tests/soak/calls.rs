//! Clients that call all the while, each in a way of its own.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::book::Book;
use crate::server::{HIDDEN, Server};
use crate::support::mcp::Caller;
use crate::support::wait::until;

/// What is called, and how it ends for the client.
const KINDS: [(&str, End); 11] = [
    ("quick", End::Answered),
    ("quick", End::Answered),
    ("stream", End::Answered),
    ("limited", End::Answered),
    ("at_once", End::Answered),
    ("at_once", End::Answered),
    ("denied", End::Answered),
    (HIDDEN, End::Answered),
    ("leave", End::Vanishes),
    ("stall", End::Cut),
    ("mute", End::Answered),
];

#[derive(Clone, Copy)]
enum End {
    /// With an answer, be it the gate's.
    Answered,
    /// The client goes away once the server has the call.
    Vanishes,
    /// The server stops in the middle of its answer, and the gate closes.
    Cut,
}

/// Starts a client for each kind, and one whose server breaks off; they end their last call once told to stop.
pub fn start(
    callers: &[Caller],
    server: &Arc<Server>,
    book: &Book,
    pause: Duration,
    stop: &watch::Receiver<bool>,
) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    let kinds = KINDS.into_iter().chain([("break", End::Answered)]);
    for ((tool, end), caller) in kinds.zip(callers.iter().cycle()) {
        let (caller, server, book, stop) = (caller.clone(), Arc::clone(server), book.clone(), stop.clone());
        clients.spawn(async move {
            while !*stop.borrow() {
                call(&caller, &server, &book, tool, end).await;
                tokio::time::sleep(pause).await;
            }
        });
    }
    clients
}

async fn call(caller: &Caller, server: &Server, book: &Book, tool: &str, end: End) {
    let number = book.number();
    let arguments = json!({ "n": number });
    let outcome = match end {
        End::Answered => {
            let reply = caller.call(tool, &arguments).await;
            match (reply.outcome(), reply.message["error"]["code"].as_i64()) {
                ("executed", _) => "allowed".to_owned(),
                (_, Some(-32602)) => "hidden".to_owned(),
                (_, Some(502 | 504)) => "upstream_error".to_owned(),
                (outcome, None) => outcome.to_owned(),
                (_, Some(_)) => panic!("{tool}: {}", reply.message),
            }
        }
        End::Vanishes => {
            let wire = caller
                .send_only(&caller.current_request(tool, &arguments, 1))
                .await;
            until("the server has the call", || async {
                server.take_arrived(number).then_some(())
            })
            .await;
            drop(wire);
            "allowed".to_owned()
        }
        End::Cut => {
            let mut wire = caller
                .send_only(&caller.current_request(tool, &arguments, 1))
                .await;
            assert_eq!(wire.head().await.status, 200);
            wire.until_end().await;
            "allowed".to_owned()
        }
    };
    book.count(number, tool, &outcome);
}
