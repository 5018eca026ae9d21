//! A way to a server through an egress proxy: `CONNECT` (RFC 9110 section 9.3.6).

use bytes::Bytes;
use http::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use http::uri::Authority;
use http::{Method, Request, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::connect_error;
use super::error::UpstreamError;
use crate::settings::EgressProxy;

/// The largest head of the proxy's answer, in bytes.
const HEAD_BYTES: usize = 16 << 10;

/// A connection to the server as the proxy made it; not a byte has passed on it. `server` is a name or an address, which
/// the proxy looks up. The caller sets the deadline.
///
/// # Errors
/// Where the proxy cannot be reached, or opens no tunnel; the text holds nothing that it said.
pub(super) async fn through(
    proxy: &EgressProxy,
    server: &Authority,
    port: u16,
) -> Result<TcpStream, UpstreamError> {
    let stream = TcpStream::connect((proxy.host.as_str(), proxy.port)).await;
    let stream = stream.map_err(|error| failed(&error.to_string()))?;
    stream.set_nodelay(true).map_err(connect_error)?;
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES);
    let (mut requests, connection) = builder
        .handshake(TokioIo::new(stream))
        .await
        .map_err(connect_error)?;
    // ends with the answer, or when nobody waits for it any more
    tokio::spawn(connection.with_upgrades());
    let answer = requests.send_request(connect(proxy, server, port)?).await;
    let answer = answer.map_err(|_| failed("it broke off"))?;
    if !answer.status().is_success() {
        return Err(failed(&format!("it answered {}", answer.status().as_u16())));
    }
    let tunnel = hyper::upgrade::on(answer)
        .await
        .map_err(|_| failed("it broke off"))?;
    match tunnel.downcast::<TokioIo<TcpStream>>() {
        // a server says nothing before it is spoken to
        Ok(parts) if parts.read_buf.is_empty() => Ok(parts.io.into_inner()),
        _ => Err(failed("it sent more than an answer")),
    }
}

fn connect(
    proxy: &EgressProxy,
    server: &Authority,
    port: u16,
) -> Result<Request<Empty<Bytes>>, UpstreamError> {
    let target = format!("{}:{port}", server.host());
    let mut request = Request::new(Empty::new());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = target.parse::<Uri>().map_err(connect_error)?;
    let host = HeaderValue::try_from(target).map_err(connect_error)?;
    request.headers_mut().insert(HOST, host);
    if let Some(authorization) = &proxy.authorization {
        let value = authorization.expose().clone();
        request.headers_mut().insert(PROXY_AUTHORIZATION, value);
    }
    Ok(request)
}

fn failed(why: &str) -> UpstreamError {
    UpstreamError::Connect(format!(
        "the egress proxy of `HTTPS_PROXY` opens no tunnel: {why}"
    ))
}
