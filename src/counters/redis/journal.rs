//! Audit lines in a stream that all replicas share, and the heads of their chains. Not counters: it lives where
//! the counters live, over connections of its own.

use std::sync::Arc;

use redis::{Cmd, FromRedisValue, Value};
use tokio::time::Instant;

use super::{RedisOptions, RedisStore, Script, StoreSetupError, slot};
use crate::counters::{StoreError, keys};

const APPEND: &str = include_str!("../../../lua/append.lua");
/// How long the store remembers which line of a chain was the last, in seconds: far longer than a resend takes.
const REMEMBERED: u32 = 7 * 86_400;

/// Streams and heads below the store's prefix.
#[derive(Clone, Debug)]
pub struct Journal {
    store: RedisStore,
    append: Arc<Script>,
}

/// One line of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamLine {
    /// The store's name for it; later lines have later ones.
    pub id: String,
    pub line: Vec<u8>,
}

impl Journal {
    /// Does not connect.
    ///
    /// # Errors
    /// As for the store itself.
    pub fn new(options: &RedisOptions) -> Result<Self, StoreSetupError> {
        Ok(Self {
            store: RedisStore::new(options)?,
            append: Arc::new(Script::new(APPEND)),
        })
    }

    /// Adds lines of one chain, each under its number, in ascending order, and keeps about `keep` of the stream.
    /// A line that is there already is passed over: after an error send the same lines again.
    ///
    /// # Errors
    /// Any [`StoreError`]: the lines may or may not be there.
    pub async fn append(
        &self,
        stream: &str,
        chain: &str,
        keep: u64,
        lines: impl Iterator<Item = (u64, &[u8])>,
    ) -> Result<(), StoreError> {
        let prefix = self.store.prefix();
        let (key, last) = (
            keys::stream_key(prefix, stream),
            keys::chain_key(prefix, stream, chain),
        );
        let mut argv = vec![keep.to_string().into_bytes(), REMEMBERED.to_string().into_bytes()];
        for (number, line) in lines {
            argv.extend([number.to_string().into_bytes(), line.to_vec()]);
        }
        let added = self
            .store
            .eval(&self.append, &[&key, &last], &argv, self.until())
            .await;
        added.map(|_| ()).map_err(|failure| failure.error)
    }

    /// Up to `count` lines after the one with this id, oldest first; `-` is before the first.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn after(&self, stream: &str, id: &str, count: usize) -> Result<Vec<StreamLine>, StoreError> {
        let from = if id == "-" {
            id.to_owned()
        } else {
            format!("({id}")
        };
        let key = keys::stream_key(self.store.prefix(), stream);
        let mut range = redis::cmd("XRANGE");
        range.arg(&key).arg(from).arg("+").arg("COUNT").arg(count);
        self.lines(&key, &range).await
    }

    /// The last `count` lines, oldest first.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn last(&self, stream: &str, count: usize) -> Result<Vec<StreamLine>, StoreError> {
        let key = keys::stream_key(self.store.prefix(), stream);
        let mut range = redis::cmd("XREVRANGE");
        range.arg(&key).arg("+").arg("-").arg("COUNT").arg(count);
        let mut lines = self.lines(&key, &range).await?;
        lines.reverse();
        Ok(lines)
    }

    /// Keeps the head of a chain, in place of the one before.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn keep_head(&self, chain: &str, head: &str) -> Result<(), StoreError> {
        let mut set = redis::cmd("HSET");
        let key = keys::heads_key(self.store.prefix());
        set.arg(&key).arg(chain).arg(head);
        self.ask(&key, &set).await.map(|_| ())
    }

    /// Forgets the heads of chains.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn forget_heads(&self, chains: &[String]) -> Result<(), StoreError> {
        let mut delete = redis::cmd("HDEL");
        let key = keys::heads_key(self.store.prefix());
        delete.arg(&key).arg(chains);
        self.ask(&key, &delete).await.map(|_| ())
    }

    /// Every chain and its head.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn heads(&self) -> Result<Vec<(String, String)>, StoreError> {
        let mut all = redis::cmd("HGETALL");
        let key = keys::heads_key(self.store.prefix());
        all.arg(&key);
        let value = self.ask(&key, &all).await?;
        Vec::<(String, String)>::from_redis_value(value)
            .map_err(|_| StoreError::Protocol("heads of another form"))
    }

    async fn lines(&self, key: &str, range: &Cmd) -> Result<Vec<StreamLine>, StoreError> {
        let value = self.ask(key, range).await?;
        let Value::Array(entries) = value else {
            return Err(StoreError::Protocol("a stream of another form"));
        };
        let read = |entry| <(String, Vec<Vec<u8>>)>::from_redis_value(entry).ok();
        let lines = entries.into_iter().map(|entry| {
            let (id, fields) = read(entry)?;
            let line = fields.into_iter().nth(1)?;
            Some(StreamLine { id, line })
        });
        lines
            .collect::<Option<_>>()
            .ok_or(StoreError::Protocol("a stream of another form"))
    }

    async fn ask(&self, key: &str, cmd: &Cmd) -> Result<Value, StoreError> {
        self.store.ask(slot::of(key), cmd, self.until()).await
    }

    fn until(&self) -> Instant {
        Instant::now() + self.store.deadline()
    }
}
