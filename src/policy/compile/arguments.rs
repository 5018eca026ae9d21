//! `arguments` as written: every keyword known, every reference within the schema and bounded.

use std::collections::{HashMap, HashSet};

use super::super::arguments::{Arguments, plain};
use super::super::json::Json;
use super::super::number::is_exact;
use super::super::shape::Report;
use super::super::suggest::nearest;
use super::Compiler;
use crate::document::{Node, Value, quoted, shown};

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// How many references may follow one another.
const MAX_CHAIN: usize = 16;

/// How many schemas one value may be held against, every reference written out.
const MAX_COST: u64 = 10_000;

/// What a keyword holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    Plain,
    Schema,
    Schemas,
    Named,
}

use Holds::{Named, Plain, Schema, Schemas};

/// The keywords of the draft, without those that reach outside the schema or move its base.
const KEYWORDS: [(&str, Holds); 51] = [
    ("$comment", Plain),
    ("$defs", Named),
    ("$ref", Plain),
    ("$schema", Plain),
    ("additionalProperties", Schema),
    ("allOf", Schemas),
    ("anyOf", Schemas),
    ("const", Plain),
    ("contains", Schema),
    ("default", Plain),
    ("dependentRequired", Plain),
    ("dependentSchemas", Named),
    ("deprecated", Plain),
    ("description", Plain),
    ("else", Schema),
    ("enum", Plain),
    ("examples", Plain),
    ("exclusiveMaximum", Plain),
    ("exclusiveMinimum", Plain),
    ("format", Plain),
    ("if", Schema),
    ("items", Schema),
    ("maxContains", Plain),
    ("maxItems", Plain),
    ("maxLength", Plain),
    ("maxProperties", Plain),
    ("maximum", Plain),
    ("minContains", Plain),
    ("minItems", Plain),
    ("minLength", Plain),
    ("minProperties", Plain),
    ("minimum", Plain),
    ("multipleOf", Plain),
    ("not", Schema),
    ("oneOf", Schemas),
    ("pattern", Plain),
    ("patternProperties", Named),
    ("prefixItems", Schemas),
    ("properties", Named),
    ("propertyNames", Schema),
    ("readOnly", Plain),
    ("required", Plain),
    ("then", Schema),
    ("title", Plain),
    ("type", Plain),
    ("unevaluatedItems", Schema),
    ("unevaluatedProperties", Schema),
    ("uniqueItems", Plain),
    ("writeOnly", Plain),
    ("$id", Plain),
    ("$anchor", Plain),
];

/// Formats that are checked. Others would be passed over in silence.
const FORMATS: [&str; 12] = [
    "date",
    "date-time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "json-pointer",
    "time",
    "uri",
    "uri-reference",
    "uuid",
];

impl Compiler<'_, '_> {
    /// `None` where it was reported.
    pub(super) fn arguments(&mut self, node: &Node) -> Option<Arguments> {
        let before = self.report.problems.len();
        let mut names = HashSet::new();
        look(node, &mut names, self.report);
        let mut costs = Costs {
            definitions: node.get("$defs"),
            known: HashMap::new(),
            open: Vec::new(),
        };
        if let Err(fault) = costs
            .of(node)
            .and_then(|cost| if cost > MAX_COST { Err(LARGE) } else { Ok(()) })
        {
            self.report.add(node.place, fault);
        }
        if self.report.problems.len() > before {
            return None;
        }
        let schema = plain(&Json::of(node))?;
        if let Err(error) = jsonschema::meta::validate(&schema) {
            let at = place_of(node, error.instance_path().as_str());
            let message = format!("this is no JSON Schema: {}", shown(&error.to_string()));
            self.report.add(at, message);
            return None;
        }
        Arguments::new(&schema, names)
            .map_err(|fault| {
                let message = format!("the schema cannot be used: {}", shown(&fault));
                let help =
                    "a `pattern` knows no look-around and no back-references, so that it runs in linear time";
                self.report.add_with_help(node.place, message, help);
            })
            .ok()
    }
}

/// The schemas that stand directly in one, with the keyword and, for properties, their name.
pub(in super::super) fn inner(node: &Node) -> Vec<(&str, Option<&str>, &Node)> {
    let mut found = Vec::new();
    for entry in node.entries() {
        let key = entry.key.text.as_str();
        match KEYWORDS
            .iter()
            .find(|(name, _)| *name == key)
            .map(|(_, holds)| *holds)
        {
            Some(Schema) => found.push((key, None, &entry.value)),
            Some(Schemas) => found.extend(entry.value.items().iter().map(|item| (key, None, item))),
            Some(Named) => found.extend(
                entry
                    .value
                    .entries()
                    .iter()
                    .map(|inner| (key, Some(inner.key.text.as_str()), &inner.value)),
            ),
            Some(Plain) | None => {}
        }
    }
    found
}

