use super::{Envelope, Fault, Kind, read};

fn accepted(body: &str) -> Envelope<'_> {
    read(body.as_bytes()).unwrap()
}

fn refused(body: &str) -> (Fault, Option<&str>) {
    let unreadable = read(body.as_bytes()).unwrap_err();
    (unreadable.fault, unreadable.id)
}

/// A tool call whose `params` end with `members`.
fn call(members: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"t"{members}}}}}"#)
}

#[test]
fn a_tool_call_gives_name_arguments_and_task() {
    let body = call(r#", "arguments": { "a" : [1, 2.50] } ,"task":{"ttl":1}"#);
    let envelope = accepted(&body);
    assert_eq!((envelope.kind, envelope.id), (Kind::Request, Some("1")));
    let call = envelope.tool_call().unwrap().unwrap();
    assert_eq!(
        (call.name, call.arguments, call.task),
        ("t", Some(r#"{ "a" : [1, 2.50] }"#), true)
    );
}

#[test]
fn a_call_without_arguments_or_with_an_absent_task_is_a_call() {
    for members in ["", r#","task":null"#] {
        let body = call(members);
        let envelope = accepted(&body);
        let call = envelope.tool_call().unwrap().unwrap();
        assert_eq!((call.arguments, call.task), (None, false));
    }
}

#[test]
fn other_methods_are_no_tool_calls() {
    for method in ["tools/list", "Tools/Call", "tools/call ", "tools/call\\u0000"] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"name":"t"}}}}"#);
        assert!(accepted(&body).tool_call().unwrap().is_none(), "{method}");
    }
}

