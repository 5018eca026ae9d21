use super::*;

fn converted(text: &str) -> Converted {
    convert("old.yaml", text)
        .map_err(|problems| format!("{problems:#?}"))
        .unwrap()
}

/// The lines of the new policy that are no comments, without the version.
fn lines(text: &str) -> Vec<String> {
    let yaml = converted(text).yaml;
    let lines = yaml.lines().map(str::trim_end);
    lines
        .filter(|line| !line.trim_start().starts_with('#') && !line.starts_with("version"))
        .map(str::to_owned)
        .collect()
}

fn notes(text: &str) -> Vec<String> {
    converted(text)
        .notes
        .iter()
        .map(|note| format!("{}: {}", note.line, note.message))
        .collect()
}

fn faults(text: &str) -> Vec<String> {
    let problems = convert("old.yaml", text).unwrap_err();
    problems
        .iter()
        .map(|problem| format!("{}:{}: {}", problem.line, problem.column, problem.message))
        .collect()
}

fn rules(rules: &str) -> String {
    format!("version: \"1\"\ntools:\n  t:\n    rules:\n{rules}")
}

#[test]
fn the_frame_of_a_policy_stays_as_it_is() {
    let old = "version: \"1\"\ndescription: ours\ndefault: deny\nhide: [a, \"*\"]\ntools:\n  b: { rules: [] }\n  c:\n";
    assert_eq!(
        lines(old),
        [
            "default: deny",
            "hide:",
            "  - \"a\"",
            "  - \"*\"",
            "tools:",
            "  \"b\": {}",
            "  \"c\": {}"
        ]
    );
    assert!(converted(old).yaml.contains("\n# ours\n"));
    // What is left out means `allow` there.
    assert_eq!(lines("version: 1\n"), ["default: allow", "tools: {}"]);
}

#[test]
fn a_denied_tool_is_denied_and_its_other_rules_are_told_to_be_in_vain() {
    let old = rules(
        "      - { name: slow, rate_limit: 5/hour }\n      - { name: never, action: deny, on_deny: \"no: never\" }\n",
    );
    assert_eq!(
        lines(&old),
        [
            "default: allow",
            "tools:",
            "  \"t\":",
            "    action: deny",
            "    reason: \"no: never\""
        ]
    );
    assert_eq!(notes(&old), ["5: `slow` is left out: the tool is denied anyway"]);
}

#[test]
fn a_rate_limit_keeps_its_calendar_window_and_its_words() {
    let old = rules("      - { name: r, rate_limit: 5/hour, on_deny: enough }\n");
    assert_eq!(
        lines(&old)[3..],
        [
            "    limits:",
            "      - { counter: \"t:_rate_hour\", window: hour, max: 5, mode: calendar, scope: server, on_deny: \"enough\" }"
        ]
    );
}

#[test]
fn rules_for_all_tools_apply_to_every_call() {
    let old = "version: \"1\"\ntools:\n  \"*\":\n    rules:\n      - { name: a, rate_limit: 60/minute }\n      - { name: b, action: deny }\n";
    assert_eq!(
        lines(old),
        [
            "default: allow",
            "all_tools:",
            "  deny_if:",
            "    - { conditions: [] }",
            "  limits:",
            "    - { counter: \"all:_rate_minute\", window: minute, max: 60, mode: calendar, scope: server }",
            "tools: {}"
        ]
    );
}

