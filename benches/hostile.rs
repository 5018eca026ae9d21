//! Hostile clients beside working ones: `make hostile` writes docs/hostile.md.
//!
//! The gate, the attacker and this program (the working clients and their server) are three processes. For each attack
//! the working clients call for some seconds in quiet and for some under attack; both are in the same run.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a measuring program: what fails must stop it, and it says how far it is"
)]

#[path = "../tests/hostile/attacks.rs"]
mod attacks;
#[path = "../tests/hostile/others.rs"]
mod others;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use attacks::{ATTACKS, Aim, Answers, Attack};
use others::Calls;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sha2::{Digest, Sha256};

const WARM: Duration = Duration::from_secs(1);
const QUIET: Duration = Duration::from_secs(8);
const UNDER_ATTACK: Duration = Duration::from_secs(10);
/// Working clients, each with a call every 20 ms.
const CLIENTS: usize = 8;
/// What the gate may hold, and beside it for each connection of an attack with thousands of them.
const MEMORY: u64 = 120 << 20;
const A_CONNECTION: u64 = 24 << 10;
const WORKER: &str = "tok-worker";
const ATTACKER: &str = "tok-attacker";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    )
    .unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    match arguments.get(1).map(String::as_str) {
        Some("attack") => {
            runtime.block_on(attack(&arguments[2], arguments[3].parse().unwrap()));
            // stdin may still be read: nobody waits for it
            runtime.shutdown_background();
        }
        _ => {
            let named: Vec<&str> = arguments[1..].iter().map(String::as_str).collect();
            runtime.block_on(measure(&named));
        }
    }
}

/// The attacker's process: ends with this one's stdin.
async fn attack(name: &str, gate: SocketAddr) {
    let attack = ATTACKS.iter().find(|attack| attack.name == name).unwrap();
    let (aim, answers) = (
        Aim {
            gate,
            token: ATTACKER.to_owned(),
        },
        Answers::default(),
    );
    let stopped = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
    tokio::select! {
        () = attacks::run(attack, attack.clients, &aim, &answers) => {}
        _ = stopped => {}
    }
    println!("{}", serde_json::to_string(&answers.seen()).unwrap());
}

struct Row {
    attack: &'static Attack,
    quiet: Calls,
    attacked: Calls,
    answers: BTreeMap<String, u64>,
    peak: u64,
}

impl Row {
    fn holds(&self) -> bool {
        let clean = self
            .answers
            .keys()
            .all(|what| self.attack.clean.contains(&what.as_str()));
        let others = self.attacked.failed.is_empty() && self.ratio() <= 3.0;
        clean && others && self.peak <= self.memory()
    }

    /// The bound on the gate's resident memory, in bytes.
    const fn memory(&self) -> u64 {
        match self.attack.clients {
            few if few < 1_000 => MEMORY,
            many => MEMORY + many as u64 * A_CONNECTION,
        }
    }

    fn ratio(&self) -> f64 {
        self.attacked.quantile(0.99).as_secs_f64() / self.quiet.quantile(0.99).as_secs_f64()
    }
}

