//! What happens before the server starts, and what it is given.

use std::process::Command;

use serde_json::json;

use super::policy;
use super::support::wrapped::{Place, Wrapped, decisions_in};

/// The exit code and stderr of a start that fails, and that the server was never started.
fn failed(place: &Place, command: &mut Command) -> (Option<i32>, String) {
    command.arg("--").args(place.raw_server(false));
    let ended = command.output().unwrap();
    assert!(ended.stdout.is_empty(), "stdout is MCP alone");
    assert_eq!(place.log(), Vec::<String>::new(), "the server was started");
    (
        ended.status.code(),
        String::from_utf8_lossy(&ended.stderr).into_owned(),
    )
}

#[test]
fn without_a_good_policy_the_server_is_not_started() {
    let place = Place::with(&policy());
    let (code, stderr) = failed(&place, &mut place.bare());
    assert_eq!(code, Some(2));
    assert!(stderr.contains("--policy"), "{stderr}");
    let (code, stderr) = failed(&place, place.bare().args(["--policy", "/nowhere/policy.json"]));
    assert_eq!(code, Some(1));
    assert!(stderr.contains("/nowhere/policy.json"), "{stderr}");
    place
        .folder
        .write("bad.json", r#"{ "version": "1", "default": "perhaps" }"#);
    let bad = place.path("bad.json").display().to_string();
    let (code, stderr) = failed(&place, place.bare().args(["--policy", &bad]));
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("bad.json:1") && stderr.contains("perhaps"),
        "{stderr}"
    );
}

#[test]
fn nothing_is_started_where_an_option_is_wrong() {
    let place = Place::with(&policy());
    let cases: [(&[&str], &str); 5] = [
        (&["--env", "NOT_SET"], "`NOT_SET`"),
        (&["--env", "TOOLGATE__COUNTERS__URL"], "toolgate's own"),
        (&["--env", "A=B"], "write the name alone"),
        (&["--server", "../escape"], "--server"),
        (&["--config", "/nowhere/toolgate.yaml"], "/nowhere/toolgate.yaml"),
    ];
    for (options, expected) in cases {
        let (code, stderr) = failed(&place, &mut place.wrap(options));
        assert_eq!(code, Some(1), "{options:?}");
        assert!(stderr.contains(expected), "{options:?}: {stderr}");
    }
    let missing = place.wrap(&["--", "/nowhere/server"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(stderr.contains("`/nowhere/server` cannot be started"), "{stderr}");
}

#[test]
fn the_server_gets_little_of_the_environment_and_no_descriptor_of_ours() {
    let place = Place::with(&policy());
    place.folder.write("secret", "from outside");
    let look = r#"cat /proc/$$/environ >"$0/environ"; ls -l /proc/$$/fd >"$0/fds""#;
    let mut inner = place.wrap(&["--env", "MY_TOKEN", "--", "sh", "-c", look]);
    inner.arg(place.folder.path());
    // a shell hands on two open files, as a careless parent does
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"exec 7<"$0" 8>/dev/null "$@""#])
        .arg(place.path("secret"))
        .arg(inner.get_program())
        .args(inner.get_args())
        .env_clear()
        .envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("MY_TOKEN", "wanted")
        .env("OTHER_TOKEN", "unwanted")
        .env("LANG", "C.UTF-8")
        .env("TOOLGATE__LIMITS__BODY_BYTES", "100000");
    let mut client = Wrapped::start(&mut command);
    assert_eq!(client.end().code(), Some(0));
    let environ = std::fs::read_to_string(place.path("environ")).unwrap();
    let entries: Vec<&str> = environ.split_terminator('\0').collect();
    let mut names: Vec<&str> = entries
        .iter()
        .map(|entry| entry.split_once('=').unwrap().0)
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["HOME", "LANG", "MY_TOKEN", "PATH"]);
    assert!(entries.contains(&"MY_TOKEN=wanted"));
    let open = std::fs::read_to_string(place.path("fds")).unwrap();
    let numbers: Vec<&str> = open
        .lines()
        .filter_map(|line| Some(line.split_once(" -> ")?.0.rsplit_once(' ')?.1))
        .collect();
    assert!(
        numbers.contains(&"2") && !numbers.contains(&"7") && !numbers.contains(&"8"),
        "{open}"
    );
}

#[test]
fn a_variable_that_is_no_text_stops_nothing() {
    use std::os::unix::ffi::OsStrExt as _;
    let place = Place::with(&policy());
    let mut command = place.wrap(&["--"]);
    command.env("ODD", std::ffi::OsStr::from_bytes(b"\xff"));
    let mut client = Wrapped::start(command.args(place.raw_server(false)));
    client.request(1, "ping", json!({}));
}

#[test]
fn decisions_go_to_stderr_or_to_a_file_and_stdout_is_mcp_alone() {
    let place = Place::with(&policy());
    let mut client = place.start(&[]);
    client.call(1, "echo", json!({ "message": "a secret word" }));
    client.close_stdin();
    client.end();
    assert!(
        client.stderr().contains("raw server: started"),
        "the server's stderr passes"
    );
    assert_eq!(client.decisions().len(), 1);
    assert!(!client.stderr().contains("a secret word"));
    let record = place.path("record.jsonl").display().to_string();
    for _ in 0..2 {
        let mut client = place.start(&["--record", &record]);
        client.call(1, "echo", json!({}));
        client.close_stdin();
        client.end();
        assert!(client.decisions().is_empty());
        assert_eq!(client.stdout().lines().count(), 1);
    }
    let recorded = std::fs::read_to_string(&record).unwrap();
    assert_eq!(decisions_in(&recorded).len(), 2, "the file is appended to");
}
