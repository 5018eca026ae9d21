use serde_json::{Value, json};

use super::{Decision, error, list_changed, tool_error, unknown_tool};

const LIMITED: Decision<'_> = Decision {
    outcome: "limited",
    rule: "/tools/start_run/limits/start_run_rate",
    retry_after_ms: Some(42_000),
    id: "d-1",
    approval: None,
};

fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn a_tool_error_has_the_shape_that_every_client_reads() {
    let answer = tool_error("7", "[POLICY DENIED] start_run: wait", &LIMITED, false);
    let expected = json!({"jsonrpc": "2.0", "id": 7, "result": {
        "content": [{"type": "text", "text": "[POLICY DENIED] start_run: wait"}],
        "isError": true,
        "_meta": {"toolgate/decision": {
            "outcome": "limited", "rule": "/tools/start_run/limits/start_run_rate",
            "retryAfterMs": 42_000, "executed": false, "id": "d-1",
        }},
    }});
    assert_eq!(parsed(&answer), expected);
}

#[test]
fn a_modern_result_says_first_that_it_is_complete() {
    let answer = tool_error("7", "no", &LIMITED, true);
    let start = br#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"complete","content""#;
    assert!(answer.starts_with(start));
    assert!(
        parsed(&tool_error("7", "no", &LIMITED, false))["result"]
            .get("resultType")
            .is_none()
    );
}

#[test]
fn a_refusal_without_a_retry_time_leaves_it_out() {
    let decision = Decision {
        retry_after_ms: None,
        ..LIMITED
    };
    let answer = parsed(&tool_error("1", "no", &decision, true));
    let told = answer["result"]["_meta"]["toolgate/decision"]
        .as_object()
        .unwrap();
    let keys: Vec<&str> = told.keys().map(String::as_str).collect();
    assert_eq!(keys, ["executed", "id", "outcome", "rule"]);
}

#[test]
fn the_id_is_carried_byte_for_byte() {
    for id in [
        "1",
        "-0",
        "123456789012345678901234567890",
        r#""a\u0062\/\"c""#,
        "\"\u{1f980}\"",
    ] {
        let decision = LIMITED;
        for answer in [
            tool_error(id, "t", &decision, true),
            error(Some(id), -32600, "m", Some(&decision)),
            unknown_tool(id, "x"),
        ] {
            parsed(&answer);
            let text = String::from_utf8(answer).unwrap();
            assert!(
                text.starts_with(&format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},")),
                "{text}"
            );
        }
    }
}

#[test]
fn an_unknown_id_is_left_out_and_never_null() {
    let answer = error(None, -32700, "the body is not valid JSON", None);
    assert_eq!(
        answer,
        br#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"the body is not valid JSON"}}"#
    );
}

#[test]
fn an_error_tells_rule_and_retry_time_in_data() {
    let answer = parsed(&error(Some("\"a\""), 429, "limited", Some(&LIMITED)));
    assert_eq!(answer["error"]["code"], 429);
    assert_eq!(answer["error"]["data"]["rule"], LIMITED.rule);
    assert_eq!(answer["error"]["data"]["retryAfterMs"], 42_000);
    assert_eq!(answer["error"]["data"]["executed"], false);
}

#[test]
fn a_hidden_tool_is_unknown_and_says_no_more() {
    let answer = unknown_tool("3", "drop_\"all\"");
    assert_eq!(
        String::from_utf8(answer).unwrap(),
        r#"{"jsonrpc":"2.0","id":3,"error":{"code":-32602,"message":"Unknown tool: drop_\"all\""}}"#
    );
}

#[test]
fn text_from_elsewhere_cannot_leave_its_string() {
    let text = "a\"},\n\u{0}\u{2028}\\ {\"result\":1}";
    let answer = parsed(&tool_error("1", text, &LIMITED, true));
    assert_eq!(answer["result"]["content"][0]["text"], text);
    assert_eq!(answer.as_object().unwrap().len(), 3);
}

#[test]
fn a_list_change_carries_its_subscription_on_a_listen_stream() {
    assert_eq!(
        list_changed(None),
        br#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#
    );
    let listening = parsed(&list_changed(Some("\"sub\"")));
    assert_eq!(
        listening["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"],
        "sub"
    );
}
