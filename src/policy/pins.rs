//! Which definitions of a server's tools are accepted: digests of what a model reads of a tool, kept in a file.
//!
//! A definition is compared part by part. Each part is its SHA-256, taken of the value as JSON without blanks,
//! with the keys of objects sorted by code point, numbers and code points as the server sent them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use data_encoding::HEXLOWER;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::canonical::canonical_of;
use super::fold::is_lookalike;
use super::json::Json;

/// What of a tool is compared, beside its name.
const PARTS: [&str; 5] = [
    "title",
    "description",
    "inputSchema",
    "outputSchema",
    "annotations",
];
/// The form of the file.
const VERSION: u32 = 1;

/// The digests of one tool's parts; `None` for a part that the server leaves out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition([Option<[u8; 32]>; PARTS.len()]);

/// What a server listed, by name. `None`: the definition can be read in two ways, or the name stands twice with
/// different ones.
pub type Listing = BTreeMap<String, Option<Definition>>;

/// The accepted definitions of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pins {
    pub server: String,
    pub tools: BTreeMap<String, Definition>,
}

/// How a server's tool differs from what is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    New,
    /// The parts that differ.
    Changed(Vec<&'static str>),
    /// Accepted, and not listed.
    Gone,
    /// It can be read in two ways, and so cannot be accepted.
    Unclear,
}

/// Why a text holds no pins.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPins {
    #[error("it is no file that `toolgate pin` wrote: {0}")]
    Form(String),
    #[error("it has a key twice, or is not JSON")]
    Unclear,
    #[error("it is of version {0}, and this toolgate reads version {VERSION}")]
    Version(u32),
    #[error("it is for the server `{0}`")]
    Server(String),
    #[error("the digest of `{part}` of the tool `{tool}` is not 64 hexadecimal digits")]
    Digest { tool: String, part: &'static str },
}

impl Definition {
    /// Reads one entry of a list of tools. `None` where programs could read it in two ways: a key that stands
    /// twice at any depth, or one that only case tells from a part that is compared.
    pub fn read(entry: &str) -> Option<Self> {
        let Json::Object(entries) = Json::read(entry)? else {
            return None;
        };
        let mut digests = [None; PARTS.len()];
        for (key, value) in entries {
            if is_lookalike(&key, "name") || PARTS.iter().any(|part| is_lookalike(&key, part)) {
                return None;
            }
            let mut places = digests.iter_mut().zip(PARTS);
            if let Some((digest, _)) = places.find(|(_, part)| *part == key) {
                *digest = Some(Sha256::digest(canonical_of(value)?.as_bytes()).into());
            }
        }
        Some(Self(digests))
    }

    /// The digests as they are written down, by part.
    pub fn parts(&self) -> BTreeMap<&'static str, String> {
        let pairs = PARTS.iter().zip(&self.0);
        let written = pairs.filter_map(|(part, digest)| Some((*part, HEXLOWER.encode(digest.as_ref()?))));
        written.collect()
    }

    /// The definition of `tool` whose digests were written down.
    ///
    /// # Errors
    /// [`NotPins::Digest`] or [`NotPins::Form`].
    pub fn of_parts(tool: &str, parts: BTreeMap<String, String>) -> Result<Self, NotPins> {
        definition(tool, parts)
    }

    /// Names the definition: what two have in common that are the same.
    pub fn name(&self) -> String {
        let parts = self
            .0
            .iter()
            .map(|part| part.map_or_else(|| "-".to_owned(), |part| HEXLOWER.encode(&part)));
        parts.collect::<Vec<_>>().join(" ")
    }

    fn differences(&self, other: &Self) -> Vec<&'static str> {
        let pairs = PARTS.into_iter().zip(self.0.iter().zip(&other.0));
        pairs
            .filter(|(_, (own, theirs))| own != theirs)
            .map(|(part, _)| part)
            .collect()
    }
}

