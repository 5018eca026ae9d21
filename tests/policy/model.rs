//! A policy as a model: made at random, written as JSON or as YAML.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use proptest::prelude::*;
use toolgate::policy::{Call, Caller, Plan, Policy, load, plan_tool};

#[derive(Clone, Debug)]
pub struct Model {
    pub allow: bool,
    pub hide: Vec<String>,
    pub all_tools: Vec<Limit>,
    /// How many must agree to every call.
    pub all_ask: Option<u32>,
    pub tools: BTreeMap<String, Tool>,
}

#[derive(Clone, Debug)]
pub struct Tool {
    pub deny: Option<String>,
    /// How many must agree; `action: require_approval` unless the tool is denied.
    pub ask: Option<u32>,
    pub limits: Vec<Limit>,
    pub rate_limit: Option<u32>,
}

#[derive(Clone, Debug)]
pub struct Limit {
    pub counter: String,
    pub window: &'static str,
    pub max: u64,
    pub scope: &'static str,
    pub weight: u64,
}

/// Short names over few letters, so that names, globs and `hide` meet each other often.
fn name() -> impl Strategy<Value = String> {
    "[ab.*?/]{1,3}"
}

fn limit() -> impl Strategy<Value = Limit> {
    let windows = prop::sample::select(vec!["\"minute\"", "\"15m\"", "90", "\"day\""]);
    let scopes = prop::sample::select(vec!["grant", "session", "server", "global"]);
    (
        prop::sample::select(vec!["c", "d"]),
        windows,
        5_u64..9,
        scopes,
        1_u64..3,
    )
        .prop_map(|(counter, window, max, scope, weight)| Limit {
            counter: counter.to_owned(),
            window,
            max,
            scope,
            weight,
        })
}

fn tool() -> impl Strategy<Value = Tool> {
    let deny = prop::option::weighted(0.3, "[ -~é]{0,8}x");
    let ask = prop::option::weighted(0.3, 1_u32..4);
    let limits = prop::collection::vec(limit(), 0..3);
    let rate = prop::option::weighted(0.3, 1_u32..9);
    (deny, ask, limits, rate).prop_map(|(deny, ask, limits, rate_limit)| Tool {
        ask: ask.filter(|_| deny.is_none()),
        deny,
        limits,
        rate_limit,
    })
}

pub fn model() -> impl Strategy<Value = Model> {
    (
        any::<bool>(),
        prop::collection::vec(name(), 0..3),
        prop::collection::vec(limit(), 0..3),
        prop::option::weighted(0.1, 1_u32..4),
        prop::collection::btree_map(name(), tool(), 0..6),
    )
        .prop_map(|(allow, hide, all_tools, all_ask, tools)| Model {
            allow,
            hide,
            all_tools,
            all_ask,
            tools,
        })
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

impl Model {
    pub fn to_json(&self) -> String {
        let keys: Vec<&String> = self.tools.keys().collect();
        self.to_json_in_order(&keys)
    }

    /// With the entries under `tools` in this order.
    pub fn to_json_in_order(&self, keys: &[&String]) -> String {
        let hide: Vec<String> = self.hide.iter().map(|name| quoted(name)).collect();
        let tools: Vec<String> = keys
            .iter()
            .map(|key| format!("{}: {}", quoted(key), self.tools[*key].to_json()))
            .collect();
        format!(
            "{{\"version\": \"1\", \"default\": \"{}\", \"hide\": [{}], \"all_tools\": {{\"limits\": {}{}}}, \"tools\": {{{}}}}}",
            self.fallback(),
            hide.join(", "),
            limits_to_json(&self.all_tools),
            self.all_ask.map(asks).unwrap_or_default(),
            tools.join(", ")
        )
    }

    fn fallback(&self) -> &'static str {
        if self.allow { "allow" } else { "deny" }
    }

    /// In block style, with as few quotes as can be.
    pub fn to_yaml(&self) -> String {
        let mut out = format!("# a policy\nversion: '1'\ndefault: {}\nhide:", self.fallback());
        if self.hide.is_empty() {
            out.push_str(" []");
        }
        for name in &self.hide {
            write!(out, "\n  - {}", quoted(name)).unwrap();
        }
        out.push_str("\nall_tools:\n  limits:");
        limits_to_yaml(&mut out, &self.all_tools, "  ");
        if let Some(approvers) = self.all_ask {
            write!(
                out,
                "\n  approvers: {approvers}\n  approve_if:\n  - conditions: []"
            )
            .unwrap();
        }
        out.push_str("\ntools:");
        if self.tools.is_empty() {
            out.push_str(" {}");
        }
        for (name, tool) in &self.tools {
            write!(out, "\n  {}:\n    action: {}", quoted(name), tool.action()).unwrap();
            if let Some(reason) = &tool.deny {
                write!(out, "\n    reason: {}", quoted(reason)).unwrap();
            }
            if let Some(approvers) = tool.ask {
                write!(out, "\n    approvers: {approvers}").unwrap();
            }
            out.push_str("\n    limits:");
            limits_to_yaml(&mut out, &tool.limits, "      ");
            if let Some(max) = tool.rate_limit {
                write!(out, "\n    rate_limit:\n      max: {max}\n      window: 60").unwrap();
            }
        }
        out.push('\n');
        out
    }

    /// The policy, where the model is a sound one.
    pub fn policy(&self) -> Option<Arc<Policy>> {
        policy("model.json", &self.to_json())
    }
}

