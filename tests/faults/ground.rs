//! Where the counters of a run are: one server, a primary with a replica that lags, sentinels, or a cluster.

use redis::cmd;

use super::redis_cluster::RedisCluster;
use super::redis_sentinel::{MASTER, Sentinels};
use super::redis_server::{RedisServer, wait_until};
use super::relay::Relay;
use super::replica::Site;
use super::scene::pause;

pub enum Ground {
    /// One server, which some scenes reach over a relay.
    Single(RedisServer, Option<Relay>),
    Pair(Box<Pair>),
    Sentinels(Sentinels),
    Cluster(RedisCluster),
}

impl Ground {
    pub async fn single(server: RedisServer, with_relay: bool) -> Self {
        let relay = if with_relay {
            Some(Relay::start(&address(&server)).await)
        } else {
            None
        };
        Self::Single(server, relay)
    }

    /// One primary and one replica; of a fail-over the sentinel tries the next soon.
    pub fn sentinels() -> Self {
        let sentinels = Sentinels::start(2, 1);
        sentinels.set("failover-timeout", "3000");
        for server in &sentinels.servers {
            let mut set = cmd("CONFIG");
            set.arg("SET").arg("repl-diskless-sync-delay").arg("0");
            set.exec(&mut server.connection()).unwrap();
        }
        Self::Sentinels(sentinels)
    }

    /// How replicas of the gate reach it.
    pub fn site(&self) -> Site {
        match self {
            Self::Single(server, None) => Site::Url(server.url()),
            Self::Single(_, Some(relay)) => Site::Url(url(relay)),
            Self::Pair(pair) => Site::Url(url(&pair.front)),
            Self::Sentinels(sentinels) => Site::Sentinels {
                master: MASTER.into(),
                urls: sentinels.urls(),
            },
            Self::Cluster(cluster) => Site::Cluster(cluster.urls()),
        }
    }

    pub const fn relay(&self) -> Option<&Relay> {
        match self {
            Self::Single(_, relay) => relay.as_ref(),
            _ => None,
        }
    }

    /// The only server.
    pub fn server(&mut self) -> &mut RedisServer {
        match self {
            Self::Single(server, _) => server,
            _ => panic!("this scene has several servers"),
        }
    }

    /// So many ms of what is charged do not reach the replica, where there is a way to hold them up.
    pub async fn lag(&self, ms: u64) {
        if let Self::Pair(pair) = self {
            pair.copies.stall();
            pause(ms).await;
        }
    }

    /// Another server becomes the primary.
    pub fn fail_over(&mut self) {
        match self {
            Self::Pair(pair) => pair.promote(),
            Self::Sentinels(sentinels) => fail_over(sentinels),
            _ => panic!("this scene has no replica to promote"),
        }
    }

    /// Moves one slot that is in use to another node, while calls come.
    pub async fn migrate(&self, pick: usize, calm_ms: u64) {
        let Self::Cluster(cluster) = self else {
            panic!("this scene has no slots");
        };
        let Some((slot, from)) = slot_in_use(cluster, pick) else {
            return;
        };
        let to = (from + 1 + pick % 2) % 3;
        cluster.begin_migration(slot, from, to);
        pause(calm_ms).await;
        cluster.move_keys(slot, from, to);
        pause(calm_ms / 2).await;
        // what was written meanwhile is over there already
        cluster.move_keys(slot, from, to);
        cluster.end_migration(slot, from, to);
    }
}

/// A primary and a replica of it: calls come over one relay, copies go over another.
pub struct Pair {
    primary: RedisServer,
    replica: RedisServer,
    front: Relay,
    copies: Relay,
}

impl Pair {
    pub async fn start() -> Self {
        // a copy begins at once
        let server = || RedisServer::start_with(&["--repl-diskless-sync-delay", "0"]);
        let (primary, replica) = (server(), server());
        let front = Relay::start(&address(&primary)).await;
        let copies = Relay::start(&address(&primary)).await;
        follow(&replica, copies.address.port());
        Self {
            primary,
            replica,
            front,
            copies,
        }
    }

    /// The primary dies, and an operator promotes the replica. What was the primary comes back empty and follows.
    fn promote(&mut self) {
        self.front.cut();
        self.primary.kill();
        self.copies.cut();
        let mut lead = cmd("REPLICAOF");
        lead.arg("NO").arg("ONE");
        lead.exec(&mut self.replica.connection()).unwrap();
        std::mem::swap(&mut self.primary, &mut self.replica);
        self.front.lead_to(&address(&self.primary));
        self.front.heal();
        self.copies.lead_to(&address(&self.primary));
        self.copies.heal();
        self.replica.restart();
        follow(&self.replica, self.copies.address.port());
    }
}

fn follow(replica: &RedisServer, primary: u16) {
    let mut follow = cmd("REPLICAOF");
    follow.arg("127.0.0.1").arg(primary);
    follow.exec(&mut replica.connection()).unwrap();
    wait_until("the replica has its copy", || {
        let info = cmd("INFO").arg("replication").query(&mut replica.connection());
        info.is_ok_and(|info: String| info.contains("master_link_status:up"))
    });
}

/// kill -9 of the primary: the sentinel chooses the other, and what comes back is told at once to follow it (the
/// sentinel would tell it too, after ten seconds or more).
fn fail_over(sentinels: &mut Sentinels) {
    let primary = sentinels.primary();
    let port = sentinels.servers[primary].port;
    sentinels.servers[primary].kill();
    sentinels.until_primary_is_not(port);
    sentinels.servers[primary].restart();
    let chosen = sentinels.servers[sentinels.primary()].port;
    follow(&sentinels.servers[primary], chosen);
}

/// A slot that has keys, and the node that keeps it.
fn slot_in_use(cluster: &RedisCluster, pick: usize) -> Option<(u16, usize)> {
    let mut found = Vec::new();
    for (node, server) in cluster.nodes.iter().enumerate() {
        let mut connection = server.connection();
        let keys: Vec<String> = cmd("KEYS").arg("faults:*").query(&mut connection).unwrap();
        for key in keys {
            let mut slot = cmd("CLUSTER");
            let slot: u16 = slot.arg("KEYSLOT").arg(key).query(&mut connection).unwrap();
            found.push((slot, node));
        }
    }
    found.sort_unstable();
    found.dedup();
    found.get(pick.checked_rem(found.len())?).copied()
}

fn address(server: &RedisServer) -> String {
    format!("127.0.0.1:{}", server.port)
}

fn url(relay: &Relay) -> String {
    format!("redis://{}/", relay.address)
}
