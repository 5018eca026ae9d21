//! A small MCP client that asks one server what tools it has. It never calls one.
//!
//! Over HTTP the stateless revision 2026-07-28 is tried first, then the handshake of the revisions with sessions, then
//! the event stream of 2024-11-05 ([`announced`]); a command is greeted first ([`spoken`]). Redirects are not followed,
//! every answer is bounded, and one deadline holds for all.

mod announced;
mod console;
mod error;
mod events;
mod fetch;
mod heard;
mod speak;
mod spoken;
mod wire;

pub use console::{ConsoleClient, ConsoleError, ListedApproval, Said};
pub use error::ClientError;
pub use fetch::{Document, FetchError, fetch};

use std::collections::HashSet;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderValue;
use http::{HeaderName, Uri};
use serde_json::{Value, json};

use crate::mcp::tools::{Page, Tool};
use crate::proxy::{Access, ServerCommand, Upstream};
use crate::settings::{CredentialSource, Egress, Secret, Server};
use announced::Announced;
use speak::Posted;
use spoken::Spoken;
use wire::{Reply, Wire};

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
pub struct Target(Reached);

enum Reached {
    Url(Uri, Arc<Upstream>),
    Command(ServerCommand),
}

/// What a server said.
#[derive(Debug)]
pub struct Listed {
    /// The server's name and version, as far as it told them.
    pub name: Option<String>,
    pub version: Option<String>,
    /// In the server's order, all pages together.
    pub tools: Vec<Tool>,
    /// The revision of MCP that was spoken.
    pub revision: String,
}

impl Target {
    /// `headers` go out with every request, in place of the client's own, by the way of `egress`. Each step may take
    /// `within`.
    ///
    /// # Errors
    /// Where `url` is not `http` or `https` with a host, or holds user information, which a log could show.
    pub fn new(
        url: &str,
        headers: Vec<(HeaderName, Secret<String>)>,
        egress: Egress,
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
            ..Server::at(uri, egress, within)
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
        Self(Reached::Url(server.upstream.clone(), upstream))
    }

    /// A command, which is started to be asked, and ended. `environment` is all that it gets.
    pub const fn command(
        program: OsString,
        arguments: Vec<OsString>,
        environment: Vec<(OsString, OsString)>,
    ) -> Self {
        Self(Reached::Command(ServerCommand {
            program,
            arguments,
            environment,
        }))
    }

    /// The URL without its query, or the command without its arguments: both may hold secrets.
    pub fn shown(&self) -> String {
        match &self.0 {
            Reached::Url(url, _) => {
                let scheme = url.scheme_str().unwrap_or_default();
                let authority = url.authority().map_or("", |authority| authority.as_str());
                format!("{scheme}://{authority}{}", url.path())
            }
            Reached::Command(command) => command.program.to_string_lossy().into_owned(),
        }
    }
}

/// Asks for the list of tools, all pages of it, `within` this time.
///
/// # Errors
/// Where the server cannot be reached, wants other headers, does not speak MCP, or answers too much.
pub async fn list_tools(target: &Target, within: Duration) -> Result<Listed, ClientError> {
    let asked = async {
        match &target.0 {
            Reached::Url(_, upstream) => ask(upstream).await,
            Reached::Command(command) => ask_command(command).await,
        }
    };
    let asked = tokio::time::timeout(within, asked).await;
    asked.unwrap_or(Err(ClientError::Deadline(within)))
}

async fn ask(upstream: &Arc<Upstream>) -> Result<Listed, ClientError> {
    let mut wire = Wire::Posted(Posted::new(Arc::clone(upstream)));
    let modern = match modern(&mut wire).await {
        Err(error) if error.is_of_another_era() => error,
        asked => return asked,
    };
    let in_a_session = match in_a_session(&mut wire).await {
        Err(error) => error,
        asked => return asked,
    };
    // where it is none, what was said before tells more
    if matches!(in_a_session, ClientError::Status(_))
        && let Ok(announced) = Announced::open(upstream).await
    {
        return self::in_a_session(&mut Wire::Announced(Box::new(announced))).await;
    }
    Err(ClientError::Neither {
        modern: Box::new(modern),
        in_a_session: Box::new(in_a_session),
    })
}

