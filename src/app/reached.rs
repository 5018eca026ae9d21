//! Whether upstreams can be reached around the gate: asked at the start, and told.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::uri::Authority;

use super::probes::ask;
use crate::proxy::{Access, Upstream};
use crate::record::Metrics;
use crate::settings::{Egress, Server, is_loopback};

/// How often an upstream that is not there yet is asked.
const TRIES: usize = 30;
const APART: Duration = Duration::from_secs(2);
const WITHIN: Duration = Duration::from_secs(2);

/// One server, and what is asked around the gate.
pub(super) struct Around {
    name: String,
    url: Uri,
    has_credential: bool,
    /// With the gate's credential, and without it.
    access: Access,
    bare: Access,
    /// The address by which others reach this machine.
    own: Option<IpAddr>,
    egress: Egress,
}

impl Around {
    /// `access`: with the gate's credential.
    ///
    /// # Errors
    /// Certificate authorities that cannot be read.
    pub(super) fn new(
        name: &str,
        server: &Server,
        access: &Access,
        own: Option<IpAddr>,
    ) -> anyhow::Result<Self> {
        let mut bare = Server::at(server.upstream.clone(), server.egress.clone(), WITHIN);
        bare.tls.ca.clone_from(&server.tls.ca);
        Ok(Self {
            name: name.to_owned(),
            url: server.upstream.clone(),
            has_credential: !server.headers.is_empty()
                || server.oauth.is_some()
                || server.tls.identity.is_some(),
            access: access.clone(),
            bare: Access::of(&bare).map_err(anyhow::Error::msg)?,
            own,
            egress: server.egress.clone(),
        })
    }

    /// Ends once the upstream was there to be asked, or was not for a minute.
    pub(super) async fn run(self, metrics: Arc<Metrics>) {
        let name = &self.name;
        if !self.is_there().await {
            tracing::info!(
                server = name,
                "the upstream was not there to be asked without its credential"
            );
            return;
        }
        let loopback = self.url.host().is_some_and(is_loopback);
        // on loopback the way of a sidecar is open to the pod alone, as it is meant
        let without = (!loopback || self.has_credential).then_some(&self.url);
        let open = match without {
            Some(url) => self.is_open(url).await,
            None => false,
        };
        metrics.reached_around(name, "credential", open);
        if open {
            tracing::warn!(
                server = name,
                "the upstream answers without the gate's credential: whoever reaches it goes round the gate; let it ask for one, or let a network policy admit the gate alone"
            );
        }
        let elsewhere = self.own.filter(|_| loopback);
        let url = elsewhere.and_then(|address| at(&self.url, address));
        let open = match &url {
            Some(url) => self.is_open(url).await,
            None => false,
        };
        metrics.reached_around(name, "address", open);
        if open {
            tracing::warn!(
                server = name,
                "the upstream listens on this machine's own address too: whoever reaches that goes round the gate; bind it to loopback"
            );
        }
    }

    /// Waits until the upstream answers at all.
    async fn is_there(&self) -> bool {
        for _ in 0..TRIES {
            if self.status(&self.url, &self.access).await.is_some() {
                return true;
            }
            tokio::time::sleep(APART).await;
        }
        false
    }

    /// Whether a server answers at this URL without the credential.
    async fn is_open(&self, url: &Uri) -> bool {
        let status = self.status(url, &self.bare).await;
        status.is_some_and(|status| !matches!(status, 401 | 403 | 404 | 407 | 500..))
    }

    async fn status(&self, url: &Uri, access: &Access) -> Option<u16> {
        let server = Server::at(url.clone(), self.egress.clone(), WITHIN);
        let upstream = Upstream::new(&self.name, &server, access.clone()).ok()?;
        ask(&Arc::new(upstream)).await
    }
}

/// The address by which others reach this machine, or pod. Nothing is sent: the socket is only asked where its packets
/// would come from, to an address that is set aside for documents (RFC 5737).
pub(super) fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

/// The same URL at another address.
fn at(url: &Uri, address: IpAddr) -> Option<Uri> {
    let port = url.port_u16();
    let port = port.unwrap_or(if url.scheme_str() == Some("https") {
        443
    } else {
        80
    });
    let mut parts = url.clone().into_parts();
    parts.authority = Authority::try_from(SocketAddr::new(address, port).to_string()).ok();
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::HeaderName;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::{Around, WITHIN, at};
    use crate::proxy::Access;
    use crate::record::Metrics;
    use crate::settings::{CredentialSource, Egress, Secret, Server};

    /// Answers 200, or 401 to whom `guards` and sends no credential.
    fn serve(listener: TcpListener, guards: bool) {
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = vec![0; 4096];
                let read = stream.read(&mut head).await.unwrap_or_default();
                let known = String::from_utf8_lossy(&head[..read]).contains("authorization: secret");
                let status = if guards && !known { "401 No" } else { "200 OK" };
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                drop(stream.write_all(answer.as_bytes()).await);
            }
        });
    }

    /// What the metrics say of an upstream at 127.0.0.1, and at 127.0.0.2 where that stands for the machine's address.
    async fn found(guards: bool, elsewhere: bool) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        serve(listener, guards);
        if elsewhere {
            serve(TcpListener::bind(("127.0.0.2", port)).await.unwrap(), guards);
        }
        let credential = CredentialSource::fixed(Secret::new("secret".to_owned()));
        let headers = vec![(HeaderName::from_static("authorization"), credential)];
        let url = format!("http://127.0.0.1:{port}/mcp").parse().unwrap();
        let metrics = Arc::new(Metrics::new("1").unwrap());
        let server = Server {
            headers,
            ..Server::at(url, Egress::direct(), WITHIN)
        };
        let access = Access::of(&server).unwrap();
        let own = Some("127.0.0.2".parse().unwrap());
        let around = Around::new("s", &server, &access, own).unwrap();
        around.run(Arc::clone(&metrics)).await;
        let text = String::from_utf8(metrics.text()).unwrap();
        let lines = text
            .lines()
            .filter(|line| line.starts_with("toolgate_upstream_reached_around{"));
        let values: Vec<_> = lines.filter_map(|line| line.rsplit_once(' ')).collect();
        // in the order of the labels: `address`, `credential`
        values.iter().map(|(_, value)| *value).collect()
    }

    #[tokio::test]
    async fn an_upstream_that_answers_around_the_gate_is_found() {
        assert_eq!(found(true, false).await, "00");
        assert_eq!(found(false, false).await, "01");
        assert_eq!(found(true, true).await, "00");
        assert_eq!(found(false, true).await, "11");
    }

    #[test]
    fn only_the_address_changes() {
        let url = "http://localhost:3000/mcp?x=1".parse().unwrap();
        let there = at(&url, "10.1.2.3".parse().unwrap()).unwrap();
        assert_eq!(there.to_string(), "http://10.1.2.3:3000/mcp?x=1");
    }
}
