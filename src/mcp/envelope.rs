//! The strict reading of one POST body: a JSON-RPC message of MCP, or the reason why not.
//!
//! What is accepted means the same to every JSON reader: one object in UTF-8, no duplicate keys
//! at any depth, no key that only case separates from a known one, no request that is also a
//! response, no number beyond a double, no lone surrogate, bounded depth.

mod fault;
mod params;

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

pub use super::strict::Field;
pub use fault::{Fault, Unreadable};
pub use params::Params;

use super::headers::is_modern;
use super::strict::{FieldSeed, Scan, Strict};
use super::text::{Text, is_lookalike};
use super::trace::TraceContext;
use params::ParamsSeed;

/// The members of a JSON-RPC 2.0 message. A key that folds to one of them is refused.
const KNOWN: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];

/// The level of the message's own values; the message itself is level 1.
const VALUES: u8 = 2;
/// The level of the values in `params`.
const ARGUMENTS: u8 = 3;

/// What a message is (JSON-RPC 2.0 sections 4 and 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `method` and `id`.
    Request,
    /// `method` without `id`.
    Notification,
    /// `result` or `error`: a client's answer to a request of the server.
    Response,
}

/// One message, read strictly. Its `Debug` form shows neither arguments nor results.
pub struct Envelope<'a> {
    pub kind: Kind,
    /// The bytes of the id as sent: a string or a number, for a response also `null`.
    pub id: Option<&'a str>,
    /// Decoded; `None` for a response.
    pub method: Option<Cow<'a, str>>,
    /// `None` where absent or `null`.
    pub params: Option<Params<'a>>,
}

/// What a `tools/call` asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ToolCall<'e> {
    /// Decoded, to be compared byte by byte.
    pub name: &'e str,
    /// The bytes of the arguments as sent: an object that went through the strict walk.
    pub arguments: Option<&'e str>,
    /// The call asks to run as a task (2025-11-25, `params.task`).
    pub task: bool,
}

impl<'a> Envelope<'a> {
    /// The tool call in this message; `None` where it is something else. A call without an id is
    /// one too: look at [`Envelope::kind`].
    ///
    /// # Errors
    /// -32602 where `params` is not an object, `name` not a string, or `arguments` there but not
    /// an object (`null` is none).
    pub fn tool_call(&self) -> Result<Option<ToolCall<'_>>, Unreadable<'a>> {
        if self.method.as_deref() != Some("tools/call") {
            return Ok(None);
        }
        let refuse = |fault| Unreadable { fault, id: self.id };
        let Some(params) = &self.params else {
            return Err(refuse(Fault::NoParams));
        };
        let Some(name) = params.name.text() else {
            return Err(refuse(Fault::ToolName));
        };
        if params.arguments.is_some_and(|raw| !raw.starts_with('{')) {
            return Err(refuse(Fault::ToolArguments));
        }
        Ok(Some(ToolCall {
            name,
            arguments: params.arguments,
            task: params.task,
        }))
    }

    /// `params._meta["io.modelcontextprotocol/protocolVersion"]`, where it is a string.
    pub fn protocol_version(&self) -> Option<&str> {
        self.params
            .as_ref()
            .and_then(|params| params.protocol_version.text())
    }

    /// The span that `params._meta.traceparent` names.
    pub fn trace_context(&self) -> Option<TraceContext> {
        TraceContext::read(self.params.as_ref()?.traceparent.text()?)
    }

    /// Whether header or body say revision 2026-07-28 or later.
    pub fn is_modern(&self, header: Option<&[u8]>) -> bool {
        let header = header.and_then(|value| str::from_utf8(value).ok());
        header.is_some_and(is_modern) || self.protocol_version().is_some_and(is_modern)
    }
}

impl fmt::Debug for Envelope<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Envelope")
            .field("kind", &self.kind)
            .field("id", &self.id)
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ToolCall<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ToolCall")
            .field("name", &self.name)
            .field("task", &self.task)
            .finish_non_exhaustive()
    }
}

