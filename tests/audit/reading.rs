//! `audit tail` and `audit top`, on what people would read.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::json;

use super::bench::audit;
use crate::support::child::Child;
use crate::support::gate::Folder;
use crate::support::wait::PATIENCE;

fn line(minute: u32, grant: &str, tool: &str, outcome: &str) -> String {
    let time = format!("2026-01-01T00:{minute:02}:00.000Z");
    let line = json!({ "time": time, "grant": grant, "server": "s", "method": "tools/call", "tool": tool, "outcome": outcome, "rule": null });
    format!("{line}\n")
}

fn log() -> (Folder, String) {
    let folder = Folder::new("reading");
    let mut text = "{\"event\":\"listening\"}\n".to_owned();
    text += &line(1, "ci", "run", "allowed");
    text += &line(2, "ci", "run", "limited");
    text += &line(3, "laptop", "evil\u{1b}[2J\u{202e}", "denied");
    text += &line(4, &"wide".repeat(30), "run", "allowed");
    text += "{\"time\":\"2026-01-01T00:04:30.000Z\",\"grant\":\"ci\",\"server\":\"s\",\"method\":\"tools/call\",\"tool\":\"run\",\"outcome\":\"limited\",\"count\":41}\n";
    folder.write("audit.jsonl", &text);
    let path = folder.path().join("audit.jsonl").to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn a_tail_is_a_plain_table_in_which_nothing_steers_the_terminal() {
    let (_folder, path) = log();
    let (code, text) = audit(&["tail", &path, "--no-follow"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((code, lines.len()), (0, 6), "{text}");
    assert!(
        lines[0].starts_with("TIME") && lines[0].ends_with("RULE"),
        "{text}"
    );
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    assert!(lines[3].contains(r"evil\u{1b}[2J\u{202e}"), "{text}");
    assert!(lines[4].contains("widew…  s "), "{text}");
    assert!(lines[5].contains("limited") && lines[5].contains(" 41"), "{text}");
}

#[test]
fn filters_choose_and_the_last_lines_are_shown() {
    let (_folder, path) = log();
    let count = |more: &[&str]| {
        let all = [&["tail", path.as_str(), "--no-follow"], more].concat();
        let (code, text) = audit(&all);
        assert_eq!(code, 0, "{text}");
        text.lines().count() - 1
    };
    assert_eq!(count(&["--grant", "ci"]), 3);
    assert_eq!(count(&["--grant", "ci", "--outcome", "limited"]), 2);
    assert_eq!(count(&["--tool", "run", "--since", "2026-01-01T00:02:00Z"]), 3);
    assert_eq!(count(&["-n", "2"]), 2);
    assert_eq!(count(&["--since", "1h"]), 0);
    let (code, text) = audit(&["tail", &path, "--no-follow", "--since", "soon"]);
    assert!(code == 1 && text.contains("--since: write"), "{text}");
    let (code, text) = audit(&["tail", &format!("{path}.not")]);
    assert!(code == 1 && text.contains("cannot open the log"), "{text}");
}

#[test]
fn a_tail_follows_a_log_that_is_turned_over() {
    let (folder, path) = log();
    let mut command = Command::new(env!("CARGO_BIN_EXE_toolgate"));
    let mut tail = Child::start("tail", command.args(["audit", "tail", &path, "-n", "1"]));
    let wait = |what: &str| tail.wait_line(what, PATIENCE, |line| line.contains(what).then_some(()));
    wait(" 41");
    let mut log = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    log.write_all(line(5, "ci", "first_more", "allowed").as_bytes())
        .unwrap();
    wait("first_more");
    std::fs::rename(&path, format!("{path}.1")).unwrap();
    log.write_all(line(6, "ci", "in_the_old_file", "allowed").as_bytes())
        .unwrap();
    folder.write("audit.jsonl", &line(7, "ci", "in_the_new_file", "allowed"));
    wait("in_the_new_file");
    assert!(tail.stdout().contains("in_the_old_file"), "{}", tail.stdout());
    tail.kill();
}

#[test]
fn top_counts_by_grant_tool_and_outcome() {
    let (_folder, path) = log();
    let (code, text) = audit(&["top", &path]);
    let rows: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(code, 0, "{text}");
    assert_eq!(rows[0], ["GRANT", "TOOL", "OUTCOME", "LAST", "MIN", "TOTAL"]);
    // the folded line counts for 41, and the last minute is the log's own
    assert_eq!(rows[1], ["ci", "run", "limited", "41", "42"]);
    assert!(
        rows.iter().any(|row| row.ends_with(&["allowed", "1", "1"])),
        "{text}"
    );
    assert!(
        rows.iter()
            .any(|row| row[..] == ["ci", "run", "allowed", "0", "1"]),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn colours_are_for_a_terminal_alone() {
    let (_folder, path) = log();
    let run = |arguments: &str| {
        let command = format!("{} audit {arguments} {path}", env!("CARGO_BIN_EXE_toolgate"));
        let output = Command::new("script")
            .args(["-qec", &command, "/dev/null"])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let tail = run("tail --no-follow");
    assert!(
        tail.contains("\u{1b}[32mallowed") && tail.contains("\u{1b}[33mlimited"),
        "{tail:?}"
    );
    // what a caller chose is escaped there as well
    assert!(
        !tail.contains("[2J\u{202e}") && tail.contains(r"evil\u{1b}[2J"),
        "{tail:?}"
    );
    assert!(!run("tail --no-follow --format json").contains("\u{1b}[3"));
}

#[test]
fn on_a_terminal_the_table_is_drawn_again_and_again() {
    let (_folder, path) = log();
    let command = format!("{} audit top {path}", env!("CARGO_BIN_EXE_toolgate"));
    let mut top = Child::start(
        "top",
        Command::new("script").args(["-qec", &command, "/dev/null"]),
    );
    // nothing of that log is of the last minute
    let row =
        |line: &str| (line.contains("limited") && line.trim_end().ends_with("0          42")).then_some(());
    top.wait_line("row of the table", PATIENCE, row);
    let mut heads = 0;
    top.wait_line("second table", PATIENCE, |line| {
        heads += usize::from(line.contains("\u{1b}[2J\u{1b}[H"));
        (heads == 2).then_some(())
    });
    top.kill();
}

#[test]
fn a_pipe_is_read_to_its_end() {
    let mut text = String::new();
    for minute in 0..50 {
        write!(text, "{}", line(minute, "ci", "run", "allowed")).unwrap();
    }
    let mut tail = Command::new(env!("CARGO_BIN_EXE_toolgate"))
        .args(["audit", "tail", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    tail.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = tail.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 21);
}

#[test]
fn what_is_no_log_is_told_with_its_exit_code() {
    let folder = Folder::new("no-log");
    folder.write("empty", "");
    folder.write("text", "hello\nworld\n");
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    assert_eq!(audit(&["verify", &at("empty")]).0, 0);
    assert_eq!(audit(&["verify", &at("text")]).0, 1);
    let (code, text) = audit(&["verify", &at("missing")]);
    assert!(code == 2 && text.contains("cannot open the log"), "{text}");
    folder.write("packed.gz", "\u{1f}");
    std::fs::write(folder.path().join("packed.gz"), [0x1f, 0x8b, 8]).unwrap();
    let (code, text) = audit(&["verify", &at("packed.gz")]);
    assert!(code == 2 && text.contains("gzip -dc"), "{text}");
}
