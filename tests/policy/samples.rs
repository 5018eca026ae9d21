//! Every sample under `tests/policies` does exactly what its folder says: `valid` compiles without a
//! word, `warned` compiles with exactly the warnings of its `.err` file, `invalid` is refused with
//! exactly the problems of its.
//!
//! `cargo test --test policy -- --ignored bless` writes the `.err` files anew.

use std::fs;
use std::path::{Path, PathBuf};

use toolgate::document::{Level, render};
use toolgate::policy::load;

/// The samples of one folder, in order. Never empty: a folder that lost its samples is a failure.
pub fn samples(folder: &str, at_least: usize) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/policies")
        .join(folder);
    let mut samples: Vec<PathBuf> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|ending| ending == "json" || ending == "yaml")
        })
        .collect();
    samples.sort();
    assert!(
        samples.len() >= at_least,
        "{folder} holds {} samples, at least {at_least} were expected",
        samples.len()
    );
    samples
}

/// What `toolgate check` says about the file, which it knows by its name alone.
fn rendered(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let file = path.file_name().unwrap().to_str().unwrap();
    let (problems, level) = match load("sample", file, &text) {
        Ok(loaded) => (loaded.warnings, Level::Warning),
        Err(problems) => (problems, Level::Error),
    };
    problems
        .iter()
        .map(|problem| render(problem, level, Some(&text)))
        .collect()
}

fn expected(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".err");
    PathBuf::from(name)
}

fn compare(folder: &str, at_least: usize, level: &str) {
    let mut wrong = Vec::new();
    for path in samples(folder, at_least) {
        let said = rendered(&path);
        let recorded = fs::read_to_string(expected(&path)).unwrap_or_default();
        assert!(!said.is_empty(), "{}: nothing was found", path.display());
        assert!(said.contains(level), "{}: {said}", path.display());
        if said != recorded {
            wrong.push(format!(
                "== {}\n-- recorded\n{recorded}-- said\n{said}",
                path.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_valid_sample_compiles_without_a_word() {
    for path in samples("valid", 12) {
        assert_eq!(rendered(&path), "", "{}", path.display());
    }
}

#[test]
fn every_invalid_sample_is_refused_with_exactly_its_recorded_problems() {
    compare("invalid", 35, ": error: ");
}

#[test]
fn every_warned_sample_compiles_with_exactly_its_recorded_warnings() {
    compare("warned", 5, ": warning: ");
}

#[test]
fn every_recorded_answer_belongs_to_a_sample() {
    for folder in ["valid", "invalid", "warned"] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/policies")
            .join(folder);
        for entry in fs::read_dir(root).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "err") {
                assert!(
                    path.with_extension("").exists(),
                    "{} has no sample",
                    path.display()
                );
                assert_ne!(folder, "valid", "{} is not needed", path.display());
            }
        }
    }
}

#[test]
#[ignore = "writes the recorded answers anew; read the difference before you commit it"]
fn bless() {
    for folder in ["invalid", "warned"] {
        for path in samples(folder, 1) {
            fs::write(expected(&path), rendered(&path)).unwrap();
        }
    }
}