#[test]
fn a_malformed_tool_call_is_refused_under_its_id() {
    for (params, fault) in [
        ("", Fault::NoParams),
        (r#","params":null"#, Fault::NoParams),
        (r#","params":{}"#, Fault::ToolName),
        (r#","params":{"name":null}"#, Fault::ToolName),
        (r#","params":{"name":["t"]}"#, Fault::ToolName),
        (r#","params":{"name":"t","arguments":null}"#, Fault::ToolArguments),
        (r#","params":{"name":"t","arguments":[]}"#, Fault::ToolArguments),
        (r#","params":{"name":"t","arguments":"{}"}"#, Fault::ToolArguments),
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":"x","method":"tools/call"{params}}}"#);
        let unreadable = accepted(&body).tool_call().unwrap_err();
        assert_eq!(
            (unreadable.fault, unreadable.id),
            (fault, Some("\"x\"")),
            "{params}"
        );
        assert_eq!(unreadable.code(), -32602);
    }
}

#[test]
fn the_kind_follows_from_the_members() {
    for (body, kind) in [
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, Kind::Request),
        (
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            Kind::Notification,
        ),
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, Kind::Response),
        (
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m"}}"#,
            Kind::Response,
        ),
        (
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"m"}}"#,
            Kind::Response,
        ),
        (
            r#"{"jsonrpc":"2.0","error":{"code":1,"message":"m"}}"#,
            Kind::Response,
        ),
    ] {
        assert_eq!(accepted(body).kind, kind, "{body}");
    }
}

#[test]
fn strings_and_integers_of_any_size_are_ids_and_keep_their_bytes() {
    for id in [
        "0",
        "-7",
        "1234567890123456789012345",
        r#""""#,
        r#""a\u0062""#,
        "\"\u{e9}\"",
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","id": {id} ,"method":"ping"}}"#);
        assert_eq!(accepted(&body).id, Some(id));
    }
}

#[test]
fn other_types_are_no_ids() {
    for id in [
        "null",
        "1e999",
        "true",
        "{}",
        "[1]",
        r#""\ud800""#,
        r#"{"a":1,"a":2}"#,
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        assert_eq!(refused(&body), (Fault::Id, None), "{id}");
    }
    assert_eq!(refused(r#"{"jsonrpc":"2.0","id":null,"result":1}"#).0, Fault::Id);
    assert_eq!(refused(r#"{"jsonrpc":"2.0","result":1}"#).0, Fault::Id);
}

#[test]
fn a_number_that_is_no_integer_is_an_id_as_it_came() {
    for id in ["1.0", "1e2", "-0.50e1"] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        assert_eq!(accepted(&body).id, Some(id));
    }
}

#[test]
fn the_version_must_be_exactly_two() {
    for version in [r#""2.00""#, "2.0", "null", r#""1.0""#, r#"["2.0"]"#] {
        let body = format!(r#"{{"jsonrpc":{version},"id":1,"method":"ping"}}"#);
        assert_eq!(refused(&body), (Fault::Version, Some("1")), "{version}");
    }
    assert_eq!(
        refused(r#"{"id":1,"method":"ping"}"#),
        (Fault::Version, Some("1"))
    );
    accepted(r#"{"jsonrpc":"2\u002e0","id":1,"method":"ping"}"#);
}

#[test]
fn a_message_without_method_and_outcome_is_refused() {
    for body in [
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":null}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":["tools/call"]}"#,
    ] {
        assert_eq!(refused(body), (Fault::Method, Some("1")), "{body}");
    }
}

#[test]
fn params_that_are_no_object_are_refused_for_every_method() {
    for params in [
        "[]",
        r#"["t",{}]"#,
        "1",
        "1.5",
        "-1",
        "true",
        r#""t""#,
        r#"{"_meta":[]}"#,
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{params}}}"#);
        assert_eq!(refused(&body), (Fault::Params, Some("1")), "{params}");
    }
}

#[test]
fn the_protocol_version_is_read_from_meta() {
    let meta = |value: &str| {
        call(&format!(
            r#","_meta":{{"io.modelcontextprotocol\/protocolVersion":{value}}}"#
        ))
    };
    assert_eq!(
        accepted(&meta(r#""2026-07-28""#)).protocol_version(),
        Some("2026-07-28")
    );
    assert_eq!(accepted(&meta("20260728")).protocol_version(), None);
    assert_eq!(accepted(&call(r#","_meta":{}"#)).protocol_version(), None);
    assert_eq!(accepted(&call(r#","_meta":null"#)).protocol_version(), None);
}

#[test]
fn the_id_of_a_refused_message_is_known_where_every_reader_sees_the_same() {
    for (body, id) in [
        (r#"{"id":5,"method":"a","method":"b","jsonrpc":"2.0"}"#, Some("5")),
        (
            r#"{"jsonrpc":"2.0","method":"a","Method":"b","id":"q"}"#,
            Some("\"q\""),
        ),
        (r#"{"jsonrpc":"2.0","id":5,"id":5,"method":"a"}"#, None),
        (r#"{"jsonrpc":"2.0","id":5,"i\u0064":6,"method":"a"}"#, None),
        (r#"{"jsonrpc":"2.0","id":5,"ID":6,"method":"a"}"#, None),
        (r#"{"jsonrpc":"2.0","id":-0.50e1,"method":1}"#, Some("-0.50e1")),
        (r#"{"jsonrpc":"2.0","id":true,"method":1}"#, None),
        (r#"{"jsonrpc":"2.0","id":5,"method":"a","params":{"#, None),
        (r#"{"jsonrpc":"2.0","id":5,"method":"a"} x"#, None),
        // The id of an answer is the server's: echoed, it could end a request of the client's own.
        (r#"{"jsonrpc":"2.0","id":5,"result":{"a":1,"a":2}}"#, None),
    ] {
        assert_eq!(refused(body).1, id, "{body}");
    }
}

#[test]
fn an_object_with_many_keys_is_checked_for_duplicates_too() {
    let members: Vec<String> = (0..100).map(|n| format!(r#""k{n}":{{"same":{n}}}"#)).collect();
    let body = |extra: &str| call(&format!(r#","arguments":{{{}{extra}}}"#, members.join(",")));
    accepted(&body(""));
    for extra in [r#","k0":1"#, r#","k\u00399":1"#, r#","new":1,"new":2"#] {
        assert_eq!(refused(&body(extra)), (Fault::DuplicateKey, Some("1")), "{extra}");
    }
}

#[test]
fn equal_keys_in_different_objects_are_no_duplicates() {
    accepted(&call(
        r#","arguments":{"a":{"a":{"a":1}},"b":{"a":1},"c":[{"a":1},{"a":2}]},"_meta":{"a":1}"#,
    ));
}

#[test]
fn debug_output_and_reasons_show_nothing_of_the_arguments() {
    let body = call(r#","arguments":{"password":"hunter2"}"#);
    let envelope = accepted(&body);
    let shown = format!("{envelope:?} {:?} {:?}", envelope.params, envelope.tool_call());
    assert!(
        !shown.contains("hunter2") && !shown.contains("password"),
        "{shown}"
    );
    let refused = call(r#","arguments":{"hunter2":1,"hunter2":2}"#);
    let unreadable = read(refused.as_bytes()).unwrap_err();
    assert!(!format!("{unreadable:?} {unreadable}").contains("hunter2"));
}

#[test]
fn names_are_bounded() {
    for (length, fits) in [(1024, true), (1025, false)] {
        let name = "n".repeat(length);
        let call =
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}"}}}}"#);
        let method = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{name}"}}"#);
        for body in [call, method] {
            assert_eq!(read(body.as_bytes()).is_ok(), fits, "{length}");
            if !fits {
                assert_eq!(refused(&body), (Fault::LongName, Some("1")));
            }
        }
    }
}
