//! A small MCP client that asks one server what tools it has. It never calls one.
//!
//! Streamable HTTP in both eras: the stateless revision 2026-07-28 is tried first, then the handshake of the
//! revisions with sessions. Redirects are not followed, every answer is bounded, and one deadline holds for all.

mod console;
mod fetch;
mod speak;

pub use console::{ConsoleClient, ConsoleError, ListedApproval, Said};
pub use fetch::{Document, FetchError, fetch};

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderValue;
use http::{HeaderName, Uri};
use serde_json::{Value, json};

use crate::mcp::tools::{NotTools, Page, Tool};
use crate::proxy::{Access, Upstream};
use crate::settings::{CredentialSource, Secret, Server};
use speak::{Reply, Wire};

/// The most bytes that one answer may have, all events of a stream together.
const ANSWER_BYTES: usize = 4 << 20;
/// The most pages of one list; far above what any server has.
const PAGES: usize = 100;
/// The most tools of one list.
const TOOLS: usize = 10_000;
/// How long the end of a session may take; nothing depends on it.
const GOODBYE: Duration = Duration::from_secs(2);

const MODERN: &str = "2026-07-28";
/// What is asked for in a handshake; a server answers with what it speaks.
const LEGACY: &str = "2025-11-25";

/// The server that is asked, with what it wants to see.
pub struct Target {
    url: Uri,
    upstream: Arc<Upstream>,
}

/// What a server said.
#[derive(Debug)]
pub struct Listed {
    /// In the server's order, all pages together.
    pub tools: Vec<Tool>,
    /// The revision of MCP that was spoken.
    pub revision: String,
}

/// Why there is no list. The text names no header's value and no answer's body.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(
        "not a URL that can be asked: write http://HOST:PORT/PATH or https://…, without user or fragment"
    )]
    Url,
    #[error("{0}")]
    Connect(String),
    #[error("no list of tools within {} s", .0.as_secs_f32())]
    Deadline(Duration),
    #[error(
        "the server answered {0}: give the header that it wants, such as --header-env Authorization=NAME"
    )]
    Unauthorized(u16),
    #[error("the server redirects ({0}): name the URL that it redirects to")]
    Redirect(u16),
    #[error("the server answered {0} and no message")]
    Status(u16),
    #[error("the answer has more than {ANSWER_BYTES} bytes")]
    TooLarge,
    #[error("the answer broke off: {0}")]
    Broken(String),
    #[error("the server's answer is no message of MCP")]
    NotMcp,
    #[error("the server refused `{method}`: {message} ({code})")]
    Refused {
        method: &'static str,
        code: i64,
        message: String,
    },
    #[error("the server's list of tools cannot be read: {0}")]
    List(#[from] NotTools),
    #[error("{in_a_session}; asked as revision {MODERN} asks: {modern}")]
    Neither {
        modern: Box<Self>,
        in_a_session: Box<Self>,
    },
    #[error("the server's list of tools does not end: more than {PAGES} pages or {TOOLS} tools")]
    Endless,
}

impl Target {
    /// `headers` go out with every request, in place of the client's own. Each step may take `within`.
    ///
    /// # Errors
    /// Where `url` is not `http` or `https` with a host, or holds user information, which a log could show.
    pub fn new(
        url: &str,
        headers: Vec<(HeaderName, Secret<String>)>,
        within: Duration,
    ) -> Result<Self, ClientError> {
        let uri: Uri = url.parse().map_err(|_| ClientError::Url)?;
        let http = matches!(uri.scheme_str(), Some("http" | "https"));
        let plain = uri
            .authority()
            .is_some_and(|authority| !authority.as_str().contains('@'));
        if !http || !plain || url.contains('#') {
            return Err(ClientError::Url);
        }
        let headers = headers.into_iter();
        let headers = headers.map(|(name, value)| (name, CredentialSource::fixed(value)));
        let server = Server {
            headers: headers.collect(),
            ..Server::at(uri, Vec::new(), within)
        };
        Self::of(&server)
    }

    /// A server of the settings, asked as the gate asks it.
    ///
    /// # Errors
    /// Where a certificate, key or header of the settings cannot be used.
    pub fn of(server: &Server) -> Result<Self, ClientError> {
        let access = Access::of(server).map_err(ClientError::Connect)?;
        let upstream = Upstream::new("server", server, access).map_err(ClientError::Connect)?;
        Ok(Self::with(server, Arc::new(upstream)))
    }

