//! What an upstream is reached with: certificates, fixed headers, and tokens. All of it follows its files.

mod oauth;

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use http::header::HeaderValue;
use http::{HeaderMap, HeaderName};

use crate::settings::{CredentialSource, Secret, Server};
use crate::tls::ClientTls;
use oauth::TokenSource;

/// Clones share what is in force.
#[derive(Clone)]
pub struct Access(Arc<Shared>);

struct Shared {
    /// `None`: the upstream is asked in the clear.
    tls: Option<ClientTls>,
    headers: ArcSwap<Vec<(HeaderName, Secret<HeaderValue>)>>,
    /// Where the headers' values come from, in the same order, with what was last told of each.
    sources: Mutex<Vec<(HeaderName, CredentialSource, Option<String>)>>,
    token: Option<Arc<TokenSource>>,
}

impl Access {
    /// # Errors
    /// A certificate, key or header that cannot be used; the text names file and remedy, and no value.
    pub fn of(server: &Server) -> Result<Self, String> {
        let is_https = server.upstream.scheme_str() == Some("https");
        let tls = is_https.then(|| ClientTls::new(&server.tls)).transpose();
        let headers = server.headers.iter();
        let headers = headers.map(|(name, source)| Ok((name.clone(), header_value(name, &source.value)?)));
        let sources = server.headers.iter();
        let sources = sources.map(|(name, source)| (name.clone(), source.clone(), None));
        Ok(Self(Arc::new(Shared {
            tls: tls.map_err(|error| error.to_string())?,
            headers: ArcSwap::from_pointee(headers.collect::<Result<_, String>>()?),
            sources: Mutex::new(sources.collect()),
            token: server.oauth.as_ref().map(TokenSource::new).transpose()?,
        })))
    }

    /// No credentials. `tls`: how an `https` server's certificate is checked.
    pub fn over(tls: Option<ClientTls>) -> Self {
        Self(Arc::new(Shared {
            tls,
            headers: ArcSwap::default(),
            sources: Mutex::default(),
            token: None,
        }))
    }

    pub(super) fn tls(&self) -> Option<&ClientTls> {
        self.0.tls.as_ref()
    }

    /// Waits until a request can be shown the credentials: a token may have to be fetched.
    ///
    /// # Errors
    /// Where there is no token; the text is for the log.
    pub(super) async fn ready(&self) -> Result<(), String> {
        match &self.0.token {
            None => Ok(()),
            Some(token) => token.ready().await,
        }
    }

    /// Sets the credentials, in place of whatever the request had under these names.
    pub(super) fn put(&self, headers: &mut HeaderMap) {
        for (name, value) in self.0.headers.load().iter() {
            headers.insert(name.clone(), value.expose().clone());
        }
        if let Some(value) = self.0.token.as_ref().and_then(|token| token.header()) {
            headers.insert(http::header::AUTHORIZATION, value);
        }
    }

    /// The upstream did not take the credentials.
    pub(super) fn refused(&self) {
        if let Some(token) = &self.0.token {
            token.refused();
        }
    }

    /// Reads every file again, and says in the log what changed or cannot be used; that is told once. True where
    /// connections of before were made with other certificates.
    pub(super) fn reload(&self, server: &str) -> bool {
        self.reload_headers(server);
        if let Some(token) = &self.0.token {
            token.reload(server);
        }
        match self.0.tls.as_ref().map_or(Ok(false), ClientTls::reload) {
            Ok(changed) => {
                if changed {
                    tracing::info!(server, "the upstream's certificates were read again");
                }
                changed
            }
            Err(error) => {
                tracing::warn!(server, %error, "the upstream's certificates stay as they were");
                false
            }
        }
    }

    fn reload_headers(&self, server: &str) {
        let mut sources = self.0.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let mut headers = Vec::clone(&self.0.headers.load());
        let mut changed = false;
        for ((name, source, told), (_, current)) in sources.iter_mut().zip(&mut headers) {
            let Some(read) = source.read_again() else { continue };
            match read.and_then(|value| header_value(name, &value)) {
                Ok(value) => {
                    *told = None;
                    if value.expose() != current.expose() {
                        *current = value;
                        changed = true;
                        tracing::info!(server, header = %name, "a credential was read again");
                    }
                }
                Err(error) if told.as_ref() != Some(&error) => {
                    tracing::warn!(server, header = %name, error, "a credential stays as it was");
                    *told = Some(error);
                }
                Err(_) => {}
            }
        }
        if changed {
            self.0.headers.store(Arc::new(headers));
        }
    }
}

fn header_value(name: &HeaderName, value: &Secret<String>) -> Result<Secret<HeaderValue>, String> {
    let mut value = HeaderValue::from_str(value.expose())
        .map_err(|_| format!("the value of `{name}` has characters that a header cannot carry"))?;
    value.set_sensitive(true);
    Ok(Secret::new(value))
}
