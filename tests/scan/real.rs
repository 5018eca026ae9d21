//! Real servers of both eras, over each transport.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};

use crate::ran::{Listing, Ran, listing, recorded, scan, stdio_command, toolgate};
use crate::support::gate::Folder;
use crate::support::servers::{Everything, node};
use crate::support::wait::PATIENCE;

/// What a scan of the recorded list of `git` in pages of three must come to.
fn is_whole(ran: &Ran, how: &str) {
    assert_eq!(ran.code, 0, "{how}: {ran:?}");
    let expected: Value = serde_json::from_str(&fs::read_to_string(recorded("git")).unwrap()).unwrap();
    let found = ran.json();
    assert_eq!(found["server"], expected["serverInfo"], "{how}");
    let names = |document: &Value| {
        let tools = document["tools"].as_array().unwrap().iter();
        let mut names: Vec<String> = tools
            .map(|tool| tool["name"].as_str().unwrap().to_owned())
            .collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names(&found), names(&expected), "{how}");
    assert!(found["tools"].as_array().unwrap().iter().all(|tool| {
        let reasons = tool["reasons"].as_array().unwrap();
        !reasons.is_empty() && tool["definition"]["inputSchema"].as_str().unwrap().len() == 64
    }));
    assert!(ran.err.contains("has 12 tools"), "{how}: {}", ran.err);
}

#[test]
fn every_page_comes_over_http_in_both_eras_and_over_the_transport_of_2024() {
    let folder = Folder::new("scan-http");
    for (transport, era) in [("http", "session"), ("http", "current"), ("sse", "session")] {
        let server = Listing::start(&listing(&recorded("git"), transport, era));
        is_whole(
            &scan(&folder, &["--format", "json", &server.url]),
            &format!("{transport} {era}"),
        );
    }
}

/// A shell that notes its process id in `file`, and then becomes this command.
fn noting(file: &Path, command: &[String]) -> Vec<String> {
    let script = "echo $$ > \"$0\"; echo a greeting that is no message; exec \"$@\"";
    let mut words: Vec<String> = ["--", "sh", "-c", script].map(str::to_owned).into();
    words.push(file.to_str().unwrap().to_owned());
    words.extend_from_slice(command);
    words
}

fn scan_command(folder: &Folder, arguments: &[&str], command: &[String]) -> (Ran, PathBuf) {
    let file = folder.path().join("pid");
    let words = noting(&file, command);
    let words = arguments.iter().copied().chain(words.iter().map(String::as_str));
    let ran = scan(folder, &words.collect::<Vec<_>>());
    let pid = fs::read_to_string(&file).unwrap();
    (ran, Path::new("/proc").join(pid.trim()))
}

#[test]
fn a_command_is_asked_over_stdio_in_both_eras_and_has_ended_afterwards() {
    let folder = Folder::new("scan-stdio");
    for era in ["session", "current"] {
        let command = stdio_command(&listing(&recorded("git"), "stdio", era));
        let (ran, process) = scan_command(&folder, &["--format", "json"], &command);
        is_whole(&ran, &format!("stdio {era}"));
        assert!(!process.exists(), "{era}: the server is still there");
    }
}

#[test]
fn the_reference_server_is_scanned_over_each_of_its_transports() {
    let folder = Folder::new("scan-everything");
    let check = |ran: &Ran| {
        assert_eq!(ran.code, 0, "{ran:?}");
        let lines = ran.lines();
        let echo = lines.iter().find(|line| line.starts_with("echo ")).unwrap();
        assert!(echo.contains("low") || echo.contains("medium"), "{echo}");
        assert!(lines.last().unwrap().contains(" tools: "), "{ran:?}");
        lines.len()
    };
    let http = check(&scan(&folder, &[&Everything::start().url]));
    let sse = check(&scan(&folder, &[&Everything::start_legacy().url]));
    let mut server = node("everything-server.mjs");
    server.args(["stdio", folder.path().join("control").to_str().unwrap()]);
    let words = [server.get_program()].into_iter().chain(server.get_args());
    let words: Vec<String> = words.map(|word| word.to_str().unwrap().to_owned()).collect();
    let stdio = check(&scan_command(&folder, &[], &words).0);
    assert!(http > 8 && http == sse && sse == stdio, "{http} {sse} {stdio}");
}

#[test]
fn a_command_that_cannot_start_ends_early_or_never_answers_is_an_error() {
    let folder = Folder::new("scan-bad-commands");
    let missing = scan(&folder, &["--", "./no-such-program", "--token=tok-5ecret"]);
    assert_eq!((missing.code, missing.out.as_str()), (2, ""), "{missing:?}");
    assert!(
        missing.err.contains("no-such-program` cannot be started"),
        "{missing:?}"
    );
    let early = scan(&folder, &["--", "sh", "-c", "exit 3", "tok-5ecret"]);
    assert_eq!(early.code, 2, "{early:?}");
    assert!(early.err.contains("the command has ended"), "{early:?}");
    for told in [&missing.err, &early.err] {
        assert!(
            !told.contains("tok-5ecret"),
            "an argument of the command was told: {told}"
        );
    }
    // what it has started itself ends with it
    let file = folder.path().join("pid");
    let script = "sleep 1000 > /dev/null 2>&1 & echo $! > \"$0\"; wait";
    let silent = ["--within", "2", "--", "sh", "-c", script, file.to_str().unwrap()];
    let silent = scan(&folder, &silent);
    assert_eq!(silent.code, 2, "{silent:?}");
    assert!(silent.err.contains("no list of tools within 2 s"), "{silent:?}");
    let process = Path::new("/proc").join(fs::read_to_string(&file).unwrap().trim());
    let began = Instant::now();
    // who has killed it may not have waited for it
    while is_running(&process) {
        assert!(began.elapsed() < PATIENCE, "the command is still running");
        std::thread::yield_now();
    }
}

/// A process that has ended and whose parent has not asked for it is none.
fn is_running(process: &Path) -> bool {
    let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| state != 'Z')
}

#[test]
fn a_header_reaches_the_server_and_nobody_else() {
    const SECRET: &str = "Bearer tok-5ecret-91";
    let folder = Folder::new("scan-header");
    let mut settings = listing(&recorded("git"), "http", "session");
    settings["authorization"] = json!(SECRET);
    let server = Listing::start(&settings);
    let url = format!("{}?key=tok-5ecret-query", server.url);
    let without = scan(&folder, &[&url]);
    assert_eq!((without.code, without.out.as_str()), (2, ""), "{without:?}");
    assert!(without.err.contains("answered 401"), "{without:?}");
    let wrong = scan(&folder, &[&url, "--header", "Authorization: tok-5ecret-wrong"]);
    assert_eq!(wrong.code, 2, "{wrong:?}");
    let header = format!("Authorization: {SECRET}");
    let given = scan(&folder, &[&url, "--header", &header, "--format", "json"]);
    is_whole(&given, "--header");
    let by_env = [
        "scan",
        &url,
        "--header-env",
        "Authorization=MCP_AUTH",
        "--format",
        "json",
    ];
    let by_env = toolgate(&folder, &by_env, &[("MCP_AUTH", SECRET)]);
    is_whole(&by_env, "--header-env");
    let broken = scan(&folder, &[&url, "--header", "tok-5ecret-without-a-colon"]);
    let unset = scan(&folder, &[&url, "--header-env", "Authorization=NOT_SET"]);
    assert_eq!((broken.code, unset.code), (2, 2));
    for ran in [without, wrong, given, by_env, broken, unset] {
        assert!(!format!("{ran:?}").contains("tok-5ecret"), "{ran:?}");
    }
}