/// The handshake comes first: older servers take anything else before it for an error, or do not answer it.
async fn ask_command(command: &ServerCommand) -> Result<Listed, ClientError> {
    let mut wire = Wire::Spoken(Box::new(Spoken::start(command)?));
    let listed = match in_a_session(&mut wire).await {
        Err(ClientError::Refused { .. }) => modern(&mut wire).await,
        asked => asked,
    };
    wire.end().await;
    listed
}

async fn modern(wire: &mut Wire) -> Result<Listed, ClientError> {
    let session = Session {
        revision: MODERN.to_owned(),
        id: None,
        modern: true,
    };
    pages(wire, &session, None).await
}

async fn in_a_session(wire: &mut Wire) -> Result<Listed, ClientError> {
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
    let listed = pages(wire, &session, result.get("serverInfo")).await;
    // A server that does not end sessions answers 405, and one that is gone has none: both are fine.
    drop(tokio::time::timeout(GOODBYE, wire.close(&session)).await);
    listed
}

/// `info` is what the server said of itself, where it did so before.
async fn pages(wire: &mut Wire, session: &Session, info: Option<&Value>) -> Result<Listed, ClientError> {
    let mut listed = Listed {
        name: None,
        version: None,
        tools: Vec::new(),
        revision: session.revision.clone(),
    };
    listed.told(info);
    let mut seen = HashSet::new();
    let mut cursor: Option<String> = None;
    for _ in 0..PAGES {
        let params = session.params(cursor.as_deref());
        let Reply { result, .. } = wire.request("tools/list", &params, Some(session)).await?;
        let page = Page::read(&result)?;
        if listed.name.is_none() {
            let whole: Value = serde_json::from_str(&result).map_err(|_| ClientError::NotMcp)?;
            listed.told(whole.pointer("/_meta/io.modelcontextprotocol~1serverInfo"));
        }
        listed.tools.extend(page.tools);
        match page.next {
            None => return Ok(listed),
            // A cursor that comes back would lead in a circle.
            Some(next) if listed.tools.len() <= TOOLS && seen.insert(next.clone()) => cursor = Some(next),
            Some(_) => return Err(ClientError::Endless),
        }
    }
    Err(ClientError::Endless)
}

impl Listed {
    fn told(&mut self, info: Option<&Value>) {
        let text = |key| info?.get(key)?.as_str().map(str::to_owned);
        self.name = text("name");
        self.version = text("version");
    }
}

/// How a server is spoken to after the first message.
struct Session {
    revision: String,
    id: Option<HeaderValue>,
    modern: bool,
}

impl Session {
    /// The parameters of `tools/list`.
    fn params(&self, cursor: Option<&str>) -> Value {
        let mut params = serde_json::Map::new();
        if let Some(cursor) = cursor {
            params.insert("cursor".to_owned(), json!(cursor));
        }
        if self.modern {
            let meta = json!({
                "io.modelcontextprotocol/protocolVersion": self.revision,
                "io.modelcontextprotocol/clientInfo": client_info(),
                "io.modelcontextprotocol/clientCapabilities": {},
            });
            params.insert("_meta".to_owned(), meta);
        }
        Value::Object(params)
    }
}

fn client_info() -> Value {
    json!({ "name": "toolgate", "version": env!("CARGO_PKG_VERSION") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_urls_are_asked_and_a_query_is_not_shown() {
        let target = |url| Target::new(url, vec![], Egress::direct(), Duration::ZERO);
        for bad in [
            "127.0.0.1:1/mcp",
            "ftp://h/x",
            "http:///x",
            "http://u:p@h/x",
            "http://h/x#f",
            "",
        ] {
            assert!(target(bad).is_err(), "{bad}");
        }
        let target = target("http://h:1/mcp?token=secret").unwrap();
        assert_eq!(target.shown(), "http://h:1/mcp");
    }
}
