//! The starter policy: sound, without a warning, and nothing that a server says can add to it.

use proptest::prelude::*;
use serde_json::json;
use toolgate::mcp::tools::recorded;
use toolgate::policy::{Held, load};
use toolgate::scan::{Class, Classed, classify, limit_of, starter};

use crate::labelled::servers;

/// Loads the starter policy as `toolgate check --strict` does, and holds it against what was classed.
fn check(server: Option<&str>, version: Option<&str>, classed: &[Classed]) {
    let starter = starter(server, version, classed);
    let text = &starter.text;
    let loaded = load("starter", "starter.yaml", text);
    let loaded = loaded.unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
    assert!(loaded.warnings.is_empty(), "{:?}\n{text}", loaded.warnings);
    assert!(text.is_ascii() && !text.contains('\r'));
    let (policy, mut named) = (loaded.policy, 0);
    let names = policy.named_tools();
    for name in &names {
        let class = classed
            .iter()
            .filter(|tool| tool.name == *name)
            .map(|tool| tool.class)
            .max();
        let Some(class) = class else {
            panic!("{name:?} is no tool of the server\n{text}");
        };
        let held = match limit_of(class) {
            Some((counter, _)) => Held::Counted([counter].into()),
            None if class == Class::Financial => Held::Asked,
            None => Held::Hidden,
        };
        assert_eq!(policy.held(name), held, "{name:?}\n{text}");
        named += 1;
    }
    let mut all: Vec<&str> = classed.iter().map(|tool| tool.name.as_str()).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(named + starter.left_out.len(), all.len(), "{text}");
    assert_eq!(policy.held("another tool"), Held::Unnamed);
}

#[test]
fn the_starter_policies_of_all_recorded_servers_are_sound() {
    for server in servers() {
        let classed = classify(server.called.as_deref(), &server.tools);
        check(server.called.as_deref(), Some(&server.version), &classed);
        let starter = starter(None, None, &classed);
        assert!(
            starter.left_out.is_empty(),
            "{}: {:?}",
            server.name,
            starter.left_out
        );
    }
}

#[test]
fn each_line_says_why_and_the_lines_are_in_order() {
    let tools = json!({ "tools": [
        { "name": "b.run_script" }, { "name": "pay" }, { "name": "a_get" }, { "name": "delete" }, { "name": "set" }
    ]});
    let classed = classify(None, &recorded(&tools.to_string()).unwrap());
    let text = starter(Some("shop"), Some("1.2"), &classed).text;
    let rule = |name: &str, counter: &str, max: u64, why: &str| {
        format!(
            "  {name}: {{ limits: [{{ counter: {counter}, window: minute, max: {max}, scope: grant }}] }} # {why}"
        )
    };
    let expected = [
        "version: \"1\"".to_owned(),
        "default: deny # a tool that is named nowhere, and one that comes later".to_owned(),
        "hide: # destructive; to allow one, name it under `tools` instead".to_owned(),
        "  - delete # destructive, high: its name says `delete`".to_owned(),
        "tools:".to_owned(),
        rule("a_get", "reads", 60, "read, low: its name says `get`"),
        rule(
            "b.run_script",
            "executions",
            10,
            "execute, high: its name says `run`",
        ),
        "  pay: { action: require_approval } # financial, high: its name says `pay`".to_owned(),
        rule("set", "writes", 30, "write, medium: its name says `set`"),
    ];
    let rules: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(rules, expected, "{text}");
    assert!(
        text.starts_with("# Starter policy for shop 1.2: 5 tools"),
        "{text}"
    );
}

#[test]
fn names_that_no_policy_can_hold_are_told_and_left_out() {
    let long = "x".repeat(2_000);
    let names = [
        "a b",
        "tick`s",
        "glob*",
        "one?",
        "list[0]",
        "new\nline",
        "",
        "zero\u{200b}width",
        &long,
    ];
    let definitions: Vec<_> = names.iter().map(|name| json!({ "name": name })).collect();
    let classed = classify(
        None,
        &recorded(&json!({ "tools": definitions }).to_string()).unwrap(),
    );
    check(None, None, &classed);
    let starter = starter(None, None, &classed);
    assert_eq!(starter.left_out.len(), names.len(), "{:?}", starter.left_out);
    assert!(
        starter
            .text
            .contains("# Left out, since its name holds a blank: a b\n"),
        "{}",
        starter.text
    );
    assert!(starter.text.contains("tools: {}"));
}

/// What would be a rule, or the end of a comment, where it was not escaped.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "\n",
        "\r",
        "\u{85}",
        "\u{2028}",
        "\u{2029}",
        "\u{0}",
        "\u{feff}",
        "\u{202e}",
        "\"",
        "'",
        "\\",
        "#",
        " #",
        ": ",
        "- ",
        "{}",
        "[]",
        "&a",
        "*a",
        "!!str",
        "? ",
        "|",
        ">",
        "%YAML",
        "---",
        "\n...",
        "\n  evil: {}",
        "\nhide: []",
        "delete",
        "pay",
        "get",
        "run",
        "_",
        "é",
        "💥",
        "\u{fffe}",
        "true",
        "null",
        "0x1",
        "1e3",
        ".inf",
        "~",
        "<<",
        "=",
        ",",
        "`",
        "/",
        "a",
    ]);
    prop::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn nothing_that_a_server_says_gets_into_its_policy_but_names(
        tools in prop::collection::vec((hostile(), hostile(), hostile()), 0..6),
        server in hostile(),
        version in any::<String>(),
        any_name in any::<String>(),
    ) {
        let mut definitions: Vec<_> = tools
            .iter()
            .map(|(name, description, field)| json!({
                "name": name,
                "description": description,
                "inputSchema": { "properties": { field.as_str(): { "type": "string", "enum": [field] } } },
            }))
            .collect();
        definitions.push(json!({ "name": any_name, "description": any_name }));
        let listed = recorded(&json!({ "tools": definitions }).to_string()).unwrap();
        check(Some(&server), Some(&version), &classify(Some(&server), &listed));
    }
}
