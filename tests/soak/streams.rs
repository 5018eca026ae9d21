//! Clients that hold event streams open, read them, vanish without a word, and come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::book::Book;
use crate::server::HIDDEN;
use crate::support::http::exchange;
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
        let mut stream = match index % 10 {
            0..6 => {
                let session = caller.open_session().await;
                open(&session.caller, &session.stream_request()).await
            }
            6 | 7 => open(caller, &listen(caller)).await,
            _ => self.legacy(caller, turn).await,
        };
        drop(opening);
        self.opened.fetch_add(1, Relaxed);
        let spread = u32::try_from((index * 7 + turn * 13) % 101).unwrap();
        let left = Instant::now() + self.life / 2 + self.life * spread / 101;
        tokio::select! {
            () = stream.read() => {
                self.ended.fetch_add(1, Relaxed);
            }
            () = sleep_until(left) => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    /// The transport of 2024-11-05: opens a stream, calls through its endpoint, and reads the answer on it.
    async fn legacy(&self, caller: &Caller, turn: usize) -> Stream {
        let request = caller.request("GET", &[("Accept", "text/event-stream")], b"");
        let mut stream = open(caller, &request).await;
        let told = stream.until("\n\n").await;
        let path = told
            .split_once("data: ")
            .unwrap()
            .1
            .lines()
            .next()
            .unwrap()
            .to_owned();
        let (tool, outcome) = if turn.is_multiple_of(2) {
            ("quick", "allowed")
        } else {
            ("denied", "denied")
        };
        let number = self.book.number();
        let call = json!({ "jsonrpc": "2.0", "id": number, "method": "tools/call",
            "params": { "name": tool, "arguments": { "n": number } } });
        let endpoint = caller.at(&path);
        let request = endpoint.request("POST", &[], call.to_string().as_bytes());
        let sent = exchange(endpoint.address(), &request);
        let wanted = format!("\"id\":{number},");
        let (sent, heard) = tokio::join!(sent, stream.until(&wanted));
        assert_eq!(sent.status, 202);
        assert_eq!(heard.contains("POLICY DENIED"), outcome == "denied", "{heard}");
        self.book.count(number, tool, outcome);
        stream
    }
}

/// A stream that is open, and what was heard last.
struct Stream {
    wire: TcpStream,
    heard: Vec<u8>,
}

/// Opens a stream by this request.
async fn open(caller: &Caller, request: &[u8]) -> Stream {
    let mut wire = caller.send_only(request).await;
    assert_eq!(wire.head().await.status, 200);
    let (wire, heard) = wire.into_parts();
    Stream { wire, heard }
}

impl Stream {
    /// Waits for these words and takes what was heard up to the end of their line.
    async fn until(&mut self, words: &str) -> String {
        loop {
            let text = String::from_utf8_lossy(&self.heard).into_owned();
            if let Some((before, after)) = text.split_once(words)
                && let Some((rest, _)) = after
                    .split_once('\n')
                    .or(words.ends_with('\n').then_some(("", "")))
            {
                self.heard.clear();
                return format!("{before}{words}{rest}");
            }
            assert!(self.more().await, "the stream ended before `{words}`: {text}");
        }
    }

    /// Reads until the end; nothing hidden may be among it.
    async fn read(&mut self) {
        while self.more().await {
            // what could be the beginning of the name stays
            let old = self.heard.len().saturating_sub(HIDDEN.len());
            self.heard.drain(..old);
        }
    }

    async fn more(&mut self) -> bool {
        let read = self.wire.read_buf(&mut self.heard).await;
        let text = String::from_utf8_lossy(&self.heard);
        assert!(!text.contains(HIDDEN), "a hidden tool was shown: {text}");
        read.is_ok_and(|count| count > 0)
    }
}

/// A subscription of the revision without sessions.
fn listen(caller: &Caller) -> Vec<u8> {
    let body = json!({ "jsonrpc": "2.0", "id": "listen", "method": "subscriptions/listen", "params": {
        "notifications": { "toolsListChanged": true },
        "_meta": { "io.modelcontextprotocol/protocolVersion": CURRENT } } });
    let headers = [
        ("MCP-Protocol-Version", CURRENT),
        ("Mcp-Method", "subscriptions/listen"),
    ];
    caller.request("POST", &headers, body.to_string().as_bytes())
}
