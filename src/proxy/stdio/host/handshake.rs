//! The handshake of the gate itself with a process that several clients share.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::Host;
use super::child::{Child, Serves};
use super::outbox::{self, Said};
use super::waiting::{To, Waiting};
use crate::mcp::renumber::Original;
use crate::proxy::upstream::UpstreamError;

/// The revision without a handshake, spoken to a process that has shown that it knows it.
pub(super) const CURRENT: &str = "2026-07-28";
/// The revisions with a handshake, newest first. A client that asks for another gets what the newest comes to.
const VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
/// JSON-RPC codes that only a server of 2026-07-28 or later gives.
const CURRENT_CODES: std::ops::RangeInclusive<i64> = -32099..=-32020;

/// A process that is ready for its clients.
#[derive(Clone)]
pub(super) struct Greeted {
    pub(super) child: Arc<Child>,
    /// Its answer to the handshake, under [`GREETING`].
    pub(super) answer: Bytes,
}

/// The version of a client's own `initialize`, as the gate asks for it.
pub(super) fn version_of(initialize: &[u8]) -> &'static str {
    #[derive(Deserialize)]
    struct Initialize {
        params: Params,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params {
        protocol_version: String,
    }
    let asked = serde_json::from_slice::<Initialize>(initialize).ok();
    let known = asked.and_then(|asked| {
        let wanted = asked.params.protocol_version;
        VERSIONS.into_iter().find(|version| *version == wanted)
    });
    known.unwrap_or(VERSIONS[0])
}

impl Host {
    /// The process that the sessions of this grant share, started and greeted where there is none.
    pub(super) async fn for_sessions(
        self: &Arc<Self>,
        owner: &str,
        version: &'static str,
    ) -> Result<Greeted, UpstreamError> {
        self.shared(owner, version).await
    }

    /// The process that the requests of 2026-07-28 of this grant share; `None`: the server does not speak it.
    pub(super) async fn for_requests(
        self: &Arc<Self>,
        owner: &str,
    ) -> Result<Option<Greeted>, UpstreamError> {
        if self.legacy.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let greeted = self.shared(owner, CURRENT).await?;
        if is_current(&greeted.answer) {
            return Ok(Some(greeted));
        }
        tracing::info!(
            server = self.name,
            "the server does not speak revision {CURRENT}: clients are told to initialize"
        );
        self.legacy.store(true, Ordering::Relaxed);
        greeted.child.end();
        Ok(None)
    }

    async fn shared(self: &Arc<Self>, owner: &str, version: &'static str) -> Result<Greeted, UpstreamError> {
        let slot = {
            let mut state = self.lock();
            let key = (owner.to_owned(), version);
            Arc::clone(state.shared.entry(key).or_default())
        };
        let mut slot = slot.lock().await;
        if let Some(greeted) = slot.as_ref().filter(|greeted| !greeted.child.is_over()) {
            return Ok(greeted.clone());
        }
        let serves = if version == CURRENT {
            Serves::Requests
        } else {
            Serves::Sessions
        };
        let child = self.start(owner, serves).await?;
        let answer = match self.greet(&child, version).await {
            Ok(answer) => answer,
            // an old server may say nothing at all to what it does not know
            Err(UpstreamError::ConnectTimeout(_)) if version == CURRENT => Bytes::from_static(b"{}"),
            Err(error) => {
                child.end();
                return Err(error);
            }
        };
        let greeted = Greeted { child, answer };
        *slot = Some(greeted.clone());
        Ok(greeted)
    }

    async fn greet(&self, child: &Child, version: &'static str) -> Result<Bytes, UpstreamError> {
        let about = json!({ "name": "toolgate", "version": env!("CARGO_PKG_VERSION") });
        let greeting = if version == CURRENT {
            let meta = json!({
                "io.modelcontextprotocol/protocolVersion": version,
                "io.modelcontextprotocol/clientInfo": about,
                "io.modelcontextprotocol/clientCapabilities": {},
            });
            json!({ "jsonrpc": "2.0", "id": 0, "method": "server/discover", "params": { "_meta": meta } })
        } else {
            let params = json!({ "protocolVersion": version, "capabilities": {}, "clientInfo": about });
            json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params })
        };
        let within = self.settings.connect_timeout;
        let answer = timeout(within, ask(child, &greeting.to_string().into())).await;
        let answer = answer.map_err(|_| UpstreamError::ConnectTimeout(within))??;
        if version != CURRENT {
            if error_code(&answer).is_some() {
                return Err(UpstreamError::Connect(
                    "the server refused the handshake".to_owned(),
                ));
            }
            child
                .write(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)
                .await?;
        }
        Ok(answer)
    }
}

/// One request of the gate's own.
async fn ask(child: &Child, request: &Bytes) -> Result<Bytes, UpstreamError> {
    let (outbox, mut inbox) = outbox::channel(usize::MAX);
    let original = Original {
        id: "0".to_owned(),
        token: None,
    };
    let addressed = child.addressed(&original, request);
    let (key, id, request) = addressed.ok_or(UpstreamError::Unsent)?;
    let ticket = child.waiting.ticket(key);
    let waiting = Waiting {
        original,
        id,
        session: None,
        place: None,
        to: To::Stream {
            outbox,
            messages: false,
        },
    };
    child.waiting.add(&ticket, waiting);
    let forget = super::asked::Forget::new(child, ticket);
    child.write(&request).await?;
    let said = inbox.next().await;
    drop(forget);
    match said {
        Some(Said::Answer(answer)) => Ok(answer),
        Some(Said::Failed(error, _)) => Err(UpstreamError::Connect(error.to_string())),
        _ => Err(UpstreamError::Connect(
            "the server gave no answer to the handshake".to_owned(),
        )),
    }
}

/// Whether an answer to `server/discover` is one of a server that knows that method.
fn is_current(answer: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        result: Option<&'a RawValue>,
    }
    let result = serde_json::from_slice::<Answer<'_>>(answer).is_ok_and(|answer| answer.result.is_some());
    result || error_code(answer).is_some_and(|code| CURRENT_CODES.contains(&code))
}

/// The code of an answer that is an error.
pub(super) fn error_code(answer: &[u8]) -> Option<i64> {
    #[derive(Deserialize)]
    struct Answer {
        error: Failure,
    }
    #[derive(Deserialize)]
    struct Failure {
        code: i64,
    }
    serde_json::from_slice::<Answer>(answer)
        .ok()
        .map(|answer| answer.error.code)
}
