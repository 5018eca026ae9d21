//! The command: logs in, a table or JSON out, and exit codes that scripts can rely on.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::history::{Step, log, policy};

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Folder {
    fn new() -> Self {
        let mut name = [0; 8];
        getrandom::fill(&mut name).unwrap();
        let folder = std::env::temp_dir().join(format!("toolgate-replay-{:016x}", u64::from_be_bytes(name)));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> &Self {
        fs::write(self.0.join(name), text).unwrap();
        self
    }

    /// Exit code, stdout and stderr.
    fn run(&self, arguments: &[&str], stdin: &str) -> (i32, String, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_toolgate"))
            .arg("replay")
            .args(arguments)
            .current_dir(&self.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // it may have ended before it read everything
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    }
}

fn runs(max: u32) -> String {
    format!(
        r#"{{"version":"1","default":"deny","tools":{{"run":{{"limits":[{{"counter":"runs","window":"minute","max":{max}}}]}},"look":{{}}}}}}"#
    )
}

/// Six calls in six seconds under a limit of 4, one to another tool.
fn six() -> Vec<String> {
    let mut steps: Vec<Step> = (0..5).map(|_| Step::call(1_000, "run", "{}")).collect();
    steps.push(Step::call(1_000, "look", "{}"));
    log(&policy(&runs(4)), &steps)
}

fn text(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_same_policy_shows_no_differences() {
    let folder = Folder::new();
    folder.file("p.json", runs(4)).file("log", text(&six()));
    let (code, out, err) = folder.run(&["--policy", "p.json", "log", "--fail-on-new-denials"], "");
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(
        out.starts_with("no differences\n") && out.contains("alike           6"),
        "{out}"
    );
}

#[test]
fn a_stricter_policy_shows_what_it_would_refuse_and_fails_where_that_was_asked_for() {
    let folder = Folder::new();
    let stricter = runs(2).replace(r#""look":{}"#, r#""look":{"action":"deny"}"#);
    folder.file("p.json", stricter).file("log", text(&six()));
    let (code, out, err) = folder.run(&["--policy", "p.json", "log"], "");
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let wanted = [
        "TOOL  GRANT  THEN     NOW      RULE                    COUNT",
        "run   ci     allowed  limited  /tools/run/limits/runs      2",
        "look  ci     allowed  denied   /tools/look/action          1",
        "",
        "lines             6",
        "decisions         6",
        "  alike           3",
        "  newly denied    3",
        "  newly allowed   0",
        "  cannot be told  0",
    ];
    assert_eq!(out.lines().collect::<Vec<_>>(), wanted);
    let (code, ..) = folder.run(&["--policy", "p.json", "log", "--fail-on-new-denials"], "");
    assert_eq!(code, 1);
}

#[test]
fn a_looser_policy_shows_what_it_would_allow_and_does_not_fail() {
    let folder = Folder::new();
    folder.file("p.json", runs(10)).file("log", text(&six()));
    let arguments = [
        "--policy",
        "p.json",
        "log",
        "--fail-on-new-denials",
        "--format",
        "json",
    ];
    let (code, out, _) = folder.run(&arguments, "");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 0);
    let row = json!({"tool": "run", "grant": "ci", "then": "limited", "then_rule": "/tools/run/limits/runs",
        "now": "allowed", "now_rule": null, "count": 1});
    assert_eq!(report["differences"], json!([row]));
    assert_eq!(report["totals"]["newly_allowed"], 1);
}

#[test]
fn logs_of_replicas_are_merged_by_time_and_one_may_be_stdin() {
    let folder = Folder::new();
    let lines = six();
    // one replica had the last calls, the other the first
    folder.file("p.json", runs(4)).file("one", text(&lines[3..]));
    let (code, out, _) = folder.run(&["--policy", "p.json", "one", "-"], &text(&lines[..3]));
    assert_eq!(code, 0);
    assert!(
        out.starts_with("no differences\n") && out.contains("alike           6"),
        "{out}"
    );
    // far more than what a line may stand behind
    let hours: Vec<Step> = (0..8).map(|_| Step::call(3_600_000, "run", "{}")).collect();
    let hours = log(&policy(&runs(4)), &hours);
    let (even, odd): (Vec<_>, Vec<_>) = hours
        .into_iter()
        .enumerate()
        .partition(|(number, _)| number % 2 == 0);
    let of = |lines: Vec<(usize, String)>| lines.into_iter().map(|(_, line)| line).collect::<Vec<_>>();
    folder.file("even", text(&of(even))).file("odd", text(&of(odd)));
    let (_, out, _) = folder.run(&["--policy", "p.json", "odd", "even"], "");
    assert!(
        out.contains("alike           8") && !out.contains("late"),
        "{out}"
    );
    let (code, _, err) = folder.run(&["--policy", "p.json", "-", "-"], "");
    assert_eq!((code, err.contains("`-` stands twice")), (2, true), "{err}");
}

#[test]
fn lines_that_are_no_decisions_are_counted_with_their_place_and_stop_nothing() {
    let folder = Folder::new();
    let long = "x".repeat(3 << 20);
    let odd = format!(
        "{{\"event\":\"listening\"}}\nnot json\n{}{long}\n{{\"outcome\":\"allowed\"}}\n\u{1b}[2J",
        text(&six())
    );
    folder.file("p.json", runs(4)).file("log", odd);
    let (code, out, err) = folder.run(&["--policy", "p.json", "log"], "");
    assert_eq!((code, err.as_str()), (0, ""));
    for wanted in [
        "malformed     4",
        "log:2: this is no JSON at column",
        "log:9: the line has more than 1048576 bytes",
        "log:10: this is no decision: `time` is missing",
        "log:11: this is no JSON",
        "alike           6",
    ] {
        let wanted: Vec<&str> = wanted.split_whitespace().collect();
        let squeezed = out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(squeezed.contains(&wanted.join(" ")), "{wanted:?} in {out}");
    }
    assert!(!out.contains('\u{1b}'));
}

#[test]
fn input_that_cannot_be_used_is_told_on_stderr_with_exit_code_2() {
    let folder = Folder::new();
    folder
        .file("p.json", runs(4))
        .file("bad.json", r#"{"version":"1","defualt":"deny"}"#)
        .file("log", text(&six()))
        .file("none", "a\nb\n")
        .file("packed", [0x1f, 0x8b, 8, 0])
        .file("empty", "");
    for (arguments, wanted) in [
        (
            ["--policy", "bad.json", "log"],
            "bad.json:1:16: error: unknown key `defualt`",
        ),
        (
            ["--policy", "gone.json", "log"],
            "gone.json: cannot read the policy",
        ),
        (["--policy", "p.json", "gone"], "gone: cannot open the log"),
        (["--policy", "p.json", "packed"], "gzip -dc packed"),
        (
            ["--config", "gone.yaml", "log"],
            "gone.yaml: cannot read the settings",
        ),
    ] {
        let (code, out, err) = folder.run(&arguments, "");
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        assert!(err.contains(wanted), "{wanted}: {err}");
    }
    let (code, out, _) = folder.run(&["--policy", "p.json", "none"], "");
    assert_eq!(
        (code, out.contains("none:1: this is no JSON")),
        (2, true),
        "{out}"
    );
    let (code, out, _) = folder.run(&["--policy", "p.json", "empty"], "");
    assert_eq!((code, out.starts_with("no differences")), (0, true), "{out}");
}

#[test]
fn policies_that_contradict_each_other_are_refused_together() {
    let folder = Folder::new();
    let calendar = runs(4).replace(r#""window""#, r#""mode":"calendar","window""#);
    folder
        .file("a.json", runs(4))
        .file("b.json", calendar)
        .file("log", "");
    let (code, _, err) = folder.run(&["--policy", "a.json", "--policy", "b.json", "log"], "");
    assert_eq!(
        (code, err.contains("mode `calendar` here and `sliding`")),
        (2, true),
        "{err}"
    );
}

#[test]
fn with_settings_each_grant_has_its_own_policies() {
    let folder = Folder::new();
    let hash = |id: char| id.to_string().repeat(64);
    let grants = format!(
        "grants:\n  - {{ id: ci, token_sha256: \"{}\", server: s, policy: p }}\n  - {{ id: laptop, token_sha256: \"{}\", server: s }}\n",
        hash('a'),
        hash('b')
    );
    let settings = "servers:\n  s: { upstream: 'http://127.0.0.1:9/mcp' }\npolicies: { p: p.json }\ngrants: grants.yaml\n";
    let steps: Vec<Step> = ["ci", "laptop", "gone"]
        .map(|grant| Step {
            grant,
            ..Step::call(1, "look", "{}")
        })
        .to_vec();
    folder
        .file("p.json", runs(4))
        .file("toolgate.yaml", settings)
        .file("grants.yaml", grants)
        .file("log", text(&log(&policy(&runs(4)), &steps)));
    let (code, out, err) = folder.run(&["--config", "toolgate.yaml", "log"], "");
    assert_eq!((code, err.as_str()), (0, ""));
    let rows: Vec<String> = out
        .lines()
        .skip(1)
        .take(2)
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        rows,
        [
            "look gone allowed unauthenticated (unknown grant) 1",
            "look laptop allowed denied (no policy) 1",
        ]
    );
}
