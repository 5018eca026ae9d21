//! Judges what replicas wrote down of their admissions: whether the limits held, and whether they were as strict
//! as they say and no stricter.
//!
//! Times are the store's, floored to ms: two charges lie in one interval of `window_ms` when they are at most
//! `window_ms` apart. Memory holds what lies within one window and the allowed disorder, not the whole history.

mod finding;
mod key;
mod line;
mod order;
mod recent;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use self::key::Key;
use self::order::Order;
use self::recent::Recent;
use super::command::Span;

pub use finding::{Fault, Finding, Shown};
pub use line::{Line, id_of};

/// Findings that a report holds; the others are counted.
const SHOWN: usize = 20;

/// What one line tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The call's; one call may have lines on several keys.
    pub id: u64,
    pub key: String,
    /// Store time in ms.
    pub t_ms: u64,
    pub replica: String,
    pub what: What,
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Admission(Wanted),
    /// Nothing was charged.
    Denial(Wanted),
    /// The charge of this id was taken back, no earlier than at this time.
    Refund,
}

/// A charge against a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub charge: u64,
    pub max: u64,
    pub span: Span,
}

/// How a history is judged.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many ms a line may stand behind a later one.
    pub disorder_ms: u64,
    /// The history is whole and there was demand on each of its keys (of one with denials: on those that denied):
    /// windows must be used up, and denials needed.
    pub tight: bool,
}

/// A history that cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error(
        "the line of {t_ms} ms comes {by_ms} ms after later ones: allow it with a larger disorder, or sort"
    )]
    OutOfOrder { t_ms: u64, by_ms: u64 },
    #[error("the key `{0}` has windows of two kinds or lengths: these are two keys")]
    TwoWindows(String),
}

/// What was found in a whole history.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    pub admissions: u64,
    pub denials: u64,
    pub refunds: u64,
    pub keys: usize,
    /// The window that came closest to its `max`, or went furthest above it.
    pub fullest: Option<Fullest>,
    /// How many faults there are; `findings` holds the first.
    pub faults: u64,
    pub findings: Vec<Finding>,
}

/// One window of one key.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Fullest {
    pub key: String,
    pub from_ms: u64,
    pub to_ms: u64,
    pub sum: u64,
    pub max: u64,
}

impl Report {
    /// Whether nothing is wrong.
    pub const fn holds(&self) -> bool {
        self.faults == 0
    }

    fn add(&mut self, finding: Finding) {
        self.faults = self.faults.saturating_add(1);
        if self.findings.len() < SHOWN {
            self.findings.push(finding);
        }
    }
}

/// A history that is being judged, line by line.
#[derive(Debug)]
pub struct Judge {
    options: Options,
    order: Order,
    keys: HashMap<String, Key>,
    admitted: Recent,
    denied: Recent,
    report: Report,
}

impl Judge {
    /// Nothing seen yet.
    pub fn new(options: Options) -> Self {
        Self {
            order: Order::new(options.disorder_ms),
            options,
            keys: HashMap::new(),
            admitted: Recent::default(),
            denied: Recent::default(),
            report: Report::default(),
        }
    }

    /// Takes the next line.
    ///
    /// # Errors
    /// [`Unusable`]: nothing more can be said about this history.
    pub fn take(&mut self, event: Event) -> Result<(), Unusable> {
        self.order.add(event)?;
        while let Some(event) = self.order.ready() {
            self.judge(event)?;
        }
        Ok(())
    }

    /// The end of the history.
    ///
    /// # Errors
    /// As [`Judge::take`].
    pub fn end(mut self) -> Result<Report, Unusable> {
        while let Some(event) = self.order.next() {
            self.judge(event)?;
        }
        let Self {
            options,
            keys,
            admitted,
            mut report,
            ..
        } = self;
        report.keys = keys.len();
        let mut keys: Vec<(String, Key)> = keys.into_iter().collect();
        keys.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        for (name, mut key) in keys {
            key.end(&|id| admitted.holds(id), &mut |finding| report.add(finding));
            let demanded = key.denials() > 0 || report.denials == 0;
            if options.tight && demanded {
                key.reached(&name)
                    .into_iter()
                    .for_each(|finding| report.add(finding));
            }
            if let Some(fullest) = key.fullest(name)
                && report
                    .fullest
                    .as_ref()
                    .is_none_or(|known| fuller(&fullest, known))
            {
                report.fullest = Some(fullest);
            }
        }
        Ok(report)
    }

    fn judge(&mut self, event: Event) -> Result<(), Unusable> {
        let Self {
            options,
            keys,
            admitted,
            denied,
            report,
            ..
        } = self;
        let count = match event.what {
            What::Admission(_) => &mut report.admissions,
            What::Denial(_) => &mut report.denials,
            What::Refund => &mut report.refunds,
        };
        *count = count.saturating_add(1);
        let other = match event.what {
            What::Admission(_) => admitted.note(&event, denied),
            What::Denial(_) => denied.note(&event, admitted),
            What::Refund => None,
        };
        if let Some(t_ms) = other {
            report.add(Finding::of(Fault::ChargedThoughDenied, &event, t_ms));
        }
        let key = match keys.get_mut(&event.key) {
            Some(key) => key,
            None => keys.entry(event.key.clone()).or_default(),
        };
        let known = |id| admitted.holds(id);
        key.take(&event, options.tight, &known, &mut |finding| report.add(finding))
    }
}

/// Whether more of its `max` is used.
fn fuller(one: &Fullest, other: &Fullest) -> bool {
    let part = |of: &Fullest, by: u64| u128::from(of.sum).saturating_mul(u128::from(by));
    part(one, other.max) > part(other, one.max)
}
