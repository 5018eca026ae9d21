//! Ways round that stand in the body.

use super::{Do, Effect, Way, call, restore, way};
use crate::post::{Post, Target};

fn name(target: &Target) -> String {
    format!(r#""name":"{}""#, target.tools.denied)
}

/// Members that two readers find twice, or under another name.
#[expect(clippy::too_many_lines, reason = "a table of ways reads best in one piece")]
pub fn keys() -> Vec<Way> {
    use Do::Anywhere;
    vec![
        way("nothing special", Anywhere(|t| vec![call(t)])),
        way(
            "`name` twice, the last one denied",
            Anywhere(|t| {
                vec![call(t).with(r#""name":"#, &format!(r#""name":"{}","name":"#, t.tools.allowed))]
            }),
        ),
        way(
            "`method` twice",
            Anywhere(|t| vec![call(t).with(r#""method":"#, r#""method":"ping","method":"#)]),
        ),
        way(
            "`params` twice",
            Anywhere(|t| {
                let harmless = format!(
                    r#""params":{{"name":"{}","arguments":{{}}}},"params":"#,
                    t.tools.allowed
                );
                vec![call(t).with(r#""params":"#, &harmless)]
            }),
        ),
        way(
            "`id` twice, `arguments` twice",
            Anywhere(|t| {
                vec![
                    call(t).with(r#""id":5"#, r#""id":5,"id":6"#),
                    call(t).with(r#""arguments":{}"#, r#""arguments":{"a":1},"arguments":{}"#),
                    call(t).with(r#""arguments":{}"#, r#""arguments":{"a":1,"a":2}"#),
                ]
            }),
        ),
        way(
            "escaped keys and values",
            Anywhere(|t| {
                let escaped: String = t
                    .tools
                    .denied
                    .chars()
                    .map(|c| format!("\\u{:04x}", c as u32))
                    .collect();
                vec![
                    call(t)
                        .with("tools/call", r"tools\/c\u0061ll")
                        .with(&name(t), &format!(r#""n\u0061me":"{escaped}""#)),
                ]
            }),
        ),
        way(
            "keys in another case",
            Anywhere(|t| {
                vec![
                    call(t).with(r#""name":"#, &format!(r#""name":"{}","Name":"#, t.tools.allowed)),
                    call(t).with(r#""method":"#, r#""method":"ping","Method":"#),
                    call(t).with(r#""params":"#, r#""PARAMS":"#),
                    call(t).with(r#""params":"#, "\"param\u{17f}\":"),
                ]
            }),
        ),
        way(
            "keys in another case beside the plain ones",
            Anywhere(|t| {
                vec![call(t).with(r#""name":"#, &format!(r#""Name":"{}","name":"#, t.tools.allowed))]
            }),
        ),
    ]
}

/// Values that readers understand in two ways.
#[expect(clippy::too_many_lines, reason = "a table of ways reads best in one piece")]
pub fn values() -> Vec<Way> {
    use Do::Anywhere;
    vec![
        way(
            "`1e999`, `NaN`",
            Anywhere(|t| {
                ["1e999", "-1e999", "NaN", "Infinity"]
                    .map(|value| {
                        call(t).with(r#""arguments":{}"#, &format!(r#""arguments":{{"x":{value}}}"#))
                    })
                    .to_vec()
            }),
        ),
        way(
            "a lone surrogate",
            Anywhere(|t| vec![call(t).with(r#""arguments":{}"#, r#""arguments":{"x":"\ud800"}"#)]),
        ),
        way(
            "depth 5000",
            Anywhere(|t| {
                let deep = format!(r#""arguments":{{"x":{}{}}}"#, "[".repeat(5000), "]".repeat(5000));
                vec![call(t).with(r#""arguments":{}"#, &deep)]
            }),
        ),
        way(
            "the name in another spelling",
            Anywhere(|t| {
                let name = t.tools.denied;
                let upper = name.to_uppercase();
                let spellings = [
                    format!(" {name}"),
                    format!("{name} "),
                    format!("{name}\\u0000"),
                    format!("{name}\\n"),
                    format!("{name}\\u200b"),
                    format!("{name}@"),
                    format!("{name}@latest"),
                    format!("tool:{name}@"),
                    format!("tools/{name}"),
                    format!("./{name}"),
                    upper,
                    name.replace('_', "-"),
                    name.replace('_', "%5f"),
                ];
                let others = spellings.iter().filter(|other| *other != name);
                others
                    .map(|other| Post::of(t, "tools/call", "", t.call_of(other, "{}")).without("Mcp-"))
                    .map(|post| restore(t, post))
                    .collect()
            }),
        ),
        way(
            "the method in another spelling",
            Anywhere(|t| {
                [
                    "Tools/Call",
                    "tools/call ",
                    "tools/call/",
                    "tools//call",
                    "tools.call",
                    "call_tool",
                ]
                .map(|method| restore(t, call(t).without("Mcp-").with("tools/call", method)))
                .to_vec()
            }),
        ),
    ]
}

/// Messages that are more, less or something else than a request.
#[expect(clippy::too_many_lines, reason = "a table of ways reads best in one piece")]
pub fn shapes() -> Vec<Way> {
    use Do::Anywhere;
    vec![
        way(
            "a JSON-RPC batch",
            Anywhere(|t| {
                let ping = r#"{"jsonrpc":"2.0","id":6,"method":"ping"}"#;
                vec![
                    call(t).body(format!("[{}]", t.call())),
                    call(t).body(format!("[{ping},{}]", t.call())),
                ]
            }),
        ),
        way(
            "two messages in one body",
            Anywhere(|t| {
                let ping = r#"{"jsonrpc":"2.0","id":6,"method":"ping"}"#;
                ["", "\n", "\r\n", "\u{1e}", "\0"]
                    .map(|between| call(t).body(format!("{ping}{between}{}", t.call())))
                    .to_vec()
            }),
        ),
        way(
            "request and response at once",
            Anywhere(|t| {
                ["result", "error"]
                    .map(|outcome| call(t).with("{", &format!(r#"{{"{outcome}":{{}},"#)))
                    .to_vec()
            }),
        ),
        way(
            "without an id, or with `null`",
            Anywhere(|t| {
                vec![
                    call(t).with(r#""id":5,"#, ""),
                    call(t).with(r#""id":5"#, r#""id":null"#),
                ]
            }),
        ),
        way(
            "an id of another type",
            Anywhere(|t| {
                ["5.5", "true", "[]", r#"{"a":1}"#]
                    .map(|id| call(t).with(r#""id":5"#, &format!(r#""id":{id}"#)))
                    .to_vec()
            }),
        ),
        way(
            "`arguments` or `params` as a list or text",
            Anywhere(|t| {
                let list = format!(r#""params":["{}",{{}}]}}"#, t.tools.denied);
                let params = t.call().split_once(r#""params":"#).unwrap().0.to_owned();
                vec![
                    call(t).with(r#""arguments":{}"#, r#""arguments":[]"#),
                    call(t).with(r#""arguments":{}"#, r#""arguments":"{}""#),
                    call(t).body(format!("{params}{list}")),
                ]
            }),
        ),
        way(
            "JSON with a comment, or a comma too many",
            Anywhere(|t| {
                vec![
                    call(t).with(r#""params":"#, r#"/* */"params":"#),
                    call(t).with(r#""arguments":{}"#, r#""arguments":{},"#),
                ]
            }),
        ),
        way(
            "as a task",
            Anywhere(|t| vec![call(t).with(r#""arguments":{}"#, r#""arguments":{},"task":{"ttl":60000}"#)]),
        ),
        way(
            "as a retry, with `inputResponses` and `requestState`",
            Anywhere(|t| {
                let retry =
                    r#""arguments":{},"inputResponses":{"a":{"action":"accept"}},"requestState":"forged""#;
                vec![
                    call(t).with(r#""arguments":{}"#, retry),
                    call(t).with(r#""arguments":{}"#, r#""arguments":{},"requestState":"forged""#),
                ]
            }),
        ),
        Way {
            effect: Effect::Hidden,
            ..way(
                "a hidden tool, by its name",
                Anywhere(|t| {
                    vec![Post::of(
                        t,
                        "tools/call",
                        t.tools.hidden,
                        t.call_of(t.tools.hidden, "{}"),
                    )]
                }),
            )
        },
    ]
}

/// Bytes that mean something else in another encoding.
pub fn encodings() -> Vec<Way> {
    use Do::Anywhere;
    vec![
        way(
            "gzip",
            Anywhere(|t| {
                vec![
                    call(t)
                        .body(gzip(t.call().as_bytes()))
                        .header("Content-Encoding", "gzip"),
                ]
            }),
        ),
        way(
            "UTF-16",
            Anywhere(|t| {
                let wide: Vec<u8> = t.call().encode_utf16().flat_map(u16::to_le_bytes).collect();
                vec![
                    call(t)
                        .body(wide.clone())
                        .header("Content-Type", "application/json; charset=utf-16le"),
                    call(t).body(wide),
                ]
            }),
        ),
        way(
            "a byte order mark",
            Anywhere(|t| vec![call(t).body([b"\xef\xbb\xbf", t.call().as_bytes()].concat())]),
        ),
        way(
            "UTF-8 that calls itself ISO 8859-1",
            Anywhere(|t| vec![call(t).header("Content-Type", "application/json; charset=iso-8859-1")]),
        ),
        way(
            "CR and LF between the tokens",
            Anywhere(|t| {
                vec![
                    call(t).with(r#","params""#, ",\r\"params\""),
                    call(t).with(r#","params""#, ",\n\"params\""),
                ]
            }),
        ),
        way(
            "behind more blanks than the size cap",
            Anywhere(|t| vec![call(t).body(format!("{}{}", " ".repeat(5 << 20), t.call()))]),
        ),
    ]
}

/// The bytes as one stored block (RFC 1951 section 3.2.4) in a gzip member (RFC 1952).
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap();
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    out.extend(length.to_le_bytes());
    out.extend((!length).to_le_bytes());
    out.extend_from_slice(bytes);
    out.extend(crc32(bytes).to_le_bytes());
    out.extend(u32::from(length).to_le_bytes());
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            }
        })
    })
}
