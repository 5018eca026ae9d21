//! Paths: where in a call a rule looks.

use super::facts::Facts;
use super::fold::is_lookalike;
use super::json::Json;

/// More steps than this reach deeper than any message that is forwarded.
const MAX_STEPS: usize = 64;

/// A compiled path with its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) text: String,
    pub(super) root: Root,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Root {
    /// At least one step; the first is a key, since arguments are an object.
    Arguments(Vec<Step>),
    GrantId,
    /// The claim of this name; `/` separates levels.
    Claim(String),
    ToolName,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
    /// Each element of a list.
    Each,
}

/// Why a condition cannot be evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// The arguments are not an object that every reader reads alike.
    Unread,
    /// A key differs from one on the path in case only.
    Lookalike,
    /// A step into what is not an object, or not a list.
    Step,
    /// The operator says nothing about values of this type.
    Type,
    /// Exact readers and readers of doubles would answer differently.
    Inexact,
    /// A path that may lead elsewhere than it says.
    Folder,
    /// The regex engine gave up.
    Regex,
    /// The call is only on record, and this is not.
    Unrecorded,
}

impl Doubt {
    /// Follows `could not be evaluated: `. Never holds a value.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Unread => "the arguments are not an object that every server reads alike",
            Self::Lookalike => "the arguments hold a key that differs from one in the path in case only",
            Self::Step => "something before the end of the path is not an object or a list",
            Self::Type => "the value has another JSON type",
            Self::Inexact => "the number has more digits than every server keeps",
            Self::Folder => "the value is not a plain absolute path",
            Self::Regex => "the text could not be searched",
            Self::Unrecorded => "the value is not on record",
        }
    }
}

impl Path {
    /// Reads `args.a.b`, `args.list[0]`, `args.list[*].x`, `args["odd.key"]`, `grant.id`,
    /// `grant.claims.x`, `tool.name`.
    ///
    /// # Errors
    /// What is wrong with it, to follow the path's text.
    pub(super) fn read(text: &str) -> Result<Self, &'static str> {
        let root = match text {
            "grant.id" => Root::GrantId,
            "tool.name" => Root::ToolName,
            _ => match (text.strip_prefix("args"), text.strip_prefix("grant.claims")) {
                (_, Some(rest)) => {
                    const FORM: &str = "names no claim: write `grant.claims.NAME`";
                    let mut steps = read_steps(rest)?;
                    match (steps.pop(), steps.is_empty()) {
                        (Some(Step::Key(name)), true) => Root::Claim(name),
                        _ => return Err(FORM),
                    }
                }
                (Some(rest), None) => Root::Arguments(read_arguments(rest)?),
                (None, None) => {
                    return Err("starts with none of `args`, `grant.id`, `grant.claims` and `tool.name`");
                }
            },
        };
        Ok(Self {
            text: text.to_owned(),
            root,
        })
    }

    /// Reads a path within the arguments, written without `args.`: `customer.id`, `["odd.key"]`.
    ///
    /// # Errors
    /// As [`Path::read`].
    pub(super) fn read_in_arguments(text: &str) -> Result<Self, &'static str> {
        let dot = if text.starts_with('[') { "" } else { "." };
        Self::read(&format!("args{dot}{text}"))
    }

    /// The claim of this name.
    ///
    /// # Errors
    /// As [`Path::read`].
    pub(super) fn of_claim(name: &str) -> Result<Self, &'static str> {
        let odd = |c: char| c.is_whitespace() || c.is_control();
        if name.split('/').any(str::is_empty) || name.contains(odd) {
            return Err("names no claim: write `claim:NAME`, with `/` between levels");
        }
        Ok(Self {
            text: format!("grant.claims.{name}"),
            root: Root::Claim(name.to_owned()),
        })
    }

    /// The steps into the arguments; `None` for what is no argument.
    pub(super) fn steps(&self) -> Option<&[Step]> {
        match &self.root {
            Root::Arguments(steps) => Some(steps),
            Root::GrantId | Root::Claim(_) | Root::ToolName => None,
        }
    }

    /// Whether it stands for one value and not for each element of a list.
    pub(super) fn is_single(&self) -> bool {
        self.steps().is_none_or(|steps| !steps.contains(&Step::Each))
    }

    /// What the path leads to: one value for each element where it holds `[*]`; `None` is missing.
    ///
    /// # Errors
    /// Where what stands on the way leaves open what a server would find.
    pub(super) fn resolve<'f, 'c>(&self, facts: &'f Facts<'c>) -> Result<Vec<Option<&'f Json<'c>>>, Doubt> {
        facts.tells(self, false)?;
        self.leaves(facts)
    }

    /// [`Path::resolve`] for a question that only asks whether something is there.
    ///
    /// # Errors
    /// As [`Path::resolve`].
    pub(super) fn resolve_presence<'f, 'c>(
        &self,
        facts: &'f Facts<'c>,
    ) -> Result<Vec<Option<&'f Json<'c>>>, Doubt> {
        facts.tells(self, true)?;
        self.leaves(facts)
    }

    fn leaves<'f, 'c>(&self, facts: &'f Facts<'c>) -> Result<Vec<Option<&'f Json<'c>>>, Doubt> {
        match &self.root {
            Root::GrantId => Ok(vec![Some(&facts.grant)]),
            Root::ToolName => Ok(vec![Some(&facts.tool)]),
            Root::Claim(name) => {
                let found = facts.claims.map(|claims| claims.get(name)).transpose()?;
                Ok(vec![found.flatten()])
            }
            Root::Arguments(steps) => {
                let mut leaves = Vec::with_capacity(1);
                walk(facts.arguments().ok_or(Doubt::Unread)?, steps, &mut leaves)?;
                Ok(leaves)
            }
        }
    }
}

