use std::fs;

use clap::Parser;
use serde_json::Value;

use super::*;

mod settings;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

/// A folder of files that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("toolgate-explain-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&path));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

const POLICY: &str = r#"version: "1"
default: deny
hide: [admin_*]
record: [args.note]
tools:
  push:
    arguments:
      type: object
      properties: { n: { type: integer } }
    require:
      - conditions: [{ path: args.branch, op: exists }]
      - conditions: [{ path: "args.files[*]", op: under, value: /work }]
        shadow: true
    deny_if:
      - conditions: [{ path: args.branch, op: eq, value: main }]
    limits:
      - { counter: pushes, window: day, max: 5, scope: "arg:branch" }
      - { counter: team, window: month, mode: calendar, max: 5, scope: "claim:team", on_store_error: local }
      - { counter: size, window: day, max: 5, increment_from: args.size, scale: 2 }
  pay:
    action: require_approval
    approve_if:
      - conditions: [{ path: args.amount, op: gt, value: 100 }]
        approvers: 2
        on_deny: Large
    limits: [{ counter: paid, window: day, max: 3 }]
"#;

fn try_explain(arguments: &[&str]) -> anyhow::Result<(u8, String)> {
    let line = Line::try_parse_from(["explain"].iter().chain(arguments))?;
    let mut out = Vec::new();
    let code = run(&line.options, &mut out)?;
    Ok((code, String::from_utf8(out).unwrap()))
}

fn explain(arguments: &[&str]) -> String {
    let (code, out) = try_explain(arguments).unwrap();
    assert_eq!(code, EXPLAINED, "{out}");
    out
}

fn json(arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--format", "json"]).collect();
    serde_json::from_str(&explain(&arguments)).unwrap()
}

