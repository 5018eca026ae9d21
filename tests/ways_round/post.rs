//! One HTTP request as exact bytes, and where it goes.

use std::fmt::Write as _;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::support::mcp::{CURRENT, SESSIONS};

/// How long an answer may take to begin, and its next piece to come.
const PATIENCE: Duration = Duration::from_secs(4);

/// The tools of a server that the ways round are about.
#[derive(Clone, Copy)]
pub struct Tools {
    /// The policy denies it.
    pub denied: &'static str,
    pub allowed: &'static str,
    pub hidden: &'static str,
    /// An allowed one that does not end by itself, with its arguments, where there is one.
    pub waiting: Option<(&'static str, &'static str)>,
}

/// Where requests go: to a server or, in the same form, to a gate before it.
#[derive(Clone)]
pub struct Target {
    /// `127.0.0.1:PORT`.
    pub address: String,
    pub path: String,
    pub token: String,
    /// That of another grant for the same server.
    pub other_token: String,
    pub session: Option<String>,
    /// Revision 2026-07-28.
    pub modern: bool,
    pub tools: Tools,
}

impl Target {
    fn meta(&self) -> String {
        if !self.modern {
            return String::new();
        }
        format!(
            r#","_meta":{{"io.modelcontextprotocol/protocolVersion":"{CURRENT}","io.modelcontextprotocol/clientInfo":{{"name":"t","version":"1"}},"io.modelcontextprotocol/clientCapabilities":{{}}}}"#
        )
    }

    fn request(&self, method: &str, params: &str) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":5,"method":"{method}","params":{{{params}}}}}"#)
    }

    /// The body of a plain call.
    pub fn call_of(&self, tool: &str, arguments: &str) -> String {
        let meta = self.meta();
        self.request(
            "tools/call",
            &format!(r#""name":"{tool}","arguments":{arguments}{meta}"#),
        )
    }

    /// The plain call that the policy denies.
    pub fn call(&self) -> String {
        self.call_of(self.tools.denied, "{}")
    }

    pub fn list(&self) -> String {
        self.request("tools/list", self.meta().trim_start_matches(','))
    }
}

/// One request.
#[derive(Clone)]
pub struct Post {
    pub method: &'static str,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Sent behind it on the same connection.
    pub behind: Vec<u8>,
    /// Whether the connection is to end with the answer.
    pub close: bool,
    pub chunked: bool,
}

impl Post {
    /// A POST of this body as its method says, with the headers that go with it.
    pub fn of(target: &Target, method: &str, name: &str, body: impl Into<Vec<u8>>) -> Self {
        let mut headers = vec![
            ("Host", target.address.clone()),
            ("Authorization", format!("Bearer {}", target.token)),
            ("Accept", "application/json, text/event-stream".to_owned()),
            ("Content-Type", "application/json".to_owned()),
        ];
        let version = if target.modern { CURRENT } else { SESSIONS };
        headers.push(("MCP-Protocol-Version", version.to_owned()));
        if target.modern {
            headers.push(("Mcp-Method", method.to_owned()));
            if !name.is_empty() {
                headers.push(("Mcp-Name", name.to_owned()));
            }
        }
        if let Some(session) = &target.session {
            headers.push(("Mcp-Session-Id", session.clone()));
        }
        Self {
            method: "POST",
            path: target.path.clone(),
            headers: headers
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            body: body.into(),
            behind: Vec::new(),
            close: true,
            chunked: false,
        }
    }

    /// The plain call that the policy denies.
    pub fn call(target: &Target) -> Self {
        Self::of(target, "tools/call", target.tools.denied, target.call())
    }

    pub fn list(target: &Target) -> Self {
        Self::of(target, "tools/list", "", target.list())
    }

    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self { body, ..self }
    }

    /// The body with one part of it replaced.
    pub fn with(self, from: &str, to: &str) -> Self {
        let text = String::from_utf8(self.body.clone()).unwrap();
        assert!(text.contains(from), "no `{from}` in {text}");
        self.body(text.replacen(from, to, 1))
    }

    /// Sets a header, in place of what it was.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers
            .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn without(mut self, prefix: &str) -> Self {
        let prefix = prefix.to_lowercase();
        self.headers
            .retain(|(known, _)| !known.to_lowercase().starts_with(&prefix));
        self
    }

    pub fn path(self, path: String) -> Self {
        Self { path, ..self }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        if self.close {
            head += "Connection: close\r\n";
        }
        let body = if self.chunked {
            head += "Transfer-Encoding: chunked\r\n";
            [
                format!("{:x}\r\n", self.body.len()).as_bytes(),
                &self.body,
                b"\r\n0\r\n\r\n",
            ]
            .concat()
        } else {
            if self.method != "GET" && !self.headers.iter().any(|(name, _)| name == "Content-Length") {
                write!(head, "Content-Length: {}\r\n", self.body.len()).unwrap();
            }
            self.body.clone()
        };
        [head.as_bytes(), b"\r\n", &body, &self.behind].concat()
    }

    /// Sends it on a connection of its own and reads what comes until it ends, goes silent, or holds `until`.
    pub async fn send(&self, address: &str, until: Option<&str>) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        // whoever closes early has answered, or not at all
        let _ = stream.write_all(&self.bytes()).await;
        let mut heard = Vec::new();
        let began = Instant::now();
        while let Ok(Ok(1..)) = timeout(PATIENCE, stream.read_buf(&mut heard)).await {
            let text = String::from_utf8_lossy(&heard);
            let asked = if self.behind.is_empty() { 1 } else { 2 };
            // an event stream goes on for ever, and pings are no answer
            if until.is_some_and(|until| text.contains(until))
                || answers(&heard) >= asked
                || began.elapsed() > 4 * PATIENCE
            {
                break;
            }
        }
        String::from_utf8_lossy(&heard).into_owned()
    }
}

/// How many whole answers stand in these bytes.
fn answers(mut bytes: &[u8]) -> usize {
    let find = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).position(|part| part == what);
    let mut count = 0;
    while let Some(head) = find(bytes, b"\r\n\r\n") {
        let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
        let body = &bytes[head + 4..];
        let end = match length {
            Some(length) => length.trim().parse().ok().filter(|length| *length <= body.len()),
            None if text.contains("transfer-encoding:") => find(body, b"\r\n0\r\n\r\n").map(|at| at + 7),
            None => None,
        };
        let Some(end) = end else { break };
        count += 1;
        bytes = &body[end..];
    }
    count
}
