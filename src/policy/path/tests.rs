use super::*;
use crate::policy::decide::Call;
use crate::policy::types::Caller;

const CALLER: Caller<'_> = Caller {
    grant: "ci",
    server: "s",
    session: None,
    claims: None,
};

/// What the path leads to, shown in a form that can be compared.
fn resolved(path: &str, arguments: Option<&str>) -> Result<Vec<String>, Doubt> {
    let call = Call { tool: "t", arguments };
    let facts = Facts::new(&CALLER, &call);
    let path = Path::read(path).unwrap();
    let show = |leaf: Option<&Json<'_>>| match leaf {
        None => "missing".to_owned(),
        Some(Json::Number(text) | Json::Text(text)) => text.to_string(),
        Some(other) => other.kind().to_owned(),
    };
    Ok(path.resolve(&facts)?.into_iter().map(show).collect())
}

fn found(path: &str, arguments: &str) -> Vec<String> {
    resolved(path, Some(arguments)).unwrap()
}

#[test]
fn a_path_leads_to_its_value() {
    let arguments = r#"{"a": {"b": 1}, "list": [{"x": 2}, {"x": 3}, {}], "odd.key": 4, "a-b": 5, "x]\"": 6}"#;
    assert_eq!(found("args.a.b", arguments), ["1"]);
    assert_eq!(found("args.list[1].x", arguments), ["3"]);
    assert_eq!(found("args.list[*].x", arguments), ["2", "3", "missing"]);
    assert_eq!(found(r#"args["odd.key"]"#, arguments), ["4"]);
    assert_eq!(found(r#"args["a"]["b"]"#, arguments), ["1"]);
    assert_eq!(found("args.a-b", arguments), ["5"]);
    assert_eq!(found(r#"args["x]\""]"#, arguments), ["6"]);
    assert_eq!(found("args.a", arguments), ["object"]);
    assert_eq!(found("grant.id", arguments), ["ci"]);
    assert_eq!(found("tool.name", arguments), ["t"]);
    assert_eq!(found("grant.claims.team", arguments), ["missing"]);
}

#[test]
fn a_path_is_missing_where_a_step_is_absent() {
    for path in ["args.x", "args.x.y.z", "args.x[0]", "args.x[*].y"] {
        assert_eq!(found(path, "{}"), ["missing"], "{path}");
        assert_eq!(resolved(path, None).unwrap(), ["missing"], "{path}");
    }
    assert_eq!(found("args.x[3]", r#"{"x": [1]}"#), ["missing"]);
    assert_eq!(found("args.x[*]", r#"{"x": []}"#), ["missing"]);
    assert_eq!(found("args.x[*].y", r#"{"x": []}"#), ["missing"]);
}

#[test]
fn a_step_into_what_holds_nothing_cannot_be_evaluated() {
    for value in ["\"{\\\"y\\\":1}\"", "1", "true", "null", "[1]"] {
        let arguments = format!("{{\"x\": {value}}}");
        assert_eq!(
            resolved("args.x.y", Some(&arguments)),
            Err(Doubt::Step),
            "{value}"
        );
    }
    for value in ["\"a\"", "1", "true", "null", "{}"] {
        let arguments = format!("{{\"x\": {value}}}");
        assert_eq!(
            resolved("args.x[0]", Some(&arguments)),
            Err(Doubt::Step),
            "{value}"
        );
        assert_eq!(
            resolved("args.x[*]", Some(&arguments)),
            Err(Doubt::Step),
            "{value}"
        );
    }
    assert_eq!(
        resolved("args.x[*].y", Some(r#"{"x": [{"y": 1}, 2]}"#)),
        Err(Doubt::Step)
    );
}

#[test]
fn a_key_that_only_case_tells_apart_cannot_be_evaluated() {
    for arguments in [
        r#"{"Amount": 1}"#,
        r#"{"amount": 1, "AMOUNT": 2}"#,
        r#"{"amoun\u0054": 2}"#,
    ] {
        assert_eq!(
            resolved("args.amount", Some(arguments)),
            Err(Doubt::Lookalike),
            "{arguments}"
        );
    }
    assert_eq!(
        resolved("args.a.b", Some(r#"{"a": {"B": 1}}"#)),
        Err(Doubt::Lookalike)
    );
    assert_eq!(found("args.a", r#"{"a": 1, "other": {"A": 1}}"#), ["1"]);
}

#[test]
fn arguments_that_are_no_object_cannot_be_evaluated() {
    for arguments in ["[]", "null", "1", "", "{", r#"{"a":1,"a":2}"#] {
        assert_eq!(
            resolved("args.a", Some(arguments)),
            Err(Doubt::Unread),
            "{arguments}"
        );
        assert_eq!(resolved("tool.name", Some(arguments)).unwrap(), ["t"]);
    }
}

#[test]
fn what_is_no_path_is_refused() {
    for text in [
        "",
        "args",
        "args.",
        "args..a",
        "args.a.",
        "args[0]",
        "args[*].a",
        "args.a[",
        "args.a[x]",
        "args.a[-1]",
        "args.a[01]",
        "args.a[0]x",
        "args.a b",
        "args.`a`",
        "args[\"a]",
        "args[\"a\"x]",
        "amount",
        "Args.a",
        "argsa",
        "grant",
        "grant.id.x",
        "grant.claims",
        "grant.claims.a.b",
        "grant.claims[0]",
        "tool",
        "tool.name.x",
        "args.a*",
        "args.a\"b",
        "args.a]",
        "args.list[99999999999999999999999]",
    ] {
        assert!(Path::read(text).is_err(), "{text}");
    }
    assert!(Path::read(&format!("args{}", ".a".repeat(65))).is_err());
}
