//! The agents' side: calls that people must agree to, and what an agent is told of them.

use serde_json::{Value, json};

use crate::support::http::{Events, Wire};
use crate::support::mcp::{CURRENT, Caller};

/// Different calls: more than a grant may have waiting. They are the same for every grant.
pub const CALLS: usize = 12;
const QUESTION: &str = "toolgate_approval";

/// One of the [`CALLS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call(pub usize);

/// How a client asks.
#[derive(Clone, Copy, Debug)]
pub enum Asks<'s> {
    /// It can send its user to a page, and is pointed there.
    Pointed,
    /// Its user comes back with this state, and declined: it is told where its call stands.
    Declines(&'s str),
    /// Its user comes back with this state and went on: it waits.
    Returns(&'s str),
    /// It knows no pages: it waits.
    Waits,
}

impl Asks<'_> {
    const fn state(&self) -> Option<&str> {
        match self {
            Self::Declines(state) | Self::Returns(state) => Some(state),
            Self::Pointed | Self::Waits => None,
        }
    }
}

impl Call {
    pub const fn tool(self) -> &'static str {
        if self.0.is_multiple_of(2) {
            "start_run"
        } else {
            "echo"
        }
    }

    pub fn arguments(self) -> Value {
        let name = format!("call {}", self.0);
        match self.tool() {
            "echo" => json!({ "message": name }),
            _ => json!({ "pipeline": name }),
        }
    }

    fn request(self, caller: &Caller, asks: Asks<'_>) -> Vec<u8> {
        let capabilities = match asks {
            Asks::Waits => json!({}),
            _ => json!({ "elicitation": { "url": {} } }),
        };
        let mut params = json!({ "name": self.tool(), "arguments": self.arguments(), "_meta": {
            "io.modelcontextprotocol/protocolVersion": CURRENT,
            "io.modelcontextprotocol/clientInfo": { "name": "toolgate-test", "version": "1.0.0" },
            "io.modelcontextprotocol/clientCapabilities": capabilities,
            "progressToken": self.0 } });
        if let Some(state) = asks.state() {
            let action = if matches!(asks, Asks::Returns(_)) {
                "accept"
            } else {
                "decline"
            };
            params["requestState"] = json!(state);
            params["inputResponses"] = json!({ QUESTION: { "action": action } });
        }
        let headers = [
            ("MCP-Protocol-Version", CURRENT),
            ("Mcp-Method", "tools/call"),
            ("Mcp-Name", self.tool()),
        ];
        // all grants use the same ids
        let body = json!({ "jsonrpc": "2.0", "id": self.0, "method": "tools/call", "params": params });
        caller.request("POST", &headers, body.to_string().as_bytes())
    }

    /// Sends it and reads what comes first: the answer, or that it waits.
    pub async fn ask(self, caller: &Caller, asks: Asks<'_>) -> (Told, Line) {
        let wire = caller.send_only(&self.request(caller, asks)).await;
        let mut line = Line::new(wire).await;
        (line.next().await, line)
    }
}

/// A connection on which a call is answered.
pub enum Line {
    Whole(Wire),
    Events(Events),
}

impl Line {
    async fn new(mut wire: Wire) -> Self {
        let head = wire.head().await;
        let kind = head.header("content-type").unwrap_or_default();
        if kind.starts_with("text/event-stream") {
            Self::Events(Events::new(wire))
        } else {
            Self::Whole(wire)
        }
    }

    /// The next that the agent is told.
    async fn next(&mut self) -> Told {
        let message = match self {
            Self::Whole(wire) => serde_json::from_slice(&wire.rest().await).unwrap(),
            Self::Events(events) => events.next().await.expect("the answer broke off"),
        };
        Told::read(&message)
    }

    /// What it is told at last.
    pub async fn answer(&mut self) -> Told {
        loop {
            let told = self.next().await;
            if !told.goes_on {
                return told;
            }
        }
    }
}

/// What an agent is told of a call.
pub struct Told {
    pub what: What,
    /// Every word of it.
    pub text: String,
    /// The answer is still to come.
    pub goes_on: bool,
    /// The call's id, where the gate answers it.
    pub call: Option<String>,
    /// To be brought back.
    pub brings: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum What {
    Waits(String),
    Full,
    Refused(String),
    Ran,
    /// The state that it brought is not its own.
    Foreign,
    Other,
}

impl Told {
    fn read(message: &Value) -> Self {
        let result = &message["result"];
        let decision = &result["_meta"]["toolgate/decision"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Self {
            what: what(message),
            text: message.to_string(),
            goes_on: message["method"].is_string(),
            call: text(&decision["id"]),
            brings: text(&result["requestState"]),
        }
    }
}

fn what(message: &Value) -> What {
    let result = &message["result"];
    let decision = &result["_meta"]["toolgate/decision"];
    if message["method"] == "notifications/progress" {
        // … `ID` is pending until …
        let text = message["params"]["message"].as_str().unwrap();
        return What::Waits(text.split('`').nth(1).unwrap().to_owned());
    }
    match (decision["outcome"].as_str(), decision["approvalId"].as_str()) {
        (Some("needs_approval"), Some(id)) => What::Waits(id.to_owned()),
        (Some("needs_approval"), None) => What::Full,
        (Some("denied"), Some(id)) => What::Refused(id.to_owned()),
        (None, None) if is_foreign(message) => What::Foreign,
        (None, None) if result["isError"] != true && result["content"].is_array() => What::Ran,
        _ => What::Other,
    }
}

fn is_foreign(message: &Value) -> bool {
    let error = &message["error"];
    let text = error["message"].as_str().unwrap_or_default();
    error["code"] == -32602 && text.contains("none that this grant was given")
}
