//! The files that people copy are checked by the program that reads them.
#![cfg(test)]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn toolgate(arguments: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_toolgate"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn the_compose_example_is_valid_without_a_warning() {
    let output = toolgate(
        &["check", "--strict", "--config", "examples/compose/toolgate.yaml"],
        "",
    );
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn the_token_that_the_compose_file_shows_is_the_one_of_its_grant() {
    let compose = read("docker-compose.yml");
    let (_, rest) = compose.split_once("Authorization: Bearer ").unwrap();
    let token = rest.split('\'').next().unwrap();
    let output = toolgate(&["grant", "hash"], token);
    let hash = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && hash.trim().len() == 64, "{hash}");
    assert!(
        read("examples/compose/grants.yaml").contains(hash.trim()),
        "no grant has the hash {hash}"
    );
}

#[test]
fn the_list_of_components_has_what_the_binary_is_made_of_and_not_what_tests_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sbom.cdx.json");
    let made = Command::new("python3")
        .arg(root.join("scripts/sbom.py"))
        .arg(&path)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let text = fs::read_to_string(&path).unwrap();
    let bom: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&bom["bomFormat"], &bom["metadata"]["component"]["name"]),
        (&"CycloneDX".into(), &"toolgate".into())
    );
    let components = bom["components"].as_array().unwrap();
    let named = |name: &str| components.iter().find(|component| component["name"] == name);
    for name in ["rustls", "ring", "hyper", "tokio"] {
        let component = named(name).expect(name);
        assert_eq!(
            component["hashes"][0]["content"].as_str().unwrap().len(),
            64,
            "{name}"
        );
        assert!(component["licenses"][0]["expression"].is_string(), "{name}");
    }
    for name in ["proptest", "rcgen"] {
        assert!(named(name).is_none(), "{name}");
    }
}
