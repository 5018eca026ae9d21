//! The ways round the gate that one line of a stdio client can try, each to run `files/write`.

/// Each way round the gate that a line can try, with the code it is answered with (0: no answer).
#[expect(clippy::too_many_lines, reason = "a table")]
pub fn lines() -> Vec<(&'static str, Vec<u8>, i64)> {
    let call = |more: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"files/write"{more}}}}}"#)
    };
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        ("a batch", text(&format!("[{}]", call(""))), -32600),
        (
            "the method twice",
            text(
                r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call","params":{"name":"files/write"}}"#,
            ),
            -32600,
        ),
        (
            "the name twice",
            text(
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","name":"files/write"}}"#,
            ),
            -32600,
        ),
        (
            "the arguments' key twice",
            text(&call(r#","arguments":{"a":1,"a":2}"#)),
            -32600,
        ),
        (
            "an escaped name",
            text(r#"{"jsonrpc":"2.0","id":1,"method":"tools\/call","params":{"n\u0061me":"files\/write"}}"#),
            0,
        ),
        (
            "a request that is also a response",
            text(
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"files/write"},"result":{}}"#,
            ),
            -32600,
        ),
        (
            "a key in another case",
            text(
                r#"{"jsonrpc":"2.0","id":1,"Method":"tools/call","method":"ping","params":{"name":"files/write"}}"#,
            ),
            -32600,
        ),
        (
            "a call inside a message, behind a bare CR",
            text(&format!(
                "{{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"ping\",\"params\":{{\"a\":\r{}\r}}}}",
                call("")
            )),
            -32600,
        ),
        (
            "a byte order mark",
            [&b"\xef\xbb\xbf"[..], call("").as_bytes()].concat(),
            -32700,
        ),
        ("no UTF-8", [call("").as_bytes(), b"\xff"].concat(), -32700),
        (
            "UTF-16",
            call("").encode_utf16().flat_map(u16::to_le_bytes).collect(),
            -32700,
        ),
        (
            "a number beyond a double",
            text(&call(r#","arguments":{"a":1e999}"#)),
            -32600,
        ),
        (
            "a lone surrogate",
            text(&call(r#","arguments":{"a":"\ud800"}"#)),
            -32700,
        ),
        (
            "great depth",
            text(&call(&format!(
                r#","arguments":{{"a":{}{}}}"#,
                "[".repeat(5000),
                "]".repeat(5000)
            ))),
            -32600,
        ),
    ]
}
