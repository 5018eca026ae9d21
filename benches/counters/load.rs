//! Decisions per second of one Redis core, and of the nodes of a cluster.

use std::time::Instant;

use redis::{Connection, Pipeline, Script};
use toolgate::counters::command::Command;
use toolgate::counters::wire;

use super::redis_server::RedisServer;

/// Commands on their way on one connection at once, as many calls at a time share a replica's connections.
const AT_ONCE: u32 = 16;
/// Turns of so many commands on each connection.
const TURNS: u32 = 600;
/// Rounds, of which the median is taken.
const ROUNDS: u32 = 5;

/// What one server did.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Decisions in a second of the server's processor time, its sockets' included.
    pub of_a_core: f64,
    /// In a second by the wall's clock, beside whatever else the machine did.
    pub seen: f64,
}

/// Loads all servers at the same time over so many connections each. `of` gives a server's command of a turn.
pub fn rates(
    servers: &[&RedisServer],
    connections: u32,
    of: &(dyn Fn(usize, u64) -> Command + Sync),
) -> Vec<Rate> {
    let mut rounds: Vec<Vec<Rate>> = (0..ROUNDS)
        .map(|round| round_of(servers, connections, round, of))
        .collect();
    let middle = |server: usize, rounds: &mut Vec<Vec<Rate>>| {
        rounds.sort_by(|one, other| one[server].of_a_core.total_cmp(&other[server].of_a_core));
        rounds[rounds.len() / 2][server]
    };
    (0..servers.len())
        .map(|server| middle(server, &mut rounds))
        .collect()
}

fn round_of(
    servers: &[&RedisServer],
    connections: u32,
    round: u32,
    of: &(dyn Fn(usize, u64) -> Command + Sync),
) -> Vec<Rate> {
    let mut asking: Vec<Connection> = servers.iter().map(|server| server.connection()).collect();
    for connection in &mut asking {
        // loads it where it is not known
        let _: String = Script::new(wire::ADMIT)
            .prepare_invoke()
            .load(connection)
            .unwrap();
    }
    let before: Vec<f64> = asking.iter_mut().map(processor_seconds).collect();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for (index, server) in servers.iter().enumerate() {
            for line in 0..connections {
                let first = u64::from((round * connections + line) * TURNS * AT_ONCE);
                scope.spawn(move || load(&mut server.connection(), first, &|turn| of(index, turn)));
            }
        }
    });
    let seen = began.elapsed().as_secs_f64();
    let calls = f64::from(connections * TURNS * AT_ONCE);
    let after = asking.iter_mut().map(processor_seconds);
    let used = after.zip(before).map(|(after, before)| after - before);
    let rate = |used: f64| Rate {
        of_a_core: calls / used,
        seen: calls / seen,
    };
    used.map(rate).collect()
}

fn load(connection: &mut Connection, first: u64, of: &dyn Fn(u64) -> Command) {
    let sha = Script::new(wire::ADMIT).get_hash().to_owned();
    for turn in 0..TURNS {
        let mut pipeline = Pipeline::new();
        for call in 0..AT_ONCE {
            let command = of(first + u64::from(turn * AT_ONCE + call));
            let keys = wire::keys(&command);
            pipeline.cmd("EVALSHA").arg(&sha).arg(keys.len()).arg(keys);
            pipeline.arg(wire::argv(&command, None));
        }
        let answers: Vec<Vec<i64>> = pipeline.query(connection).unwrap();
        assert!(answers.iter().all(|answer| answer[0] <= 1), "{answers:?}");
    }
}

/// Processor time that a server has used, in seconds.
fn processor_seconds(connection: &mut Connection) -> f64 {
    let info: String = redis::cmd("INFO").arg("cpu").query(connection).unwrap();
    let field = |name: &str| {
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap().trim().parse::<f64>().unwrap()
    };
    field("used_cpu_sys") + field("used_cpu_user")
}
