//! One run: Redis, replicas, the faults of a scene, and the judgement at the end.

use std::cell::Cell;
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::child::Child;
use super::redis_server::RedisServer;
use super::relay::Relay;
use super::replica::{Counts, KINDS, Orders, SMALL};
use super::scene::{Scene, pause};
use super::table::Row;

/// How long a call may wait for the store.
const DEADLINE_MS: u64 = 250;
/// Where nothing may be in doubt.
const PATIENT_MS: u64 = 5_000;
const GRANTS: u64 = 12;
/// Between two faults.
const CALM_MS: u64 = 250;
/// How long a replica may take to end after its time on a busy machine.
const END: Duration = Duration::from_secs(60);

pub struct Stage {
    scene: Scene,
    server: RedisServer,
    relay: Option<Relay>,
    folder: PathBuf,
    replicas: Vec<Running>,
    /// What replicas that were killed had counted.
    gone: Vec<Counts>,
    files: Vec<PathBuf>,
    began: Instant,
    length: Duration,
    turn: u64,
    seed: Cell<u64>,
    clock_ms: i64,
}

struct Running {
    child: Child,
}

/// Runs a scene for so long with so many replicas, and judges what they wrote down.
pub async fn run(scene: Scene, length: Duration, replicas: usize) -> Row {
    let mut stage = Stage::open(scene, length).await;
    for _ in 0..replicas {
        stage.start_replica();
    }
    let mut faults = 0;
    while stage.began.elapsed() < length {
        pause(CALM_MS).await;
        faults += scene.strike(&mut stage).await;
    }
    stage.end(replicas, faults)
}

impl Stage {
    async fn open(scene: Scene, length: Duration) -> Self {
        let folder = folder();
        let clock = folder.join("clock");
        let mut env = Vec::new();
        if scene.has_clock() {
            std::fs::write(&clock, "+0\n").unwrap();
            env = vec![
                ("LD_PRELOAD".to_owned(), faketime_and_libc()),
                ("FAKETIME_TIMESTAMP_FILE".to_owned(), clock.display().to_string()),
                ("FAKETIME_NO_CACHE".to_owned(), "1".to_owned()),
                ("FAKETIME_DONT_FAKE_MONOTONIC".to_owned(), "1".to_owned()),
            ];
        }
        let log: &[&str] = if scene.keeps_log() {
            &["--appendonly", "yes", "--appendfsync", "always"]
        } else {
            &[]
        };
        let server = RedisServer::start_in(log, &env);
        let relay = if scene.has_wire() {
            Some(Relay::start(&format!("127.0.0.1:{}", server.port)).await)
        } else {
            None
        };
        Self {
            scene,
            server,
            relay,
            folder,
            replicas: Vec::new(),
            gone: Vec::new(),
            files: Vec::new(),
            began: Instant::now(),
            length,
            turn: 0,
            seed: Cell::new(0x9e37_79b9_7f4a_7c15),
            clock_ms: 0,
        }
    }

    /// How many faults there were before this one.
    pub fn turn(&mut self) -> u64 {
        self.turn += 1;
        self.turn - 1
    }

    /// A number from `low` up to `high`, the same in each run.
    pub fn some(&self, low: u64, high: u64) -> u64 {
        let mut seed = self.seed.get();
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        self.seed.set(seed);
        low + seed % (high - low)
    }

    pub const fn relay(&self) -> Option<&Relay> {
        self.relay.as_ref()
    }

    fn start_replica(&mut self) {
        let name = format!("r{}", self.files.len());
        let file = self.folder.join(format!("{name}.jsonl"));
        let left = self.length.saturating_sub(self.began.elapsed());
        let url = self.relay.as_ref().map_or_else(
            || self.server.url(),
            |relay| format!("redis://{}/", relay.address),
        );
        let orders = Orders {
            url,
            file: file.clone(),
            name,
            length_ms: u64::try_from(left.as_millis()).unwrap(),
            workers: 24,
            deadline_ms: if self.scene.is_whole() {
                PATIENT_MS
            } else {
                DEADLINE_MS
            },
            by_slot_group: self.scene.by_slot_group(),
            refunds: !self.scene.is_whole(),
            grants: GRANTS,
        };
        let own = std::env::current_exe().unwrap();
        let mut command = Command::new(own);
        command.args(["replica::replica", "--exact", "--ignored", "--nocapture"]);
        if self.scene == Scene::ReplicaClocks {
            let rate = if self.files.len().is_multiple_of(2) {
                ""
            } else {
                " x1.1"
            };
            let hours = self.files.len() * 7;
            command.env("LD_PRELOAD", faketime_library());
            command.env("FAKETIME", format!("-{hours}h{rate}"));
        }
        let (child, mut stdin) = Child::start_with_stdin("replica", &mut command);
        writeln!(stdin, "{}", serde_json::to_string(&orders).unwrap()).unwrap();
        self.files.push(file);
        self.replicas.push(Running { child });
    }

    /// kill -9 of one, and another in its place.
    pub fn replace_replica(&mut self) {
        let index = usize::try_from(self.turn).unwrap() % self.replicas.len();
        let mut doomed = self.replicas.swap_remove(index);
        doomed.child.kill();
        self.gone.push(counts(&doomed.child));
        self.start_replica();
    }

    pub async fn freeze(&mut self, ms: u64) {
        self.server.signal("STOP");
        pause(ms).await;
        self.server.signal("CONT");
    }

    pub async fn kill_redis(&mut self, ms: u64) {
        self.server.kill();
        pause(ms).await;
        self.server.restart();
        // a store that came back is held for a window, and then there must be something to lose
        pause(1_500).await;
    }