#[test]
fn conditions_on_arguments_are_required_and_null_is_no_value() {
    let old = rules(
        "      - name: r
        on_deny: no
        conditions:
          - { path: args.a.b, op: lte, value: 5 }
          - { path: args.c, op: exists, value: true }
          - { path: args.d, op: exists, value: false }
          - { path: \"args.e[0]\", op: in, value: [\"x\", 1, null] }
          - { path: args.f, op: not_in, value: [] }
",
    );
    assert_eq!(
        lines(&old)[3..],
        [
            "    require:",
            "      - { conditions: [{ path: \"args.a.b\", op: lte, value: 5 }, { path: \"args.c\", op: neq, value: null }, { path: \"args.d\", op: exists, value: false }, { path: \"args[\\\"e[0]\\\"]\", op: in, value: [\"x\", 1, null] }, { path: \"args.f\", op: exists }], on_deny: \"no\" }"
        ]
    );
    assert_eq!(
        notes(&old),
        [
            "10: `args.d`: `null` is a value here, so it is refused",
            "11: `args.e[0]`: brackets are part of a key there, and of a path here"
        ]
    );
}

#[test]
fn a_counter_with_a_bound_becomes_a_limit() {
    let old = rules(
        "      - name: r
        conditions:
          - { path: state.t.spend, op: lt, value: 100 }
          - { path: args.amount, op: gt, value: 0 }
        state: { counter: spend, window: day, increment_from: args.amount }
      - name: s
        conditions: [{ path: state.t.n, op: lte, value: 10 }]
        state: { counter: n, window: minute, increment: 3 }
",
    );
    assert_eq!(
        lines(&old)[3..],
        [
            "    require:",
            "      - { conditions: [{ path: \"args.amount\", op: gt, value: 0 }] }",
            "    limits:",
            "      - { counter: \"t:spend\", window: day, max: 99, mode: calendar, scope: server, increment_from: \"args.amount\" }",
            "      - { counter: \"t:n\", window: minute, max: 10, mode: calendar, scope: server, weight: 3 }"
        ]
    );
}

#[test]
fn a_tool_may_hold_a_counter_of_all_tools_to_less() {
    let old = "version: \"1\"
tools:
  t: { rules: [{ name: r, conditions: [{ path: state._global.n, op: lte, value: 3 }] }] }
  \"*\": { rules: [{ name: s, conditions: [{ path: state._global.n, op: lte, value: 9 }], state: { counter: n, window: hour } }] }
";
    let limits: Vec<String> = lines(old)
        .into_iter()
        .filter(|line| line.contains("counter"))
        .collect();
    assert_eq!(limits.len(), 2, "{limits:?}");
    assert!(
        limits[0].contains("\"all:n\", window: hour, max: 9")
            && limits[1].contains("\"all:n\", window: hour, max: 3")
    );
}

#[test]
fn what_no_limit_can_say_refuses_every_call_and_is_noted() {
    for (rule, why) in [
        (
            "{ name: r, conditions: [{ path: state.t.n, op: gt, value: 1 }], state: { counter: n, window: hour } }",
            "a limit is `lt` or `lte`, not `gt`",
        ),
        (
            "{ name: r, conditions: [{ path: state.u.n, op: lte, value: 1 }] }",
            "it looks at a counter that another tool charges",
        ),
        (
            "{ name: r, conditions: [{ path: state.t.n, op: lte, value: 2 }], state: { counter: n, window: hour, increment: 3 } }",
            "each call counts more than its limit",
        ),
        (
            "{ name: r, conditions: [{ path: state.t.n, op: lt, value: 1 }], state: { counter: n, window: hour } }",
            "each call counts more than its limit",
        ),
        (
            "{ name: r, conditions: [{ path: args.x, op: in, value: [] }] }",
            "no value is in an empty list",
        ),
    ] {
        let old = format!(
            "version: \"1\"\ntools:\n  t: {{ rules: [{rule}] }}\n  u: {{ rules: [{{ name: s, conditions: [{{ path: state.u.n, op: lte, value: 9 }}], state: {{ counter: n, window: day }} }}] }}\n"
        );
        let notes = notes(&old);
        assert!(
            notes
                .iter()
                .any(|note| note.contains(why) && note.ends_with("so every call is refused")),
            "{rule}: {notes:?}"
        );
        let lines = lines(&old);
        assert_eq!(
            lines[2..5],
            ["  \"t\":", "    deny_if:", "      - { conditions: [] }"],
            "{rule}"
        );
    }
}

#[test]
fn a_counter_without_a_bound_is_left_out_and_noted() {
    let old = rules(
        "      - { name: r, conditions: [{ path: args.x, op: eq, value: 1 }], state: { counter: n, window: hour } }\n",
    );
    assert_eq!(
        notes(&old),
        ["5: `r`: nothing limits the counter `n`, so it is left out"]
    );
    assert!(!lines(&old).iter().any(|line| line.contains("limits")));
}

#[test]
fn counters_of_two_tools_never_become_one() {
    let rule = |counter: &str| {
        format!(
            "{{ rules: [{{ name: r, conditions: [{{ path: \"state.X\", op: lte, value: 5 }}], state: {{ counter: \"{counter}\", window: hour }} }}] }}"
        )
    };
    let old = format!(
        "version: \"1\"\ntools:\n  a: {}\n  a:b: {}\n",
        rule("b:c").replace("state.X", "state.a.b:c"),
        rule("c").replace("state.X", "state.a:b.c"),
    );
    let limits: Vec<String> = lines(&old)
        .into_iter()
        .filter(|line| line.contains("counter"))
        .collect();
    assert!(
        limits[0].contains("\"a:b:c\"") && limits[1].contains("\"a:b:c~2\""),
        "{limits:?}"
    );
}

#[test]
fn what_cannot_be_read_is_told_with_its_place_and_all_of_it() {
    let old = "version: \"2\"
defualt: deny
tools:
  \"get_*\": { rules: [] }
  t:
    rules:
      - { name: a }
      - { name: b, rate_limit: 0/hour }
      - { name: c, action: ask }
      - { name: d, conditions: [{ path: args.x, op: like, value: 1 }, { path: x, op: eq, value: 1 }, { op: eq }] }
      - { name: e, conditions: [{ path: args.x, op: lt, value: ten }] }
      - { name: f, conditions: [{ path: state.t.n, op: lte, value: 1 }], state: { counter: n, window: week, increment: -1 } }
      - { name: g, conditions: [{ path: state.t.unknown, op: lte, value: 1 }] }
      - { name: h, action: deny, rate_limit: 1/day }
      - { name: i, rate_limit: 1/day, state: { counter: n, window: day } }
";
    let expected = [
        "1:10: only policies with `version: \"1\"` can be read",
        "2:1: unknown key `defualt` in the policy; it knows `version`, `description`, `default`, `hide`, `tools`",
        "4:3: `get_*` is the name of one tool there and a glob here",
        "7:9: a rule has conditions, a `rate_limit`, or the action `deny`",
        "8:32: `rate_limit` is written like `5/hour`: a count and `minute`, `hour` or `day`",
        "9:28: `action` is `evaluate` or `deny`",
        "10:53: unknown operator `like`",
        "10:71: the path `x` starts with neither `args.` nor `state.`",
        "10:102: a condition needs `path`",
        "10:102: a condition needs `value`",
        "11:64: `lt` compares with a number",
        "12:103: `window` is `minute`, `hour` or `day`",
        "12:120: `increment` must be a whole number of at least 0: a negative one would lower the counter",
        "13:33: no rule counts under `state.t.unknown`",
        "14:9: a rule with the action `deny` has neither conditions nor `rate_limit`",
        "15:9: `rate_limit` stands alone, without `conditions` and `state`",
    ];
    assert_eq!(faults(old), expected);
}

#[test]
fn what_toolgate_cannot_say_is_told_at_the_old_line() {
    let old = rules("      - { name: r, conditions: [{ path: args.x, op: regex, value: \"(?=a)b\" }] }\n");
    let faults = faults(&old);
    assert!(
        faults[0]
            .starts_with("5:9: cannot be said in a toolgate policy: `(?=a)b` is not a regular expression"),
        "{faults:?}"
    );
    let named = faults_of_name("version: \"1\"\ntools:\n  \"a b\": { rules: [] }\n");
    assert!(
        named.starts_with("3:3: cannot be said in a toolgate policy: the tool name `a b` holds a blank"),
        "{named}"
    );
}

fn faults_of_name(old: &str) -> String {
    faults(old).remove(0)
}

#[test]
fn no_text_of_a_rule_leaves_its_line_or_its_quotes() {
    let old = "version: \"1\"\ndescription: |\n  two\n  lines\ntools:\n  \"t\\\"x\":\n    rules:\n      - name: \"a\\nb: c\"\n        on_deny: \"say \\\"no\\\"\\n# \\u0007 \\u200b\\U0001f600\"\n        conditions: [{ path: \"args.a\\\"b\", op: eq, value: \"x\\ty\" }]\n";
    let yaml = converted(old).yaml;
    assert!(yaml.contains("# a\\nb: c\n"), "{yaml}");
    assert!(
        yaml.contains(r#"on_deny: "say \"no\"\n# \U00000007 \U0000200b😀""#),
        "{yaml}"
    );
}
