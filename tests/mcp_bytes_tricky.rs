//! Bodies that mean one thing to one reader and another to the next, in one table.

use toolgate::mcp::envelope::{Fault, read};

/// Bodies that got a tool to run on real servers behind a proxy that read otherwise.
const TRICKY: [(&str, Option<Fault>); 22] = [
    (
        r#"{"jsonrpc":"2.0","id":1,"m\u0065thod":"tools\/call","params":{"name":"t"}}"#,
        None,
    ),
    (
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"n":1234567890123456789012345}}}"#,
        None,
    ),
    (
        r#"{"jsonrpc":"2.0","id":1234567890123456789012345,"method":"tools/call","params":{"name":"t"}}"#,
        None,
    ),
    (
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","futureField":[{"x":null}]},"other":1}"#,
        None,
    ),
    (
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"Name":1,"name":2}}}"#,
        None,
    ),
    (
        r#"[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}]"#,
        Some(Fault::Batch),
    ),
    (
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","m\u0065thod":"tools/call"}"#,
        Some(Fault::DuplicateKey),
    ),
    (
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","n\u0061me":"b"}}"#,
        Some(Fault::DuplicateKey),
    ),
    (
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":{"y":{"z":1,"z":2}}}}}"#,
        Some(Fault::DuplicateKey),
    ),
    (
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":[{"z":1,"\u007a":2}]}}}"#,
        Some(Fault::DuplicateKey),
    ),
    (
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}"#,
        Some(Fault::Lookalike),
    ),
    (
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","param\u017f":{"name":"t"}}"#,
        Some(Fault::Lookalike),
    ),
    (
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","argument\u017f":{}}}"#,
        Some(Fault::Lookalike),
    ),
    (
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"},"result":{}}"#,
        Some(Fault::RequestAndResponse),
    ),
    (
        r#"{"jsonrpc":"2.0","id":null,"method":"tools/call","params":{"name":"t"}}"#,
        Some(Fault::Id),
    ),
    (
        r#"{"jsonrpc":"2.0","id":1.0,"method":"tools/call","params":{"name":"t"}}"#,
        None,
    ),
    (
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["t",{}]}"#,
        Some(Fault::Params),
    ),
    (r#"["2.0",1,"tools/call",{"name":"t"}]"#, Some(Fault::Batch)),
    (
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"n":1e999}}}"#,
        Some(Fault::NotJson),
    ),
    (
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"s":"\udc00"}}}"#,
        Some(Fault::NotJson),
    ),
    (
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"n":NaN}}}"#,
        Some(Fault::NotJson),
    ),
    (
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}{"x":1}"#,
        Some(Fault::NotJson),
    ),
];

#[test]
fn tricky_bodies_are_read_strictly() {
    for (body, fault) in TRICKY {
        let read = read(body.as_bytes());
        assert_eq!(
            read.as_ref().err().map(|unreadable| unreadable.fault),
            fault,
            "{body}"
        );
        if let Ok(envelope) = read {
            assert_eq!(envelope.tool_call().unwrap().unwrap().name, "t", "{body}");
        }
    }
}

#[test]
fn a_body_5000_deep_is_refused() {
    for (open, close) in [("[", "]"), (r#"{"k":"#, "}")] {
        let deep = format!("{}1{}", open.repeat(5_000), close.repeat(5_000));
        for place in [
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"a":DEEP}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","_meta":{"a":DEEP}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","x":DEEP}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":DEEP}"#,
        ] {
            let body = place.replace("DEEP", &deep);
            assert_eq!(
                read(body.as_bytes()).unwrap_err().fault,
                Fault::TooDeep,
                "{place}"
            );
        }
    }
}

#[test]
fn a_megabyte_of_keys_takes_linear_time() {
    let members: Vec<String> = (0..200_000).map(|n| format!("\"{n}\":1")).collect();
    let arguments = members.join(",");
    let body = |tail: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"t","arguments":{{{arguments}{tail}}}}}}}"#
        )
    };
    // 2·10¹⁰ comparisons if it were quadratic: the test would not end within minutes.
    read(body("").as_bytes()).unwrap();
    assert_eq!(
        read(body(",\"777\":2").as_bytes()).unwrap_err().fault,
        Fault::DuplicateKey
    );
}
