use http::{HeaderMap, HeaderName, HeaderValue, Request};

use super::{BadHead, clean_answer, is_encoded, to_upstream};

fn check<B: http_body::Body>(request: &http::Request<B>) -> Result<(), BadHead> {
    super::check(request, 100)
}

fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> Request<String> {
    let mut builder = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(String::new()).unwrap()
}

fn map(headers: &[(&str, &str)]) -> HeaderMap {
    let pairs = headers.iter();
    let pairs = pairs.map(|(n, v)| {
        (
            n.parse::<HeaderName>().unwrap(),
            v.parse::<HeaderValue>().unwrap(),
        )
    });
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(name, value);
    }
    map
}

#[test]
fn doubled_headers_that_are_judged_are_refused() {
    for name in [
        "authorization",
        "host",
        "origin",
        "content-type",
        "last-event-id",
        "mcp-name",
        "mcp-param-x",
    ] {
        let request = request("POST", "/mcp", &[("host", "a"), (name, "a"), (name, "a")]);
        assert!(check(&request).is_err(), "{name}");
    }
    assert_eq!(
        check(&request(
            "POST",
            "/mcp",
            &[("host", "a"), ("accept", "x"), ("accept", "y")]
        )),
        Ok(())
    );
}

#[test]
fn ambiguous_framing_is_refused() {
    for headers in [
        &[("host", "a"), ("transfer-encoding", "gzip, chunked")][..],
        &[
            ("host", "a"),
            ("transfer-encoding", "chunked"),
            ("transfer-encoding", "chunked"),
        ],
        &[
            ("host", "a"),
            ("transfer-encoding", "chunked"),
            ("content-length", "3"),
        ],
    ] {
        assert!(check(&request("POST", "/mcp", headers)).is_err(), "{headers:?}");
    }
    assert_eq!(
        check(&request(
            "POST",
            "/mcp",
            &[("host", "a"), ("transfer-encoding", "Chunked")]
        )),
        Ok(())
    );
}

#[test]
fn connection_may_not_name_a_judged_header() {
    for token in ["Mcp-Name", "authorization", "close, Content-Type", "HOST"] {
        assert!(
            check(&request("POST", "/mcp", &[("host", "a"), ("connection", token)])).is_err(),
            "{token}"
        );
    }
    let upgrade = [
        ("host", "a"),
        ("connection", "Upgrade, HTTP2-Settings"),
        ("upgrade", "h2c"),
    ];
    assert_eq!(check(&request("POST", "/mcp", &upgrade)), Ok(()));
}

#[test]
fn host_and_target_must_agree() {
    assert!(check(&request("POST", "http://b/mcp", &[("host", "a")])).is_err());
    assert_eq!(check(&request("POST", "http://a/mcp", &[("host", "A")])), Ok(()));
    assert!(check(&request("POST", "/mcp", &[])).is_err());
}

#[test]
fn a_body_on_get_or_delete_is_refused_and_length_zero_is_none() {
    for method in ["GET", "DELETE"] {
        assert!(
            check(&request(
                method,
                "/mcp",
                &[("host", "a"), ("content-length", "2")]
            ))
            .is_err()
        );
        assert!(
            check(&request(
                method,
                "/mcp",
                &[("host", "a"), ("transfer-encoding", "chunked")]
            ))
            .is_err()
        );
        assert_eq!(
            check(&request(
                method,
                "/mcp",
                &[("host", "a"), ("content-length", "0")]
            )),
            Ok(())
        );
    }
}

#[test]
fn encodings_and_other_charsets_are_seen() {
    for (name, value) in [
        ("content-encoding", "gzip"),
        ("content-type", "application/json; charset=utf-16"),
        ("content-type", "application/json;CHARSET = \"iso-8859-1\""),
        ("content-type", "application/json; charset"),
        ("content-type", "application/json; charset=utf-8; charset=utf-16"),
    ] {
        assert!(is_encoded(&map(&[(name, value)])), "{name}: {value}");
    }
    for value in [
        "application/json",
        "APPLICATION/JSON; charset=UTF-8",
        "text/plain; x=application/json",
    ] {
        assert!(!is_encoded(&map(&[("content-type", value)])), "{value}");
    }
}

#[test]
fn credentials_hop_by_hop_and_misleading_headers_do_not_pass() {
    let dropped = [
        "authorization",
        "cookie",
        "connection",
        "x-drop",
        "keep-alive",
        "te",
        "upgrade",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-original-url",
        "x-rewrite-url",
        "x-http-method-override",
        "x-toolgate-grant",
        "mcp_name",
        "proxy-authorization",
        "expect",
        "transfer-encoding",
        "content-length",
        "last-event-id",
        "mcp-session-id",
    ];
    let mut headers: Vec<(&str, &str)> = dropped.iter().map(|name| (*name, "x-drop")).collect();
    let passed = [
        "mcp-protocol-version",
        "mcp-param-region",
        "x-unknown",
        "traceparent",
        "content-type",
        "accept",
    ];
    headers.extend(passed.iter().map(|name| (*name, "v")));
    let out = to_upstream(&map(&headers), None);
    for name in dropped {
        assert!(!out.contains_key(name), "{name} passed");
    }
    for name in passed {
        assert_eq!(out[name], "v", "{name} did not pass");
    }
    assert_eq!(out["accept-encoding"], "identity");
}

#[test]
fn a_verified_session_brings_its_own_id_and_the_last_event_id() {
    let out = to_upstream(
        &map(&[("last-event-id", "7"), ("mcp-session-id", "abc.sig")]),
        Some("abc"),
    );
    assert_eq!(
        (&out["mcp-session-id"], &out["last-event-id"]),
        (&"abc".parse().unwrap(), &"7".parse().unwrap())
    );
}

#[test]
fn an_answer_brings_back_no_cookie_location_or_other_way_in() {
    let mut headers = map(&[
        ("set-cookie", "a=b"),
        ("location", "/x"),
        ("alt-svc", "h3=\":1\""),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("mcp-extra", "kept"),
        ("content-type", "application/json"),
    ]);
    clean_answer(&mut headers);
    let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-type", "mcp-extra"]);
}
