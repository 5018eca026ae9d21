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
            advisory,
            ..KeyCharge::one("k", span)
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
