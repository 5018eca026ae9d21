//! `trusted_proxies`: who may say on whose behalf a connection or a request comes.

use std::net::IpAddr;

use ipnet::IpNet;

use super::file::SettingsFile;
use super::load::Check;

/// Proxies in front of the gate. What they say about addresses counts for limits per peer, and for nothing else.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies {
    nets: Vec<IpNet>,
    pub header: ForwardedBy,
}

/// The header that the proxies write. Only one is read: a proxy may pass on what a client wrote into the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ForwardedBy {
    #[default]
    XForwardedFor,
    /// RFC 7239.
    Forwarded,
}

impl TrustedProxies {
    pub fn new(nets: Vec<IpNet>, header: ForwardedBy) -> Self {
        Self { nets, header }
    }

    pub fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.nets.iter().any(|net| net.contains(&peer))
    }
}

impl Check<'_> {
    pub(super) fn trusted_proxies(&mut self, written: &SettingsFile) -> TrustedProxies {
        let mut nets = Vec::new();
        for text in &written.trusted_proxies {
            match text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) {
                Ok(net) => nets.push(net),
                Err(_) => self.problem(
                    "trusted_proxies",
                    format!("`{text}` is no network: write 10.0.0.0/8, fd00::/8 or an address"),
                ),
            }
        }
        let header = match written
            .forwarded_header
            .as_deref()
            .map(str::to_ascii_lowercase)
            .as_deref()
        {
            None | Some("x-forwarded-for") => ForwardedBy::XForwardedFor,
            Some("forwarded") => ForwardedBy::Forwarded,
            Some(_) => {
                self.problem("forwarded_header", "write `X-Forwarded-For` or `Forwarded`");
                ForwardedBy::default()
            }
        };
        TrustedProxies { nets, header }
    }
}
