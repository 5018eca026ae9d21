//! One run: start, load, stop, and what was seen.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::book::{Book, Books};
use crate::calls;
use crate::server::Server;
use crate::streams::Crowd;
use crate::support::gate::{Gate, Setup};
use crate::support::mcp::Caller;
use crate::support::wait::until;
use crate::watch::{Sample, descriptors, rss, thirds, watch};

/// Grants that the clients share out among themselves.
const GRANTS: usize = 8;
/// How long the gate may take to end what was cut off.
const DRAIN: Duration = Duration::from_secs(30);

pub struct Plan {
    /// Event streams that are open at the same time.
    pub streams: usize,
    pub load: Duration,
    pub sample: Duration,
    /// How long a client stays on its stream, on average.
    pub life: Duration,
    /// Between two calls of one client.
    pub pause: Duration,
    /// How long the gate waits for a server that says nothing.
    pub patience: Duration,
}

pub struct Seen {
    pub start: Sample,
    pub samples: Vec<Sample>,
    pub end: Sample,
    pub books: Books,
    /// Streams that were opened, and those of them that the gate ended.
    pub opened: usize,
    pub ended: usize,
}

impl Seen {
    /// Median memory of the first and the last third, in KB.
    pub fn thirds(&self) -> (u64, u64) {
        thirds(&self.samples)
    }

    pub fn assert_descriptors_came_back(&self) {
        assert!(
            self.end.open <= self.start.open,
            "{} descriptors were open at the start and {} at the end",
            self.start.open,
            self.end.open
        );
    }

    pub fn is_flat(&self) -> bool {
        let (first, last) = self.thirds();
        last <= first + first / 10
    }

    pub fn assert_memory_is_flat(&self) {
        let (first, last) = self.thirds();
        assert!(self.is_flat(), "memory grew from {first} KB to {last} KB");
    }
}

fn policy() -> Value {
    json!({ "version": "1", "default": "allow", "hide": ["secret-*"], "record": ["args.n"], "tools": {
        "denied": { "action": "deny", "reason": "never" },
        "limited": { "limits": [{ "counter": "limited", "window": "minute", "max": 60, "scope": "grant" }] },
        "at_once": { "concurrency": { "counter": "at_once", "max": 1, "scope": "server" } } } })
}

fn start_gate(server: &Server, patience: Duration) -> Gate {
    let seconds = patience.as_secs();
    let mut setup = Setup::new()
        .policy("p", policy())
        .key("limits", json!({ "connections_per_peer": 10_000 }));
    for name in ["mcp", "sse"] {
        setup = setup.server(name, &format!("http://{}/{name}", server.address));
        // what stalls is let go while what talks stays
        for limit in ["response_timeout_ms", "idle_timeout_ms"] {
            setup = setup.server_key(name, limit, json!(seconds * 1_000));
        }
    }
    let grants = (0..GRANTS).map(|grant| {
        json!({ "id": format!("agent-{grant}"), "server": ["mcp", "sse"], "policy": "p",
            "token_sha256": crate::support::gate::token_sha256(&token(grant)) })
    });
    grants.fold(setup, Setup::entry).start()
}

fn token(grant: usize) -> String {
    format!("tg_soak_{grant}")
}

/// Descriptors of both sides: a stream has one here, one at the server, and two in the gate.
fn raise_the_limit(streams: usize) {
    let wanted = 4 * streams as u64 + 1_000;
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    assert!(
        current >= wanted,
        "{wanted} descriptors are needed: raise the hard limit, e.g. `ulimit -Hn {wanted}` as root"
    );
    if limit.current.is_some_and(|now| now < wanted) {
        let raised = Rlimit {
            current: Some(wanted),
            maximum: limit.maximum,
        };
        setrlimit(Resource::Nofile, raised).unwrap();
    }
}

pub async fn run(plan: &Plan) -> Seen {
    raise_the_limit(plan.streams);
    let server = Arc::new(Server::start().await);
    let mut gate = start_gate(&server, plan.patience);
    let (book, pid) = (Book::default(), gate.pid());
    let callers = |name: &str| -> Vec<Caller> {
        (0..GRANTS)
            .map(|grant| gate.caller(name, &token(grant)))
            .collect()
    };
    let (current, legacy) = (callers("mcp"), callers("sse"));
    let sample = |open| Sample {
        at: Duration::ZERO,
        rss: rss(pid),
        open,
        streams: server.streams(),
        calls: book.counted(),
    };
    let start = sample(descriptors(pid));

    let (stopping, stop) = watch::channel(false);
    let crowd = Crowd::new(book.clone(), plan.life);
    let mut clients = crowd.keep(plan.streams, &current, &legacy, &stop);
    // a client that vanishes and comes back leaves a gap
    let full = plan.streams - plan.streams / 20;
    while server.streams() < full {
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(clients.try_join_next().is_none(), "a client of a stream ended");
    }
    let mut calling = calls::start(&current, &server, &book, plan.pause, &stop);
    let samples = watch(
        pid,
        plan.load,
        plan.sample,
        || server.streams(),
        || book.counted(),
    )
    .await;
    stopping.send_replace(true);
    for set in [&mut calling, &mut clients] {
        while let Some(client) = set.join_next().await {
            client.expect("a client failed");
        }
    }
    let open = settled(pid, start.open).await;
    let end = sample(open);
    gate.terminate(DRAIN);
    let lines = gate.stdout();
    Seen {
        start,
        samples,
        end,
        books: book.close(&lines),
        opened: crowd.opened.load(Relaxed),
        ended: crowd.ended.load(Relaxed),
    }
}

/// The descriptors that are open once idle connections were let go: those of the start, or what stays for too long.
async fn settled(pid: u32, start: usize) -> usize {
    let back = until("descriptors come back", || async {
        (descriptors(pid) <= start).then_some(())
    });
    // who waits in vain finds out from what is returned
    let _ = tokio::time::timeout(DRAIN, back).await;
    descriptors(pid)
}
