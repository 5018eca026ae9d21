//! Ways round the gate, over stdio, on servers of three official SDKs: what ran the tool directly never does through
//! `toolgate wrap`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test and its helpers a failed unwrap is a failed test"
)]

mod support;

use std::process::Command;

use serde_json::json;
use support::clients::python;
use support::http;
use support::servers::node;
use support::ways_round;
use support::wrapped::{Place, Wrapped};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    TypeScript1,
    TypeScript2,
    Python1,
}

impl Server {
    fn command(self, place: &Place) -> Command {
        let era = match self {
            Self::Python1 => {
                let mut command = python("mcp-1", "fixture_stdio.py");
                command.arg(json!({ "log": place.path("ran") }).to_string());
                return command;
            }
            Self::TypeScript1 => "session",
            Self::TypeScript2 => "current",
        };
        let mut command = node("fixture-stdio.mjs");
        command.arg(json!({ "era": era, "control": place.path("control.json") }).to_string());
        command
    }

    /// How often this tool truly ran.
    async fn ran(self, place: &Place, tool: &str) -> u64 {
        if self == Self::Python1 {
            let log = std::fs::read_to_string(place.path("ran")).unwrap_or_default();
            return log.lines().filter(|line| *line == format!("ran {tool}")).count() as u64;
        }
        let text = std::fs::read_to_string(place.path("control.json")).unwrap();
        let at: serde_json::Value = serde_json::from_str(&text).unwrap();
        let request = "GET /state HTTP/1.1\r\nHost: fixture\r\nConnection: close\r\n\r\n";
        let answer = http::exchange(
            http::address_of(at["control"].as_str().unwrap()),
            request.as_bytes(),
        )
        .await;
        answer.json()["executions"][tool].as_u64().unwrap_or(0)
    }
}

fn initialize(client: &mut Wrapped) {
    let hello = json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } });
    client.request("hello", "initialize", hello);
    client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
}

async fn nothing_gets_round(server: Server) {
    let place = Place::with(
        &json!({ "version": "1", "default": "allow", "tools": { "files/write": { "action": "deny" } } }),
    );
    let inner = server.command(&place);
    let mut command = place.wrap(&["--"]);
    let mut client = Wrapped::start(command.arg(inner.get_program()).args(inner.get_args()));
    initialize(&mut client);
    for (number, (what, line, _)) in ways_round::lines().into_iter().enumerate() {
        client.raw(&line);
        client.raw(b"\n");
        client.request(format!("after {number}"), "ping", json!({}));
        assert_eq!(server.ran(&place, "files/write").await, 0, "{server:?}: {what}");
    }
    client.send(&json!({ "jsonrpc": "2.0", "method": "tools/call", "params": { "name": "files/write", "arguments": {} } }));
    // the server itself would run it: an honest call does
    let honest = client.call("honest", "echo", json!({ "message": "x" }));
    assert!(
        honest["result"]["isError"] != true && honest["error"].is_null(),
        "{server:?}: {honest}"
    );
    assert_eq!(server.ran(&place, "files/write").await, 0, "{server:?}");
    assert_eq!(server.ran(&place, "echo").await, 1, "{server:?}");
}

#[tokio::test]
async fn nothing_gets_round_in_front_of_a_server_on_typescript_1() {
    nothing_gets_round(Server::TypeScript1).await;
}

#[tokio::test]
async fn nothing_gets_round_in_front_of_a_server_on_typescript_2() {
    nothing_gets_round(Server::TypeScript2).await;
}

#[tokio::test]
async fn nothing_gets_round_in_front_of_a_server_on_python_1() {
    nothing_gets_round(Server::Python1).await;
}

/// Which of these ways run the tool on a server that nobody stands in front of.
async fn runs_directly(server: Server, ways: &[&str]) -> Vec<String> {
    let place = Place::with(&json!({ "version": "1", "default": "allow" }));
    let mut client = Wrapped::start(&mut server.command(&place));
    initialize(&mut client);
    let (mut ran, mut before) = (Vec::new(), 0);
    let lines = ways_round::lines();
    for way in ways {
        let (_, line, _) = lines.iter().find(|(what, _, _)| what == way).unwrap();
        client.raw(line);
        client.raw(b"\n");
        client.request(format!("after {way}"), "ping", json!({}));
        let now = server.ran(&place, "files/write").await;
        if now > before {
            ran.push((*way).to_owned());
        }
        before = now;
    }
    ran
}

#[tokio::test]
async fn the_same_ways_are_real_on_servers_that_nobody_guards() {
    let ways = [
        "the name twice",
        "an escaped name",
        "a call inside a message, behind a bare CR",
    ];
    for (server, expected) in [
        (Server::TypeScript1, &ways[..2]),
        (Server::TypeScript2, &ways[..2]),
        // a text stream of Python takes a bare CR for the end of a line
        (Server::Python1, &ways[..]),
    ] {
        assert_eq!(runs_directly(server, &ways).await, expected, "{server:?}");
    }
}
