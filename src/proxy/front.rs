//! Checks that need no grant: `Host`, `Origin`, and answers to preflights.

use http::header::{self, HeaderMap, HeaderValue};
use http::{Request, Response};

use super::body::GateBody;
use super::headers;
use crate::settings::{Front, is_loopback};

/// Headers that a browser client may read from an answer.
const EXPOSED: &str =
    "Mcp-Session-Id, MCP-Protocol-Version, RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate";

/// Whether the request's `Host` is one that this gate answers to. On a loopback listener a foreign name
/// means DNS rebinding; elsewhere names are checked only where the settings list some.
pub fn host_is_ours<B>(front: &Front, request: &Request<B>) -> bool {
    let Some(host) = headers::host(request) else {
        return true;
    };
    let host = host.to_ascii_lowercase();
    let bare = without_port(&host);
    let public = front.public_url.as_ref().and_then(|url| url.authority());
    let listed = front
        .allowed_hosts
        .iter()
        .any(|allowed| *allowed == host || *allowed == bare)
        || public.is_some_and(|public| public.as_str().eq_ignore_ascii_case(&host));
    if front.listen.ip().is_loopback() {
        listed || is_loopback(bare)
    } else {
        front.allowed_hosts.is_empty() || listed
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Whether a request may come from its `Origin`: none, the gate's own, or a listed one.
pub fn origin_is_allowed<B>(front: &Front, request: &Request<B>) -> bool {
    let Some(origin) = request.headers().get(header::ORIGIN) else {
        return true;
    };
    let Ok(origin) = origin.to_str() else { return false };
    let public = front
        .public_url
        .as_ref()
        .and_then(|url| Some(format!("{}://{}", url.scheme_str()?, url.authority()?)));
    front
        .allowed_origins
        .iter()
        .any(|allowed| allowed.eq_ignore_ascii_case(origin))
        || public.is_some_and(|public| public.eq_ignore_ascii_case(origin))
        || is_own_loopback(front, request, origin)
}

/// Whether the origin is the very place that the request was sent to, on this machine. Elsewhere a rebound
/// name would be origin and host at once, so `public_url` has to say the gate's own.
fn is_own_loopback<B>(front: &Front, request: &Request<B>, origin: &str) -> bool {
    let scheme = if front.tls.is_some() {
        "https://"
    } else {
        "http://"
    };
    let (Some(host), Some(name)) = (headers::host(request), origin.strip_prefix(scheme)) else {
        return false;
    };
    front.listen.ip().is_loopback()
        && is_loopback(without_port(&host.to_ascii_lowercase()))
        && name.eq_ignore_ascii_case(host)
}

/// Adds what a browser needs to read the answer. The origin was allowed before.
pub fn add_cors(response: &mut Response<GateBody>, origin: Option<&HeaderValue>) {
    let Some(origin) = origin else { return };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(EXPOSED),
    );
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
}

/// Headers of the answer to a preflight.
pub fn preflight(asked: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("POST, GET, DELETE"),
    );
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    if let Some(wanted) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    headers
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::{host_is_ours, origin_is_allowed};
    use crate::settings::Front;

    fn front(listen: &str, hosts: &[&str], origins: &[&str]) -> Front {
        Front {
            public_url: Some("https://gate.example".parse().unwrap()),
            allowed_origins: origins.iter().map(|o| (*o).to_owned()).collect(),
            allowed_hosts: hosts.iter().map(|h| (*h).to_owned()).collect(),
            ..Front::at(listen.parse().unwrap())
        }
    }

    fn ours(front: &Front, host: &str) -> bool {
        host_is_ours(front, &Request::builder().header("host", host).body(()).unwrap())
    }

    #[test]
    fn a_loopback_listener_answers_to_loopback_names_and_listed_ones_only() {
        let front = front("127.0.0.1:8080", &["dev.internal"], &[]);
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:9",
            "[::1]:80",
            "dev.internal",
            "dev.internal:1",
            "gate.example",
        ] {
            assert!(ours(&front, host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
        ] {
            assert!(!ours(&front, host), "{host}");
        }
    }

    #[test]
    fn elsewhere_hosts_are_checked_only_where_some_are_listed() {
        assert!(ours(&front("0.0.0.0:8080", &[], &[]), "any.example"));
        assert!(!ours(&front("0.0.0.0:8080", &["a.example"], &[]), "any.example"));
    }

    #[test]
    fn a_foreign_origin_is_not_allowed() {
        let front = front("0.0.0.0:1", &[], &["http://localhost:6274"]);
        let with = |origin: &str| from(&front, "gate.example", origin);
        assert!(with("http://localhost:6274") && with("https://gate.example"));
        assert!(origin_is_allowed(&front, &Request::new(())));
        assert!(!with("http://evil.example") && !with("null") && !with("http://localhost:6275"));
    }

    fn from(front: &Front, host: &str, origin: &str) -> bool {
        let request = Request::builder().header("host", host).header("origin", origin);
        origin_is_allowed(front, &request.body(()).unwrap())
    }

    #[test]
    fn the_gate_is_no_foreign_origin_to_itself_on_loopback_alone() {
        let local = front("127.0.0.1:8080", &[], &[]);
        for (host, origin) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("localhost:8080", "http://LOCALHOST:8080"),
            ("[::1]:8080", "http://[::1]:8080"),
        ] {
            assert!(from(&local, host, origin), "{origin} at {host}");
        }
        for (host, origin) in [
            ("127.0.0.1:8080", "http://127.0.0.1:3000"),
            ("127.0.0.1:8080", "http://localhost:8080"),
            ("127.0.0.1:8080", "https://127.0.0.1:8080"),
            ("evil.example", "http://evil.example"),
            ("127.0.0.1:8080", "http://127.0.0.1:8080.evil.example"),
        ] {
            assert!(!from(&local, host, origin), "{origin} at {host}");
        }
        let shared = front("0.0.0.0:8080", &[], &[]);
        assert!(!from(&shared, "evil.example", "http://evil.example"));
        assert!(!from(&shared, "127.0.0.1:8080", "http://127.0.0.1:8080"));
    }
}
