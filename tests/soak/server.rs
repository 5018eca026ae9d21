//! A server that answers, stalls, breaks off, and keeps thousands of event streams open, on a raw socket.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at};

/// How often an open stream says something.
const TICK: Duration = Duration::from_secs(2);
/// A tool that no client may see.
pub const HIDDEN: &str = "secret-tool";
const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nCache-Control: no-store\r\n\r\n";

pub struct Server {
    pub address: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    streams: AtomicUsize,
    sessions: AtomicU64,
    /// Streams of the transport of 2024-11-05, by their session.
    legacy: Mutex<HashMap<String, mpsc::Sender<Value>>>,
    /// Calls whose clients mean to vanish, once they are here.
    arrived: Mutex<HashSet<u64>>,
}

impl Server {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(State::default());
        let accepting = Arc::clone(&state);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                tokio::spawn(serve(stream, Arc::clone(&accepting)));
            }
        });
        Self { address, state }
    }

    /// Event streams that are open now.
    pub fn streams(&self) -> usize {
        self.state.streams.load(Relaxed)
    }

    /// Whether this call has arrived; true once.
    pub fn take_arrived(&self, number: u64) -> bool {
        self.state.arrived.lock().unwrap().remove(&number)
    }
}

struct Request {
    line: String,
    message: Value,
}

/// Serves one connection until it ends or an answer does not.
async fn serve(mut stream: TcpStream, state: Arc<State>) {
    let mut buffer = Vec::new();
    while let Some(request) = read(&mut stream, &mut buffer).await {
        if answer(&mut stream, &state, &request).await.is_none() {
            return;
        }
    }
}

async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Request> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(buffer.drain(..end).collect()).unwrap();
    let length = head
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length: ")
                .map(str::to_owned)
        })
        .map_or(0, |length| length.parse().unwrap());
    while buffer.len() < length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let body: Vec<u8> = buffer.drain(..length).collect();
    Some(Request {
        line: head.lines().next().unwrap().to_owned(),
        message: serde_json::from_slice(&body).unwrap_or_default(),
    })
}