/// All attacks, or those that are named.
async fn measure(named: &[&str]) {
    let first = first_of_all();
    let server = others::server().await;
    let mut rows = Vec::new();
    let wanted = |attack: &&Attack| !names_any(named) || named.contains(&attack.name);
    for attack in ATTACKS.iter().filter(wanted) {
        eprintln!("{}: {}", attack.name, attack.what);
        // what one attack leaves allocated is not the next one's
        let (mut gate, addr) = start(server);
        // the first calls open connections
        drop(others::call(addr, WORKER, CLIENTS, WARM).await);
        let quiet = others::call(addr, WORKER, CLIENTS, QUIET).await;
        others::forget_peak(gate.id());
        // the attacker's processor would be another one: here it gets what the others leave, and gives way at once
        let mut attacker = Command::new("chrt")
            .args(["--idle", "0"])
            .arg(std::env::current_exe().unwrap())
            .args(["attack", attack.name, &addr.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let attacked = others::call(addr, WORKER, CLIENTS, UNDER_ATTACK).await;
        let peak = others::peak(gate.id());
        drop(attacker.stdin.take());
        let told = attacker.wait_with_output().unwrap().stdout;
        let answers = serde_json::from_slice(&told).unwrap();
        gate.kill().unwrap();
        gate.wait().unwrap();
        rows.push(Row {
            attack,
            quiet,
            attacked,
            answers,
            peak,
        });
    }
    let page = page(&rows, first);
    println!("{page}");
    if !names_any(named) {
        write(&page);
    }
    assert!(
        rows.iter().all(Row::holds),
        "something does not hold: see the table"
    );
}

/// Working clients and their server would be on machines of their own: here they run as soon as they can, so that what
/// is measured is the gate and not how three processes share the processors. False where that is not permitted.
fn first_of_all() -> bool {
    let own = std::process::id().to_string();
    let changed = Command::new("chrt")
        .args(["--all-tasks", "--reset-on-fork", "--rr", "--pid", "1", &own])
        .stderr(Stdio::null())
        .status();
    changed.is_ok_and(|status| status.success())
}

/// `cargo bench` adds an option of its own.
fn names_any(named: &[&str]) -> bool {
    named.iter().any(|name| !name.starts_with("--"))
}

/// Puts the table into docs/hostile.md.
fn write(page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/hostile.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once("<!-- measured: begin -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- measured: end -->").unwrap();
    std::fs::write(
        &path,
        format!("{before}<!-- measured: begin -->\n{page}<!-- measured: end -->{after}"),
    )
    .unwrap();
}

fn start(server: SocketAddr) -> (Child, SocketAddr) {
    let folder = std::env::temp_dir().join(format!("toolgate-hostile-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let hash = |token: &str| {
        Sha256::digest(token.as_bytes())
            .iter()
            .fold(String::new(), |mut hex, byte| {
                write!(hex, "{byte:02x}").unwrap();
                hex
            })
    };
    let grant = |id: &str, token: &str| {
        format!(
            "  - {{ id: {id}, token_sha256: '{}', server: s, policy: p }}\n",
            hash(token)
        )
    };
    std::fs::write(
        folder.join("grants.yaml"),
        format!(
            "grants:\n{}{}",
            grant("worker", WORKER),
            grant("attacker", ATTACKER)
        ),
    )
    .unwrap();
    std::fs::write(folder.join("p.yaml"), "version: '1'\ndefault: allow\n").unwrap();
    let settings = format!(
        "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nlimits: {{ connections: 20000 }}\n\
         servers: {{ s: {{ upstream: 'http://{server}/mcp' }} }}\npolicies: {{ p: p.yaml }}\ngrants: grants.yaml\n"
    );
    std::fs::write(folder.join("toolgate.yaml"), settings).unwrap();
    let mut gate = Command::new(env!("CARGO_BIN_EXE_toolgate"))
        .args(["serve", "--config"])
        .arg(folder.join("toolgate.yaml"))
        .env("RUST_LOG", "error")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(gate.stdout.take().unwrap()).lines();
    let ready: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    let addr = ready["proxy"].as_str().unwrap().parse().unwrap();
    // the record is read, as a collector would
    std::thread::spawn(move || lines.for_each(drop));
    (gate, addr)
}

fn page(rows: &[Row], first: bool) -> String {
    let mut out = String::new();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split(' ').take(3).collect();
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let load = load.join(" ");
    let first = if first { "came first" } else { "had no priority" };
    writeln!(
        out,
        "{cpus} processors, load {load} at the end; working clients and their server {first}.\n"
    )
    .unwrap();
    writeln!(out, "| attack | p50, p99 in quiet | p50, p99 under attack | p99 ratio | failed calls of others | peak memory | answers to the attacker | holds |").unwrap();
    writeln!(out, "| --- | --- | --- | --- | --- | --- | --- | --- |").unwrap();
    for row in rows {
        let ms = |calls: &Calls| {
            let of = |quantile| calls.quantile(quantile).as_secs_f64() * 1e3;
            format!("{:.1}, {:.1} ms", of(0.5), of(0.99))
        };
        let answers: Vec<String> = row
            .answers
            .iter()
            .map(|(what, count)| format!("{what}: {count}"))
            .collect();
        let verdict = if row.holds() { "yes" } else { "**no**" };
        writeln!(
            out,
            "| {}: {} | {} | {} | {:.1} | {} | {} of {} MiB | {} | {verdict} |",
            row.attack.name,
            row.attack.what,
            ms(&row.quiet),
            ms(&row.attacked),
            row.ratio(),
            row.attacked.failed.len(),
            row.peak >> 20,
            row.memory() >> 20,
            answers.join(", ")
        )
        .unwrap();
    }
    out
}
