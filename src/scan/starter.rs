//! The first policy for a server: every tool by name, each line with its reason.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Class, Classed};
use crate::policy::unnameable;

/// The longest comment, in characters.
const COMMENT: usize = 160;
/// The longest key, in bytes; YAML ends at 1024 (1.2.2, section 7.4.3).
const KEY: usize = 1_000;
/// A word that YAML reads as something else than text.
const NOT_TEXT: &[&str] = &["false", "n", "no", "null", "off", "on", "true", "y", "yes"];

/// A starter policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Starter {
    /// YAML, without a lint of `toolgate check`.
    pub text: String,
    /// Tools that no policy can name, each with the reason, as the policy's comments say them.
    pub left_out: Vec<(String, &'static str)>,
}

/// The counter that all tools of a class share, and how many calls a minute it admits; none where another rule holds
/// them.
pub const fn limit_of(class: Class) -> Option<(&'static str, u64)> {
    match class {
        Class::Read => Some(("reads", 60)),
        Class::Write => Some(("writes", 30)),
        Class::Execute => Some(("executions", 10)),
        Class::Destructive | Class::Financial => None,
    }
}

/// Writes the starter policy. `server` is the name of the server and `version` its version, as it calls itself.
/// Nothing of what the server says can be more than a name or a word in a comment.
pub fn starter(server: Option<&str>, version: Option<&str>, tools: &[Classed]) -> Starter {
    // of two tools under one name the graver one counts
    let mut by_name: BTreeMap<&str, &Classed> = BTreeMap::new();
    for tool in tools {
        let known = by_name.entry(&tool.name).or_insert(tool);
        if tool.class > known.class {
            *known = tool;
        }
    }
    let mut left_out = Vec::new();
    let too_long = |name: &str| (key(name).len() > KEY).then_some("is too long");
    by_name.retain(|name, _| match unnameable(name).or_else(|| too_long(name)) {
        None => true,
        Some(why) => {
            left_out.push((ascii(name), why));
            false
        }
    });
    let called: Vec<String> = [server, version].into_iter().flatten().map(ascii).collect();
    let of = match called.is_empty() {
        true => String::new(),
        false => format!(" for {}", called.join(" ")),
    };
    let mut text = head(&of, &by_name);
    for (name, why) in &left_out {
        line(&mut text, &format!("# Left out, since its name {why}: {name}"));
    }
    text.push_str("version: \"1\"\ndefault: deny # a tool that is named nowhere, and one that comes later\n");
    write_hidden(&mut text, &by_name);
    write_tools(&mut text, &by_name);
    Starter { text, left_out }
}

fn head(of: &str, tools: &BTreeMap<&str, &Classed>) -> String {
    let mut counts = String::new();
    for class in Class::ALL {
        let count = tools.values().filter(|tool| tool.class == class).count();
        if count > 0 {
            let comma = if counts.is_empty() { "" } else { ", " };
            // Writing to a string cannot fail.
            let _ = write!(counts, "{comma}{count} {}", class.word());
        }
    }
    let mut text = String::new();
    let tools = tools.len();
    line(
        &mut text,
        &format!("# Starter policy{of}: {tools} tools ({counts}), by `toolgate scan`."),
    );
    text.push_str(
        "# Classes are told from names, descriptions and schemas, which may be wrong: look each line over.\n\
         # Tools of one class share one counter. The server's resources and prompts stay closed too: see `methods`.\n",
    );
    text
}

fn write_hidden(text: &mut String, tools: &BTreeMap<&str, &Classed>) {
    let mut hidden = tools
        .iter()
        .filter(|(_, tool)| tool.class == Class::Destructive)
        .peekable();
    if hidden.peek().is_some() {
        text.push_str("hide: # destructive; to allow one, name it under `tools` instead\n");
    }
    for (name, tool) in hidden {
        line(text, &format!("  - {} # {}", key(name), reasons(tool)));
    }
}

fn write_tools(text: &mut String, tools: &BTreeMap<&str, &Classed>) {
    let mut shown = tools
        .iter()
        .filter(|(_, tool)| tool.class != Class::Destructive)
        .peekable();
    text.push_str(if shown.peek().is_some() {
        "tools:\n"
    } else {
        "tools: {} # none\n"
    });
    for (name, tool) in shown {
        let rule = match limit_of(tool.class) {
            Some((counter, max)) => {
                format!("{{ limits: [{{ counter: {counter}, window: minute, max: {max}, scope: grant }}] }}")
            }
            None => "{ action: require_approval }".to_owned(),
        };
        line(text, &format!("  {}: {rule} # {}", key(name), reasons(tool)));
    }
}

fn reasons(tool: &Classed) -> String {
    let reasons = tool.reasons.join("; ");
    let comment = format!("{}, {}: {reasons}", tool.class.word(), tool.risk.word());
    ascii(&comment)
}

fn line(text: &mut String, line: &str) {
    text.push_str(line.trim_end());
    text.push('\n');
}

/// What can stand in a comment: one line of printable ASCII, of bounded length.
fn ascii(text: &str) -> String {
    let mut chars = text.chars();
    let plain = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
    let mut out: String = chars.by_ref().take(COMMENT).map(plain).collect();
    if chars.next().is_some() {
        out.push_str("...");
    }
    out
}

/// A name as a key: as it is where YAML reads it as text, else in quotes with everything else escaped.
fn key(name: &str) -> String {
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic());
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    let text = !NOT_TEXT.contains(&name.to_ascii_lowercase().as_str());
    if starts && text && name.chars().all(plain) {
        return name.to_owned();
    }
    let mut out = String::from("\"");
    for c in name.chars() {
        if matches!(c, '"' | '\\') {
            out.extend(['\\', c]);
        } else if c.is_ascii_graphic() {
            out.push(c);
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "\\U{:08X}", u32::from(c));
        }
    }
    out.push('"');
    out
}
