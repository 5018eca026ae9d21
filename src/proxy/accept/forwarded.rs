//! On whose behalf a trusted proxy asks. Counts for limits per peer, and for nothing else.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};

use crate::settings::{ForwardedBy, TrustedProxies};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client that a request by way of trusted proxies comes from: the last address that is none of theirs. `None`
/// where the peer is not trusted, or they name no address.
pub(super) fn client_of(proxies: &TrustedProxies, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
    if !proxies.trusts(peer) {
        return None;
    }
    let (name, read): (_, fn(&str) -> Option<IpAddr>) = match proxies.header {
        ForwardedBy::XForwardedFor => (X_FORWARDED_FOR, address),
        ForwardedBy::Forwarded => (FORWARDED, forwarded),
    };
    let mut hops = Vec::new();
    for line in headers.get_all(name) {
        hops.extend(line.to_str().ok()?.split(','));
    }
    for hop in hops.into_iter().rev() {
        // what stands before an entry that cannot be read was written by nobody that is trusted
        let client = read(hop.trim())?.to_canonical();
        if !proxies.trusts(client) {
            return Some(client);
        }
    }
    None
}

/// `for=` of one element of RFC 7239 section 4.
fn forwarded(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, node) = pairs.find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
    address(node.trim_matches('"'))
}

/// An address, with or without a port and the brackets of IPv6.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    bare.parse()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::client_of;
    use crate::settings::{ForwardedBy, TrustedProxies};

    fn client(by: ForwardedBy, peer: &str, lines: &[(&'static str, &str)]) -> Option<String> {
        let nets = vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let mut headers = HeaderMap::new();
        for (name, line) in lines {
            headers.append(*name, line.parse().unwrap());
        }
        let proxies = TrustedProxies::new(nets, by);
        client_of(&proxies, peer.parse().unwrap(), &headers).map(|client| client.to_string())
    }

    #[test]
    fn the_last_address_that_is_no_proxys_is_the_client() {
        let xff = |line: &str| {
            client(
                ForwardedBy::XForwardedFor,
                "10.0.0.1",
                &[("x-forwarded-for", line)],
            )
        };
        assert_eq!(xff("6.6.6.6, 192.0.2.7, 10.9.9.9").as_deref(), Some("192.0.2.7"));
        assert_eq!(xff("192.0.2.7:4711").as_deref(), Some("192.0.2.7"));
        assert_eq!(xff("[2001:db8::1]:80").as_deref(), Some("2001:db8::1"));
        assert_eq!(xff("::ffff:192.0.2.7").as_deref(), Some("192.0.2.7"));
        for nobody in ["", "10.1.1.1", "6.6.6.6, unknown", "6.6.6.6, _hidden", "6.6.6.6,"] {
            assert_eq!(xff(nobody), None, "{nobody}");
        }
    }

    #[test]
    fn lines_are_one_list_and_only_the_chosen_header_is_read() {
        let lines = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "192.0.2.7")];
        let by = ForwardedBy::XForwardedFor;
        assert_eq!(client(by, "10.0.0.1", &lines).as_deref(), Some("192.0.2.7"));
        let other = [("forwarded", "for=6.6.6.6")];
        assert_eq!(client(by, "10.0.0.1", &other), None);
    }

    #[test]
    fn forwarded_is_read_as_rfc_7239_writes_it() {
        let by = |line: &str| client(ForwardedBy::Forwarded, "fd00::1", &[("forwarded", line)]);
        let line = r#"for=6.6.6.6, For="[2001:db8:cafe::17]:4711";proto=https;by=10.0.0.3, for=10.0.0.1"#;
        assert_eq!(by(line).as_deref(), Some("2001:db8:cafe::17"));
        for nobody in ["for=unknown", "for=_gazonk", "proto=http", "for=\"\""] {
            assert_eq!(by(nobody), None, "{nobody}");
        }
    }

    #[test]
    fn a_stranger_speaks_for_nobody() {
        let lines = [("x-forwarded-for", "192.0.2.7")];
        assert_eq!(client(ForwardedBy::XForwardedFor, "192.0.2.1", &lines), None);
    }
}
