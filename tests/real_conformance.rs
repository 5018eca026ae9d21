//! The official conformance suite gives the same results through toolgate as without it, check by check.
//!
//! `@modelcontextprotocol/conformance` runs against a fixture on the official SDK (`tests/clients/node/conformance-server.mjs`)
//! directly and through toolgate. What it says directly is kept in `tests/conformance/`, so that a fixture that grew
//! worse is seen as well. `docs/conformance.md` says what is run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test and its helpers a failed unwrap is a failed test"
)]

mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use regex::Regex;
use serde_json::{Value, json};
use support::child::Child;
use support::gate::{Folder, Gate, Setup};
use support::servers::{Conformance, bare_node};

const TOKEN: &str = "tg_conformance";
const SUITE: &str = "node_modules/@modelcontextprotocol/conformance/dist/index.js";
const HEADER_MISMATCH: i64 = -32020;
/// One that waits in vain is a check that fails, so that all that differ are told. The longest takes 3 s.
const SCENARIO_MS: &str = "10000";
/// A whole suite takes 5 s on an idle machine.
const RUN: Duration = Duration::from_secs(85);

fn gate(server: &Conformance, policy: Value) -> Gate {
    Setup::new()
        .server("fixture", &server.url)
        .policy("p", policy)
        .grant("suite", TOKEN, "fixture", "p")
        .start()
}

/// One result of the suite, as a line without what changes from run to run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Check {
    /// `SCENARIO: ID (NAME): STATUS`
    line: String,
    /// What was seen: the description, the error and the details.
    seen: String,
}

/// Runs these scenarios of the suite; `which` are its own flags. Both sides send the token.
fn run(url: &str, which: &[&str]) -> Vec<Check> {
    let results = Folder::new("conformance");
    let mut command = bare_node();
    command
        .env("TOOLGATE_TOKEN", TOKEN)
        .args([
            "--import",
            "./conformance/token.mjs",
            SUITE,
            "server",
            "--url",
            url,
        ])
        .args(which)
        .args(["--timeout", SCENARIO_MS, "--output-dir"])
        .arg(results.path());
    let mut child = Child::start("the conformance suite", &mut command);
    child.wait_end(RUN);
    let checks = read(results.path());
    assert!(
        !checks.is_empty(),
        "the suite left no results: {}",
        child.stderr()
    );
    checks
}

/// The checks of every scenario, by name of the scenario and in the order in which they were made.
fn read(results: &Path) -> Vec<Check> {
    let volatile = Volatile::new();
    let mut folders: Vec<PathBuf> = std::fs::read_dir(results)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    let mut checks = Vec::new();
    for folder in folders {
        let folder_name = folder.file_name().unwrap().to_str().unwrap();
        let scenario = Volatile::scenario(folder_name);
        let text = std::fs::read_to_string(folder.join("checks.json")).unwrap();
        let found: Vec<Value> = serde_json::from_str(&text).unwrap();
        checks.extend(found.iter().map(|check| volatile.check(&scenario, check)));
    }
    checks
}

