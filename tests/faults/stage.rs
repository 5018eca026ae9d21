//! One run: Redis, replicas, the faults of a scene, and the judgement at the end.

use std::cell::Cell;
use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::gates::{self, Gates};
use super::ground::{Ground, Pair};
use super::redis_cluster::RedisCluster;
use super::redis_server::RedisServer;
use super::replica::{Counts, Orders};
use super::running::{END, Running};
use super::scene::{Scene, pause};
use super::table::Row;

/// How long a call may wait for the store.
const DEADLINE_MS: u64 = 250;
/// Where nothing may be in doubt.
const PATIENT_MS: u64 = 5_000;
const GRANTS: u64 = 12;
/// Between two faults.
const CALM_MS: u64 = 250;

pub struct Stage {
    scene: Scene,
    ground: Ground,
    gates: Option<Gates>,
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
    stage.end(replicas, faults).await
}

impl Stage {
    async fn open(scene: Scene, length: Duration) -> Self {
        let folder = folder();
        let ground = ground(scene, &folder).await;
        let gates = if scene == Scene::Gates {
            Some(Gates::new(&ground.site(), DEADLINE_MS, GRANTS).await)
        } else {
            None
        };
        Self {
            scene,
            ground,
            gates,
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

    pub const fn ground(&mut self) -> &mut Ground {
        &mut self.ground
    }

    fn start_replica(&mut self) {
        let name = format!("r{}", self.files.len());
        let file = self.folder.join(format!("{name}.jsonl"));
        let running = match &self.gates {
            Some(gates) => Running::Gate(gates.start(&file)),
            None => self.start_client(name, file.clone()),
        };
        self.files.push(file);
        self.replicas.push(running);
    }

    fn start_client(&self, name: String, file: PathBuf) -> Running {
        let left = self.length.saturating_sub(self.began.elapsed());
        let orders = Orders {
            site: self.ground.site(),
            file,
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
            load: self.scene.load(),
            restores: self.scene.restores(),
        };
        let mut env = Vec::new();
        if self.scene == Scene::ReplicaClocks {
            let rate = if self.files.len().is_multiple_of(2) {
                ""
            } else {
                " x1.1"
            };
            let hours = self.files.len() * 7;
            env.push(("LD_PRELOAD", faketime_library()));
            env.push(("FAKETIME", format!("-{hours}h{rate}")));
        }
        if self.scene == Scene::ReplicaSteps {
            env.push(("LD_PRELOAD", faketime_library()));
            env.extend(clock_of(&self.folder));
        }
        Running::client(&orders, &env)
    }

    /// kill -9 of one, and another in its place.
    pub fn replace_replica(&mut self) {
        let index = usize::try_from(self.turn).unwrap() % self.replicas.len();
        let doomed = self.replicas.swap_remove(index);
        self.gone.push(doomed.kill());
        self.start_replica();
    }

    /// SIGSTOP of one replica, and SIGCONT after so many ms.
    pub async fn stop_replica(&mut self, ms: u64) {
        let index = usize::try_from(self.turn).unwrap() % self.replicas.len();
        self.replicas[index].signal("STOP");
        pause(ms).await;
        self.replicas[index].signal("CONT");
    }

    /// SIGSTOP of one replica, which goes on by itself after so many ms.
    pub fn halt_replica(&self, ms: u64) {
        let index = usize::try_from(self.turn).unwrap() % self.replicas.len();
        self.replicas[index].halt(ms);
    }

    pub async fn freeze(&mut self, ms: u64) {
        self.ground.server().signal("STOP");
        pause(ms).await;
        self.ground.server().signal("CONT");
    }

    pub async fn kill_redis(&mut self, ms: u64) {
        self.ground.server().kill();
        pause(ms).await;
        self.ground.server().restart();
        // a store that came back is held for a window, and then there must be something to lose
        pause(1_500).await;
    }

    /// A command to Redis, past the relay, once it has loaded what it keeps.
    pub fn redis(&mut self, command: &[&str]) {
        let mut cmd = redis::cmd(command[0]);
        cmd.arg(&command[1..]);
        let began = Instant::now();
        while let Err(error) = cmd.exec(&mut self.ground.server().connection()) {
            let loading = error.code() == Some("LOADING");
            assert!(loading && began.elapsed() < END, "{command:?}: {error}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Steps the clock of the store, or of all replicas, by so many ms.
    pub fn step_clock(&mut self, ms: i64) {
        self.clock_ms += ms;
        let seconds = Duration::from_millis(self.clock_ms.unsigned_abs()).as_secs_f64();
        let sign = if self.clock_ms < 0 { '-' } else { '+' };
        let file = self.folder.join("clock");
        let fresh = self.folder.join("clock.new");
        std::fs::write(&fresh, format!("{sign}{seconds:.3}\n")).unwrap();
        std::fs::rename(fresh, file).unwrap();
    }

    async fn end(mut self, replicas: usize, faults: u64) -> Row {
        for running in std::mem::take(&mut self.replicas) {
            let counts = running.end().await;
            self.gone.push(counts);
        }
        let ran = self.began.elapsed();
        let mut total = Counts::default();
        self.gone.iter().for_each(|counts| total.add(counts));
        let judged = self.judge(self.longest_call(), total.errors.is_empty());
        let kind = if self.gates.is_some() {
            gates::SMALL
        } else {
            self.scene.load().kinds[0]
        };
        let small = as_f64(total.small);
        Row {
            scene: self.scene,
            replicas,
            ran,
            faults,
            total,
            lost: 1.0 - small / (room(kind, ran) * as_f64(GRANTS)),
            judged,
        }
    }

    /// The longest that an admitted call took, in ms, where that is needed.
    fn longest_call(&self) -> u64 {
        if self.scene != Scene::ClockBack {
            return 0;
        }
        let lines = self.files.iter().flat_map(|file| lines_of(file));
        let admitted = lines.filter(|line| line["got_ms"].is_u64());
        let ms = |line: &Value, name: &str| line[name].as_u64().unwrap();
        let took = admitted.map(|line| ms(&line, "got_ms") - ms(&line, "sent_ms"));
        took.max().unwrap_or(0)
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
        if self.gates.is_some() {
            command.arg("--decisions");
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

/// The store of a scene.
async fn ground(scene: Scene, folder: &Path) -> Ground {
    let mut env = Vec::new();
    if scene.has_clock() || scene == Scene::ReplicaSteps {
        std::fs::write(folder.join("clock"), "+0\n").unwrap();
    }
    if scene.has_clock() {
        env.push(("LD_PRELOAD".to_owned(), faketime_and_libc()));
        let clock = clock_of(folder).into_iter();
        env.extend(clock.map(|(name, value)| (name.to_owned(), value)));
    }
    let log: &[&str] = if scene.keeps_log() {
        &["--appendonly", "yes", "--appendfsync", "always"]
    } else {
        &[]
    };
    match scene {
        Scene::Promotion | Scene::Restored => Ground::Pair(Box::new(Pair::start().await)),
        Scene::Sentinel => Ground::sentinels(),
        Scene::Migration => Ground::Cluster(RedisCluster::start()),
        _ => Ground::single(RedisServer::start_in(log, &env), scene.has_wire()).await,
    }
}

/// A clock that `step_clock` steps, and that runs on evenly for what measures how long something took.
fn clock_of(folder: &Path) -> [(&'static str, String); 3] {
    [
        (
            "FAKETIME_TIMESTAMP_FILE",
            folder.join("clock").display().to_string(),
        ),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]
}

/// How much a counter lets through in so long.
fn room((max, window): (u64, u64), ran: Duration) -> f64 {
    ran.as_secs_f64() * 1e3 / as_f64(window + 1) * as_f64(max)
}

fn as_f64(number: u64) -> f64 {
    f64::from(u32::try_from(number).unwrap())
}

/// The lines of a history; one that a killed replica left half written is passed over.
fn lines_of(file: &Path) -> impl Iterator<Item = Value> {
    let lines = BufReader::new(std::fs::File::open(file).unwrap()).lines();
    lines
        .map_while(Result::ok)
        .filter_map(|line| serde_json::from_str(&line).ok())
}

fn on_own_time(file: &Path, slack: u64) -> PathBuf {
    let to = file.with_extension("own.jsonl");
    let refunds = lines_of(file).filter(|line| line["kind"] == "refund");
    let refunded: HashSet<String> = refunds.map(|line| line["id"].to_string()).collect();
    let mut text = String::new();
    for mut line in lines_of(file) {
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
