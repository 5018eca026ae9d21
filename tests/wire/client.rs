//! A client that sends exact bytes and reads exact answers.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::upstream::find;
use super::{CI, within};

/// A request to be written out.
#[derive(Clone, Debug)]
pub struct Req {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Writes `Content-Length` by itself.
    pub framed: bool,
}

pub fn request(method: &str, body: impl Into<Vec<u8>>) -> Req {
    let req = Req {
        method: method.to_owned(),
        target: "/mcp/s".to_owned(),
        headers: Vec::new(),
        body: body.into(),
        framed: method == "POST",
    };
    req.header("Host", "127.0.0.1")
        .header("Authorization", &format!("Bearer {CI}"))
}

pub fn post(body: impl Into<Vec<u8>>) -> Req {
    request("POST", body)
        .header("Content-Type", "application/json")
        .header("Accept", "application/json, text/event-stream")
}

/// A `tools/call` with id 1.
pub fn call(tool: &str) -> Req {
    post(call_body(tool))
}

pub fn call_body(tool: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":{{}}}}}}"#
    )
}

impl Req {
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        self
    }

    pub fn with(self, name: &str, value: &str) -> Self {
        self.without(name).header(name, value)
    }

    pub fn token(self, token: &str) -> Self {
        self.with("Authorization", &format!("Bearer {token}"))
    }

    pub fn to(mut self, target: &str) -> Self {
        target.clone_into(&mut self.target);
        self
    }

    pub fn unframed(mut self) -> Self {
        self.framed = false;
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.framed {
            out.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        out.push_str("\r\n");
        let mut out = out.into_bytes();
        out.extend_from_slice(&self.body);
        out
    }
}

/// An answer as it came.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
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

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.head, String::from_utf8_lossy(&self.body)))
    }

    /// The text of a tool error.
    #[track_caller]
    pub fn tool_error(&self) -> String {
        assert_eq!(self.status, 200, "{}", self.text());
        let json = self.json();
        assert_eq!(json["result"]["isError"], true, "{json}");
        json["result"]["content"][0]["text"].as_str().unwrap().to_owned()
    }

    /// What stands in the refusal's `_meta`.
    #[track_caller]
    pub fn decision(&self) -> Value {
        self.json()["result"]["_meta"]["toolgate/decision"].clone()
    }

    /// Whether the upstream's own good answer came back.
    pub fn ran(&self) -> bool {
        self.status == 200 && find(&self.body, b"\"ran\"").is_some()
    }
}

pub struct Client {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub async fn connect(addr: SocketAddr) -> Self {
        Self::on(within(TcpStream::connect(addr)).await.unwrap())
    }

    /// A client for whom the network keeps little.
    pub async fn with_a_small_buffer(addr: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(65_536).unwrap();
        Self::on(within(socket.connect(addr)).await.unwrap())
    }

    fn on(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        within(self.stream.write_all(bytes)).await.unwrap();
    }

    pub async fn ask(&mut self, request: &Req) -> Answer {
        self.send(&request.bytes()).await;
        self.answer().await
    }

    /// The head of the next answer; its body is read by what follows.
    pub async fn head(&mut self) -> Answer {
        self.try_head()
            .await
            .expect("the connection ended before an answer")
    }

    pub async fn try_head(&mut self) -> Option<Answer> {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
            if !self.more().await {
                return None;
            }
        };
        let head = String::from_utf8(self.buffer.drain(..end).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Some(Answer {
            status,
            head,
            body: Vec::new(),
        })
    }

    /// The next whole answer.
    pub async fn answer(&mut self) -> Answer {
        self.try_answer()
            .await
            .expect("the connection ended before an answer")
    }

    pub async fn try_answer(&mut self) -> Option<Answer> {
        let mut answer = self.try_head().await?;
        if answer.header("transfer-encoding").is_some() {
            while let Some(chunk) = self.chunk().await {
                answer.body.extend(chunk);
            }
        } else {
            let length = answer
                .header("content-length")
                .map_or(0, |length| length.parse().unwrap());
            while self.buffer.len() < length {
                assert!(self.more().await, "the answer broke off");
            }
            answer.body = self.buffer.drain(..length).collect();
        }
        Some(answer)
    }

    /// The data of the next chunk; `None` after the last.
    pub async fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                break end;
            }
            assert!(self.more().await, "the chunks broke off");
        };
        let size = std::str::from_utf8(&self.buffer[..line]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        while self.buffer.len() < line + size + 4 {
            assert!(self.more().await, "a chunk broke off");
        }
        let data = self.buffer[line + 2..line + 2 + size].to_vec();
        self.buffer.drain(..line + size + 4);
        (size > 0).then_some(data)
    }

    /// Reads chunks until `wanted` was seen; returns all of them.
    pub async fn chunks_until(&mut self, wanted: &str) -> String {
        let mut text = String::new();
        while !text.contains(wanted) {
            let chunk = self.chunk().await.expect("the stream ended");
            text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        text
    }

    async fn more(&mut self) -> bool {
        matches!(within(self.stream.read_buf(&mut self.buffer)).await, Ok(read) if read > 0)
    }

    /// Some bytes of a body.
    pub async fn some(&mut self) -> Vec<u8> {
        assert!(!self.buffer.is_empty() || self.more().await, "the body broke off");
        std::mem::take(&mut self.buffer)
    }

    /// Whether the connection ends without an answer, although a request is sent on it: one that is only idle ends too.
    pub async fn is_turned_away(&mut self, request: &Req) -> bool {
        // it may be closed already
        let _ = within(self.stream.write_all(&request.bytes())).await;
        self.rest().await.is_empty()
    }

    /// Everything up to the end of the connection.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.buffer)
    }
}
