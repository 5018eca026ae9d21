//! MCP requests by hand, for what no SDK does: exact bytes, hundreds at once, a client that leaves.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::http::{Answer, Events, Head, Wire, address_of, exchange};
use super::wait::within;

/// The stateless revision.
pub const CURRENT: &str = "2026-07-28";
/// The last revision with sessions.
pub const SESSIONS: &str = "2025-11-25";
/// How long one call may take.
const CALL: Duration = Duration::from_secs(90);

/// What a caller of one server with one token sends.
#[derive(Clone, Debug)]
pub struct Caller {
    address: String,
    path: String,
    token: String,
}

/// One answer to a call, as its caller reads it.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub message: Value,
}

impl Reply {
    fn new(answer: &Answer) -> Self {
        Self {
            status: answer.status,
            headers: answer.head.headers.clone(),
            message: answer.json(),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The note that toolgate adds to its own answers.
    pub fn decision(&self) -> &Value {
        &self.message["result"]["_meta"]["toolgate/decision"]
    }

    /// toolgate's outcome, or `executed` for a result of the server's own.
    pub fn outcome(&self) -> &str {
        let ran = self.message["result"]["isError"] != true && self.message["result"]["content"].is_array();
        if ran {
            "executed"
        } else {
            self.decision()["outcome"].as_str().unwrap_or("unknown")
        }
    }

    pub fn text(&self) -> &str {
        self.message["result"]["content"][0]["text"]
            .as_str()
            .unwrap_or_default()
    }
}

/// The body of a call in the stateless revision.
pub fn current_call(id: &Value, tool: &str, arguments: &Value) -> Value {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": CURRENT,
        "io.modelcontextprotocol/clientInfo": { "name": "toolgate-test", "version": "1.0.0" },
        "io.modelcontextprotocol/clientCapabilities": {},
        "progressToken": id,
    });
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call",
        "params": { "name": tool, "arguments": arguments, "_meta": meta } })
}

impl Caller {
    /// `url`: as a client is given it, e.g. `http://127.0.0.1:8080/mcp/fixture`.
    pub fn new(url: &str, token: &str) -> Self {
        let address = address_of(url).to_owned();
        let path = url.split_once(&address).unwrap().1.to_owned();
        Self {
            address,
            path,
            token: token.to_owned(),
        }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// The same caller at another path of the same address.
    pub fn at(&self, path: &str) -> Self {
        Self {
            path: path.to_owned(),
            ..self.clone()
        }
    }

    /// The bytes of one request with these further headers.
    pub fn request(&self, method: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
        let mut head = format!("{method} {} HTTP/1.1\r\nHost: {}\r\n", self.path, self.address);
        head += &format!("Authorization: Bearer {}\r\n", self.token);
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if method == "POST" {
            head += "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n";
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        [head.as_bytes(), b"\r\n", body].concat()
    }

    /// The bytes of a call of a tool in the stateless revision.
    pub fn current_request(&self, tool: &str, arguments: &Value, id: u64) -> Vec<u8> {
        let headers = [
            ("MCP-Protocol-Version", CURRENT),
            ("Mcp-Method", "tools/call"),
            ("Mcp-Name", tool),
        ];
        self.request(
            "POST",
            &headers,
            current_call(&json!(id), tool, arguments).to_string().as_bytes(),
        )
    }

    /// Calls a tool in the stateless revision, on a connection of its own.
    pub async fn call(&self, tool: &str, arguments: &Value) -> Reply {
        let request = self.current_request(tool, arguments, 1);
        Reply::new(&within("the call", CALL, exchange(&self.address, &request)).await)
    }

    /// Sends a call and stays on the wire, right after the answer's head.
    pub async fn call_streaming(&self, tool: &str, arguments: &Value) -> (Head, Events) {
        let mut wire = self.send_only(&self.current_request(tool, arguments, 1)).await;
        let head = wire.head().await;
        (head, Events::new(wire))
    }

    /// Sends these bytes and does not wait for an answer.
    pub async fn send_only(&self, request: &[u8]) -> Wire {
        let mut wire = Wire::open(&self.address).await;
        wire.send(request).await;
        wire
    }

    /// One kept-alive connection for many calls.
    pub async fn connect(&self) -> Line {
        let stream = TcpStream::connect(&self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Line {
            caller: self.clone(),
            sender,
        }
    }

    /// Opens a session (initialize, initialized) as clients up to 2025-11-25 do.
    pub async fn open_session(&self) -> Session {
        let hello = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": SESSIONS, "capabilities": {},
            "clientInfo": { "name": "toolgate-test", "version": "1.0.0" } } });
        let answer = exchange(
            &self.address,
            &self.request("POST", &[], hello.to_string().as_bytes()),
        )
        .await;
        assert_eq!(answer.status, 200, "initialize failed: {}", answer.text());
        let id = answer
            .header("mcp-session-id")
            .expect("initialize answered without a session id")
            .to_owned();
        let session = Session {
            caller: self.clone(),
            id,
        };
        let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        assert_eq!(session.post(&ready).await.status, 202);
        session
    }
}

