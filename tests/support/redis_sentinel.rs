//! Real sentinels before a real primary and its replicas, on loopback.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use redis::cmd;

use super::redis_server::{RedisServer, free_port, wait_until};

/// The name of the primary.
pub const MASTER: &str = "limits";

pub struct Sentinels {
    /// The first is the primary at the start.
    pub servers: Vec<RedisServer>,
    sentinels: Vec<Sentinel>,
}

struct Sentinel {
    child: Child,
    port: u16,
    folder: PathBuf,
}

impl Sentinels {
    /// So many servers and sentinels; all but one sentinel agree on a fail-over.
    pub fn start(servers: usize, sentinels: usize) -> Self {
        let servers: Vec<RedisServer> = (0..servers).map(|_| RedisServer::start()).collect();
        for replica in &servers[1..] {
            let mut follow = cmd("REPLICAOF");
            follow.arg("127.0.0.1").arg(servers[0].port);
            follow.exec(&mut replica.connection()).unwrap();
            wait_until("the replica has its copy", || {
                let info: String = cmd("INFO")
                    .arg("replication")
                    .query(&mut replica.connection())
                    .unwrap();
                info.contains("master_link_status:up")
            });
        }
        let quorum = sentinels / 2 + 1;
        let sentinels = (0..sentinels).map(|_| Sentinel::start(servers[0].port, quorum));
        let all = Self {
            sentinels: sentinels.collect(),
            servers,
        };
        let replicas = all.servers.len() - 1;
        let others = all.sentinels.len() - 1;
        wait_until("the sentinels know all", || {
            all.sentinels.iter().all(|it| it.knows(replicas, others))
        });
        all
    }

    pub fn urls(&self) -> Vec<String> {
        let urls = self.sentinels.iter();
        urls.map(|it| format!("redis://127.0.0.1:{}/", it.port)).collect()
    }

    pub fn pids(&self) -> Vec<u32> {
        let sentinels = self.sentinels.iter().map(|it| it.child.id());
        sentinels
            .chain(self.servers.iter().map(RedisServer::pid))
            .collect()
    }

    pub fn folders(&self) -> Vec<&std::path::Path> {
        let sentinels = self.sentinels.iter().map(|it| it.folder.as_path());
        sentinels
            .chain(self.servers.iter().map(RedisServer::folder))
            .collect()
    }

    /// Sets one of the sentinels' settings of the primary.
    pub fn set(&self, name: &str, value: &str) {
        for sentinel in &self.sentinels {
            let mut set = cmd("SENTINEL");
            set.arg("SET").arg(MASTER).arg(name).arg(value);
            set.exec(&mut sentinel.connection()).unwrap();
        }
    }

    /// Makes a replica the primary, as an operator would, and waits until all sentinels say so.
    pub fn fail_over(&self) {
        let before = self.sentinels[0].primary();
        wait_until("the fail-over begins", || {
            let mut command = cmd("SENTINEL");
            command.arg("FAILOVER").arg(MASTER);
            command.exec(&mut self.sentinels[0].connection()).is_ok()
        });
        self.until_primary_is_not(before);
    }

    /// Waits until all sentinels name another primary.
    pub fn until_primary_is_not(&self, port: u16) {
        wait_until("the sentinels agree on another primary", || {
            self.sentinels
                .iter()
                .filter(|it| it.is_alive())
                .all(|it| it.primary() != port)
        });
    }

    /// Ends one sentinel.
    pub fn kill_sentinel(&mut self, index: usize) {
        let child = &mut self.sentinels[index].child;
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub fn primary(&self) -> usize {
        let port = self.sentinels.last().unwrap().primary();
        let mut servers = self.servers.iter();
        servers.position(|server| server.port == port).unwrap()
    }
}

impl Sentinel {
    fn start(primary: u16, quorum: usize) -> Self {
        let port = free_port();
        let folder = std::env::temp_dir().join(format!("toolgate-sentinel-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let config = folder.join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor {MASTER} 127.0.0.1 {primary} {quorum}\n\
             sentinel down-after-milliseconds {MASTER} 1000\nsentinel failover-timeout {MASTER} 10000\n\
             sentinel parallel-syncs {MASTER} 1\n"
        );
        std::fs::write(&config, text).unwrap();
        let child = Command::new("redis-sentinel")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = match child {
            Ok(child) => child,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                panic!("redis-sentinel is not installed: run `make test` (or scripts/install-test-deps.sh)")
            }
            Err(error) => panic!("redis-sentinel: {error}"),
        };
        let sentinel = Self { child, port, folder };
        wait_until("the sentinel answers", || {
            sentinel.client().get_connection().is_ok()
        });
        sentinel
    }

    fn client(&self) -> redis::Client {
        redis::Client::open(format!("redis://127.0.0.1:{}/", self.port)).unwrap()
    }

    fn connection(&self) -> redis::Connection {
        self.client().get_connection().unwrap()
    }

    fn is_alive(&self) -> bool {
        self.client().get_connection().is_ok()
    }

    fn primary(&self) -> u16 {
        let mut ask = cmd("SENTINEL");
        ask.arg("GET-MASTER-ADDR-BY-NAME").arg(MASTER);
        ask.query::<(String, u16)>(&mut self.connection()).unwrap().1
    }

    fn knows(&self, replicas: usize, sentinels: usize) -> bool {
        let mut ask = cmd("SENTINEL");
        ask.arg("MASTER").arg(MASTER);
        let told: std::collections::HashMap<String, String> = ask.query(&mut self.connection()).unwrap();
        told["num-slaves"] == replicas.to_string() && told["num-other-sentinels"] == sentinels.to_string()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
