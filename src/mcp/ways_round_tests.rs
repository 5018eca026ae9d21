//! One test for each row of the table of ways round that concerns bodies, as real servers ran them.

use super::envelope::{Fault, Kind, Unreadable, read};

fn fault(body: &[u8]) -> Fault {
    refusal(body).fault
}

fn refusal(body: &[u8]) -> Unreadable<'_> {
    match read(body) {
        Ok(envelope) => panic!("accepted as {envelope:?}: {}", String::from_utf8_lossy(body)),
        Err(unreadable) => unreadable,
    }
}

/// A tool call with these bytes as `arguments`.
fn with_arguments(arguments: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"start_run","arguments":{arguments}}}}}"#
    )
}

#[test]
fn a_batch_is_refused() {
    for body in [
        r#"[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"start_run"}}]"#,
        "[]",
        " \r\n[1]",
    ] {
        let unreadable = refusal(body.as_bytes());
        assert_eq!(
            (unreadable.fault, unreadable.code(), unreadable.id),
            (Fault::Batch, -32600, None)
        );
    }
}

#[test]
fn a_key_given_twice_is_refused_wherever_it_stands() {
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call","params":{"name":"t"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"},"params":{"name":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/call","params":{"name":"a"}}"#,
        r#"{"jsonrpc":"2.0","jsonrpc":"2.0","id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","x":1,"x":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","x":{"y":[{"z":1,"z":1}]}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{},"arguments":{}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","_meta":{"k":1,"k":2}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","other":{"k":1,"k":2}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"k":1,"k":2}}"#,
    ] {
        assert_eq!(
            (fault(body.as_bytes()), refusal(body.as_bytes()).code()),
            (Fault::DuplicateKey, -32600),
            "{body}"
        );
    }
}

#[test]
fn a_key_given_twice_inside_arguments_is_refused_at_any_depth() {
    for arguments in [
        r#"{"amount":1,"amount":1000}"#,
        r#"{"a":{"b":{"c":1,"c":2}}}"#,
        r#"{"a":[[{"b":1},{"b":1,"b":1}]]}"#,
        r#"{"amount":1,"\u0061mount":1000}"#,
        r#"{"":1,"":2}"#,
    ] {
        assert_eq!(
            fault(with_arguments(arguments).as_bytes()),
            Fault::DuplicateKey,
            "{arguments}"
        );
    }
}

#[test]
fn escaped_keys_and_values_are_decoded_and_then_judged() {
    let body = r#"{"jsonrpc":"2.0","id":1,"m\u0065thod":"tools\/c\u0061ll","par\u0061ms":{"n\u0061me":"start\u005frun","\u0061rguments":{"a":1}}}"#;
    let envelope = read(body.as_bytes()).unwrap();
    let call = envelope.tool_call().unwrap().unwrap();
    assert_eq!((call.name, call.arguments), ("start_run", Some(r#"{"a":1}"#)));
    let twice = r#"{"jsonrpc":"2.0","id":1,"method":"ping","m\u0065thod":"tools/call"}"#;
    assert_eq!(fault(twice.as_bytes()), Fault::DuplicateKey);
}

#[test]
fn a_body_that_is_request_and_response_is_refused() {
    for member in [
        r#""result":{}"#,
        r#""error":{"code":1,"message":"m"}"#,
        r#""result":null"#,
        r#""r\u0065sult":1"#,
    ] {
        let body =
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"t"}},{member}}}"#);
        assert_eq!(
            refusal(body.as_bytes()).fault,
            Fault::RequestAndResponse,
            "{member}"
        );
        assert_eq!(refusal(body.as_bytes()).id, Some("1"));
    }
    assert_eq!(
        fault(br#"{"jsonrpc":"2.0","id":1,"result":1,"error":{}}"#),
        Fault::ResultAndError
    );
}

#[test]
fn a_body_in_another_encoding_is_told_apart() {
    let call = with_arguments("{}");
    let little: Vec<u8> = call.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = call.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let wide: Vec<u8> = call
        .chars()
        .flat_map(|letter| u32::from(letter).to_le_bytes())
        .collect();
    let marked = |mark: &[u8], body: &[u8]| [mark, body].concat();
    for body in [
        marked(b"\xef\xbb\xbf", call.as_bytes()),
        marked(b"\xff\xfe", &little),
        marked(b"\xfe\xff", &big),
        little.clone(),
        big.clone(),
        wide.clone(),
        marked(b"\xff\xfe\0\0", &wide),
    ] {
        let unreadable = refusal(&body);
        assert_eq!(
            (unreadable.fault, unreadable.code(), unreadable.id),
            (Fault::Encoded, -32700, None)
        );
    }
}

#[test]
fn bytes_that_are_not_utf8_are_refused() {
    for bad in [&b"\xff"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"\xe9"] {
        let body = [br#"{"jsonrpc":"2.0","id":1,"method":"ping","x":""#, bad, b"\"}"].concat();
        assert_eq!((fault(&body), refusal(&body).code()), (Fault::NotUtf8, -32700));
    }
}

#[test]
fn a_key_that_differs_in_case_only_is_refused() {
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"Method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","param\u017f":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","paramſ":{}}"#,
        r#"{"jsonrpc":"2.0","ID":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","re\u017fult":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","Name":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","NAM\u0045":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","argument\u017f":{}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","ta\u017f\u212a":{}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"taskId":"a","taskid":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","_META":{}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"io.modelcontextprotocol/protocolversion":"2026-07-28"}}}"#,
    ] {
        let unreadable = refusal(body.as_bytes());
        assert_eq!(
            (unreadable.fault, unreadable.code()),
            (Fault::Lookalike, -32600),
            "{body}"
        );
    }
}

