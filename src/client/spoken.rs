//! A command over stdio: it is started, asked, and ended.

use bytes::Bytes;
use serde_json::{Value, json};

use super::heard::{answered, reply_to, request, said};
use super::{ANSWER_BYTES, ClientError};
use crate::proxy::{Alone, ServerCommand};

/// A running command.
pub(super) struct Spoken {
    server: Alone,
    next_id: u64,
}

impl Spoken {
    /// Starts it. What it writes to its stderr goes to this process's.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub(super) fn start(command: &ServerCommand) -> Result<Self, ClientError> {
        let server = Alone::start(command, ANSWER_BYTES).map_err(|error| ClientError::Start {
            program: command.program.to_string_lossy().into_owned(),
            error,
        })?;
        Ok(Self { server, next_id: 1 })
    }

    /// Sends a request and reads lines until its answer is there. What is no message is passed over: some
    /// servers print a greeting.
    pub(super) async fn request(
        &mut self,
        method: &'static str,
        params: &Value,
    ) -> Result<String, ClientError> {
        let (id, message) = request(&mut self.next_id, method, params);
        self.write(&message).await?;
        while let Some(line) = self.next().await? {
            if let Some(said) = said(&line, id) {
                return answered(method, said);
            }
            if let Some(reply) = reply_to(&line) {
                self.write(&reply).await?;
            }
        }
        Err(ClientError::Ended)
    }

    /// Sends a notification.
    pub(super) async fn notify(&mut self, method: &'static str) -> Result<(), ClientError> {
        self.write(&json!({ "jsonrpc": "2.0", "method": method })).await
    }

    /// Ends it, step by step.
    pub(super) async fn end(self) {
        self.server.end().await;
    }

    async fn write(&mut self, message: &Value) -> Result<(), ClientError> {
        let written = self.server.write(message.to_string().as_bytes()).await;
        written.map_err(|_| ClientError::Ended)
    }

    async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        let line = self.server.next().await;
        match line.map_err(|error| ClientError::Broken(error.to_string()))? {
            Some(Some(line)) => Ok(Some(line)),
            Some(None) => Err(ClientError::TooLarge),
            None => Ok(None),
        }
    }
}
