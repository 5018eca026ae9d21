//! Who is let in: requests to this place, from this place, with an approver's token.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};
use http::{HeaderName, Request};
use jiff::Timestamp;

use super::respond::Refusal;
use super::{Approver, Console};
use crate::grants::TokenHash;
use crate::settings::{self, is_loopback};

/// A token that is nobody's is answered after this time.
const SLOWED: Duration = Duration::from_millis(250);

/// The values of `Host` that the console answers to. Any other name that leads here was bound to this address by
/// somebody else (DNS rebinding).
pub(super) struct Hosts {
    listed: Vec<String>,
}

impl Hosts {
    pub(super) fn new(settings: &settings::Console, address: SocketAddr) -> Self {
        let url = settings.url.as_ref().and_then(|url| url.authority());
        let url = url.map(|authority| authority.as_str().to_ascii_lowercase());
        let own = [address.to_string()].into_iter().chain(url);
        Self {
            listed: own.chain(settings.hosts.iter().cloned()).collect(),
        }
    }

    /// # Errors
    /// A foreign `Host`, or an `Origin` that is not this place.
    pub(super) fn admit<B>(&self, request: &Request<B>) -> Result<(), Refusal> {
        let host = host(request).ok_or(Refusal::Host)?.to_ascii_lowercase();
        let bare = without_port(&host);
        let listed = |known: &String| *known == host || *known == bare;
        if !is_loopback(bare) && !self.listed.iter().any(listed) {
            return Err(Refusal::Host);
        }
        let Some(origin) = only(request.headers(), &ORIGIN)? else {
            return Ok(());
        };
        // what stands in front may speak TLS for the console
        let place = origin
            .strip_prefix("https://")
            .or_else(|| origin.strip_prefix("http://"));
        if place.is_some_and(|place| place.eq_ignore_ascii_case(&host)) {
            Ok(())
        } else {
            Err(Refusal::Origin)
        }
    }
}

/// `Host`, or HTTP/2's `:authority`; `None` where there is none, or several, or they differ.
fn host<B>(request: &Request<B>) -> Option<&str> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let header = hosts.next().map(|host| host.to_str().ok());
    let target = request.uri().authority().map(http::uri::Authority::as_str);
    if hosts.next().is_some() {
        return None;
    }
    match (header, target) {
        (None, target) => target,
        (Some(header), None) => header,
        (Some(header), Some(target)) => header.filter(|header| header.eq_ignore_ascii_case(target)),
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(one), None) => one.to_str().map(Some).map_err(|_| Refusal::Origin),
        _ => Err(Refusal::Origin),
    }
}

/// An approver who asks, and the hash of the token that was shown.
pub(super) struct Caller {
    pub(super) approver: Arc<Approver>,
    token: TokenHash,
}

impl Console {
    /// Whose token the request shows.
    ///
    /// # Errors
    /// None, or one that is no approver's: after a while, and counted.
    pub(super) async fn caller(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let token = bearer(headers)?;
        let found = self.approver(&token);
        let Some(approver) = found else {
            self.0.parts.recorder.metrics.console().refused_token();
            tokio::time::sleep(SLOWED).await;
            return Err(Refusal::BadToken);
        };
        Ok(Caller { approver, token })
    }

    /// The same approver as the file has it now.
    pub(super) fn still(&self, caller: &Caller) -> Option<Arc<Approver>> {
        self.approver(&caller.token)
    }

    #[expect(clippy::disallowed_methods, reason = "approvers expire by the wall clock")]
    fn approver(&self, token: &TokenHash) -> Option<Arc<Approver>> {
        let approvers = self.0.parts.approvers.load();
        approvers.find(token, Timestamp::now()).cloned()
    }
}

/// The one bearer token. A header that cannot be read is no token.
fn bearer(headers: &HeaderMap) -> Result<TokenHash, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Refusal::NoToken);
    };
    let value = value.as_bytes();
    let (scheme, token) = value.split_at_checked("Bearer ".len()).ok_or(Refusal::NoToken)?;
    if !scheme.eq_ignore_ascii_case(b"Bearer ") || token.is_empty() {
        return Err(Refusal::NoToken);
    }
    Ok(TokenHash::of(token))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::{Hosts, Refusal, bearer};
    use crate::settings;

    fn hosts() -> Hosts {
        let settings = settings::Console {
            listen: "0.0.0.0:9091".parse().unwrap(),
            hosts: vec!["approve.example".to_owned(), "other:444".to_owned()],
            url: Some("https://people.example/".parse().unwrap()),
        };
        Hosts::new(&settings, "10.0.0.7:9091".parse().unwrap())
    }

    fn admit(host: &str, origin: Option<&str>) -> Result<(), Refusal> {
        let mut request = Request::builder().uri("/").header("host", host);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        hosts().admit(&request.body(()).unwrap())
    }

    #[test]
    fn only_names_of_this_place_are_hosts() {
        for host in [
            "localhost",
            "LOCALHOST:1",
            "127.0.0.1:9091",
            "[::1]:5",
            "10.0.0.7:9091",
            "approve.example",
            "approve.example:8443",
            "other:444",
            "people.example",
        ] {
            assert_eq!(admit(host, None), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "10.0.0.7",
            "10.0.0.8:9091",
            "other",
            "localhost.evil.example",
            "",
        ] {
            assert_eq!(admit(host, None), Err(Refusal::Host), "{host}");
        }
        assert_eq!(hosts().admit(&Request::new(())), Err(Refusal::Host));
    }

    #[test]
    fn an_origin_must_be_the_host_itself() {
        assert_eq!(admit("localhost:9", Some("http://localhost:9")), Ok(()));
        assert_eq!(admit("approve.example", Some("https://approve.example")), Ok(()));
        for origin in [
            "http://localhost:8",
            "http://127.0.0.1:9",
            "null",
            "https://evil.example",
            "ftp://localhost:9",
        ] {
            assert_eq!(
                admit("localhost:9", Some(origin)),
                Err(Refusal::Origin),
                "{origin}"
            );
        }
    }

    #[test]
    fn one_bearer_token_is_wanted() {
        let of = |values: &[&str]| {
            let mut request = Request::builder();
            for value in values {
                request = request.header("authorization", *value);
            }
            bearer(request.body(()).unwrap().headers())
        };
        assert!(of(&["Bearer x"]).is_ok() && of(&["bearer x"]).is_ok());
        for values in [
            &[][..],
            &["Bearer "],
            &["Basic x"],
            &["Bearer x", "Bearer x"],
            &["Bearer"],
        ] {
            assert_eq!(of(values).unwrap_err(), Refusal::NoToken, "{values:?}");
        }
    }
}
