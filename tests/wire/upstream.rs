//! A scripted MCP server on a raw socket: records the exact bytes it receives, answers with exact bytes.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

use super::until;

/// One thing that the upstream does once a request is there.
#[derive(Clone)]
pub enum Step {
    /// Writes these bytes.
    Send(Vec<u8>),
    /// Waits until the latch opens, or the peer leaves.
    Wait(Latch),
    /// Writes this many bytes, in small pieces, counting each in [`Upstream::written`].
    Flood(usize),
    /// A good answer with the request's own id; 202 where it has none.
    Answer,
    /// Closes the connection.
    Close,
}

pub type Reply = Vec<Step>;

/// Opens once, for everybody.
#[derive(Clone)]
pub struct Latch(Arc<watch::Sender<bool>>);

impl Latch {
    pub fn new() -> Self {
        Self(Arc::new(watch::channel(false).0))
    }

    pub fn open(&self) {
        self.0.send_replace(true);
    }

    pub async fn opened(&self) {
        self.0.subscribe().wait_for(|open| *open).await.unwrap();
    }
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// From the request line to the blank line.
    pub head: String,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn request_line(&self) -> &str {
        self.head.lines().next().unwrap()
    }

    /// All values of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

#[derive(Default)]
struct State {
    seen: Mutex<Vec<Seen>>,
    script: Mutex<VecDeque<Reply>>,
    always: Mutex<Option<Reply>>,
    /// The `tools` that every `tools/list` is answered with.
    tools: Mutex<Option<String>>,
    accepted: AtomicUsize,
    /// Connections that the peer ended while an answer was awaited or being written.
    aborted: AtomicUsize,
    ended: AtomicUsize,
    written: AtomicUsize,
}

pub struct Upstream {
    pub addr: SocketAddr,
    state: Arc<State>,
    hang_up: watch::Sender<u32>,
    accepting: tokio::task::JoinHandle<()>,
    slam: Arc<std::sync::atomic::AtomicBool>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// An address that refuses connections.
pub async fn dead_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
}

impl Upstream {
    pub async fn start() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap()).await
    }

    pub async fn at(addr: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        // little of a flood may hide in the network
        socket.set_send_buffer_size(65_536).unwrap();
        socket.bind(addr).unwrap();
        let listener = socket.listen(1024).unwrap();
        let addr = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let (hang_up, hung_up) = watch::channel(0);
        let slam = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (theirs, door) = (Arc::clone(&state), Arc::clone(&slam));
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                theirs.accepted.fetch_add(1, SeqCst);
                if door.load(SeqCst) {
                    continue;
                }
                stream.set_nodelay(true).unwrap();
                let (state, hung_up) = (Arc::clone(&theirs), hung_up.clone());
                tokio::spawn(async move {
                    serve(stream, &state, hung_up).await;
                    state.ended.fetch_add(1, SeqCst);
                });
            }
        });
        Self {
            addr,
            state,
            hang_up,
            accepting,
            slam,
        }
    }

    /// An upstream that answers every request in one way.
    pub async fn always(reply: Reply) -> Self {
        let upstream = Self::start().await;
        upstream.keeps_answering(reply);
        upstream
    }

    pub fn keeps_answering(&self, reply: Reply) {
        *self.state.always.lock().unwrap() = Some(reply);
    }

    /// Answers each `tools/list` with these entries, whoever asks, and takes nothing from the script for it.
    pub fn lists(&self, tools: &str) {
        *self.state.tools.lock().unwrap() = Some(tools.to_owned());
    }

    /// How the next request that has no reply yet is answered.
    pub fn next(&self, reply: Reply) {
        self.state.script.lock().unwrap().push_back(reply);
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.state.seen.lock().unwrap().len()
    }

    /// Waits until that many requests are there, and gives the last of them.
    pub async fn request(&self, number: usize) -> Seen {
        until(|| self.count() >= number).await;
        self.seen().swap_remove(number - 1)
    }

    pub fn last(&self) -> Seen {
        self.seen().pop().expect("the upstream saw no request")
    }

    pub fn accepted(&self) -> usize {
        self.state.accepted.load(SeqCst)
    }

    pub fn aborted(&self) -> usize {
        self.state.aborted.load(SeqCst)
    }

    pub fn ended(&self) -> usize {
        self.state.ended.load(SeqCst)
    }

    /// Bytes of floods that the network took so far.
    pub fn written(&self) -> usize {
        self.state.written.load(SeqCst)
    }

    /// Closes every connection that waits for a request.
    pub fn close_idle(&self) {
        self.hang_up.send_modify(|round| *round += 1);
    }

    /// Whether new connections are closed as soon as they are accepted.
    pub fn slam_the_door(&self, slam: bool) {
        self.slam.store(slam, SeqCst);
    }

    /// Stops listening: new connections are refused.
    pub async fn stop_listening(&self) {
        self.accepting.abort();
        until(|| self.accepting.is_finished()).await;
    }
}

