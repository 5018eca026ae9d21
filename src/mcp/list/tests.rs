use super::{Filtered, Unfilterable, filter_tools};

fn filter(message: &str, modern: bool, hidden: &[&str]) -> Result<Filtered, Unfilterable> {
    filter_tools(message.as_bytes(), modern, |name| !hidden.contains(&name))
}

/// The message as it is passed on.
fn passed(message: &str, hidden: &[&str]) -> String {
    match filter(message, false, hidden).unwrap().body {
        Some(body) => String::from_utf8(body).unwrap(),
        None => message.to_owned(),
    }
}

fn answer(tools: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":{tools}}}}}"#)
}

#[test]
fn an_entry_goes_with_the_comma_that_belongs_to_it() {
    let list = r#"[ {"name":"a"} , {"name":"b"} , {"name":"c"} ]"#;
    for (hidden, left) in [
        (&["a"][..], r#"[ {"name":"b"} , {"name":"c"} ]"#),
        (&["b"], r#"[ {"name":"a"} , {"name":"c"} ]"#),
        (&["c"], r#"[ {"name":"a"} , {"name":"b"} ]"#),
        (&["a", "b"], r#"[ {"name":"c"} ]"#),
        (&["b", "c"], r#"[ {"name":"a"} ]"#),
        (&["a", "c"], r#"[ {"name":"b"} ]"#),
        (&["a", "b", "c"], "[  ]"),
        (&[], list),
    ] {
        assert_eq!(passed(&answer(list), hidden), answer(left), "{hidden:?}");
    }
}

#[test]
fn everything_else_stays_byte_for_byte() {
    let message = "{ \"result\" : {\"nextCursor\":\"x\\u0061\",\"_meta\":{\"n\":1.10,\"n\":1e999},\n \"tools\":[{\"inputSchema\":{\"maximum\":12345678901234567890123},\"name\":\"keep\"},\r\n{\"name\":\"go\"}], \"z\":\"\\ud800\"},\"id\" : 1.0,\"jsonrpc\":\"2.0\"} ";
    assert_eq!(
        passed(message, &["go"]),
        message.replace(",\r\n{\"name\":\"go\"}", "")
    );
}

#[test]
fn a_list_without_hidden_tools_is_unchanged_and_its_names_are_told() {
    let filtered = filter(&answer(r#"[{"name":"a"},{"n\u0061me":"b\u0063"}]"#), true, &[]).unwrap();
    assert_eq!(
        filtered,
        Filtered {
            body: None,
            names: vec!["a".to_owned(), "bc".to_owned()]
        }
    );
    assert_eq!(filter(&answer("[]"), true, &[]).unwrap(), Filtered::default());
}

#[test]
fn names_are_told_before_filtering() {
    let filtered = filter(&answer(r#"[{"name":"a"},{"name":"b"}]"#), false, &["a", "b"]).unwrap();
    assert_eq!(filtered.names, ["a", "b"]);
}

#[test]
fn escaped_keys_and_names_are_decoded_first() {
    let message = r#"{"re\u0073ult":{"t\u006fols":[{"n\u0061me":"h\u0069dden"},{"name":"a"}]}}"#;
    assert_eq!(
        passed(message, &["hidden"]),
        r#"{"re\u0073ult":{"t\u006fols":[{"name":"a"}]}}"#
    );
}

#[test]
fn a_message_without_a_list_of_tools_is_unchanged() {
    for message in [
        "",
        " \r\n",
        "{}",
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":null}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":[{"tools":[]}]}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"capabilities":{"tools":{}},"ttlMs":1,"ttlMs":2}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"tools"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{"tools":[{"name":"hidden"}]}}"#,
        "[]",
        r#"[{"id":1,"result":{}},{"method":"ping","id":2}]"#,
    ] {
        assert_eq!(
            filter(message, true, &["hidden"]),
            Ok(Filtered::default()),
            "{message}"
        );
    }
}

#[test]
fn an_entry_whose_name_cannot_be_read_is_removed() {
    for entry in [
        "{}",
        "5",
        "null",
        r#""a""#,
        r#"["a"]"#,
        r#"{"name":5}"#,
        r#"{"name":null}"#,
        r#"{"name":"\ud800"}"#,
        r#"{"name":"a","name":"a"}"#,
        r#"{"name":"a","n\u0061me":"hidden"}"#,
        r#"{"name":"a","Name":"hidden"}"#,
    ] {
        let message = answer(&format!(r#"[{{"name":"a"}},{entry}]"#));
        assert_eq!(
            passed(&message, &["hidden"]),
            answer(r#"[{"name":"a"}]"#),
            "{entry}"
        );
    }
}

#[test]
fn a_message_that_can_be_read_in_two_ways_is_not_passed_on() {
    for (message, error) in [
        (
            r#"{"result":{"tools":[]},"result":{"tools":[{"name":"hidden"}]}}"#,
            Unfilterable::Unclear("result"),
        ),
        (
            r#"{"result":{},"Result":{"tools":[{"name":"hidden"}]}}"#,
            Unfilterable::Unclear("result"),
        ),
        (
            r#"{"re\u017fult":{"tools":[{"name":"hidden"}]}}"#,
            Unfilterable::Unclear("result"),
        ),
        (
            r#"{"result":{"tools":[],"tools":[{"name":"hidden"}]}}"#,
            Unfilterable::Unclear("tools"),
        ),
        (
            r#"{"result":{"tools":[],"TOOLS":[{"name":"hidden"}]}}"#,
            Unfilterable::Unclear("tools"),
        ),
        (r#"{"result":{"tools":{"hidden":{}}}}"#, Unfilterable::NotAList),
        (r#"{"result":{"tools":null}}"#, Unfilterable::NotAList),
        (r#"{"result":{"tools":"[]"}}"#, Unfilterable::NotAList),
        (
            r#"[[{"result":{"tools":[{"name":"hidden"}]}}]]"#,
            Unfilterable::NotAMessage,
        ),
        (r#"[{"result":{}},7]"#, Unfilterable::NotAMessage),
        ("7", Unfilterable::NotAMessage),
        ("/message?sessionId=1", Unfilterable::NotJson),
        (
            r#"{"result":{"tools":[{"name":"hidden"}]}"#,
            Unfilterable::NotJson,
        ),
        (
            r#"{"result":{"tools":[{"name":"hidden"},NaN]}}"#,
            Unfilterable::NotJson,
        ),
        (r#"{"result":{"tools":[]}} {}"#, Unfilterable::NotJson),
        (
            "\u{feff}{\"result\":{\"tools\":[{\"name\":\"hidden\"}]}}",
            Unfilterable::NotJson,
        ),
    ] {
        assert_eq!(filter(message, false, &["hidden"]), Err(error), "{message}");
    }
    let latin = b"{\"result\":{\"tools\":[{\"name\":\"hidden\",\"title\":\"\xe9\"}]}}";
    assert_eq!(filter_tools(latin, false, |_| true), Err(Unfilterable::NotJson));
}

#[test]
fn each_answer_of_a_legacy_batch_is_filtered() {
    let message = r#" [{"id":1,"result":{"tools":[{"name":"a"},{"name":"hidden"}]}}, {"id":2,"result":{"tools":[{"name":"hidden"}]}}]"#;
    let left = r#" [{"id":1,"result":{"tools":[{"name":"a"}]}}, {"id":2,"result":{"tools":[]}}]"#;
    assert_eq!(passed(message, &["hidden"]), left);
}

#[test]
fn a_filtered_modern_list_is_private_and_short_lived() {
    for (before, after) in [
        (
            r#""cacheScope":"public","ttlMs":60000"#,
            r#""cacheScope":"private","ttlMs":1000"#,
        ),
        (
            r#""cacheScope":"private","ttlMs":1000"#,
            r#""cacheScope":"private","ttlMs":1000"#,
        ),
        (
            r#""cacheScope":"private","ttlMs":0"#,
            r#""cacheScope":"private","ttlMs":0"#,
        ),
        (
            r#""c\u0061cheScope":null,"ttlMs":1e3"#,
            r#""c\u0061cheScope":"private","ttlMs":1000"#,
        ),
        (
            r#""cacheScope":"public","ttlMs":-1"#,
            r#""cacheScope":"private","ttlMs":1000"#,
        ),
    ] {
        let message = |hints: &str, rest: &str| {
            format!(
                r#"{{"id":1,"result":{{"resultType":"complete",{hints},"tools":[{{"name":"a"}}{rest}]}}}}"#
            )
        };
        let whole = message(before, r#",{"name":"hidden"}"#);
        let body = filter(&whole, true, &["hidden"]).unwrap().body.unwrap();
        assert_eq!(String::from_utf8(body).unwrap(), message(after, ""));
        assert_eq!(
            passed(&whole, &["hidden"]),
            message(before, ""),
            "a legacy list has no hints"
        );
    }
}

#[test]
fn missing_hints_are_put_in() {
    let message = answer(r#"[{"name":"hidden"}]"#);
    let body = filter(&message, true, &["hidden"]).unwrap().body.unwrap();
    let expected = r#"{"jsonrpc":"2.0","id":1,"result":{"cacheScope":"private","ttlMs":1000,"tools":[]}}"#;
    assert_eq!(String::from_utf8(body).unwrap(), expected);
    let half = r#"{"result":{ "tools":[{"name":"hidden"}],"ttlMs":9999}}"#;
    let body = filter(half, true, &["hidden"]).unwrap().body.unwrap();
    let expected = r#"{"result":{"cacheScope":"private", "tools":[],"ttlMs":1000}}"#;
    assert_eq!(String::from_utf8(body).unwrap(), expected);
}

#[test]
fn doubled_hints_are_not_passed_on() {
    for hints in [
        r#""ttlMs":1,"ttlMs":9"#,
        r#""cacheScope":"private","CacheScope":"public""#,
    ] {
        let message = format!(r#"{{"result":{{{hints},"tools":[{{"name":"hidden"}}]}}}}"#);
        assert!(
            matches!(filter(&message, true, &["hidden"]), Err(Unfilterable::Unclear(_))),
            "{hints}"
        );
    }
}

#[test]
fn a_list_within_what_a_task_says_is_filtered() {
    for (around, behind) in [
        (
            r#"{"jsonrpc":"2.0","id":1,"result":{"taskId":"t","status":"completed","result":"#,
            "}}",
        ),
        (
            r#"{"jsonrpc":"2.0","method":"notifications/tasks","params":{"taskId":"t","result":"#,
            "}}",
        ),
        (
            r#"[{"jsonrpc":"2.0","id":1,"result":{"result":{"result":"#,
            "}}}]",
        ),
    ] {
        let message = format!(r#"{around}{{"tools":[{{"name":"a"}},{{"name":"b"}}]}}{behind}"#);
        let expected = format!(r#"{around}{{"tools":[{{"name":"b"}}]}}{behind}"#);
        let filtered = filter_tools(message.as_bytes(), false, |name| name == "b").unwrap();
        assert_eq!(String::from_utf8(filtered.body.unwrap()).unwrap(), expected);
        assert_eq!(filtered.names, ["a", "b"]);
    }
}
