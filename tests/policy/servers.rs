//! The policies of `examples/policies/servers`: each is sound for the tools of its server as they were recorded, names
//! all of them, and decides the calls in its comments as it says.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use toolgate::mcp::tools::recorded;
use toolgate::policy::{Held, load_against};

use super::cookbook::{Situation, run};

const OUTCOMES: [&str; 5] = ["allowed ", "denied ", "hidden ", "limited ", "needs_approval "];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Each policy with the recorded list of its server.
fn files() -> Vec<(PathBuf, String)> {
    let folder = fs::read_dir(root().join("examples/policies/servers")).unwrap();
    let files = folder.map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .collect();
    files.sort();
    let listed = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let list = root().join(format!("tests/scan/recorded/{name}.json"));
        let list = fs::read_to_string(&list).unwrap_or_else(|error| panic!("{}: {error}", list.display()));
        (path, list)
    };
    files.into_iter().map(listed).collect()
}

#[test]
fn every_policy_for_a_server_lets_work_pass_and_refuses_what_it_says() {
    for (path, _) in files() {
        let situation = Situation::in_comments(&path, &OUTCOMES);
        let (allowed, refused) = run(&path.display().to_string(), &situation);
        assert!(
            allowed > 0 && refused > 0,
            "{}: {allowed}, {refused}",
            path.display()
        );
    }
}

#[test]
fn every_policy_for_a_server_names_all_its_tools_and_nothing_that_it_has_not() {
    for (path, list) in files() {
        let tools = recorded(&list).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let file = path.display().to_string();
        let loaded =
            load_against("policy", &file, &text, &tools).unwrap_or_else(|problems| panic!("{problems:?}"));
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        let known: BTreeSet<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
        assert_eq!(loaded.policy.named_tools(), known, "{file}");
        let free: Vec<&str> = known
            .into_iter()
            .filter(|tool| is_free(&loaded.policy.held(tool)))
            .collect();
        assert!(free.is_empty(), "{file}: without a limit or a person: {free:?}");
        // every tool's line says why
        let lines = text
            .lines()
            .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        for line in lines {
            assert!(line.contains(" # "), "{file}: {line}");
        }
    }
}

fn is_free(held: &Held<'_>) -> bool {
    match held {
        Held::Counted(counters) => counters.is_empty(),
        Held::Unnamed => true,
        Held::Hidden | Held::Denied | Held::Asked => false,
    }
}

#[test]
fn the_index_of_policies_for_servers_names_each_with_package_and_version() {
    let index = fs::read_to_string(root().join("examples/policies/servers/README.md")).unwrap();
    let files = files();
    assert!(files.len() >= 15, "only {} policies were found", files.len());
    for (path, list) in files {
        let server: Value = serde_json::from_str(&list).unwrap();
        let text = |key: &str| server[key].as_str().unwrap().to_owned();
        let (package, version, registry) = (text("package"), text("version"), text("registry"));
        let name = path.file_stem().unwrap().to_str().unwrap();
        let tools = server["tools"].as_array().unwrap().len();
        let row = format!("| [{name}]({name}.yaml) | `{package}` | {version} | {registry} | {tools} |");
        assert!(index.contains(&row), "the index misses: {row}");
        let head = format!("# {package} {version}: begun by `toolgate scan`, then looked over.");
        let policy = fs::read_to_string(&path).unwrap();
        assert!(
            policy.lines().any(|line| line == head),
            "{}: {head}",
            path.display()
        );
    }
}
