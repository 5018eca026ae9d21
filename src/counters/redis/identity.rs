//! Which server answers: whether it still is the one that was charged.

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, ServerErrorKind};

use crate::counters::StoreError;

/// The history that a server followed which never followed another.
pub(super) const NOBODY: &str = "0000000000000000000000000000000000000000";

/// What `INFO` says of a server. All is empty where the user may not ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    /// Of the process: another one after each start.
    pub(super) run_id: String,
    /// Of its data's history: another one after each promotion, and once its first replica has come.
    pub(super) history: String,
    /// The history that it followed before it was promoted; [`NOBODY`]: none.
    pub(super) followed: String,
    pub(super) is_replica: bool,
}

impl Identity {
    /// Asks on a new connection.
    pub(super) async fn ask(connection: &mut MultiplexedConnection) -> Result<Self, StoreError> {
        let mut info = redis::cmd("INFO");
        info.arg("server").arg("replication");
        match info.query_async::<String>(connection).await {
            Ok(text) => Ok(Self::read(&text)),
            Err(error) if matches!(error.kind(), ErrorKind::Server(ServerErrorKind::NoPerm)) => {
                Ok(Self::default())
            }
            Err(error) => Err(super::failure::Failure::of(&error).error),
        }
    }

    /// Whether the server there now is another process, or the same with another's data. (One that never
    /// followed another begins a new history when its first replica comes, and loses nothing.)
    pub(super) fn is_replaced_by(&self, now: &Self) -> bool {
        self.run_id != now.run_id || (self.history != now.history && now.followed != NOBODY)
    }

    pub(super) fn read(info: &str) -> Self {
        let field = |name: &str| {
            let mut lines = info.lines();
            let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            found.unwrap_or_default().trim().to_owned()
        };
        Self {
            run_id: field("run_id"),
            history: field("master_replid"),
            followed: field("master_replid2"),
            is_replica: field("role") == "slave",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_says_who_answers() {
        let info = "# Server\r\nredis_version:7.0.15\r\nrun_id:aa\r\n\r\n# Replication\r\nrole:slave\r\n\
                    master_replid:bb\r\nmaster_replid2:cc\r\n";
        let identity = Identity::read(info);
        assert_eq!(
            (identity.run_id.as_str(), identity.history.as_str()),
            ("aa", "bb")
        );
        assert_eq!(identity.followed, "cc");
        assert!(identity.is_replica && !Identity::read("").is_replica);
    }
}
