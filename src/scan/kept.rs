//! A scan as it is kept: the JSON that `toolgate scan --format json` writes, and later reads again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Class, Classed};
use crate::policy::{Definition, Listing, NotPins, Pins};

/// What a kept scan says of each tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub classes: BTreeMap<String, Class>,
    /// The definitions at that time.
    pub pins: Pins,
}

/// Why a text is no kept scan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotKept {
    #[error("it is nothing that `toolgate scan --format json` wrote: {0}")]
    Form(String),
    #[error("`{0}` is no class")]
    Class(String),
    #[error(transparent)]
    Definition(#[from] NotPins),
}

#[derive(Deserialize)]
struct Written {
    tools: Vec<WrittenTool>,
}

#[derive(Deserialize)]
struct WrittenTool {
    name: String,
    class: String,
    definition: Option<BTreeMap<String, String>>,
}

#[derive(Serialize)]
struct Shown<'s> {
    name: &'s str,
    class: &'s str,
    risk: &'s str,
    reasons: &'s [String],
    /// `None` where it can be read in two ways.
    definition: Option<BTreeMap<&'static str, String>>,
}

impl Kept {
    /// Reads a scan that was kept.
    ///
    /// # Errors
    /// [`NotKept`].
    pub fn read(text: &str) -> Result<Self, NotKept> {
        let written: Written =
            serde_json::from_str(text).map_err(|error| NotKept::Form(error.to_string()))?;
        let mut kept = Self {
            classes: BTreeMap::new(),
            pins: Pins::none(String::new()),
        };
        for tool in written.tools {
            let class = Class::named(&tool.class).ok_or(NotKept::Class(tool.class))?;
            if let Some(parts) = tool.definition {
                let definition = Definition::of_parts(&tool.name, parts)?;
                kept.pins.tools.insert(tool.name.clone(), definition);
            }
            kept.classes.insert(tool.name, class);
        }
        Ok(kept)
    }
}

/// The JSON of a scan, tools by name. `server` and `version` are what the server calls itself.
pub fn document(
    server: Option<&str>,
    version: Option<&str>,
    classed: &[Classed],
    listing: &Listing,
) -> Value {
    let mut tools: Vec<&Classed> = classed.iter().collect();
    tools.sort_by(|a, b| a.name.cmp(&b.name));
    let tools = tools.into_iter().map(|tool| Shown {
        name: &tool.name,
        class: tool.class.word(),
        risk: tool.risk.word(),
        reasons: &tool.reasons,
        definition: listing
            .get(&tool.name)
            .and_then(|known| Some(known.as_ref()?.parts())),
    });
    json!({
        "server": { "name": server, "version": version },
        "tools": tools.collect::<Vec<_>>(),
    })
}
