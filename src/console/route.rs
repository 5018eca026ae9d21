//! Which paths there are. `openapi.json` describes them; a test holds the two together.

use http::{Method, Uri};

use super::respond::Refusal;
use crate::approvals::State;

/// The description of all routes (OpenAPI 3.1).
pub const OPEN_API: &str = include_str!("openapi.json");

/// Every method and path, as the description writes them.
pub const ROUTES: [(&str, &str); 9] = [
    ("get", "/"),
    ("get", "/console.js"),
    ("get", "/console.css"),
    ("get", "/openapi.json"),
    ("get", "/approvals"),
    ("get", "/approvals/{id}"),
    ("post", "/approvals/{id}/approve"),
    ("post", "/approvals/{id}/deny"),
    ("get", "/events"),
];

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    Page,
    Script,
    Style,
    OpenApi,
    List(Option<State>),
    /// The text may be no id.
    One(String),
    /// Approve, or else deny.
    Decide(String, bool),
    Events,
}

/// Paths are compared byte for byte; nothing is decoded.
pub(super) fn route(method: &Method, uri: &Uri) -> Result<Route, Refusal> {
    let parts: Vec<&str> = uri.path().split('/').skip(1).collect();
    let (route, posts) = match parts.as_slice() {
        [""] => (Route::Page, false),
        ["console.js"] => (Route::Script, false),
        ["console.css"] => (Route::Style, false),
        ["openapi.json"] => (Route::OpenApi, false),
        ["events"] => (Route::Events, false),
        ["approvals"] => (Route::List(None), false),
        ["approvals", id] => (Route::One((*id).to_owned()), false),
        ["approvals", id, "approve"] => (Route::Decide((*id).to_owned(), true), true),
        ["approvals", id, "deny"] => (Route::Decide((*id).to_owned(), false), true),
        _ => return Err(Refusal::NotFound),
    };
    let allowed = if posts { Method::POST } else { Method::GET };
    if *method != allowed {
        return Err(Refusal::Method(if posts { "POST" } else { "GET" }));
    }
    match (route, uri.query()) {
        (Route::List(_), Some(query)) => state_of(query).map(|state| Route::List(Some(state))),
        (route, _) => Ok(route),
    }
}

fn state_of(query: &str) -> Result<State, Refusal> {
    let word = query.strip_prefix("state=").ok_or(Refusal::Query)?;
    State::from_word(word).ok_or(Refusal::Query)
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::{OPEN_API, ROUTES, Refusal, Route, route};
    use crate::approvals::State;

    fn to(method: &Method, target: &str) -> Result<Route, Refusal> {
        route(method, &target.parse().unwrap())
    }

    #[test]
    fn each_path_has_one_method() {
        assert_eq!(to(&Method::GET, "/"), Ok(Route::Page));
        assert_eq!(
            to(&Method::GET, "/approvals?state=pending"),
            Ok(Route::List(Some(State::Pending)))
        );
        assert_eq!(
            to(&Method::POST, "/approvals/x/deny"),
            Ok(Route::Decide("x".to_owned(), false))
        );
        assert_eq!(
            to(&Method::GET, "/approvals/x/approve"),
            Err(Refusal::Method("POST"))
        );
        assert_eq!(to(&Method::POST, "/approvals"), Err(Refusal::Method("GET")));
        for query in ["state=", "state=open", "state=pending&x", "x=y"] {
            assert_eq!(
                to(&Method::GET, &format!("/approvals?{query}")),
                Err(Refusal::Query),
                "{query}"
            );
        }
        for path in [
            "/approvals/",
            "/approvals/x/",
            "/approvals/x/approve/",
            "//",
            "/metrics",
            "/%61pprovals",
        ] {
            let found = to(&Method::GET, path);
            assert!(
                matches!(found, Err(Refusal::NotFound) | Ok(Route::One(_))),
                "{path}: {found:?}"
            );
        }
    }

    #[test]
    fn the_description_has_the_routes_and_no_others() {
        let description: serde_json::Value = serde_json::from_str(OPEN_API).unwrap();
        let mut described: Vec<(String, String)> = description["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().unwrap().keys();
                methods
                    .filter(|key| ["get", "post", "put", "delete", "patch"].contains(&key.as_str()))
                    .map(|method| (method.clone(), path.clone()))
                    .collect::<Vec<_>>()
            })
            .collect();
        let mut routes: Vec<(String, String)> = ROUTES.map(|(m, p)| (m.to_owned(), p.to_owned())).to_vec();
        described.sort();
        routes.sort();
        assert_eq!(described, routes);
        for (method, path) in ROUTES {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            assert!(to(&method, &path.replace("{id}", "x")).is_ok(), "{method} {path}");
        }
    }
}
