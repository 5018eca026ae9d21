//! An open connection to a server of the store.

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Cmd, RedisResult, Value};

#[derive(Clone)]
pub(super) enum Connection {
    Redis(MultiplexedConnection),
    #[cfg(test)]
    Simulated(super::simulated::Wire),
}

impl Connection {
    /// Sends one command once; `asking` where the server takes over the command's slot just now.
    pub(super) async fn send(&mut self, cmd: &Cmd, asking: bool) -> RedisResult<Value> {
        match self {
            Self::Redis(connection) if asking => {
                let mut pair = redis::pipe();
                pair.cmd("ASKING").add_command(cmd.clone());
                let mut answers = connection.req_packed_commands(&pair, 0, 2).await?;
                Ok(answers.pop().unwrap_or(Value::Nil))
            }
            Self::Redis(connection) => connection.req_packed_command(cmd).await,
            #[cfg(test)]
            Self::Simulated(wire) => wire.request(cmd).await,
        }
    }
}
