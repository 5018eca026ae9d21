//! The policy as written: typed, each part with its place. Nothing is judged here. Parts that do not
//! fit the language are left out; [`super::shape`] has reported them, so no such policy is ever compiled.

use super::compiled::{Fallback, Mode};
use super::language::{DEFAULT_LEASE_MS, lease_ms, rate};
use super::types::{OnStoreError, Scope};
use super::window::Length;
use crate::document::{Entry, Node, Place, Value};

/// A part of the file and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Located<T> {
    pub(super) place: Place,
    pub(super) value: T,
}

#[derive(Debug)]
pub(super) struct WrittenPolicy<'n> {
    pub(super) default: Option<Fallback>,
    pub(super) default_place: Place,
    pub(super) mode: Mode,
    /// Name → whether it is allowed.
    pub(super) methods: Vec<(Located<&'n str>, bool)>,
    pub(super) record: Vec<Located<&'n str>>,
    pub(super) hide: Vec<Located<&'n str>>,
    pub(super) all_tools: Vec<WrittenLimit<'n>>,
    pub(super) all_blocks: WrittenBlocks<'n>,
    pub(super) tools: Vec<WrittenTool<'n>>,
}

#[derive(Debug)]
pub(super) struct WrittenTool<'n> {
    pub(super) name: Located<&'n str>,
    pub(super) action: WrittenAction,
    pub(super) reason: Option<Located<&'n str>>,
    /// An object.
    pub(super) arguments: Option<&'n Node>,
    pub(super) blocks: WrittenBlocks<'n>,
    pub(super) limits: Vec<WrittenLimit<'n>>,
    pub(super) rate_limit: Option<WrittenRate>,
    /// A limit whose window is a lease.
    pub(super) concurrency: Option<WrittenLimit<'n>>,
}

/// What `action` says, in order of strictness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum WrittenAction {
    Allow,
    RequireApproval,
    Deny,
}

impl WrittenTool<'_> {
    /// Whether no call passes, whatever else stands there.
    pub(super) fn is_denied(&self) -> bool {
        self.action == WrittenAction::Deny
    }
}

/// The blocks of one entry, and how many must agree to what it puts before people.
#[derive(Debug, Default)]
pub(super) struct WrittenBlocks<'n> {
    pub(super) require: Vec<WrittenBlock<'n>>,
    pub(super) deny_if: Vec<WrittenBlock<'n>>,
    pub(super) approve_if: Vec<WrittenBlock<'n>>,
    pub(super) approvers: Option<Located<u64>>,
}

#[derive(Debug)]
pub(super) struct WrittenBlock<'n> {
    pub(super) place: Place,
    pub(super) conditions: Vec<WrittenCondition<'n>>,
    pub(super) on_deny: Option<&'n str>,
    pub(super) shadow: bool,
    /// Of a block that asks.
    pub(super) approvers: Option<Located<u64>>,
}

#[derive(Debug)]
pub(super) struct WrittenCondition<'n> {
    pub(super) place: Place,
    pub(super) path: Located<&'n str>,
    pub(super) op: Located<&'n str>,
    pub(super) value: Option<&'n Node>,
}

#[derive(Debug)]
pub(super) struct WrittenLimit<'n> {
    pub(super) place: Place,
    /// Its position in the list that it stands in.
    pub(super) index: usize,
    pub(super) counter: Located<&'n str>,
    pub(super) window: Located<Length>,
    pub(super) max: u64,
    pub(super) scope: Scope,
    /// What follows `arg:` or `claim:`.
    pub(super) scope_path: Option<Located<&'n str>>,
    pub(super) increment_from: Option<Located<&'n str>>,
    pub(super) scale: Option<Located<u64>>,
    pub(super) kind: Kind,
    pub(super) weight: Option<Located<u64>>,
    pub(super) max_values: Option<Located<u32>>,
    pub(super) shadow: bool,
    pub(super) on_deny: Option<&'n str>,
    pub(super) on_store_error: OnStoreError,
}