/// A loaded policy; `None` where the text is not one.
pub fn policy(file: &str, text: &str) -> Option<Arc<Policy>> {
    load("model", file, text)
        .ok()
        .map(|loaded| Arc::new(loaded.policy))
}

impl Tool {
    fn action(&self) -> &'static str {
        match (&self.deny, self.ask) {
            (Some(_), _) => "deny",
            (None, Some(_)) => "require_approval",
            (None, None) => "allow",
        }
    }

    fn to_json(&self) -> String {
        let mut out = format!("{{\"action\": \"{}\"", self.action());
        if let Some(reason) = &self.deny {
            write!(out, ", \"reason\": {}", quoted(reason)).unwrap();
        }
        if let Some(approvers) = self.ask {
            write!(out, ", \"approvers\": {approvers}").unwrap();
        }
        write!(out, ", \"limits\": {}", limits_to_json(&self.limits)).unwrap();
        if let Some(max) = self.rate_limit {
            write!(out, ", \"rate_limit\": \"{max}/minute\"").unwrap();
        }
        out.push('}');
        out
    }
}

/// What asks about every call, after something else.
fn asks(approvers: u32) -> String {
    format!(", \"approve_if\": [{{\"conditions\": [], \"approvers\": {approvers}}}]")
}

fn limits_to_json(limits: &[Limit]) -> String {
    let limits: Vec<String> = limits
        .iter()
        .map(|Limit { counter, window, max, scope, weight }| {
            format!(
                "{{\"counter\": \"{counter}\", \"window\": {window}, \"max\": {max}, \"scope\": \"{scope}\", \"weight\": {weight}}}"
            )
        })
        .collect();
    format!("[{}]", limits.join(", "))
}

fn limits_to_yaml(out: &mut String, limits: &[Limit], indent: &str) {
    if limits.is_empty() {
        out.push_str(" []");
    }
    for Limit {
        counter,
        window,
        max,
        scope,
        weight,
    } in limits
    {
        let window = window.trim_matches('"');
        write!(
            out,
            "\n{indent}- counter: {counter}\n{indent}  window: {window}\n{indent}  max: {max}\n{indent}  scope: {scope}\n{indent}  weight: {weight}"
        )
        .unwrap();
    }
}

/// Every name that a model's names and globs are about, and some that they are not.
pub fn probes() -> Vec<String> {
    let letters = ["a", "b", ".", "/", "z"];
    let mut names = vec![String::new()];
    names.extend(letters.map(str::to_owned));
    for first in letters {
        for second in letters {
            names.push(format!("{first}{second}"));
            names.extend(letters.map(|third| format!("{first}{second}{third}")));
        }
    }
    names
}

pub fn plan(policies: &[Arc<Policy>], tool: &str) -> Plan {
    let caller = Caller {
        grant: "g",
        server: "s",
        session: Some("1"),
        claims: None,
    };
    plan_tool(
        policies,
        &caller,
        &Call {
            tool,
            arguments: None,
        },
    )
    .plan
}

/// What is decided for every probe, in a form that can be compared.
pub fn decisions(policies: &[Arc<Policy>]) -> Vec<String> {
    probes()
        .iter()
        .map(|tool| format!("{tool}: {:?}", plan(policies, tool)))
        .collect()
}
