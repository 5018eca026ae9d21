//! Calls that people decide about, made by real clients of both eras at two gates over one Redis. People say yes and no
//! through the console of the gate that the client does not call.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test and its helpers a failed unwrap is a failed test"
)]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::clients::{Sdk, Seen, start_with};
use support::gate::{Gate, Setup, token_sha256};
use support::http::STEP;
use support::redis::RedisServer;
use support::servers::{Era, Fixture};
use support::wait::within;

const KEY: (&str, &str) = ("KEY", "0123456789abcdef0123456789abcdef");
const PERSON: &str = "tg_person";

/// A fixture of each era, and two gates before both.
struct Place {
    session: Fixture,
    current: Fixture,
    gates: Vec<Gate>,
    _redis: RedisServer,
}

impl Place {
    async fn new(hold_ms: u64) -> Self {
        let (session, current) = (Fixture::start(Era::Session), Fixture::start(Era::Current));
        let redis = RedisServer::start();
        let policy = json!({ "version": "1", "default": "allow", "tools": { "start_run": {
            "action": "require_approval", "reason": "runs cost money" } } });
        let setup = Setup::new()
            .server("session", &session.url)
            .server("current", &current.url)
            .policy("p", policy)
            .entry(json!({ "id": "agent", "token_sha256": token_sha256("tg_agent"),
                "server": ["session", "current"], "policy": "p" }))
            .redis(&redis.url(), 5_000)
            .key("console", json!("127.0.0.1:0"))
            .key(
                "approvals",
                json!({ "hold_ms": hold_ms, "key": { "env": KEY.0 }, "approvers": "approvers.yaml" }),
            );
        let gates = (0..2).map(|_| {
            let folder = setup.write();
            let person = json!({ "id": "ann", "role": "approver", "token_sha256": token_sha256(PERSON) });
            folder.write("approvers.yaml", &json!({ "approvers": [person] }).to_string());
            Setup::start_in_with(folder, &[KEY])
        });
        Self {
            gates: gates.collect(),
            session,
            current,
            _redis: redis,
        }
    }

    /// Starts a client that calls `start_run` with these values of `pipeline`, one after the other, at one of the gates.
    async fn client(&self, sdk: Sdk, gate: usize, pipelines: &[&str]) -> Vec<Seen> {
        let calls: Vec<Value> = pipelines
            .iter()
            .map(|name| json!({ "tool": "start_run", "arguments": { "pipeline": name } }))
            .collect();
        let server = if sdk.is_current() { "current" } else { "session" };
        let spec = json!({ "url": self.gates[gate].url(server), "token": "tg_agent", "list": false,
            "callTimeoutMs": 80_000, "calls": calls });
        let run = tokio::task::spawn_blocking(move || start_with(sdk, &spec).finish());
        let run = run.await.unwrap();
        assert_eq!(run.failure(), None, "{}", sdk.name());
        let revision = if sdk.is_current() {
            "2026-07-28"
        } else {
            "2025-11-25"
        };
        assert_eq!(run.protocol_version(), revision, "{}", sdk.name());
        run.calls()
    }

    async fn executions(&self) -> u64 {
        self.session.executions("start_run").await + self.current.executions("start_run").await
    }
}

/// A request to the console of this gate.
async fn console(gate: &Gate, method: &str, path: &str, body: &str) -> Value {
    let answer = gate.ask_console(PERSON, method, path, body).await;
    assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
    answer.json()
}

/// The requests that wait, oldest first.
async fn pending(gate: &Gate) -> Vec<Value> {
    let mut listed = console(gate, "GET", "/approvals?state=pending", "").await;
    serde_json::from_value(listed["approvals"].take()).unwrap()
}