    /// A command to Redis, past the relay, once it has loaded what it keeps.
    pub fn redis(&mut self, command: &[&str]) {
        let mut cmd = redis::cmd(command[0]);
        cmd.arg(&command[1..]);
        let began = Instant::now();
        while let Err(error) = cmd.exec(&mut self.server.connection()) {
            let loading = error.code() == Some("LOADING");
            assert!(loading && began.elapsed() < END, "{command:?}: {error}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Steps the store's clock by so many ms.
    pub fn step_clock(&mut self, ms: i64) {
        self.clock_ms += ms;
        let seconds = Duration::from_millis(self.clock_ms.unsigned_abs()).as_secs_f64();
        let sign = if self.clock_ms < 0 { '-' } else { '+' };
        let file = self.folder.join("clock");
        let fresh = self.folder.join("clock.new");
        std::fs::write(&fresh, format!("{sign}{seconds:.3}\n")).unwrap();
        std::fs::rename(fresh, file).unwrap();
    }

    fn end(mut self, replicas: usize, faults: u64) -> Row {
        for mut running in std::mem::take(&mut self.replicas) {
            assert!(
                running.child.wait_end(END).success(),
                "{}",
                running.child.stderr()
            );
            self.gone.push(counts(&running.child));
        }
        let ran = self.began.elapsed();
        let mut total = Counts::default();
        for counts in &self.gone {
            total.calls += counts.calls;
            total.admitted += counts.admitted;
            total.remembered += counts.remembered;
            total.refunded += counts.refunded;
            for (code, count) in &counts.errors {
                *total.errors.entry(code.clone()).or_default() += count;
            }
        }
        let (small, slack) = self.look_through();
        let judged = self.judge(slack, total.errors.is_empty());
        Row {
            scene: self.scene,
            replicas,
            ran,
            faults,
            total,
            lost: 1.0 - small / (room(ran) * as_f64(GRANTS)),
            judged,
        }
    }

    /// Admissions on the small counters, and the longest that a call took.
    fn look_through(&self) -> (f64, u64) {
        let (mut small, mut slack) = (0_u32, 0);
        let back = self.scene == Scene::ClockBack;
        for file in &self.files {
            let lines = BufReader::new(std::fs::File::open(file).unwrap()).lines();
            for line in lines.map_while(Result::ok) {
                let admitted = line.contains("\"sent_ms\"");
                small += u32::from(admitted && line.contains(SMALL));
                if back
                    && admitted
                    && let Ok(line) = serde_json::from_str::<Value>(&line)
                {
                    let ms = |name: &str| line[name].as_u64().unwrap();
                    slack = slack.max(ms("got_ms") - ms("sent_ms"));
                }
            }
        }
        (f64::from(small), slack)
    }

    /// What `toolgate check-history` says. Where the store's clock is set back the machine's own times stand for its:
    /// two calls that were answered within the window less the longest that one took were admitted within the window.
    fn judge(&self, slack: u64, none_failed: bool) -> Value {
        let mut files = self.files.clone();
        if self.scene == Scene::ClockBack {
            for file in &mut files {
                *file = on_own_time(file, slack);
            }
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_toolgate"));
        command.args(["check-history", "--format", "json"]);
        if self.scene.is_whole() && none_failed {
            command.arg("--tight");
        }
        let output = command.args(files).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        serde_json::from_str(&text)
            .unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// How much a small counter lets through in so long.
fn room(ran: Duration) -> f64 {
    let (max, window) = KINDS[0];
    ran.as_secs_f64() * 1e3 / as_f64(window + 1) * as_f64(max)
}

fn as_f64(number: u64) -> f64 {
    f64::from(u32::try_from(number).unwrap())
}

fn on_own_time(file: &Path, slack: u64) -> PathBuf {
    let to = file.with_extension("own.jsonl");
    let read = || {
        let lines = BufReader::new(std::fs::File::open(file).unwrap()).lines();
        lines
            .map_while(Result::ok)
            .filter_map(|line| serde_json::from_str::<Value>(&line).ok())
    };
    let refunds = read().filter(|line| line["kind"] == "refund");
    let refunded: HashSet<String> = refunds.map(|line| line["id"].to_string()).collect();
    let mut text = String::new();
    for mut line in read() {
        // a window no longer than the slack says nothing
        let window = line["window_ms"].as_u64().unwrap();
        if line["got_ms"].is_u64() && window > slack && !refunded.contains(&line["id"].to_string()) {
            line["t_ms"] = line["got_ms"].clone();
            line["window_ms"] = (window - slack).into();
            text += &format!("{line}\n");
        }
    }
    std::fs::write(&to, text).unwrap();
    to
}

/// What a replica counted last.
fn counts(child: &Child) -> Counts {
    let lines = child.json_lines();
    let last = lines
        .into_iter()
        .rev()
        .find_map(|line| serde_json::from_value(line).ok());
    last.unwrap_or_default()
}

fn folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("faults-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// The library that gives a process another clock, where the distribution puts it.
fn faketime_library() -> String {
    let places = std::fs::read_dir("/usr/lib").unwrap().filter_map(Result::ok);
    let found = places.map(|place| place.path().join("faketime/libfaketime.so.1"));
    let found = found
        .filter(|library| library.exists())
        .find_map(|library| library.to_str().map(str::to_owned));
    found.unwrap_or_else(|| panic!("libfaketime is missing: {}", super::child::REMEDY))
}

/// The same for Redis. Its allocator asks for the time before the library is ready, so libc's own allocates for it.
fn faketime_and_libc() -> String {
    let library = faketime_library();
    let libc = Path::new(&library).ancestors().nth(2).unwrap().join("libc.so.6");
    format!("{library}:{}", libc.display())
}
