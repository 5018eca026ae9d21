//! Runs a script source against a real Redis with a clock of the test's.
#![allow(dead_code, reason = "each test file uses its own part of these helpers")]

use redis::{Connection, Script};
use toolgate::counters::CallId;
use toolgate::counters::command::{Command, Held, Reply};
use toolgate::counters::wire;

pub struct Rig {
    connection: Connection,
    admit: Script,
    refund: Script,
    renew: Script,
}

impl Rig {
    /// The scripts as they are shipped.
    pub fn new(connection: Connection) -> Self {
        Self::with_admit(connection, wire::ADMIT)
    }

    /// With another admit script, to see whether a check notices.
    pub fn with_admit(connection: Connection, admit: &str) -> Self {
        Self::with(connection, admit, wire::RENEW)
    }

    /// With other scripts, to see whether a check notices.
    pub fn with(connection: Connection, admit: &str, renew: &str) -> Self {
        Self {
            connection,
            admit: Script::new(admit),
            refund: Script::new(wire::REFUND),
            renew: Script::new(renew),
        }
    }

    /// The error says that the reply has no form that is known.
    pub fn admit(&mut self, now: u64, command: &Command) -> Result<Reply, String> {
        let mut call = self.admit.prepare_invoke();
        wire::keys(command).into_iter().for_each(|key| {
            call.key(key);
        });
        wire::argv(command, Some(now)).into_iter().for_each(|arg| {
            call.arg(arg);
        });
        let integers: Vec<i64> = call.invoke(&mut self.connection).unwrap();
        wire::reply(&integers, command.charges.len()).map_err(|error| format!("{error}: {integers:?}"))
    }

    pub fn refund(&mut self, keys: &[String], id: CallId) -> usize {
        let mut call = self.refund.prepare_invoke();
        keys.iter().for_each(|key| {
            call.key(key);
        });
        let reply: (usize, u64) = call.arg(&id.0[..]).invoke(&mut self.connection).unwrap();
        reply.0
    }

    /// For each lease: whether it was live.
    pub fn renew(&mut self, now: u64, id: CallId, leases: &[Held]) -> Vec<bool> {
        let mut call = self.renew.prepare_invoke();
        wire::renew_keys(leases).into_iter().for_each(|key| {
            call.key(key);
        });
        wire::renew_argv(id, leases, Some(now))
            .into_iter()
            .for_each(|arg| {
                call.arg(arg);
            });
        let integers: Vec<u64> = call.invoke(&mut self.connection).unwrap();
        let (at, live) = wire::renewed(&integers, leases.len()).unwrap();
        assert_eq!(at, now);
        live
    }

    /// The exact contents of keys.
    pub fn dump(&mut self, keys: &[&str]) -> Vec<Option<Vec<u8>>> {
        let mut pipe = redis::pipe();
        keys.iter().for_each(|key| {
            pipe.cmd("DUMP").arg(key);
        });
        pipe.query(&mut self.connection).unwrap()
    }

    /// `MEMORY USAGE`, in bytes.
    pub fn memory(&mut self, key: &str) -> u64 {
        redis::cmd("MEMORY")
            .arg("USAGE")
            .arg(key)
            .arg("SAMPLES")
            .arg(0)
            .query(&mut self.connection)
            .unwrap()
    }
}