/// Reads the whole body of one POST.
///
/// # Errors
/// The reason, its JSON-RPC code, and the id to answer under where that can be relied on. The
/// reason never quotes the body.
pub fn read(body: &[u8]) -> Result<Envelope<'_>, Unreadable<'_>> {
    let text = decode(body).map_err(|fault| Unreadable { fault, id: None })?;
    message(text).map_err(|fault| Unreadable {
        fault,
        id: readable_id(text),
    })
}

/// The body as UTF-8. Other encodings of Unicode are told apart by their first bytes (RFC 4627
/// section 3): JSON starts with an ASCII character, and no JSON text holds a NUL.
fn decode(body: &[u8]) -> Result<&str, Fault> {
    let marked = [&[0xEF, 0xBB, 0xBF][..], &[0xFE, 0xFF], &[0xFF, 0xFE]];
    let wide = body.iter().take(4).any(|byte| *byte == 0);
    if wide || marked.iter().any(|mark| body.starts_with(mark)) {
        return Err(Fault::Encoded);
    }
    str::from_utf8(body).map_err(|_| Fault::NotUtf8)
}

fn message(text: &str) -> Result<Envelope<'_>, Fault> {
    let first = text
        .bytes()
        .find(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    if first != Some(b'{') {
        return Err(not_an_object(text, first));
    }
    let mut scan = Scan::default();
    let mut json = serde_json::Deserializer::from_str(text);
    let members = MessageSeed { scan: &mut scan }
        .deserialize(&mut json)
        .and_then(|members| json.end().map(|()| members))
        .map_err(|error| scan.reason(&error))?;
    if let Some(arguments) = members.params.as_ref().and_then(|params| params.arguments) {
        walk(arguments, &mut scan)?;
    }
    members.into_envelope()
}

/// The second pass, over bytes that `serde_json` handed out unread.
fn walk<'a>(raw: &'a str, scan: &mut Scan<'a>) -> Result<(), Fault> {
    let mut json = serde_json::Deserializer::from_str(raw);
    let walked = Strict {
        scan: &mut *scan,
        depth: ARGUMENTS,
    }
    .deserialize(&mut json);
    walked.map_err(|error| scan.reason(&error))
}

fn not_an_object(text: &str, first: Option<u8>) -> Fault {
    match serde_json::from_str::<IgnoredAny>(text) {
        Err(_) => Fault::NotJson,
        Ok(_) if first == Some(b'[') => Fault::Batch,
        Ok(_) => Fault::NotAnObject,
    }
}

/// The most bytes of a method's, a tool's or a prompt's name. It is matched, recorded and told to callers.
const NAME_BYTES: usize = 1024;

#[derive(Default)]
struct Members<'a> {
    jsonrpc: Field<'a>,
    id: Option<&'a RawValue>,
    method: Field<'a>,
    params: Option<Params<'a>>,
    result: bool,
    error: bool,
}

impl<'a> Members<'a> {
    fn into_envelope(self) -> Result<Envelope<'a>, Fault> {
        if self.jsonrpc.text() != Some("2.0") {
            return Err(Fault::Version);
        }
        let (kind, method) = match (self.method, self.result, self.error) {
            (Field::Text(method), false, false) if self.id.is_some() => (Kind::Request, Some(method)),
            (Field::Text(method), false, false) => (Kind::Notification, Some(method)),
            (Field::Absent, true, false) | (Field::Absent, false, true) => (Kind::Response, None),
            (Field::Absent, true, true) => return Err(Fault::ResultAndError),
            (_, true, _) | (_, _, true) => return Err(Fault::RequestAndResponse),
            (_, false, false) => return Err(Fault::Method),
        };
        let name = self.params.as_ref().and_then(|params| params.name.text());
        if [method.as_deref(), name]
            .into_iter()
            .flatten()
            .any(|name| name.len() > NAME_BYTES)
        {
            return Err(Fault::LongName);
        }
        let id = self.id.map(RawValue::get);
        let fits = match id {
            // A peer that could not read a request's id answers with `null` or none.
            None | Some("null") => kind == Kind::Notification || self.error,
            Some(id) => is_id(id),
        };
        if !fits {
            return Err(Fault::Id);
        }
        Ok(Envelope {
            kind,
            id,
            method,
            params: self.params,
        })
    }
}

