//! Real MCP clients on four SDKs, each a small script that is told what to do and prints what it saw.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::child::{Child, REMEDY};
use super::servers::node;

/// How long a whole client run may take.
const RUN: Duration = Duration::from_secs(90);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sdk {
    TypeScript1,
    TypeScript2,
    Python1,
    Python2,
    FastMcp4,
    Rmcp,
}

impl Sdk {
    /// The four that most tests run.
    pub const ALL: [Self; 4] = [Self::TypeScript1, Self::TypeScript2, Self::Python1, Self::Python2];
    pub const EVERY: [Self; 6] = [
        Self::TypeScript1,
        Self::TypeScript2,
        Self::Python1,
        Self::Python2,
        Self::FastMcp4,
        Self::Rmcp,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::TypeScript1 => "TypeScript SDK 1.x",
            Self::TypeScript2 => "TypeScript SDK 2.x",
            Self::Python1 => "Python SDK 1.x",
            Self::Python2 => "Python SDK 2.x",
            Self::FastMcp4 => "FastMCP 4",
            Self::Rmcp => "rmcp 3.11",
        }
    }

    /// Whether it speaks the stateless revision 2026-07-28 where the server has it.
    pub fn is_current(self) -> bool {
        !matches!(self, Self::TypeScript1 | Self::Python1)
    }

    fn command(self) -> Command {
        match self {
            Self::TypeScript1 => node("client-sdk-1.mjs"),
            Self::TypeScript2 => node("client-sdk-2.mjs"),
            Self::Python1 => python("mcp-1", "client_mcp_1.py"),
            Self::Python2 => python("mcp-2", "client_mcp_2.py"),
            Self::FastMcp4 => python("fastmcp-4", "client_fastmcp_4.py"),
            Self::Rmcp => rust_client(),
        }
    }
}

/// A script in one of the Python environments.
pub fn python(venv: &str, script: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    assert!(
        root.join(".tools").join(venv).join(".installed").exists(),
        "the venv `{venv}` is missing: {REMEDY}"
    );
    let mut command = Command::new(root.join(".tools").join(venv).join("bin/python"));
    command
        .arg(root.join("tests/clients/python").join(script))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn rust_client() -> Command {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/rmcp-3/debug/toolgate-test-client");
    assert!(program.exists(), "the client on rmcp is missing: {REMEDY}");
    Command::new(program)
}

/// What a client run showed.
#[derive(Debug)]
pub struct Run {
    pub answer: Value,
}

/// One call as the SDK's user saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub tool: String,
    /// `ok`, `tool_error`, `protocol_error` or `transport_error`.
    pub kind: String,
    pub text: String,
    pub code: Option<i64>,
    pub meta: Value,
    /// What it was told while the call ran, where it asked for that.
    pub progress: Vec<f64>,
}

impl Seen {
    /// toolgate's own note on the answer.
    pub fn decision(&self) -> &Value {
        &self.meta["toolgate/decision"]
    }
}

impl Run {
    /// Why the client could not connect or died on the way.
    pub fn failure(&self) -> Option<&str> {
        self.answer["failed"].as_str()
    }

    pub fn protocol_version(&self) -> &str {
        self.answer["protocolVersion"].as_str().unwrap_or_default()
    }

    pub fn tools(&self) -> Vec<&str> {
        self.answer["tools"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap())
            .collect()
    }

    /// The methods that the server asked the client for, in order.
    pub fn asked(&self) -> Vec<&str> {
        self.answer["asked"]
            .as_array()
            .unwrap_or_else(|| panic!("the client failed: {}", self.answer))
            .iter()
            .map(|method| method.as_str().unwrap())
            .collect()
    }

    pub fn calls(&self) -> Vec<Seen> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let calls = self.answer["calls"]
            .as_array()
            .unwrap_or_else(|| panic!("the client failed: {}", self.answer));
        calls
            .iter()
            .map(|call| Seen {
                tool: text(&call["tool"]),
                kind: text(&call["kind"]),
                text: text(&call["text"]),
                code: call["code"].as_i64(),
                meta: call["meta"].clone(),
                progress: numbers(&call["progress"]),
            })
            .collect()
    }
}

fn numbers(list: &Value) -> Vec<f64> {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(Value::as_f64).collect()
}

/// Starts a client that declares sampling and elicitation, and answers when it is asked.
pub fn start_asked(sdk: Sdk, url: &str, token: &str, calls: &Value) -> Running {
    start_with(
        sdk,
        &json!({ "url": url, "token": token, "calls": calls, "asked": true }),
    )
}

/// Starts the client; [`Running::finish`] waits for what it saw.
pub fn start(sdk: Sdk, url: &str, token: &str, calls: &Value) -> Running {
    start_with(sdk, &json!({ "url": url, "token": token, "calls": calls }))
}

/// As [`start`], with a token that the client gets by itself from where the server sends it.
pub fn start_oauth(sdk: Sdk, url: &str, calls: &Value) -> Running {
    start_with(sdk, &json!({ "url": url, "oauth": true, "calls": calls }))
}

/// As [`start`], over the transport of 2024-11-05.
pub fn start_legacy(sdk: Sdk, url: &str, token: &str, calls: &Value) -> Running {
    start_with(
        sdk,
        &json!({ "url": url, "token": token, "calls": calls, "transport": "sse" }),
    )
}

/// As [`start`], as a client that starts its server itself and speaks stdio to it.
pub fn start_stdio(sdk: Sdk, command: &[String], env: &Value, calls: &Value) -> Running {
    start_with(sdk, &json!({ "command": command, "env": env, "calls": calls }))
}

/// Starts a client with all of its specification.
pub fn start_with(sdk: Sdk, spec: &Value) -> Running {
    Running {
        child: Child::start(&format!("{sdk:?} client"), sdk.command().arg(spec.to_string())),
        sdk,
    }
}

/// A client that has been started.
pub struct Running {
    child: Child,
    sdk: Sdk,
}

impl Running {
    pub fn finish(mut self) -> Run {
        self.child.wait_end(RUN);
        let Some(answer) = self.child.json_lines().pop() else {
            panic!(
                "the {:?} client printed nothing.\nstderr:\n{}",
                self.sdk,
                self.child.stderr()
            );
        };
        Run { answer }
    }
}

/// Connects, lists the tools, makes the calls one after the other (`[{"tool", "arguments", "times"}]`), disconnects.
pub fn run(sdk: Sdk, url: &str, token: &str, calls: &Value) -> Run {
    start(sdk, url, token, calls).finish()
}
