//! What a listener serves: the proxy itself, or what is bound beside it with the same bounds and time-outs.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;

use crate::proxy::Gate;
use crate::proxy::body::GateBody;
use crate::proxy::handle::handle;
use crate::proxy::respond::{Refusal, refuse};
use crate::settings::{Limits, TrustedProxies};

/// Answers requests of one listener.
pub trait Service: Send + Sync + 'static {
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static;

    fn limits(&self) -> &Limits;

    /// Proxies that may say on whose behalf they connect.
    fn proxies(&self) -> &TrustedProxies;

    /// Whether answers are to close their connections.
    fn is_leaving(&self) -> bool;

    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Response<Self::Body>> + Send;

    /// The answer to a peer that has too many requests open.
    fn too_many(&self) -> Response<Self::Body>;
}

impl Service for Arc<Gate> {
    type Body = GateBody;

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn proxies(&self) -> &TrustedProxies {
        &self.front.trusted_proxies
    }

    fn is_leaving(&self) -> bool {
        self.leaving.has_begun()
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<GateBody> {
        handle(self, request).await
    }

    fn too_many(&self) -> Response<GateBody> {
        refuse(&Refusal::TooManyFromPeer)
    }
}
