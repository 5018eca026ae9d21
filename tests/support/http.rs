//! HTTP/1.1 by hand: exact bytes out, the answer read piece by piece, every step with a time-out.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::wait::within;

/// How long one step (connect, head, next piece) may take.
pub const STEP: Duration = Duration::from_secs(60);

/// `host:port` of a URL of the form `http://host:port/…`.
pub fn address_of(url: &str) -> &str {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    rest.split('/').next().unwrap()
}

/// The head of an answer.
#[derive(Clone, Debug)]
pub struct Head {
    pub status: u16,
    /// Names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
}

impl Head {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub head: Head,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The JSON message in the body, be it plain JSON or the last `data:` line of an SSE stream.
    pub fn json(&self) -> Value {
        let text = self.text();
        let sse = self
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/event-stream"));
        let message = if sse {
            text.lines()
                .rev()
                .find_map(|line| line.strip_prefix("data:").filter(|data| !data.trim().is_empty()))
        } else {
            Some(text.as_str())
        };
        let message = message.unwrap_or_else(|| panic!("no data in the stream: {text:?}"));
        serde_json::from_str(message).unwrap_or_else(|error| panic!("not JSON ({error}): {text:?}"))
    }
}

/// How the body of an answer is framed.
#[derive(Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    UntilEnd,
}

/// One open connection.
pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    framing: Framing,
    done: bool,
}

impl Wire {
    pub async fn open(address: &str) -> Self {
        let stream = within("connecting", STEP, TcpStream::connect(address)).await;
        let stream = stream.unwrap_or_else(|error| panic!("{address} does not answer: {error}"));
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buffer: Vec::new(),
            framing: Framing::UntilEnd,
            done: false,
        }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        within("sending", STEP, self.stream.write_all(bytes))
            .await
            .unwrap();
    }

    /// Sends these bytes and says that no more come. The other side may have closed before: that is not checked.
    pub async fn send_all_and_close(&mut self, bytes: &[u8]) {
        let _ = within("sending", STEP, self.stream.write_all(bytes)).await;
        let _ = self.stream.shutdown().await;
    }

    /// The connection, and what of the body was read already.
    pub fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.buffer)
    }

    /// Reads whatever comes until the other side closes.
    pub async fn until_end(&mut self) {
        while self.fill().await {
            self.buffer.clear();
        }
    }

    /// Reads more bytes; false at the end of the stream.
    async fn fill(&mut self) -> bool {
        let mut part = [0_u8; 16 * 1024];
        let count = within("the next bytes of the answer", STEP, self.stream.read(&mut part)).await;
        let count = count.unwrap_or(0);
        self.buffer.extend_from_slice(&part[..count]);
        count > 0
    }

    /// Reads until the marker and takes it and what stands before it; `None` when the stream ends first.
    async fn take_until(&mut self, marker: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self
                .buffer
                .windows(marker.len())
                .position(|window| window == marker)
            {
                return Some(self.buffer.drain(..at + marker.len()).collect());
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// The head of the next answer; `None` when the other side closed without one.
    pub async fn try_head(&mut self) -> Option<Head> {
        let bytes = self.take_until(b"\r\n\r\n").await?;
        let text = String::from_utf8(bytes).unwrap();
        let mut lines = text.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
            .collect();
        let head = Head { status, headers };
        self.framing = match (head.header("transfer-encoding"), head.header("content-length")) {
            (Some(_), _) => Framing::Chunked,
            (None, Some(length)) => Framing::Length(length.parse().unwrap()),
            (None, None) if matches!(status, 204 | 304) => Framing::Length(0),
            (None, None) => Framing::UntilEnd,
        };
        self.done = self.framing == Framing::Length(0);
        Some(head)
    }

    pub async fn head(&mut self) -> Head {
        self.try_head()
            .await
            .expect("the connection was closed before an answer")
    }

    /// The next piece of the body as it came over the wire; `None` at its end.
    pub async fn piece(&mut self) -> Option<Vec<u8>> {
        if self.done {
            return None;
        }
        match self.framing {
            Framing::Chunked => self.chunk().await,
            Framing::Length(left) => {
                if self.buffer.is_empty() {
                    assert!(self.fill().await, "the body ended {left} bytes early");
                }
                let part: Vec<u8> = self.buffer.drain(..left.min(self.buffer.len())).collect();
                self.framing = Framing::Length(left - part.len());
                self.done = left == part.len();
                Some(part)
            }
            Framing::UntilEnd => {
                if self.buffer.is_empty() && !self.fill().await {
                    self.done = true;
                    return None;
                }
                Some(std::mem::take(&mut self.buffer))
            }
        }
    }

    async fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = self
            .take_until(b"\r\n")
            .await
            .expect("the body ended before its last chunk");
        let size = String::from_utf8(line).unwrap();
        let size = usize::from_str_radix(size.trim().split(';').next().unwrap(), 16).unwrap();
        while self.buffer.len() < size + 2 {
            assert!(self.fill().await, "the body ended inside a chunk");
        }
        let chunk = self.buffer.drain(..size).collect();
        self.buffer.drain(..2);
        self.done = size == 0;
        Some(chunk).filter(|_| size > 0)
    }

    /// The rest of the body.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        while let Some(piece) = self.piece().await {
            body.extend_from_slice(&piece);
        }
        body
    }

    /// Head and body of the next answer.
    pub async fn answer(&mut self) -> Answer {
        let head = self.head().await;
        let body = self.rest().await;
        Answer {
            status: head.status,
            head,
            body,
        }
    }
}

/// Server-sent events of one answer, one after the other.
pub struct Events {
    wire: Wire,
    text: String,
}

impl Events {
    /// `wire` must stand right after its head.
    pub fn new(wire: Wire) -> Self {
        Self {
            wire,
            text: String::new(),
        }
    }

    /// The JSON of the next event that carries data (comments, pings and empty priming events are passed over); `None` at the end.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(at) = self.text.find("\n\n") {
                let event: String = self.text.drain(..at + 2).collect();
                let data: Vec<&str> = event
                    .lines()
                    .filter_map(|line| line.strip_prefix("data:"))
                    .collect();
                let data = data.join("\n");
                if !data.trim().is_empty() {
                    return Some(serde_json::from_str(&data).unwrap());
                }
                continue;
            }
            let piece = self.wire.piece().await?;
            self.text
                .push_str(&String::from_utf8(piece).unwrap().replace("\r\n", "\n"));
        }
    }
}

/// Sends these bytes on a connection of their own and reads the one answer.
pub async fn exchange(address: &str, request: &[u8]) -> Answer {
    let mut wire = Wire::open(address).await;
    wire.send(request).await;
    wire.answer().await
}
