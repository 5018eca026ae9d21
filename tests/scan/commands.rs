//! What the command writes where, its exit codes, and drift from the first scan on.

use std::fs;

use serde_json::{Value, json};

use crate::labelled::servers;
use crate::ran::{Listing, listing, recorded, scan, toolgate};
use crate::support::gate::Folder;

#[test]
fn a_starter_policy_passes_the_strict_check_and_is_all_of_stdout() {
    let folder = Folder::new("scan-starter");
    for server in servers() {
        let file = recorded(&server.name);
        let ran = scan(
            &folder,
            &["--format", "policy", "--tools", file.to_str().unwrap()],
        );
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", server.name);
        folder.write(&format!("{}.yaml", server.name), &ran.out);
    }
    let names: Vec<String> = servers()
        .iter()
        .map(|server| format!("{}.yaml", server.name))
        .collect();
    let names = names.iter().map(String::as_str);
    let arguments: Vec<&str> = ["check", "--strict"].into_iter().chain(names).collect();
    let checked = toolgate(&folder, &arguments, &[]);
    assert_eq!(checked.code, 0, "{}", checked.out);
    assert!(checked.out.contains("0 errors, 0 warnings"), "{}", checked.out);
}

#[test]
fn a_recorded_list_is_read_alone_and_as_a_whole_answer() {
    let folder = Folder::new("scan-tools");
    let tools = json!([{ "name": "delete_all" }, { "name": "get\u{1b}[2J" }]);
    folder.write("alone.json", &json!({ "tools": tools }).to_string());
    let answer = json!({ "jsonrpc": "2.0", "id": 1, "result": { "tools": tools } });
    folder.write("answer.json", &answer.to_string());
    let alone = scan(&folder, &["--tools", "alone.json"]);
    assert_eq!(alone.code, 0, "{alone:?}");
    assert_eq!(alone.out, scan(&folder, &["--tools", "answer.json"]).out);
    assert!(
        alone.lines()[1].starts_with("delete_all"),
        "the gravest comes first: {}",
        alone.out
    );
    assert!(
        !alone.out.contains('\u{1b}'),
        "a name reached the terminal as it is"
    );
    let as_json = scan(&folder, &["--tools", "alone.json", "--format", "json"]).json();
    assert_eq!(as_json["server"], json!({ "name": null, "version": null }));
    let first = &as_json["tools"][0];
    assert_eq!(
        (&first["class"], &first["risk"]),
        (&json!("destructive"), &json!("critical"))
    );
    let policy = scan(&folder, &["--tools", "alone.json", "--format", "policy"]);
    assert!(
        policy
            .err
            .contains("left out, since its name holds a control character"),
        "{policy:?}"
    );
}

