//! What toolgate makes of a body, and what a reader must see in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use toolgate::mcp::envelope::{Kind, read};
use toolgate::policy::{Call, Caller, Plan, Policy, load, plan_tool};

use crate::shared::reading::{self, Reading, Text, double, equal, text};

/// Everything passes; the values of some arguments are put on record as the decision read them.
const POLICY: &str =
    r#"{"version":"1","default":"allow","methods":{},"record":["args.a","args.b","args.c","args.name"]}"#;

/// What became of the bodies.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub inputs: u64,
    pub forwarded: u64,
    /// Of those forwarded, calls of a tool.
    pub calls: u64,
    /// Values of arguments that the decision read and every reader saw.
    pub recorded: u64,
    pub bytes: u64,
    /// Of those refused, by reason.
    pub refused: BTreeMap<String, u64>,
}

/// One body that is forwarded.
pub struct Judged {
    pub body: Vec<u8>,
    pub method: Option<Text>,
    pub name: Option<Text>,
    pub arguments: Option<Reading>,
    /// Key and value, as the decision read them.
    pub recorded: Vec<(String, Reading)>,
}

/// Bodies for one round trip.
#[derive(Default)]
pub struct Batch(pub Vec<Judged>);

impl Batch {
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

pub struct Judge {
    policies: [Arc<Policy>; 1],
    pub counts: Counts,
}

impl Judge {
    pub fn new() -> Self {
        let loaded = load("p", "p.json", POLICY).expect("the policy is sound");
        Self {
            policies: [Arc::new(loaded.policy)],
            counts: Counts::default(),
        }
    }

    /// Judges one body as the proxy does, and puts it into the batch where it would be forwarded.
    pub fn judge(&mut self, body: Vec<u8>, batch: &mut Batch) -> Result<(), String> {
        self.counts.inputs += 1;
        match self.forwarded(&body) {
            Err(reason) => *self.counts.refused.entry(reason).or_default() += 1,
            Ok(judged) => {
                self.counts.forwarded += 1;
                self.counts.bytes += body.len() as u64;
                self.counts.recorded += judged.recorded.len() as u64;
                as_serde_reads(&body, &judged)?;
                batch.0.push(Judged { body, ..judged });
            }
        }
        Ok(())
    }

    fn forwarded(&mut self, body: &[u8]) -> Result<Judged, String> {
        let refused = |fault| format!("{fault:?}");
        let envelope = read(body).map_err(|unreadable| refused(unreadable.fault))?;
        let call = envelope
            .tool_call()
            .map_err(|unreadable| refused(unreadable.fault))?;
        let mut recorded = Vec::new();
        if let Some(call) = &call {
            if envelope.kind == Kind::Notification {
                return Err("CallWithoutId".to_owned());
            }
            self.counts.calls += 1;
            recorded = self.decided(call.name, call.arguments)?;
        }
        let params = envelope.params.as_ref();
        let raw = params.and_then(|params| params.arguments);
        let name = params.and_then(|params| params.name.text());
        Ok(Judged {
            body: Vec::new(),
            method: envelope.method.as_deref().map(text),
            name: name.map(text),
            arguments: raw.map(|raw| reading::read(raw).expect("arguments are JSON")),
            recorded,
        })
    }

    fn decided(&self, tool: &str, arguments: Option<&str>) -> Result<Vec<(String, Reading)>, String> {
        let caller = Caller {
            grant: "g",
            server: "s",
            session: None,
            claims: None,
        };
        let decision = plan_tool(&self.policies, &caller, &Call { tool, arguments });
        if let Plan::Refuse(denial) = decision.plan {
            return Err(denial.rule);
        }
        let value = |json: &str| reading::read(json).expect("what is recorded is JSON");
        let recorded = decision.recorded.into_iter();
        Ok(recorded
            .map(|recorded| (recorded.path.replace("args.", ""), value(&recorded.json)))
            .collect())
    }
}

impl Judged {
    /// Whether `[method, name, arguments]`, each in a list that is empty where there is none, is what was judged.
    pub fn is_read_as(&self, reading: &Reading) -> bool {
        let Reading::List(members) = reading else {
            return false;
        };
        let [method, name, arguments] = members.as_slice() else {
            return false;
        };
        let texts = says(method, self.method.as_ref()) && says(name, self.name.as_ref());
        let arguments = match (only(arguments), &self.arguments) {
            (None, None) => None,
            (Some(read), Some(judged)) if judged.same(read) => Some(read),
            _ => return false,
        };
        let recorded = self.recorded.iter().all(|(key, value)| {
            let read = arguments.and_then(|arguments| arguments.last(key));
            read.is_some_and(|read| value.same(read))
        });
        texts && recorded
    }
}

fn says(read: &Reading, judged: Option<&Text>) -> bool {
    only(read).and_then(Reading::as_text) == judged
}

fn only(list: &Reading) -> Option<&Reading> {
    match list {
        Reading::List(items) => items.first(),
        _ => None,
    }
}

/// serde_json by itself, which keeps the last of equal keys.
fn as_serde_reads(body: &[u8], judged: &Judged) -> Result<(), String> {
    let complaint = |what: &str| format!("serde_json {what}: {}", body.escape_ascii());
    let value: Value = serde_json::from_slice(body).map_err(|error| complaint(&error.to_string()))?;
    let params = &value["params"];
    let arguments = match (&judged.arguments, params.get("arguments")) {
        (None, None) => true,
        (Some(judged), Some(read)) => alike(read, judged),
        _ => false,
    };
    let texts = says_text(&value["method"], judged.method.as_ref());
    if texts && says_text(&params["name"], judged.name.as_ref()) && arguments {
        Ok(())
    } else {
        Err(complaint("reads otherwise"))
    }
}

fn says_text(read: &Value, judged: Option<&Text>) -> bool {
    match (read.as_str(), judged) {
        (None, None) => true,
        (Some(read), Some(judged)) => read.encode_utf16().eq(judged.iter().copied()),
        _ => false,
    }
}

/// [`Reading::same`], but doubles may be neighbours: without `float_roundtrip` serde_json rounds in a hurry.
fn alike(read: &Value, judged: &Reading) -> bool {
    match (read, judged) {
        (Value::Null, Reading::Null) => true,
        (Value::Bool(read), Reading::Bool(judged)) => read == judged,
        (Value::Number(read), Reading::Number(judged)) => {
            let (read, judged) = (read.as_f64().unwrap_or(f64::NAN), double(judged));
            let near = [judged, judged.next_up(), judged.next_down()];
            near.into_iter().any(|judged| equal(read, judged))
        }
        (Value::String(_), Reading::Text(judged)) => says_text(read, Some(judged)),
        (Value::Array(read), Reading::List(judged)) => {
            read.len() == judged.len() && read.iter().zip(judged).all(|(read, judged)| alike(read, judged))
        }
        (Value::Object(read), Reading::Object(judged)) => {
            let found = |(key, judged): &(Text, Reading)| {
                let read = String::from_utf16(key).ok().and_then(|key| read.get(&key));
                read.is_some_and(|read| alike(read, judged))
            };
            // No key stands twice in what was judged, so as many keys are the same keys.
            read.len() == judged.len() && judged.iter().all(found)
        }
        _ => false,
    }
}
