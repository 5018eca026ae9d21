//! Another server answers than the one that was charged: what it may lack, and for how long.
//!
//! Replication is asynchronous and a restart may lose what was not saved, so that a server in place of
//! another may lack charges. None of these count any more once a window has passed since it was met.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::identity::{Identity, NOBODY};
use crate::counters::StoreError;
use crate::counters::command::{Command, Span};

/// By so much a window is held longer, so that clocks which run unevenly do not end it early.
const SLACK_MS: u64 = 20;
/// How long a replica that has told what it was admitted waits for the others. Each sees within a second that another
/// server answers, and tells then.
const OTHERS_MS: u64 = 3_000;

/// What is done with the keys of a server that took another's place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AfterFailover {
    /// A limit admits nothing until one of its windows has passed; windows longer than a bound go on at once.
    #[default]
    Quarantine,
    /// A limit admits nothing until replicas have charged again what they were admitted lately, or one window has passed.
    Restore,
    /// All go on at once.
    Continue,
}

/// Who was met at each node, and what may be missing since.
#[derive(Debug)]
pub(super) struct Failover {
    after: AfterFailover,
    /// Windows longer than this are not held.
    longest: Duration,
    /// Whether each node keeps keys of its own.
    is_cluster: bool,
    state: Mutex<State>,
    lost: Notify,
}

#[derive(Debug, Default)]
struct State {
    known: HashMap<String, Identity>,
    losses: Vec<Loss>,
    count: u64,
    unknown: bool,
}

/// Keys that may lack charges.
#[derive(Debug)]
struct Loss {
    number: u64,
    /// Of the node that keeps them; empty: all keys.
    address: String,
    /// What it has kept since, wherever that is by now.
    slots: Vec<(u16, u16)>,
    at: Instant,
    restored: Restored,
}

/// Whether what this replica was admitted has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Restored {
    NotYet,
    Whole,
    /// Not all of it was remembered.
    InPart,
}

impl Failover {
    pub(super) fn new(after: AfterFailover, longest: Duration, is_cluster: bool) -> Self {
        Self {
            after,
            longest,
            is_cluster,
            state: Mutex::default(),
            lost: Notify::new(),
        }
    }

    /// A server was met at an address, on a new connection or an old one. The first one ever is trusted.
    pub(super) fn met(&self, address: &str, identity: &Identity, now: Instant) {
        let mut state = self.lock();
        state.unknown = identity.run_id.is_empty();
        if state.unknown {
            return;
        }
        // elsewhere than in a cluster a new address means a new primary
        let name = if self.is_cluster { address } else { "" };
        let changed = match state.known.get(name) {
            Some(known) => known.is_replaced_by(identity),
            None => state
                .known
                .values()
                .any(|known| identity.followed != NOBODY && known.history == identity.followed),
        };
        state.known.insert(name.to_owned(), identity.clone());
        if !changed {
            return;
        }
        tracing::warn!("another server took the store's place, and may lack what was charged last");
        state.count = state.count.saturating_add(1);
        state
            .losses
            .retain(|loss| now.saturating_duration_since(loss.at) <= self.longest + Duration::from_secs(1));
        let number = state.count;
        state.losses.push(Loss {
            number,
            address: name.to_owned(),
            slots: Vec::new(),
            at: now,
            restored: Restored::NotYet,
        });
        self.lost.notify_one();
    }

    /// Ends once something was lost since it was asked last.
    pub(super) async fn lost(&self) {
        self.lost.notified().await;
    }

    /// The number of the first loss that is not restored.
    pub(super) fn next_lost(&self) -> Option<u64> {
        let state = self.lock();
        let next = state.losses.iter().find(|loss| loss.restored == Restored::NotYet);
        next.map(|loss| loss.number)
    }

    /// Whether a key may lack charges because of this loss.
    pub(super) fn concerns(&self, number: u64, address: &str, slot: u16) -> bool {
        let state = self.lock();
        let mut its = state.losses.iter().filter(|loss| loss.number == number);
        its.any(|loss| loss.concerns(address, slot))
    }

