//! Asks a console for approvals, and decides them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Uri};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use serde_json::json;

use crate::proxy::{Access, Upstream};
use crate::settings::{Egress, Secret, Server, UpstreamTls};

/// The most bytes that one answer may have: five hundred approvals with large arguments.
const ANSWER_BYTES: usize = 64 << 20;

/// Where a console is, and what is shown to it.
pub struct ConsoleClient {
    upstream: Arc<Upstream>,
    authorization: HeaderValue,
    within: Duration,
}

/// Why nothing was learned or done. The text names no token.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    #[error("not the URL of a console: write http://HOST:PORT or https://HOST, without a path")]
    Url,
    #[error("the token cannot stand in a header: it is the one line that `toolgate approvals token` printed")]
    Token,
    #[error("the console cannot be reached: {0}")]
    Connect(String),
    #[error("the console gave no answer within {} s", .0.as_secs_f32())]
    Deadline(Duration),
    #[error("{message}")]
    Refused {
        status: u16,
        code: String,
        message: String,
    },
    #[error("what answers there ({0}) is no console: name the address of `console` in the settings")]
    NotConsole(u16),
    #[error("the console's answer broke off, or has more than {ANSWER_BYTES} bytes")]
    Broken,
}

/// An approval as the console shows it, as far as it is for people.
#[derive(Debug, Deserialize)]
pub struct ListedApproval {
    pub id: String,
    pub state: String,
    #[serde(default)]
    pub grant_key: Option<String>,
    pub digest: String,
    pub created: String,
    pub expires: String,
    pub approvals_needed: u32,
    pub decisions: Vec<Said>,
    pub shown: Texts,
}

/// What somebody said.
#[derive(Debug, Deserialize)]
pub struct Said {
    pub by: String,
    pub decision: String,
    pub reason: String,
    pub time: String,
}

/// Texts of callers, in the form that is fit for eyes.
#[derive(Debug, Deserialize)]
pub struct Texts {
    pub grant: String,
    pub server: String,
    pub tool: String,
    pub arguments: Option<String>,
    pub argument_keys: Vec<String>,
}

#[derive(Deserialize)]
struct Problem {
    error: Words,
}

#[derive(Deserialize)]
struct Words {
    code: String,
    message: String,
}

impl ConsoleClient {
    /// `ca`: the only authorities that may have signed the console's certificate; left out, the system's.
    ///
    /// # Errors
    /// A URL, token or file that cannot be used.
    pub fn new(
        url: &str,
        token: &Secret<String>,
        ca: Option<PathBuf>,
        egress: Egress,
        within: Duration,
    ) -> Result<Self, ConsoleError> {
        let uri: Uri = url.parse().map_err(|_| ConsoleError::Url)?;
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        let plain = uri
            .authority()
            .is_some_and(|authority| !authority.as_str().contains('@'));
        if !is_http || !plain || !matches!(uri.path(), "" | "/") || uri.query().is_some() || url.contains('#')
        {
            return Err(ConsoleError::Url);
        }
        let server = Server {
            tls: UpstreamTls { ca, identity: None },
            ..Server::at(uri, egress, within)
        };
        let access = Access::of(&server).and_then(|access| Upstream::new("console", &server, access));
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(|_| ConsoleError::Token)?;
        authorization.set_sensitive(true);
        Ok(Self {
            upstream: Arc::new(access.map_err(ConsoleError::Connect)?),
            authorization,
            within,
        })
    }

    /// The console's own answer to a list of those in this state, or of all.
    ///
    /// # Errors
    /// Any [`ConsoleError`]
    pub async fn list_text(&self, state: Option<&str>) -> Result<String, ConsoleError> {
        let path = state.map_or_else(
            || "/approvals".to_owned(),
            |state| format!("/approvals?state={state}"),
        );
        self.ask(Method::GET, &path, Bytes::new()).await
    }

    /// # Errors
    /// Any [`ConsoleError`]
    pub async fn get_text(&self, id: &str) -> Result<String, ConsoleError> {
        self.ask(Method::GET, &format!("/approvals/{id}"), Bytes::new())
            .await
    }

    /// Says yes or no to what has this digest; the console's own answer.
    ///
    /// # Errors
    /// Any [`ConsoleError`]; [`ConsoleError::Deadline`] and [`ConsoleError::Broken`]: it may count or not.
    pub async fn decide(
        &self,
        id: &str,
        approve: bool,
        digest: &str,
        reason: &str,
    ) -> Result<String, ConsoleError> {
        let word = if approve { "approve" } else { "deny" };
        let body = json!({ "digest": digest, "reason": reason }).to_string();
        self.ask(Method::POST, &format!("/approvals/{id}/{word}"), body.into())
            .await
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<String, ConsoleError> {
        // an id comes from the command line
        let path: PathAndQuery = path.parse().map_err(|_| ConsoleError::Refused {
            status: 404,
            code: "not_found".to_owned(),
            message: "this is no id of an approval".to_owned(),
        })?;
        let asked = tokio::time::timeout(self.within, self.answer(method, &path, body)).await;
        asked.unwrap_or(Err(ConsoleError::Deadline(self.within)))
    }

    async fn answer(&self, method: Method, path: &PathAndQuery, body: Bytes) -> Result<String, ConsoleError> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let request = self.upstream.request(method, Some(path), headers, body);
        let connect = |error: &dyn std::fmt::Display| ConsoleError::Connect(error.to_string());
        let connection = self
            .upstream
            .connection()
            .await
            .map_err(|error| connect(&error))?;
        let answer = connection.send(request, &mut None).await;
        let answer = answer.map_err(|error| connect(&error))?;
        let status = answer.status().as_u16();
        let whole = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await;
        let whole = whole.map_err(|_| ConsoleError::Broken)?;
        let text =
            String::from_utf8(whole.to_bytes().to_vec()).map_err(|_| ConsoleError::NotConsole(status))?;
        if status == 200 {
            return Ok(text);
        }
        match serde_json::from_str::<Problem>(&text) {
            Ok(Problem { error }) => Err(ConsoleError::Refused {
                status,
                code: error.code,
                message: error.message,
            }),
            Err(_) => Err(ConsoleError::NotConsole(status)),
        }
    }
}
