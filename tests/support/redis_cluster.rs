//! A real Redis Cluster of three nodes on loopback, each with a third of the slots.
#![allow(dead_code, reason = "each test file uses a part of it")]

use redis::{Connection, RedisResult, Value, cmd};

use super::redis_server::{RedisServer, free_port, wait_until};

pub struct RedisCluster {
    pub nodes: Vec<RedisServer>,
}

/// The first slot of each node, and the one after the last.
const BORDERS: [u16; 4] = [0, 5_461, 10_923, 16_384];

impl RedisCluster {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// With further arguments for each node.
    pub fn start_with(extra: &[&str]) -> Self {
        Self::of((0..3).map(|_| node(extra)).collect())
    }

    /// Over TLS, among themselves too; `files` are the authority's certificate, the nodes', and their key.
    pub fn start_tls(files: &[String; 3]) -> Self {
        let tls = |port: &str| {
            let names = ["--tls-ca-cert-file", "--tls-cert-file", "--tls-key-file"];
            let files = names
                .iter()
                .zip(files)
                .flat_map(|(name, file)| [(*name).to_owned(), file.clone()]);
            let own = ["--tls-port", port, "--tls-cluster", "yes"].map(str::to_owned);
            files.chain(own).collect::<Vec<_>>()
        };
        let nodes = (0..3).map(|_| {
            let arguments = tls(&free_port().to_string());
            node(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
        });
        Self::of(nodes.collect())
    }

    pub fn tls_urls(&self) -> Vec<String> {
        let ports = self.nodes.iter().map(|node| config(node, "tls-port"));
        ports.map(|port| format!("rediss://127.0.0.1:{port}/")).collect()
    }

    fn of(nodes: Vec<RedisServer>) -> Self {
        let cluster = Self { nodes };
        let first = &cluster.nodes[0];
        for (index, node) in cluster.nodes.iter().enumerate() {
            let mut connection = node.connection();
            let slots = cmd("CLUSTER")
                .arg("ADDSLOTSRANGE")
                .arg(BORDERS[index])
                .arg(BORDERS[index + 1] - 1)
                .exec(&mut connection);
            slots.unwrap();
            cmd("CLUSTER")
                .arg("SET-CONFIG-EPOCH")
                .arg(index + 1)
                .exec(&mut connection)
                .unwrap();
            if index > 0 {
                meet(&mut connection, first);
            }
        }
        wait_until("the cluster is complete", || {
            cluster.nodes.iter().all(|node| is_complete(node, 3))
        });
        cluster
    }

    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    /// Adds a node that copies the `of`th, and waits until it does.
    pub fn add_replica(&mut self, of: usize, extra: &[&str]) -> usize {
        let replica = node(extra);
        let mut connection = replica.connection();
        meet(&mut connection, &self.nodes[0]);
        let primary = id(&self.nodes[of]);
        wait_until("the replica knows its primary", || {
            let replicate = cmd("CLUSTER")
                .arg("REPLICATE")
                .arg(&primary)
                .exec(&mut connection);
            replicate.is_ok()
        });
        wait_until("the replica has its copy", || {
            info(&mut connection, "replication").contains("master_link_status:up")
        });
        let own = id(&replica);
        wait_until("all know the replica", || {
            self.nodes.iter().all(|node| {
                let nodes: String = cmd("CLUSTER").arg("NODES").query(&mut node.connection()).unwrap();
                nodes
                    .lines()
                    .any(|line| line.starts_with(&own) && line.contains("slave"))
            })
        });
        self.nodes.push(replica);
        self.nodes.len() - 1
    }

    /// The node that keeps a slot, as the first living node sees it.
    pub fn owner(&self, slot: u16) -> usize {
        let ports = self.nodes.iter().find_map(|node| owner_port(node, slot));
        let port = ports.unwrap();
        let mut nodes = self.nodes.iter();
        nodes.position(|node| node.port == port).unwrap()
    }

    /// Moves a slot to another node while it is in use, key by key.
    pub fn migrate(&self, slot: u16, from: usize, to: usize) {
        self.begin_migration(slot, from, to);
        self.move_keys(slot, from, to);
        self.end_migration(slot, from, to);
    }

    pub fn begin_migration(&self, slot: u16, from: usize, to: usize) {
        let set = |node: &RedisServer, what: &str, other: &RedisServer| {
            let mut set = cmd("CLUSTER");
            set.arg("SETSLOT").arg(slot).arg(what).arg(id(other));
            set.exec(&mut node.connection()).unwrap();
        };
        set(&self.nodes[to], "IMPORTING", &self.nodes[from]);
        set(&self.nodes[from], "MIGRATING", &self.nodes[to]);
    }

    pub fn move_keys(&self, slot: u16, from: usize, to: usize) {
        let mut connection = self.nodes[from].connection();
        loop {
            let keys: Vec<String> = cmd("CLUSTER")
                .arg("GETKEYSINSLOT")
                .arg(slot)
                .arg(10)
                .query(&mut connection)
                .unwrap();
            if keys.is_empty() {
                return;
            }
            for key in keys {
                let mut migrate = cmd("MIGRATE");
                migrate.arg("127.0.0.1").arg(self.nodes[to].port).arg(key);
                migrate.arg(0).arg(5_000).exec(&mut connection).unwrap();
            }
        }
    }

    pub fn end_migration(&self, slot: u16, from: usize, to: usize) {
        for node in [to, from] {
            let mut set = cmd("CLUSTER");
            set.arg("SETSLOT").arg(slot).arg("NODE").arg(id(&self.nodes[to]));
            set.exec(&mut self.nodes[node].connection()).unwrap();
        }
    }
}

fn node(extra: &[&str]) -> RedisServer {
    let bus = free_port().to_string();
    let mut arguments = vec!["--cluster-enabled", "yes", "--cluster-port", bus.as_str()];
    arguments.extend([
        "--cluster-config-file",
        "nodes.conf",
        "--cluster-node-timeout",
        "1000",
    ]);
    arguments.extend(extra);
    RedisServer::start_with(&arguments)
}

fn meet(connection: &mut Connection, other: &RedisServer) {
    let own = match config(other, "tls-port").as_str() {
        "0" => other.port.to_string(),
        port => port.to_owned(),
    };
    let mut meet = cmd("CLUSTER");
    meet.arg("MEET")
        .arg("127.0.0.1")
        .arg(own)
        .arg(config(other, "cluster-port"));
    meet.exec(connection).unwrap();
}

fn config(node: &RedisServer, name: &str) -> String {
    let mut get = cmd("CONFIG");
    get.arg("GET").arg(name);
    get.query::<(String, String)>(&mut node.connection()).unwrap().1
}

fn id(node: &RedisServer) -> String {
    cmd("CLUSTER").arg("MYID").query(&mut node.connection()).unwrap()
}

fn info(connection: &mut Connection, section: &str) -> String {
    cmd("INFO").arg(section).query(connection).unwrap()
}

fn is_complete(node: &RedisServer, ranges: usize) -> bool {
    let mut connection = node.connection();
    let info: String = cmd("CLUSTER").arg("INFO").query(&mut connection).unwrap();
    let slots: RedisResult<Vec<Value>> = cmd("CLUSTER").arg("SLOTS").query(&mut connection);
    info.contains("cluster_state:ok") && slots.is_ok_and(|slots| slots.len() == ranges)
}

fn owner_port(node: &RedisServer, slot: u16) -> Option<u16> {
    let mut connection = redis::Client::open(node.url()).unwrap().get_connection().ok()?;
    let ranges: Vec<Vec<Value>> = cmd("CLUSTER").arg("SLOTS").query(&mut connection).ok()?;
    ranges.into_iter().find_map(|range| {
        let [Value::Int(first), Value::Int(last), Value::Array(primary), ..] = range.as_slice() else {
            return None;
        };
        let port = primary.get(1).cloned()?;
        let keeps = (*first..=*last).contains(&i64::from(slot));
        keeps.then(|| redis::from_redis_value(port).unwrap())
    })
}
