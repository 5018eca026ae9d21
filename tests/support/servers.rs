//! Real MCP servers: the reference server `server-everything`, and our fixture on the official SDK.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::child::{Child, REMEDY};
use super::http;
use super::wait::{PATIENCE, until};

/// The folder of the node clients and servers; panics with the remedy where their packages are missing.
pub fn node_folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/node");
    assert!(
        folder.join("node_modules/.installed").exists(),
        "npm packages are missing: {REMEDY}"
    );
    folder
}

/// This script of the node clients and servers.
pub fn node(script: &str) -> Command {
    let mut command = bare_node();
    command.arg(node_folder().join(script));
    command
}

/// Node in the folder of the clients and servers: the one that the install script brought, else the machine's.
pub fn bare_node() -> Command {
    let local = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/node/node_modules/node/bin/node");
    let program = if local.exists() {
        local
    } else {
        PathBuf::from("node")
    };
    let mut command = Command::new(program);
    command.current_dir(node_folder()).env_remove("NODE_OPTIONS");
    command
}

/// `@modelcontextprotocol/server-everything` over Streamable HTTP.
pub struct Everything {
    _child: Child,
    /// Its MCP endpoint, e.g. `http://127.0.0.1:40001/mcp`.
    pub url: String,
}

impl Everything {
    pub fn start() -> Self {
        Self::start_as("streamableHttp")
    }

    /// With the transport of 2024-11-05; its URL ends in `/sse`.
    pub fn start_legacy() -> Self {
        Self::start_as("sse")
    }

    fn start_as(transport: &str) -> Self {
        let mut command = node("everything-server.mjs");
        let child = Child::start("server-everything", command.arg(transport));
        let ready = child.wait_event("listening", PATIENCE);
        Self {
            _child: child,
            url: ready["mcp"].as_str().unwrap().to_owned(),
        }
    }
}

/// The server of the conformance suites (`tests/clients/node/conformance-server.mjs`): both eras at one URL.
pub struct Conformance {
    _child: Child,
    pub url: String,
}

impl Conformance {
    pub fn start() -> Self {
        let child = Child::start("conformance server", &mut node("conformance-server.mjs"));
        let ready = child.wait_event("listening", PATIENCE);
        let url = ready["mcp"].as_str().unwrap().to_owned();
        Self { _child: child, url }
    }
}

/// The authorization server (`tests/clients/node/authorization-server.mjs`): lets everybody in as `ada`.
pub struct AuthorizationServer {
    _child: Child,
    /// Its issuer, and its root.
    pub issuer: String,
}

impl AuthorizationServer {
    pub fn start() -> Self {
        let child = Child::start("authorization server", &mut node("authorization-server.mjs"));
        let ready = child.wait_event("listening", PATIENCE);
        let issuer = ready["issuer"].as_str().unwrap().to_owned();
        Self {
            _child: child,
            issuer,
        }
    }

    /// What it was asked for: `authorized` and `tokens`, each with `resource` and `scope`.
    pub async fn seen(&self) -> Value {
        let request = "GET /seen HTTP/1.1\r\nHost: fixture\r\nConnection: close\r\n\r\n";
        http::exchange(http::address_of(&self.issuer), request.as_bytes())
            .await
            .json()
    }
}

/// Which generation of MCP the fixture speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// SDK 1.x: sessions, up to 2025-11-25.
    Session,
    /// SDK 2.x: the stateless revision 2026-07-28.
    Current,
}

/// The fixture server (`tests/clients/node/fixture-server.mjs`).
pub struct Fixture {
    child: Child,
    /// Its MCP endpoint.
    pub url: String,
    control: String,
}

impl Fixture {
    pub fn start(era: Era) -> Self {
        Self::start_with(era, json!({}))
    }

    /// `more`: further settings, e.g. `{"json": true}` for JSON answers instead of SSE.
    pub fn start_with(era: Era, mut more: Value) -> Self {
        more["era"] = json!(if era == Era::Session { "session" } else { "current" });
        let child = Child::start("fixture server", node("fixture-server.mjs").arg(more.to_string()));
        let ready = child.wait_event("listening", PATIENCE);
        let text = |key: &str| ready[key].as_str().unwrap().to_owned();
        Self {
            url: text("mcp"),
            control: text("control"),
            child,
        }
    }

    /// Where its state is told.
    pub fn control_url(&self) -> &str {
        &self.control
    }

    /// `127.0.0.1:PORT` of the MCP endpoint.
    pub fn address(&self) -> &str {
        http::address_of(&self.url)
    }

    /// Stops the server at once.
    pub fn kill(&mut self) {
        self.child.kill();
    }

    async fn control(&self, method: &str, path: &str) -> (u16, Value) {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: fixture\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        let answer = http::exchange(http::address_of(&self.control), request.as_bytes()).await;
        (answer.status, answer.json())
    }

    pub async fn state(&self) -> Value {
        self.control("GET", "/state").await.1
    }

    /// How often this tool truly ran.
    pub async fn executions(&self, tool: &str) -> u64 {
        self.state().await["executions"][tool].as_u64().unwrap_or(0)
    }

    /// The requests that reached the server, oldest first: `number method target headers body(base64) bodyBytes end`.
    pub async fn requests(&self) -> Vec<Value> {
        self.control("GET", "/requests")
            .await
            .1
            .as_array()
            .unwrap()
            .clone()
    }

    /// Waits until the server's state satisfies the condition, and returns it.
    pub async fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        until(what, || async { Some(self.state().await).filter(&holds) }).await
    }

    /// Waits until a call of `slow` with this name waits for the test.
    pub async fn until_waiting(&self, name: &str) {
        self.until(&format!("`slow` waits as `{name}`"), |state| {
            contains(&state["waiting"], name)
        })
        .await;
    }

    /// Lets a waiting `slow` call send one more progress event.
    pub async fn step(&self, name: &str) {
        assert_eq!(
            self.control("POST", &format!("/step?name={name}")).await.0,
            200,
            "nothing waits as `{name}`"
        );
    }

    /// Lets a waiting `slow` call end.
    pub async fn release(&self, name: &str) {
        assert_eq!(
            self.control("POST", &format!("/release?name={name}")).await.0,
            200,
            "nothing waits as `{name}`"
        );
    }

    /// Sessions and requests from now on show the tool with this description, one word.
    pub async fn describe(&self, tool: &str, word: &str) {
        let path = format!("/describe?name={tool}&text={word}");
        assert_eq!(self.control("POST", &path).await.0, 200);
    }

    /// Sends `notifications/tools/list_changed` to every open session or listener.
    pub async fn notify(&self) {
        assert_eq!(self.control("POST", "/notify").await.0, 200);
    }
}

/// Whether a JSON list holds this string.
pub fn contains(list: &Value, wanted: &str) -> bool {
    list.as_array()
        .is_some_and(|items| items.iter().any(|item| item == wanted))
}
