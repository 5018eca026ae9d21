//! Who is at the other end of a connection, as far as the connection itself tells.

use std::net::IpAddr;
use std::sync::Arc;

use http::Request;

use crate::grants::ClientCertificate;

/// Stands in the extensions of each request.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Of the client, or of the proxy in front of it.
    pub address: IpAddr,
    /// Checked against `tls.client_ca`.
    pub certificate: Option<Arc<ClientCertificate>>,
}

/// The certificate that a request came under.
pub fn certificate<B>(request: &Request<B>) -> Option<Arc<ClientCertificate>> {
    request.extensions().get::<Peer>()?.certificate.clone()
}
