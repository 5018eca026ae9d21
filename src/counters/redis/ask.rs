//! One command to the node that keeps its keys, wherever that is by now.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, FromRedisValue, Value};
use tokio::time::{Instant, sleep};

use super::failure::{Failure, Redirect};
use super::link::Wire;
use super::node::Node;
use super::route::Aim;
use super::{RedisStore, Script, half_way, slot};
use crate::counters::StoreError;

/// Redirections that one command follows.
const MAX_REDIRECTS: usize = 32;
/// Before a command is sent again whose keys are just on their way to another node.
const REDIRECT_PAUSE: Duration = Duration::from_millis(3);

impl RedisStore {
    /// Runs a script where its keys are; for scripts that may run twice.
    pub(super) async fn eval(
        &self,
        script: &Script,
        keys: &[&str],
        argv: &[Vec<u8>],
        until: Instant,
    ) -> Result<Value, Failure> {
        let slot = keys.first().map_or(0, |key| slot::of(key));
        let mut aim = self.inner.route.aim(slot, until).await?;
        let mut redirects = 0;
        loop {
            let answer = self.eval_at(&aim, script, keys, argv, until, || Ok(())).await;
            let Err(failure) = answer else { return answer };
            match self.redirected(&aim, &failure, until, &mut redirects).await {
                Some(next) => aim = next,
                None => return Err(failure),
            }
        }
    }

    /// Runs a script at one node, by its hash; loads it where the node does not know it: nothing ran then.
    /// Whether its keys are `trusted` is asked once there is a connection, and with it a known server.
    pub(super) async fn eval_at(
        &self,
        aim: &Aim,
        script: &Script,
        keys: &[&str],
        argv: &[Vec<u8>],
        until: Instant,
        trusted: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<Value, Failure> {
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(&script.sha).arg(keys.len()).arg(keys).arg(argv);
        let answer = match aim.node.wire(until).await {
            Ok(wire) => match trusted() {
                Ok(()) => eval_on(wire, script, &cmd, aim.asking, until).await,
                Err(error) => Err(error.into()),
            },
            Err(failure) => Err(failure),
        };
        aim.node.note(&answer);
        answer
    }

    /// Where a command goes next that ran nowhere; `None`: nowhere.
    pub(super) async fn redirected(
        &self,
        aim: &Aim,
        failure: &Failure,
        until: Instant,
        redirects: &mut usize,
    ) -> Option<Aim> {
        let next = self.inner.route.after(aim, failure)?;
        *redirects += 1;
        if *redirects > MAX_REDIRECTS {
            return None;
        }
        if failure.redirect == Some(Redirect::Soon) {
            if Instant::now() + REDIRECT_PAUSE >= until {
                return None;
            }
            sleep(REDIRECT_PAUSE).await;
        }
        Some(next)
    }

    /// A command that may be sent twice: the second time over another connection.
    pub(super) async fn ask(&self, slot: u16, cmd: &Cmd, until: Instant) -> Result<Value, StoreError> {
        let mut aim = self.inner.route.aim(slot, until).await?;
        let (mut redirects, mut again) = (0, true);
        loop {
            let within = if again { half_way(until) } else { until };
            let answer = send(&aim.node, cmd, aim.asking, within).await;
            let failure = match answer {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            match self.redirected(&aim, &failure, until, &mut redirects).await {
                Some(next) => aim = next,
                None if again && failure.again => again = false,
                None => return Err(failure.error),
            }
        }
    }

    /// A node's time at the earliest; asks for it where it is unknown or old.
    pub(super) async fn store_now(&self, node: &Arc<Node>, until: Instant) -> Result<u64, StoreError> {
        if let Some(now) = node.clock.now() {
            return Ok(now);
        }
        let sent = Instant::now();
        let value = ask_node(node, &redis::cmd("TIME"), until).await?;
        let Ok((seconds, micros)) = <(u64, u64)>::from_redis_value(value) else {
            return Err(StoreError::Protocol("a time of another form"));
        };
        let now = seconds.saturating_mul(1_000).saturating_add(micros / 1_000);
        node.clock.note(sent, now);
        Ok(now)
    }
}

/// The same to one node, without keys.
pub(super) async fn ask_node(node: &Arc<Node>, cmd: &Cmd, until: Instant) -> Result<Value, StoreError> {
    match send(node, cmd, false, half_way(until)).await {
        Err(failure) if failure.again => send(node, cmd, false, until).await,
        answer => answer,
    }
    .map_err(|failure| failure.error)
}

async fn send(node: &Arc<Node>, cmd: &Cmd, asking: bool, until: Instant) -> Result<Value, Failure> {
    let answer = match node.wire(until).await {
        Ok(mut wire) => wire.send(cmd, asking, until).await,
        Err(failure) => Err(failure),
    };
    node.note(&answer);
    answer
}

async fn eval_on(
    mut wire: Wire,
    script: &Script,
    cmd: &Cmd,
    asking: bool,
    until: Instant,
) -> Result<Value, Failure> {
    match wire.send(cmd, asking, until).await {
        Err(failure) if failure.unknown_script => {
            let mut load = redis::cmd("SCRIPT");
            load.arg("LOAD").arg(script.source);
            wire.send(&load, false, until).await.map_err(|failure| Failure {
                may_have_run: false,
                ..failure
            })?;
            wire.send(cmd, asking, until).await
        }
        answer => answer,
    }
}