/// What becomes of the length of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Sliding,
    Calendar,
    /// The length is that of a lease: what is counted are calls in flight.
    Lease,
}

#[derive(Debug)]
pub(super) struct WrittenRate {
    pub(super) place: Place,
    pub(super) window: Located<Length>,
    pub(super) max: u64,
}

pub(super) fn read(root: &Node) -> WrittenPolicy<'_> {
    let default = match root.get("default").and_then(Node::text) {
        Some("allow") => Some(Fallback::Allow),
        Some("deny") => Some(Fallback::Deny),
        _ => None,
    };
    let mode = match root.get("mode").and_then(Node::text) {
        Some("shadow") => Mode::Shadow,
        _ => Mode::Enforce,
    };
    let hide = root.get("hide").map(Node::items).unwrap_or_default();
    let tools = root.get("tools").map(Node::entries).unwrap_or_default();
    WrittenPolicy {
        default,
        default_place: root.get("default").map_or(root.place, |node| node.place),
        mode,
        methods: root.get("methods").map(methods).unwrap_or_default(),
        record: root
            .get("record")
            .map(Node::items)
            .unwrap_or_default()
            .iter()
            .filter_map(text)
            .collect(),
        hide: hide.iter().filter_map(text).collect(),
        all_tools: root.get("all_tools").map(limits).unwrap_or_default(),
        all_blocks: root.get("all_tools").map(blocks).unwrap_or_default(),
        tools: tools
            .iter()
            .map(|entry| tool(name(entry), &entry.value))
            .collect(),
    }
}

fn name(entry: &Entry) -> Located<&str> {
    Located {
        place: entry.key.place,
        value: &entry.key.text,
    }
}

fn methods(node: &Node) -> Vec<(Located<&str>, bool)> {
    let entries = node.entries().iter();
    entries
        .filter_map(|entry| match entry.value.text()? {
            "allow" => Some((name(entry), true)),
            "deny" => Some((name(entry), false)),
            _ => None,
        })
        .collect()
}

fn tool<'n>(name: Located<&'n str>, node: &'n Node) -> WrittenTool<'n> {
    WrittenTool {
        name,
        action: match node.get("action").and_then(Node::text) {
            Some("deny") => WrittenAction::Deny,
            Some("require_approval") => WrittenAction::RequireApproval,
            _ => WrittenAction::Allow,
        },
        reason: node.get("reason").and_then(text),
        arguments: node
            .get("arguments")
            .filter(|schema| matches!(schema.value, Value::Object(_))),
        blocks: blocks(node),
        limits: limits(node),
        rate_limit: node.get("rate_limit").and_then(rate_limit),
        concurrency: node.get("concurrency").and_then(concurrency),
    }
}

fn blocks(node: &Node) -> WrittenBlocks<'_> {
    let list = |key| {
        let items = node.get(key).map(Node::items).unwrap_or_default();
        items.iter().map(block).collect()
    };
    WrittenBlocks {
        require: list("require"),
        deny_if: list("deny_if"),
        approve_if: list("approve_if"),
        approvers: node.get("approvers").and_then(whole),
    }
}

fn block(node: &Node) -> WrittenBlock<'_> {
    let conditions = node.get("conditions").map(Node::items).unwrap_or_default();
    WrittenBlock {
        place: node.place,
        conditions: conditions.iter().filter_map(condition).collect(),
        on_deny: node.get("on_deny").and_then(Node::text),
        shadow: flag(node, "shadow"),
        approvers: node.get("approvers").and_then(whole),
    }
}

fn flag(node: &Node, key: &str) -> bool {
    matches!(node.get(key).map(|node| &node.value), Some(Value::Bool(true)))
}

fn condition(node: &Node) -> Option<WrittenCondition<'_>> {
    Some(WrittenCondition {
        place: node.place,
        path: node.get("path").and_then(text)?,
        op: node.get("op").and_then(text)?,
        value: node.get("value"),
    })
}

