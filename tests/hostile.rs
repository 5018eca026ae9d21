//! Hostile clients from another process than the gate's: every refusal is clean, the others go on, memory is bounded.
//! Nothing is timed here; `make hostile` measures.
#![cfg(test)]

#[allow(dead_code, reason = "what is shown to people is for the measurement")]
#[path = "hostile/attacks.rs"]
mod attacks;
#[path = "hostile/confined.rs"]
mod confined;
#[allow(dead_code, reason = "quantiles are for the measurement")]
#[path = "hostile/others.rs"]
mod others;
mod support;

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use attacks::{ATTACKS, Aim, Answers, resets};
use support::gate::{Gate, Setup};

/// What the gate may take under any of them, 200 slow connections included.
const MEMORY: u64 = 120 << 20;

async fn gate() -> Gate {
    let server = others::server().await;
    Setup::new()
        .server("s", &format!("http://{server}/mcp"))
        .policy("p", json!({ "version": "1", "default": "allow" }))
        .grant("worker", "tok-worker", "s", "p")
        .grant("attacker", "tok-attacker", "s", "p")
        .key(
            "limits",
            json!({ "header_timeout_ms": 2000, "body_timeout_ms": 1500, "idle_timeout_ms": 8000 }),
        )
        .start()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_clients_are_refused_cleanly_the_others_go_on_and_memory_is_bounded() {
    let gate = gate().await;
    let addr = gate.proxy.parse().unwrap();
    let aim = Aim {
        gate: addr,
        token: "tok-attacker".to_owned(),
    };
    for attack in &ATTACKS {
        let answers = Answers::default();
        others::forget_peak(gate.pid());
        let calls = {
            let attacking = attacks::run(attack, attack.clients.min(200), &aim, &answers);
            let calling = others::call(addr, "tok-worker", 2, Duration::from_millis(3_000));
            tokio::select! {
                () = attacking => unreachable!("attackers do not stop by themselves"),
                calls = calling => calls,
            }
        };
        let (name, seen, peak) = (attack.name, answers.seen(), others::peak(gate.pid()));
        assert!(
            calls.failed.is_empty(),
            "{name}: others failed: {:?}",
            calls.failed
        );
        assert!(!calls.times.is_empty(), "{name}: nobody else called");
        assert!(!seen.is_empty(), "{name}: no attack came to an end");
        let unclean: Vec<_> = seen
            .keys()
            .filter(|what| !attack.clean.contains(&what.as_str()))
            .collect();
        assert!(unclean.is_empty(), "{name}: {seen:?}");
        assert!(peak <= MEMORY, "{name}: the gate took {} MiB", peak >> 20);
    }
    // nothing of it all is left
    let open = || async {
        let (_, text) = gate.admin("/metrics").await;
        text.lines()
            .find_map(|line| line.strip_prefix("toolgate_open_connections "))
            .and_then(|count| count.parse::<u64>().ok())
    };
    support::wait::until("all connections closed", || async {
        (open().await == Some(0)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_as_the_resets_take_them_back_runs_where_it_is_not() {
    let gate = gate().await;
    let aim = Aim {
        gate: gate.proxy.parse().unwrap(),
        token: "tok-attacker".to_owned(),
    };
    let mut stream = TcpStream::connect(aim.gate).await.unwrap();
    let sent = [resets::start(), resets::call(1, &resets::head(&aim))].concat();
    stream.write_all(&sent).await.unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("\"ran\"") {
        let read = timeout(Duration::from_secs(15), stream.read_buf(&mut seen)).await;
        assert!(read.unwrap().unwrap() > 0, "it was refused");
    }
}
