//! The whole loop: a real client's call waits at one replica, a person decides at another, and it runs once or not.

use serde_json::{Value, json};

use crate::gates::{AGENT, EYE, LEAD, approvers, pending, policy, run, setup, start};
use crate::support::browser::{Browser, Window};
use crate::support::clients::{Running, Sdk, start_with};
use crate::support::gate::Gate;
use crate::support::redis::RedisServer;
use crate::support::servers::{Era, Fixture};
use crate::support::wait::until;

/// A client on the official SDK that makes one call and waits long enough for people.
fn agent(gate: &Gate, sdk: Sdk, pipeline: &str) -> Running {
    let calls = json!([{ "tool": "start_run", "arguments": { "pipeline": pipeline } }]);
    let spec = json!({ "url": gate.url("fixture"), "token": AGENT, "calls": calls, "callTimeoutMs": 90_000 });
    start_with(sdk, &spec)
}

fn open<'b>(browser: &'b Browser, name: &'static str, gate: &Gate, token: &str) -> Window<'b> {
    let window = browser.window(name, &json!({}));
    window.goto(&format!("http://{}/", gate.console.as_ref().unwrap()));
    window.sign_in(token);
    window
}

/// What the record says of people's words.
fn recorded(gate: &Gate) -> Vec<Value> {
    let lines = gate.stdout();
    let lines = lines
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter(|line| line["event"] == "approval" && line["by"].is_string())
        .collect()
}

/// Limits, decisions and refusals of the replica that is looked at.
async fn it_shows_what_happens(gate: &Gate, window: Window<'_>) {
    let caller = gate.caller("fixture", AGENT);
    assert_eq!(
        caller.call("echo", &json!({ "message": "x" })).await.outcome(),
        "executed"
    );
    assert_eq!(caller.call("stop_run", &json!({})).await.outcome(), "denied");
    window.wait("#limits meter[aria-label='echo_rate of agent: 1 of 5 used']");
    window.wait("#refusals td:has-text('/tools/stop_run')");
    window.wait("#refusals td:has-text('runs end by themselves')");
    window.wait("#decisions td:has-text('echo')");
    window.wait("#health li:has-text('the store')");
}

