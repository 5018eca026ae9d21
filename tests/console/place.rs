//! A console in this process over a book in memory, and requests that come as any client's do.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use toolgate::admin::{Answers, Probes};
use toolgate::approvals::{Approval, Approvals, Asked, Request};
use toolgate::console::{Approvers, ApproversFile, Console, Limits, Parts, Usage, Views};
use toolgate::grants::{Grants, TokenHash};
use toolgate::proxy::accept_beside;
use toolgate::record::{Metrics, Recent, Recorder};
use toolgate::settings::{self, for_one_server};

use crate::support::http::{Answer, exchange};

/// Tokens of the approvers below; the last is a grant's.
pub const LEAD: &str = "tg_lead-token";
pub const SECOND: &str = "tg_second-token";
pub const EYE: &str = "tg_eye-token";
pub const ELSEWHERE: &str = "tg_elsewhere-token";
pub const ENDED: &str = "tg_ended-token";
pub const AGENT: &str = "tg_agent-token";

pub struct Place {
    pub address: String,
    pub approvals: Approvals,
    pub approvers: Arc<ArcSwap<Approvers>>,
    pub recorder: Recorder,
    /// The book's clock, in ms.
    pub clock: Arc<std::sync::atomic::AtomicU64>,
    serving: JoinHandle<()>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn approvers() -> Approvers {
    let hash = |token: &str| TokenHash::of(token.as_bytes()).to_hex();
    let text = format!(
        "approvers:\n  - {{ id: lead, role: approver, token_sha256: {} }}\n  - {{ id: second, role: approver, token_sha256: {} }}\n  - {{ id: eye, role: viewer, token_sha256: {} }}\n  - {{ id: elsewhere, role: approver, servers: [crm], token_sha256: {} }}\n  - {{ id: ended, role: approver, expires: 2020-01-01T00:00:00Z, token_sha256: {} }}\n",
        hash(LEAD),
        hash(SECOND),
        hash(EYE),
        hash(ELSEWHERE),
        hash(ENDED)
    );
    let path = Path::new("approvers.yaml");
    let file = ApproversFile::parse(path, &text).unwrap();
    file.resolve(path, &["stripe", "crm"], &Grants::default())
        .unwrap()
}

fn views() -> Views {
    let usage = |grant: &str, server: &str, used| Usage {
        grant: grant.to_owned(),
        counter: "refund_rate".to_owned(),
        scope: "grant",
        window: "hour".to_owned(),
        used,
        max: 10,
        next_free_ms: 0,
        shadow: false,
        servers: vec![server.to_owned()],
    };
    let rows = vec![usage("ci", "stripe", 3), usage("sales", "crm", 10)];
    Views {
        probes: Probes {
            store: Arc::new(|| Box::pin(async { "up" })),
            server: Arc::new(|_| Some(Box::pin(async { Answers::Unreachable }))),
            servers: Arc::new(|| vec!["crm".to_owned(), "stripe".to_owned()]),
            policies: Arc::new(|| true),
            store_is_asked: Arc::new(|| true),
        },
        limits: Arc::new(move || {
            let rows = rows.clone();
            Box::pin(async move {
                Limits {
                    rows,
                    left_out: 0,
                    unknown: false,
                }
            })
        }),
    }
}

impl Place {
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let clock = Arc::new(std::sync::atomic::AtomicU64::new(1_767_225_600_000));
        let now = Arc::clone(&clock);
        let now = move || now.load(std::sync::atomic::Ordering::Relaxed);
        let approvals = Approvals::in_memory(now, Duration::from_secs(600)).unwrap();
        let metrics = Arc::new(Metrics::new("0").unwrap());
        let recent = Arc::new(Recent::default());
        let recorder = Recorder::new(metrics, None).remembering(Some(Arc::clone(&recent)));
        let approvers = Arc::new(ArcSwap::from_pointee(approvers()));
        let gate = for_one_server("stripe", "http://127.0.0.1:9/mcp", address, address).unwrap();
        let console = Console::new(Parts {
            approvals: approvals.clone(),
            approvers: Arc::clone(&approvers),
            recorder: recorder.clone(),
            recent,
            views: views(),
            settings: settings::Console {
                listen: address,
                hosts: vec!["people.example".to_owned()],
                url: None,
            },
            address,
            limits: gate.limits,
            proxies: gate.front.trusted_proxies,
            replica: "replica-1".to_owned(),
        });
        let open = recorder.metrics.console().connections().clone();
        let serving = tokio::spawn(accept_beside(console, listener, None, open));
        Self {
            address: address.to_string(),
            approvals,
            approvers,
            recorder,
            clock,
            serving,
        }
    }

    /// A call that waits for this many people.
    pub async fn asks(&self, server: &str, tool: &str, arguments: &str, needed: u32) -> Approval {
        let parts: [&[u8]; 3] = [server.as_bytes(), tool.as_bytes(), arguments.as_bytes()];
        let request = Request {
            grant: "ci".to_owned(),
            identity: "ci".to_owned(),
            server: server.to_owned(),
            tool: tool.to_owned(),
            arguments: Some(arguments.to_owned()),
            digest: self.approvals.digest(&parts).unwrap(),
            needed,
        };
        match self.approvals.ask(&request).await.unwrap() {
            Asked::Stands { approval, .. } => *approval,
            Asked::Full => panic!("no more may wait"),
        }
    }

    /// A request with these headers beside `Host`.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        exchange(&self.address, self.bytes(method, path, headers, body).as_bytes()).await
    }

    pub fn bytes(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
        let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            text += &format!("Host: {}\r\n", self.address);
        }
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        if method == "POST" {
            text += &format!("Content-Length: {}\r\n", body.len());
        }
        text + "\r\n" + body
    }

    /// A request as this approver.
    pub async fn get(&self, path: &str, token: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        self.send("GET", path, &[("Authorization", &bearer)], "").await
    }

    /// An approver's word on an approval.
    pub async fn say(&self, word: &str, approval: &Approval, token: &str, reason: &str) -> Answer {
        let body = json!({ "digest": approval.digest, "reason": reason }).to_string();
        self.post(&format!("/approvals/{}/{word}", approval.id), token, &body)
            .await
    }

    pub async fn post(&self, path: &str, token: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Content-Type", "application/json"),
        ];
        self.send("POST", path, &headers, body).await
    }
}

/// The word that tells a refusal.
pub fn code(answer: &Answer) -> String {
    let body: Value = serde_json::from_str(&answer.text()).unwrap_or_default();
    body["error"]["code"].as_str().unwrap_or_default().to_owned()
}
