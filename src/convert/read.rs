//! The old format as it is written: version 1, `tools.*.rules[]`.

use super::Faults;
use crate::document::{Entry, Node, Place, Value, quoted};

/// The name that stands for all tools.
pub(super) const ALL: &str = "*";

pub(super) struct Old<'n> {
    pub(super) description: Option<&'n str>,
    pub(super) allow: bool,
    pub(super) hide: Vec<(Place, &'n str)>,
    pub(super) tools: Vec<Tool<'n>>,
}

pub(super) struct Tool<'n> {
    pub(super) place: Place,
    pub(super) name: &'n str,
    pub(super) rules: Vec<Rule<'n>>,
}

pub(super) struct Rule<'n> {
    pub(super) place: Place,
    pub(super) name: &'n str,
    pub(super) kind: Kind<'n>,
    pub(super) on_deny: Option<&'n str>,
}

pub(super) enum Kind<'n> {
    Deny,
    Rate(u64, &'n str),
    Evaluate(Vec<Condition<'n>>, Option<State<'n>>),
}

pub(super) struct Condition<'n> {
    pub(super) place: Place,
    pub(super) path: &'n str,
    pub(super) op: &'n str,
    pub(super) value: &'n Node,
}

pub(super) struct State<'n> {
    pub(super) place: Place,
    pub(super) counter: &'n str,
    pub(super) window: &'n str,
    pub(super) increment: u64,
    pub(super) from: Option<&'n str>,
}

pub(super) fn read<'n>(root: &'n Node, faults: &mut Faults<'_>) -> Old<'n> {
    let known = ["version", "description", "default", "hide", "tools"];
    let entries = object(root, "the policy", &known, faults);
    let version = root.get("version");
    let is_one = |node: &Node| match &node.value {
        Value::Text(text) | Value::Number(text) => text == "1",
        _ => false,
    };
    if !version.is_some_and(is_one) {
        let place = version.map_or(root.place, |node| node.place);
        faults.add(place, "only policies with `version: \"1\"` can be read");
    }
    let mut old = Old {
        description: None,
        allow: true,
        hide: Vec::new(),
        tools: Vec::new(),
    };
    for Entry { key, value } in entries {
        match key.text.as_str() {
            "description" => old.description = text(value, faults),
            "default" => match text(value, faults) {
                Some("allow") | None => {}
                Some("deny") => old.allow = false,
                Some(_) => faults.add(value.place, "`default` is `allow` or `deny`"),
            },
            "hide" => {
                let names = list(value, "`hide`", faults).iter();
                old.hide = names
                    .filter_map(|name| Some((name.place, text(name, faults)?)))
                    .collect();
            }
            "tools" => {
                let tools = object_or_nothing(value, "`tools`", faults).iter();
                old.tools = tools.map(|entry| tool(entry, faults)).collect();
            }
            _ => {}
        }
    }
    old
}

fn tool<'n>(entry: &'n Entry, faults: &mut Faults<'_>) -> Tool<'n> {
    let name = entry.key.text.as_str();
    if name != ALL && name.contains(['*', '?']) {
        let message = format!("{} is the name of one tool there and a glob here", quoted(name));
        faults.add(entry.key.place, message);
    }
    let mut rules = Vec::new();
    if entry.value.value != Value::Null {
        object(&entry.value, "a tool", &["rules"], faults);
        if let Some(written) = entry.value.get("rules") {
            let written = list(written, "`rules`", faults).iter();
            rules = written.filter_map(|node| rule(node, faults)).collect();
        }
    }
    Tool {
        place: entry.key.place,
        name,
        rules,
    }
}

/// `None` where it was reported.
fn rule<'n>(node: &'n Node, faults: &mut Faults<'_>) -> Option<Rule<'n>> {
    let known = ["name", "action", "rate_limit", "conditions", "on_deny", "state"];
    object(node, "a rule", &known, faults);
    let mut get = |key| node.get(key).and_then(|value| text(value, faults));
    let (name, on_deny, action) = (get("name"), get("on_deny"), get("action"));
    let written = node
        .get("conditions")
        .map(|value| list(value, "`conditions`", faults));
    let written = written.unwrap_or_default();
    let before = faults.problems.len();
    let conditions: Vec<Condition<'_>> = written
        .iter()
        .filter_map(|node| condition(node, faults))
        .collect();
    let state = node.get("state").filter(|state| state.value != Value::Null);
    let has_state = state.is_some();
    let state = state.and_then(|state| read_state(state, faults));
    let kind = match (action.filter(|action| !action.is_empty()), node.get("rate_limit")) {
        (Some("deny"), None) if written.is_empty() => Kind::Deny,
        (Some("deny"), _) => {
            faults.add(
                node.place,
                "a rule with the action `deny` has neither conditions nor `rate_limit`",
            );
            return None;
        }
        (None | Some("evaluate"), Some(_)) if !written.is_empty() || has_state => {
            faults.add(
                node.place,
                "`rate_limit` stands alone, without `conditions` and `state`",
            );
            return None;
        }
        (None | Some("evaluate"), Some(rate)) => {
            let (count, window) = read_rate(rate, faults)?;
            Kind::Rate(count, window)
        }
        (None | Some("evaluate"), None) if written.is_empty() => {
            faults.add(
                node.place,
                "a rule has conditions, a `rate_limit`, or the action `deny`",
            );
            return None;
        }
        (None | Some("evaluate"), None) if faults.problems.len() > before => return None,
        (None | Some("evaluate"), None) => Kind::Evaluate(conditions, state),
        (Some(_), _) => {
            let place = node.get("action").map_or(node.place, |action| action.place);
            faults.add(place, "`action` is `evaluate` or `deny`");
            return None;
        }
    };
    Some(Rule {
        place: node.place,
        name: name.unwrap_or("a rule without a name"),
        kind,
        on_deny: on_deny.filter(|text| !text.trim().is_empty()),
    })
}

