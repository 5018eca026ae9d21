//! As written → compiled: what the shapes cannot say. Every problem is reported, not the first.

mod amounts;
pub(super) mod arguments;
mod blocks;
pub(super) mod methods;

use std::collections::HashMap;
use std::sync::Arc;

pub(super) use amounts::is_chosen;
use amounts::{max_values, scaled_max, scope_value, single_argument, weight};

use blocks::approvers;

use super::compiled::{Action, Entry, Fallback, Mode, Policy, Rated, Rule, Weight};
use super::glob::Glob;
use super::language::DEFAULT_MAX_VALUES;
use super::names::Names;
use super::path::Path;
use super::shape::Report;
use super::spelling::{check_counter_name, check_tool_name};
use super::together::{Applies, Usage, check_within};
use super::types::{Limit, OnStoreError, Scope, Window};
use super::window::Length;
use super::written::{Kind, Located, WrittenAction, WrittenLimit, WrittenPolicy, WrittenRate, WrittenTool};
use crate::document::{Place, quoted};

/// The names under which a policy goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity<'a> {
    pub(super) name: &'a str,
    pub(super) file: &'a str,
    pub(super) digest: &'a str,
}

/// Compiles what could be read. The policy counts only where the report stays empty.
pub(super) fn compile(
    written: &WrittenPolicy<'_>,
    identity: Identity<'_>,
    report: &mut Report<'_>,
) -> Policy {
    written
        .hide
        .iter()
        .for_each(|name| check_tool_name(*name, report));
    written
        .tools
        .iter()
        .for_each(|tool| check_tool_name(tool.name, report));
    check_ties(&written.tools, report);
    let methods = methods::compile(identity.name, &written.methods, report);
    let record = written.record.iter().filter_map(|path| {
        let read = single_argument(Path::read(path.value), path.place, path.value, report)?;
        Some((Arc::from(path.value), read))
    });
    let record = record.collect();
    let mut compiler = Compiler {
        policy: identity.name,
        mode: written.mode,
        report,
        usages: Vec::new(),
    };
    let all_blocks = compiler.blocks("/all_tools", &written.all_blocks, None);
    let all_tools = compiler.list("/all_tools", &written.all_tools, Some(&Applies::Everywhere));
    let tools: Vec<_> = written
        .tools
        .iter()
        .map(|tool| (tool.name.value.to_owned(), compiler.entry(tool)))
        .collect();
    let usages = compiler.usages;
    check_within(&usages, report);
    Policy {
        name: identity.name.to_owned(),
        file: identity.file.to_owned(),
        digest: identity.digest.to_owned(),
        default: written.default.unwrap_or(Fallback::Deny),
        mode: written.mode,
        hide: Names::new(
            written
                .hide
                .iter()
                .map(|name| (name.value.to_owned(), Box::from(name.value))),
        ),
        tools: Names::new(tools),
        all_tools,
        all_blocks,
        methods,
        record,
        usages,
    }
}

