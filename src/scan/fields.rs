//! What a tool's input schema says: its properties, at any depth.

use serde_json::Value;

use super::words;

/// How deep is looked, in objects and lists.
const DEPTH: usize = 8;
/// How many properties are looked at.
const FIELDS: usize = 1_000;
/// How many values of an `enum` are looked at.
const VALUES: usize = 200;

/// One property.
#[derive(Debug)]
pub(super) struct Field {
    /// Of its name.
    pub(super) words: Vec<String>,
    pub(super) kind: Kind,
    /// The values that it may have, where they are listed.
    pub(super) values: Vec<String>,
    /// The words of the property that it stands in.
    pub(super) parent: Vec<String>,
    pub(super) depth: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Flag,
    Number,
    /// A list or an object.
    Nested,
    Unknown,
}

impl Field {
    /// Whether its name is one of these, without regard to convention (`initScript`, `init_script`).
    pub(super) fn is(&self, names: &[&str]) -> bool {
        names.contains(&self.words.join("_").as_str())
    }

    pub(super) fn has(&self, sought: &[&str]) -> bool {
        self.words.iter().any(|word| sought.contains(&word.as_str()))
    }

    /// A text that is not one of a few.
    pub(super) fn is_free(&self) -> bool {
        self.values.is_empty() && matches!(self.kind, Kind::Text | Kind::Nested | Kind::Unknown)
    }
}

/// All properties of a schema.
pub(super) fn read(schema: Option<&Value>) -> Vec<Field> {
    let mut fields = Vec::new();
    if let Some(schema) = schema {
        walk(schema, &[], 0, &mut fields);
    }
    fields
}

fn walk(schema: &Value, parent: &[String], depth: usize, fields: &mut Vec<Field>) {
    if depth > DEPTH {
        return;
    }
    let deeper = depth.saturating_add(1);
    for (name, property) in schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        if fields.len() >= FIELDS {
            return;
        }
        let words = words::of_name(name);
        fields.push(Field {
            kind: kind_of(property),
            values: values_of(property),
            parent: parent.to_vec(),
            depth,
            words: words.clone(),
        });
        walk(property, &words, deeper, fields);
    }
    // these belong to the same property
    for inner in schema.get("items").into_iter().chain(variants(schema)) {
        walk(inner, parent, deeper, fields);
    }
}

fn variants(schema: &Value) -> impl Iterator<Item = &Value> {
    let keys = ["anyOf", "oneOf", "allOf"].into_iter();
    keys.filter_map(|key| schema.get(key)?.as_array()).flatten()
}

fn kind_of(schema: &Value) -> Kind {
    let of_word = |word: &str| match word {
        "string" => Some(Kind::Text),
        "boolean" => Some(Kind::Flag),
        "number" | "integer" => Some(Kind::Number),
        "array" | "object" => Some(Kind::Nested),
        _ => None,
    };
    let own = match schema.get("type") {
        Some(Value::String(word)) => of_word(word),
        Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).find_map(of_word),
        _ => None,
    };
    let varied = || variants(schema).map(kind_of).find(|kind| *kind != Kind::Unknown);
    own.or_else(varied).unwrap_or(Kind::Unknown)
}

fn values_of(schema: &Value) -> Vec<String> {
    let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    let listed = listed.chain(schema.get("const"));
    let own = listed.filter_map(Value::as_str).map(str::to_owned);
    let varied = variants(schema).flat_map(|variant| {
        let listed = variant
            .get("enum")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        listed.chain(variant.get("const")).filter_map(Value::as_str)
    });
    own.chain(varied.map(str::to_owned)).take(VALUES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_found_at_any_depth_and_in_any_variant() {
        let schema = serde_json::json!({"properties": {
            "actions": {"type": "array", "items": {"anyOf": [
                {"properties": {"type": {"enum": ["click", "executeJavascript"]}, "script": {"type": ["string", "null"]}}}]}},
            "force": {"type": "boolean"},
        }});
        let fields = read(Some(&schema));
        let found: Vec<_> = fields
            .iter()
            .map(|field| (field.words.join("_"), field.kind))
            .collect();
        assert_eq!(
            found,
            [
                ("actions".to_owned(), Kind::Nested),
                ("script".to_owned(), Kind::Text),
                ("type".to_owned(), Kind::Unknown),
                ("force".to_owned(), Kind::Flag)
            ]
        );
        assert_eq!(fields[2].values, ["click", "executeJavascript"]);
        assert_eq!(fields[2].parent, ["actions"]);
    }

    #[test]
    fn a_schema_without_end_is_cut() {
        let mut schema = serde_json::json!({});
        for _ in 0..100 {
            schema = serde_json::json!({"properties": {"a": schema}});
        }
        assert_eq!(read(Some(&schema)).len(), DEPTH + 1);
        assert!(read(None).is_empty() && read(Some(&serde_json::json!([1]))).is_empty());
    }
}
