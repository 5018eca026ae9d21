//! The recorded tools, their labels, and the halves.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};
use toolgate::mcp::tools::{Tool, recorded};
use toolgate::scan::{Class, Classed, classify};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    Tuning,
    HeldBack,
}

/// One recorded server.
pub struct Server {
    /// The name of its files.
    pub name: String,
    pub package: String,
    pub version: String,
    pub half: Half,
    /// As it calls itself.
    pub called: Option<String>,
    pub tools: Vec<Tool>,
    /// By name of the tool.
    pub labels: BTreeMap<String, Class>,
}

impl Server {
    /// Each tool as it is classed, with its label.
    pub fn classed(&self) -> Vec<(Classed, Class)> {
        let classed = classify(self.called.as_deref(), &self.tools).into_iter();
        classed
            .map(|tool| {
                let label = self.labels[&tool.name];
                (tool, label)
            })
            .collect()
    }
}

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scan")
}

/// All recorded servers, by name.
pub fn servers() -> Vec<Server> {
    let split = fs::read_to_string(folder().join("split.txt")).unwrap();
    let mut servers: Vec<Server> = split.lines().map(server).collect();
    servers.sort_by(|a, b| a.name.cmp(&b.name));
    let files = fs::read_dir(folder().join("recorded")).unwrap().count();
    assert_eq!(servers.len(), files, "split.txt and recorded/ do not agree");
    servers
}

fn server(line: &str) -> Server {
    let (half, name) = line.split_once(char::is_whitespace).unwrap();
    let name = name.trim().to_owned();
    let text = fs::read_to_string(folder().join(format!("recorded/{name}.json"))).unwrap();
    let whole: Value = serde_json::from_str(&text).unwrap();
    let labels = fs::read_to_string(folder().join(format!("labels/{name}.txt"))).unwrap();
    let labels = labels.lines().map(|line| {
        let (class, tool) = line.split_once(char::is_whitespace).unwrap();
        (tool.trim().to_owned(), Class::named(class).unwrap())
    });
    let text_of = |pointer: &str| whole.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    Server {
        package: text_of("/package").unwrap(),
        version: text_of("/version").unwrap(),
        called: text_of("/serverInfo/name"),
        half: match half {
            "tuning" => Half::Tuning,
            "held_back" => Half::HeldBack,
            other => panic!("{other}"),
        },
        tools: recorded(&text).unwrap(),
        labels: labels.collect(),
        name,
    }
}

#[test]
fn every_tool_has_one_label_and_the_set_is_large_enough() {
    let servers = servers();
    for server in &servers {
        let mut names: Vec<&str> = server.tools.iter().map(|tool| tool.name.as_str()).collect();
        names.sort_unstable();
        let labelled: Vec<&str> = server.labels.keys().map(String::as_str).collect();
        assert_eq!(names, labelled, "{}", server.name);
    }
    let tools: usize = servers.iter().map(|server| server.tools.len()).sum();
    assert!(servers.len() >= 12 && tools >= 200, "{} {tools}", servers.len());
}

#[test]
fn the_halves_follow_from_the_packages_names_alone() {
    let mut servers = servers();
    servers.sort_by_key(|server| Sha256::digest(server.package.as_bytes()));
    let held_back = servers.len().div_ceil(2);
    for (index, server) in servers.iter().enumerate() {
        let expected = if index < held_back {
            Half::HeldBack
        } else {
            Half::Tuning
        };
        assert_eq!(server.half, expected, "{}", server.name);
    }
}
