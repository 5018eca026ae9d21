use super::*;
use crate::policy::load;

fn policy(name: &str, entries: &str) -> Arc<Policy> {
    let text = format!(r#"{{"version": "1", "default": "deny", {entries}}}"#);
    Arc::new(load(name, &format!("{name}.json"), &text).unwrap().policy)
}

fn tool(name: &str, limit: &str) -> String {
    format!(r#""{name}": {{"limits": [{{"counter": "c", "max": 100, "window": "hour"{limit}}}]}}"#)
}

fn tools(name: &str, entries: &[String]) -> Arc<Policy> {
    policy(name, &format!(r#""tools": {{{}}}"#, entries.join(",")))
}

fn problems(policies: &[Arc<Policy>]) -> Vec<String> {
    check_together(policies)
        .iter()
        .map(|problem| problem.to_string())
        .collect()
}

#[test]
fn policies_that_share_a_usage_in_one_way_agree() {
    let a = tools("a", &[tool("t", r#", "weight": 2"#)]);
    let b = tools(
        "b",
        &[tool("t", r#", "weight": 2, "max_values": 5"#), tool("u", "")],
    );
    assert!(problems(&[a.clone(), b, a]).is_empty());
    assert!(problems(&[]).is_empty());
}

#[test]
fn one_usage_in_two_modes_is_a_problem_whichever_tools_use_it() {
    let a = tools("a", &[tool("t", "")]);
    let b = tools("b", &[tool("u", r#", "mode": "calendar""#)]);
    let found = problems(&[a, b]);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("b.json:1:")
            && found[0].contains("mode `calendar` here and `sliding` at a.json:1"),
        "{found:?}"
    );
}

#[test]
fn another_scope_window_or_counter_is_another_usage() {
    let a = tools("a", &[tool("t", "")]);
    let b = tools("b", &[tool("t", r#", "scope": "global", "mode": "calendar""#)]);
    assert!(problems(&[a, b]).is_empty());
}

#[test]
fn two_weights_are_a_problem_exactly_where_one_call_is_charged_both() {
    let heavy = r#", "weight": 9"#;
    let meeting = [("t", "t"), ("t*", "tu"), ("tu", "t*"), ("a*", "*b")];
    let apart = [("t", "u"), ("a*", "b*"), ("t?", "t")];
    for (left, right) in meeting {
        let found = problems(&[tools("a", &[tool(left, "")]), tools("b", &[tool(right, heavy)])]);
        assert_eq!(found.len(), 1, "{left} {right}");
        assert!(
            found[0].contains("two weights: 9 here, another at a.json:1"),
            "{found:?}"
        );
    }
    for (left, right) in apart {
        let found = problems(&[tools("a", &[tool(left, "")]), tools("b", &[tool(right, heavy)])]);
        assert!(found.is_empty(), "{left} {right}: {found:?}");
    }
}

#[test]
fn an_exact_entry_takes_its_tool_away_from_the_glob() {
    let heavy = r#", "weight": 9"#;
    let a = tools("a", &[tool("t*", ""), tool("tu", heavy)]);
    let b = tools("b", &[tool("tu", heavy)]);
    assert!(problems(&[a.clone(), b.clone()]).is_empty());
    assert!(problems(&[b, a]).is_empty());
}

#[test]
fn what_applies_to_all_tools_meets_every_entry() {
    let heavy = tools("b", &[tool("t", r#", "weight": 9"#)]);
    let all = policy(
        "a",
        r#""all_tools": {"limits": [{"counter": "c", "max": 100, "window": "hour"}]}"#,
    );
    assert_eq!(problems(&[all.clone(), heavy.clone()]).len(), 1);
    assert_eq!(problems(&[heavy, all]).len(), 1);
}

#[test]
fn a_denied_entry_charges_nothing_and_so_contradicts_nothing() {
    let a = tools("a", &[tool("t", "")]);
    let b = policy(
        "b",
        r#""tools": {"t": {"action": "deny", "limits": [{"counter": "c", "max": 9, "weight": 9, "window": "hour"}]}}"#,
    );
    assert!(problems(&[a, b]).is_empty());
}

#[test]
fn calls_at_once_share_one_usage_whatever_their_lease_so_two_lengths_are_a_problem() {
    let at_once = |name: &str, key: &str| {
        policy(
            name,
            &format!(r#""tools": {{"t": {{"concurrency": {{"counter": "c", {key}}}}}}}"#),
        )
    };
    let a = at_once("a", r#""max": 1, "lease": "10s""#);
    assert!(problems(&[a.clone(), at_once("b", r#""max": 9, "lease": 10"#)]).is_empty());
    assert!(problems(&[a.clone(), at_once("b", r#""max": 1, "scope": "server""#)]).is_empty());
    // A limit of the same name is another usage.
    assert!(problems(&[a.clone(), tools("b", &[tool("t", r#", "weight": 2"#)])]).is_empty());
    let found = problems(&[a, at_once("b", r#""max": 1, "lease": "second""#)]);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].contains("has a lease of 1 second here and of 10 seconds at a.json:1"),
        "{found:?}"
    );
}