/// The request that waits longest, once there is one: clients take their time to start.
async fn next(gate: &Gate) -> Value {
    within("waiting for a call that waits", STEP, async {
        loop {
            if let Some(asked) = pending(gate).await.into_iter().next() {
                return asked;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
}

/// The value of `pipeline` that was asked about.
fn pipeline(approval: &Value) -> String {
    let arguments = match &approval["arguments"] {
        Value::String(text) => serde_json::from_str(text).unwrap(),
        other => other.clone(),
    };
    arguments["pipeline"]
        .as_str()
        .unwrap_or_else(|| panic!("{approval}"))
        .to_owned()
}

async fn decide(gate: &Gate, approval: &Value, word: &str, reason: &str) {
    let path = format!("/approvals/{}/{word}", approval["id"].as_str().unwrap());
    let body = json!({ "reason": reason, "digest": approval["digest"] }).to_string();
    console(gate, "POST", &path, &body).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_call_runs_when_a_person_agrees_and_is_refused_with_the_reason_when_not() {
    let place = Place::new(75_000).await;
    let clients = Sdk::ALL.map(|sdk| {
        let (yes, no) = (format!("{sdk:?} yes"), format!("{sdk:?} no"));
        let place = &place;
        async move { (sdk, place.client(sdk, 0, &[&yes, &no]).await) }
    });
    let people = async {
        for _ in 0..2 * Sdk::ALL.len() {
            let asked = next(&place.gates[1]).await;
            let (word, reason) = match pipeline(&asked).ends_with("yes") {
                true => ("approve", "go on"),
                false => ("deny", "not this week"),
            };
            decide(&place.gates[1], &asked, word, reason).await;
        }
    };
    let [one, two, three, four] = clients;
    let (one, two, three, four, ()) = tokio::join!(one, two, three, four, people);
    for (sdk, calls) in [one, two, three, four] {
        let kinds: Vec<&str> = calls.iter().map(|call| call.kind.as_str()).collect();
        assert_eq!(kinds, ["ok", "tool_error"], "{}: {calls:?}", sdk.name());
        let refused = &calls[1];
        assert!(
            refused.text.contains("not this week"),
            "{}: {}",
            sdk.name(),
            refused.text
        );
        assert_eq!(refused.decision()["outcome"], "denied", "{}", sdk.name());
        assert_eq!(refused.decision()["executed"], false, "{}", sdk.name());
    }
    assert_eq!(
        place.executions().await,
        4,
        "one run for each yes, and none for a no"
    );
}

/// Its user is pointed to the page of the request, and the call that comes back waits until somebody agreed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_urls_goes_to_the_page_where_people_decide_and_its_call_runs() {
    let place = Place::new(75_000).await;
    let spec = json!({ "url": place.gates[0].url("current"), "token": "tg_agent", "list": false, "urls": true,
        "callTimeoutMs": 80_000,
        "calls": [{ "tool": "start_run", "arguments": { "pipeline": "by URL" } }] });
    let client = tokio::task::spawn_blocking(move || start_with(Sdk::TypeScript2, &spec).finish());
    let people = async {
        let asked = next(&place.gates[1]).await;
        decide(&place.gates[1], &asked, "approve", "").await;
        asked
    };
    let (run, approval) = tokio::join!(client, people);
    let run = run.unwrap();
    assert_eq!(run.failure(), None);
    let page = format!(
        "http://{}/#{}",
        place.gates[0].console.as_ref().unwrap(),
        approval["id"].as_str().unwrap()
    );
    assert_eq!(run.asked(), [page.as_str()]);
    let calls = run.calls();
    assert_eq!(calls[0].kind, "ok", "{calls:?}");
    assert!(calls[0].text.contains("of by URL started"), "{}", calls[0].text);
    assert_eq!(place.executions().await, 1);
}

/// The id of the request that the client was told of.
fn waits(sdk: Sdk, seen: &Seen) -> String {
    let (name, decision) = (sdk.name(), seen.decision());
    assert_eq!(seen.kind, "tool_error", "{name}: {seen:?}");
    assert_eq!(decision["outcome"], "needs_approval", "{name}: {seen:?}");
    assert_eq!(decision["executed"], false, "{name}");
    assert!(decision["expiresAt"].is_string(), "{name}: {decision}");
    let id = decision["approvalId"].as_str().unwrap().to_owned();
    for part in [
        "runs cost money",
        &id,
        "Call again with the same arguments",
        "not executed",
    ] {
        assert!(seen.text.contains(part), "{name}: {part}: {}", seen.text);
    }
    id
}

/// One client's way: asked, asked again, changed; approved; called again at the other gate, and once more.
async fn retries(place: &Place, sdk: Sdk) {
    let name = sdk.name();
    let (same, other) = (format!("{sdk:?}"), format!("{sdk:?} changed"));
    let first = place.client(sdk, 0, &[&same, &same, &other]).await;
    let ids: Vec<String> = first.iter().map(|seen| waits(sdk, seen)).collect();
    assert_eq!(ids[0], ids[1], "{name}: the same call joins what waits");
    assert_ne!(ids[0], ids[2], "{name}: a changed argument is another request");

    let asked = pending(&place.gates[1]).await;
    let asked = asked.iter().find(|asked| asked["id"] == ids[0].as_str()).unwrap();
    assert_eq!(pipeline(asked), same, "{name}");
    decide(&place.gates[1], asked, "approve", "").await;

    let again = place.client(sdk, 1, &[&other, &same, &same]).await;
    assert_eq!(
        waits(sdk, &again[0]),
        ids[2],
        "{name}: nobody agreed to the changed call"
    );
    assert_eq!(again[1].kind, "ok", "{name}: {:?}", again[1]);
    let anew = waits(sdk, &again[2]);
    assert!(!ids.contains(&anew), "{name}: one approval runs one call");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_told_to_call_again_does_and_its_call_runs_once() {
    let place = Place::new(0).await;
    let [one, two, three, four] = Sdk::ALL.map(|sdk| retries(&place, sdk));
    tokio::join!(one, two, three, four);
    assert_eq!(place.executions().await, 4, "one run for each approval");
}
