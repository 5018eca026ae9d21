//! What the admin port asks the gate, and how upstreams are asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::admin::{Admin, Answers, Probes};
use crate::proxy::{Gate, Upstream};

/// How long an upstream may take to be called up.
const WITHIN: Duration = Duration::from_secs(2);
/// An upstream is asked no more often, whoever asks.
const APART: Duration = Duration::from_secs(1);
/// Asks for nothing, in any era and without a session.
const PING: &str = r#"{"jsonrpc":"2.0","id":"toolgate-readyz","method":"ping"}"#;

/// What was known of an upstream last, and since when.
type Known = Arc<Mutex<Option<(Instant, Answers)>>>;

pub(super) fn probes(gate: &Arc<Gate>) -> Probes {
    let upstreams = gate.snapshot.load();
    let upstreams = upstreams.servers.keys();
    let known: BTreeMap<String, Known> = upstreams.map(|name| (name.clone(), Known::default())).collect();
    let (store, servers, policies) = (Arc::clone(gate), Arc::clone(gate), Arc::clone(gate));
    let (asked, breaker) = (Arc::clone(gate), Arc::clone(gate));
    Probes {
        store: Arc::new(move || {
            let gate = Arc::clone(&store);
            Box::pin(async move { gate.store.ping().await.map_or("down", |()| "up") })
        }),
        store_is_asked: Arc::new(move || breaker.store.health().not_asked == 0),
        server: Arc::new(move |name| {
            if asked.commands.contains_key(name) {
                return Some(Box::pin(std::future::ready(Answers::OnDemand)));
            }
            let upstream = Arc::clone(asked.snapshot.load().servers.get(name)?);
            let known = Arc::clone(known.get(name)?);
            Some(Box::pin(async move { now_or_lately(&upstream, &known).await }))
        }),
        servers: Arc::new(move || names(&servers)),
        policies: Arc::new(move || policies.recorder.metrics.reload().is_current()),
    }
}

/// Of all servers, in order.
fn names(gate: &Gate) -> Vec<String> {
    let snapshot = gate.snapshot.load();
    let names: BTreeSet<&String> = snapshot.servers.keys().chain(gate.commands.keys()).collect();
    names.into_iter().cloned().collect()
}

async fn now_or_lately(upstream: &Arc<Upstream>, known: &Known) -> Answers {
    // those who ask meanwhile wait for the same answer
    let mut known = known.lock().await;
    if let Some((since, answers)) = *known
        && since.elapsed() < APART
    {
        return answers;
    }
    let answers = match ask(upstream).await {
        Some(401 | 403) => Answers::Unauthorized,
        Some(500..) => Answers::Failing,
        Some(_) => Answers::Up,
        None => Answers::Unreachable,
    };
    *known = Some((Instant::now(), answers));
    answers
}

/// The status that the upstream answers a ping with; `None`: no answer.
pub(super) async fn ask(upstream: &Arc<Upstream>) -> Option<u16> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(
        ACCEPT,
        HeaderValue::from_static("application/json, text/event-stream"),
    );
    let request = upstream.request(Method::POST, None, headers, Bytes::from_static(PING.as_bytes()));
    let asked = async {
        let connection = upstream.connection().await.ok()?;
        let answer = connection.send(request, &mut None).await.ok()?;
        Some(answer.status().as_u16())
    };
    timeout(WITHIN, asked).await.ok().flatten()
}

pub(super) fn admin(gate: &Arc<Gate>, stopping: tokio::sync::watch::Receiver<bool>) -> Admin {
    Admin {
        metrics: Arc::clone(&gate.recorder.metrics),
        probes: probes(gate),
        stopping,
    }
}
