//! What other rooms keep beside the counters: scripts of theirs, run where their keys are.

use redis::Value;
use tokio::time::Instant;

use super::{RedisStore, Script, half_way, slot};
use crate::counters::StoreError;

/// A script of another room. Running it twice must do the same as once.
#[derive(Debug)]
pub struct OtherScript(Script);

impl OtherScript {
    pub fn new(source: &'static str) -> Self {
        Self(Script::new(source))
    }
}

impl RedisStore {
    /// The first part of all its keys' names.
    pub fn name_prefix(&self) -> &str {
        self.prefix()
    }

    /// Runs a script on keys of one slot, within the deadline of one call; a second time where the first brought
    /// no answer.
    ///
    /// # Errors
    /// Any [`StoreError`]: it may have run.
    pub async fn run_other(
        &self,
        script: &OtherScript,
        keys: &[&str],
        argv: &[Vec<u8>],
    ) -> Result<Value, StoreError> {
        let until = Instant::now() + self.deadline();
        let slot = keys.first().map_or(0, |key| slot::of(key));
        self.inner.route.aim(slot, until).await?.node.is_asked()?;
        match self.eval(&script.0, keys, argv, half_way(until)).await {
            Err(failure) if failure.again => self.eval(&script.0, keys, argv, until).await,
            answer => answer,
        }
        .map_err(|failure| failure.error)
    }

    /// One command on one key, which may run twice.
    ///
    /// # Errors
    /// Any [`StoreError`]: it may have run.
    pub async fn ask_other(&self, command: &str, key: &str, more: &[&str]) -> Result<Value, StoreError> {
        self.ask_key(command, key, more).await
    }
}