/// Whether these bytes of one JSON value are a string that decodes, an integer of any size, or another number
/// within a double. MCP asks for strings and integers, JSON-RPC allows fractions; each goes back as it came.
fn is_id(raw: &str) -> bool {
    if raw.starts_with('"') {
        return serde_json::from_str::<Text<'_>>(raw).is_ok();
    }
    let digits = raw.strip_prefix('-').unwrap_or(raw);
    if digits.is_empty() || !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return false;
    }
    digits.bytes().all(|byte| byte.is_ascii_digit()) || serde_json::from_str::<f64>(raw).is_ok()
}

struct MessageSeed<'s, 'de> {
    scan: &'s mut Scan<'de>,
}

impl<'de> DeserializeSeed<'de> for MessageSeed<'_, 'de> {
    type Value = Members<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Members<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_, 'de> {
    type Value = Members<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON-RPC message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut keys = self.scan.open(1)?;
        let mut members = Members::default();
        while let Some(Text(key)) = map.next_key()? {
            let name = KNOWN
                .iter()
                .copied()
                .find(|name| *name == key)
                .unwrap_or_default();
            if name.is_empty() && is_lookalike(&key, &KNOWN) {
                return Err(self.scan.stop(Fault::Lookalike));
            }
            self.scan.key(&mut keys, key)?;
            let value = Strict {
                scan: &mut *self.scan,
                depth: VALUES,
            };
            match name {
                "jsonrpc" => members.jsonrpc = map.next_value_seed(FieldSeed(value))?,
                "id" => members.id = Some(map.next_value()?),
                "method" => members.method = map.next_value_seed(FieldSeed(value))?,
                "params" => members.params = map.next_value_seed(ParamsSeed(value))?,
                "result" | "error" => {
                    map.next_value_seed(value)?;
                    members.result |= name == "result";
                    members.error |= name == "error";
                }
                _ => map.next_value_seed(value)?,
            }
        }
        self.scan.close(&keys);
        Ok(members)
    }
}

/// The id of a message that was refused, where every reader would see the same one: the message
/// is well-formed JSON with one `id` of a good type, and it is not a response (its id is the
/// server's, and the client could take the answer for that of a request of its own).
fn readable_id(text: &str) -> Option<&str> {
    let found = serde_json::from_str::<FoundId<'_>>(text).ok()?;
    let response = found.outcome && !found.method;
    found.id.filter(|id| !found.unclear && !response && is_id(id))
}

#[derive(Default)]
struct FoundId<'a> {
    id: Option<&'a str>,
    unclear: bool,
    method: bool,
    outcome: bool,
}

impl<'de> serde::Deserialize<'de> for FoundId<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FoundIdVisitor)
    }
}

struct FoundIdVisitor;

impl<'de> Visitor<'de> for FoundIdVisitor {
    type Value = FoundId<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON-RPC message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FoundId<'de>, A::Error> {
        let mut found = FoundId::default();
        while let Some(Text(key)) = map.next_key()? {
            if key == "id" {
                let id: &RawValue = map.next_value()?;
                found.unclear |= found.id.replace(id.get()).is_some();
                continue;
            }
            found.unclear |= is_lookalike(&key, &["id"]);
            found.method |= key == "method";
            found.outcome |= key == "result" || key == "error";
            map.next_value::<IgnoredAny>()?;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
