//! Every policy that is shown somewhere is one that toolgate reads.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
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

/// Every policy below `examples/`.
fn examples(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            examples(&path, into);
        } else if path.parent().unwrap().ends_with("policies") {
            into.push(path);
        }
    }
}

/// The schema that an editor finds: in the key `$schema`, in YAML in the comment that its language server reads.
fn named_schema(text: &str, value: &Value) -> Option<String> {
    let comment = text
        .lines()
        .find_map(|line| line.strip_prefix("# yaml-language-server: $schema="));
    let key = value.get("$schema").and_then(Value::as_str);
    comment.or(key).map(str::to_owned)
}

#[test]
fn every_example_policy_is_sound_and_names_the_schema_that_it_satisfies() {
    let schema = root().join("schema/policy.schema.json");
    let recorded: Value = serde_json::from_str(&fs::read_to_string(&schema).unwrap()).unwrap();
    let validator = jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .build(&recorded)
        .unwrap();
    let mut found = Vec::new();
    examples(&root().join("examples"), &mut found);
    assert!(
        found.len() >= 6,
        "only {} example policies were found",
        found.len()
    );
    for path in found {
        let (text, shown) = (fs::read_to_string(&path).unwrap(), path.display());
        let value: Value = if path.extension().is_some_and(|ending| ending == "json") {
            serde_json::from_str(&text).unwrap()
        } else {
            serde_saphyr::from_str(&text).unwrap()
        };
        let named = named_schema(&text, &value).unwrap_or_else(|| panic!("{shown} names no schema"));
        let named = path.parent().unwrap().join(named).canonicalize();
        assert_eq!(named.unwrap(), schema.canonicalize().unwrap(), "{shown}");
        let faults: Vec<String> = validator
            .iter_errors(&value)
            .map(|error| error.to_string())
            .collect();
        assert!(faults.is_empty(), "{shown}: {faults:#?}");
        let problems = match load("example", path.to_str().unwrap(), &text) {
            Err(problems) => problems,
            Ok(loaded) => loaded.warnings,
        };
        assert!(problems.is_empty(), "{problems:#?}");
    }
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