fn condition<'n>(node: &'n Node, faults: &mut Faults<'_>) -> Option<Condition<'n>> {
    object(node, "a condition", &["path", "op", "value"], faults);
    let mut required = |key: &str| match node.get(key) {
        Some(value) => text(value, faults),
        None => {
            faults.add(node.place, format!("a condition needs `{key}`"));
            None
        }
    };
    let (path, op) = (required("path"), required("op"));
    let Some(value) = node.get("value") else {
        faults.add(node.place, "a condition needs `value`");
        return None;
    };
    let (path, op) = (path?, op?);
    let wanted = match (op, &value.value) {
        ("eq" | "neq" | "contains", _) => None,
        ("in" | "not_in", Value::List(_)) => None,
        ("in" | "not_in", _) => Some("a list"),
        ("lt" | "lte" | "gt" | "gte", Value::Number(_)) => None,
        ("lt" | "lte" | "gt" | "gte", _) => Some("a number"),
        ("regex", Value::Text(_)) => None,
        ("regex", _) => Some("text"),
        ("exists", Value::Bool(_)) => None,
        ("exists", _) => Some("true or false"),
        _ => {
            let place = node.get("op").map_or(node.place, |op| op.place);
            faults.add(place, format!("unknown operator {}", quoted(op)));
            return None;
        }
    };
    if let Some(wanted) = wanted {
        faults.add(value.place, format!("`{op}` compares with {wanted}"));
        return None;
    }
    if !path.starts_with("args.") && !path.starts_with("state.") {
        let message = format!(
            "the path {} starts with neither `args.` nor `state.`",
            quoted(path)
        );
        faults.add(node.place, message);
        return None;
    }
    Some(Condition {
        place: node.place,
        path,
        op,
        value,
    })
}

fn read_state<'n>(node: &'n Node, faults: &mut Faults<'_>) -> Option<State<'n>> {
    let known = ["counter", "window", "increment", "increment_from"];
    object(node, "`state`", &known, faults);
    let counter = node
        .get("counter")
        .and_then(|value| text(value, faults))
        .filter(|name| !name.is_empty());
    let window = node.get("window").and_then(|value| window(value, faults));
    let from = node.get("increment_from");
    let from = from
        .and_then(|value| text(value, faults))
        .filter(|from| !from.is_empty());
    if counter.is_none() {
        faults.add(node.place, "`state` needs `counter`");
    }
    if node.get("window").is_none() {
        faults.add(node.place, "`state` needs `window`");
    }
    if from.is_some_and(|from| !from.starts_with("args.")) {
        faults.add(node.place, "`increment_from` starts with `args.`");
        return None;
    }
    let increment = match node.get("increment") {
        None => 1,
        Some(Node {
            value: Value::Null, ..
        }) => 1,
        Some(increment) => match increment.whole() {
            // The other proxy counts 1 there.
            Some(0) => 1,
            Some(whole) => whole,
            None => {
                let message = "`increment` must be a whole number of at least 0: a negative one would lower the counter";
                faults.add(increment.place, message);
                return None;
            }
        },
    };
    Some(State {
        place: node.place,
        counter: counter?,
        window: window?,
        increment,
        from,
    })
}

fn read_rate<'n>(node: &'n Node, faults: &mut Faults<'_>) -> Option<(u64, &'n str)> {
    let written = text(node, faults)?;
    let rate = written.split_once('/').and_then(|(count, window)| {
        let count = count.parse::<u64>().ok().filter(|count| *count > 0)?;
        is_window(window).then_some((count, window))
    });
    if rate.is_none() {
        faults.add(
            node.place,
            "`rate_limit` is written like `5/hour`: a count and `minute`, `hour` or `day`",
        );
    }
    rate
}

fn window<'n>(node: &'n Node, faults: &mut Faults<'_>) -> Option<&'n str> {
    let window = text(node, faults)?;
    if !is_window(window) {
        faults.add(node.place, "`window` is `minute`, `hour` or `day`");
        return None;
    }
    Some(window)
}

fn is_window(text: &str) -> bool {
    matches!(text, "minute" | "hour" | "day")
}

fn text<'n>(node: &'n Node, faults: &mut Faults<'_>) -> Option<&'n str> {
    match &node.value {
        Value::Text(text) | Value::Number(text) => Some(text),
        Value::Null => None,
        _ => {
            faults.add(node.place, "this must be text");
            None
        }
    }
}

fn list<'n>(node: &'n Node, what: &str, faults: &mut Faults<'_>) -> &'n [Node] {
    if !matches!(node.value, Value::List(_) | Value::Null) {
        faults.add(node.place, format!("{what} must be a list"));
    }
    node.items()
}

fn object_or_nothing<'n>(node: &'n Node, what: &str, faults: &mut Faults<'_>) -> &'n [Entry] {
    if !matches!(node.value, Value::Object(_) | Value::Null) {
        faults.add(node.place, format!("{what} must be an object"));
    }
    node.entries()
}

/// The entries; every key that is not known is reported, since what it was to do would be lost.
fn object<'n>(node: &'n Node, what: &str, known: &[&str], faults: &mut Faults<'_>) -> &'n [Entry] {
    if !matches!(node.value, Value::Object(_)) {
        faults.add(node.place, format!("{what} must be an object"));
    }
    for Entry { key, .. } in node.entries() {
        if !known.contains(&key.text.as_str()) {
            let message = format!(
                "unknown key {} in {what}; it knows `{}`",
                quoted(&key.text),
                known.join("`, `")
            );
            faults.add(key.place, message);
        }
    }
    node.entries()
}
