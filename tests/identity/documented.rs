//! The examples of docs/identity.md are files that a gate starts with.

use std::collections::BTreeMap;
use std::path::Path;

use toolgate::app::load_files;
use toolgate::settings::load_with;

/// Blocks by the name behind `yaml`, in order.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("```yaml ") else {
            continue;
        };
        let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        found.push((name.to_owned(), body.join("\n") + "\n"));
    }
    found
}

#[test]
fn every_example_is_taken() {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/identity.md")).unwrap();
    let folder = std::env::temp_dir().join(format!("toolgate-identity-docs-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("policies")).unwrap();
    for policy in ["coalesce", "admins", "read-only"] {
        std::fs::write(
            folder.join(format!("policies/{policy}.json")),
            r#"{"version":"1","default":"allow"}"#,
        )
        .unwrap();
    }
    // the static token's example has the settings of the first that follow
    let blocks = blocks(&text);
    let mut settings = blocks
        .iter()
        .find(|(name, _)| name == "toolgate.yaml")
        .unwrap()
        .1
        .as_str();
    let mut tried = 0;
    for (name, body) in &blocks {
        if name == "toolgate.yaml" {
            settings = body;
            continue;
        }
        assert_eq!(name, "grants.yaml");
        std::fs::write(folder.join("toolgate.yaml"), settings).unwrap();
        std::fs::write(folder.join("grants.yaml"), body).unwrap();
        let settings = load_with(&folder.join("toolgate.yaml"), &BTreeMap::new()).unwrap();
        let loaded = load_files(&settings.files, settings.servers.keys().map(String::as_str)).unwrap();
        assert!(loaded.grants.iter().next().is_some());
        tried += 1;
    }
    assert_eq!(tried, 5, "an example was lost");
    std::fs::remove_dir_all(&folder).unwrap();
}