#[test]
fn what_cannot_be_read_is_told_on_stderr_with_exit_code_2() {
    let folder = Folder::new("scan-unreadable");
    folder.write("none.json", "{}");
    folder.write(
        "half.json",
        &json!({ "tools": [], "nextCursor": "2" }).to_string(),
    );
    folder.write("list.json", &json!({ "tools": [] }).to_string());
    let scanned = scan(&folder, &["--tools", "list.json", "--format", "json"]);
    folder.write("scan.json", &scanned.out);
    folder.write("bad.yaml", "version: \"1\"\ndefault: perhaps\n");
    let list = ["--tools", "list.json"];
    let beside = |more: &[&'static str]| [list.as_slice(), more].concat();
    for (arguments, said) in [
        (vec!["--tools", "gone.json"], "gone.json: cannot be read"),
        (
            vec!["--tools", "none.json"],
            "none.json: this is no list of tools",
        ),
        (vec!["--tools", "half.json"], "it is one page"),
        (
            vec!["--tools", "scan.json"],
            "record these with `--format tools-list`",
        ),
        (vec!["http://127.0.0.1:1/mcp"], "127.0.0.1:1/mcp"),
        (vec!["ftp://127.0.0.1/mcp"], "not a URL that can be asked"),
        (
            beside(&["--drift", "gone.yaml"]),
            "--drift gone.yaml: cannot be read",
        ),
        (beside(&["--drift", "bad.yaml"]), "default: perhaps"),
        (
            beside(&["--drift", "list.json", "--format", "policy"]),
            "write the policy or the list by itself",
        ),
        (
            beside(&["--drift", "scan.json", "--format", "tools-list"]),
            "write the policy or the list by itself",
        ),
        (vec![], "required"),
        (beside(&["http://127.0.0.1:1/mcp"]), "cannot be used with"),
        (beside(&["--header", "a: b"]), "cannot be used with"),
        (
            vec!["http://127.0.0.1:1/mcp", "--env", "HOME"],
            "cannot be used with",
        ),
    ] {
        let ran = scan(&folder, &arguments);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{arguments:?}: {ran:?}");
        assert!(ran.err.contains(said), "{arguments:?}: {}", ran.err);
    }
}

/// A server, and what was kept of it: the starter policy, the scan, and pins.
struct Since {
    folder: Folder,
    server: Listing,
    list: Value,
}

impl Since {
    fn start() -> Self {
        let folder = Folder::new("scan-drift");
        let list = json!({ "serverInfo": { "name": "s", "version": "1" }, "tools": [
            { "name": "get_a", "inputSchema": { "type": "object" } },
            { "name": "get_b", "inputSchema": { "type": "object" }, "description": "Gets b" },
            { "name": "set_c", "inputSchema": { "type": "object" } },
            { "name": "delete_d", "inputSchema": { "type": "object" } },
            { "name": "pay_e", "inputSchema": { "type": "object" } },
        ]});
        let file = folder.path().join("list.json");
        folder.write("list.json", &list.to_string());
        let server = Listing::start(&listing(&file, "http", "session"));
        let since = Self { folder, server, list };
        for (format, name) in [("policy", "policy.yaml"), ("json", "scan.json")] {
            let ran = scan(&since.folder, &["--format", format, &since.server.url]);
            assert_eq!(ran.code, 0, "{ran:?}");
            since.folder.write(name, &ran.out);
        }
        let settings = json!({
            "listen": "127.0.0.1:0", "servers": { "s": { "upstream": since.server.url, "pin": true } },
            "policies": { "p": "policy.yaml" }, "grants": "grants.yaml",
        });
        since.folder.write("toolgate.yaml", &settings.to_string());
        since.folder.write("grants.yaml", "grants: []");
        let pinned = toolgate(&since.folder, &["pin", "s"], &[]);
        assert_eq!(pinned.code, 0, "{pinned:?}");
        since
    }

    fn changed(&self, change: impl FnOnce(&mut Vec<Value>)) {
        let mut list = self.list.clone();
        change(list["tools"].as_array_mut().unwrap());
        fs::write(self.folder.path().join("list.json"), list.to_string()).unwrap();
    }

    /// The exit code, and what is told of the drift from a file.
    fn drift(&self, from: &str) -> (i32, Vec<String>) {
        let ran = scan(&self.folder, &["--drift", from, &self.server.url]);
        let lines = ran.lines().into_iter().map(str::to_owned);
        (ran.code, lines.collect())
    }
}

const KEPT: [&str; 3] = ["policy.yaml", "scan.json", "pins/s.json"];

#[test]
fn drift_tells_what_has_changed_since_a_policy_a_scan_and_pins() {
    let since = Since::start();
    for from in KEPT {
        assert_eq!(
            since.drift(from),
            (0, vec![format!("{from}: nothing has changed")])
        );
    }
    since.changed(|tools| {
        tools[0]["inputSchema"]["properties"] = json!({ "sql": { "type": "string" } });
        tools[1]["description"] = json!("Gets b, and more of it");
        tools.remove(2);
        tools.push(json!({ "name": "upload_f", "inputSchema": { "type": "object" } }));
    });
    let raised = "raised   get_a: held for read, is execute";
    let (new, gone) = ("new      upload_f: write, medium", "gone     set_c");
    let (schema, text) = ("changed  get_a: inputSchema", "changed  get_b: description");
    let expected = [
        vec![raised, gone, new, "policy.yaml: 3 differences"],
        vec![schema, raised, text, gone, new, "scan.json: 5 differences"],
        vec![schema, text, gone, new, "pins/s.json: 4 differences"],
    ];
    for (from, expected) in KEPT.into_iter().zip(expected) {
        let (code, lines) = since.drift(from);
        assert_eq!(
            (code, lines),
            (1, expected.into_iter().map(str::to_owned).collect())
        );
    }
    let arguments = [
        "--format",
        "json",
        "--drift",
        "policy.yaml",
        "--drift",
        "scan.json",
        &since.server.url,
    ];
    let both = scan(&since.folder, &arguments);
    assert_eq!(both.code, 1, "{both:?}");
    let told = both.json();
    assert_eq!(told["drift"].as_array().unwrap().len(), 8);
    assert_eq!(
        told["drift"][0],
        json!({ "file": "policy.yaml", "tool": "get_a", "change": "raised", "from": "read", "to": "execute" })
    );
}

#[test]
fn a_class_is_raised_only_above_what_a_policy_holds_a_tool_for() {
    let since = Since::start();
    // a person is asked, or nobody may: whatever it does now
    since.changed(|tools| {
        tools[3]["description"] = json!("Charges the customer, and deletes it");
        tools[4]["description"] = json!("Deletes everything. This cannot be undone.");
    });
    assert_eq!(since.drift("policy.yaml").0, 0);
    // own counters say nothing of a class
    let policy = "version: \"1\"\ndefault: deny\nhide: [delete_d]\ntools:\n  get_*: { rate_limit: 9/minute }\n  \
                  set_c: {}\n  pay_e: { action: deny }\n";
    since.folder.write("own.yaml", policy);
    assert_eq!(
        since.drift("own.yaml"),
        (0, vec!["own.yaml: nothing has changed".to_owned()])
    );
    since.changed(|tools| tools.push(json!({ "name": "get_more", "inputSchema": { "type": "object" } })));
    assert_eq!(since.drift("own.yaml").0, 0, "a glob names it");
    assert_eq!(since.drift("policy.yaml").0, 1);
}

#[test]
fn a_definition_that_can_be_read_in_two_ways_is_told() {
    let folder = Folder::new("scan-unclear");
    folder.write(
        "list.json",
        r#"{"tools":[{"name":"get_a","description":"x","inputSchema":{"a":1}}]}"#,
    );
    let kept = scan(&folder, &["--format", "json", "--tools", "list.json"]);
    folder.write("scan.json", &kept.out);
    folder.write(
        "list.json",
        r#"{"tools":[{"name":"get_a","description":"x","inputSchema":{"a":1,"a":2}}]}"#,
    );
    let ran = scan(&folder, &["--drift", "scan.json", "--tools", "list.json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.starts_with("unclear  get_a"), "{}", ran.out);
}
