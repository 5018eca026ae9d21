use std::path::Path;

use super::*;
use crate::settings::load_with;

/// The problems of a file with these lines and one server.
fn problems(lines: &str) -> String {
    let folder = std::env::temp_dir();
    let path = folder.join(format!("toolgate-issuers-{:?}.yaml", std::thread::current().id()));
    let text = format!("servers: {{ s: {{ upstream: 'http://127.0.0.1:1/mcp' }} }}\n{lines}\n");
    std::fs::write(&path, text).unwrap();
    let found = load_with(&path, &BTreeMap::new()).map_or_else(|error| error.to_string(), |_| String::new());
    std::fs::remove_file(&path).unwrap();
    found
}

#[test]
fn symmetric_algorithms_and_none_can_never_be_allowed() {
    for algorithm in ["none", "HS256", "HS384", "HS512", "rs256", "ES512"] {
        let lines = format!("issuers: {{ i: {{ issuer: x, jwks: keys.json, algorithms: [{algorithm}] }} }}");
        let found = problems(&lines);
        assert!(
            found.contains(&format!("`{algorithm}` is no algorithm that can be allowed")),
            "{found}"
        );
    }
    assert_eq!(
        problems("issuers: { i: { issuer: x, jwks: keys.json, algorithms: [ES384, RS512] } }"),
        ""
    );
}

#[test]
fn keys_come_over_https_from_this_machine_or_from_a_file() {
    let with = |jwks: &str| {
        problems(&format!(
            "issuers: {{ i: {{ issuer: 'https://i.example', jwks: '{jwks}' }} }}"
        ))
    };
    for good in [
        "https://i.example/keys",
        "http://127.0.0.1:8001/keys",
        "http://[::1]/k",
        "http://localhost/k",
        "keys.json",
    ] {
        assert_eq!(with(good), "", "{good}");
    }
    for bad in [
        "http://i.example/keys",
        "ftp://i.example/keys",
        "https://u:p@i.example/keys",
        "file:///keys",
        "",
    ] {
        assert!(
            with(bad).contains("`issuers.i.jwks`: keys are fetched over https"),
            "{bad}"
        );
    }
    let found = |issuer: &str| problems(&format!("issuers: {{ i: {{ issuer: '{issuer}' }} }}"));
    assert_eq!(found("https://i.example/realm"), "");
    for bad in [
        "kubernetes/serviceaccount",
        "http://i.example",
        "https://i.example?x",
    ] {
        assert!(
            found(bad).contains("its keys cannot be found from this name: add `jwks`"),
            "{bad}"
        );
    }
    assert!(found("").contains("missing: add the exact `iss`"));
}

#[test]
fn what_issuers_servers_and_the_front_say_must_fit_together() {
    let issuer = "issuers: { i: { issuer: x, jwks: k } }";
    for (lines, wanted) in [
        (
            "issuers: { i: { issuer: x, jwks: k }, j: { issuer: x, jwks: k } }",
            "this is the issuer of `issuers.i` too",
        ),
        (
            &format!("listen: '0.0.0.0:1'\n{issuer}"),
            "`public_url`: needed with `issuers`",
        ),
        (
            "anonymous: { t: guest }",
            "`anonymous.t`: there is no server `t`; there are: s",
        ),
        (
            "issuers: { i: { issuer: x, jwks: k, audiences: y } }",
            "audiences",
        ),
    ] {
        let found = problems(lines);
        assert!(found.contains(wanted), "{lines}: {found}");
    }
    assert_eq!(
        problems(&format!(
            "listen: '0.0.0.0:1'\npublic_url: 'https://g.example'\n{issuer}"
        )),
        ""
    );
}

fn server(keys: &str, more: &str) -> String {
    let path = std::env::temp_dir().join(format!("toolgate-forward-{:?}.yaml", std::thread::current().id()));
    let text = format!("servers: {{ s: {{ upstream: 'http://127.0.0.1:1/mcp', {keys} }} }}\n{more}\n");
    std::fs::write(&path, text).unwrap();
    let env = BTreeMap::from([("T".to_owned(), "x".to_owned())]);
    let found = load_with(Path::new(&path), &env).map_or_else(|error| error.to_string(), |_| String::new());
    std::fs::remove_file(&path).unwrap();
    found
}

#[test]
fn a_token_is_passed_on_only_where_an_issuer_says_for_whom_it_is() {
    let issuer = "issuers: { i: { issuer: x, jwks: k } }";
    assert_eq!(
        server(
            "authorization: forward, resource: 'https://s.example/mcp'",
            issuer
        ),
        ""
    );
    assert_eq!(server("authorization: strip", ""), "");
    for (keys, more, wanted) in [
        (
            "authorization: forward",
            "",
            "add the `issuers` that sign such tokens",
        ),
        (
            "authorization: pass",
            issuer,
            "`pass` is not known: write `strip` or `forward`",
        ),
        (
            "authorization: forward, headers: { Authorization: { env: T } }",
            issuer,
            "`servers.s.authorization`: `headers` sets an Authorization of its own: remove one of them",
        ),
        (
            "authorization: forward, oauth: { token_url: 'https://i.example/t', client_id: c, client_secret: { env: T } }",
            issuer,
            "`servers.s.authorization`: `oauth` gets a token for the same header: remove one of them",
        ),
        (
            "resource: 'https://s.example/#x'",
            "",
            "not a resource identifier",
        ),
        ("resource: s", "", "not a resource identifier"),
        ("scopes: ['a b']", "", "a scope is a word"),
    ] {
        let found = server(keys, more);
        assert!(found.contains(wanted), "{keys}: {found}");
    }
}
