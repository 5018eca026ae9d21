//! What toolgate forwards, Python, Node and serde_json read as it was judged: a fixed number of bodies from a fixed seed.
//! `make fuzz-differential` runs as many as there is time for.
#![cfg(test)]

#[path = "../fuzz/differential/mod.rs"]
#[allow(dead_code, reason = "`make fuzz-differential` uses the rest")]
mod differential;
#[path = "../fuzz/shared/packed.rs"]
mod packed;
#[path = "../fuzz/shared/mod.rs"]
#[allow(dead_code, reason = "the targets are run by tests/fuzz_corpus.rs")]
mod shared;

use std::path::{Path, PathBuf};

use differential::{Budget, Counts, readers, run};

const INPUTS: u64 = 60_000;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn commands() -> Vec<(&'static str, std::process::Command)> {
    let python = root().join(".tools/mcp-2/bin/python");
    assert!(
        python.exists(),
        "{} is missing: run `make test-deps`",
        python.display()
    );
    let local = root().join(".tools/node/node_modules/node/bin/node");
    let node = if local.exists() {
        local
    } else {
        PathBuf::from("node")
    };
    readers(&root().join("fuzz/differential"), &python, &node)
}

/// A test whose generator made nothing but noise would hold for nothing.
fn is_worth_something(counts: &Counts) {
    assert!(counts.forwarded * 4 > counts.inputs, "{counts:?}");
    assert!(counts.calls * 8 > counts.inputs, "{counts:?}");
    assert!(counts.recorded * 20 > counts.inputs, "{counts:?}");
    let reasons = [
        "NotJson",
        "NotUtf8",
        "DuplicateKey",
        "Lookalike",
        "RequestAndResponse",
        "Id",
        "TooDeep",
        "ToolName",
    ];
    for reason in reasons {
        assert!(
            counts.refused.get(reason).is_some_and(|count| *count > 3),
            "{reason}: {counts:?}"
        );
    }
}

#[test]
fn every_forwarded_body_is_read_as_it_was_judged() {
    let corpus = packed::inputs(&root().join("fuzz/corpus/envelope.txt"));
    assert!(corpus.len() >= 50, "the corpus is gone");
    let report = run(Budget::Inputs(INPUTS), 1, corpus, commands()).unwrap();
    assert_eq!(report.counts.inputs, INPUTS);
    is_worth_something(&report.counts);
}
