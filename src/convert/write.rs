//! The new policy as YAML: one line for each rule, so that a fault in a line leads back to its rule.

use super::turn::{Asked, Block, Entry, Limit, New};
use crate::document::{Node, Place, Value, is_invisible, shown};

/// The text, and where each line of it comes from.
pub(super) struct Written {
    pub(super) text: String,
    origins: Vec<Place>,
}

impl Written {
    /// The place in the old file that this line (from 1) comes from.
    pub(super) fn origin(&self, line: u32) -> Place {
        let index = usize::try_from(line).unwrap_or(usize::MAX).saturating_sub(1);
        self.origins.get(index).copied().unwrap_or(Place::START)
    }

    fn line(&mut self, place: Place, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
        self.origins.push(place);
    }

    fn notes(&mut self, place: Place, indent: &str, notes: &[String]) {
        for note in notes {
            self.line(place, &format!("{indent}# note: {note}"));
        }
    }
}

pub(super) fn write(file: &str, new: &New<'_>) -> Written {
    let mut out = Written {
        text: String::new(),
        origins: Vec::new(),
    };
    head(&mut out, file, new);
    let top = Place::START;
    let on_hide: Vec<String> = new
        .notes
        .iter()
        .filter(|(place, _)| new.hide.iter().any(|(hidden, _)| hidden == place))
        .map(|(_, note)| note.clone())
        .collect();
    out.line(top, "version: \"1\"");
    out.line(
        top,
        if new.allow {
            "default: allow"
        } else {
            "default: deny"
        },
    );
    out.notes(top, "", &on_hide);
    if !new.hide.is_empty() {
        out.line(top, "hide:");
    }
    for (place, name) in &new.hide {
        out.line(*place, &format!("  - {}", text(name)));
    }
    let all = &new.all_tools;
    out.notes(top, "", &all.notes);
    if !all.is_empty() {
        out.line(top, "all_tools:");
        entry(&mut out, "  ", all);
    }
    out.line(
        top,
        if new.tools.is_empty() {
            "tools: {}"
        } else {
            "tools:"
        },
    );
    for (place, name, own) in &new.tools {
        out.notes(*place, "  ", &own.notes);
        if own.is_empty() {
            out.line(*place, &format!("  {}: {{}}", text(name)));
        } else {
            out.line(*place, &format!("  {}:", text(name)));
            entry(&mut out, "    ", own);
        }
    }
    out
}

/// What holds for the whole policy, and what the old one says of itself.
fn head(out: &mut Written, file: &str, new: &New<'_>) {
    let top = Place::START;
    for line in [
        format!("# Converted from {} by `toolgate check --convert`.", shown(file)),
        "# Counters count for all grants of the server together, as before; `scope: grant` counts for each grant.".to_owned(),
        "# A condition that cannot be evaluated (a number where text is compared) refuses the call.".to_owned(),
        "# A call stays charged when the server answers it with an error.".to_owned(),
    ] {
        out.line(top, &line);
    }
    if !new.allow {
        out.line(
            top,
            "# `default: deny` closes methods such as resources/read too; `methods` opens them one by one.",
        );
    }
    for line in new.description.unwrap_or_default().lines() {
        out.line(top, &format!("# {}", shown(line)));
    }
}

impl Entry<'_> {
    fn is_empty(&self) -> bool {
        self.denied.is_none() && self.require.is_empty() && self.refuse.is_empty() && self.limits.is_empty()
    }
}

fn entry(out: &mut Written, indent: &str, entry: &Entry<'_>) {
    if let Some(rule) = entry.denied {
        out.line(rule.place, &format!("{indent}# {}", shown(rule.name)));
        out.line(rule.place, &format!("{indent}action: deny"));
        if let Some(reason) = rule.on_deny {
            out.line(rule.place, &format!("{indent}reason: {}", text(reason)));
        }
    }
    blocks(out, indent, "require", &entry.require);
    blocks(out, indent, "deny_if", &entry.refuse);
    if let Some(first) = entry.limits.first() {
        out.line(first.rule.place, &format!("{indent}limits:"));
    }
    for limit in &entry.limits {
        out.line(
            limit.rule.place,
            &format!("{indent}  # {}", shown(limit.rule.name)),
        );
        out.line(limit.rule.place, &format!("{indent}  - {}", limit_text(limit)));
    }
}

fn blocks(out: &mut Written, indent: &str, key: &str, blocks: &[Block<'_>]) {
    if let Some(first) = blocks.first() {
        out.line(first.rule.place, &format!("{indent}{key}:"));
    }
    for Block { rule, conditions } in blocks {
        let conditions: Vec<String> = conditions.iter().map(condition_text).collect();
        let on_deny = on_deny(rule.on_deny);
        out.line(rule.place, &format!("{indent}  # {}", shown(rule.name)));
        let block = format!("{{ conditions: [{}]{on_deny} }}", conditions.join(", "));
        out.line(rule.place, &format!("{indent}  - {block}"));
    }
}

fn condition_text(asked: &Asked<'_>) -> String {
    let Asked { path, op, value } = asked;
    let path = text(path);
    match (value, *op) {
        (Some(value), op) => format!("{{ path: {path}, op: {op}, value: {} }}", flow(value)),
        (None, "exists") => format!("{{ path: {path}, op: exists }}"),
        (None, op) => format!("{{ path: {path}, op: {op}, value: null }}"),
    }
}

fn limit_text(limit: &Limit<'_>) -> String {
    let Limit {
        rule,
        counter,
        window,
        max,
        weight,
        from,
    } = limit;
    let amount = match (from, weight) {
        (Some(from), _) => format!(", increment_from: {}", text(from)),
        (None, 1) => String::new(),
        (None, weight) => format!(", weight: {weight}"),
    };
    format!(
        "{{ counter: {}, window: {window}, max: {max}, mode: calendar, scope: server{amount}{} }}",
        text(counter),
        on_deny(rule.on_deny)
    )
}

fn on_deny(reason: Option<&str>) -> String {
    reason.map_or_else(String::new, |reason| format!(", on_deny: {}", text(reason)))
}

/// A value in flow style.
fn flow(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.clone(),
        Value::Text(own) => text(own),
        Value::List(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(entries) => {
            let entries = entries.iter();
            let entries = entries.map(|entry| format!("{}: {}", text(&entry.key.text), flow(&entry.value)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

/// Text in double quotes, with everything escaped that YAML does not print or nobody sees.
fn text(own: &str) -> String {
    let mut out = String::from("\"");
    for c in own.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c.is_control() || is_invisible(c) || c == '\u{fffe}' || c == '\u{ffff}' => {
                out.push_str(&format!("\\U{:08x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
