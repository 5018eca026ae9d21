//! `arguments`: the JSON Schema (draft 2020-12) that a call's arguments must satisfy. Compiled once,
//! when the policy is loaded; nothing is ever fetched.

use std::collections::HashSet;
use std::fmt;

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::{Number, Value};

use super::facts::Facts;
use super::json::Json;
use super::number::{double, is_exact};
use super::path::Doubt;
use crate::document::shown;
use crate::mcp::text::folded;

/// The most memory that one compiled `pattern` may take, in bytes.
const PATTERN_SIZE: usize = 1 << 20;

/// Of arguments that break a schema in many places, so many are shown.
const MISFITS: usize = 8;

/// A compiled schema.
pub(super) struct Arguments {
    validator: Validator,
    schema: Value,
    /// Every property that the schema names, wherever; and the same without case.
    names: HashSet<String>,
    folded: HashSet<String>,
}

impl fmt::Debug for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arguments")
            .field("names", &self.names.len())
            .finish_non_exhaustive()
    }
}

/// Why arguments do not satisfy a schema. Never holds a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    Doubt(Doubt),
    /// JSON Pointer into the arguments, and the keyword of the schema that they break.
    Broken {
        at: String,
        keyword: String,
    },
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Doubt(doubt) => write!(f, "its arguments could not be evaluated: {}", doubt.as_str()),
            Self::Broken { at, keyword } if at.is_empty() => {
                write!(f, "its arguments break `{keyword}` of the policy's schema")
            }
            Self::Broken { at, keyword } => {
                write!(
                    f,
                    "the argument `{}` breaks `{keyword}` of the policy's schema",
                    shown(at)
                )
            }
        }
    }
}

impl Arguments {
    /// Compiles a schema whose keywords and references were looked at before. `names` are the
    /// properties that it names.
    ///
    /// # Errors
    /// Where it is no schema of draft 2020-12, or a `pattern` cannot run in linear time: a sentence.
    pub(super) fn new(schema: &Value, names: HashSet<String>) -> Result<Self, String> {
        let pattern = PatternOptions::regex()
            .size_limit(PATTERN_SIZE)
            .dfa_size_limit(PATTERN_SIZE);
        let built = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_pattern_options(pattern)
            .should_validate_formats(true)
            .should_ignore_unknown_formats(false)
            .offline()
            .build(schema);
        let validator = built.map_err(|error| match error.instance_path().as_str() {
            "" => error.to_string(),
            at => format!("{error}, at {at}"),
        })?;
        Ok(Self {
            validator,
            schema: schema.clone(),
            folded: names.iter().map(|name| folded(name)).collect(),
            names,
        })
    }

    /// The schema as it is written.
    pub(super) fn schema(&self) -> &Value {
        &self.schema
    }

    /// # Errors
    /// Where the arguments do not satisfy the schema, or some server could read them otherwise.
    pub(super) fn check(&self, facts: &Facts<'_>) -> Result<(), Misfit> {
        let arguments = match facts.whole() {
            // whoever asked for a call on record has noted it
            Err(Doubt::Unrecorded) => return self.names_alone(facts),
            whole => whole.map_err(Misfit::Doubt)?,
        };
        let value = self.read(arguments).map_err(Misfit::Doubt)?;
        self.validator.validate(&value).map_err(|error| Misfit::Broken {
            at: error.instance_path().as_str().to_owned(),
            keyword: error.kind().keyword().to_owned(),
        })
    }

    /// What the names of a call on record tell, whatever its values.
    fn names_alone(&self, facts: &Facts<'_>) -> Result<(), Misfit> {
        match facts.arguments() {
            Some(Json::Object(entries)) if entries.iter().any(|(key, _)| self.is_lookalike(key)) => {
                Err(Misfit::Doubt(Doubt::Lookalike))
            }
            _ => Ok(()),
        }
    }

    fn is_lookalike(&self, key: &str) -> bool {
        !self.names.contains(key) && self.folded.contains(&folded(key))
    }

    /// Everything that [`Arguments::check`] could refuse for, at most eight: where in the arguments, the keyword or
    /// why nothing can be said, and where the keyword stands in the schema.
    pub(super) fn every_misfit(
        &self,
        facts: &Facts<'_>,
    ) -> Vec<(String, Result<String, &'static str>, String)> {
        let doubtful = |doubt: Doubt| vec![(String::new(), Err(doubt.as_str()), String::new())];
        let Some(arguments) = facts.arguments() else {
            return doubtful(Doubt::Unread);
        };
        let value = match self.read(arguments) {
            Ok(value) => value,
            Err(doubt) => return doubtful(doubt),
        };
        let misfits = self.validator.iter_errors(&value).map(|error| {
            let at = error.instance_path().as_str().to_owned();
            let keyword = error.kind().keyword().to_owned();
            (at, Ok(keyword), error.schema_path().as_str().to_owned())
        });
        misfits.take(MISFITS).collect()
    }

    /// The value as the validator takes it: without keys that only case tells from a name of the
    /// schema, and without numbers that a reader of doubles would see otherwise.
    fn read(&self, value: &Json<'_>) -> Result<Value, Doubt> {
        Ok(match value {
            Json::Object(entries) => {
                let members: Result<_, Doubt> = entries
                    .iter()
                    .map(|(key, value)| {
                        if self.is_lookalike(key) {
                            return Err(Doubt::Lookalike);
                        }
                        Ok((key.to_string(), self.read(value)?))
                    })
                    .collect();
                Value::Object(members?)
            }
            Json::List(items) => Value::Array(
                items
                    .iter()
                    .map(|item| self.read(item))
                    .collect::<Result<_, _>>()?,
            ),
            scalar => plain(scalar).ok_or(Doubt::Inexact)?,
        })
    }
}

/// A value as serde_json holds it; `None` where a number in it would change.
pub(super) fn plain(value: &Json<'_>) -> Option<Value> {
    Some(match value {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Text(text) => Value::String(text.to_string()),
        Json::Number(text) => Value::Number(number(text)?),
        Json::List(items) => Value::Array(items.iter().map(plain).collect::<Option<_>>()?),
        Json::Object(entries) => Value::Object(
            entries
                .iter()
                .map(|(key, value)| Some((key.to_string(), plain(value)?)))
                .collect::<Option<_>>()?,
        ),
    })
}

fn number(text: &str) -> Option<Number> {
    if !is_exact(text) {
        return None;
    }
    let unsigned = text.parse::<u64>().map(Number::from);
    unsigned
        .or_else(|_| text.parse::<i64>().map(Number::from))
        .ok()
        .or_else(|| Number::from_f64(double(text)?))
}
