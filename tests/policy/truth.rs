//! Every operator, for every JSON type, under `require`, `deny_if` and `approve_if`: generated from the table in
//! `truth_table.txt`, whose answers were written by hand.

use std::collections::BTreeSet;

use toolgate::policy::Plan;

use super::asked::{ask, tool, whole};

const TABLE: &str = include_str!("truth_table.txt");

const OPERATORS: [&str; 14] = [
    "eq",
    "neq",
    "lt",
    "lte",
    "gt",
    "gte",
    "in",
    "not_in",
    "exists",
    "regex",
    "not_regex",
    "contains",
    "not_contains",
    "under",
];

fn cells(line: &str) -> Vec<&str> {
    line.split(" | ").map(str::trim).collect()
}

/// Each cell: the condition, the arguments, the answer.
fn rows() -> Vec<(String, String, char)> {
    let mut lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    let head = cells(lines.next().unwrap());
    let mut rows = Vec::new();
    for line in lines {
        let line = cells(line);
        assert_eq!(line.len(), head.len(), "{line:?}");
        let value = if line[1].is_empty() {
            String::new()
        } else {
            format!(r#", "value": {}"#, line[1])
        };
        let condition = format!(r#"{{"path": "args.x", "op": "{}"{value}}}"#, line[0]);
        for (given, answer) in head.iter().zip(&line).skip(2) {
            let arguments = if *given == "-" {
                "{}".to_owned()
            } else {
                format!(r#"{{"x": {given}}}"#)
            };
            rows.push((condition.clone(), arguments, answer.parse().unwrap()));
        }
    }
    rows
}

#[test]
fn every_operator_answers_as_the_table_says() {
    let rows = rows();
    assert!(rows.len() > 600, "only {} cells", rows.len());
    let mut wrong = Vec::new();
    for (condition, arguments, answer) in &rows {
        let block = format!(r#"[{{"conditions": [{condition}]}}]"#);
        let own = |key: &str| tool(&format!(r#"{{"{key}": {block}}}"#));
        let everywhere = |key: &str| {
            whole(&format!(
                r#"{{"version": "1", "default": "allow", "all_tools": {{"{key}": {block}}}}}"#
            ))
        };
        let expected = match answer {
            'T' => ["passes", "refused", "asked"],
            'F' => ["refused", "passes", "passes"],
            '?' => ["refused"; 3],
            other => panic!("{other}"),
        };
        for (key, expected) in ["require", "deny_if", "approve_if"].into_iter().zip(expected) {
            for policy in [own(key), everywhere(key)] {
                let found = match ask(&policy, arguments) {
                    Plan::Admit(_) => "passes",
                    Plan::Ask { .. } => "asked",
                    Plan::Refuse(_) => "refused",
                };
                if found != expected {
                    wrong.push(format!("{key} {condition} {arguments}: {found}, not {answer}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_asks_every_operator_for_all_three_answers_it_can_give() {
    let rows = rows();
    for operator in OPERATORS {
        let of = format!(r#""op": "{operator}""#);
        let answers: BTreeSet<char> = rows
            .iter()
            .filter(|(condition, _, _)| condition.contains(&of))
            .map(|(_, _, answer)| *answer)
            .collect();
        let expected = if operator == "exists" { "FT" } else { "?FT" };
        assert_eq!(answers.into_iter().collect::<String>(), expected, "{operator}");
    }
}