/// Calls of the policy that between them meet every kind of rule.
fn calls(policy: &str) -> Vec<Value> {
    let push = |arguments: &[&str]| {
        let fixed = [policy, "--tool", "push"];
        json(
            &fixed
                .into_iter()
                .chain(arguments.iter().copied())
                .collect::<Vec<_>>(),
        )
    };
    vec![
        push(&[
            "--arg",
            "branch=dev",
            "--arg",
            "size=1.5",
            "--arg",
            "note=x",
            "--claim",
            "team=a",
        ]),
        push(&[
            "--args",
            r#"{"branch": "dev", "files": ["/work/a", "b"], "size": 0}"#,
            "--claims",
            r#"{"team": 1}"#,
        ]),
        push(&["--args", r#"{"branch": "main", "n": 1}"#, "--show-values"]),
        push(&["--args", r#"{"branch": "main", "n": "1"}"#]),
        push(&["--args", r#"{"branch": 5}"#]),
        push(&["--args", "[]"]),
        json(&[policy, "--tool", "pay", "--arg", "amount=101"]),
        json(&[policy, "--tool", "admin_x"]),
        json(&[policy, "--tool", "other"]),
        json(&[policy, "--method", "resources/read"]),
        json(&[policy, "--method", "ping"]),
    ]
}

fn fields(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            into.push(name.clone());
            fields(value, into);
        }),
        Value::Array(items) => items.iter().for_each(|item| fields(item, into)),
        _ => {}
    }
}

#[test]
fn every_field_of_the_json_is_documented() {
    let folder = Folder::new("fields");
    let policy = folder.file("team.yaml", POLICY);
    let mut found = Vec::new();
    calls(&policy).iter().for_each(|call| fields(call, &mut found));
    found.sort();
    found.dedup();
    let reference = include_str!("../../../docs/explain.md");
    let (_, reference) = reference.split_once("## `--format json`").unwrap();
    let missing: Vec<_> = found
        .iter()
        .filter(|name| {
            let forms = [format!("`{name}`"), format!("\"{name}\""), format!(".{name}`")];
            !forms.iter().any(|form| reference.contains(form))
        })
        .collect();
    assert!(missing.is_empty(), "docs/explain.md does not name {missing:?}");
    assert!(found.len() > 40, "only {} fields were seen", found.len());
}

#[test]
fn the_json_tells_decision_rule_place_and_charges() {
    let folder = Folder::new("json");
    let policy = folder.file("team.yaml", POLICY);
    let calls = calls(&policy);
    let outcomes: Vec<_> = calls
        .iter()
        .map(|call| call.pointer("/decision/outcome").unwrap().as_str().unwrap())
        .collect();
    assert_eq!(
        outcomes,
        [
            "allowed",
            "allowed",
            "denied",
            "denied",
            "denied",
            "invalid",
            "needs_approval",
            "hidden",
            "hidden",
            "denied",
            "allowed"
        ]
    );
    let lines: Vec<_> = calls
        .iter()
        .map(|call| call.pointer("/decision/place/line").and_then(Value::as_u64))
        .collect();
    assert_eq!(
        lines,
        [
            None,
            None,
            Some(15),
            Some(7),
            Some(15),
            None,
            Some(23),
            Some(3),
            Some(2),
            Some(2),
            None
        ]
    );
    let charge = |index: usize, field: &str| {
        let value = calls
            .first()
            .unwrap()
            .pointer(&format!("/charges/{index}/{field}"));
        value.unwrap().as_str().unwrap().to_owned()
    };
    assert_eq!(charge(0, "scope"), "arg:branch");
    assert_eq!(charge(1, "scope"), "claim:team");
    assert_eq!(charge(1, "on_store_error"), "local");
    assert_eq!(charge(1, "mode"), "calendar");
    assert_eq!(
        (charge(2, "amount"), charge(2, "max")),
        ("1.50".to_owned(), "5.00".to_owned())
    );
}

#[test]
fn values_are_shown_only_where_they_are_asked_for() {
    let folder = Folder::new("values");
    let policy = folder.file("team.yaml", POLICY);
    let arguments = r#"{"branch": "secret-b", "files": ["secret-f"], "note": "secret-n", "size": 0}"#;
    let call = [
        policy.as_str(),
        "--tool",
        "push",
        "--args",
        arguments,
        "--claim",
        "team=secret-t",
        "--session",
        "secret-s",
    ];
    for format in ["text", "json"] {
        let with = |more: &[&str]| {
            let all: Vec<&str> = call
                .iter()
                .chain(["--format", format].iter())
                .chain(more)
                .copied()
                .collect();
            explain(&all)
        };
        let quiet = with(&[]);
        assert!(
            quiet.contains("args.files[*]") && !quiet.contains("secret"),
            "{quiet}"
        );
        let open = with(&["--show-values"]);
        for value in ["secret-b", "secret-f", "secret-n", "secret-t"] {
            assert!(open.contains(value), "{value}: {open}");
        }
        assert!(!open.contains("secret-s"), "{open}");
    }
}

#[test]
fn a_name_cannot_steer_the_terminal() {
    let folder = Folder::new("terminal");
    let policy = folder.file("team.yaml", POLICY);
    let out = explain(&[&policy, "--tool", "x\u{1b}[2J\u{202e}", "--grant", "g\u{7}"]);
    assert!(!out.contains(['\u{1b}', '\u{202e}', '\u{7}']), "{out:?}");
}

#[test]
fn what_the_proxy_would_not_forward_is_explained_as_invalid() {
    let folder = Folder::new("invalid");
    let policy = folder.file("team.yaml", POLICY);
    for (message, told) in [
        (
            r#"{"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "push"}}"#,
            "without an id",
        ),
        (
            r#"{"name": "push", "arguments": {"a": {"b": 1, "b": 2}}}"#,
            "same key twice",
        ),
        (r#"{"name": "push", "Arguments": {}}"#, "in case only"),
        (r#"[{"name": "push"}]"#, "batches are not accepted"),
        ("push", "not valid JSON"),
    ] {
        let call = folder.file("call.json", message);
        let out = explain(&[&policy, "--call", &call, "--expect", "invalid"]);
        assert!(
            out.starts_with("invalid: ") && out.contains(told),
            "{message}: {out}"
        );
    }
}

#[test]
fn a_client_s_answer_and_a_method_of_the_protocol_pass_with_a_note() {
    let folder = Folder::new("notes");
    let policy = folder.file("team.yaml", POLICY);
    let answer = folder.file("call.json", r#"{"jsonrpc": "2.0", "id": 1, "result": {}}"#);
    let out = explain(&[&policy, "--call", &answer]);
    assert!(
        out.starts_with("allowed: ") && out.contains("is forwarded and not judged"),
        "{out}"
    );
    let out = explain(&[&policy, "--method", "tools/list"]);
    assert!(
        out.starts_with("allowed: ") && out.contains("belongs to the protocol"),
        "{out}"
    );
}

#[test]
fn an_argument_is_json_where_it_reads_as_such_and_one_that_stands_twice_is_invalid() {
    let folder = Folder::new("flags");
    let policy = folder.file("team.yaml", POLICY);
    let kind = |argument: &str| {
        let call = json(&[&policy, "--tool", "push", "--arg", argument]);
        let kind = call.pointer("/tried/3/conditions/0/read/type").unwrap();
        kind.as_str().unwrap().to_owned()
    };
    assert_eq!(kind("branch=5"), "number");
    assert_eq!(kind("branch=\"5\""), "string");
    assert_eq!(kind("branch=a=b"), "string");
    assert_eq!(kind("branch=007"), "string");
    assert_eq!(kind("branch=[1]"), "list");
    explain(&[
        &policy, "--tool", "push", "--arg", "a=1", "--arg", "a=2", "--expect", "invalid",
    ]);
    let spilled = r#"{}}, "id": {"a": 1"#;
    assert!(try_explain(&[&policy, "--tool", "push", "--args", spilled]).is_err());
}

#[test]
fn bad_policies_are_told_as_check_tells_them() {
    let folder = Folder::new("bad");
    let bad = folder.file("bad.yaml", "version: \"1\"\ndefualt: deny\n");
    let (code, out) = try_explain(&[&bad, "--tool", "t"]).unwrap();
    assert_eq!(code, FAULTY);
    assert!(
        out.contains("bad.yaml:2:1: error: unknown key `defualt`"),
        "{out}"
    );
    let (code, out) = try_explain(&[&bad, "/nowhere/x.yaml", "--tool", "t"]).unwrap();
    assert_eq!(code, crate::cli::check::UNREADABLE);
    assert!(
        out.contains("/nowhere/x.yaml: error: cannot be read") && out.contains("defualt"),
        "{out}"
    );
}

#[test]
fn policies_that_do_not_agree_are_told_and_those_with_one_stem_go_by_their_paths() {
    let folder = Folder::new("together");
    let limit = |more: &str| {
        format!(
            "version: \"1\"\ndefault: allow\nall_tools: {{ limits: [{{ counter: c, window: day, max: 5{more} }}] }}\n"
        )
    };
    let org = folder.file("org/base.yaml", &limit(""));
    let team = folder.file("team/base.yaml", &limit(", mode: calendar"));
    let (code, out) = try_explain(&[&org, &team, "--tool", "t"]).unwrap();
    assert_eq!(code, FAULTY, "{out}");
    assert!(out.contains("team/base.yaml:3:"), "{out}");

    let team = folder.file(
        "team/base.yaml",
        &limit("").replace("default: allow", "default: deny"),
    );
    let call = json(&[&org, &team, "--tool", "t"]);
    let name = call.pointer("/decision/place/policy").unwrap().as_str().unwrap();
    assert_eq!(name, team);
}

#[test]
fn an_outcome_that_is_not_expected_fails_after_it_was_explained() {
    let folder = Folder::new("expect");
    let policy = folder.file("team.yaml", POLICY);
    let error = try_explain(&[&policy, "--tool", "other", "--expect", "allowed"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the outcome is `hidden`, and --expect says `allowed`"
    );
    assert!(try_explain(&[&policy, "--tool", "other", "--expect", "hiden"]).is_err());
}

mod people;