fn look(node: &Node, names: &mut HashSet<String>, report: &mut Report<'_>) {
    for entry in node.entries() {
        let (key, value) = (entry.key.text.as_str(), &entry.value);
        match key {
            "$id" | "$anchor" => {
                report.add(
                    entry.key.place,
                    format!("`{key}` does not exist here: references are `#/$defs/NAME`"),
                );
            }
            "$schema" if value.text() != Some(DRAFT) => {
                report.add(
                    value.place,
                    format!("the schema is one of draft 2020-12: write `{DRAFT}`"),
                );
            }
            "format" if !value.text().is_some_and(|format| FORMATS.contains(&format)) => {
                report.add(value.place, format!("the formats are {}", FORMATS.join(", ")));
            }
            "required" => names.extend(value.items().iter().filter_map(Node::text).map(str::to_owned)),
            _ if KEYWORDS.iter().any(|(name, _)| *name == key) => {}
            _ => {
                let message = format!("unknown keyword {} in a JSON Schema", quoted(key));
                match nearest(key, KEYWORDS.iter().map(|(name, _)| *name)) {
                    Some(near) => {
                        report.add_with_help(entry.key.place, message, format!("did you mean `{near}`?"))
                    }
                    None => report.add(entry.key.place, message),
                }
            }
        }
        if !KEYWORDS
            .iter()
            .any(|(name, holds)| *name == key && *holds != Plain)
        {
            numbers(value, report);
        }
    }
    for (keyword, name, schema) in inner(node) {
        if let ("properties", Some(name)) = (keyword, name) {
            names.insert(name.to_owned());
        }
        look(schema, names, report);
    }
}

/// A number that changes on its way through a double is a bound that does not hold.
fn numbers(node: &Node, report: &mut Report<'_>) {
    match &node.value {
        Value::Number(text) if !is_exact(text) => {
            report.add(
                node.place,
                format!(
                    "the number {} has more digits than every server keeps",
                    quoted(text)
                ),
            );
        }
        Value::List(items) => items.iter().for_each(|item| numbers(item, report)),
        Value::Object(entries) => entries.iter().for_each(|entry| numbers(&entry.value, report)),
        _ => {}
    }
}

const LARGE: &str = "with every `$ref` written out the schema has more than 10000 parts";

/// What it costs to hold a value against a schema: how many schemas it is, references written out.
struct Costs<'n> {
    definitions: Option<&'n Node>,
    known: HashMap<&'n str, u64>,
    open: Vec<&'n str>,
}

impl<'n> Costs<'n> {
    fn of(&mut self, node: &'n Node) -> Result<u64, &'static str> {
        let mut cost: u64 = 1;
        if let Some(reference) = node.get("$ref") {
            let name = reference.text().and_then(|text| text.strip_prefix("#/$defs/"));
            cost =
                cost.saturating_add(self.of_definition(name.ok_or("a `$ref` is written `#/$defs/NAME`")?)?);
        }
        for (keyword, _, schema) in inner(node) {
            if keyword != "$defs" {
                cost = cost.saturating_add(self.of(schema)?);
            }
        }
        Ok(cost)
    }

    fn of_definition(&mut self, name: &'n str) -> Result<u64, &'static str> {
        if let Some(cost) = self.known.get(name) {
            return Ok(*cost);
        }
        if self.open.contains(&name) {
            return Err("a `$ref` leads back to itself: how deep it goes would be the caller's choice");
        }
        if self.open.len() >= MAX_CHAIN {
            return Err("more than 16 `$ref` follow one another");
        }
        let definitions = self.definitions.map(Node::entries).unwrap_or_default();
        let found = definitions.iter().find(|entry| entry.key.text == name);
        let schema = found
            .map(|entry| &entry.value)
            .ok_or("a `$ref` leads to nothing under `$defs`")?;
        self.open.push(name);
        let cost = self.of(schema)?;
        self.open.pop();
        self.known.insert(name, cost);
        Ok(cost)
    }
}

/// The place of what a JSON Pointer leads to; of the last part that exists, where it leads nowhere.
fn place_of(node: &Node, pointer: &str) -> crate::document::Place {
    let mut at = node;
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        let next = at
            .get(&part)
            .or_else(|| at.items().get(part.parse::<usize>().ok()?));
        let Some(next) = next else { break };
        at = next;
    }
    at.place
}
