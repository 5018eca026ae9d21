//! Every official client through toolgate, in each transport and era that it speaks: list, call, a refused call, an
//! allowed one in the same session; sampling, elicitation and progress while a call runs. The table in
//! `docs/conformance.md` is what this test saw.
//!
//! `cargo test --test real_every_client -- --ignored bless` writes the table anew.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test and its helpers a failed unwrap is a failed test"
)]

mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::clients::{self, Run, Sdk};
use support::gate::{Gate, Setup};
use support::servers::{Conformance, Everything, node};
use support::wrapped::Place;

const TOKEN: &str = "tg_agent";
/// What each of them does.
const COLUMNS: [&str; 7] = [
    "list",
    "call",
    "refused call",
    "call again",
    "sampling",
    "elicitation",
    "progress",
];
/// Clients that run at the same time.
const AT_ONCE: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    HttpSessions,
    HttpCurrent,
    Sse,
    Stdio,
}

impl Way {
    const ALL: [Self; 4] = [Self::HttpSessions, Self::HttpCurrent, Self::Sse, Self::Stdio];

    const fn name(self) -> &'static str {
        match self {
            Self::HttpSessions => "Streamable HTTP, sessions",
            Self::HttpCurrent => "Streamable HTTP, without sessions",
            Self::Sse => "HTTP+SSE",
            Self::Stdio => "stdio, `toolgate wrap`",
        }
    }

    const fn is_spoken_by(self, sdk: Sdk) -> bool {
        match self {
            Self::HttpCurrent => !matches!(sdk, Sdk::TypeScript1 | Sdk::Python1),
            // it has no client for this one
            Self::Sse => !matches!(sdk, Sdk::Rmcp),
            Self::HttpSessions | Self::Stdio => true,
        }
    }

    /// An allowed call, a denied one, the allowed one again, and what makes the server ask and tell.
    fn calls(self) -> Value {
        let (echo, denied, asking) = match self {
            Self::HttpSessions => (
                "test_echo",
                "test_image_content",
                [
                    ("test_sampling", json!({ "prompt": "who?" })),
                    ("test_elicitation", json!({ "message": "who?" })),
                    ("test_tool_with_progress", json!({})),
                ],
            ),
            Self::HttpCurrent => (
                "test_echo",
                "test_image_content",
                [
                    ("test_input_required_result_sampling", json!({})),
                    ("test_input_required_result_elicitation", json!({})),
                    ("test_tool_with_progress", json!({})),
                ],
            ),
            Self::Sse | Self::Stdio => (
                "echo",
                "get-tiny-image",
                [
                    ("trigger-sampling-request", json!({ "prompt": "who?" })),
                    ("trigger-elicitation-request", json!({})),
                    (
                        "trigger-long-running-operation",
                        json!({ "duration": 0.3, "steps": 3 }),
                    ),
                ],
            ),
        };
        let [sampling, elicitation, progress] =
            asking.map(|(tool, arguments)| json!({ "tool": tool, "arguments": arguments, "watch": true }));
        let hi = json!({ "tool": echo, "arguments": { "message": "hi" } });
        json!([hi, { "tool": denied }, hi, sampling, elicitation, progress])
    }
}

fn policy() -> Value {
    let deny = json!({ "action": "deny", "reason": "no pictures" });
    json!({ "version": "1", "default": "allow", "hide": ["get-env", "test_audio_content"],
        "tools": { "test_image_content": deny, "get-tiny-image": deny } })
}

/// The servers of all ways, behind one gate.
struct World {
    gate: Gate,
    place: Place,
    _servers: (Conformance, Everything),
}

impl World {
    fn start() -> Self {
        let servers = (Conformance::start(), Everything::start_legacy());
        let grant = json!({ "id": "agent", "token_sha256": support::gate::token_sha256(TOKEN), "server": ["http", "sse"], "policy": "p" });
        let gate = Setup::new()
            .server("http", &servers.0.url)
            .server("sse", &servers.1.url)
            .policy("p", policy())
            .entry(grant)
            .start();
        Self {
            gate,
            place: Place::with(&policy()),
            _servers: servers,
        }
    }

