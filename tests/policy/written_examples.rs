//! Every policy that is shown somewhere is one that toolgate reads.

use std::fs;
use std::path::Path;

use toolgate::document::{Level, render};
use toolgate::policy::load;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The fenced blocks of a Markdown text that are marked as JSON or YAML, with their line.
fn blocks(text: &str) -> Vec<(usize, &str, String)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let Some(mark) = line.strip_prefix("```").filter(|mark| !mark.is_empty()) else {
            continue;
        };
        let body: Vec<&str> = lines
            .by_ref()
            .map(|(_, line)| line)
            .take_while(|line| *line != "```")
            .collect();
        if mark.starts_with("json") || mark.starts_with("yaml") {
            blocks.push((at + 2, mark, body.join("\n") + "\n"));
        }
    }
    blocks
}

/// A piece of a policy, marked `json tools` or the like, set into a whole one.
fn completed(mark: &str, body: &str) -> (&'static str, String) {
    let (format, piece) = mark.split_once(' ').unwrap_or((mark, ""));
    let text = match (format, piece) {
        (_, "") => body.to_owned(),
        ("json", "tools") => format!("{{\"version\": \"1\", \"default\": \"deny\", \"tools\": {body}}}"),
        ("json", "limit") => {
            format!(
                "{{\"version\": \"1\", \"default\": \"deny\", \"tools\": {{\"t\": {{\"limits\": [{body}]}}}}}}"
            )
        }
        (format, piece) => panic!("no such block: `{format} {piece}`"),
    };
    (
        if format == "json" {
            "example.json"
        } else {
            "example.yaml"
        },
        text,
    )
}

#[test]
fn every_example_in_the_reference_is_a_sound_policy() {
    let text = fs::read_to_string(root().join("docs/policy.md")).unwrap();
    let blocks = blocks(&text);
    assert!(blocks.len() >= 8, "only {} examples were found", blocks.len());
    for (line, mark, body) in blocks {
        let (file, text) = completed(mark, &body);
        let loaded = load("example", file, &text);
        let problems = match &loaded {
            Err(problems) => problems.as_slice(),
            Ok(loaded) => &loaded.warnings,
        };
        let shown: String = problems
            .iter()
            .map(|problem| render(problem, Level::Error, Some(&text)))
            .collect();
        assert!(problems.is_empty(), "docs/policy.md:{line}\n{shown}");
    }
}

#[test]
fn every_example_policy_is_sound_and_names_the_schema() {
    let mut looked_at = 0;
    for entry in fs::read_dir(root().join("examples/policies")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let shown = match load("example", path.to_str().unwrap(), &text) {
            Err(problems) => problems,
            Ok(loaded) => loaded.warnings,
        };
        assert!(shown.is_empty(), "{shown:#?}");
        assert!(
            text.contains("../../schema/policy.schema.json"),
            "{} names no schema",
            path.display()
        );
        looked_at += 1;
    }
    assert!(looked_at >= 4, "only {looked_at} example policies were found");
}

#[test]
fn the_policy_that_the_product_stands_on_is_among_the_samples() {
    let text = fs::read_to_string(root().join("tests/policies/valid/product.json")).unwrap();
    assert!(
        fs::read_to_string(root().join("docs/policy.md"))
            .unwrap()
            .contains(&text)
    );
}
