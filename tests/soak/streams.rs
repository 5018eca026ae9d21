//! Clients that hold event streams open, read them, vanish without a word, and come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::book::Book;
use crate::server::HIDDEN;
use crate::support::http::{Events, exchange};
use crate::support::mcp::{CURRENT, Caller};

/// Streams that are opened at the same time.
const OPENING: usize = 32;

/// What all of them share.
pub struct Crowd {
    pub book: Book,
    /// Streams that were opened.
    pub opened: AtomicUsize,
    /// Streams that the gate ended.
    pub ended: AtomicUsize,
    door: Semaphore,
    life: Duration,
}

impl Crowd {
    /// A stream is left after half of `life` up to one and a half.
    pub fn new(book: Book, life: Duration) -> Arc<Self> {
        Arc::new(Self {
            book,
            opened: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            door: Semaphore::new(OPENING),
            life,
        })
    }

    /// Keeps this many streams open until told to stop: of ten, six of a session, two that listen without one, and
    /// two of the transport of 2024-11-05.
    pub fn keep(
        self: &Arc<Self>,
        count: usize,
        current: &[Caller],
        legacy: &[Caller],
        stop: &watch::Receiver<bool>,
    ) -> JoinSet<()> {
        let mut clients = JoinSet::new();
        for index in 0..count {
            let crowd = Arc::clone(self);
            let callers = if index % 10 < 8 { current } else { legacy };
            let caller = callers[index % callers.len()].clone();
            let mut stop = stop.clone();
            clients.spawn(async move {
                for turn in 0.. {
                    if *stop.borrow() {
                        return;
                    }
                    crowd.one(&caller, index, turn, &mut stop).await;
                }
            });
        }
        clients
    }

    /// Opens a stream whatever happens, since what is called on the way counts; then reads it until it leaves.
    async fn one(&self, caller: &Caller, index: usize, turn: usize, stop: &mut watch::Receiver<bool>) {
        let opening = self.door.acquire().await.unwrap();
        let mut events = match index % 10 {
            0..6 => caller.open_session().await.listen().await.1,
            6 | 7 => listen(caller).await,
            _ => self.legacy(caller, turn).await,
        };
        drop(opening);
        self.opened.fetch_add(1, Relaxed);
        let spread = u32::try_from((index * 7 + turn * 13) % 101).unwrap();
        let left = Instant::now() + self.life / 2 + self.life * spread / 101;
        tokio::select! {
            () = self.read(&mut events) => {}
            () = sleep_until(left) => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    async fn read(&self, events: &mut Events) {
        while let Some(event) = events.next().await {
            assert!(
                !event.to_string().contains(HIDDEN),
                "a hidden tool was shown: {event}"
            );
        }
        self.ended.fetch_add(1, Relaxed);
    }

    /// The transport of 2024-11-05: opens a stream, calls through its endpoint, and reads the answer on it.
    async fn legacy(&self, caller: &Caller, turn: usize) -> Events {
        let headers = [("Accept", "text/event-stream")];
        let mut wire = caller.send_only(&caller.request("GET", &headers, b"")).await;
        assert_eq!(wire.head().await.status, 200);
        let mut told = String::new();
        while !told.ends_with("\n\n") {
            told += &String::from_utf8(wire.piece().await.expect("an endpoint is announced")).unwrap();
        }
        let path = told.strip_prefix("event: endpoint\ndata: ").unwrap().trim_end();
        let (tool, outcome) = if turn.is_multiple_of(2) {
            ("quick", "allowed")
        } else {
            ("denied", "denied")
        };
        let number = self.book.number();
        let call = json!({ "jsonrpc": "2.0", "id": number, "method": "tools/call",
            "params": { "name": tool, "arguments": { "n": number } } });
        let endpoint = caller.at(path);
        let request = endpoint.request("POST", &[], call.to_string().as_bytes());
        let sent = exchange(endpoint.address(), &request);
        let mut events = Events::new(wire);
        let (sent, answer) = tokio::join!(sent, answer_to(&mut events, number));
        assert_eq!(sent.status, 202);
        let refused = answer["result"]["isError"] == true;
        assert_eq!(refused, outcome == "denied", "{answer}");
        self.book.count(number, tool, outcome);
        events
    }
}

async fn answer_to(events: &mut Events, number: u64) -> Value {
    loop {
        let event = events.next().await.expect("the stream goes on");
        if event["id"] == number {
            return event;
        }
    }
}

/// A subscription of the revision without sessions.
async fn listen(caller: &Caller) -> Events {
    let body = json!({ "jsonrpc": "2.0", "id": "listen", "method": "subscriptions/listen", "params": {
        "notifications": { "toolsListChanged": true },
        "_meta": { "io.modelcontextprotocol/protocolVersion": CURRENT } } });
    let headers = [
        ("MCP-Protocol-Version", CURRENT),
        ("Mcp-Method", "subscriptions/listen"),
    ];
    let mut wire = caller
        .send_only(&caller.request("POST", &headers, body.to_string().as_bytes()))
        .await;
    assert_eq!(wire.head().await.status, 200);
    Events::new(wire)
}
