//! A real `redis-server` for one test, ended when dropped.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to answer its first PING.
const START: Duration = Duration::from_secs(20);

pub struct RedisServer {
    program: PathBuf,
    child: Option<Child>,
    dir: PathBuf,
    pub port: u16,
    extra: Vec<String>,
    env: Vec<(String, String)>,
}

impl RedisServer {
    /// Starts a server that keeps nothing on disk.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with further arguments, e.g. `["--maxmemory", "4mb"]`.
    pub fn start_with(extra: &[&str]) -> Self {
        Self::start_in(extra, &[])
    }

    /// The same with variables of its environment.
    pub fn start_in(extra: &[&str], env: &[(String, String)]) -> Self {
        Self::start_program(Path::new("redis-server"), extra, env)
    }

    /// Valkey in Redis' place.
    pub fn start_valkey() -> Self {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/valkey/valkey-server");
        Self::start_program(&tools, &[], &[])
    }

    fn start_program(program: &Path, extra: &[&str], env: &[(String, String)]) -> Self {
        let extra: Vec<String> = extra.iter().map(|&arg| arg.to_owned()).collect();
        let mut name = [0; 8];
        getrandom::fill(&mut name).unwrap();
        let dir = std::env::temp_dir().join(format!("toolgate-redis-{:016x}", u64::from_be_bytes(name)));
        // Another test may take the port between its release here and the server's bind: try again.
        for _ in 0..5 {
            let port = free_port();
            let mut server = Self {
                program: program.to_owned(),
                child: None,
                dir: dir.clone(),
                port,
                extra: extra.clone(),
                env: env.to_vec(),
            };
            if server.spawn() {
                return server;
            }
        }
        panic!("redis-server does not start");
    }

    /// `redis://127.0.0.1:PORT/`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub fn folder(&self) -> &std::path::Path {
        &self.dir
    }

    /// A plain blocking connection.
    pub fn connection(&self) -> redis::Connection {
        redis::Client::open(self.url()).unwrap().get_connection().unwrap()
    }

    /// Sends a signal by name, e.g. `STOP` or `CONT`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(
            Command::new("kill")
                .args([&format!("-{name}"), &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again, empty, on the same port.
    pub fn restart(&mut self) {
        self.kill();
        assert!(self.spawn(), "redis-server did not come back on its port");
    }

    fn spawn(&mut self) -> bool {
        // a try that failed has removed the folder
        std::fs::create_dir_all(&self.dir).unwrap();
        let child = Command::new(&self.program)
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .arg("--dir")
            .arg(&self.dir)
            .args(&self.extra)
            .envs(self.env.iter().cloned())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = match child {
            Ok(child) => Some(child),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let program = self.program.display();
                panic!("{program} is not installed: run `make test` (or scripts/install-test-deps.sh)")
            }
            Err(error) => panic!("redis-server: {error}"),
        };
        let until = Instant::now() + START;
        let client = redis::Client::open(self.url()).unwrap();
        while Instant::now() < until {
            let pid = self.child.as_ref().unwrap().id();
            if client
                .get_connection()
                .and_then(|mut it| own_pid(&mut it))
                .is_ok_and(|found| found == pid)
            {
                return true;
            }
            if self.child.as_mut().unwrap().try_wait().unwrap().is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

/// A port below the range from which the system picks for outgoing connections (32768 and up), so that none of
/// them holds it while the server is down.
pub fn free_port() -> u16 {
    let mut random = [0; 2];
    loop {
        getrandom::fill(&mut random).unwrap();
        let port = 20_000 + u16::from_be_bytes(random) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The server's process, so that a stranger on the port is not taken for ours.
fn own_pid(connection: &mut redis::Connection) -> redis::RedisResult<u32> {
    let info: String = redis::cmd("INFO").arg("server").query(connection)?;
    let pid = info
        .lines()
        .find_map(|line| line.strip_prefix("process_id:")?.parse().ok());
    pid.ok_or_else(|| (redis::ErrorKind::Client, "no process_id").into())
}

/// Ends processes and folders when this process ends, however it ends: for servers that all tests of a file share,
/// and that nobody drops. What it gives holds the near end of a
/// pipe, and must be kept for as long as the servers.
#[must_use = "dropped, it ends them at once"]
pub fn end_with_us(pids: &[u32], folders: &[&std::path::Path]) -> Child {
    Command::new("sh")
        .args(["-c", r#"cat >/dev/null; kill -9 $PIDS; rm -rf "$@""#, "sh"])
        .args(folders)
        .env(
            "PIDS",
            pids.iter().map(u32::to_string).collect::<Vec<_>>().join(" "),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Looks at a condition until it holds; panics with `what` where it does not come to.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + START;
    while !holds() {
        assert!(Instant::now() < until, "waited {START:?} in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
