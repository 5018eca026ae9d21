//! The policies of `examples/policies/attacks`: each is sound, and the calls in its comments are decided as it says.

use std::fs;
use std::path::{Path, PathBuf};

use super::cookbook::{Situation, run};

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/policies/attacks");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

#[test]
fn every_policy_against_an_attack_lets_the_work_pass_and_refuses_the_attack() {
    const OUTCOMES: [&str; 5] = ["allowed ", "denied ", "hidden ", "limited ", "by "];
    for path in files() {
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
fn the_page_about_security_names_each_policy_against_an_attack_and_only_files_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/security.md")).unwrap();
    let all = files();
    assert!(all.len() >= 8, "only {} policies were found", all.len());
    for path in all {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(
            page.contains(&format!("attacks/{name}")),
            "docs/security.md does not name {name}"
        );
    }
    let links = page.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    for (target, _) in links.filter(|(target, _)| !target.contains("://") && !target.starts_with('#')) {
        let file = target.split('#').next().unwrap();
        assert!(
            root.join("docs").join(file).exists(),
            "docs/security.md links to {target}"
        );
    }
}
