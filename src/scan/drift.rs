//! What has changed on a server since its policy was written, its tools were pinned, or it was scanned.

use std::collections::BTreeMap;

use super::kept::Kept;
use super::starter::limit_of;
use super::{Class, Classed, Risk};
use crate::policy::{Change as PinChange, Held, Listing, Pins, Policy};

/// What a server is compared with.
#[derive(Debug)]
pub enum Against {
    /// Tells of tools that no rule names, of those that are gone, and of classes above the counters of the starter policy.
    Policy(Box<Policy>),
    /// Tells of definitions.
    Pins(Pins),
    /// What `toolgate scan --format json` wrote: tells of definitions and classes.
    Scan(Kept),
}

/// The server as it is.
#[derive(Clone, Copy, Debug)]
pub struct Live<'l> {
    pub classed: &'l [Classed],
    pub listing: &'l Listing,
}

/// One thing that has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    pub tool: String,
    pub change: Change,
}

/// How a tool has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    New(Class, Risk),
    Gone,
    /// The parts of its definition that differ.
    Changed(Vec<&'static str>),
    /// Its definition can be read in two ways.
    Unclear,
    /// It is of a graver class than it is held for.
    Raised {
        from: Class,
        to: Class,
    },
}

/// What has changed, by tool.
pub fn drift(against: &Against, live: &Live<'_>) -> Vec<Drift> {
    let mut classes: BTreeMap<&str, (Class, Risk)> = BTreeMap::new();
    for tool in live.classed {
        let known = classes.entry(&tool.name).or_insert((tool.class, tool.risk));
        *known = (*known).max((tool.class, tool.risk));
    }
    let mut found: Vec<(&str, Change)> = match against {
        Against::Policy(policy) => of_policy(policy, &classes),
        Against::Pins(pins) => of_pins(pins, live.listing, &classes),
        Against::Scan(kept) => {
            let known = |tool: &str| kept.classes.get(tool).copied();
            let mut found = of_pins(&kept.pins, live.listing, &classes);
            found.extend(raised(&classes, known));
            found
        }
    };
    found.sort_by_key(|(tool, change)| (*tool, matches!(change, Change::Raised { .. })));
    let found = found.into_iter();
    found
        .map(|(tool, change)| Drift {
            tool: tool.to_owned(),
            change,
        })
        .collect()
}

type Classes<'l> = BTreeMap<&'l str, (Class, Risk)>;

fn of_policy<'a>(policy: &'a Policy, live: &Classes<'a>) -> Vec<(&'a str, Change)> {
    let gone = policy.named_tools().into_iter();
    let gone = gone
        .filter(|tool| !live.contains_key(tool))
        .map(|tool| (tool, Change::Gone));
    let unnamed = live.iter().filter(|(tool, _)| policy.held(tool) == Held::Unnamed);
    let new = unnamed.map(|(tool, (class, risk))| (*tool, Change::New(*class, *risk)));
    gone.chain(new)
        .chain(raised(live, |tool| held_for(policy, tool)))
        .collect()
}

/// The class that a policy holds a tool for, told by the counters of the starter policy. `None`: by others, or its
/// calls do not pass by themselves.
fn held_for(policy: &Policy, tool: &str) -> Option<Class> {
    let Held::Counted(counters) = policy.held(tool) else {
        return None;
    };
    let named = |class: &Class| limit_of(*class).is_some_and(|(counter, _)| counters.contains(counter));
    Class::ALL.into_iter().rfind(named)
}

fn raised<'l>(live: &Classes<'l>, held: impl Fn(&str) -> Option<Class>) -> Vec<(&'l str, Change)> {
    let raised = live.iter().filter_map(|(tool, (to, _))| {
        let from = held(tool).filter(|from| from < to)?;
        Some((*tool, Change::Raised { from, to: *to }))
    });
    raised.collect()
}

fn of_pins<'a>(pins: &'a Pins, listing: &'a Listing, live: &Classes<'_>) -> Vec<(&'a str, Change)> {
    let unknown = (Class::Write, Risk::Medium);
    let told = |(tool, change): (&'a str, PinChange)| {
        let change = match change {
            PinChange::New => {
                let (class, risk) = live.get(tool).copied().unwrap_or(unknown);
                Change::New(class, risk)
            }
            PinChange::Changed(parts) => Change::Changed(parts),
            PinChange::Gone => Change::Gone,
            PinChange::Unclear => Change::Unclear,
        };
        (tool, change)
    };
    let named = |tool: &String| {
        let of_listing = listing.get_key_value(tool).map(|(tool, _)| tool);
        of_listing.or_else(|| pins.tools.get_key_value(tool).map(|(tool, _)| tool))
    };
    let changes = pins.compare(listing).into_iter();
    changes
        .filter_map(|(tool, change)| Some((named(&tool)?.as_str(), change)))
        .map(told)
        .collect()
}
