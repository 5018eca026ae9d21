//! Where a path leads in a tool's inputSchema. A server's schema is anybody's text: it is read as far as it is
//! plain, and where it is not, nothing is said.

use serde_json::Value;

use super::super::path::Step;
use super::super::suggest::{nearest, resembling};

/// How many schemas one look goes through, references and alternatives written out.
const MOST: usize = 500;

/// What a schema says about a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Looked {
    /// Nothing that could be relied on.
    Open,
    /// There is no such argument; the nearest path there is.
    Missing { near: Option<String> },
    /// It is of one of these JSON Schema types.
    Types(Vec<String>),
}

/// Follows the steps into the schema of a tool's arguments.
pub(super) fn look(schema: &Value, steps: &[Step]) -> Looked {
    let mut at = vec![schema];
    let mut before = "args".to_owned();
    for step in steps {
        let Some(parts) = expand(&at, schema) else {
            return Looked::Open;
        };
        let next = match step {
            Step::Key(name) => member(&parts, name),
            Step::Index(_) | Step::Each => element(&parts),
        };
        match next {
            Next::Schemas(schemas) => at = schemas,
            Next::Open => return Looked::Open,
            Next::None(known) => {
                let Step::Key(name) = step else {
                    return Looked::Missing { near: None };
                };
                let all = || known.iter().copied();
                let near = nearest(name, all()).or_else(|| resembling(name, all()));
                return Looked::Missing {
                    near: near.map(|near| format!("{before}{}", shown(&Step::Key(near.to_owned())))),
                };
            }
        }
        before.push_str(&shown(step));
    }
    match expand(&at, schema).and_then(|parts| types(&parts)) {
        Some(types) if !types.is_empty() => Looked::Types(types),
        _ => Looked::Open,
    }
}

enum Next<'s> {
    Schemas(Vec<&'s Value>),
    Open,
    /// Nothing; these are the names that there are.
    None(Vec<&'s str>),
}

fn member<'s>(parts: &[&'s Value], name: &str) -> Next<'s> {
    let properties = |part: &&'s Value| part.get("properties").and_then(Value::as_object);
    let found: Vec<&Value> = parts
        .iter()
        .filter_map(properties)
        .filter_map(|all| all.get(name))
        .collect();
    if !found.is_empty() {
        return Next::Schemas(found);
    }
    if let Some(types) = types(parts)
        && !types.iter().any(|found| found == "object")
    {
        return Next::None(Vec::new());
    }
    let mut said = false;
    for part in parts {
        match part.get("additionalProperties") {
            Some(Value::Bool(false)) => said = true,
            Some(Value::Bool(true)) => return Next::Open,
            Some(schema) => return Next::Schemas(vec![schema]),
            None => {}
        }
        if part.get("patternProperties").is_some() {
            return Next::Open;
        }
        said |= properties(part).is_some();
    }
    if said {
        let names = parts.iter().filter_map(properties).flat_map(|all| all.keys());
        Next::None(names.map(String::as_str).collect())
    } else {
        Next::Open
    }
}

fn element<'s>(parts: &[&'s Value]) -> Next<'s> {
    if let Some(types) = types(parts)
        && !types.iter().any(|found| found == "array")
    {
        return Next::None(Vec::new());
    }
    // Which element has which of these schemas is more than a lint needs to know.
    let plain = parts.iter().all(|part| part.get("prefixItems").is_none());
    let items: Vec<&Value> = parts
        .iter()
        .filter_map(|part| part.get("items"))
        .filter(|items| items.is_object())
        .collect();
    if plain && !items.is_empty() {
        Next::Schemas(items)
    } else {
        Next::Open
    }
}

/// The schemas with their references followed and their alternatives laid out. `None` where there are too many, or
/// a reference leads elsewhere.
fn expand<'s>(schemas: &[&'s Value], root: &'s Value) -> Option<Vec<&'s Value>> {
    let mut parts: Vec<&Value> = Vec::new();
    let mut open: Vec<&Value> = schemas.to_vec();
    while let Some(schema) = open.pop() {
        if parts.len() >= MOST {
            return None;
        }
        if parts.iter().any(|part| std::ptr::eq(*part, schema)) {
            continue;
        }
        parts.push(schema);
        if let Some(reference) = schema.get("$ref") {
            open.push(root.pointer(reference.as_str()?.strip_prefix('#')?)?);
        }
        for keyword in ["allOf", "anyOf", "oneOf"] {
            let inner = schema.get(keyword).and_then(Value::as_array);
            open.extend(inner.into_iter().flatten());
        }
        for keyword in ["if", "then", "else"] {
            open.extend(schema.get(keyword));
        }
    }
    Some(parts)
}