/// Two globs of one rank that match one name: which entry applies would be a guess.
fn check_ties(tools: &[WrittenTool<'_>], report: &mut Report<'_>) {
    let mut ranks: HashMap<(String, usize), Vec<(Glob, u32)>> = HashMap::new();
    for tool in tools {
        let Located { place, value: name } = tool.name;
        let Some(glob) = Glob::new(name) else { continue };
        let rank = ranks
            .entry((glob.prefix().to_owned(), glob.literals()))
            .or_default();
        // The same text twice is a duplicate key, which is reported as such.
        let tie = rank
            .iter()
            .find(|(other, _)| other.text() != name && other.overlaps(&glob));
        if let Some((other, line)) = tie {
            let message = format!(
                "{} and {} (line {line}) match the same tools and are equally specific",
                quoted(name),
                quoted(other.text())
            );
            let help = "give one of them a longer literal prefix, or name the tools that both match";
            report.add_with_help(place, message, help);
        }
        rank.push((glob, place.line));
    }
}

struct Compiler<'c, 'f> {
    policy: &'c str,
    mode: Mode,
    report: &'c mut Report<'f>,
    usages: Vec<Usage>,
}

impl Compiler<'_, '_> {
    fn entry(&mut self, tool: &WrittenTool<'_>) -> Entry {
        let key = tool.name.value;
        let base = format!("/tools/{}", escape(key));
        let rule = || Rule::new(self.policy, format!("{base}/action"));
        let reason = || tool.reason.map(|reason| reason.value.to_owned());
        let action = match tool.action {
            WrittenAction::Allow => Action::Allow,
            WrittenAction::Deny => Action::Deny {
                rule: rule(),
                reason: reason(),
            },
            WrittenAction::RequireApproval => Action::Ask {
                rule: rule(),
                reason: reason(),
                approvers: approvers(tool.blocks.approvers, None),
            },
        };
        let arguments = tool.arguments.and_then(|schema| {
            let rule = Rule::new(self.policy, format!("{base}/arguments"));
            Some((rule, self.arguments(schema)?))
        });
        let blocks = self.blocks(&base, &tool.blocks, Some(tool));
        let applies = (!tool.is_denied()).then(|| Applies::of(key));
        let mut limits = self.list(&base, &tool.limits, applies.as_ref());
        if let Some(written) = &tool.concurrency {
            let rated = self.limit(format!("{base}/concurrency"), written);
            limits.extend(rated.inspect(|rated| self.used(rated, applies.as_ref(), written.place)));
        }
        let rate = tool
            .rate_limit
            .as_ref()
            .and_then(|rate| self.rate(&base, key, rate, applies.as_ref()));
        limits.extend(rate);
        Entry {
            key: key.to_owned(),
            action,
            arguments,
            blocks,
            limits,
        }
    }

    /// The limits of one list. `applies` is `None` where an `action: deny` keeps them from ever being charged.
    fn list(&mut self, base: &str, limits: &[WrittenLimit<'_>], applies: Option<&Applies>) -> Vec<Rated> {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for limit in limits {
            *counts.entry(limit.counter.value).or_default() += 1;
        }
        let mut list = Vec::with_capacity(limits.len());
        for limit in limits {
            let counter = limit.counter.value;
            let shared = counts.get(counter).is_some_and(|count| *count > 1);
            // A counter named like a number would look like an index.
            let by_index = shared || counter.bytes().all(|byte| byte.is_ascii_digit());
            let element = if by_index {
                limit.index.to_string()
            } else {
                escape(counter)
            };
            let rated = self.limit(format!("{base}/limits/{element}"), limit);
            list.extend(rated.inspect(|rated| self.used(rated, applies, limit.place)));
        }
        list
    }

    fn limit(&mut self, rule: String, written: &WrittenLimit<'_>) -> Option<Rated> {
        check_counter_name(written.counter, self.report);
        let scaled = scaled_max(written, self.report);
        let weight = weight(written, scaled.map_or(0, |(_, scale)| scale), self.report);
        let value = scope_value(written, self.report);
        let window = self.window(written.window, written.kind);
        let (max, scale) = scaled?;
        let limit = Limit {
            rule,
            counter: written.counter.value.to_owned(),
            window: window?,
            max,
            scope: written.scope,
            scale,
            max_values: max_values(written),
            shadow: written.shadow || self.mode == Mode::Shadow,
            on_deny: written.on_deny.map(str::to_owned),
            on_store_error: written.on_store_error,
        };
        let rated = self.rated(limit, weight?, value.ok()?);
        Some(Rated {
            shadow: written.shadow,
            ..rated
        })
    }

    fn rate(
        &mut self,
        base: &str,
        key: &str,
        written: &WrittenRate,
        applies: Option<&Applies>,
    ) -> Option<Rated> {
        let limit = Limit {
            rule: format!("{base}/rate_limit"),
            counter: format!("{key}_rate"),
            window: self.window(written.window, Kind::Sliding)?,
            max: written.max,
            scope: Scope::Session,
            scale: 0,
            max_values: Some(DEFAULT_MAX_VALUES),
            shadow: self.mode == Mode::Shadow,
            on_deny: None,
            on_store_error: OnStoreError::Deny,
        };
        let rated = self.rated(limit, Weight::Fixed(1), None);
        self.used(&rated, applies, written.place);
        Some(rated)
    }

    fn window(&mut self, length: Located<Length>, kind: Kind) -> Option<Window> {
        let window = match kind {
            Kind::Calendar => length.value.calendar(),
            Kind::Sliding => length.value.sliding(),
            Kind::Lease => length.value.lease(),
        };
        if window.is_none() && kind == Kind::Calendar {
            let message = "a calendar window is one of `\"second\"`, `\"minute\"`, `\"hour\"`, `\"day\"`, `\"week\"` and `\"month\"`";
            let help = "write one of these, or leave out `\"mode\": \"calendar\"`";
            self.report.add_with_help(length.place, message, help);
        } else if window.is_none() {
            let message = "months differ in length, so a sliding window cannot be one";
            let help = "write `\"mode\": \"calendar\"` in a limit, or a window such as `\"30d\"`";
            self.report.add_with_help(length.place, message, help);
        }
        window
    }

    fn rated(&self, limit: Limit, weight: Weight, value: Option<Path>) -> Rated {
        let rule = Rule::new(self.policy, limit.rule.clone()).among_several;
        let among_several = Limit {
            rule,
            counter: limit.counter.clone(),
            on_deny: limit.on_deny.clone(),
            ..limit
        };
        Rated {
            among_several: Arc::new(among_several),
            alone: Arc::new(limit),
            weight,
            value,
            shadow: false,
        }
    }

    fn used(&mut self, rated: &Rated, applies: Option<&Applies>, place: Place) {
        if let Some(applies) = applies {
            self.usages.push(Usage {
                limit: Arc::clone(&rated.alone),
                weight: rated.weight.clone(),
                value: rated.value.clone(),
                shadow: rated.shadow,
                applies: applies.clone(),
                place,
            });
        }
    }
}

/// Escapes one element of a JSON Pointer (RFC 6901, section 3).
pub(super) fn escape(element: &str) -> String {
    element.replace('~', "~0").replace('/', "~1")
}
