//! Nanoseconds per decision, how little they depend on the size of the policy, and what it costs to know a caller:
//! `make bench-decide`.
//!
//! Each pair is measured in turns in one process; the figure is the ratio of the medians. Where names and tokens
//! go round over the whole size, what the larger side adds is what memory costs.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a measuring program: what fails must stop it, and its table goes to stdout"
)]

#[path = "../tests/identity/signer.rs"]
#[allow(dead_code, reason = "shared with the tests of identity, which use all of it")]
mod signer;
#[path = "decide/tokens.rs"]
mod tokens;

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use toolgate::grants::{Grant, Grants, TokenHash};
use toolgate::policy::{Call, Caller, Plan, Policy, load, plan_tool, visible};

/// Decisions measured at once, and rounds of which the median is shown.
const CALLS: u32 = 1_000;
const ROUNDS: usize = 101;

const CALLER: Caller<'_> = Caller {
    grant: "ci",
    server: "s",
    session: Some("abc"),
    claims: None,
};
const ARGUMENTS: &str =
    r#"{"amount": 12.5, "branch": "feature/one", "to": ["a@example.org", "b@example.org"]}"#;

/// A policy with this many tools, each with a limit, and a glob for every hundredth.
fn policy(tools: usize) -> Arc<Policy> {
    let mut text = r#"{"version":"1","default":"deny","hide":["secret_*"],"tools":{"#.to_owned();
    for tool in 0..tools {
        let entry =
            format!(r#""tool_{tool}":{{"limits":[{{"counter":"c_{tool}","window":"minute","max":10}}]}},"#);
        text.push_str(&entry);
        if tool % 100 == 0 {
            write!(text, r#""glob_{tool}_*":{{}},"#).unwrap();
        }
    }
    text.push_str(ASKING);
    text.push_str("}}");
    Arc::new(load("p", "p.json", &text).unwrap().policy)
}

/// A tool whose arguments are asked in every way.
const ASKING: &str = r#""asking":{
  "arguments":{"type":"object","required":["amount"],"properties":{
    "amount":{"type":"number","maximum":100},"branch":{"type":"string","pattern":"^[a-z/]+$"},
    "to":{"type":"array","items":{"type":"string","format":"email"}}}},
  "require":[{"conditions":[{"path":"args.amount","op":"lte","value":100}]},
             {"conditions":[{"path":"args.to[*]","op":"regex","value":"@example\\.org$"}]}],
  "deny_if":[{"conditions":[{"path":"args.branch","op":"in","value":["main","release"]}]}],
  "limits":[{"counter":"spend","window":"day","max":500,"increment_from":"args.amount","scale":2}]}"#;

fn decides(policies: &[Arc<Policy>], tool: &str) {
    let call = Call {
        tool: black_box(tool),
        arguments: Some(black_box(ARGUMENTS)),
    };
    let decision = plan_tool(policies, &CALLER, &call);
    assert!(matches!(black_box(decision).plan, Plan::Admit(_)));
}

/// Median nanoseconds of both, measured in turns.
fn pair(mut one: impl FnMut(), mut other: impl FnMut()) -> (f64, f64) {
    let (mut ones, mut others) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ones.push(each(CALLS, &mut one));
        others.push(each(CALLS, &mut other));
    }
    (median(ones), median(others))
}

/// Nanoseconds for each of so many.
fn each(times: u32, mut act: impl FnMut()) -> f64 {
    let start = Instant::now();
    (0..times).for_each(|_| act());
    start.elapsed().as_nanos() as f64 / f64::from(times)
}

fn median_of(mut round: impl FnMut() -> f64) -> f64 {
    median((0..ROUNDS).map(|_| round()).collect())
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn row(what: &str, (small, large): (f64, f64)) {
    println!("| {what} | {small:.0} | {large:.0} | {:.2} |", large / small);
}

fn named(before: &str, after: &str, count: usize, step: usize) -> Vec<String> {
    let numbers = (0..count).step_by(step);
    numbers.map(|number| format!("{before}{number}{after}")).collect()
}

fn grants(count: usize) -> Grants {
    let policy = policy(10);
    Grants::new((0..count).map(|number| {
        let grant = Grant {
            id: format!("grant-{number}"),
            servers: vec!["s".to_owned()],
            policies: vec![Arc::clone(&policy)],
            ..Grant::default()
        };
        (
            TokenHash::of(format!("token-{number}").as_bytes()),
            Arc::new(grant),
        )
    }))
}

fn main() {
    decisions();
    compiling();
    grants_found();
    tokens::tokens();
}

fn decisions() {
    let (small, large) = ([policy(10)], [policy(10_000)]);
    println!("| one decision, in ns | 10 tools | 10 000 tools | ratio |\n| --- | --- | --- | --- |");
    let round = |names: Vec<String>| {
        let mut names = names.into_iter().cycle();
        move |policies: &[Arc<Policy>]| decides(policies, &names.next().unwrap())
    };
    for (what, few, many) in [
        (
            "an exact name with a limit, the same again and again",
            vec!["tool_7".to_owned()],
            vec!["tool_7".to_owned()],
        ),
        (
            "an exact name with a limit, every one in turn",
            named("tool_", "", 10, 1),
            named("tool_", "", 10_000, 1),
        ),
        (
            "a glob",
            named("glob_", "_x", 1, 1),
            named("glob_", "_x", 10_000, 100),
        ),
        (
            "a schema, conditions with a regex, a spend cap",
            vec!["asking".to_owned()],
            vec!["asking".to_owned()],
        ),
    ] {
        let (mut few, mut many) = (round(few), round(many));
        row(what, pair(|| few(&small), || many(&large)));
    }
    let unknown = |policies: &[Arc<Policy>]| {
        black_box(visible(policies, black_box("nobody_knows_this_tool")));
    };
    row(
        "a name that nothing matches",
        pair(|| unknown(&small), || unknown(&large)),
    );
}

/// What a schema and its regexes would cost if a call compiled them.
fn compiling() {
    let policies = [policy(10)];
    let compiled = format!(r#"{{"version":"1","default":"deny","tools":{{{ASKING}}}}}"#);
    let compile = || drop(black_box(load("p", "p.json", black_box(&compiled)).unwrap()));
    let (compiling, deciding) = pair(compile, || decides(&policies, "asking"));
    println!(
        "\n| schema, regexes and spend cap, in ns | compiling the policy | one decision |\n| --- | --- | --- |"
    );
    println!("| | {compiling:.0} | {deciding:.0} |");
}

fn grants_found() {
    let (few, many) = (grants(10), grants(100_000));
    let round = |tokens: Vec<String>| {
        let mut tokens = tokens.into_iter().cycle();
        move |grants: &Grants| {
            let token = tokens.next().unwrap();
            black_box(grants.of_token(black_box(token.as_bytes()))).unwrap();
        }
    };
    let same = || vec!["token-7".to_owned()];
    let every = |count| named("token-", "", count, 1);
    println!(
        "\n| finding the grant of a token, in ns | 10 grants | 100 000 grants | ratio |\n| --- | --- | --- | --- |"
    );
    for (what, few_tokens, many_tokens) in [
        ("the same token again and again", same(), same()),
        ("every token in turn", every(10), every(100_000)),
    ] {
        let (mut find_few, mut find_many) = (round(few_tokens), round(many_tokens));
        row(what, pair(|| find_few(&few), || find_many(&many)));
    }
}