    fn start_client(&self, sdk: Sdk, way: Way) -> clients::Running {
        let calls = way.calls();
        let era = if way == Way::HttpCurrent { "auto" } else { "legacy" };
        let mut spec = json!({ "token": TOKEN, "calls": calls, "asked": true, "era": era });
        match way {
            Way::HttpSessions | Way::HttpCurrent => spec["url"] = json!(self.gate.url("http")),
            Way::Sse => {
                spec["url"] = json!(self.gate.url("sse"));
                spec["transport"] = json!("sse");
            }
            Way::Stdio => {
                let mut server = node("everything-server.mjs");
                let control = self.place.path(&format!("{sdk:?}.json"));
                let words = self.place.words(&[], server.arg("stdio").arg(control));
                spec["command"] = json!(words);
                spec["env"] = self.place.env();
            }
        }
        clients::start_with(sdk, &spec)
    }
}

/// What one client did on one way, as a row; fails where something does not work.
fn row(sdk: Sdk, way: Way, run: &Run) -> String {
    let what = format!("{sdk:?} over {way:?}");
    let tools = run.tools();
    assert!(tools.len() > 3, "{what}: {tools:?}");
    for hidden in ["get-env", "test_audio_content"] {
        assert!(!tools.contains(&hidden), "{what} is shown {hidden}");
    }
    let calls = run.calls();
    let kinds: Vec<&str> = calls.iter().map(|call| call.kind.as_str()).collect();
    assert_eq!(kinds[..3], ["ok", "tool_error", "ok"], "{what}: {calls:?}");
    assert!(
        calls[0].text.contains("hi") && calls[2].text.contains("hi"),
        "{what}: {calls:?}"
    );
    assert!(calls[1].text.starts_with("[POLICY DENIED]"), "{what}: {calls:?}");
    let asked = run.asked();
    for question in ["sampling/createMessage", "elicitation/create"] {
        assert!(
            asked.contains(&question),
            "{what} was not asked {question}: {asked:?}"
        );
    }
    assert!(calls[3].text.contains("sampled"), "{what}: {calls:?}");
    let told = &calls[5];
    assert!(told.kind == "ok" && told.progress.len() >= 2, "{what}: {told:?}");
    format!(
        "| {} | {} |{}\n",
        sdk.name(),
        way.name(),
        " yes |".repeat(COLUMNS.len())
    )
}

fn seen() -> String {
    let world = World::start();
    let pairs: Vec<(Sdk, Way)> = Sdk::EVERY
        .iter()
        .flat_map(|&sdk| Way::ALL.map(|way| (sdk, way)))
        .filter(|(sdk, way)| way.is_spoken_by(*sdk))
        .collect();
    let mut table = format!(
        "| client | transport | {} |\n| --- | --- |{}\n",
        COLUMNS.join(" | "),
        " --- |".repeat(COLUMNS.len())
    );
    for some in pairs.chunks(AT_ONCE) {
        let running: Vec<_> = some
            .iter()
            .map(|&(sdk, way)| world.start_client(sdk, way))
            .collect();
        for (&(sdk, way), running) in some.iter().zip(running) {
            let run = running.finish();
            assert_eq!(run.failure(), None, "{sdk:?} over {way:?}");
            if way == Way::HttpCurrent {
                assert_eq!(run.protocol_version(), "2026-07-28", "{sdk:?}");
            }
            write!(table, "{}", row(sdk, way, &run)).unwrap();
        }
    }
    table
}

const BEGIN: &str = "<!-- clients: begin -->\n";
const END: &str = "<!-- clients: end -->";

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/conformance.md")
}

#[test]
fn every_client_works_in_each_transport_and_era_that_it_speaks() {
    let text = std::fs::read_to_string(page()).unwrap();
    let shown = text.split_once(BEGIN).unwrap().1.split_once(END).unwrap().0;
    assert_eq!(
        seen(),
        shown,
        "docs/conformance.md shows another table; see the head of this file"
    );
}

#[test]
#[ignore = "writes the table anew"]
fn bless() {
    let table = seen();
    let text = std::fs::read_to_string(page()).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let after = rest.split_once(END).unwrap().1;
    std::fs::write(page(), format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
}
