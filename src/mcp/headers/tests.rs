use data_encoding::BASE64;

use super::{agree, is_modern, name_header};
use crate::mcp::envelope::read;

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"start_run",
    "_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;

/// The header that was refused, or `None` where all agree.
fn refused(
    body: &str,
    method: Option<&str>,
    name: Option<&str>,
    version: Option<&str>,
) -> Option<&'static str> {
    let envelope = read(body.as_bytes()).unwrap();
    let [method, name, version] = [method, name, version].map(|value| value.map(str::as_bytes));
    agree(&envelope, method, name, version)
        .err()
        .map(|mismatch| mismatch.header)
}

#[test]
fn headers_that_say_what_the_body_says_pass() {
    assert_eq!(
        refused(CALL, Some("tools/call"), Some("start_run"), Some("2026-07-28")),
        None
    );
}

#[test]
fn absent_headers_pass() {
    assert_eq!(refused(CALL, None, None, None), None);
}

#[test]
fn a_header_that_differs_is_refused() {
    assert_eq!(refused(CALL, Some("tools/list"), None, None), Some("Mcp-Method"));
    assert_eq!(refused(CALL, Some("Tools/call"), None, None), Some("Mcp-Method"));
    assert_eq!(refused(CALL, None, Some("echo"), None), Some("Mcp-Name"));
    assert_eq!(refused(CALL, None, Some("start_run "), None), Some("Mcp-Name"));
    assert_eq!(
        refused(CALL, None, None, Some("2025-11-25")),
        Some("MCP-Protocol-Version")
    );
}

#[test]
fn a_name_in_base64_is_decoded_first() {
    assert_eq!(refused(CALL, None, Some("=?base64?c3RhcnRfcnVu?="), None), None);
    assert_eq!(
        refused(CALL, None, Some("=?base64?ZWNobw==?="), None),
        Some("Mcp-Name")
    );
}

#[test]
fn the_base64_markers_are_case_sensitive_and_what_is_inside_must_be_base64() {
    for name in [
        "=?BASE64?c3RhcnRfcnVu?=",
        "=?base64?c3RhcnRfcnV?=",
        "=?base64?",
        "=?base64?=",
        "=?base64??=",
    ] {
        assert_eq!(refused(CALL, None, Some(name), None), Some("Mcp-Name"), "{name}");
    }
}

#[test]
fn a_name_that_looks_encoded_must_come_encoded() {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"=?base64?ZWNobw==?="}}"#;
    assert_eq!(
        refused(body, None, Some("=?base64?ZWNobw==?="), None),
        Some("Mcp-Name")
    );
    let encoded = format!("=?base64?{}?=", BASE64.encode(b"=?base64?ZWNobw==?="));
    assert_eq!(refused(body, None, Some(&encoded), None), None);
}

#[test]
fn each_method_mirrors_its_own_member() {
    let body = |method: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"name":"n","uri":"u","taskId":"t"}}}}"#
        )
    };
    for (method, name) in [
        ("tools/call", "n"),
        ("prompts/get", "n"),
        ("resources/read", "u"),
        ("tasks/get", "t"),
        ("tasks/result", "t"),
    ] {
        assert_eq!(refused(&body(method), None, Some(name), None), None, "{method}");
        assert_eq!(
            refused(&body(method), None, Some("other"), None),
            Some("Mcp-Name"),
            "{method}"
        );
    }
    assert_eq!(refused(&body("ping"), None, Some("other"), None), None);
}

#[test]
fn a_header_that_mirrors_a_missing_member_is_refused() {
    for params in ["", r#","params":{}"#, r#","params":{"name":5}"#] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call"{params}}}"#);
        assert_eq!(refused(&body, None, Some(""), None), Some("Mcp-Name"), "{params}");
    }
    let response = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    assert_eq!(
        refused(response, Some("tools/call"), None, None),
        Some("Mcp-Method")
    );
}

#[test]
fn a_legacy_body_names_no_version_and_any_header_passes() {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    assert_eq!(refused(body, None, None, Some("2025-11-25")), None);
}

#[test]
fn modern_is_july_2026_or_later() {
    for version in ["2026-07-28", "2026-07-29", "2027-01-01", "9999-12-31"] {
        assert!(is_modern(version), "{version}");
    }
    for version in [
        "2026-07-27",
        "2025-11-25",
        "",
        "draft",
        "2026-7-280",
        "2026/07/28",
        "2026-07-28 ",
        "DRAFT-2026",
    ] {
        assert!(!is_modern(version), "{version}");
    }
}

#[test]
fn header_or_body_makes_a_request_modern() {
    let modern = read(CALL.as_bytes()).unwrap();
    assert!(modern.is_modern(None));
    let legacy = read(br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#).unwrap();
    assert!(!legacy.is_modern(None));
    assert!(!legacy.is_modern(Some(b"2025-11-25")));
    assert!(!legacy.is_modern(Some(b"\xff026-07-28")));
    assert!(legacy.is_modern(Some(b"2026-07-28")));
}

#[test]
fn the_header_that_is_written_agrees_with_the_body_whatever_the_name() {
    for name in [
        "start_run",
        "größe",
        " padded ",
        "=?base64?eA==?=",
        "tab\there",
        "a\nb",
        "",
    ] {
        let body = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": name } });
        let body = body.to_string();
        let header = name_header(&read(body.as_bytes()).unwrap()).unwrap();
        assert!(
            header.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
            "{header}"
        );
        assert_eq!(refused(&body, None, Some(&header), None), None, "{name}");
    }
    let ping = read(br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).unwrap();
    assert_eq!(name_header(&ping), None);
}
