//! A document from a URL: one GET, bounded, within a deadline, redirects not followed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use http::{HeaderMap, Method, Uri};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::proxy::{Access, Upstream};
use crate::settings::{Egress, Server};
use crate::tls::ClientTls;

/// Why there is no document. The text names no header's value and no answer's body.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("{0}")]
    Connect(String),
    #[error("no answer within {} s", .0.as_secs_f32())]
    Deadline(Duration),
    #[error("it redirects ({0}), which is not followed")]
    Redirect(u16),
    #[error("it answered {0}")]
    Status(u16),
    #[error("it has more than {0} bytes")]
    TooLarge(usize),
    #[error("it broke off")]
    Broken,
}

/// What is asked for.
#[derive(Debug)]
pub struct Document<'d> {
    pub url: &'d Uri,
    /// The whole value of `Authorization`.
    pub authorization: Option<HeaderValue>,
    /// The largest document that is read, in bytes.
    pub at_most: usize,
    pub within: Duration,
    /// The way there.
    pub egress: Egress,
}

/// Asks for a document.
///
/// # Errors
/// [`FetchError`]; any status but 200 is one.
pub async fn fetch(document: Document<'_>, tls: &ClientTls) -> Result<Bytes, FetchError> {
    let within = document.within;
    let asked = tokio::time::timeout(within, ask(document, tls)).await;
    asked.unwrap_or(Err(FetchError::Deadline(within)))
}

async fn ask(document: Document<'_>, tls: &ClientTls) -> Result<Bytes, FetchError> {
    let connect = |error: &dyn std::fmt::Display| FetchError::Connect(error.to_string());
    let server = Server::at(document.url.clone(), document.egress, document.within);
    let upstream = Upstream::new("document", &server, Access::over(Some(tls.clone())));
    let upstream = Arc::new(upstream.map_err(FetchError::Connect)?);
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if let Some(authorization) = document.authorization {
        headers.insert(AUTHORIZATION, authorization);
    }
    let request = upstream.request(Method::GET, None, headers, Bytes::new());
    let connection = upstream.connection().await.map_err(|error| connect(&error))?;
    let answer = connection
        .send(request, &mut None)
        .await
        .map_err(|error| connect(&error))?;
    match answer.status().as_u16() {
        200 => {}
        status @ 300..=399 => return Err(FetchError::Redirect(status)),
        status => return Err(FetchError::Status(status)),
    }
    match Limited::new(answer.into_body(), document.at_most).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(FetchError::TooLarge(document.at_most)),
        Err(_) => Err(FetchError::Broken),
    }
}