/// A kept-alive connection of a caller, on hyper.
pub struct Line {
    caller: Caller,
    sender: SendRequest<Full<Bytes>>,
}

impl Line {
    /// Calls a tool in the stateless revision.
    pub async fn call(&mut self, tool: &str, arguments: &Value) -> Reply {
        self.call_with(tool, arguments, &[]).await
    }

    /// The same with further headers.
    pub async fn call_with(&mut self, tool: &str, arguments: &Value, more: &[(&str, &str)]) -> Reply {
        let body = current_call(&json!(1), tool, arguments).to_string();
        let mut request = hyper::Request::post(&self.caller.path)
            .header("host", &self.caller.address)
            .header("authorization", format!("Bearer {}", self.caller.token))
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", CURRENT)
            .header("mcp-method", "tools/call")
            .header("mcp-name", tool);
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let (head, body) = within("the call", CALL, async {
            self.sender.ready().await.unwrap();
            let (head, body) = self.sender.send_request(request).await.unwrap().into_parts();
            (head, body.collect().await.unwrap().to_bytes().to_vec())
        })
        .await;
        let text =
            |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = head
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), text(value)))
            .collect();
        let status = head.status.as_u16();
        Reply::new(&Answer {
            status,
            head: Head { status, headers },
            body,
        })
    }
}

/// A session of the revisions up to 2025-11-25.
pub struct Session {
    pub caller: Caller,
    pub id: String,
}

impl Session {
    fn headers(&self) -> [(&str, &str); 2] {
        [("MCP-Protocol-Version", SESSIONS), ("Mcp-Session-Id", &self.id)]
    }

    pub async fn post(&self, message: &Value) -> Answer {
        let request = self
            .caller
            .request("POST", &self.headers(), message.to_string().as_bytes());
        exchange(&self.caller.address, &request).await
    }

    pub async fn call(&self, tool: &str, arguments: &Value) -> Reply {
        let params = json!({ "name": tool, "arguments": arguments });
        Reply::new(
            &self
                .post(&json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params }))
                .await,
        )
    }

    /// The request that opens the GET stream.
    pub fn stream_request(&self) -> Vec<u8> {
        let headers = [&self.headers()[..], &[("Accept", "text/event-stream")]].concat();
        self.caller.request("GET", &headers, b"")
    }

    /// Opens the GET stream.
    pub async fn listen(&self) -> (Head, Events) {
        let mut wire = self.caller.send_only(&self.stream_request()).await;
        let head = wire.head().await;
        (head, Events::new(wire))
    }

    /// Ends the session.
    pub async fn delete(&self) -> Answer {
        exchange(
            &self.caller.address,
            &self.caller.request("DELETE", &self.headers(), b""),
        )
        .await
    }
}
