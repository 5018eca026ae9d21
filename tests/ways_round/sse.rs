//! The same over the transport of 2024-11-05: bodies go to the endpoint that a stream announced, answers come on the
//! stream.

use data_encoding::BASE64URL_NOPAD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};

use crate::post::{Post, Target};
use crate::table::Sides;
use crate::ways::{Effect, Requests, Steps};

/// How long the stream may be silent before an answer is given up.
const PATIENCE: Duration = Duration::from_secs(4);

/// An open stream.
struct Stream {
    wire: TcpStream,
    heard: Vec<u8>,
}

impl Stream {
    async fn open(target: &Target) -> Self {
        let mut wire = TcpStream::connect(&target.address).await.unwrap();
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nAccept: text/event-stream\r\n\r\n",
            target.path, target.address, target.token
        );
        wire.write_all(request.as_bytes()).await.unwrap();
        Self {
            wire,
            heard: Vec::new(),
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.heard).into_owned()
    }

    /// Reads until this was heard; false where it does not come.
    async fn until(&mut self, wanted: &str) -> bool {
        while !self.text().contains(wanted) {
            match timeout(PATIENCE, self.wire.read_buf(&mut self.heard)).await {
                Ok(Ok(1..)) => {}
                _ => return false,
            }
        }
        true
    }

    /// The path that the stream announced.
    async fn endpoint(&mut self) -> String {
        loop {
            let text = self.text();
            let told = text
                .split_once("\ndata: ")
                .and_then(|(_, told)| told.split_once('\n'));
            if let Some((path, _)) = told {
                return path.trim().to_owned();
            }
            let read = timeout(PATIENCE, self.wire.read_buf(&mut self.heard)).await;
            assert!(matches!(read, Ok(Ok(1..))), "no endpoint: {text}");
        }
    }

    /// Posts a message that the stream answers under this id.
    async fn ask(&mut self, target: &Target, id: &str, method: &str, params: &str) -> bool {
        let body = format!(r#"{{"jsonrpc":"2.0","id":"{id}","method":"{method}","params":{params}}}"#);
        Post::of(target, method, "", body)
            .send(&target.address, None)
            .await;
        self.until(&format!("\"{id}\"")).await
    }
}

/// A stream on which a session was opened, and the endpoint that it announced.
async fn open(target: &Target) -> (Stream, Target) {
    let mut stream = Stream::open(target).await;
    let endpoint = Target {
        path: stream.endpoint().await,
        ..target.clone()
    };
    let hello =
        r#"{"protocolVersion":"2024-11-05","capabilities":{},"clientInfo":{"name":"t","version":"1"}}"#;
    assert!(
        stream.ask(&endpoint, "hello", "initialize", hello).await,
        "{}",
        stream.text()
    );
    let ready = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    Post::of(&endpoint, "notifications/initialized", "", ready)
        .send(&endpoint.address, None)
        .await;
    (stream, endpoint)
}

/// Sends each request to the endpoint of a stream of its own, and looks for the effect.
pub async fn works(sides: &Sides, effect: Effect, target: &Target, requests: Requests) -> Option<bool> {
    let (mut stream, endpoint) = open(target).await;
    let before = sides.count(effect).await;
    for request in requests(&endpoint) {
        request
            .without("MCP-Protocol-Version")
            .send(&endpoint.address, None)
            .await;
    }
    // a server that still answers has read what came before; one that does not has given up on it
    let alive = stream.ask(&endpoint, "after", "ping", "{}").await;
    if effect == Effect::Seen {
        return Some(stream.text().contains(target.tools.hidden));
    }
    Some(sides.ran(sides.trace(effect), before, alive).await)
}

/// Sends an allowed call to an endpoint that is not the caller's, while its stream is open.
pub async fn stolen(sides: &Sides, effect: Effect, target: &Target, steps: Steps) -> Option<bool> {
    let (_stream, endpoint) = open(target).await;
    let tool = target.tools.allowed;
    let body = target.call_of(tool, r#"{"message":"x"}"#);
    let call = Post::of(&endpoint, "tools/call", tool, body).without("MCP-Protocol-Version");
    let call = match steps {
        Steps::StolenCall => call.header("Authorization", &format!("Bearer {}", target.other_token)),
        Steps::OwnEndpoint => call.path(own(&endpoint.path)),
        _ => return None,
    };
    let before = sides.count(effect).await;
    let heard = call.send(&endpoint.address, None).await;
    Some(sides.ran(tool, before, !heard.starts_with("HTTP/1.1 4")).await)
}

/// The path that the server announced, read out of the gate's own.
fn own(path: &str) -> String {
    let Some((_, token)) = path.split_once("?endpoint=") else {
        return path.to_owned();
    };
    let encoded = token.split('.').next().unwrap();
    String::from_utf8(BASE64URL_NOPAD.decode(encoded.as_bytes()).unwrap()).unwrap()
}
