//! What a command that brought no answer means.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::counters::StoreError;

/// A command that brought no answer.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) error: StoreError,
    /// Worth sending once more.
    pub(super) again: bool,
    /// The store may have executed it, or may yet.
    pub(super) may_have_run: bool,
    /// The store does not know the script: nothing ran.
    pub(super) unknown_script: bool,
    /// The node did not answer at all, or cannot serve: another one may by now.
    pub(super) node_lost: bool,
    /// Another node keeps the keys: nothing ran.
    pub(super) redirect: Option<Redirect>,
}

/// Where a cluster sends a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Redirect {
    /// For good, to `host:port`.
    Moved(String),
    /// This once, while a slot is on its way.
    Ask(String),
    /// Some of the keys are on their way: ask again soon.
    Soon,
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self {
            error,
            again: false,
            may_have_run: false,
            unknown_script: false,
            node_lost: false,
            redirect: None,
        }
    }
}

impl Failure {
    /// No answer came in time; where the command was `sent`, it may run.
    pub(super) fn timeout(sent: bool) -> Self {
        Self {
            again: true,
            may_have_run: sent,
            node_lost: true,
            ..StoreError::Timeout.into()
        }
    }

    /// The node cannot be written to; nothing ran. By now another connection may lead to another node.
    pub(super) fn lost(why: &'static str) -> Self {
        Self {
            again: true,
            node_lost: true,
            ..StoreError::Unavailable(why).into()
        }
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.error == StoreError::Unavailable(READ_ONLY)
    }

    /// Messages of the store are not kept: they may quote keys.
    pub(super) fn of(error: &RedisError) -> Self {
        if error.is_connection_refusal() {
            return Self::lost("it refuses connections");
        }
        let plain = |why| Self::from(StoreError::Unavailable(why));
        match error.kind() {
            ErrorKind::Server(kind) => Self::of_server(kind, error),
            ErrorKind::AuthenticationFailed => plain("it refuses the credentials"),
            ErrorKind::RESP3NotSupported => plain("it is older than 6.0: use 7.0 or newer"),
            _ => match error.code() {
                Some("OOM") => StoreError::OutOfMemory.into(),
                Some("NOAUTH" | "WRONGPASS") => plain("it refuses the credentials"),
                Some("BUSY") => plain("it is busy with another script"),
                Some("MISCONF") => plain("it cannot save its data"),
                Some("NOREPLICAS") => plain("it has too few replicas"),
                Some(_) => StoreError::Protocol("an error reply").into(),
                None if error.is_timeout() => Self::timeout(true),
                None => Self {
                    may_have_run: true,
                    ..Self::lost("the connection broke")
                },
            },
        }
    }

    fn of_server(kind: ServerErrorKind, error: &RedisError) -> Self {
        use ServerErrorKind as Server;
        let plain = |why| Self::from(StoreError::Unavailable(why));
        let redirect = |redirect, why| Self {
            redirect: Some(redirect),
            ..plain(why)
        };
        let to = || error.redirect_node().map(|(address, _)| address.to_owned());
        match kind {
            Server::NoScript => Self {
                unknown_script: true,
                ..StoreError::Protocol("it does not keep the script it was given").into()
            },
            Server::BusyLoading => plain("it is loading its data"),
            Server::MasterDown | Server::ClusterDown => Self::lost("its primary is down"),
            Server::TryAgain => redirect(Redirect::Soon, ON_THE_WAY),
            Server::Moved => {
                to().map_or_else(|| plain(ELSEWHERE), |to| redirect(Redirect::Moved(to), ELSEWHERE))
            }
            Server::Ask => {
                to().map_or_else(|| plain(ON_THE_WAY), |to| redirect(Redirect::Ask(to), ON_THE_WAY))
            }
            Server::CrossSlot => plain(ELSEWHERE),
            Server::ReadOnly => Self::lost(READ_ONLY),
            Server::NoPerm => plain("the user lacks a permission"),
            _ => StoreError::Protocol("an error reply").into(),
        }
    }
}

pub(super) const READ_ONLY: &str = "it is a read-only replica";
const ELSEWHERE: &str = "it is a cluster, and other nodes keep the keys: set `counters.cluster`";
const ON_THE_WAY: &str = "its keys are on their way to another node";

#[cfg(test)]
mod tests {
    use redis::{RedisError, Value};

    use super::*;

    fn failure(line: &str) -> Failure {
        let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes());
        let error: RedisError = value.and_then(Value::extract_error).unwrap_err();
        Failure::of(&error)
    }

    #[test]
    fn a_redirection_ran_nothing_and_names_where_to_go() {
        for (line, redirect) in [
            ("MOVED 7 10.0.0.1:6379", Redirect::Moved("10.0.0.1:6379".into())),
            ("ASK 7 10.0.0.1:6379", Redirect::Ask("10.0.0.1:6379".into())),
            ("TRYAGAIN soon", Redirect::Soon),
        ] {
            let failure = failure(line);
            assert_eq!(failure.redirect, Some(redirect));
            assert!(!failure.may_have_run && !failure.again, "{line}");
        }
    }

    #[test]
    fn only_a_lost_node_is_given_up_for_another() {
        for (line, lost) in [
            ("READONLY no", true),
            ("CLUSTERDOWN no", true),
            ("MASTERDOWN no", true),
            ("OOM full", false),
            ("NOPERM no", false),
            ("BUSY script", false),
            ("ERR odd", false),
        ] {
            let failure = failure(line);
            assert_eq!((failure.node_lost, failure.may_have_run), (lost, false), "{line}");
        }
        assert_eq!(failure("OOM full").error, StoreError::OutOfMemory);
    }
}