/// Who and why, and neither a token nor an argument anywhere.
async fn each_word_is_on_record_and_no_secret(asked: &Gate, decides: &Gate) {
    let words = recorded(decides);
    let said: Vec<_> = words
        .iter()
        .map(|line| {
            [&line["by"], &line["decision"], &line["reason"], &line["state"]]
                .map(|text| text.as_str().unwrap())
        })
        .collect();
    assert_eq!(
        said,
        [
            ["lead", "approve", "agreed on call", "approved"],
            ["lead", "deny", "not in the freeze", "denied"]
        ]
    );
    for gate in [asked, decides] {
        let all = gate.stdout() + &gate.stderr() + &gate.admin("/metrics").await.1;
        for secret in [LEAD, EYE, AGENT, "nightly", "weekly"] {
            assert!(!all.contains(secret), "{secret} in {all}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_at_one_replica_is_decided_at_another_in_a_browser() {
    let fixture = Fixture::start(Era::Current);
    let redis = RedisServer::start();
    let setup = setup(&fixture, Some(&redis), &json!({ "hold_ms": 60_000 }));
    let (asked, decides) = (start(&setup), start(&setup));
    let browser = Browser::start();
    let lead = open(&browser, "lead", &decides, LEAD);
    let eye = open(&browser, "eye", &asked, EYE);

    let waiting = agent(&asked, Sdk::TypeScript2, "nightly");
    let card = "#pending article";
    lead.wait(card);
    assert!(
        lead.text(&format!("{card} pre"))
            .contains("\"pipeline\": \"nightly\"  (7 characters)")
    );
    eye.wait(card);
    assert!(!eye.text(card).contains("nightly"));
    assert_eq!(fixture.executions("start_run").await, 0, "it does not run before");
    lead.fill(&format!("{card} input"), "agreed on call");
    lead.click(&format!("{card} button.primary"));
    let calls = waiting.finish().calls();
    assert_eq!(
        (calls[0].kind.as_str(), calls[0].text.as_str()),
        ("ok", "run 1 of nightly started")
    );
    assert_eq!(fixture.executions("start_run").await, 1);
    for window in [lead, eye] {
        window.wait("#ended article[data-state=consumed]");
    }

    let waiting = agent(&asked, Sdk::Python2, "weekly");
    lead.wait(card);
    lead.fill(&format!("{card} input"), "not in the freeze");
    lead.click(&format!("{card} button.danger"));
    let calls = waiting.finish().calls();
    assert_eq!(calls[0].kind, "tool_error");
    assert!(calls[0].text.contains("not in the freeze"), "{}", calls[0].text);
    assert_eq!(
        fixture.executions("start_run").await,
        1,
        "what was denied did not run"
    );
    eye.wait("#ended article[data-state=denied]");

    it_shows_what_happens(&asked, eye).await;
    for window in [lead, eye] {
        window.assert_quiet();
    }
    each_word_is_on_record_and_no_secret(&asked, &decides).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_does_what_the_page_does() {
    let fixture = Fixture::start(Era::Current);
    let gate = start(&setup(&fixture, None, &json!({ "hold_ms": 0 })));
    assert_eq!(
        run(&gate, LEAD, &["list"]),
        ("none\n".to_owned(), String::new(), 0)
    );
    let caller = gate.caller("fixture", AGENT);
    let call = json!({ "pipeline": "night\u{202e}ly" });
    let reply = caller.call("start_run", &call).await;
    assert_eq!(reply.outcome(), "needs_approval");
    let id = reply.decision()["approvalId"].as_str().unwrap().to_owned();

    let (list, ..) = run(&gate, EYE, &["list"]);
    assert!(
        list.contains(&id) && list.contains("start_run") && list.contains("agent"),
        "{list}"
    );
    let (shown, ..) = run(&gate, LEAD, &["show", &id]);
    assert!(
        shown.contains("\"pipeline\": \"night\\u{202e}ly\"  (8 characters)"),
        "{shown}"
    );
    assert!(
        shown.contains("state      pending\n") && shown.contains("approvals  0 of 1\n"),
        "{shown}"
    );
    let (shown, ..) = run(&gate, EYE, &["show", &id]);
    assert!(
        shown.contains("arguments (names only): pipeline") && !shown.contains("night"),
        "{shown}"
    );

    let (_, said, code) = run(&gate, EYE, &["approve", &id]);
    assert_eq!((said.as_str(), code), ("toolgate: a viewer cannot decide\n", 1));
    let (_, said, code) = run(&gate, AGENT, &["approve", &id]);
    assert!(
        code == 1 && said.contains("no approver's") && !said.contains(AGENT),
        "{said}"
    );
    let (_, said, code) = run(&gate, LEAD, &["approve", "no such id"]);
    assert!(code == 1 && said.contains("no id of an approval"), "{said}");

    let (out, said, code) = run(&gate, LEAD, &["approve", &id, "--reason", "agreed"]);
    assert_eq!(
        (out.as_str(), said.as_str(), code),
        ("approved: start_run on fixture, asked by agent\n", "", 0)
    );
    let (_, said, code) = run(&gate, LEAD, &["deny", &id, "--reason", "too late"]);
    assert_eq!(
        (said.as_str(), code),
        ("toolgate: it is no longer pending, but approved\n", 1)
    );
    assert_eq!(caller.call("start_run", &call).await.outcome(), "executed");
    let (used, ..) = run(&gate, LEAD, &["list", "--state", "consumed"]);
    assert!(used.contains(&id), "{used}");

    // an approval is for one run
    let reply = caller.call("start_run", &call).await;
    assert_eq!(reply.outcome(), "needs_approval");
    assert_ne!(reply.decision()["approvalId"], json!(id));
    assert_eq!(
        (pending(&gate).len(), fixture.executions("start_run").await),
        (1, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_tells_what_waits_and_what_becomes_of_it() {
    use crate::support::child::Child;
    use crate::support::wait::PATIENCE;

    let fixture = Fixture::start(Era::Current);
    let gate = start(&setup(&fixture, None, &json!({ "hold_ms": 0 })));
    let mut command = crate::gates::command(&gate, EYE, &["watch"]);
    let watch = Child::start("toolgate approvals watch", &mut command);
    let reply = gate.caller("fixture", AGENT).call("start_run", &json!({})).await;
    let id = reply.decision()["approvalId"].as_str().unwrap().to_owned();
    for (state, after) in [("pending", None), ("denied", Some("deny"))] {
        if let Some(word) = after {
            assert_eq!(run(&gate, LEAD, &[word, &id, "--reason", "no"]).2, 0);
        }
        watch.wait_line(state, PATIENCE, |line| {
            (line == format!("{id} {state:<9} start_run on fixture, asked by agent")).then_some(())
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn approvers_come_and_go_with_their_file() {
    let fixture = Fixture::start(Era::Current);
    let gate = start(&setup(&fixture, None, &json!({ "hold_ms": 0 })));
    assert_eq!(run(&gate, LEAD, &["list"]).2, 0);
    gate.folder
        .write("approvers.yaml", &approvers(&[("new", "approver", "tg_new")]));
    until("the new approver is in force", || async {
        (run(&gate, "tg_new", &["list"]).2 == 0).then_some(())
    })
    .await;
    assert_eq!(run(&gate, LEAD, &["list"]).2, 1);
    // a token of a grant is none of an approver: all stays as it was
    gate.folder
        .write("approvers.yaml", &approvers(&[("agent", "approver", AGENT)]));
    until("the bad file is told", || async {
        gate.stderr()
            .contains("the token is that of the grant `agent` too")
            .then_some(())
    })
    .await;
    assert_eq!(run(&gate, "tg_new", &["list"]).2, 0);
    assert_eq!(run(&gate, AGENT, &["list"]).2, 1);
}

#[test]
fn mistakes_are_told_before_the_gate_starts() {
    let fixture = Fixture::start(Era::Current);
    let setup = setup(&fixture, None, &json!({})).policy("people", policy());
    let folder = setup.write();
    folder.write("approvers.yaml", &approvers(&[("agent", "approver", AGENT)]));
    let check = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_toolgate"));
        let settings = folder.path().join("toolgate.yaml");
        command.env_clear().env("APPROVALS_KEY", "0123456789abcdef");
        let done = command
            .args(["check", "--config"])
            .arg(settings)
            .output()
            .unwrap();
        (
            String::from_utf8(done.stdout).unwrap() + &String::from_utf8(done.stderr).unwrap(),
            done.status.code(),
        )
    };
    let (said, code) = check();
    assert!(
        code == Some(1) && said.contains("a grant can never approve"),
        "{said}"
    );
    std::fs::remove_file(folder.path().join("approvers.yaml")).unwrap();
    let (said, code) = check();
    assert!(
        code == Some(1)
            && said.contains("cannot read the approvers")
            && said.contains("toolgate approvals token"),
        "{said}"
    );
}