/// Gathers entries by name; of two different ones under one name neither can be trusted.
pub fn listing(entries: impl IntoIterator<Item = (String, Option<Definition>)>) -> Listing {
    let mut listing = Listing::new();
    for (name, definition) in entries {
        listing
            .entry(name)
            .and_modify(|known| {
                if *known != definition {
                    *known = None;
                }
            })
            .or_insert(definition);
    }
    listing
}

/// The file as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    server: String,
    tools: BTreeMap<String, BTreeMap<String, String>>,
}

impl Pins {
    pub const fn none(server: String) -> Self {
        let tools = BTreeMap::new();
        Self { server, tools }
    }

    /// Reads a file of the server's pins.
    ///
    /// # Errors
    /// Where it is not whole, of another form, or another server's.
    pub fn read(text: &str, server: &str) -> Result<Self, NotPins> {
        Json::read(text).ok_or(NotPins::Unclear)?;
        let written: Written =
            serde_json::from_str(text).map_err(|error| NotPins::Form(error.to_string()))?;
        if written.version != VERSION {
            return Err(NotPins::Version(written.version));
        }
        if written.server != server {
            return Err(NotPins::Server(written.server));
        }
        let mut pins = Self::none(written.server);
        for (tool, parts) in written.tools {
            let definition = definition(&tool, parts)?;
            pins.tools.insert(tool, definition);
        }
        Ok(pins)
    }

    /// The file's text, the same for the same pins.
    pub fn text(&self) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let mut out = format!(
            "{{\n  \"version\": {VERSION},\n  \"server\": {},\n  \"tools\": {{",
            quoted(&self.server)
        );
        for (index, (tool, definition)) in self.tools.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            // Writing to a string cannot fail.
            let _ = write!(out, "{comma}\n    {}: {{", quoted(tool));
            let mut comma = "";
            for (part, digest) in PARTS.iter().zip(&definition.0) {
                if let Some(digest) = digest {
                    let _ = write!(out, "{comma}\n      \"{part}\": \"{}\"", HEXLOWER.encode(digest));
                    comma = ",";
                }
            }
            out.push_str(if comma.is_empty() { "}" } else { "\n    }" });
        }
        out.push_str(if self.tools.is_empty() {
            "}\n}\n"
        } else {
            "\n  }\n}\n"
        });
        out
    }

    /// Whether this is the accepted definition of the tool.
    pub fn accept(&self, tool: &str, definition: Option<&Definition>) -> bool {
        definition.is_some() && self.tools.get(tool) == definition
    }

    /// What differs, by name. `listed` is the server's whole list.
    pub fn compare(&self, listed: &Listing) -> BTreeMap<String, Change> {
        let gone = self.tools.keys().filter(|tool| !listed.contains_key(*tool));
        let mut changes: BTreeMap<_, _> = gone.map(|tool| (tool.clone(), Change::Gone)).collect();
        for (tool, definition) in listed {
            let change = match (self.tools.get(tool), definition) {
                (_, None) => Change::Unclear,
                (None, Some(_)) => Change::New,
                (Some(accepted), Some(live)) if accepted != live => {
                    Change::Changed(accepted.differences(live))
                }
                (Some(_), Some(_)) => continue,
            };
            changes.insert(tool.clone(), change);
        }
        changes
    }
}

fn definition(tool: &str, mut parts: BTreeMap<String, String>) -> Result<Definition, NotPins> {
    let mut digests = [None; PARTS.len()];
    for (digest, part) in digests.iter_mut().zip(PARTS) {
        let Some(hex) = parts.remove(part) else { continue };
        let bytes = HEXLOWER.decode(hex.as_bytes()).ok();
        let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        *digest = Some(bytes.ok_or_else(|| NotPins::Digest {
            tool: tool.to_owned(),
            part,
        })?);
    }
    match parts.into_keys().next() {
        None => Ok(Definition(digests)),
        Some(other) => Err(NotPins::Form(format!("`{other}` is no part of a definition"))),
    }
}

#[cfg(test)]
mod tests;
