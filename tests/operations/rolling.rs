//! A rolling restart under load: no call fails, none is admitted too much, and each stands once in the record.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};

use crate::support::gate::{Gate, Setup, limited};
use crate::support::mcp::Caller;
use crate::support::redis::RedisServer;
use crate::support::servers::{Era, Fixture};
use crate::support::wait::{PATIENCE, until, within};

const REPLICAS: usize = 3;
const CLIENTS: u64 = 6;
const MAX: u64 = 40;
/// What a client does between two calls.
const THINKS: Duration = Duration::from_millis(20);

/// What stands before the replicas: it sends clients to those that say they are ready.
#[derive(Clone, Default)]
struct Service {
    /// `127.0.0.1:PORT` of each proxy, by that of its admin listener.
    replicas: Arc<Mutex<HashMap<String, String>>>,
    ready: Arc<Mutex<Vec<String>>>,
}

impl Service {
    fn add(&self, gate: &Gate) {
        let mut replicas = self.replicas.lock().unwrap();
        replicas.insert(gate.admin.clone(), gate.proxy.clone());
    }

    fn remove(&self, gate: &Gate) {
        self.replicas.lock().unwrap().remove(&gate.admin);
    }

    /// Asks all replicas over and over.
    fn probe(&self) -> JoinHandle<()> {
        let this = self.clone();
        tokio::spawn(async move {
            loop {
                let mut replicas: Vec<_> = this.replicas.lock().unwrap().clone().into_iter().collect();
                replicas.sort();
                let mut ready = Vec::new();
                for (admin, proxy) in replicas {
                    if is_ready(&admin).await {
                        ready.push(proxy);
                    }
                }
                *this.ready.lock().unwrap() = ready;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
    }

    async fn until_serves(&self, gate: &Gate, serves: bool) {
        until("the service follows", || async {
            (self.ready.lock().unwrap().contains(&gate.proxy) == serves).then_some(())
        })
        .await;
    }

    fn pick(&self, turn: u64) -> Option<String> {
        let ready = self.ready.lock().unwrap();
        let at = usize::try_from(turn).unwrap().checked_rem(ready.len())?;
        Some(ready[at].clone())
    }
}

/// Any failure to ask means that the replica has ended, or is about to.
async fn is_ready(admin: &str) -> bool {
    let asked = async {
        let mut stream = TcpStream::connect(admin).await?;
        let request = format!("GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer.starts_with(b"HTTP/1.1 200 "))
    };
    within("the probe", PATIENCE, asked).await.unwrap_or(false)
}

/// What one client's calls came to: trace and outcome.
type Calls = Vec<(String, String)>;

/// Calls until told to stop; a connection that the gate asks to close is left for another replica. Any failure panics.
async fn client(number: u64, service: Service, stop: Arc<AtomicBool>, done: Arc<AtomicU64>) -> Calls {
    let mut calls = Vec::new();
    let mut turn = number;
    let mut line = None;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        let mut open = match line.take() {
            Some(open) => open,
            None => {
                let proxy = service.pick(turn).expect("a replica is ready");
                Caller::new(&format!("http://{proxy}/mcp/fixture"), "tg_ci")
                    .connect()
                    .await
            }
        };
        let trace = format!("{:032x}", (number << 32) | (turn + 1));
        let traceparent = format!("00-{trace}-00000000000000ff-01");
        let tool = if turn.is_multiple_of(2) {
            "start_run"
        } else {
            "echo"
        };
        let arguments = if tool == "echo" {
            json!({ "message": "m" })
        } else {
            json!({})
        };
        let reply = open
            .call_with(tool, &arguments, &[("traceparent", &traceparent)])
            .await;
        assert_eq!(reply.status, 200, "{:?}", reply.message);
        calls.push((trace, reply.outcome().to_owned()));
        done.fetch_add(1, Ordering::Relaxed);
        if reply.header("connection") != Some("close") {
            line = Some(open);
        }
        // an idle connection is what an end can break
        tokio::time::sleep(THINKS).await;
    }
    calls
}

fn setup(fixture: &Fixture, redis: &RedisServer) -> Setup {
    Setup::new()
        .server("fixture", &fixture.url)
        .policy("p", limited("start_run", MAX, json!("hour")))
        .grant("ci", "tg_ci", "fixture", "p")
        .redis(&redis.url(), 5_000)
        // more than the service needs to follow on a busy machine
        .key("drain_delay_ms", json!(3_000))
}

fn start(setup: &Setup, service: &Service) -> Gate {
    let gate = tokio::task::block_in_place(|| setup.start());
    service.add(&gate);
    gate
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_is_lost_or_admitted_too_much_in_a_rolling_restart() {
    let (fixture, redis) = (Fixture::start(Era::Current), RedisServer::start());
    let (setup, service) = (setup(&fixture, &redis), Service::default());
    let mut gates: Vec<Gate> = (0..REPLICAS).map(|_| start(&setup, &service)).collect();
    let probing = service.probe();
    for gate in &gates {
        service.until_serves(gate, true).await;
    }
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut load = JoinSet::new();
    for number in 1..=CLIENTS {
        load.spawn(client(
            number,
            service.clone(),
            Arc::clone(&stop),
            Arc::clone(&done),
        ));
    }
    for old in 0..REPLICAS {
        let fresh = start(&setup, &service);
        service.until_serves(&fresh, true).await;
        gates.push(fresh);
        let before = done.load(Ordering::Relaxed);
        let status = tokio::task::block_in_place(|| gates[old].terminate(PATIENCE));
        assert!(status.success(), "{status}: {}", gates[old].stderr());
        service.remove(&gates[old]);
        until("calls go on", || async {
            (done.load(Ordering::Relaxed) > before + CLIENTS).then_some(())
        })
        .await;
    }
    stop.store(true, Ordering::Relaxed);
    let calls: Calls = load.join_all().await.into_iter().flatten().collect();
    probing.abort();
    let executed = fixture.executions("start_run").await;
    assert_eq!(executed, MAX, "of {} calls", calls.len());

    let (admitted, refused): (Vec<_>, Vec<_>) = calls.iter().partition(|(_, outcome)| outcome == "executed");
    assert!(
        refused.iter().all(|(_, outcome)| outcome == "limited"),
        "{refused:?}"
    );
    until("every call is on record", || async {
        let recorded: usize = gates.iter().map(|gate| gate.decisions().len()).sum();
        (recorded >= calls.len()).then_some(())
    })
    .await;
    let lines: Vec<_> = gates.iter().flat_map(Gate::decisions).collect();
    // an admission has a line of its own; equal refusals may share one, which counts them
    let (allowed, limited): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line["outcome"] == "allowed");
    assert_eq!(limited.len(), refused.len());
    let recorded: HashSet<_> = allowed
        .iter()
        .map(|line| line["trace_id"].as_str().unwrap())
        .collect();
    let called: HashSet<_> = admitted.iter().map(|(trace, _)| trace.as_str()).collect();
    assert_eq!(
        (allowed.len(), called.len()),
        (admitted.len(), admitted.len()),
        "an admission stands twice"
    );
    assert_eq!(recorded, called);
}
