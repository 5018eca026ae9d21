//! Every input that fuzzing found worth keeping, through the same functions as the fuzz targets.
#![cfg(test)]

#[path = "../fuzz/shared/packed.rs"]
mod packed;
#[path = "../fuzz/shared/mod.rs"]
#[allow(dead_code, reason = "tests/fuzz_differential.rs uses the rest")]
mod shared;

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use shared::TARGETS;

fn fuzz(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(path)
}

fn text(path: &str) -> String {
    let path = fuzz(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn run_corpus(target: &str) {
    let (_, run) = TARGETS.into_iter().find(|(name, _)| *name == target).unwrap();
    let inputs = packed::inputs(&fuzz(&format!("corpus/{target}.txt")));
    assert!(
        inputs.len() >= 50,
        "the corpus of `{target}` is gone: {} inputs",
        inputs.len()
    );
    for input in &inputs {
        if catch_unwind(|| run(input)).is_err() {
            panic!("`{target}` fails on: {}", input.escape_ascii());
        }
    }
}

#[test]
fn no_kept_input_breaks_a_decision() {
    run_corpus("decide");
}

#[test]
fn every_kept_body_that_is_accepted_means_one_thing() {
    run_corpus("envelope");
}

#[test]
fn headers_agree_with_each_kept_body_as_an_independent_reader_says() {
    run_corpus("headers");
}

#[test]
fn no_kept_message_gets_a_hidden_tool_through_the_filter() {
    run_corpus("list_filter");
}

#[test]
fn every_kept_policy_is_read_or_refused_with_places_in_it() {
    run_corpus("policy_document");
}

#[test]
fn every_kept_stream_has_the_events_that_a_browser_sees() {
    run_corpus("sse");
}

/// A target without a corpus would be checked by nobody.
#[test]
fn each_target_is_built_and_has_a_corpus() {
    let manifest = text("Cargo.toml");
    for (name, _) in TARGETS {
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "{name} is not built"
        );
        let target = text(&format!("fuzz_targets/{name}.rs"));
        assert!(
            target.contains(&format!("shared::{name}::run")),
            "{name} runs something else"
        );
        assert!(fuzz(&format!("corpus/{name}.txt")).exists());
    }
    let built = manifest.matches("[[bin]]").count();
    assert_eq!(built, TARGETS.len(), "a target is not in `TARGETS`");
}

/// What is fuzzed is what is shipped.
#[test]
fn the_fuzzers_are_built_with_the_versions_of_the_gate() {
    let own = versions(&text("Cargo.lock"));
    let gate = versions(&text("../Cargo.lock"));
    let mut compared = 0;
    for (name, own) in &own {
        if let Some(gate) = gate.get(name) {
            compared += 1;
            let known = own.iter().all(|version| gate.contains(version));
            assert!(
                known,
                "`{name}` is {own:?} in fuzz/Cargo.lock and {gate:?} in Cargo.lock"
            );
        }
    }
    assert!(compared > 40, "only {compared} packages were found in both");
}

fn versions(lock: &str) -> BTreeMap<String, Vec<String>> {
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut name = String::new();
    let value = |line: &str, key: &str| Some(line.strip_prefix(key)?.trim_matches('"').to_owned());
    for line in lock.lines() {
        if let Some(found) = value(line, "name = ") {
            name = found;
        } else if let Some(version) = value(line, "version = ").filter(|_| !name.is_empty()) {
            versions
                .entry(std::mem::take(&mut name))
                .or_default()
                .push(version);
        }
    }
    versions
}
