//! The same over stdio, through `toolgate wrap`.

use std::process::Command;

use serde_json::{Value, json};

use crate::columns::EVERYTHING;
use crate::page::{Cell, Row, Table};
use crate::support::clients::python;
use crate::support::http;
use crate::support::servers::node;
use crate::support::ways_round;
use crate::support::wrapped::{Place, Wrapped};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    Everything,
    TypeScript1,
    TypeScript2,
    Python1,
    Python2,
    FastMcp4,
}

const SERVERS: [Server; 6] = [
    Server::Everything,
    Server::TypeScript1,
    Server::TypeScript2,
    Server::Python1,
    Server::Python2,
    Server::FastMcp4,
];

impl Server {
    const fn name(self) -> &'static str {
        match self {
            Self::Everything => "server-everything",
            Self::TypeScript1 => "TypeScript SDK 1.x",
            Self::TypeScript2 => "TypeScript SDK 2.x",
            Self::Python1 => "Python SDK 1.x",
            Self::Python2 => "Python SDK 2.x",
            Self::FastMcp4 => "FastMCP 4",
        }
    }

    const fn denied(self) -> &'static str {
        match self {
            Self::Everything => EVERYTHING.denied,
            _ => "start_run",
        }
    }

    fn command(self, place: &Place) -> Command {
        let control = place.path("control.json");
        let sdk = match self {
            Self::Everything => {
                let mut command = node("everything-server.mjs");
                command.arg("stdio").arg(control);
                return command;
            }
            Self::TypeScript1 | Self::TypeScript2 => {
                let era = if self == Self::TypeScript1 {
                    "session"
                } else {
                    "current"
                };
                let mut command = node("fixture-stdio.mjs");
                command.arg(json!({ "era": era, "control": control }).to_string());
                return command;
            }
            Self::Python1 => "mcp-1",
            Self::Python2 => "mcp-2",
            Self::FastMcp4 => "fastmcp-4",
        };
        let mut command = python(sdk, "server_any.py");
        let settings = json!({ "sdk": sdk, "transport": "stdio", "log": place.path("ran") });
        command.arg(settings.to_string());
        command
    }

    /// How often this tool truly ran.
    async fn ran(self, place: &Place, tool: &str) -> u64 {
        if matches!(self, Self::Python1 | Self::Python2 | Self::FastMcp4) {
            let log = std::fs::read_to_string(place.path("ran")).unwrap_or_default();
            return log.lines().filter(|line| *line == format!("ran {tool}")).count() as u64;
        }
        let text = std::fs::read_to_string(place.path("control.json")).unwrap();
        let at: Value = serde_json::from_str(&text).unwrap();
        let request = "GET /state HTTP/1.1\r\nHost: fixture\r\nConnection: close\r\n\r\n";
        let control = at["control"].as_str().unwrap();
        let state = http::exchange(http::address_of(control), request.as_bytes()).await;
        state.json()["executions"][tool].as_u64().unwrap_or(0)
    }

    fn place(self) -> Place {
        Place::with(
            &json!({ "version": "1", "default": "allow", "tools": { self.denied(): { "action": "deny" } } }),
        )
    }

    fn directly(self, place: &Place) -> Wrapped {
        let mut client = Wrapped::start(&mut self.command(place));
        initialize(&mut client);
        client
    }

    /// Through the gate no line has an effect, and the server goes on serving.
    async fn never_through_toolgate(self) {
        let (place, denied) = (self.place(), self.denied());
        let inner = self.command(&place);
        let mut command = place.wrap(&["--"]);
        let mut client = Wrapped::start(command.arg(inner.get_program()).args(inner.get_args()));
        initialize(&mut client);
        for (number, (what, line)) in lines(denied).into_iter().enumerate() {
            client.raw(&line);
            client.raw(b"\n");
            client.request(format!("after {number}"), "ping", json!({}));
            assert_eq!(self.ran(&place, denied).await, 0, "{self:?}: {what}");
        }
        let honest = client.call("honest", "echo", json!({ "message": "x" }));
        assert!(
            honest["result"]["isError"] != true && honest["error"].is_null(),
            "{self:?}: {honest}"
        );
        assert_eq!(self.ran(&place, denied).await, 0, "{self:?}");
        assert_eq!(self.ran(&place, "echo").await, 1, "{self:?}");
    }

    /// What each line does to a server that nobody stands in front of.
    async fn runs_directly(self) -> Vec<Option<Cell>> {
        let (place, denied) = (self.place(), self.denied());
        let mut client = self.directly(&place);
        let mut cells = Vec::new();
        for (number, (_, line)) in lines(denied).into_iter().enumerate() {
            // a server over stdio counts from its start
            let before = self.ran(&place, denied).await;
            client.raw(&line);
            client.raw(b"\n");
            let ping = json!({ "jsonrpc": "2.0", "id": format!("after {number}"), "method": "ping" });
            client.send(&ping);
            let served = client.answers(&ping["id"]);
            let effect = self.ran(&place, denied).await > before;
            cells.push(Some(Cell { word: "ran", effect }));
            if !served {
                // it choked on the line: the next one gets a fresh server
                client = self.directly(&place);
            }
        }
        cells
    }
}

fn initialize(client: &mut Wrapped) {
    let hello = json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } });
    client.request("hello", "initialize", hello);
    client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
}

fn plain(tool: &str) -> Vec<u8> {
    let params = json!({ "name": tool, "arguments": {} });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params })
        .to_string()
        .into_bytes()
}

/// The lines, for this tool.
fn lines(tool: &str) -> Vec<(&'static str, Vec<u8>)> {
    let replaced = |line: Vec<u8>| match String::from_utf8(line.clone()) {
        Ok(text) => {
            let escaped: String = tool.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
            let wide = |text: &str| {
                text.encode_utf16()
                    .flat_map(u16::to_le_bytes)
                    .collect::<Vec<u8>>()
            };
            if line.contains(&0) {
                let narrow: String = text.chars().filter(|c| *c != '\0').collect();
                return wide(&narrow.replace("files/write", tool));
            }
            text.replace("files/write", tool)
                .replace("files\\/write", &escaped)
                .into_bytes()
        }
        Err(_) => replace_bytes(&line, b"files/write", tool.as_bytes()),
    };
    let more = ways_round::lines()
        .into_iter()
        .map(|(what, line, _)| (what, replaced(line)));
    [("nothing special", plain(tool))]
        .into_iter()
        .chain(more)
        .collect()
}

fn replace_bytes(line: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    match line.windows(from.len()).position(|part| part == from) {
        Some(at) => [&line[..at], to, &line[at + from.len()..]].concat(),
        None => line.to_vec(),
    }
}

pub async fn table() -> Table {
    let mut columns = Vec::new();
    for server in SERVERS {
        server.never_through_toolgate().await;
        columns.push(server.runs_directly().await);
    }
    let rows = lines("x").into_iter().enumerate().map(|(index, (way, _))| Row {
        way: way.to_owned(),
        cells: columns.iter().map(|cells| cells[index]).collect(),
    });
    Table {
        columns: SERVERS.map(|server| server.name().to_owned()).to_vec(),
        rows: rows.collect(),
    }
}
