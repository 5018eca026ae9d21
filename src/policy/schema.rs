//! The JSON Schema (draft 2020-12) of the policy file, made from the tables of [`super::language`].

use serde_json::{Map, Value, json};

use super::language::{POLICY, RECORDS, TOOL_NAME_PATTERN};
use super::shape::{Key, Need, Record, Shape, Word};

/// The schema: every key described. Keys are sorted, so the text is the
/// same wherever it is made.
pub fn schema() -> Value {
    let mut root = record(&POLICY);
    root.insert(
        "$schema".into(),
        json!("https://json-schema.org/draft/2020-12/schema"),
    );
    root.insert("title".into(), json!("toolgate policy"));
    let inner = RECORDS.iter().filter(|known| known.name != POLICY.name);
    let defs: Map<String, Value> = inner
        .map(|known| (known.name.to_owned(), Value::Object(record(known))))
        .collect();
    root.insert("$defs".into(), Value::Object(defs));
    sorted(Value::Object(root))
}

/// [`schema`] as the text that `toolgate schema` prints.
pub fn schema_text() -> String {
    format!("{:#}\n", schema())
}

fn record(record: &Record) -> Map<String, Value> {
    let keys = record.keys.iter();
    let properties: Map<String, Value> = keys.map(|key| (key.name.to_owned(), property(key))).collect();
    let keys = record.keys.iter();
    let required: Vec<&str> = keys
        .filter(|key| matches!(key.need, Need::Required(_)))
        .map(|key| key.name)
        .collect();
    let mut schema = Map::new();
    schema.insert("type".into(), json!("object"));
    schema.insert("description".into(), json!(record.about));
    schema.insert("properties".into(), Value::Object(properties));
    schema.insert("additionalProperties".into(), json!(false));
    if !required.is_empty() {
        schema.insert("required".into(), json!(required));
    }
    schema
}

fn property(key: &Key) -> Value {
    let mut schema = match shape(&key.shape) {
        Value::Object(schema) => schema,
        _ => Map::new(),
    };
    schema.insert("description".into(), json!(key.about));
    Value::Object(schema)
}

fn shape(shape_of: &Shape) -> Value {
    match shape_of {
        Shape::Anything => json!({}),
        Shape::Text => json!({ "type": "string", "pattern": "\\S" }),
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Whole(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Shape::Words(words) => one_of(words),
        Shape::Form(form) => (form.schema)(),
        Shape::Record(record) => reference(record),
        Shape::Short(record, form) => json!({ "anyOf": [reference(record), (form.schema)()] }),
        Shape::List(element) => json!({ "type": "array", "items": shape(element) }),
        Shape::Same(other) => shape(other),
        Shape::Named(record) => json!({
            "type": "object",
            "propertyNames": { "pattern": TOOL_NAME_PATTERN },
            "additionalProperties": reference(record),
        }),
        Shape::NamedWords(words) => json!({ "type": "object", "additionalProperties": one_of(words) }),
    }
}

fn one_of(words: &[Word]) -> Value {
    json!({ "anyOf": words.iter().map(constant).collect::<Vec<_>>() })
}

fn constant(word: &Word) -> Value {
    // A word that ends with a colon stands for all that begin with it.
    if word.text.ends_with(':') {
        return json!({ "type": "string", "pattern": format!("^{}", word.text), "description": word.about });
    }
    json!({ "const": word.text, "description": word.about })
}

fn reference(record: &Record) -> Value {
    json!({ "$ref": format!("#/$defs/{}", record.name) })
}

/// With keys in order, whether or not serde_json is built to keep the order of insertion.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.into_iter().collect();
            entries.sort_by(|(left, _), (right, _)| left.cmp(right));
            Value::Object(
                entries
                    .into_iter()
                    .map(|(key, value)| (key, sorted(value)))
                    .collect(),
            )
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}
