//! `--format tools-list`: the list as the server gave it, and what is done with it.

use std::fs;

use serde_json::{Value, json};

use crate::ran::{Ran, listing, recorded, scan, stdio_command, toolgate};
use crate::support::gate::Folder;
use crate::support::servers::node;

/// Writes down the list of a command, and returns what was written.
fn record(folder: &Folder, command: &[String]) -> String {
    let ran = with_command(folder, &["--format", "tools-list"], command);
    assert_eq!(ran.code, 0, "{ran:?}");
    folder.write("list.json", &ran.out);
    ran.out
}

fn with_command(folder: &Folder, arguments: &[&str], command: &[String]) -> Ran {
    let words = command.iter().map(String::as_str);
    let arguments = arguments.iter().copied().chain(["--"]).chain(words);
    scan(folder, &arguments.collect::<Vec<_>>())
}

#[test]
fn a_record_of_all_pages_is_scanned_as_the_server_is() {
    let folder = Folder::new("scan-record");
    for era in ["session", "current"] {
        let command = stdio_command(&listing(&recorded("git"), "stdio", era));
        let list: Value = serde_json::from_str(&record(&folder, &command)).unwrap();
        let expected: Value = serde_json::from_str(&fs::read_to_string(recorded("git")).unwrap()).unwrap();
        for key in ["serverInfo", "tools"] {
            assert_eq!(list[key], expected[key], "{era}");
        }
        for format in ["json", "policy", "tools-list"] {
            let live = with_command(&folder, &["--format", format], &command);
            let kept = scan(&folder, &["--format", format, "--tools", "list.json"]);
            assert_eq!((live.code, &live.out), (kept.code, &kept.out), "{era} {format}");
        }
    }
}

/// A server whose list is this text.
fn saying(list: &str) -> Vec<String> {
    let script = r#"
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    results = {"initialize": '{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"version":"1"}}', "tools/list": sys.argv[1]}
    if message.get("method") in results:
        print('{"jsonrpc":"2.0","id":%s,"result":%s}' % (json.dumps(message["id"]), results[message["method"]]), flush=True)
"#;
    ["python3", "-c", script, list].map(str::to_owned).into()
}

#[test]
fn each_definition_is_written_as_it_was_sent() {
    let folder = Folder::new("scan-bytes");
    let tools = [
        r#"{"name":"a\u002eb", "inputSchema": {"maximum":1.0,"minimum":1e0,"x":"\u00e9é\/"}}"#,
        r#"{ "name":"twice","description":"x","description":"y","annotations":{"n":100000000000000000001} }"#,
    ];
    let list = record(
        &folder,
        &saying(&format!(r#"{{"tools":[{}, {}]}}"#, tools[0], tools[1])),
    );
    assert_eq!(list, format!("{{\"tools\":[\n{},\n{}\n]}}\n", tools[0], tools[1]));
    let none = record(&folder, &saying(r#"{"tools":[]}"#));
    assert_eq!(
        serde_json::from_str::<Value>(&none).unwrap(),
        json!({ "tools": [] })
    );
}

#[test]
fn the_reference_server_is_pinned_from_a_record_and_has_not_changed_since() {
    let folder = Folder::new("scan-pin");
    let mut server = node("everything-server.mjs");
    server.args(["stdio", folder.path().join("control").to_str().unwrap()]);
    let words = [server.get_program()].into_iter().chain(server.get_args());
    let words: Vec<String> = words.map(|word| word.to_str().unwrap().to_owned()).collect();
    let settings = json!({ "servers": { "s": { "command": words, "pin": true } } });
    folder.write("toolgate.yaml", &settings.to_string());
    let pin = |arguments: &[&str]| toolgate(&folder, &[&["pin", "s"], arguments].concat(), &[]);
    let asked = pin(&[]);
    assert!(
        asked.code == 2
            && asked
                .err
                .contains("`toolgate scan --format tools-list -- COMMAND > list.json`"),
        "{asked:?}"
    );
    // a scan in JSON has no definitions to pin
    folder.write(
        "scan.json",
        &with_command(&folder, &["--format", "json"], &words).out,
    );
    let scanned = pin(&["--tools", "scan.json"]);
    assert!(
        scanned.code == 2 && scanned.err.contains("record these with `--format tools-list`"),
        "{scanned:?}"
    );
    assert!(!folder.path().join("pins").exists());
    record(&folder, &words);
    let pinned = pin(&["--tools", "list.json"]);
    assert_eq!((pinned.code, pinned.err.as_str()), (0, ""), "{pinned:?}");
    let since = with_command(&folder, &["--drift", "pins/s.json"], &words);
    assert_eq!(since.out, "pins/s.json: nothing has changed\n", "{since:?}");
}
