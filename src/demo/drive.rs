//! A small MCP client that makes the demo's calls through the gate.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A connection of one grant to the gate.
pub struct Driver {
    sender: SendRequest<Full<Bytes>>,
    address: SocketAddr,
    token: String,
    next_id: u64,
}

/// What one call came to.
#[derive(Debug)]
pub struct Call {
    pub admitted: bool,
    /// What the tool or the gate said.
    pub text: String,
}

impl Driver {
    pub async fn connect(address: SocketAddr, token: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .context("cannot connect to the gate")?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the demo's connection ended");
            }
        });
        Ok(Self {
            sender,
            address,
            token: token.to_owned(),
            next_id: 1,
        })
    }

    /// Calls a tool.
    pub async fn call(&mut self, tool: &str, arguments: Value) -> anyhow::Result<Call> {
        let id = self.next_id;
        self.next_id += 1;
        let params = json!({"name": tool, "arguments": arguments});
        let message = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
        let answer = tokio::time::timeout(ANSWER_WITHIN, self.post(&message))
            .await
            .context("no answer")??;
        let result = answer
            .get("result")
            .ok_or_else(|| anyhow!("not a result: {answer}"))?;
        let text = result
            .pointer("/content/0/text")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let refused = result.pointer("/_meta/toolgate~1decision").is_some();
        Ok(Call {
            admitted: !refused,
            text: text.to_owned(),
        })
    }

    async fn post(&mut self, message: &Value) -> anyhow::Result<Value> {
        let request = Request::post("/mcp/demo")
            .header(header::HOST, self.address.to_string())
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream")
            .body(Full::new(Bytes::from(message.to_string())))?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if status != StatusCode::OK {
            bail!("the gate answered {status}");
        }
        Ok(serde_json::from_slice(&body)?)
    }
}
