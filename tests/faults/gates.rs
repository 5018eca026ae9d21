//! Real gates: `toolgate serve` before an upstream of ours, and callers who call as agents do, over HTTP.

use std::convert::Infallible;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::gate::{Gate, Setup};
use super::mcp::{CURRENT, current_call};
use super::replica::{Counts, Site};
use super::running::END;

/// `max` and window in seconds of each tool's counter: few calls, some, so many that they are merged, and amounts.
const TOOLS: [(u64, u64); 4] = [(10, 1), (50, 1), (400, 2), (100, 1)];
/// Over all grants, charged by every call of the second tool.
const SHARED: (u64, u64) = (300, 1);
/// The counter by which lost capacity is told.
pub const SMALL: (u64, u64) = (TOOLS[0].0, TOOLS[0].1 * 1_000);
/// Callers before each gate.
const CALLERS: usize = 24;
/// How long a caller waits for an answer, longer than a gate is ever stopped.
const ANSWER: Duration = Duration::from_secs(10);

/// What every gate of a run has in common.
pub struct Gates {
    setup: Setup,
    grants: u64,
    answering: JoinHandle<()>,
}

impl Gates {
    pub async fn new(site: &Site, deadline_ms: u64, grants: u64) -> Self {
        let Site::Url(url) = site else {
            panic!("gates are run before one server");
        };
        let (upstream, answering) = upstream().await;
        let mut setup = Setup::new().server("fixture", &upstream).policy("p", policy());
        for number in 0..grants {
            setup = setup.grant(&format!("g{number}"), &format!("tg_{number}"), "fixture", "p");
        }
        Self {
            setup: setup.redis(url, deadline_ms),
            grants,
            answering,
        }
    }

    /// Starts one, which keeps its decisions in this file, and its callers.
    pub fn start(&self, decisions: &Path) -> Driven {
        let audit = json!({ "file": decisions, "rotate_bytes": 0 });
        let gate = self.setup.clone().key("audit", audit).start();
        let (stop, counts) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let callers = (0..CALLERS).map(|number| {
            let caller = Caller {
                address: gate.proxy.clone(),
                grants: self.grants,
                seed: 0x9e37_79b9_7f4a_7c15 ^ (u64::try_from(number).unwrap() << 32 | u64::from(gate.pid())),
                stop: Arc::clone(&stop),
                counts: Arc::clone(&counts),
            };
            tokio::spawn(caller.call_on())
        });
        Driven {
            callers: callers.collect(),
            gate,
            stop,
            counts,
        }
    }
}

impl Drop for Gates {
    fn drop(&mut self) {
        self.answering.abort();
    }
}

/// A gate and its callers.
pub struct Driven {
    gate: Gate,
    callers: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    counts: Arc<Mutex<Counts>>,
}

impl Driven {
    pub fn pid(&self) -> u32 {
        self.gate.pid()
    }

    pub fn kill(mut self) -> Counts {
        self.gate.kill();
        self.callers.iter().for_each(JoinHandle::abort);
        self.counts.lock().unwrap().clone()
    }

    /// The callers leave, and the gate ends as it is asked to.
    pub async fn end(mut self) -> Counts {
        self.stop.store(true, Ordering::Relaxed);
        for caller in std::mem::take(&mut self.callers) {
            caller.await.unwrap();
        }
        let ended = self.gate.terminate(END);
        assert!(ended.success(), "{}", self.gate.stderr());
        self.counts.lock().unwrap().clone()
    }
}

struct Caller {
    address: String,
    grants: u64,
    seed: u64,
    stop: Arc<AtomicBool>,
    counts: Arc<Mutex<Counts>>,
}

impl Caller {
    /// Calls until told to stop, on one connection as long as that lasts.
    async fn call_on(mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            let Some(mut sender) = self.connect().await else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            while !self.stop.load(Ordering::Relaxed) {
                let tool = usize::try_from(self.next() % 4).unwrap();
                let answer = self.call(&mut sender, tool).await;
                let broken = answer.is_none();
                let pause = self.note(tool, answer);
                tokio::time::sleep(pause).await;
                if broken {
                    break;
                }
            }
        }
    }

    async fn connect(&self) -> Option<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(&self.address).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        Some(sender)
    }

    async fn call(&mut self, sender: &mut SendRequest<Full<Bytes>>, tool: usize) -> Option<Value> {
        let (grant, amount) = (self.next() % self.grants, 1 + self.next() % 5);
        let name = format!("t{tool}");
        let arguments = if tool == 3 {
            json!({ "amount": amount })
        } else {
            json!({})
        };
        let body = current_call(&json!(1), &name, &arguments).to_string();
        let request = hyper::Request::post("/mcp/fixture")
            .header("host", &self.address)
            .header("authorization", format!("Bearer tg_{grant}"))
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", CURRENT)
            .header("mcp-method", "tools/call")
            .header("mcp-name", name)
            .body(Full::new(Bytes::from(body)));
        let answered = async {
            sender.ready().await.ok()?;
            let answer = sender.send_request(request.unwrap()).await.ok()?;
            let bytes = answer.into_body().collect().await.ok()?.to_bytes();
            serde_json::from_slice(&bytes).ok()
        };
        tokio::time::timeout(ANSWER, answered).await.ok()?
    }

    /// Counts an answer; how long the caller waits before the next call.
    fn note(&self, tool: usize, answer: Option<Value>) -> Duration {
        let mut counts = self.counts.lock().unwrap();
        counts.calls += 1;
        let outcome = answer.map(|message| {
            let decision = &message["result"]["_meta"]["toolgate/decision"]["outcome"];
            decision.as_str().unwrap_or("executed").to_owned()
        });
        match outcome.as_deref() {
            Some("executed") => {
                counts.admitted += 1;
                counts.small += u64::from(tool == 0);
                Duration::ZERO
            }
            Some("limited") => Duration::from_millis(self.seed % 4),
            other => {
                let what = other.unwrap_or("no answer").to_owned();
                *counts.errors.entry(what).or_default() += 1;
                Duration::from_millis(5)
            }
        }
    }

    fn next(&mut self) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed >> 8
    }
}

fn policy() -> Value {
    let tools = TOOLS.iter().enumerate().map(|(number, (max, window))| {
        let counter = format!("c{number}");
        let mut limit = json!({ "counter": counter, "window": window, "max": max, "scope": "grant" });
        if number == 3 {
            limit["increment_from"] = json!("args.amount");
        }
        let mut limits = vec![limit];
        if number == 1 {
            let (max, window) = SHARED;
            limits.push(json!({ "counter": "shared", "window": window, "max": max, "scope": "global" }));
        }
        (format!("t{number}"), json!({ "limits": limits }))
    });
    let tools: serde_json::Map<String, Value> = tools.collect();
    json!({ "version": "1", "default": "deny", "tools": tools })
}

/// Answers every call alike; its URL.
async fn upstream() -> (String, JoinHandle<()>) {
    const RAN: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"ran"}]}}"#;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let answering = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = service_fn(async |request: hyper::Request<hyper::body::Incoming>| {
                // the gate waits for what it sent to be taken
                let _ = request.into_body().collect().await;
                let answer = hyper::Response::builder().header("content-type", "application/json");
                Ok::<_, Infallible>(
                    answer
                        .body(Full::new(Bytes::from_static(RAN.as_bytes())))
                        .unwrap(),
                )
            });
            let served =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
            tokio::spawn(served);
        }
    });
    (url, answering)
}
