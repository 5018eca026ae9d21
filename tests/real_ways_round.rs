//! The ways round a narrower reader, tried on real servers with a tool that leaves a trace: what ran when it was
//! sent directly, and that nothing ran through toolgate. The table in `docs/security.md` is what this test saw.
//!
//! `cargo test --test real_ways_round -- --ignored bless` writes the table anew.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test and its helpers a failed unwrap is a failed test"
)]

mod support;

use std::any::Any;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;
use support::child::Child;
use support::clients::python;
use support::gate::{Gate, Setup};
use support::http::{Wire, address_of, exchange};
use support::mcp::{Caller, SESSIONS};
use support::servers::{Era, Fixture};
use support::wait::PATIENCE;
use tokio::time::Instant;

const TOKEN: &str = "tg_test_ways_round";
/// How long a server may take to run what it accepted.
const SETTLE: Duration = Duration::from_millis(1_500);

/// One request that is meant to run `start_run` without being seen to.
struct Way {
    name: &'static str,
    /// Appended to the server's path.
    path: &'static str,
    /// In place of `Content-Type: application/json`.
    kind: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: Vec<u8>,
}

impl Way {
    fn is_answered(&self) -> bool {
        self.name != NO_ID
    }
}

fn way(name: &'static str, body: impl Into<Vec<u8>>) -> Way {
    Way {
        name,
        path: "",
        kind: "application/json",
        headers: Vec::new(),
        body: body.into(),
    }
}

const NO_ID: &str = "without an id";

/// The plain call, which the policy denies.
const PLAIN: &str =
    r#"{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"start_run","arguments":{}}}"#;

