//! The page and what it is made of, from the binary.

use http::Response;

use super::body::ConsoleBody;
use super::respond::whole;
use super::route::{OPEN_API, Route};

const PAGE: &str = include_str!("page/index.html");
const SCRIPT: &str = include_str!("page/console.js");
/// The looks of the status page, and what only this page has.
const STYLE: &str = concat!(
    include_str!("../admin/status.css"),
    include_str!("page/console.css")
);

/// The part that a route names; `None`: it names none, and wants a token.
pub(super) fn part(route: &Route) -> Option<Response<ConsoleBody>> {
    let (kind, text) = match route {
        Route::Page => ("text/html; charset=utf-8", PAGE),
        Route::Script => ("text/javascript; charset=utf-8", SCRIPT),
        Route::Style => ("text/css; charset=utf-8", STYLE),
        Route::OpenApi => ("application/json", OPEN_API),
        _ => return None,
    };
    Some(whole(kind, text))
}