    /// What this replica was admitted before this loss has been told, as a `whole` or in part.
    pub(super) fn restored(&self, number: u64, whole: bool) {
        let mut state = self.lock();
        for loss in state.losses.iter_mut().filter(|loss| loss.number == number) {
            loss.restored = if whole { Restored::Whole } else { Restored::InPart };
        }
    }

    /// A node keeps these slots. What it may lack stays suspect where the slot moves on.
    pub(super) fn keeps(&self, address: &str, slots: (u16, u16)) {
        let mut state = self.lock();
        let its = state.losses.iter_mut().filter(|loss| loss.address == address);
        for loss in its {
            if !loss.slots.contains(&slots) {
                loss.slots.push(slots);
            }
        }
    }

    /// An error where a charge counts on a key that may lack charges, with the time until it does not; now on
    /// this process's clock and on the store's.
    pub(super) fn check(
        &self,
        address: &str,
        slot: u16,
        command: &Command,
        (now, store_ms): (Instant, u64),
    ) -> Result<(), StoreError> {
        let state = self.lock();
        if state.losses.is_empty() || self.after == AfterFailover::Continue {
            return Ok(());
        }
        let held = state.losses.iter().filter(|loss| loss.concerns(address, slot));
        let left = held
            .flat_map(|loss| self.left(loss, command, now, store_ms))
            .max();
        match left {
            Some(retry_ms) => Err(StoreError::Quarantined { retry_ms }),
            None => Ok(()),
        }
    }

    /// For each charge that is held because of a loss: for how many ms yet.
    fn left(&self, loss: &Loss, command: &Command, now: Instant, store_ms: u64) -> Vec<u64> {
        let since = now.saturating_duration_since(loss.at);
        let since = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let in_force = command.charges.iter().filter(|charge| !charge.advisory);
        in_force
            .filter_map(|charge| {
                let until = match charge.span {
                    Span::Window { window } => self.holds(loss, window, window.saturating_add(SLACK_MS)),
                    Span::Lease { ttl } if ttl <= self.longest_ms() => ttl.saturating_add(SLACK_MS),
                    // the interval in which it was lost
                    Span::Calendar { start, end } => {
                        let lost = store_ms.saturating_sub(since);
                        let ends = lost.saturating_add(SLACK_MS) >= start && lost < end;
                        let left = if ends { end.saturating_sub(lost) } else { 0 };
                        self.holds(loss, end.saturating_sub(start), left)
                    }
                    Span::Lease { .. } => 0,
                };
                until.checked_sub(since).filter(|left| *left > 0)
            })
            .collect()
    }

    /// For how many ms after a loss a limit is held whose window is this long, and which is `exact` again so many ms
    /// after it without anything else.
    fn holds(&self, loss: &Loss, length: u64, exact: u64) -> u64 {
        match (self.after, loss.restored) {
            (AfterFailover::Restore, Restored::Whole) => exact.min(OTHERS_MS),
            (AfterFailover::Restore, Restored::NotYet) => exact,
            _ if length <= self.longest_ms() => exact,
            _ => 0,
        }
    }

    fn longest_ms(&self) -> u64 {
        u64::try_from(self.longest.as_millis()).unwrap_or(u64::MAX)
    }

