//! `check`, `check --convert` and `diff` as scripts call them: what goes where, and the exit codes.
#![cfg(test)]

#[path = "commands/config.rs"]
mod config;
#[path = "commands/history.rs"]
mod history;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

/// A folder of the test's own, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        static FOLDERS: AtomicU32 = AtomicU32::new(0);
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("toolgate-commands-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in files {
            std::fs::write(folder.join(name), text).unwrap();
        }
        Self(folder)
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, "")
    }

    fn run_with(&self, arguments: &[&str], stdin: &str) -> Ran {
        let mut child = Command::new(env!("CARGO_BIN_EXE_toolgate"))
            .args(arguments)
            .current_dir(&self.0)
            // what a GitHub runner sets changes nothing by itself
            .env("GITHUB_ACTIONS", "true")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // a command that does not read has closed it
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        Ran {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // a folder that is left behind is no failure of what was tested
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

const SOUND: &str = "version: \"1\"\ndefault: deny\ntools: { a: {} }\n";
const WARNED: &str = "version: \"1\"\ndefault: deny\nhide: [x, x]\n";
const FAULTY: &str = "version: \"1\"\ndefualt: deny\n";

#[test]
fn the_json_report_is_one_document_with_every_problem_of_every_file() {
    let folder = Folder::new(&[
        ("sound.yaml", SOUND),
        ("warned.yaml", WARNED),
        ("faulty.yaml", FAULTY),
    ]);
    let files = ["sound.yaml", "warned.yaml", "faulty.yaml", "missing.yaml"];
    let ran = folder.run(&[&["check", "--format", "json"], &files[..]].concat());
    let report = ran.json();
    assert_eq!((ran.code, ran.err.as_str()), (2, ""));
    let counts = (&report["errors"], &report["warnings"], &report["unreadable"]);
    assert_eq!(counts, (&json!(1), &json!(1), &json!(1)));
    for (index, file) in files.iter().enumerate() {
        assert_eq!(report["files"][index]["file"], *file);
        assert_eq!(report["files"][index]["ok"], json!(index == 0));
        assert_eq!(report["files"][index]["readable"], json!(index < 3));
    }
    let warning = json!({"level": "warning", "file": "warned.yaml", "line": 3, "column": 11,
        "message": "`x` is hidden by `x` already", "help": "take it out"});
    assert_eq!(report["files"][1]["problems"], json!([warning]));
}

#[test]
fn exit_codes_are_the_same_in_every_format() {
    let folder = Folder::new(&[
        ("sound.yaml", SOUND),
        ("warned.yaml", WARNED),
        ("faulty.yaml", FAULTY),
    ]);
    for format in ["text", "json", "github"] {
        let code = |more: &[&str]| folder.run(&[&["check", "--format", format], more].concat()).code;
        assert_eq!(code(&["sound.yaml"]), 0, "{format}");
        assert_eq!(code(&["warned.yaml"]), 0, "{format}");
        assert_eq!(code(&["--strict", "warned.yaml"]), 1, "{format}");
        assert_eq!(code(&["faulty.yaml", "sound.yaml"]), 1, "{format}");
        assert_eq!(code(&["faulty.yaml", "missing.yaml"]), 2, "{format}");
    }
}

#[test]
fn annotations_name_the_line_and_only_where_they_are_asked_for() {
    let folder = Folder::new(&[("faulty.yaml", FAULTY)]);
    let ran = folder.run(&["check", "--format", "github", "faulty.yaml"]);
    let first = "::error file=faulty.yaml,line=2,col=1,title=toolgate check::unknown key `defualt`";
    assert!(ran.out.lines().any(|line| line.starts_with(first)), "{}", ran.out);
    let plain = folder.run(&["check", "faulty.yaml"]);
    assert!(!plain.out.contains("::error"), "{}", plain.out);
}

#[test]
fn a_run_over_the_settings_is_one_document_too() {
    let settings = "servers: { s: { upstream: http://127.0.0.1:1/mcp } }\npolicies: { p: p.yaml }\ngrants: grants.yaml\n";
    let grants = "grants: [{ id: g, token_sha256: \"00\", server: s, policy: p }]\n";
    let folder = Folder::new(&[
        ("toolgate.yaml", settings),
        ("p.yaml", SOUND),
        ("grants.yaml", grants),
    ]);
    let check = ["check", "--format", "json", "--config", "toolgate.yaml"];
    let ran = folder.run(&check);
    let report = ran.json();
    assert_eq!(ran.code, 1, "{report:#}");
    assert_eq!(
        report["files"][0],
        json!({"file": "toolgate.yaml", "ok": true, "readable": true, "problems": []})
    );
    assert_eq!(report["files"][1]["ok"], true);
    assert_eq!(report["files"][2]["file"], "grants.yaml");
    let problem = &report["files"][2]["problems"][0];
    assert_eq!(
        (&problem["level"], &problem["line"]),
        (&json!("error"), &Value::Null)
    );
    std::fs::write(folder.0.join("toolgate.yaml"), "listn: 1\n").unwrap();
    let broken = folder.run(&check);
    assert_eq!(
        (broken.code, &broken.json()["errors"]),
        (1, &json!(1)),
        "{}",
        broken.out
    );
    std::fs::remove_file(folder.0.join("toolgate.yaml")).unwrap();
    assert_eq!(folder.run(&check).code, 2);
}

#[test]
fn diff_tells_by_its_exit_code_whether_anything_is_decided_differently() {
    let other = "{\"tools\": {\"a\": {\"action\": \"allow\"}}, \"default\": \"deny\", \"version\": \"1\"}";
    let denied = "version: \"1\"\ndefault: deny\ntools: { a: { action: deny } }\n";
    let folder = Folder::new(&[
        ("old.yaml", SOUND),
        ("same.json", other),
        ("new.yaml", denied),
        ("faulty.yaml", FAULTY),
    ]);
    let same = folder.run(&["diff", "old.yaml", "same.json"]);
    assert_eq!(
        (same.code, same.out.as_str()),
        (0, "no difference: both decide every call alike\n")
    );
    let text = folder.run(&["diff", "old.yaml", "new.yaml"]);
    assert_eq!(text.code, 1);
    assert_eq!(
        text.out,
        "a: was allowed, now denied (/tools/a/action)\n1 difference\n"
    );
    let found = folder.run(&["diff", "--format", "json", "old.yaml", "new.yaml"]);
    let change = json!({"about": "a", "text": "was allowed, now denied", "old_rule": null, "new_rule": "/tools/a/action"});
    let expected = json!({"old": "old.yaml", "new": "new.yaml", "different": true, "changes": [change]});
    assert_eq!((found.code, found.json()), (1, expected));
    for (old, new, said) in [
        ("faulty.yaml", "old.yaml", "faulty.yaml:2:1: error"),
        ("old.yaml", "gone.yaml", "cannot be read"),
    ] {
        let ran = folder.run(&["diff", old, new]);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.out.contains(said), "{ran:?}");
    }
}

#[test]
fn a_converted_policy_goes_to_stdout_and_what_is_said_of_it_to_stderr() {
    let old = "version: \"1\"\ntools:\n  t:\n    rules:\n      - { name: r, rate_limit: 5/hour }\n      - { name: s, conditions: [{ path: args.x, op: in, value: [] }] }\n";
    let folder = Folder::new(&[("old.yaml", old), ("not.yaml", "version: \"1\"\nrules: []\n")]);
    let ran = folder.run(&["check", "--convert", "old.yaml"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.err
            .contains("old.yaml:6:33: note: `s`: no value is in an empty list"),
        "{}",
        ran.err
    );
    std::fs::write(folder.0.join("new.yaml"), &ran.out).unwrap();
    let checked = folder.run(&["check", "new.yaml"]);
    assert_eq!(checked.code, 0, "{checked:?}");
    let refused = folder.run(&["check", "--convert", "not.yaml"]);
    assert_eq!((refused.code, refused.out.as_str()), (1, ""));
    assert!(
        refused.err.contains("not.yaml:2:1: error: unknown key `rules`"),
        "{}",
        refused.err
    );
    assert_eq!(folder.run(&["check", "--convert", "gone.yaml"]).code, 2);
    assert_eq!(
        folder.run(&["check", "--convert", "old.yaml", "--strict"]).code,
        2
    );
}
