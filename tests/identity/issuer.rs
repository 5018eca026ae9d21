//! A place that serves keys, well or badly, and a gate that trusts it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::signer::{Signer, seconds_from_now, set_of};
use crate::wire::gate::{Gate, Setup};
use crate::wire::upstream::{Upstream, find};

/// How a request is answered.
#[derive(Clone)]
pub enum Reply {
    Json(String),
    Status(u16),
    Redirect(String),
    /// Nothing, and the connection stays open.
    Silence,
    /// A body without end.
    Endless,
}

#[derive(Default)]
struct State {
    by_path: Mutex<HashMap<String, Reply>>,
    heads: Mutex<Vec<String>>,
}

/// A small HTTP server on a raw socket.
pub struct Issuer {
    pub addr: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Issuer {
    pub async fn start() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap()).await
    }

    pub async fn at(addr: SocketAddr) -> Self {
        let listener = TcpListener::bind(addr).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let theirs = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&theirs)));
            }
        });
        Self {
            addr,
            state,
            accepting,
        }
    }

    /// One that serves these keys at `/keys`.
    pub async fn with_keys(signers: &[&Signer]) -> Self {
        let issuer = Self::start().await;
        issuer.serves(signers);
        issuer
    }

    pub fn serves(&self, signers: &[&Signer]) {
        self.answers("/keys", Reply::Json(set_of(signers)));
    }

    pub fn answers(&self, path: &str, reply: Reply) {
        self.state.by_path.lock().unwrap().insert(path.to_owned(), reply);
    }

    /// Its name, and its root.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub fn keys_url(&self) -> String {
        format!("{}/keys", self.url())
    }

    /// How often this path was asked for.
    pub fn hits(&self, path: &str) -> usize {
        let start = format!("GET {path} ");
        self.heads()
            .iter()
            .filter(|head| head.starts_with(&start))
            .count()
    }

    pub fn heads(&self) -> Vec<String> {
        self.state.heads.lock().unwrap().clone()
    }

    /// Claims of a token of this issuer's for the gate, with these further ones.
    pub fn claims(&self, gate: &Gate, more: Value) -> Value {
        self.claims_for(&resource(gate), more)
    }

    pub fn claims_for(&self, audience: &str, more: Value) -> Value {
        let mut claims = json!({
            "iss": self.url(), "aud": audience, "sub": "bob",
            "exp": seconds_from_now(600), "iat": seconds_from_now(-1),
        });
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    }

    /// Lines of the settings that trust it, with keys at `/keys`.
    pub fn settings(&self, more: &str) -> String {
        format!(
            "issuers: {{ i: {{ issuer: '{}', jwks: '{}'{more} }} }}",
            self.url(),
            self.keys_url()
        )
    }
}

/// The server's name for itself.
pub fn resource(gate: &Gate) -> String {
    format!("http://{}/mcp/s", gate.proxy)
}

/// A grant for each subject of the issuer's.
pub const BY_SUBJECT: &str = "id: 'u:{sub}', jwt: { issuer: i }, server: s, policy: p";

/// A gate that trusts an issuer with one key, with a grant for each subject.
pub async fn gate_for(issuer: &Issuer, setup: Setup) -> (Gate, Upstream) {
    let setup = setup.settings(&issuer.settings("")).grant(BY_SUBJECT);
    crate::wire::gate::open(setup).await
}

async fn serve(mut stream: TcpStream, state: Arc<State>) {
    let mut head = Vec::new();
    while find(&head, b"\r\n\r\n").is_none() {
        if !matches!(stream.read_buf(&mut head).await, Ok(read) if read > 0) {
            return;
        }
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let reply = state.by_path.lock().unwrap().get(&path).cloned();
    state.heads.lock().unwrap().push(head);
    let answer = match reply.unwrap_or(Reply::Status(404)) {
        Reply::Json(body) => format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ),
        Reply::Status(status) => {
            format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }
        Reply::Redirect(to) => {
            format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }
        Reply::Silence => {
            let mut rest = [0; 1];
            let _ = stream.read(&mut rest).await;
            return;
        }
        Reply::Endless => {
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{")
                .await;
            while stream.write_all(&[b' '; 16_384]).await.is_ok() {}
            return;
        }
    };
    let _ = stream.write_all(answer.as_bytes()).await;
}