/// Every type that one of the parts names; `None` where none does, or one leaves it open.
fn types(parts: &[&Value]) -> Option<Vec<String>> {
    let mut found: Vec<String> = Vec::new();
    for part in parts {
        let composed = ["$ref", "allOf", "anyOf", "oneOf", "if", "then", "else"]
            .iter()
            .any(|keyword| part.get(keyword).is_some());
        let own: Vec<&str> = match part.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ if composed => continue,
            _ => fixed(part)?,
        };
        for name in own {
            if !found.iter().any(|known| known == name) {
                found.push(name.to_owned());
            }
        }
    }
    (!found.is_empty()).then_some(found)
}

/// The types of the values that a schema lists.
fn fixed(part: &Value) -> Option<Vec<&'static str>> {
    let kind = |value: &Value| match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let listed = part.get("enum").and_then(Value::as_array);
    match (part.get("const"), listed) {
        (Some(value), _) => Some(vec![kind(value)]),
        (None, Some(values)) => Some(values.iter().map(kind).collect()),
        (None, None) => None,
    }
}

fn shown(step: &Step) -> String {
    let plain = |name: &str| {
        !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '$' | ':'))
    };
    match step {
        Step::Key(name) if plain(name) => format!(".{name}"),
        Step::Key(name) => format!("[{}]", Value::from(name.as_str())),
        Step::Index(index) => format!("[{index}]"),
        Step::Each => "[*]".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::path::Path;
    use super::*;

    fn looked(schema: &Value, path: &str) -> Looked {
        look(schema, Path::read(path).unwrap().steps().unwrap())
    }

    fn missing(near: Option<&str>) -> Looked {
        Looked::Missing {
            near: near.map(str::to_owned),
        }
    }

    fn of(types: &[&str]) -> Looked {
        Looked::Types(types.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn a_plain_schema_tells_what_there_is_and_of_what_type() {
        let schema = json!({"type": "object", "properties": {
            "amount": {"type": "integer"},
            "to": {"type": "object", "properties": {"userId": {"type": ["string", "null"]}}},
            "rows": {"type": "array", "items": {"type": "object", "properties": {"id": {"type": "string"}}}},
            "mode": {"enum": ["a", "b"]},
            "any": {},
        }});
        assert_eq!(looked(&schema, "args.amount"), of(&["integer"]));
        assert_eq!(looked(&schema, "args.to.userId"), of(&["string", "null"]));
        assert_eq!(looked(&schema, "args.rows[*].id"), of(&["string"]));
        assert_eq!(looked(&schema, "args.rows[0]"), of(&["object"]));
        assert_eq!(looked(&schema, "args.mode"), of(&["string"]));
        assert_eq!(looked(&schema, "args.any"), Looked::Open);
        assert_eq!(looked(&schema, "args.any.x"), Looked::Open);
        assert_eq!(looked(&schema, "args.amuont"), missing(Some("args.amount")));
        assert_eq!(looked(&schema, "args.to.userid"), missing(Some("args.to.userId")));
        assert_eq!(looked(&schema, "args.zzzzz"), missing(None));
        assert_eq!(looked(&schema, "args.amount.x"), missing(None));
        assert_eq!(looked(&schema, "args.amount[0]"), missing(None));
    }

    #[test]
    fn alternatives_references_and_maps_are_followed() {
        let schema = json!({
            "anyOf": [{"properties": {"a": {"type": "string"}}}, {"$ref": "#/$defs/other"}],
            "$defs": {"other": {"properties": {"b": {"type": "number"}, "a": {"type": "integer"}}}},
        });
        assert_eq!(looked(&schema, "args.b"), of(&["number"]));
        let Looked::Types(mut types) = looked(&schema, "args.a") else {
            panic!("no types")
        };
        types.sort();
        assert_eq!(types, ["integer", "string"]);
        let map =
            json!({"properties": {"labels": {"type": "object", "additionalProperties": {"type": "string"}}}});
        assert_eq!(looked(&map, "args.labels.anything"), of(&["string"]));
    }

    #[test]
    fn what_a_schema_leaves_open_is_no_finding() {
        for open in [
            json!({}),
            json!(true),
            json!({"type": "object"}),
            json!({"properties": {"a": {}}, "additionalProperties": true}),
            json!({"properties": {"a": {}}, "patternProperties": {"^x": {}}}),
            json!({"$ref": "https://example.test/schema"}),
            json!({"$ref": "#/nowhere"}),
            json!({"$ref": "#"}),
        ] {
            assert_eq!(looked(&open, "args.b"), Looked::Open, "{open}");
        }
        let closed = json!({"type": "object", "properties": {}, "additionalProperties": false});
        assert_eq!(looked(&closed, "args.b"), missing(None));
    }
}
