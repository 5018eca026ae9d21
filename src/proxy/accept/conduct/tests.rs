use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Bounds, Conduct, State, TAKEN_BACK, Verdict};

const SECOND: Duration = Duration::from_secs(1);

/// Heads in 5 s, idle 60 s, writes 30 s, an hour or 1 000 requests in all.
fn conduct() -> (Arc<Conduct>, Instant) {
    let now = Instant::now();
    let conduct = Conduct {
        bounds: Bounds {
            header: 5 * SECOND,
            idle: 60 * SECOND,
            write: 30 * SECOND,
            age: 3600 * SECOND,
            requests: 1000,
        },
        state: std::sync::Mutex::new(State::new(now)),
        changed: tokio::sync::Notify::new(),
    };
    (Arc::new(conduct), now)
}

fn is_cut(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Cut(_))
}

/// Asks again each time when it should, and says after how many seconds something else than waiting came out.
fn first(conduct: &Conduct, start: Instant) -> (u64, Verdict) {
    let mut now = start;
    for _ in 0..100_000 {
        match conduct.verdict(now) {
            Verdict::Wait(next) => {
                assert!(next > now, "it would ask for ever");
                now = next;
            }
            other => return ((now - start).as_secs(), other),
        }
    }
    panic!("nothing ever happens to it");
}

#[test]
fn a_connection_that_brings_no_request_is_cut_when_a_head_is_due() {
    let (conduct, start) = conduct();
    let (after, verdict) = first(&conduct, start);
    assert!(after == 5 && is_cut(&verdict), "{after} {verdict:?}");
}

#[test]
fn an_idle_connection_is_retired_and_a_slow_head_is_cut() {
    for (is_h2, head, seconds) in [(false, false, 60), (false, true, 5), (true, true, 60)] {
        let (conduct, start) = conduct();
        let mut running = conduct.begin(is_h2);
        running.answered();
        drop(running);
        if head {
            conduct.heard();
        }
        let (after, verdict) = first(&conduct, start);
        assert_eq!(after, seconds, "{is_h2} {head} {verdict:?}");
        assert_eq!(is_cut(&verdict), seconds == 5);
        if !head {
            // one that does not close by itself
            let (after, verdict) = first(&conduct, start + 60 * SECOND);
            assert!(after == 5 && is_cut(&verdict), "{after} {verdict:?}");
        }
    }
}

#[test]
fn a_call_that_runs_is_not_idle_and_a_stream_may_be_quiet() {
    let (conduct, start) = conduct();
    let mut running = conduct.begin(false);
    running.answered();
    running.handed_out();
    running.taken();
    let (after, verdict) = first(&conduct, start);
    assert_eq!((after, verdict), (3600, Verdict::Retire));
    // retired, it goes on
    assert!(matches!(conduct.verdict(start + 9999 * SECOND), Verdict::Wait(_)));
}

#[test]
fn a_client_that_leaves_an_answer_untaken_is_cut() {
    let (conduct, start) = conduct();
    let mut one = conduct.begin(true);
    let mut other = conduct.begin(true);
    one.answered();
    other.answered();
    one.handed_out();
    other.handed_out();
    other.taken();
    let (after, verdict) = first(&conduct, start);
    assert!(after == 30 && is_cut(&verdict), "{after} {verdict:?}");
    drop(one);
    assert!(!is_cut(&conduct.verdict(start + 40 * SECOND)));
}

#[test]
fn so_many_requests_and_no_more() {
    let (conduct, start) = conduct();
    for number in 1..=1000 {
        assert!(matches!(conduct.verdict(start), Verdict::Wait(_)), "{number}");
        conduct.begin(false).answered();
    }
    assert_eq!(conduct.verdict(start), Verdict::Retire);
}

#[test]
fn a_connection_that_takes_its_requests_back_in_a_loop_is_shunned() {
    let (conduct, start) = conduct();
    for _ in 0..=TAKEN_BACK {
        assert!(matches!(conduct.verdict(start), Verdict::Wait(_)));
        drop(conduct.begin(true));
    }
    assert!(matches!(conduct.verdict(start), Verdict::Shun(_)));
    // one that waits for most of its answers may take some back
    let (conduct, start) = conduct_that_waits();
    assert!(matches!(conduct.verdict(start), Verdict::Wait(_)));
}

fn conduct_that_waits() -> (Arc<Conduct>, Instant) {
    let (conduct, start) = conduct();
    for _ in 0..=TAKEN_BACK {
        conduct.begin(true).answered();
        drop(conduct.begin(true));
    }
    (conduct, start)
}

#[test]
fn an_answer_that_is_still_on_its_way_keeps_the_connection_from_being_idle() {
    let (conduct, start) = conduct();
    conduct.begin(false).answered();
    conduct.state().idle = start - 59 * SECOND;
    conduct.told();
    assert!(matches!(conduct.verdict(start + SECOND), Verdict::Wait(_)));
    // over HTTP/2 a ping is no answer
    conduct.begin(true).answered();
    conduct.state().idle = start - 59 * SECOND;
    conduct.told();
    assert_eq!(conduct.verdict(start + SECOND), Verdict::Retire);
}
