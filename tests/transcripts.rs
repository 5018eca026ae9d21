//! What the documentation shows of the command line is what the built binary does: every `console` block of these
//! documents is run, in order, in one shell and one empty folder, and its outputs are compared.
//!
//! `cargo test --test transcripts -- --ignored bless` writes the outputs anew.
#![cfg(test)]

#[path = "transcripts/document.rs"]
mod document;
#[path = "transcripts/shell.rs"]
mod shell;

use std::fs;
use std::path::PathBuf;

use document::Document;

/// A document, and how many commands it shows at least.
const DOCUMENTS: [(&str, usize); 4] = [
    ("docs/explain.md", 6),
    ("docs/first-policy.md", 10),
    ("docs/scan.md", 7),
    ("tests/transcripts/explain.md", 14),
];

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The document as it is, and as it is with what its commands really print.
fn run(name: &str, at_least: usize) -> (String, String) {
    let text = fs::read_to_string(file(name)).unwrap();
    let document = Document::read(&text);
    let commands = document.commands();
    assert!(
        commands.len() >= at_least,
        "{name} shows {} commands",
        commands.len()
    );
    let outputs = shell::run(name, &commands);
    let real = document.with_outputs(&outputs);
    (text, real)
}

fn compare(name: &str) {
    let (_, at_least) = DOCUMENTS.into_iter().find(|(known, _)| *known == name).unwrap();
    let (shown, real) = run(name, at_least);
    for (number, (shown, real)) in shown.lines().zip(real.lines()).enumerate() {
        assert_eq!(shown, real, "{name}:{}", number + 1);
    }
    assert_eq!(shown, real, "{name}");
}

#[test]
fn the_commands_of_the_explanation_s_reference_print_what_it_shows() {
    compare("docs/explain.md");
}

#[test]
fn a_new_user_gets_in_ten_commands_what_the_walk_through_shows() {
    compare("docs/first-policy.md");
}

#[test]
fn what_a_scan_prints_is_what_its_page_shows() {
    compare("docs/scan.md");
}

#[test]
fn calls_under_the_example_policies_are_explained_as_recorded() {
    compare("tests/transcripts/explain.md");
}

#[test]
#[ignore = "writes the outputs anew; read the difference before you commit it"]
fn bless() {
    for (name, at_least) in DOCUMENTS {
        let (_, real) = run(name, at_least);
        fs::write(file(name), real).unwrap();
    }
}