#[expect(clippy::too_many_lines, reason = "a table of cases reads best in one piece")]
fn ways() -> Vec<Way> {
    let utf16: Vec<u8> = PLAIN.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let batch = format!("[{PLAIN}]");
    let marked = [b"\xef\xbb\xbf", PLAIN.as_bytes()].concat();
    vec![
        way("nothing special", PLAIN),
        way("a JSON-RPC batch", batch),
        way(
            "`name` twice, the last one denied",
            PLAIN.replace(r#""name":"#, r#""name":"echo","name":"#),
        ),
        way(
            "`method` twice",
            PLAIN.replace(r#""method":"#, r#""method":"ping","method":"#),
        ),
        way(
            "`params` twice",
            PLAIN.replace(
                r#""params":"#,
                r#""params":{"name":"echo","arguments":{}},"params":"#,
            ),
        ),
        way(
            "escaped keys and values",
            PLAIN
                .replace("tools/call", r"tools\/c\u0061ll")
                .replace("name", r"n\u0061me")
                .replace("start_run", r"st\u0061rt_run"),
        ),
        way(
            "request and response at once",
            PLAIN.replacen('{', r#"{"result":{},"#, 1),
        ),
        way(
            "keys in another case beside the plain ones",
            PLAIN.replace(r#""name":"#, r#""Name":"echo","name":"#),
        ),
        way(NO_ID, PLAIN.replace(r#""id":5,"#, "")),
        way(
            "`arguments` as a list",
            PLAIN.replace(r#""arguments":{}"#, r#""arguments":[]"#),
        ),
        way(
            "as a task",
            PLAIN.replace(r#""arguments":{}"#, r#""arguments":{},"task":{"ttl":60000}"#),
        ),
        Way {
            headers: vec![("Mcp-Method", "ping"), ("Mcp-Name", "echo")],
            ..way("lying `Mcp-Method` and `Mcp-Name`", PLAIN)
        },
        Way {
            kind: "text/plain; x=application/json",
            ..way("another content type that names JSON", PLAIN)
        },
        Way {
            kind: "APPLICATION/JSON",
            ..way("a content type in capitals", PLAIN)
        },
        Way {
            kind: "application/json; charset=utf-16le",
            ..way("UTF-16", utf16)
        },
        way("a byte order mark", marked),
        Way {
            path: "/",
            ..way("a slash at the end of the path", PLAIN)
        },
        Way {
            path: "?x=/../mcp",
            ..way("a query", PLAIN)
        },
    ]
}

/// A server with a trace, and how a session is opened there.
struct Server {
    name: &'static str,
    url: String,
    control: String,
    sessions: bool,
    _running: Box<dyn Any>,
}

fn python_server(name: &'static str, mode: &str) -> Server {
    let child = Child::start(name, python("mcp-1", "server_mcp_1.py").arg(mode));
    let ready = child.wait_event("listening", PATIENCE);
    let text = |key: &str| ready[key].as_str().unwrap().to_owned();
    Server {
        name,
        url: text("mcp"),
        control: text("control"),
        sessions: mode == "stateful",
        _running: Box::new(child),
    }
}

fn servers() -> Vec<Server> {
    let node = Fixture::start(Era::Session);
    vec![
        Server {
            name: "TypeScript SDK 1.x",
            url: node.url.clone(),
            control: node.control_url().to_owned(),
            sessions: true,
            _running: Box::new(node),
        },
        python_server("FastMCP, sessions", "stateful"),
        python_server("FastMCP, stateless", "stateless"),
    ]
}

impl Server {
    async fn executions(&self) -> u64 {
        let request = "GET /state HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
        let state = exchange(address_of(&self.control), request.as_bytes())
            .await
            .json();
        state["executions"]["start_run"].as_u64().unwrap_or(0)
    }

    /// Sends the request in a session of its own, directly or through a gate, and lets the server end it.
    async fn send(&self, url: &str, way: &Way) {
        let caller = Caller::new(url, TOKEN);
        let session = if self.sessions {
            Some(caller.open_session().await.id)
        } else {
            None
        };
        let address = caller.address().to_owned();
        let path = url.split_once(&address).unwrap().1;
        let mut head = format!(
            "POST {path}{} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\
             Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: {SESSIONS}\r\nContent-Type: {}\r\n\
             Content-Length: {}\r\n",
            way.path,
            way.kind,
            way.body.len()
        );
        for (name, value) in way
            .headers
            .iter()
            .copied()
            .chain(session.as_deref().map(|id| ("Mcp-Session-Id", id)))
        {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        let mut wire = Wire::open(&address).await;
        wire.send(&[head.as_bytes(), b"\r\n", &way.body].concat()).await;
        if wire.try_head().await.is_some() {
            wire.rest().await;
        }
    }

    /// Tries a way through toolgate, where nothing may run, and then directly.
    async fn cell(&self, through: &str, way: &Way) -> &'static str {
        let before = self.executions().await;
        self.send(through, way).await;
        let after = self.executions().await;
        assert_eq!(
            after, before,
            "{} ran through toolgate on {}",
            way.name, self.name
        );
        self.send(&self.url, way).await;
        // whoever gets an answer gets it after the tool ran; only a message without an id has none
        let until = Instant::now() + if way.is_answered() { Duration::ZERO } else { SETTLE };
        loop {
            if self.executions().await > after {
                return "**ran** directly, never through toolgate";
            }
            if Instant::now() >= until {
                return "did not run directly, never through toolgate";
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn gate_before(servers: &[Server]) -> Gate {
    let policy =
        json!({ "version": "1", "default": "allow", "tools": { "start_run": { "action": "deny" } } });
    let names: Vec<String> = (0..servers.len()).map(|index| format!("s{index}")).collect();
    let mut setup = Setup::new().policy("p", policy);
    for (name, server) in names.iter().zip(servers) {
        setup = setup.server(name, &server.url);
    }
    let entry = json!({ "id": "agent", "token_sha256": support::gate::token_sha256(TOKEN), "server": names, "policy": "p" });
    setup.entry(entry).start()
}

/// Tries every way on every server, and tells what was seen as the rows of a table.
async fn tried() -> String {
    let servers = servers();
    let gate = gate_before(&servers);
    let column = async |index: usize| {
        let through = gate.url(&format!("s{index}"));
        let mut cells = Vec::new();
        for way in ways() {
            cells.push(servers[index].cell(&through, &way).await);
        }
        cells
    };
    let (node, stateful, stateless) = tokio::join!(column(0), column(1), column(2));
    let columns = [node, stateful, stateless];
    let mut table = "| sent |".to_owned();
    for server in &servers {
        write!(table, " {} |", server.name).unwrap();
    }
    table = format!("{table}\n|{}\n", " --- |".repeat(servers.len() + 1));
    for (row, way) in ways().iter().enumerate() {
        let cells: Vec<&str> = columns.iter().map(|column| column[row]).collect();
        writeln!(table, "| {} | {} |", way.name, cells.join(" | ")).unwrap();
    }
    table
}

const BEGIN: &str = "<!-- ways round: begin -->\n";
const END: &str = "<!-- ways round: end -->";

fn page() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/security.md")
}

#[tokio::test]
async fn what_runs_directly_never_runs_through_toolgate() {
    let table = tried().await;
    let text = std::fs::read_to_string(page()).unwrap();
    let shown = text.split_once(BEGIN).unwrap().1.split_once(END).unwrap().0;
    assert_eq!(
        table, shown,
        "docs/security.md shows another table; see the head of this file"
    );
    // a table in which nothing runs would prove nothing
    assert!(table.matches("**ran**").count() >= 10, "{table}");
}

#[tokio::test]
#[ignore = "writes the table anew"]
async fn bless() {
    let table = tried().await;
    let text = std::fs::read_to_string(page()).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let after = rest.split_once(END).unwrap().1;
    std::fs::write(page(), format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
}