    /// How often another server was met, whether keys are held because of it, and whether servers can be told
    /// apart at all.
    pub(super) fn seen(&self, now: Instant) -> (u64, bool, bool) {
        let state = self.lock();
        let held = |loss: &Loss| {
            let since = now.saturating_duration_since(loss.at);
            match (self.after, loss.restored) {
                (AfterFailover::Continue, _) => false,
                (AfterFailover::Restore, Restored::NotYet) => true,
                (AfterFailover::Restore, Restored::Whole) => since <= Duration::from_millis(OTHERS_MS),
                _ => since <= self.longest,
            }
        };
        let holds = state.losses.iter().any(held);
        (state.count, holds, !state.unknown)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Loss {
    fn concerns(&self, address: &str, slot: u16) -> bool {
        self.address.is_empty()
            || self.address == address
            || self
                .slots
                .iter()
                .any(|(first, last)| (*first..=*last).contains(&slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::CallId;
    use crate::counters::command::KeyCharge;

    const LONGEST: Duration = Duration::from_secs(60);

    fn server(run_id: &str, history: &str, followed: &str) -> Identity {
        Identity {
            run_id: run_id.into(),
            history: history.into(),
            followed: followed.into(),
            is_replica: false,
        }
    }

    fn command(span: Span, advisory: bool) -> Command {
        Command {
            id: CallId([1; 8]),
            deadline: 0,
            first_sent: 0,
            peek: false,
            charges: vec![KeyCharge {
                key: "k".into(),
                span,
                weight: 1,
                max: 1,
                advisory,
                bound: None,
            }],
        }
    }

    /// A gate's view, some ms after it began; the store's clock began at a million.
    struct View {
        failover: Failover,
        began: Instant,
        ms: u64,
    }

    impl View {
        fn new(after: AfterFailover, is_cluster: bool) -> Self {
            Self {
                failover: Failover::new(after, LONGEST, is_cluster),
                began: Instant::now(),
                ms: 0,
            }
        }

        fn now(&self) -> Instant {
            self.began + Duration::from_millis(self.ms)
        }

        fn met(&self, address: &str, identity: &Identity) {
            self.failover.met(address, identity, self.now());
        }

        fn seen(&self) -> (u64, bool, bool) {
            self.failover.seen(self.now())
        }

        fn left_of(&self, address: &str, slot: u16, command: &Command) -> Option<u64> {
            let now = (self.now(), 1_000_000 + self.ms);
            match self.failover.check(address, slot, command, now) {
                Ok(()) => None,
                Err(StoreError::Quarantined { retry_ms }) => Some(retry_ms),
                Err(other) => panic!("{other:?}"),
            }
        }

        fn left(&self, address: &str, slot: u16, span: Span) -> Option<u64> {
            self.left_of(address, slot, &command(span, false))
        }
    }

    const MINUTE: Span = Span::Window { window: 60_000 };

    #[test]
    fn a_key_is_held_for_one_window_after_another_server_was_met_and_the_first_is_trusted() {
        let mut view = View::new(AfterFailover::Quarantine, false);
        view.met("a:1", &server("a", "h", NOBODY));
        view.met("a:1", &server("a", "h", NOBODY));
        assert_eq!(view.left("a:1", 7, MINUTE), None);
        view.met("b:1", &server("b", "i", "h"));
        assert_eq!(view.left("b:1", 7, MINUTE), Some(60_020));
        assert_eq!(view.left("b:1", 7, Span::Window { window: 60_001 }), None);
        assert_eq!(view.left("b:1", 7, Span::Lease { ttl: 30_000 }), Some(30_020));
        assert_eq!(view.left_of("b:1", 7, &command(MINUTE, true)), None);
        view.ms = 60_019;
        assert_eq!(view.left("b:1", 7, MINUTE), Some(1));
        view.ms = 60_020;
        assert_eq!(view.left("b:1", 7, MINUTE), None);
        assert_eq!(view.seen(), (1, false, true));
    }

    #[test]
    fn a_server_that_was_demoted_and_promoted_again_is_another_one() {
        let view = View::new(AfterFailover::Quarantine, false);
        view.met("a:1", &server("a", "h", NOBODY));
        view.met("a:1", &server("a", "i", "h"));
        assert!(view.left("a:1", 7, MINUTE).is_some());
    }

    #[test]
    fn a_server_whose_first_replica_comes_begins_a_history_and_is_the_same() {
        let view = View::new(AfterFailover::Quarantine, false);
        view.met("a:1", &server("a", "h", NOBODY));
        view.met("a:1", &server("a", "i", NOBODY));
        assert_eq!(view.left("a:1", 7, MINUTE), None);
        view.met("b:1", &server("b", "j", "i"));
        assert!(view.left("b:1", 7, MINUTE).is_some());
    }

    #[test]
    fn a_calendar_interval_is_held_until_it_ends_and_the_next_is_not() {
        let mut view = View::new(AfterFailover::Quarantine, false);
        view.met("a:1", &server("a", "h", NOBODY));
        view.met("a:1", &server("a2", "h", NOBODY));
        let span = |start, end| Span::Calendar { start, end };
        assert_eq!(view.left("a:1", 7, span(960_000, 1_020_000)), Some(20_000));
        assert_eq!(view.left("a:1", 7, span(0, 1_020_000)), None);
        view.ms = 19_000;
        assert_eq!(view.left("a:1", 7, span(960_000, 1_020_000)), Some(1_000));
        view.ms = 21_000;
        assert_eq!(view.left("a:1", 7, span(1_020_000, 1_080_000)), None);
    }

    #[test]
    fn in_a_cluster_only_what_the_lost_node_kept_is_held_wherever_it_moves() {
        let view = View::new(AfterFailover::Quarantine, true);
        view.met("a:1", &server("a", "ha", NOBODY));
        view.met("b:1", &server("b", "hb", NOBODY));
        // a node that took slots over by migration, and one that was promoted in a's place
        view.met("c:1", &server("c", "hc", NOBODY));
        assert_eq!(view.seen().0, 0);
        view.met("d:1", &server("d", "hd", "ha"));
        view.failover.keeps("d:1", (0, 99));
        assert_eq!(view.seen(), (1, true, true));
        assert!(view.left("d:1", 7, MINUTE).is_some());
        assert_eq!(view.left("b:1", 200, MINUTE), None);
        assert!(view.left("b:1", 99, MINUTE).is_some(), "it moved there since");
    }

    #[test]
    fn a_key_that_is_restored_is_held_until_this_replica_and_the_others_have_told() {
        let mut view = View::new(AfterFailover::Restore, false);
        view.met("a:1", &server("a", "h", NOBODY));
        view.met("b:1", &server("b", "i", "h"));
        let day = Span::Window { window: 86_400_000 };
        assert_eq!(view.failover.next_lost(), Some(1));
        assert_eq!(view.left("b:1", 7, MINUTE), Some(60_020));
        assert!(view.left("b:1", 7, day).is_some(), "longer ones too");
        view.ms = 1_000;
        view.failover.restored(1, true);
        assert_eq!(view.failover.next_lost(), None);
        assert_eq!(view.left("b:1", 7, MINUTE), Some(2_000));
        assert_eq!(view.left("b:1", 7, day), Some(2_000));
        assert_eq!(view.left("b:1", 7, Span::Window { window: 1_500 }), Some(520));
        assert_eq!(view.left("b:1", 7, Span::Lease { ttl: 30_000 }), Some(29_020));
        assert!(view.seen().1);
        view.ms = 3_001;
        assert_eq!((view.left("b:1", 7, MINUTE), view.seen().1), (None, false));
    }

    #[test]
    fn where_not_all_was_remembered_windows_are_held_as_without_it() {
        let view = View::new(AfterFailover::Restore, false);
        view.met("a:1", &server("a", "h", NOBODY));
        view.met("b:1", &server("b", "i", "h"));
        view.failover.restored(1, false);
        assert_eq!(view.left("b:1", 7, MINUTE), Some(60_020));
        assert_eq!(view.left("b:1", 7, Span::Window { window: 60_001 }), None);
    }

    #[test]
    fn where_it_is_to_continue_or_cannot_be_known_nothing_is_held() {
        let view = View::new(AfterFailover::Continue, false);
        view.met("a:1", &server("a", "h", NOBODY));
        view.met("a:1", &server("b", "h", NOBODY));
        assert_eq!(view.left("a:1", 7, MINUTE), None);
        assert_eq!(view.seen(), (1, false, true));
        let view = View::new(AfterFailover::Quarantine, false);
        view.met("a:1", &Identity::default());
        view.met("a:1", &server("b", "h", NOBODY));
        view.met("a:1", &Identity::default());
        assert_eq!(view.left("a:1", 7, MINUTE), None);
        assert_eq!(view.seen(), (0, false, false));
    }
}
