//! The servers: how each is started, and what its tools are called.

use std::any::Any;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::post::Tools;
use crate::support::child::Child;
use crate::support::clients::python;
use crate::support::http::{address_of, exchange};
use crate::support::servers::{Era, Fixture, node};

/// Several servers start at the same time, some of which read thousands of files first.
const PATIENCE: Duration = Duration::from_secs(90);

const FIXTURE: Tools = Tools {
    denied: "start_run",
    allowed: "echo",
    hidden: "secret-show",
    waiting: None,
};

pub const EVERYTHING: Tools = Tools {
    denied: "get-tiny-image",
    allowed: "echo",
    hidden: "get-env",
    waiting: None,
};

/// A server with a trace.
pub struct Column {
    pub name: &'static str,
    pub url: String,
    control: String,
    pub tools: Tools,
    /// Up to 2025-11-25, with sessions.
    pub sessions: bool,
    /// Revision 2026-07-28.
    pub modern: bool,
    /// It keeps the events of its streams.
    pub replays: bool,
    _running: Box<dyn Any + Send + Sync>,
}

impl Column {
    fn of(name: &'static str, tools: Tools, command: &mut Command) -> Self {
        let child = Child::start(name, command);
        let ready = child.wait_event("listening", PATIENCE);
        let text = |key: &str| ready[key].as_str().unwrap().to_owned();
        Self {
            name,
            url: text("mcp"),
            control: text("control"),
            tools,
            sessions: false,
            modern: false,
            replays: false,
            _running: Box::new(child),
        }
    }

    fn fixture(name: &'static str, era: Era, more: Value) -> Self {
        let fixture = Fixture::start_with(era, more);
        Self {
            name,
            url: fixture.url.clone(),
            control: fixture.control_url().to_owned(),
            tools: FIXTURE,
            sessions: era == Era::Session,
            modern: era == Era::Current,
            replays: false,
            _running: Box::new(fixture),
        }
    }

    fn python(name: &'static str, sdk: &str, settings: &Value) -> Self {
        let mut settings = settings.clone();
        settings["sdk"] = json!(sdk);
        let mut command = python(sdk, "server_any.py");
        Self::of(name, FIXTURE, command.arg(settings.to_string()))
    }

    /// How often each tool ran, and how often the list was asked for where that is counted.
    pub async fn count(&self, what: &str) -> u64 {
        let request = "GET /state HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
        let state = exchange(address_of(&self.control), request.as_bytes()).await;
        state.json()["executions"][what].as_u64().unwrap_or(0)
    }
}

fn everything(transport: &str) -> Column {
    let mut command = node("everything-server.mjs");
    Column::of("server-everything", EVERYTHING, command.arg(transport))
}

/// A column that is still to be started.
type Start = Box<dyn FnOnce() -> Column + Send>;

/// Starts all of them at the same time.
fn all(starts: Vec<Start>) -> Vec<Column> {
    let starting: Vec<_> = starts.into_iter().map(std::thread::spawn).collect();
    let started = starting.into_iter().map(std::thread::JoinHandle::join);
    started
        .map(|column| column.expect("a server did not start"))
        .collect()
}

fn waiting(tool: &'static str, arguments: &'static str) -> Tools {
    Tools {
        waiting: Some((tool, arguments)),
        ..FIXTURE
    }
}

/// Over Streamable HTTP.
pub fn http() -> Vec<Column> {
    let python = |name, sdk: &'static str, settings: Value, sessions, modern| -> Start {
        Box::new(move || Column {
            sessions,
            modern,
            ..Column::python(name, sdk, &settings)
        })
    };
    let sessions = || json!({ "transport": "http" });
    let stateless = || json!({ "transport": "http", "stateless": true });
    let slow = json!({ "transport": "http", "slowList": true });
    all(vec![
        Box::new(|| Column {
            sessions: true,
            replays: true,
            ..everything("streamableHttp")
        }),
        Box::new(|| Column {
            tools: waiting("slow", r#"{"name":"same"}"#),
            ..Column::fixture("TypeScript SDK 1.x", Era::Session, json!({ "slowList": true }))
        }),
        Box::new(|| Column::fixture("TypeScript SDK 2.x, 2026-07-28", Era::Current, json!({}))),
        Box::new(move || Column {
            sessions: true,
            tools: waiting("wait", "{}"),
            ..Column::python("Python SDK 1.x, sessions", "mcp-1", &slow)
        }),
        python("Python SDK 1.x, stateless", "mcp-1", stateless(), false, false),
        python("Python SDK 2.x, 2026-07-28", "mcp-2", sessions(), false, true),
        python("FastMCP 4, sessions", "fastmcp-4", sessions(), true, false),
        python("FastMCP 4, stateless", "fastmcp-4", stateless(), false, false),
        python("FastMCP 4, 2026-07-28", "fastmcp-4", sessions(), false, true),
    ])
}

/// Over the transport of 2024-11-05.
pub fn sse() -> Vec<Column> {
    let python = |name, sdk: &'static str| -> Start {
        Box::new(move || Column::python(name, sdk, &json!({ "transport": "sse" })))
    };
    all(vec![
        Box::new(|| everything("sse")),
        python("Python SDK 1.x", "mcp-1"),
        python("Python SDK 2.x", "mcp-2"),
        python("FastMCP 4", "fastmcp-4"),
    ])
}
