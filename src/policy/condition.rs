//! Conditions: true, false, or not to be evaluated. Nothing here turns doubt into an answer.

use std::cmp::Ordering;
use std::panic::{AssertUnwindSafe, catch_unwind};

use regex::Regex;

use super::facts::Facts;
use super::folder::Folders;
use super::json::Json;
use super::number::Compared;
use super::path::{Doubt, Path};

/// A compiled condition.
#[derive(Debug)]
pub(super) struct Condition {
    pub(super) path: Path,
    pub(super) test: Test,
    /// `args.amount lte 100`, for refusals.
    pub(super) text: String,
}

/// What is asked about a value.
#[derive(Debug)]
pub(super) enum Test {
    Exists(bool),
    Equal {
        value: Json<'static>,
        negated: bool,
    },
    /// The value's order against a number.
    Order {
        number: String,
        wanted: Wanted,
    },
    In {
        values: Vec<Json<'static>>,
        negated: bool,
    },
    Regex {
        regex: Regex,
        negated: bool,
    },
    Contains {
        value: Json<'static>,
        negated: bool,
    },
    Under(Folders),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Wanted {
    pub(super) fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// How many of the values that a path leads to must satisfy the condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantity {
    /// `require`: every one.
    All,
    /// `deny_if`: one is enough.
    Any,
}

impl Condition {
    /// # Errors
    /// Where the condition cannot be evaluated for one of the values.
    pub(super) fn holds(&self, facts: &Facts<'_>, quantity: Quantity) -> Result<bool, Doubt> {
        let mut all = true;
        let mut any = false;
        let values = match self.test {
            Test::Exists(_) => self.path.resolve_presence(facts)?,
            _ => self.path.resolve(facts)?,
        };
        for value in values {
            let answer = self.test.answer(value)?;
            all &= answer;
            any |= answer;
        }
        Ok(match quantity {
            Quantity::All => all,
            Quantity::Any => any,
        })
    }
}

impl Test {
    /// The answer for one value; `None` is missing, which satisfies nothing but `exists: false`.
    pub(super) fn answer(&self, value: Option<&Json<'_>>) -> Result<bool, Doubt> {
        let Some(value) = value else {
            return Ok(matches!(self, Self::Exists(false)));
        };
        match self {
            Self::Exists(wanted) => Ok(*wanted),
            Self::Equal { value: own, negated } => Ok(equal(value, own)? != *negated),
            Self::Order { number, wanted } => match value {
                Json::Number(text) => Compared::new(text, number)
                    .and_then(|compared| compared.answers(|order| wanted.holds(order)))
                    .ok_or(Doubt::Inexact),
                _ => Err(Doubt::Type),
            },
            Self::In { values, negated } => Ok(among(value, values)? != *negated),
            Self::Regex { regex, negated } => Ok(found(regex, value)? != *negated),
            Self::Contains { value: own, negated } => Ok(contains(value, own)? != *negated),
            Self::Under(folders) => match value {
                Json::Text(text) => folders.hold(text).ok_or(Doubt::Folder),
                _ => Err(Doubt::Type),
            },
        }
    }
}

/// Whether two values are the same. Values of two JSON types are not compared, except that a rule's
/// own `null` differs from everything else.
pub(super) fn equal(value: &Json<'_>, own: &Json<'_>) -> Result<bool, Doubt> {
    match (value, own) {
        (Json::Null, Json::Null) => Ok(true),
        (_, Json::Null) => Ok(false),
        (Json::Bool(left), Json::Bool(right)) => Ok(left == right),
        (Json::Text(left), Json::Text(right)) => Ok(left == right),
        (Json::Number(left), Json::Number(right)) => Compared::new(left, right)
            .and_then(|compared| compared.answers(Ordering::is_eq))
            .ok_or(Doubt::Inexact),
        (Json::List(left), Json::List(right)) if left.len() != right.len() => Ok(false),
        (Json::List(left), Json::List(right)) => {
            every(left.iter().zip(right).map(|(left, right)| equal(left, right)))
        }
        (Json::Object(left), Json::Object(right)) => same_members(left, right),
        _ => Err(Doubt::Type),
    }
}

type Members<'a> = [(std::borrow::Cow<'a, str>, Json<'a>)];

fn same_members(left: &Members<'_>, right: &Members<'_>) -> Result<bool, Doubt> {
    let lookalike = |name: &str| left.iter().any(|(key, _)| super::fold::is_lookalike(key, name));
    if right.iter().any(|(name, _)| lookalike(name)) {
        return Err(Doubt::Lookalike);
    }
    if left.len() != right.len() {
        return Ok(false);
    }
    every(
        right
            .iter()
            .map(|(name, own)| match left.iter().find(|(key, _)| key == name) {
                Some((_, value)) => equal(value, own),
                None => Ok(false),
            }),
    )
}

/// One `false` decides; without one, one doubt does.
fn every(answers: impl Iterator<Item = Result<bool, Doubt>>) -> Result<bool, Doubt> {
    let mut doubt = None;
    for answer in answers {
        match answer {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(found) => doubt = doubt.or(Some(found)),
        }
    }
    doubt.map_or(Ok(true), Err)
}

/// Whether the value is one of the rule's. Only those of its own type are compared; where there is
/// none, nothing can be said, unless the rule's are all `null`.
fn among(value: &Json<'_>, values: &[Json<'_>]) -> Result<bool, Doubt> {
    let alike: Vec<_> = values.iter().filter(|own| own.kind() == value.kind()).collect();
    if alike.is_empty() {
        let nulls = values.iter().all(|own| matches!(own, Json::Null));
        return if nulls { Ok(false) } else { Err(Doubt::Type) };
    }
    some(alike.into_iter().map(|own| equal(value, own)))
}

/// One `true` decides; without one, one doubt does.
fn some(answers: impl Iterator<Item = Result<bool, Doubt>>) -> Result<bool, Doubt> {
    every(answers.map(|answer| answer.map(|answer| !answer))).map(|none| !none)
}

fn contains(value: &Json<'_>, own: &Json<'_>) -> Result<bool, Doubt> {
    match (value, own) {
        (Json::Text(text), Json::Text(part)) => Ok(text.contains(part.as_ref())),
        (Json::List(items), _) => some(items.iter().map(|item| equal(item, own))),
        _ => Err(Doubt::Type),
    }
}

/// Some versions of the engine panic on some patterns; a panic would end the call without an answer.
fn found(regex: &Regex, value: &Json<'_>) -> Result<bool, Doubt> {
    let Json::Text(text) = value else {
        return Err(Doubt::Type);
    };
    catch_unwind(AssertUnwindSafe(|| regex.is_match(text))).map_err(|_| Doubt::Regex)
}
