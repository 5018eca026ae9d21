//! Ways round that stand in the headers, in the framing, or in the path.

use super::{Do, Way, call, restore, way};
use crate::post::Post;

/// Headers that say something else than the body.
#[expect(clippy::too_many_lines, reason = "a table of ways reads best in one piece")]
pub fn heads() -> Vec<Way> {
    use Do::{Anywhere, Http};
    vec![
        way(
            "lying `Mcp-Method` and `Mcp-Name`",
            Http(|t| {
                vec![
                    call(t)
                        .header("Mcp-Method", "ping")
                        .header("Mcp-Name", t.tools.allowed),
                    call(t).header("Mcp-Name", t.tools.allowed),
                ]
            }),
        ),
        way(
            "without `Mcp-Method`, `Mcp-Name` and a version",
            Http(|t| {
                vec![
                    restore(t, call(t).without("Mcp-")),
                    call(t).without("MCP-Protocol-Version"),
                ]
            }),
        ),
        way(
            "another version in the header",
            Http(|t| {
                [
                    "2024-11-05",
                    "2025-03-26",
                    "2025-06-18",
                    "2026-07-28",
                    "2099-01-01",
                ]
                .map(|version| call(t).header("MCP-Protocol-Version", version))
                .to_vec()
            }),
        ),
        way(
            "another content type that names JSON",
            Anywhere(|t| {
                ["text/plain; x=application/json", "application/jsonx", "text/json"]
                    .map(|kind| call(t).header("Content-Type", kind))
                    .to_vec()
            }),
        ),
        way(
            "a content type in capitals",
            Anywhere(|t| vec![call(t).header("Content-Type", "APPLICATION/JSON")]),
        ),
        way(
            "no content type, or one of a form",
            Anywhere(|t| {
                vec![
                    call(t).without("Content-Type"),
                    call(t).header("Content-Type", "application/x-www-form-urlencoded"),
                ]
            }),
        ),
        way(
            "another method, also by `X-HTTP-Method-Override`",
            Http(|t| {
                ["PUT", "PATCH", "GET", "QUERY"]
                    .map(|method| {
                        let post = Post { method, ..call(t) };
                        let length = post.body.len().to_string();
                        post.header("X-HTTP-Method-Override", "POST")
                            .header("Content-Length", &length)
                    })
                    .to_vec()
            }),
        ),
    ]
}

/// One connection, and what a reader takes for its requests.
#[expect(clippy::too_many_lines, reason = "a table of ways reads best in one piece")]
pub fn framings() -> Vec<Way> {
    use Do::Http;
    vec![
        way(
            "in chunks",
            Http(|t| {
                vec![Post {
                    chunked: true,
                    ..call(t)
                }]
            }),
        ),
        way(
            "pipelined behind an allowed call",
            Http(|t| {
                let allowed = Post::of(
                    t,
                    "tools/call",
                    t.tools.allowed,
                    t.call_of(t.tools.allowed, r#"{"message":"x"}"#),
                );
                vec![Post {
                    close: false,
                    behind: call(t).bytes(),
                    ..allowed
                }]
            }),
        ),
        way(
            "with an `Upgrade` to h2c or a web socket",
            Http(|t| {
                let upgraded = |to: &str| {
                    let post = call(t)
                        .header("Upgrade", to)
                        .header("Connection", "Upgrade, HTTP2-Settings");
                    Post {
                        close: false,
                        ..post.header("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA")
                    }
                };
                vec![upgraded("h2c"), upgraded("websocket")]
            }),
        ),
        way(
            "behind a GET that upgrades",
            Http(|t| {
                let get = Post {
                    method: "GET",
                    close: false,
                    body: Vec::new(),
                    ..call(t)
                };
                let get = get.header("Upgrade", "websocket").header("Connection", "Upgrade");
                let get = get
                    .header("Sec-WebSocket-Version", "13")
                    .header("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==");
                vec![Post {
                    behind: call(t).bytes(),
                    ..get
                }]
            }),
        ),
        way(
            "behind a body with two lengths",
            Http(|t| {
                let hidden = call(t).bytes();
                let ping = r#"{"jsonrpc":"2.0","id":6,"method":"ping"}"#;
                let framed = |coding: &str| {
                    let length = format!("{:x}", ping.len());
                    let chunks = format!("{length}\r\n{ping}\r\n0\r\n\r\n");
                    let body = [chunks.as_bytes(), &hidden].concat();
                    let length = body.len().to_string();
                    let post = Post {
                        close: false,
                        ..call(t).body(body)
                    };
                    post.header("Transfer-Encoding", coding)
                        .header("Content-Length", &length)
                };
                vec![framed("chunked"), framed("xchunked"), framed("identity, chunked")]
            }),
        ),
    ]
}

/// Other spellings of the server's path.
pub fn paths() -> Vec<Way> {
    use Do::Http;
    vec![
        way(
            "a path in capitals",
            Http(|t| vec![call(t).path(t.path.to_uppercase())]),
        ),
        way(
            "a slash at the end of the path",
            Http(|t| vec![call(t).path(format!("{}/", t.path))]),
        ),
        way(
            "an escaped letter in the path",
            Http(|t| vec![call(t).path(t.path.replacen('m', "%6d", 1))]),
        ),
        way(
            "dot segments, slashes and semicolons in the path",
            Http(|t| {
                let path = &t.path;
                vec![
                    call(t).path(format!("/x/..{path}")),
                    call(t).path(format!("/{path}")),
                    call(t).path(format!("/.{path}")),
                    call(t).path(format!("{path};x")),
                    call(t).path(format!("/x/..%2f{}", path.trim_start_matches('/'))),
                ]
            }),
        ),
        way(
            "a query",
            Http(|t| {
                vec![
                    call(t).path(format!("{}?x=/../mcp", t.path)),
                    call(t).path(format!("{}?_method=POST", t.path)),
                ]
            }),
        ),
        way(
            "an absolute target of another host",
            Http(|t| vec![call(t).path(format!("http://localhost:1{}", t.path))]),
        ),
    ]
}
