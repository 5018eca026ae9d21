//! What one key of a history holds within its window.

use std::collections::{HashMap, HashSet, VecDeque};

use super::finding::{Fault, Finding, Shown};
use super::{Event, Fullest, Unusable, Wanted, What};
use crate::counters::command::Span;
use crate::counters::model::{EXACT_MAX, IDS_KEPT, SLOTS};

/// Charges of a window that a finding shows.
const SHOWN: usize = 20;

#[derive(Clone, Debug)]
struct Held {
    id: u64,
    t_ms: u64,
    charge: u64,
    replica: String,
    refunded: bool,
}

/// One key's window, slid over the lines in the order of their times.
#[derive(Debug, Default)]
pub(super) struct Key {
    span: Option<Span>,
    held: VecDeque<Held>,
    ids: HashSet<u64>,
    /// Left the window less than a slot ago: where charges were merged they may still count.
    lately: VecDeque<(u64, u64)>,
    /// Charges in the window that stand, and all of them.
    sum: u64,
    ever: u64,
    ever_lately: u64,
    /// Refunds that came before their charge, within its millisecond.
    early: HashMap<u64, Event>,
    denials: u64,
    least_denied: Option<u64>,
    least_admitted: Option<u64>,
    fullest: Option<Window>,
    /// Most charges that the window held.
    most: usize,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    from_ms: u64,
    to_ms: u64,
    sum: u64,
    max: u64,
}

type Report<'r> = &'r mut dyn FnMut(Finding);
type Known<'k> = &'k dyn Fn(u64) -> bool;

impl Key {
    pub(super) const fn denials(&self) -> u64 {
        self.denials
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.held.len() + self.lately.len() + self.ids.len().saturating_sub(self.held.len())
    }

    /// Takes the key's next line. `needless`: a denial must have been needed. `known`: whether an id was admitted lately, so
    /// that a refund may be of a charge that has freed meanwhile.
    pub(super) fn take(
        &mut self,
        event: &Event,
        needless: bool,
        known: Known<'_>,
        report: Report<'_>,
    ) -> Result<(), Unusable> {
        if self.early.values().any(|early| early.t_ms < event.t_ms) {
            self.end(known, report);
        }
        match event.what {
            What::Admission(wanted) => {
                self.slide(event, wanted.span)?;
                self.admission(event, wanted, report);
            }
            What::Denial(wanted) => {
                self.slide(event, wanted.span)?;
                self.denials = self.denials.saturating_add(1);
                self.least_denied = least(self.least_denied, wanted.charge);
                report_needless(self, event, wanted, needless, report);
            }
            What::Refund => self.refund(event, report),
        }
        Ok(())
    }

    /// Refunds that waited for their charge in vain.
    pub(super) fn end(&mut self, known: Known<'_>, report: Report<'_>) {
        let mut early: Vec<Event> = self.early.drain().map(|(_, event)| event).collect();
        early.retain(|event| !known(event.id));
        early.sort_unstable_by_key(|event| (event.t_ms, event.id));
        for event in early {
            report(Finding::of(Fault::RefundedUnknown, &event, event.t_ms));
        }
    }

    /// A fault where no window was as full as the demand would have it. Merged charges count a slot longer, so that
    /// nothing can be said of a window that may have held some.
    pub(super) fn reached(&self, name: &str) -> Option<Finding> {
        let Window {
            from_ms,
            to_ms,
            sum,
            max,
        } = self.fullest?;
        let wanted = self.least_denied.or(self.least_admitted)?;
        (self.most <= EXACT_MAX && sum.saturating_add(wanted) <= max).then(|| Finding {
            fault: Fault::MaxNotReached,
            key: name.to_owned(),
            from_ms,
            to_ms,
            sum,
            max,
            charges: Vec::new(),
        })
    }

    pub(super) fn fullest(self, key: String) -> Option<Fullest> {
        let Window {
            from_ms,
            to_ms,
            sum,
            max,
        } = self.fullest?;
        Some(Fullest {
            key,
            from_ms,
            to_ms,
            sum,
            max,
        })
    }

    /// Moves the window to the event's time.
    fn slide(&mut self, event: &Event, span: Span) -> Result<(), Unusable> {
        let two_windows = || Unusable::TwoWindows(event.key.clone());
        match (self.span, span) {
            (Some(Span::Window { window: known }), Span::Window { window }) if known != window => {
                return Err(two_windows());
            }
            (None | Some(Span::Window { .. }), Span::Window { window }) => {
                self.free(event.t_ms, window);
            }
            (None | Some(Span::Calendar { .. }), Span::Calendar { start, .. }) => {
                if !matches!(self.span, Some(Span::Calendar { start: known, .. }) if known == start) {
                    self.held.clear();
                    self.ids.clear();
                    (self.sum, self.ever) = (0, 0);
                }
            }
            _ => return Err(two_windows()),
        }
        self.span = Some(span);
        Ok(())
    }