fn limits(node: &Node) -> Vec<WrittenLimit<'_>> {
    let items = node.get("limits").map(Node::items).unwrap_or_default();
    items
        .iter()
        .enumerate()
        .filter_map(|(index, item)| limit(index, item))
        .collect()
}

fn limit(index: usize, node: &Node) -> Option<WrittenLimit<'_>> {
    let kind = match node.get("mode").and_then(Node::text) {
        Some("calendar") => Kind::Calendar,
        _ => Kind::Sliding,
    };
    limit_of(index, node, node.get("window").and_then(window)?, kind)
}

fn concurrency(node: &Node) -> Option<WrittenLimit<'_>> {
    let lease = match node.get("lease") {
        None => Located {
            place: node.place,
            value: Length::Exact(DEFAULT_LEASE_MS),
        },
        Some(lease) => Located {
            place: lease.place,
            value: Length::Exact(lease_ms(&lease.value)?),
        },
    };
    // What only a limit may say has been reported and is not looked at again.
    Some(WrittenLimit {
        increment_from: None,
        scale: None,
        weight: None,
        max_values: None,
        shadow: false,
        on_deny: None,
        on_store_error: OnStoreError::Deny,
        ..limit_of(0, node, lease, Kind::Lease)?
    })
}

fn limit_of(index: usize, node: &Node, window: Located<Length>, kind: Kind) -> Option<WrittenLimit<'_>> {
    let scope = match node.get("scope") {
        None => Scope::Grant,
        Some(scope) => scope_named(scope.text()?)?,
    };
    let max_values = node.get("max_values").and_then(whole);
    Some(WrittenLimit {
        place: node.place,
        index,
        counter: node.get("counter").and_then(text)?,
        window,
        max: node.get("max").and_then(Node::whole)?,
        scope,
        scope_path: node
            .get("scope")
            .and_then(text)
            .and_then(|Located { place, value }| {
                let value = value
                    .strip_prefix("arg:")
                    .or_else(|| value.strip_prefix("claim:"))?;
                Some(Located { place, value })
            }),
        increment_from: node.get("increment_from").and_then(text),
        scale: node.get("scale").and_then(whole),
        kind,
        weight: node.get("weight").and_then(whole),
        max_values: max_values.and_then(|Located { place, value }| {
            Some(Located {
                place,
                value: u32::try_from(value).ok()?,
            })
        }),
        shadow: flag(node, "shadow"),
        on_deny: node.get("on_deny").and_then(Node::text),
        on_store_error: match node.get("on_store_error").and_then(Node::text) {
            Some("allow") => OnStoreError::Allow,
            Some("local") => OnStoreError::Local,
            _ => OnStoreError::Deny,
        },
    })
}

fn rate_limit(node: &Node) -> Option<WrittenRate> {
    let place = node.place;
    if let Some((max, length)) = rate(&node.value) {
        return Some(WrittenRate {
            place,
            window: Located { place, value: length },
            max,
        });
    }
    Some(WrittenRate {
        place,
        window: node.get("window").and_then(window)?,
        max: node.get("max")?.whole()?,
    })
}

fn scope_named(word: &str) -> Option<Scope> {
    match word {
        "grant" => Some(Scope::Grant),
        "session" => Some(Scope::Session),
        "server" => Some(Scope::Server),
        "global" => Some(Scope::Global),
        "arguments" => Some(Scope::Arguments),
        _ if word.starts_with("arg:") => Some(Scope::Argument),
        _ if word.starts_with("claim:") => Some(Scope::Claim),
        _ => None,
    }
}

fn text(node: &Node) -> Option<Located<&str>> {
    node.text().map(|value| Located {
        place: node.place,
        value,
    })
}

fn whole(node: &Node) -> Option<Located<u64>> {
    node.whole().map(|value| Located {
        place: node.place,
        value,
    })
}

fn window(node: &Node) -> Option<Located<Length>> {
    Length::read(&node.value).map(|value| Located {
        place: node.place,
        value,
    })
}
