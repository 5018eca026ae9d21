//! Which room of `src/` may import which, and what the pure rooms may name. The picture is in ARCHITECTURE.md.
#![cfg(test)]

#[path = "architecture/check.rs"]
mod check;
#[path = "architecture/planted.rs"]
mod planted;
#[path = "architecture/scan.rs"]
mod scan;

use std::fs;
use std::path::Path;

use check::{House, Source};

/// The rooms, and what each may import. A room is a folder `src/NAME/` or a file `src/NAME.rs`.
/// To add a room, add a line; to add an arrow, say in the commit why it may not point the other way.
const ROOMS: &[(&str, &str)] = &[
    ("document", ""),
    ("mcp", ""),
    ("policy", "document mcp"),
    ("counters", "policy"),
    // What waits for people, kept where the counters are.
    ("approvals", "counters"),
    ("replay", "counters mcp policy"),
    // What a server's tools do, told from their definitions, and the first policy for them.
    ("scan", "document mcp policy"),
    ("settings", "document"),
    // Certificates and keys from files, as rustls wants them.
    ("tls", "settings"),
    ("grants", "policy settings"),
    // The audit log's chain: sealing and finding what was changed.
    ("audit", ""),
    ("issuers", "policy settings"),
    ("record", "audit mcp policy"),
    (
        "proxy",
        "approvals counters grants issuers mcp policy record settings tls",
    ),
    ("admin", "record"),
    // Where people decide. It listens as the proxy does and shows what the admin port asks.
    (
        "console",
        "admin approvals document grants policy proxy record settings",
    ),
    // Asks a server what tools it has, over the upstream connections of the proxy.
    ("client", "document mcp proxy settings tls"),
    // Another product's policies, written anew: what it writes is loaded by `policy` before it is handed out.
    ("convert", "document policy"),
    // The example server and the client that drives it know MCP from outside, as anybody's would.
    ("demo", ""),
    (
        "app",
        "admin approvals audit client console counters document grants issuers mcp policy proxy record settings tls",
    ),
    (
        "cli",
        "app audit client console convert counters demo document grants mcp policy record replay scan settings",
    ),
    ("main", "cli"),
    // The crate root declares the rooms and re-exports nothing: `crate::Thing` would hide an arrow.
    ("lib", ""),
];

/// Rooms without which this test would be looking at the wrong folder.
const MUST_EXIST: &[&str] = &["counters", "mcp", "policy"];

/// Rooms without I/O and without a clock: what they answer depends on what they are given, and on nothing else.
const PURE_ROOMS: &[&str] = &["audit", "convert", "document", "mcp", "policy", "replay", "scan"];

/// What a pure room may not name, beside every dependency that [`PURE_CRATES`] does not list.
const IMPURE: &[&str] = &[
    "std::env",
    "std::fs",
    "std::io::stderr",
    "std::io::stdin",
    "std::io::stdout",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::time::UNIX_EPOCH",
];

/// Dependencies that compute and do nothing else.
const PURE_CRATES: &[&str] = &[
    "bytes",
    "data_encoding",
    "granit_parser",
    "jsonschema",
    "memchr",
    "regex",
    "regex_automata",
    "regex_syntax",
    "serde",
    "serde_json",
    "serde_saphyr",
    "sha2",
    "strsim",
    "thiserror",
];

/// Who reads the environment. `prefix` stands for `prefix.rs` and for all of `prefix/`.
const MAY_READ_ENV: &[&str] = &["settings", "main", "cli"];

/// Who knows HTTP status codes: those that choose one, the one that reads the upstream's, and the example server.
const MAY_NAME_STATUS: &[&str] = &[
    "proxy/respond",
    "proxy/upstream",
    "admin",
    "console/respond",
    "demo",
];

/// A file that is longer wants to be two.
const MAX_LINES: usize = 400;

fn house(dependencies: Vec<String>) -> House {
    House {
        rooms: ROOMS,
        must_exist: MUST_EXIST,
        pure_rooms: PURE_ROOMS,
        impure: IMPURE,
        pure_crates: PURE_CRATES,
        may_read_env: MAY_READ_ENV,
        may_name_status: MAY_NAME_STATUS,
        max_lines: MAX_LINES,
        dependencies,
    }
}

#[test]
fn the_sources_keep_to_the_architecture() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    collect(&root.join("src"), "", &mut sources);
    let problems = house(dependencies(root)).check(&sources);
    assert!(
        problems.is_empty(),
        "{} problems:\n{}",
        problems.len(),
        problems.join("\n")
    );
}

fn collect(folder: &Path, prefix: &str, into: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{prefix}{name}");
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &format!("{path}/"), into);
        } else if name.ends_with(".rs") {
            into.push(Source {
                path,
                text: fs::read_to_string(entry.path()).unwrap(),
            });
        }
    }
    into.sort_by(|a, b| a.path.cmp(&b.path));
}

/// The names by which code calls the dependencies of Cargo.toml.
fn dependencies(root: &Path) -> Vec<String> {
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let names = check::dependency_names(&manifest);
    for known in ["tokio", "hyper_util", "serde_json"] {
        assert!(
            names.iter().any(|n| n == known),
            "`{known}` was not found in Cargo.toml: is it read rightly?"
        );
    }
    names
}