    fn free(&mut self, now: u64, window: u64) {
        while let Some(oldest) = self.held.front()
            && now.saturating_sub(oldest.t_ms) > window
        {
            if !oldest.refunded {
                self.sum = self.sum.saturating_sub(oldest.charge);
            }
            self.ever = self.ever.saturating_sub(oldest.charge);
            self.ever_lately = self.ever_lately.saturating_add(oldest.charge);
            self.lately.push_back((oldest.t_ms, oldest.charge));
            self.ids.remove(&oldest.id);
            self.held.pop_front();
        }
        let slot = window.div_ceil(SLOTS).max(1);
        while let Some(&(t_ms, charge)) = self.lately.front()
            && now.saturating_sub(t_ms) > window.saturating_add(slot)
        {
            self.ever_lately = self.ever_lately.saturating_sub(charge);
            self.lately.pop_front();
        }
    }

    fn admission(&mut self, event: &Event, wanted: Wanted, report: Report<'_>) {
        if !self.ids.insert(event.id)
            && let Some(known) = self.held.iter().rev().find(|held| held.id == event.id)
        {
            report(Finding::of(Fault::ChargedTwice, event, known.t_ms));
        }
        let refunded = self.early.remove(&event.id).is_some();
        if !refunded {
            self.sum = self.sum.saturating_add(wanted.charge);
        }
        self.ever = self.ever.saturating_add(wanted.charge);
        self.least_admitted = least(self.least_admitted, wanted.charge);
        self.held.push_back(Held {
            id: event.id,
            t_ms: event.t_ms,
            charge: wanted.charge,
            replica: event.replica.clone(),
            refunded,
        });
        self.most = self.most.max(self.held.len());
        let from_ms = self.held.front().map_or(event.t_ms, |oldest| oldest.t_ms);
        let window = Window {
            from_ms,
            to_ms: event.t_ms,
            sum: self.sum,
            max: wanted.max,
        };
        let part = |of: Window, by: u64| u128::from(of.sum).saturating_mul(u128::from(by));
        if self
            .fullest
            .is_none_or(|known| part(window, known.max) > part(known, window.max))
        {
            self.fullest = Some(window);
        }
        if self.sum > wanted.max {
            report(Finding {
                charges: self.shown(),
                ..self.finding(Fault::WindowExceeded, event, wanted, self.sum)
            });
        }
    }

    fn refund(&mut self, event: &Event, report: Report<'_>) {
        match self.held.iter_mut().rev().find(|held| held.id == event.id) {
            Some(held) if held.refunded => report(Finding::of(Fault::RefundedTwice, event, event.t_ms)),
            Some(held) => {
                held.refunded = true;
                self.sum = self.sum.saturating_sub(held.charge);
            }
            None => {
                if self.early.insert(event.id, event.clone()).is_some() {
                    report(Finding::of(Fault::RefundedTwice, event, event.t_ms));
                }
            }
        }
    }

    fn finding(&self, fault: Fault, event: &Event, wanted: Wanted, sum: u64) -> Finding {
        Finding {
            from_ms: self.held.front().map_or(event.t_ms, |oldest| oldest.t_ms),
            sum,
            max: wanted.max,
            ..Finding::of(fault, event, event.t_ms)
        }
    }

    fn shown(&self) -> Vec<Shown> {
        let standing = self.held.iter().rev().filter(|held| !held.refunded).take(SHOWN);
        let mut shown: Vec<Shown> = standing
            .map(|held| Shown::new(held.id, held.t_ms, held.charge, &held.replica))
            .collect();
        shown.reverse();
        shown
    }
}

/// A denial was needed where the charge did not fit what the window held, refunded charges included: another
/// replica may deny for a second after a refund. Merged charges count up to a slot longer.
fn report_needless(key: &Key, event: &Event, wanted: Wanted, judged: bool, report: Report<'_>) {
    let merged = key.held.len().saturating_add(key.lately.len()) > IDS_KEPT;
    let lately = if merged { key.ever_lately } else { 0 };
    let used = key.ever.saturating_add(lately);
    if judged && used.saturating_add(wanted.charge) <= wanted.max {
        report(key.finding(Fault::DeniedNeedlessly, event, wanted, used));
    }
}

fn least(known: Option<u64>, charge: u64) -> Option<u64> {
    Some(known.map_or(charge, |known| known.min(charge)))
}
