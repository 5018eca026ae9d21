//! docs/performance-store.md: what limits cost the store.

use std::fmt::Write as _;
use std::path::Path;

use toolgate::counters::command::Command;

use super::load::{Rate, rates};
use super::redis_cluster::RedisCluster;
use super::redis_server::RedisServer;

/// What many decisions a second are told for.
const MANY: f64 = 1e6;
/// Limits that a store decides while its processor has as much to spare.
const BUSY: f64 = 0.5;
/// Connections that each replica of the gate keeps to a node.
const CONNECTIONS: u32 = 2;

/// One limit of ten in a minute: of six calls of a grant all fit, so that half of the keys are new.
fn admission(spread: u64, turn: u64) -> Command {
    super::command(turn, 1, 10, spread + turn / 6, false)
}

fn denial(spread: u64, turn: u64) -> Command {
    super::command(turn, 1, 10, spread, false)
}

/// Measures, and writes the page with the other tables.
pub fn write(tables: &str) {
    let server = RedisServer::start();
    let mut text = format!("{HEAD}\n{tables}\n{ONE}\n");
    text += "| load | replicas | decisions in a second of Redis' processor time | seen in a second |\n| --- | --- | --- | --- |\n";
    for replicas in [1, 4, 16] {
        let of = |_, turn| admission(u64::from(replicas) << 40, turn);
        let rate = rates(&[&server], replicas * CONNECTIONS, &of)[0];
        row(&mut text, "admissions, 1 limit", replicas, rate);
    }
    let three = |_, turn: u64| super::command(turn, 3, 10, (1 << 50) + turn / 6, false);
    row(
        &mut text,
        "admissions, 3 limits",
        4,
        rates(&[&server], 4 * CONNECTIONS, &three)[0],
    );
    let denied = |_, turn| denial(1 << 51, turn);
    let rate = rates(&[&server], 4 * CONNECTIONS, &denied)[0];
    row(
        &mut text,
        "denials, 1 limit (those that replicas do not remember)",
        4,
        rate,
    );
    drop(server);
    cluster(&mut text);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance-store.md");
    std::fs::write(page, text).unwrap();
}

fn row(text: &mut String, load: &str, replicas: u32, rate: Rate) {
    let Rate { of_a_core, seen } = rate;
    writeln!(text, "| {load} | {replicas} | {of_a_core:.0} | {seen:.0} |").unwrap();
}

fn cluster(text: &mut String) {
    let cluster = RedisCluster::start();
    let homes = homes(&cluster);
    let servers: Vec<&RedisServer> = cluster.nodes.iter().collect();
    let of = |node: usize, turn: u64| {
        let homes = &homes[node];
        let spread = homes[(turn / 6) as usize % homes.len()];
        super::command(turn, 1, 1_000_000, spread, false)
    };
    let rates = rates(&servers, 4 * CONNECTIONS, &of);
    let sum: f64 = rates.iter().map(|rate| rate.of_a_core).sum();
    let seen: f64 = rates.iter().map(|rate| rate.seen).sum();
    text.push_str(CLUSTER);
    text.push_str(
        "\n| node | decisions in a second of its processor time | seen in a second |\n| --- | --- | --- |\n",
    );
    for (node, rate) in rates.iter().enumerate() {
        writeln!(
            text,
            "| {} | {:.0} | {:.0} |",
            node + 1,
            rate.of_a_core,
            rate.seen
        )
        .unwrap();
    }
    writeln!(text, "| all | {sum:.0} | {seen:.0} |").unwrap();
    let of_a_node = sum / f64::from(u32::try_from(servers.len()).unwrap());
    let nodes = (MANY / of_a_node).ceil();
    let spare = (nodes / BUSY).ceil();
    writeln!(text, "{}", format_args!(
        "\nA million decisions a second are {nodes:.0} nodes with a core each by this arithmetic (1 000 000 ÷ {:.0}), and {spare:.0} \
         that are half busy. What it takes for granted: grants are many, so that their slots spread evenly; a call is charged in one slot group \
         (each wider scope is one command more, and a `global` counter is one key, on one node, that cannot be spread); and replicas of the gate \
         are as many as that takes, at two connections to each node.",
        of_a_node
    )).unwrap();
}

/// For each node some key groups that live there.
fn homes(cluster: &RedisCluster) -> Vec<Vec<u64>> {
    let mut homes = vec![Vec::new(); cluster.nodes.len()];
    let mut connection = cluster.nodes[0].connection();
    for spread in (1_u64 << 52..).take(600) {
        let key = super::command(0, 1, 1, spread, false).charges[0].key.clone();
        let slot: u16 = redis::cmd("CLUSTER")
            .arg("KEYSLOT")
            .arg(key)
            .query(&mut connection)
            .unwrap();
        // as the cluster deals out its slots
        homes[usize::from(slot >= 5_461) + usize::from(slot >= 10_923)].push(spread);
    }
    homes
}

const HEAD: &str = "\
# What limits cost the store

`make bench-store` writes this page. Times are what Redis says it spent on the script (`INFO commandstats`), medians of 5 rounds of
20 000 calls; rates are calls divided by the processor time of the Redis process, its sockets' included, medians of 5 rounds.
Both leave out what else the machine does, but not how it crowds caches and cores: read ratios rather than figures. \"Seen\" is by
the wall's clock, with the load on the same two cores.

## Time and bytes
";

const ONE: &str = "\
The time of an admission does not grow with the keys in the store, nor with `max` once charges are merged (beyond 128 in a window),
and the bytes of a key are bounded whatever `max` is.

## Decisions per second of one core

Each replica has two connections with 16 commands on their way at once.
";

const CLUSTER: &str = "
## A cluster of three nodes

All three on this machine, so that what counts is the processor time of each. Every one is loaded at the same time by 4 replicas,
with admissions of one limit whose charges are merged: the dearest form.
";
