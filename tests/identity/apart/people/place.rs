//! Where it happens: a gate that knows six grants, of which some look the same to people, and its console.

use serde_json::{Value, json};

use super::book::Request;
use crate::signer::{Signer, seconds_from_now, set_of};
use crate::support::gate::{Gate, Setup, token_sha256};
use crate::support::mcp::Caller;
use crate::support::redis::RedisServer;
use crate::support::servers::Fixture;

const KEY: (&str, &str) = ("KEY", "0123456789abcdef0123456789abcdef");
const ISSUER: &str = "https://issuer.example";
const PERSON: &str = "tg_person";

/// One of the grants.
#[derive(Clone, Copy, Debug)]
pub enum Who {
    /// An entry with a token of its own.
    Entry { id: &'static str, token: &'static str },
    /// Claims of a token that an issuer signed; the grant is shown as both with a colon between.
    Claims { team: &'static str, sub: &'static str },
}

/// Two of each pair are shown as one id.
pub const LOOK_ALIKE: [[Who; 2]; 2] = [
    [
        Who::Claims {
            team: "a",
            sub: "b:c",
        },
        Who::Claims {
            team: "a:b",
            sub: "c",
        },
    ],
    [
        Who::Claims {
            team: "ci",
            sub: "a:b",
        },
        Who::Claims {
            team: "ci:a",
            sub: "b",
        },
    ],
];

/// Each has a policy of its own.
pub const ENTRIES: [Who; 2] = [
    Who::Entry {
        id: "ci",
        token: "tg_ci",
    },
    Who::Entry {
        id: "ci:two",
        token: "tg_two",
    },
];

impl Who {
    /// As people see it.
    pub fn shown(self) -> String {
        match self {
            Self::Entry { id, .. } => id.to_owned(),
            Self::Claims { team, sub } => format!("{team}:{sub}"),
        }
    }

    fn token(self, signer: &Signer) -> String {
        match self {
            Self::Entry { token, .. } => token.to_owned(),
            Self::Claims { team, sub } => signer.token(&json!({ "iss": ISSUER, "aud": "toolgate",
                "team": team, "sub": sub, "exp": seconds_from_now(600), "iat": seconds_from_now(-1) })),
        }
    }
}

/// What every case stands on.
pub struct Ground {
    pub fixture: Fixture,
    redis: RedisServer,
    signer: Signer,
}

impl Ground {
    pub fn new(fixture: Fixture) -> Self {
        Self {
            fixture,
            redis: RedisServer::start(),
            signer: Signer::p256("k"),
        }
    }

    /// A gate whose requests are in Redis, under this prefix, or in its memory.
    pub fn gate(&self, prefix: Option<&str>) -> Gate {
        let asks = |tool: &str, action: Value| {
            json!({ "version": "1", "default": "allow", "tools": {
            tool: { "action": "require_approval" }, "echo": action } })
        };
        let always = json!({ "action": "require_approval", "reason": "words cost money" });
        let if_said =
            json!({ "approve_if": [{ "conditions": [{ "path": "args.message", "op": "exists" }] }] });
        let mut setup = Setup::new()
            .server("fixture", &self.fixture.url)
            .policy("always", asks("start_run", always))
            .policy("if-said", asks("start_run", if_said))
            .key("issuers", json!({ "i": { "issuer": ISSUER, "jwks": "keys.json", "audience": "toolgate" } }))
            .key("console", json!("127.0.0.1:0"))
            .key(
                "approvals",
                json!({ "hold_ms": 60_000, "approvers": "approvers.yaml", "key": { "env": KEY.0 } }),
            )
            .entry(json!({ "id": "{team}:{sub}", "jwt": { "issuer": "i" }, "server": "fixture", "policy": "always" }));
        for (who, policy) in ENTRIES.iter().zip(["always", "if-said"]) {
            setup = setup.grant(&who.shown(), &who.token(&self.signer), "fixture", policy);
        }
        if let Some(prefix) = prefix {
            let url = self.redis.url();
            let counters = json!({ "store": "redis", "url": url, "deadline_ms": 5_000, "prefix": prefix });
            setup = setup.key("counters", counters);
        }
        let folder = setup.write();
        folder.write("keys.json", &set_of(&[&self.signer]));
        let person = json!({ "id": "ann", "role": "approver", "token_sha256": token_sha256(PERSON) });
        folder.write("approvers.yaml", &json!({ "approvers": [person] }).to_string());
        Setup::start_in_with(folder, &[KEY])
    }

    pub fn caller(&self, gate: &Gate, who: Who) -> Caller {
        gate.caller("fixture", &who.token(&self.signer))
    }

    /// How many calls ran on the server.
    pub async fn runs(&self) -> u64 {
        self.fixture.executions("start_run").await + self.fixture.executions("echo").await
    }
}

/// A request to the console, as the one person who decides: status and answer.
pub async fn console(gate: &Gate, method: &str, path: &str, body: &str) -> (u16, Value) {
    let answer = gate.ask_console(PERSON, method, path, body).await;
    (answer.status, answer.json())
}

/// The requests that the console lists, with a query or without.
pub async fn listed(gate: &Gate, query: &str) -> Vec<Value> {
    let (status, mut list) = console(gate, "GET", &format!("/approvals{query}"), "").await;
    assert_eq!(status, 200, "{list}");
    serde_json::from_value(list["approvals"].take()).unwrap()
}

/// What the person is shown is this grant's own call.
pub fn shows(listed: &Value, who: Who, request: &Request) {
    let expected = json!({ "id": request.id, "state": request.state.as_str(), "grant": who.shown(),
        "server": "fixture", "tool": request.call.tool() });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&listed[name], value, "{name} of {listed}");
    }
}