/// `None`: the connection is over.
async fn answer(stream: &mut TcpStream, state: &State, request: &Request) -> Option<()> {
    let message = &request.message;
    if request.line.starts_with("GET /sse") {
        return legacy_stream(stream, state).await;
    }
    if request.line.starts_with("GET ") {
        return events(stream, state, None).await;
    }
    if let Some((_, session)) = request.line.split_once("?") {
        return legacy_message(stream, state, session.split(' ').next().unwrap(), message).await;
    }
    match message["method"].as_str().unwrap_or_default() {
        "initialize" => {
            let session = state.sessions.fetch_add(1, Relaxed);
            let result = json!({ "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
                "serverInfo": { "name": "soak", "version": "1" } });
            whole(
                stream,
                &format!("Mcp-Session-Id: s{session}\r\n"),
                &ok(message, &result),
            )
            .await
        }
        "subscriptions/listen" => events(stream, state, Some(&message["id"])).await,
        "tools/call" => call(stream, state, message).await,
        _ => send(stream, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n").await,
    }
}

fn ok(message: &Value, result: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": message["id"], "result": result })
}

fn ran(message: &Value) -> Value {
    let text = json!([{ "type": "text", "text": "ran" }]);
    ok(message, &json!({ "resultType": "complete", "content": text }))
}

async fn call(stream: &mut TcpStream, state: &State, message: &Value) -> Option<()> {
    match message["params"]["name"].as_str().unwrap_or_default() {
        "stream" => {
            send(stream, EVENTS).await?;
            for step in 1..4 {
                let told = json!({ "jsonrpc": "2.0", "method": "notifications/progress",
                    "params": { "progressToken": message["id"], "progress": step } });
                event(stream, &told).await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            event(stream, &ran(message)).await?;
            send(stream, "0\r\n\r\n").await
        }
        "leave" => {
            let number = message["params"]["arguments"]["n"].as_u64().unwrap();
            state.arrived.lock().unwrap().insert(number);
            until_left(stream).await
        }
        "stall" => {
            send(stream, EVENTS).await?;
            send(stream, "40\r\nevent: message\ndata: {\"jsonrpc\":").await?;
            until_left(stream).await
        }
        "mute" => until_left(stream).await,
        "break" => None,
        "at_once" => {
            tokio::time::sleep(Duration::from_millis(300)).await;
            whole(stream, "", &ran(message)).await
        }
        _ => whole(stream, "", &ran(message)).await,
    }
}

/// Waits until the gate closes the connection.
async fn until_left(stream: &mut TcpStream) -> Option<()> {
    let mut byte = [0];
    // whatever comes, it is the end of this connection
    let _ = stream.read(&mut byte).await;
    None
}

async fn send(stream: &mut TcpStream, text: &str) -> Option<()> {
    stream.write_all(text.as_bytes()).await.ok()
}

async fn whole(stream: &mut TcpStream, more: &str, message: &Value) -> Option<()> {
    let body = message.to_string();
    let length = body.len();
    send(
        stream,
        &format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{more}Content-Length: {length}\r\n\r\n{body}"),
    )
    .await
}

async fn event(stream: &mut TcpStream, message: &Value) -> Option<()> {
    chunk(stream, &format!("event: message\ndata: {message}\n\n")).await
}

async fn chunk(stream: &mut TcpStream, text: &str) -> Option<()> {
    send(stream, &format!("{:x}\r\n{text}\r\n", text.len())).await
}

/// What an open stream says in turn: that something changed, and a list with a hidden tool in it.
fn said(turn: u64, subscription: Option<&Value>) -> Value {
    if turn % 2 == 1 {
        let tools = json!([{ "name": "quick" }, { "name": HIDDEN }]);
        return json!({ "jsonrpc": "2.0", "id": format!("turn-{turn}"), "result": { "tools": tools } });
    }
    let mut told = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
    if let Some(id) = subscription {
        told["params"] = json!({ "_meta": { "io.modelcontextprotocol/subscriptionId": id } });
    }
    told
}

/// Says something every now and then until the gate leaves.
async fn events(stream: &mut TcpStream, state: &State, subscription: Option<&Value>) -> Option<()> {
    send(stream, EVENTS).await?;
    let (_open, mut nothing) = mpsc::channel(1);
    if subscription.is_some() {
        let told = json!({ "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
            "params": { "notifications": { "toolsListChanged": true } } });
        event(stream, &told).await?;
    }
    talk(stream, state, subscription, &mut nothing).await
}

async fn talk(
    stream: &mut TcpStream,
    state: &State,
    subscription: Option<&Value>,
    answers: &mut mpsc::Receiver<Value>,
) -> Option<()> {
    let _counted = Counted::of(&state.streams);
    // not all at the same moment
    let place = u32::try_from(state.streams.load(Relaxed) % 97).unwrap();
    let first = Instant::now() + TICK * place / 97;
    let mut ticks = interval_at(first, TICK);
    let mut byte = [0];
    for turn in 0.. {
        let message = tokio::select! {
            _ = ticks.tick() => said(turn, subscription),
            Some(answer) = answers.recv() => answer,
            _ = stream.read(&mut byte) => return None,
        };
        event(stream, &message).await?;
    }
    None
}

async fn legacy_stream(stream: &mut TcpStream, state: &State) -> Option<()> {
    let session = format!("sessionId={}", state.sessions.fetch_add(1, Relaxed));
    let (sender, mut answers) = mpsc::channel(8);
    state.legacy.lock().unwrap().insert(session.clone(), sender);
    send(stream, EVENTS).await?;
    let told = format!("event: endpoint\ndata: /message?{session}\n\n");
    if chunk(stream, &told).await.is_some() {
        talk(stream, state, None, &mut answers).await;
    }
    state.legacy.lock().unwrap().remove(&session);
    None
}

async fn legacy_message(stream: &mut TcpStream, state: &State, session: &str, message: &Value) -> Option<()> {
    send(stream, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n").await?;
    let answers = state.legacy.lock().unwrap().get(session).cloned();
    if let Some(answers) = answers {
        // its stream may have ended
        let _ = answers.send(ran(message)).await;
    }
    Some(())
}

/// One more, until it is dropped.
struct Counted<'c>(&'c AtomicUsize);

impl<'c> Counted<'c> {
    fn of(counter: &'c AtomicUsize) -> Self {
        counter.fetch_add(1, Relaxed);
        Self(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