#[test]
fn an_argument_key_may_have_any_case_here() {
    read(with_arguments(r#"{"Name":1,"name":2,"METHOD":3}"#).as_bytes()).unwrap();
}

#[test]
fn a_tool_call_without_an_id_is_seen_as_a_call() {
    let envelope = read(br#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"start_run"}}"#).unwrap();
    assert_eq!((envelope.kind, envelope.id), (Kind::Notification, None));
    assert_eq!(envelope.tool_call().unwrap().unwrap().name, "start_run");
}

#[test]
fn values_that_readers_disagree_on_are_refused_in_arguments() {
    for (arguments, expected) in [
        (r#"{"a":1e999}"#, Fault::NotJson),
        (r#"{"a":[{"b":-1e999}]}"#, Fault::NotJson),
        (r#"{"a":"\ud800"}"#, Fault::NotJson),
        (r#"{"a":"\udc00\ud800"}"#, Fault::NotJson),
        (r#"{"\ud800":1}"#, Fault::NotJson),
        (r#"{"a":NaN}"#, Fault::NotJson),
        (r#"{"a":Infinity}"#, Fault::NotJson),
        (r#"{"a":01}"#, Fault::NotJson),
        (r#"{"a":+1}"#, Fault::NotJson),
        (r#"{"a":1,}"#, Fault::NotJson),
        (r#"{'a':1}"#, Fault::NotJson),
        (
            r#"{"a":"
"}"#,
            Fault::NotJson,
        ),
        (r#"{"a":1/**/}"#, Fault::NotJson),
        (
            r#"{"$serde_json::private::RawValue":"{\"a\":1}"}"#,
            Fault::ReservedKey,
        ),
        (
            r#"{"a":{"$serde_json::private::Number":"1e999"}}"#,
            Fault::ReservedKey,
        ),
    ] {
        assert_eq!(
            fault(with_arguments(arguments).as_bytes()),
            expected,
            "{arguments}"
        );
    }
}

#[test]
fn the_same_values_are_refused_outside_arguments() {
    for place in [
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","x":VALUE}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":VALUE}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"x":VALUE}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"task":VALUE}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":VALUE}"#,
    ] {
        for value in ["1e999", r#""\ud800""#, "NaN", r#"{"\udfff":1}"#] {
            assert_eq!(
                fault(place.replace("VALUE", value).as_bytes()),
                Fault::NotJson,
                "{place} {value}"
            );
        }
        for value in [r#"{"a":1,"a":1}"#, r#"[{"a":{"b":1,"b":1}}]"#] {
            assert_eq!(
                fault(place.replace("VALUE", value).as_bytes()),
                Fault::DuplicateKey,
                "{place} {value}"
            );
        }
        read(
            place
                .replace("VALUE", r#"{"a":[1,"\ud83e\udd80",1e308]}"#)
                .as_bytes(),
        )
        .unwrap();
    }
}

#[test]
fn depth_5000_is_refused_and_ordinary_depth_is_not() {
    let nested = |open: &str, close: &str, depth: usize| {
        with_arguments(&format!(
            r#"{{"a":{}1{}}}"#,
            open.repeat(depth),
            close.repeat(depth)
        ))
    };
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        for depth in [124, 127, 128, 129, 5_000, 200_000] {
            let body = nested(open, close, depth);
            let unreadable = refusal(body.as_bytes());
            assert_eq!(
                (unreadable.fault, unreadable.id),
                (Fault::TooDeep, Some("1")),
                "{depth}"
            );
        }
        read(nested(open, close, 123).as_bytes()).unwrap();
    }
    let elsewhere = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"m","x":{}{}}}"#,
        "[".repeat(5_000),
        "]".repeat(5_000)
    );
    assert_eq!(fault(elsewhere.as_bytes()), Fault::TooDeep);
}

#[test]
fn numbers_of_any_precision_keep_their_bytes() {
    let arguments = r#"{"big":1234567890123456789012345,"exact":1.10,"tiny":1e-999,"minus":-0}"#;
    let body = with_arguments(arguments);
    let envelope = read(body.as_bytes()).unwrap();
    assert_eq!(envelope.tool_call().unwrap().unwrap().arguments, Some(arguments));
}

#[test]
fn anything_but_one_object_is_refused() {
    for body in [
        "",
        " ",
        "{",
        "nul",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}}",
        "{}{}",
        "{} x",
        "\u{a0}{}",
        "{\"a\":1}\0",
    ] {
        assert_eq!(
            (fault(body.as_bytes()), refusal(body.as_bytes()).code()),
            (Fault::NotJson, -32700),
            "{body}"
        );
    }
    for body in ["1", "\"tools/call\"", "null", "true"] {
        assert_eq!(
            (fault(body.as_bytes()), refusal(body.as_bytes()).code()),
            (Fault::NotAnObject, -32600),
            "{body}"
        );
    }
    read(b" \r\n\t{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\r\n").unwrap();
}

#[test]
fn a_retry_or_a_task_is_a_tool_call_like_any_other() {
    for members in [
        r#""task":{"ttl":60000}"#,
        r#""inputResponses":{"a":{}},"requestState":"forged""#,
    ] {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"start_run",{members}}}}}"#
        );
        let envelope = read(body.as_bytes()).unwrap();
        assert_eq!(
            envelope.tool_call().unwrap().unwrap().name,
            "start_run",
            "{members}"
        );
    }
}
