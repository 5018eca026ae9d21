use super::{EventScout, Scout};

fn found(message: &str) -> bool {
    let whole = Scout::default().push(message.as_bytes());
    let mut scout = Scout::default();
    let pieces = message.as_bytes().chunks(1).any(|byte| scout.push(byte));
    assert_eq!(whole, pieces, "pieces say another thing: {message}");
    whole
}

fn found_in_events(stream: &str) -> bool {
    let whole = EventScout::default().push(stream.as_bytes());
    let mut scout = EventScout::default();
    let pieces = stream.as_bytes().chunks(1).any(|byte| scout.push(byte));
    assert_eq!(whole, pieces, "pieces say another thing: {stream}");
    whole
}

#[test]
fn a_list_is_found_wherever_a_client_would_read_one() {
    for message in [
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}"#,
        r#"{"result":{"_meta":{"a":[{"x":"}"}]},"tools":[{"name":"a"}]},"id":1}"#,
        r#" { "r\u0065sult" : { "too\u006cs" : [ ] } } "#,
        r#"{"Result":{"TOOLS":[]}}"#,
        "{\"re\u{17f}ult\":{\"tool\u{17f}\":[]}}",
        r#"[{"method":"x"},{"id":1,"result":{"tools":[]}}]"#,
        r#"{"result":{"status":"completed","result":{"tools":[]}}}"#,
        r#"{"method":"notifications/tasks","params":{"result":{"tools":[]}}}"#,
        r#"{"result":{"x":NaN,"tools":[]}}"#,
        r#"{"a":"\\","result":{"tools":null}}"#,
    ] {
        assert!(found(message), "{message}");
    }
}

#[test]
fn answers_that_hold_no_list_pass() {
    for message in [
        r#"{"id":1,"result":{"content":[{"type":"text","text":"\"tools\":[]"}]}}"#,
        r#"{"id":1,"result":{"structuredContent":{"tools":[]},"_meta":{"tools":1}}}"#,
        r#"{"id":1,"result":{"content":[{"result":{"tools":[]}}]}}"#,
        r#"{"method":"sampling/createMessage","params":{"tools":[{"name":"a"}]}}"#,
        r#"{"id":1,"result":{"capabilities":{"tools":{}},"protocolVersion":"2025-11-25"}}"#,
        r#"{"id":1,"result":{"a":"tools"}}"#,
        r#"{"id":1,"result":["tools",{"tools":1}]}"#,
        r#"{"tools":[]}"#,
        "plain text",
        "",
    ] {
        assert!(!found(message), "{message}");
    }
}

#[test]
fn a_list_in_an_event_is_found_however_its_lines_end() {
    for end in ["\n", "\r\n", "\r"] {
        for stream in [
            r#"data: {"id":1,"result":{"tools":[]}}||"#,
            r#"event: message|id: 7|data:{"id":1,"result":|data:{"tools":[]}}||"#,
            r#": hello||data: {"method":"x"}||data: {"result":{"tools":1}}"#,
        ] {
            let stream = stream.replace('|', end);
            assert!(found_in_events(&stream), "{stream:?}");
        }
    }
    assert!(found_in_events("\u{feff}data: {\"result\":{\"tools\":[]}}\n\n"));
}

#[test]
fn events_are_messages_of_their_own() {
    for stream in [
        "data: {\"result\":{\n\ndata: \"tools\":[]}}\n\n",
        "data: {\"id\":1,\"result\":{\"content\":[]}}\n\n: {\"result\":{\"tools\":[]}}\n\n",
        "id: {\"result\":{\"tools\":[]}}\n\ndatax: {\"result\":{\"tools\":[]}}\n\n",
    ] {
        assert!(!found_in_events(stream), "{stream:?}");
    }
}

#[test]
fn depth_and_length_cost_no_memory() {
    let mut scout = Scout::default();
    assert!(!scout.push(br#"{"id":1,"result":{"content":"#));
    for _ in 0..1_000 {
        assert!(!scout.push(&[b'['; 1_000]));
    }
    assert!(scout.open.len() <= 3);
    let key = format!("\"{}", "x".repeat(100_000));
    let mut scout = Scout::default();
    scout.push(b"{");
    scout.push(key.as_bytes());
    assert!(scout.key.len() < 100);
}
