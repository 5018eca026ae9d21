//! Which grants are revoked: a list that all replicas read, beside the counters.

use std::collections::HashSet;

use redis::FromRedisValue;

use super::{RedisStore, Store, StoreError, keys};

/// Under this name the list is kept.
const LIST: &str = "revoked";
/// The longest name that is taken, in bytes.
const LONGEST: usize = 1_024;

impl Store {
    /// The names of all revoked grants. Other than in Redis there are none: no other process could have written one.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn revoked(&self) -> Result<HashSet<String>, StoreError> {
        match self {
            Self::Memory(_) | Self::File(_) => Ok(HashSet::new()),
            Self::Redis(redis) => redis.revoked().await,
        }
    }

    /// Revokes the grant of this name until [`Store::unrevoke`]. `false`: it was revoked before.
    ///
    /// # Errors
    /// Any [`StoreError`]; [`StoreError::Unavailable`] where no other process reads the store.
    pub async fn revoke(&self, name: &str) -> Result<bool, StoreError> {
        self.change("SADD", name).await
    }

    /// Takes a revocation back. `false`: there was none.
    ///
    /// # Errors
    /// As [`Store::revoke`].
    pub async fn unrevoke(&self, name: &str) -> Result<bool, StoreError> {
        self.change("SREM", name).await
    }

    async fn change(&self, command: &str, name: &str) -> Result<bool, StoreError> {
        let Self::Redis(redis) = self else {
            return Err(StoreError::Unavailable("no other process reads it"));
        };
        if name.is_empty() || name.len() > LONGEST {
            return Err(StoreError::Protocol("a name of 1 to 1024 bytes is wanted"));
        }
        let changed = redis.ask_key(command, &redis.revoked_key(), &[name]).await?;
        let changed = i64::from_redis_value(changed).map_err(|_| StoreError::Protocol("not a count"))?;
        Ok(changed > 0)
    }
}

impl RedisStore {
    fn revoked_key(&self) -> String {
        keys::list_key(self.prefix(), LIST)
    }

    async fn revoked(&self) -> Result<HashSet<String>, StoreError> {
        let names = self.ask_key("SMEMBERS", &self.revoked_key(), &[]).await?;
        HashSet::from_redis_value(names).map_err(|_| StoreError::Protocol("not a list of names"))
    }
}