/// What differs between two runs of the same thing: ids, ports, times, signed states, and headers that are the
/// connection's own.
struct Volatile(Vec<(Regex, &'static str)>);

impl Volatile {
    fn new() -> Self {
        let pattern = |(pattern, with)| (Regex::new(pattern).unwrap(), with);
        // a session id is signed for its grant: `UUID.SIGNATURE`
        let id = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(\.[A-Za-z0-9_-]+)?";
        let patterns = [
            (id, "<id>"),
            (r"(127\.0\.0\.1|localhost):\d+(/mcp/fixture|/mcp)?", "<url>"),
            (r"v1\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", "<state>"),
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", "<time>"),
            // the suite's own ids of subscriptions are milliseconds since 1970
            (r"\b1\d{12}\b", "<ms>"),
        ];
        Self(patterns.into_iter().map(pattern).collect())
    }

    fn strip(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (pattern, with)| {
            pattern.replace_all(&text, *with).into_owned()
        })
    }

    /// `server-ping-2026-11-22T22-29-22-483Z`
    fn scenario(folder: &str) -> String {
        let name = Regex::new(r"^server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z$").unwrap();
        name.replace(folder, "$1").into_owned()
    }

    fn check(&self, scenario: &str, check: &Value) -> Check {
        let text = |key: &str| check[key].as_str().unwrap_or_default();
        let mut details = check["details"].clone();
        without_own_words(&mut details);
        let seen = format!("{} | {} | {details}", text("description"), text("errorMessage"));
        Check {
            line: format!(
                "{scenario}: {} ({}): {}",
                text("id"),
                text("name"),
                text("status")
            ),
            seen: self.strip(&seen),
        }
    }
}

/// Leaves out headers that a hop sets for itself, and the words of the two refusals that toolgate and the fixture
/// both know (headers that disagree with the body, a foreign origin): the code and the status are compared.
fn without_own_words(details: &mut Value) {
    const HOP: [&str; 4] = ["connection", "keep-alive", "date", "transfer-encoding"];
    match details {
        Value::Object(members) => {
            members.retain(|name, _| !HOP.contains(&name.to_ascii_lowercase().as_str()));
            if members.get("code").is_some_and(|code| code == HEADER_MISMATCH) {
                members.retain(|name, _| name == "code");
            }
            if members.get("statusCode").is_some_and(|status| status == 403) {
                members.remove("body");
            }
            members.values_mut().for_each(without_own_words);
        }
        Value::Array(items) => items.iter_mut().for_each(without_own_words),
        _ => {}
    }
}

/// The checks that differ, each as it was directly (`-`) and through the gate (`+`).
fn differences(direct: &[Check], through: &[Check]) -> Vec<String> {
    let only = |of: &[Check], other: &[Check], sign: char| -> Vec<String> {
        let mut left = other.to_vec();
        let mut missing = Vec::new();
        for check in of {
            match left.iter().position(|candidate| candidate == check) {
                Some(at) => drop(left.swap_remove(at)),
                None => missing.push(format!("{sign} {}\n    {}", check.line, check.seen)),
            }
        }
        missing
    };
    let mut all = only(direct, through, '-');
    all.extend(only(through, direct, '+'));
    all
}

fn baseline_of(revision: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/conformance/{revision}.txt"))
}

fn lines(checks: &[Check]) -> String {
    checks.iter().map(|check| format!("{}\n", check.line)).collect()
}

fn directly(revision: &str) -> Vec<Check> {
    run(
        &Conformance::start().url,
        &["--suite", "all", "--spec-version", revision],
    )
}

/// At least `requests` must have passed the gate, or something else was measured.
fn same_through_the_gate(revision: &str, requests: usize) {
    let direct = directly(revision);
    let baseline = std::fs::read_to_string(baseline_of(revision)).unwrap();
    assert_eq!(
        lines(&direct),
        baseline,
        "the fixture alone answers otherwise than it did; if that is right, run `make conformance-bless`"
    );
    let server = Conformance::start();
    let gate = gate(&server, json!({ "version": "1", "default": "allow" }));
    let through = run(
        &gate.url("fixture"),
        &["--suite", "all", "--spec-version", revision],
    );
    let differ = differences(&direct, &through);
    assert!(
        differ.is_empty(),
        "these checks differ through toolgate:\n{}",
        differ.join("\n")
    );
    let passed = gate.decisions().len();
    assert!(passed >= requests, "only {passed} requests went through toolgate");
}

#[test]
fn the_suite_for_2025_11_25_says_the_same_through_the_gate() {
    same_through_the_gate("2025-11-25", 150);
}

#[test]
fn the_suite_for_2026_07_28_says_the_same_through_the_gate() {
    same_through_the_gate("2026-07-28", 80);
}

#[test]
fn a_gate_that_takes_something_away_is_seen_in_the_check_that_needs_it() {
    let server = Conformance::start();
    let gate = gate(
        &server,
        json!({ "version": "1", "default": "allow", "hide": ["test_image_content"] }),
    );
    let which = ["--scenario", "tools-call-image", "--spec-version", "2025-11-25"];
    let (direct, through) = (run(&server.url, &which), run(&gate.url("fixture"), &which));
    let differ = differences(&direct, &through);
    assert_eq!(differ.len(), 2, "{differ:?}");
    assert!(
        differ[0].starts_with("- tools-call-image: tools-call-image (ToolsCallImage): SUCCESS"),
        "{differ:?}"
    );
    assert!(
        differ[1].starts_with("+ tools-call-image: tools-call-image (ToolsCallImage): FAILURE"),
        "{differ:?}"
    );
}

#[test]
#[ignore = "writes the baselines: make conformance-bless"]
fn bless() {
    for revision in ["2025-11-25", "2026-07-28"] {
        std::fs::write(baseline_of(revision), lines(&directly(revision))).unwrap();
    }
}
