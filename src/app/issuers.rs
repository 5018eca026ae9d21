//! Where the keys of issuers come from.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::Uri;
use http::header::HeaderValue;
use serde::Deserialize;

use crate::client::{Document, FetchError, fetch};
use crate::issuers::{Fetched, Issuers, Keys, Pace};
use crate::settings::{Egress, Issuer, KeySource, Settings, UpstreamTls, trusted_url};
use crate::tls::ClientTls;

/// The largest set of keys or discovery document, in bytes.
const AT_MOST: usize = 256 << 10;
/// How long one fetch may take, discovery included.
const WITHIN: Duration = Duration::from_secs(5);
/// The largest token that is sent along, in bytes.
const TOKEN_AT_MOST: u64 = 16 << 10;

/// The issuers of the settings; their keys are fetched later.
///
/// # Errors
/// Certificate authorities that cannot be read.
pub(super) fn issuers(settings: &Settings) -> anyhow::Result<Issuers> {
    let all = settings.issuers.iter().map(|(name, issuer)| {
        let place = Arc::new(place(settings, name, issuer)?);
        let fetch = Box::new(move || -> Fetched {
            let place = Arc::clone(&place);
            Box::pin(async move { place.fetch().await.map(|text| text.to_vec()) })
        });
        let keys = Keys::new(name, fetch, Pace::default());
        Ok((name.clone(), issuer.clone(), keys))
    });
    Ok(Issuers::new(all.collect::<anyhow::Result<Vec<_>>>()?))
}

/// # Errors
/// Certificate authorities that cannot be read.
pub(super) fn place(settings: &Settings, name: &str, issuer: &Issuer) -> anyhow::Result<Place> {
    let place = Place::new(name, issuer, &settings.egress);
    place.with_context(|| format!("{}: `issuers.{name}.jwks_ca`", settings.files.settings.display()))
}

/// Where one issuer's keys are.
pub(super) struct Place {
    issuer: Issuer,
    tls: ClientTls,
    egress: Egress,
}

/// The parts of a discovery document that are used (OpenID Connect Discovery 1.0 section 3, RFC 8414 section 2).
#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
}

impl Place {
    fn new(name: &str, issuer: &Issuer, egress: &Egress) -> anyhow::Result<Self> {
        let tls = ClientTls::new(&UpstreamTls {
            ca: issuer.keys_ca.clone(),
            identity: None,
        })?;
        tracing::debug!(issuer = name, "an issuer's keys are looked for");
        Ok(Self {
            issuer: issuer.clone(),
            tls,
            egress: egress.clone(),
        })
    }

    async fn fetch(&self) -> Result<Bytes, String> {
        match &self.issuer.keys {
            KeySource::File(path) => read_file(path.clone(), AT_MOST as u64).await.map(Bytes::from),
            KeySource::Url(url) => self.get(url, WITHIN).await.map_err(|error| error.to_string()),
            KeySource::Discovery => {
                let found = tokio::time::timeout(WITHIN, self.discovered()).await;
                found.unwrap_or_else(|_| Err(FetchError::Deadline(WITHIN).to_string()))
            }
        }
    }

    async fn discovered(&self) -> Result<Bytes, String> {
        let mut last = String::new();
        for url in discovery_urls(&self.issuer.issuer) {
            match self.get(&url, WITHIN).await {
                Ok(text) => return self.keys_of(&text).await,
                Err(error) => last = format!("its discovery document: {error}"),
            }
        }
        Err(last)
    }

    /// A document that speaks of another issuer could have been put there by anybody who answers for the path.
    async fn keys_of(&self, document: &[u8]) -> Result<Bytes, String> {
        let found: Discovered = serde_json::from_slice(document)
            .map_err(|_| "its discovery document cannot be read".to_owned())?;
        if found.issuer != self.issuer.issuer {
            return Err("its discovery document is that of another issuer".to_owned());
        }
        let url = trusted_url(&found.jwks_uri)
            .ok_or("its discovery document names keys that are neither on https nor on loopback")?;
        self.get(&url, WITHIN).await.map_err(|error| error.to_string())
    }

    async fn get(&self, url: &Uri, within: Duration) -> Result<Bytes, FetchError> {
        let authorization = match &self.issuer.keys_token {
            None => None,
            Some(path) => Some(bearer(path).await.map_err(FetchError::Connect)?),
        };
        let document = Document {
            url,
            authorization,
            at_most: AT_MOST,
            within,
            egress: self.egress.clone(),
        };
        fetch(document, &self.tls).await
    }
}

/// OpenID Connect puts its document behind the issuer's path, RFC 8414 before it.
fn discovery_urls(issuer: &str) -> Vec<Uri> {
    let issuer = issuer.trim_end_matches('/');
    let behind = format!("{issuer}/.well-known/openid-configuration").parse().ok();
    let before = url::Url::parse(issuer).ok().and_then(|url| {
        let path = url.path().trim_end_matches('/').to_owned();
        let origin = url.origin().ascii_serialization();
        format!("{origin}/.well-known/oauth-authorization-server{path}")
            .parse()
            .ok()
    });
    behind.into_iter().chain(before).collect()
}

/// The token in a file, which may have been rotated since the last time.
async fn bearer(path: &Path) -> Result<HeaderValue, String> {
    let text = read_file(path.to_owned(), TOKEN_AT_MOST).await?;
    let text = String::from_utf8(text).unwrap_or_default();
    let mut value = HeaderValue::from_str(&format!("Bearer {}", text.trim()))
        .map_err(|_| format!("the token in `{}` cannot be sent", path.display()))?;
    value.set_sensitive(true);
    Ok(value)
}

async fn read_file(path: PathBuf, at_most: u64) -> Result<Vec<u8>, String> {
    use std::io::Read as _;
    let shown = path.display().to_string();
    let read = tokio::task::spawn_blocking(move || {
        let mut text = Vec::new();
        let file = std::fs::File::open(path)?;
        file.take(at_most.saturating_add(1)).read_to_end(&mut text)?;
        Ok::<_, std::io::Error>(text)
    });
    match read.await {
        Ok(Ok(text)) if text.len() as u64 > at_most => {
            Err(format!("`{shown}` has more than {at_most} bytes"))
        }
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) => Err(format!("cannot read `{shown}`: {error}")),
        Err(_) => Err(format!("reading `{shown}` was stopped")),
    }
}

#[cfg(test)]
mod tests {
    use super::discovery_urls;

    #[test]
    fn a_discovery_document_is_looked_for_behind_and_before_the_issuers_path() {
        let found: Vec<String> = discovery_urls("https://a.example/t/1/")
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            found,
            [
                "https://a.example/t/1/.well-known/openid-configuration",
                "https://a.example/.well-known/oauth-authorization-server/t/1"
            ]
        );
    }
}
