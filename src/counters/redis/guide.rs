//! Who is asked where the counters are: sentinels, or the nodes of a cluster.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ConnectionAddr, FromRedisValue, Value};
use tokio::time::timeout;

use super::failure::Failure;
use super::options::Door;
use super::slot;
use crate::counters::StoreError;

/// How long one of them may take, connecting included.
const ASK: Duration = Duration::from_millis(500);

/// A range of slots and the node that keeps it.
pub(super) struct Found {
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) host: String,
    pub(super) port: u16,
}

pub(super) struct Guide {
    door: Door,
    /// Who is asked; the one that answered last comes first.
    addresses: Vec<ConnectionAddr>,
    open: Option<MultiplexedConnection>,
    kind: Kind,
}

enum Kind {
    /// By the name of the primary.
    Sentinels(String),
    Cluster,
}

impl Guide {
    pub(super) fn sentinels(door: Door, addresses: Vec<ConnectionAddr>, master: String) -> Self {
        Self {
            door,
            addresses,
            open: None,
            kind: Kind::Sentinels(master),
        }
    }

    pub(super) fn cluster(door: Door, addresses: Vec<ConnectionAddr>) -> Self {
        Self {
            door,
            addresses,
            open: None,
            kind: Kind::Cluster,
        }
    }

    /// How long an answer is good for. A sentinel is the only one to say that the primary was replaced while
    /// the old one still answers; a cluster's nodes say so themselves.
    pub(super) const fn every(&self) -> Duration {
        match self.kind {
            Kind::Sentinels(_) => Duration::from_secs(1),
            Kind::Cluster => Duration::from_secs(5),
        }
    }

    /// Asks one after another until one knows.
    pub(super) async fn look(&mut self) -> Result<Vec<Found>, StoreError> {
        if let Some(connection) = self.open.take() {
            if let Ok(found) = self.ask_first(connection).await {
                return Ok(found);
            }
            self.addresses.rotate_left(1);
        }
        let mut last = StoreError::Unavailable("nobody to ask");
        for _ in 0..self.addresses.len() {
            match self.connect_first().await {
                Ok(connection) => match self.ask_first(connection).await {
                    Ok(found) => return Ok(found),
                    Err(error) => last = error,
                },
                Err(error) => last = error,
            }
            self.addresses.rotate_left(1);
        }
        Err(last)
    }

    async fn connect_first(&self) -> Result<MultiplexedConnection, StoreError> {
        let address = self.addresses.first().cloned();
        let address = address.ok_or(StoreError::Unavailable("nobody to ask"))?;
        let client = self.door.client(address);
        let client = client.map_err(|_| StoreError::Unavailable("its address cannot be read"))?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ASK))
            .set_response_timeout(Some(ASK));
        let connection = client.get_multiplexed_async_connection_with_config(&config);
        connection.await.map_err(|error| Failure::of(&error).error)
    }

    async fn ask_first(&mut self, mut connection: MultiplexedConnection) -> Result<Vec<Found>, StoreError> {
        let cmd = self.kind.question();
        let answer = timeout(ASK, cmd.query_async::<Value>(&mut connection)).await;
        let answer = answer.map_err(|_| StoreError::Timeout)?;
        let answer = answer.map_err(|error| Failure::of(&error).error)?;
        let found = match &self.kind {
            Kind::Sentinels(_) => primary(answer)?,
            Kind::Cluster => {
                let asked = self.addresses.first();
                slots(answer, &asked.map(host_of).unwrap_or_default())
            }
        };
        if found.is_empty() {
            return Err(StoreError::Unavailable("nobody says where it is"));
        }
        self.open = Some(connection);
        Ok(found)
    }
}

impl Kind {
    fn question(&self) -> Cmd {
        match self {
            Self::Sentinels(master) => {
                let mut cmd = redis::cmd("SENTINEL");
                cmd.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
                cmd
            }
            Self::Cluster => {
                let mut cmd = redis::cmd("CLUSTER");
                cmd.arg("SLOTS");
                cmd
            }
        }
    }
}

/// A sentinel's answer: host and port, or nothing where it does not know the name.
fn primary(answer: Value) -> Result<Vec<Found>, StoreError> {
    let known = Option::<(String, u16)>::from_redis_value(answer);
    let known = known.map_err(|_| StoreError::Protocol("a sentinel's answer of another form"))?;
    let Some((host, port)) = known else {
        return Err(StoreError::Unavailable(
            "the sentinels do not know `counters.sentinel.master`",
        ));
    };
    Ok(vec![Found {
        first: 0,
        last: slot::SLOTS - 1,
        host,
        port,
    }])
}

/// `CLUSTER SLOTS`: of each range the first node named is the primary. A node that does not know its own
/// name leaves it empty: then it is the one that was asked.
fn slots(answer: Value, asked: &str) -> Vec<Found> {
    let Value::Array(ranges) = answer else {
        return Vec::new();
    };
    ranges
        .into_iter()
        .filter_map(|range| found(range, asked))
        .collect()
}

fn found(range: Value, asked: &str) -> Option<Found> {
    let Value::Array(parts) = range else { return None };
    let mut parts = parts.into_iter();
    let first = u16::from_redis_value(parts.next()?).ok()?;
    let last = u16::from_redis_value(parts.next()?).ok()?;
    let Some(Value::Array(node)) = parts.next() else {
        return None;
    };
    let mut node = node.into_iter();
    let host = Option::<String>::from_redis_value(node.next()?).ok()?;
    let host = host.filter(|host| !host.is_empty() && host != "?");
    let port = u16::from_redis_value(node.next()?).ok()?;
    Some(Found {
        first,
        last,
        host: host.unwrap_or_else(|| asked.to_owned()),
        port,
    })
}

fn host_of(address: &ConnectionAddr) -> String {
    match address {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_node_of_a_range_keeps_it_and_a_nameless_one_is_who_was_asked() {
        let reply = b"*2\r\n*4\r\n:0\r\n:5\r\n*3\r\n$4\r\n10.1\r\n:7000\r\n$2\r\nid\r\n*3\r\n$4\r\n10.2\r\n:7001\r\n$2\r\nid\r\n\
                      *3\r\n:6\r\n:9\r\n*2\r\n$0\r\n\r\n:7002\r\n";
        let found = slots(redis::parse_redis_value(reply).unwrap(), "asked");
        let shown: Vec<_> = found
            .iter()
            .map(|found| (found.first, found.last, found.host.as_str(), found.port))
            .collect();
        assert_eq!(shown, [(0, 5, "10.1", 7000), (6, 9, "asked", 7002)]);
    }

    #[test]
    fn a_name_that_sentinels_do_not_know_is_an_error() {
        assert!(primary(Value::Nil).is_err());
        let known = redis::parse_redis_value(b"*2\r\n$4\r\n10.1\r\n$4\r\n6379\r\n").unwrap();
        let found = primary(known).unwrap();
        assert_eq!(
            (found[0].host.as_str(), found[0].port, found[0].last),
            ("10.1", 6379, 16_383)
        );
    }
}
