//! One POST body: what is accepted must mean the same to every reader, in whatever bytes it is written.

use serde_json::Value;
use toolgate::mcp::envelope::{Envelope, Kind, Params, read};
use toolgate::mcp::reply;

use super::reading::{self, Reading, folded, text};

const MEMBERS: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];
const PARAMS: [&str; 8] = [
    "name",
    "arguments",
    "task",
    "_meta",
    "uri",
    "taskId",
    "inputResponses",
    "requestState",
];

pub fn run(body: &[u8]) {
    match read(body) {
        Err(unreadable) => {
            assert!(!unreadable.reason().is_empty());
            if let Some(id) = unreadable.id {
                assert_id(id, body);
            }
        }
        Ok(envelope) => accepted(body, &envelope),
    }
}

fn accepted(body: &[u8], envelope: &Envelope<'_>) {
    let json = str::from_utf8(body).expect("what is accepted is UTF-8");
    let own = reading::read(json).expect("what is accepted is JSON");
    no_key_stands_twice(&own);
    no_key_folds_to_a_known_one(&own);
    as_judged(envelope, &own);
    as_serde_reads(json, envelope);
    in_other_bytes(&own, envelope);
    with_one_thing_more(json);
    if let Some(id) = envelope.id {
        assert_id(id, body);
    }
}

fn assert_id(id: &str, body: &[u8]) {
    let within = body.windows(id.len().max(1)).any(|part| part == id.as_bytes());
    assert!(within, "the id is not in the body");
    let answer = reply::unknown_tool(id, "t");
    let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
    // An integer of any size goes back as it came, also one that serde_json cannot read.
    let huge = reading::double(id).is_infinite();
    assert!(
        huge || answer["error"]["code"] == -32602,
        "the answer is not JSON"
    );
}

fn no_key_stands_twice(own: &Reading) {
    let check = |value: &Reading| {
        if let Reading::Object(members) = value {
            let mut keys: Vec<_> = members.iter().map(|(key, _)| key).collect();
            keys.sort();
            assert!(
                keys.windows(2).all(|pair| pair[0] != pair[1]),
                "a key stands twice"
            );
        }
    };
    check(own);
    own.each_member(&mut |_, value| check(value));
    if let Some(Reading::List(_)) = own.last("params") {
        panic!("params is a list");
    }
}

/// A Go server takes the last key that folds to a member's name.
fn no_key_folds_to_a_known_one(own: &Reading) {
    let check = |object: Option<&Reading>, known: &[&str]| {
        let Some(Reading::Object(members)) = object else {
            return;
        };
        for (key, _) in members {
            let exact = known.iter().any(|name| text(name) == *key);
            let folds = known.iter().any(|name| folded(&text(name)) == folded(key));
            assert!(exact || !folds, "a key folds to a known one");
        }
    };
    check(Some(own), &MEMBERS);
    check(own.last("params"), &PARAMS);
}

/// The fields of the envelope are what a plain reader sees.
fn as_judged(envelope: &Envelope<'_>, own: &Reading) {
    let same = |judged: Option<&str>, read: Option<&Reading>| {
        let read = read.and_then(Reading::as_text);
        assert_eq!(judged.map(text).as_ref(), read, "judged and read differ");
    };
    same(envelope.method.as_deref(), own.last("method"));
    let kind = match (own.last("method"), own.last("id")) {
        (None, _) => Kind::Response,
        (Some(_), None) => Kind::Notification,
        (Some(_), Some(_)) => Kind::Request,
    };
    assert_eq!(envelope.kind, kind);
    let read = own.last("params");
    let member = |key| read.and_then(|params| params.last(key));
    let Some(params) = &envelope.params else {
        assert!(matches!(read, None | Some(Reading::Null)));
        return;
    };
    same(params.name.text(), member("name"));
    same(params.uri.text(), member("uri"));
    same(params.task_id.text(), member("taskId"));
    let version = member("_meta").and_then(|meta| meta.last("io.modelcontextprotocol/protocolVersion"));
    same(params.protocol_version.text(), version);
    assert_eq!(params.task, !matches!(member("task"), None | Some(Reading::Null)));
    match (params.arguments, member("arguments")) {
        (None, None) => {}
        (Some(raw), Some(read)) => {
            let judged = reading::read(raw).expect("arguments are JSON");
            assert!(judged.same(read), "judged and read arguments differ");
        }
        _ => panic!("arguments are judged or read, not both"),
    }
}

/// serde_json, which keeps the last of two equal keys.
fn as_serde_reads(json: &str, envelope: &Envelope<'_>) {
    let value: Value = serde_json::from_str(json).expect("serde_json reads it");
    assert_eq!(value["method"].as_str(), envelope.method.as_deref());
    let params = envelope.params.as_ref();
    let name = params.and_then(|params| params.name.text());
    assert_eq!(value["params"]["name"].as_str(), name);
    let raw = params.and_then(|params| params.arguments);
    let judged = raw.map(|raw| serde_json::from_str::<Value>(raw).expect("serde_json reads it"));
    assert_eq!(value["params"].get("arguments"), judged.as_ref());
}

/// What identifies a message to a decision.
fn judged(envelope: &Envelope<'_>) -> (Kind, Option<String>, [Option<String>; 4], bool) {
    let params = envelope.params.as_ref();
    let field = |get: fn(&Params<'_>) -> Option<String>| params.and_then(get);
    let texts = [
        field(|params| params.name.text().map(str::to_owned)),
        field(|params| params.uri.text().map(str::to_owned)),
        field(|params| params.task_id.text().map(str::to_owned)),
        field(|params| params.protocol_version.text().map(str::to_owned)),
    ];
    let task = params.is_some_and(|params| params.task);
    (
        envelope.kind,
        envelope.method.as_deref().map(str::to_owned),
        texts,
        task,
    )
}

/// Escapes, blanks and the order of members change nothing.
fn in_other_bytes(own: &Reading, envelope: &Envelope<'_>) {
    let body = own.disguised();
    let again = read(body.as_bytes()).expect("the same message in other bytes is accepted");
    assert_eq!(judged(&again), judged(envelope));
    let arguments = |envelope: &Envelope<'_>| {
        let raw = envelope.params.as_ref().and_then(|params| params.arguments);
        raw.and_then(reading::read)
    };
    let same = match (arguments(&again), arguments(envelope)) {
        (None, None) => true,
        (Some(one), Some(other)) => one.same(&other),
        _ => false,
    };
    assert!(same, "the arguments change with their bytes");
}

/// An accepted message does not pass any more with a member twice, in a batch, or with something behind it.
fn with_one_thing_more(json: &str) {
    let inside = json.trim_start().strip_prefix('{').unwrap_or_default();
    for bad in [
        format!("{{\"m\\u0065thod\":\"x\",\"Method\":\"y\",{inside}"),
        format!("{{\"jsonrp\\u0063\":\"2.0\",{inside}"),
        format!("[{json}]"),
        format!("{json},{json}"),
        format!("\u{feff}{json}"),
    ] {
        assert!(read(bad.as_bytes()).is_err(), "accepted: {bad}");
    }
}
