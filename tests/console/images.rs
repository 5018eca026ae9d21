//! The pictures of the documents, taken of gates with real calls: `make screenshots`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::gates::{AGENT, LEAD, approvers, start_in};
use crate::support::browser::{Browser, Window};
use crate::support::gate::{Gate, Setup};
use crate::support::redis::RedisServer;
use crate::support::servers::{Era, Fixture};

const PER_DAY: u64 = 86_400;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs/images")
        .join(name)
}

fn policy() -> Value {
    let limit = |counter: &str, window: Value, max: u64| json!({ "limits": [{ "counter": counter, "window": window, "max": max }] });
    json!({ "version": "1", "default": "deny", "tools": {
        "create_refund": { "action": "require_approval", "approvers": 1 },
        "start_run": limit("start_run_rate", json!("minute"), 10),
        "echo": limit("echo_rate", json!("hour"), 5_000),
        "big": limit("exports", json!(PER_DAY), 50),
        "report.weekly": limit("reports", json!("day"), 100),
        "delete_customer": { "action": "deny", "reason": "customers are deleted by people" } } })
}

fn gate(fixture: &Fixture, redis: &RedisServer) -> Gate {
    let grants = [
        ("ci-runner", AGENT),
        ("support-bot", "tg_support"),
        ("nightly-etl", "tg_nightly"),
    ];
    let mut setup = Setup::new()
        .server("shop", &fixture.url)
        .policy("shop", policy())
        .redis(&redis.url(), 5_000)
        .key("console", json!("127.0.0.1:0"))
        .key(
            "approvals",
            json!({ "approvers": "approvers.yaml", "hold_ms": 0, "key": { "env": "APPROVALS_KEY" } }),
        );
    for (id, token) in grants {
        setup = setup.grant(id, token, "shop", "shop");
    }
    let folder = setup.write();
    folder.write("approvers.yaml", &approvers(&[("ops-lead", "approver", LEAD)]));
    start_in(folder, &[])
}

/// Calls of three grants: within limits, over them, denied, and some that wait for people.
async fn calls(gate: &Gate) {
    for (token, runs, echoes) in [
        (AGENT, 14, 1_200),
        ("tg_support", 3, 350),
        ("tg_nightly", 8, 2_400),
    ] {
        let caller = gate.caller("shop", token);
        let mut line = caller.connect().await;
        for count in 0..echoes {
            line.call("echo", &json!({ "message": count.to_string() })).await;
        }
        for count in 0..runs {
            line.call("start_run", &json!({ "pipeline": format!("p{count}") }))
                .await;
            line.call("report.weekly", &json!({})).await;
        }
        for _ in 0..runs {
            line.call("big", &json!({ "bytes": 10 })).await;
        }
        line.call("delete_customer", &json!({ "id": 7 })).await;
    }
    let support = gate.caller("shop", "tg_support");
    for arguments in [
        json!({ "charge": "ch_3Qx81", "amount": 24900, "currency": "eur", "reason": "parcel lost" }),
        json!({ "charge": "ch_3Qy07", "amount": 129_900, "currency": "eur", "note": "approved by \u{202e}eciffo daeh" }),
    ] {
        support.call("create_refund", &arguments).await;
    }
}

fn open<'b>(browser: &'b Browser, name: &'static str, gate: &Gate, options: &Value) -> Window<'b> {
    let window = browser.window(name, options);
    window.goto(&format!("http://{}/", gate.console.as_ref().unwrap()));
    window.sign_in(LEAD);
    window.wait("#pending article");
    window.wait("#limits meter");
    window.wait("#refusals tr td");
    // no picture names the machine that it was taken on
    window.write("#who", "ops-lead (approver) at replica-1");
    window
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes the pictures of the documents: make screenshots"]
async fn screenshots() {
    std::fs::create_dir_all(file("")).unwrap();
    let (fixture, redis) = (Fixture::start(Era::Current), RedisServer::start());
    let gate = gate(&fixture, &redis);
    calls(&gate).await;
    let browser = Browser::start();
    let desktop = json!({ "viewport": { "width": 1100, "height": 1000 }, "colorScheme": "light" });
    open(&browser, "desktop", &gate, &desktop).shot(&file("console.png"), false);
    let phone = json!({ "viewport": { "width": 390, "height": 844 }, "colorScheme": "dark", "deviceScaleFactor": 1.5 });
    open(&browser, "phone", &gate, &phone).shot(&file("console-phone.png"), false);
    let status = browser.window(
        "status",
        &json!({ "viewport": { "width": 1000, "height": 1000 }, "colorScheme": "light" }),
    );
    status.goto(&format!("http://{}/", gate.admin));
    status.shot(&file("status.png"), true);
    for name in ["console.png", "console-phone.png", "status.png"] {
        let bytes = std::fs::metadata(file(name)).unwrap().len();
        assert!(bytes < 150_000, "{name} has {bytes} bytes");
    }
}