async fn serve(mut stream: TcpStream, state: &State, mut hung_up: watch::Receiver<u32>) {
    hung_up.mark_unchanged();
    let mut buffer = Vec::new();
    loop {
        let seen = tokio::select! {
            seen = read_request(&mut stream, &mut buffer) => seen,
            _ = hung_up.changed() => return,
        };
        let Some(seen) = seen else { return };
        let answer = own_answer(&seen);
        let reply = {
            let list = list_answer(&seen, state.tools.lock().unwrap().as_deref());
            let mut script = state.script.lock().unwrap();
            let always = state.always.lock().unwrap().clone();
            state.seen.lock().unwrap().push(seen);
            list.or_else(|| script.pop_front())
                .or(always)
                .unwrap_or_else(|| vec![Step::Answer])
        };
        for step in reply {
            let went_on = match step {
                Step::Send(bytes) => stream.write_all(&bytes).await.is_ok(),
                Step::Answer => stream.write_all(&answer).await.is_ok(),
                Step::Flood(bytes) => flood(&mut stream, state, bytes).await,
                Step::Wait(latch) => wait(&mut stream, &latch).await,
                Step::Close => return,
            };
            if !went_on {
                state.aborted.fetch_add(1, SeqCst);
                return;
            }
        }
    }
}

async fn wait(stream: &mut TcpStream, latch: &Latch) -> bool {
    let mut byte = [0; 1];
    tokio::select! {
        () = latch.opened() => true,
        read = stream.read(&mut byte) => {
            assert!(!matches!(read, Ok(1)), "bytes behind a request whose answer is awaited");
            false
        }
    }
}

async fn flood(stream: &mut TcpStream, state: &State, bytes: usize) -> bool {
    let piece = vec![b'x'; 16_384];
    let mut left = bytes;
    while left > 0 {
        let Ok(written) = stream.write(&piece[..left.min(piece.len())]).await else {
            return false;
        };
        left -= written;
        state.written.fetch_add(written, SeqCst);
    }
    true
}

/// Reads one request whole; `None` at the end of the connection.
async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Seen> {
    let end = loop {
        if let Some(end) = find(buffer, b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(buffer.drain(..end).collect()).unwrap();
    let mut seen = Seen {
        head,
        body: Vec::new(),
    };
    assert!(
        seen.header("transfer-encoding").is_none(),
        "toolgate writes Content-Length"
    );
    let length: usize = seen
        .header("content-length")
        .map_or(0, |length| length.parse().unwrap());
    while buffer.len() < length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    seen.body = buffer.drain(..length).collect();
    Some(seen)
}

pub fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// The JSON-RPC id of a message, raw.
fn id_of(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Message<'a> {
        #[serde(borrow)]
        id: Option<&'a RawValue>,
    }
    let message: Message<'_> = serde_json::from_slice(body).ok()?;
    message.id.map(|id| id.get().to_owned())
}

fn list_answer(seen: &Seen, tools: Option<&str>) -> Option<Reply> {
    find(&seen.body, b"\"tools/list\"")?;
    let (id, tools) = (id_of(&seen.body)?, tools?);
    let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"tools":[{tools}]}}}}"#);
    Some(vec![Step::Send(json(&body))])
}

fn own_answer(seen: &Seen) -> Vec<u8> {
    match id_of(&seen.body) {
        Some(id) => json(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":"ran"}}]}}}}"#
        )),
        None => b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n".to_vec(),
    }
}

/// A whole answer with a JSON body.
pub fn json(body: &str) -> Vec<u8> {
    answer("200 OK", &[("Content-Type", "application/json")], body.as_bytes())
}

/// A whole answer.
pub fn answer(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        out.push_str(&format!("{name}: {value}\r\n"));
    }
    out.push_str("\r\n");
    let mut out = out.into_bytes();
    out.extend_from_slice(body);
    out
}

/// The head of an event stream, in chunks.
pub fn stream_head(more: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{more}Transfer-Encoding: chunked\r\n\r\n")
        .into_bytes()
}

/// One chunk of a chunked body.
pub fn chunk(data: &str) -> Vec<u8> {
    format!("{:x}\r\n{data}\r\n", data.len()).into_bytes()
}

/// The end of a chunked body.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// A whole event stream.
pub fn events(events: &[&str]) -> Vec<u8> {
    let mut out = stream_head("");
    for event in events {
        out.extend(chunk(event));
    }
    out.extend_from_slice(LAST_CHUNK);
    out
}