    /// The same over connections that are there already.
    pub fn with(server: &Server, upstream: Arc<Upstream>) -> Self {
        Self {
            url: server.upstream.clone(),
            upstream,
        }
    }

    /// The URL without its query, which may hold a secret.
    pub fn shown(&self) -> String {
        let scheme = self.url.scheme_str().unwrap_or_default();
        let authority = self.url.authority().map_or("", |authority| authority.as_str());
        format!("{scheme}://{authority}{}", self.url.path())
    }
}

/// Asks for the list of tools, all pages of it, `within` this time.
///
/// # Errors
/// Where the server cannot be reached, wants other headers, does not speak MCP, or answers too much.
pub async fn list_tools(target: &Target, within: Duration) -> Result<Listed, ClientError> {
    let wire = Wire::new(Arc::clone(&target.upstream));
    let asked = tokio::time::timeout(within, ask(&wire)).await;
    asked.unwrap_or(Err(ClientError::Deadline(within)))
}

async fn ask(wire: &Wire) -> Result<Listed, ClientError> {
    let modern = Session {
        revision: MODERN.to_owned(),
        id: None,
        modern: true,
    };
    match pages(wire, &modern).await {
        Ok(tools) => Ok(Listed {
            tools,
            revision: modern.revision,
        }),
        Err(
            modern @ (ClientError::Status(_)
            | ClientError::Refused { .. }
            | ClientError::NotMcp
            | ClientError::List(NotTools::NoList)),
        ) => in_a_session(wire).await.map_err(|error| ClientError::Neither {
            modern: Box::new(modern),
            in_a_session: Box::new(error),
        }),
        Err(error) => Err(error),
    }
}

async fn in_a_session(wire: &Wire) -> Result<Listed, ClientError> {
    let hello = json!({
        "protocolVersion": LEGACY,
        "capabilities": {},
        "clientInfo": client_info(),
    });
    let reply = wire.request("initialize", &hello, None).await?;
    let result: Value = serde_json::from_str(&reply.result).map_err(|_| ClientError::NotMcp)?;
    let revision = result.get("protocolVersion").and_then(Value::as_str);
    let session = Session {
        revision: revision.ok_or(ClientError::NotMcp)?.to_owned(),
        id: reply.session,
        modern: false,
    };
    wire.notify("notifications/initialized", &session).await?;
    let tools = pages(wire, &session).await;
    // A server that does not end sessions answers 405, and one that is gone has none: both are fine.
    drop(tokio::time::timeout(GOODBYE, wire.close(&session)).await);
    Ok(Listed {
        tools: tools?,
        revision: session.revision,
    })
}

async fn pages(wire: &Wire, session: &Session) -> Result<Vec<Tool>, ClientError> {
    let mut tools = Vec::new();
    let mut seen = HashSet::new();
    let mut cursor: Option<String> = None;
    for _ in 0..PAGES {
        let mut params = serde_json::Map::new();
        if let Some(cursor) = &cursor {
            params.insert("cursor".to_owned(), json!(cursor));
        }
        if session.modern {
            let meta = json!({
                "io.modelcontextprotocol/protocolVersion": session.revision,
                "io.modelcontextprotocol/clientInfo": client_info(),
                "io.modelcontextprotocol/clientCapabilities": {},
            });
            params.insert("_meta".to_owned(), meta);
        }
        let params = Value::Object(params);
        let Reply { result, .. } = wire.request("tools/list", &params, Some(session)).await?;
        let page = Page::read(&result)?;
        tools.extend(page.tools);
        match page.next {
            None => return Ok(tools),
            // A cursor that comes back would lead in a circle.
            Some(next) if tools.len() <= TOOLS && seen.insert(next.clone()) => cursor = Some(next),
            Some(_) => return Err(ClientError::Endless),
        }
    }
    Err(ClientError::Endless)
}

/// How a server is spoken to after the first message.
struct Session {
    revision: String,
    id: Option<HeaderValue>,
    modern: bool,
}

fn client_info() -> Value {
    json!({ "name": "toolgate", "version": env!("CARGO_PKG_VERSION") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_urls_are_asked_and_a_query_is_not_shown() {
        for bad in [
            "127.0.0.1:1/mcp",
            "ftp://h/x",
            "http:///x",
            "http://u:p@h/x",
            "http://h/x#f",
            "",
        ] {
            assert!(Target::new(bad, vec![], Duration::ZERO).is_err(), "{bad}");
        }
        let target = Target::new("http://h:1/mcp?token=secret", vec![], Duration::ZERO).unwrap();
        assert_eq!(target.shown(), "http://h:1/mcp");
    }
}