fn walk<'f, 'c>(
    value: &'f Json<'c>,
    steps: &[Step],
    leaves: &mut Vec<Option<&'f Json<'c>>>,
) -> Result<(), Doubt> {
    let Some((step, rest)) = steps.split_first() else {
        leaves.push(Some(value));
        return Ok(());
    };
    let next = match (step, value) {
        (Step::Key(name), Json::Object(entries)) => {
            if entries.iter().any(|(key, _)| is_lookalike(key, name)) {
                return Err(Doubt::Lookalike);
            }
            entries
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value)
        }
        (Step::Index(index), Json::List(items)) => items.get(*index),
        (Step::Each, Json::List(items)) if items.is_empty() => None,
        (Step::Each, Json::List(items)) => {
            return items.iter().try_for_each(|item| walk(item, rest, leaves));
        }
        _ => return Err(Doubt::Step),
    };
    match next {
        Some(value) => walk(value, rest, leaves),
        None => {
            leaves.push(None);
            Ok(())
        }
    }
}

fn read_arguments(text: &str) -> Result<Vec<Step>, &'static str> {
    let steps = read_steps(text)?;
    match steps.first() {
        Some(Step::Key(_)) => Ok(steps),
        Some(_) => Err("takes the arguments for a list; they are always an object"),
        None => Err("names no argument: write `args.NAME`"),
    }
}

fn read_steps(mut text: &str) -> Result<Vec<Step>, &'static str> {
    const SYNTAX: &str = "is not a path: steps are `.name`, `[0]`, `[*]` and `[\"any key\"]`";
    let mut steps = Vec::new();
    while !text.is_empty() {
        let (step, rest) = if let Some(rest) = text.strip_prefix('.') {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (name, rest) = rest.split_at_checked(end).ok_or(SYNTAX)?;
            let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | ']' | '*' | '`');
            if name.is_empty() || name.contains(odd) {
                return Err(SYNTAX);
            }
            (Step::Key(name.to_owned()), rest)
        } else if text.starts_with("[\"") {
            let inner = text.strip_prefix('[').ok_or(SYNTAX)?;
            let end = quoted_length(inner).ok_or(SYNTAX)?;
            let (literal, rest) = inner.split_at_checked(end).ok_or(SYNTAX)?;
            let key: String = serde_json::from_str(literal).map_err(|_| SYNTAX)?;
            (Step::Key(key), rest.strip_prefix(']').ok_or(SYNTAX)?)
        } else {
            let (inner, rest) = text
                .strip_prefix('[')
                .and_then(|inner| inner.split_once(']'))
                .ok_or(SYNTAX)?;
            (read_index(inner).ok_or(SYNTAX)?, rest)
        };
        steps.push(step);
        if steps.len() > MAX_STEPS {
            return Err("is deeper than any arguments");
        }
        text = rest;
    }
    Ok(steps)
}

fn read_index(text: &str) -> Option<Step> {
    if text == "*" {
        return Some(Step::Each);
    }
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain {
        text.parse().ok().map(Step::Index)
    } else {
        None
    }
}

/// The length of the string in double quotes at the start, quotes included.
fn quoted_length(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at.checked_add(1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests;
