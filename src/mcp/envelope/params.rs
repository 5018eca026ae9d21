//! `params`, as far as a decision needs it.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::super::strict::{Field, FieldSeed, Strict};
use super::super::text::{Text, is_lookalike};
use super::Fault;

/// The members that decide what a server does with a request. A key that folds to one of them is
/// refused, whatever the method is.
const KNOWN: [&str; 8] = [
    "name",
    "arguments",
    "task",
    "_meta",
    "uri",
    "taskId",
    "inputResponses",
    "requestState",
];

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// Decides nothing: a name like it is no look-alike.
const TRACEPARENT: &str = "traceparent";

/// The members of `params` that decisions and headers look at.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Params<'a> {
    /// Tool or prompt.
    pub name: Field<'a>,
    /// Resource.
    pub uri: Field<'a>,
    /// Task, for `tasks/…`.
    pub task_id: Field<'a>,
    /// The bytes of the value as sent, whatever its type.
    pub arguments: Option<&'a str>,
    /// `task` is there and not `null` (2025-11-25: the call asks to run as a task).
    pub task: bool,
    /// `_meta["io.modelcontextprotocol/protocolVersion"]`.
    pub protocol_version: Field<'a>,
    /// `_meta.traceparent` (SEP-414).
    pub traceparent: Field<'a>,
}

impl fmt::Debug for Params<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Params")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Reads `params`: an object, or `null` which some clients send for none. A list is refused: a
/// server that reads into a struct would take its elements for members.
pub(super) struct ParamsSeed<'s, 'de>(pub(super) Strict<'s, 'de>);

impl<'de> DeserializeSeed<'de> for ParamsSeed<'_, 'de> {
    type Value = Option<Params<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ParamsSeed<'_, 'de> {
    type Value = Option<Params<'de>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Strict { scan, depth } = self.0;
        let mut keys = scan.open(depth)?;
        let mut params = Params::default();
        while let Some(Text(key)) = map.next_key()? {
            let name = KNOWN
                .iter()
                .copied()
                .find(|name| *name == key)
                .unwrap_or_default();
            if name.is_empty() && is_lookalike(&key, &KNOWN) {
                return Err(scan.stop(Fault::Lookalike));
            }
            scan.key(&mut keys, key)?;
            let value = Strict {
                scan: &mut *scan,
                depth: depth.saturating_add(1),
            };
            match name {
                "name" => params.name = map.next_value_seed(FieldSeed(value))?,
                "uri" => params.uri = map.next_value_seed(FieldSeed(value))?,
                "taskId" => params.task_id = map.next_value_seed(FieldSeed(value))?,
                "task" => params.task = map.next_value_seed(FieldSeed(value))? != Field::Null,
                // Walked afterwards: the bytes are needed as they came.
                "arguments" => params.arguments = Some(map.next_value::<&RawValue>()?.get()),
                "_meta" => {
                    let meta = map.next_value_seed(MetaSeed(value))?;
                    (params.protocol_version, params.traceparent) = (meta.version, meta.traceparent);
                }
                _ => map.next_value_seed(value)?,
            }
        }
        scan.close(&keys);
        Ok(Some(params))
    }
}

/// What is read of `_meta`.
#[derive(Default)]
struct Meta<'a> {
    version: Field<'a>,
    traceparent: Field<'a>,
}

/// Reads `_meta`; anything but an object holds nothing.
struct MetaSeed<'s, 'de>(Strict<'s, 'de>);

impl<'de> DeserializeSeed<'de> for MetaSeed<'_, 'de> {
    type Value = Meta<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Meta<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MetaSeed<'_, 'de> {
    type Value = Meta<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_unit<E: Error>(self) -> Result<Meta<'de>, E> {
        Ok(Meta::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Meta<'de>, A::Error> {
        let Strict { scan, depth } = self.0;
        let mut keys = scan.open(depth)?;
        let mut meta = Meta::default();
        while let Some(Text(key)) = map.next_key()? {
            let is_version = key == VERSION;
            if !is_version && is_lookalike(&key, &[VERSION]) {
                return Err(scan.stop(Fault::Lookalike));
            }
            let is_traceparent = key == TRACEPARENT;
            scan.key(&mut keys, key)?;
            let value = Strict {
                scan: &mut *scan,
                depth: depth.saturating_add(1),
            };
            if is_version {
                meta.version = map.next_value_seed(FieldSeed(value))?;
            } else if is_traceparent {
                meta.traceparent = map.next_value_seed(FieldSeed(value))?;
            } else {
                map.next_value_seed(value)?;
            }
        }
        scan.close(&keys);
        Ok(meta)
    }
}
