//! The admin port: `/livez`, `/readyz`, `/metrics`, and a page for people. GET only. Never sees the proxy.

mod ready;
mod status;

pub use ready::{Answers, Health, Later, Probes};

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::record::Metrics;

/// Connections that the admin port serves at once.
const CONNECTIONS: usize = 64;

/// What the admin port shows.
#[derive(Clone)]
pub struct Admin {
    pub metrics: Arc<Metrics>,
    pub probes: Probes,
    /// True once the process is draining.
    pub stopping: watch::Receiver<bool>,
}

/// Serves until the task is dropped: probes work while the proxy drains.
pub async fn serve(admin: Admin, listener: TcpListener) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::error!(%error, "an admin connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let admin = admin.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let admin = admin.clone();
                async move { Ok::<_, Infallible>(answer(&admin, &request).await) }
            });
            let mut builder = http1::Builder::new();
            builder
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(5))
                .max_buf_size(16_384);
            if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!(%error, "an admin connection ended");
            }
            drop(seat);
        });
    }
}

async fn answer<B>(admin: &Admin, request: &Request<B>) -> Response<Full<Bytes>> {
    if request.method() != Method::GET {
        return text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "use GET\n");
    }
    match request.uri().path() {
        "/livez" => text(StatusCode::OK, "text/plain", "ok\n"),
        "/readyz" => ready::ready(admin, request.uri().query()).await,
        "/metrics" => text(
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            admin.metrics.text(),
        ),
        "/" => status_page(admin).await,
        "/status.css" => text(StatusCode::OK, "text/css", status::STYLE),
        _ => text(
            StatusCode::NOT_FOUND,
            "text/plain",
            "there are /, /livez, /readyz and /metrics\n",
        ),
    }
}

async fn status_page(admin: &Admin) -> Response<Full<Bytes>> {
    let stopping = *admin.stopping.borrow();
    let current = (admin.probes.policies)();
    let words = status::Words {
        gate: if stopping { "stopping" } else { "ready" },
        store: (admin.probes.store)().await,
        policies: if current { "current" } else { "stale" },
        servers: (admin.probes.servers)(),
    };
    let page = status::page(&admin.metrics.series(), &words);
    let mut response = text(StatusCode::OK, "text/html; charset=utf-8", page);
    let policy = header::HeaderValue::from_static(status::POLICY);
    response
        .headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

fn text(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
