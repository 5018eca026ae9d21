//! Which server a request is for. Targets are compared byte for byte; nothing is decoded or normalised.

use http::{Method, Request};

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
pub enum Route<'a> {
    Server(&'a str),
    /// Nothing is there; the sentence says what was meant.
    NotFound(String),
    /// The path is right, the method is not.
    WrongMethod,
}

/// Finds the server of a target among the configured names.
pub fn route<'a, B>(request: &Request<B>, servers: impl Iterator<Item = &'a str> + Clone) -> Route<'a> {
    let Some(name) = server(request.uri().path(), servers.clone()) else {
        return Route::NotFound(hint(request.uri().path(), servers));
    };
    match *request.method() {
        Method::POST | Method::GET | Method::DELETE | Method::OPTIONS => Route::Server(name),
        _ => Route::WrongMethod,
    }
}

/// The server of a path, `/mcp/SERVER` or the only one's `/mcp`.
pub fn server<'a>(path: &str, mut servers: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    if path == "/mcp" {
        let only = servers.next()?;
        return servers.next().is_none().then_some(only);
    }
    let wanted = path.strip_prefix("/mcp/")?;
    servers.find(|name| *name == wanted)
}

/// What was probably meant: other letter case, a slash too many, or `/mcp/s/NAME` forms of other products.
/// Names of servers are told only where the path already holds one.
fn hint<'a>(path: &str, mut servers: impl Iterator<Item = &'a str> + Clone) -> String {
    let lower = path.to_ascii_lowercase();
    let mut parts = lower.split('/').filter(|part| !part.is_empty());
    let last = parts.next_back().unwrap_or_default();
    if let Some(name) = servers.find(|name| name.eq_ignore_ascii_case(last)) {
        return format!("no such path: did you mean `/mcp/{name}`?");
    }
    if lower.trim_matches('/') == "mcp" {
        return "no such path: write `/mcp/SERVER`, without a slash at the end".to_owned();
    }
    "no such path: MCP servers are at `/mcp/SERVER`".to_owned()
}

#[cfg(test)]
mod tests {
    use http::{Method, Request};

    use super::{Route, route};

    fn to(method: &Method, path: &str, servers: &'static [&'static str]) -> Route<'static> {
        let request = Request::builder().method(method).uri(path).body(()).unwrap();
        route(&request, servers.iter().copied())
    }

    #[test]
    fn a_server_is_found_by_its_exact_path() {
        assert_eq!(to(&Method::POST, "/mcp/a", &["a", "b"]), Route::Server("a"));
        assert_eq!(to(&Method::GET, "/mcp/b?x=1", &["a", "b"]), Route::Server("b"));
    }

    #[test]
    fn the_plain_path_is_the_only_servers() {
        assert_eq!(to(&Method::POST, "/mcp", &["a"]), Route::Server("a"));
        assert!(matches!(
            to(&Method::POST, "/mcp", &["a", "b"]),
            Route::NotFound(_)
        ));
        assert!(matches!(to(&Method::POST, "/mcp", &[]), Route::NotFound(_)));
    }

    #[test]
    fn every_other_spelling_is_not_found() {
        let spellings = [
            "/MCP/a",
            "/mcp/a/",
            "/mcp//a",
            "/mcp/%61",
            "/%6dcp/a",
            "/mcp/a/../admin",
            "/mcp/a;x",
            "/mcp/A",
            "/mcp/a%2f",
            "//mcp/a",
            "/mcp/a/message",
            "/",
            "/mcp/",
            "/message?sessionId=1",
            "/mcp\\a",
        ];
        for path in spellings {
            let Ok(request) = Request::builder().method(Method::POST).uri(path).body(()) else {
                continue;
            };
            let found = route(&request, ["a"].into_iter());
            assert!(matches!(found, Route::NotFound(_)), "{path}: {found:?}");
        }
    }

    #[test]
    fn a_near_miss_says_what_was_meant() {
        for path in ["/mcp/a/", "/mcp/s/a", "/MCP/A", "/a"] {
            let Route::NotFound(hint) = to(&Method::POST, path, &["a"]) else {
                panic!("{path}")
            };
            assert!(hint.contains("`/mcp/a`"), "{path}: {hint}");
        }
    }

    #[test]
    fn other_methods_are_refused_on_a_right_path() {
        assert_eq!(to(&Method::PUT, "/mcp/a", &["a"]), Route::WrongMethod);
        assert_eq!(to(&Method::HEAD, "/mcp/a", &["a"]), Route::WrongMethod);
    }
}
