//! Lines into the order of their times. A log is nearly in order: a call's line is written when its answer is
//! there, and several replicas write at once. So lines wait, as many and as long as the bounds allow.

use std::collections::BTreeMap;

use super::line::Call;

/// How far a line may stand behind a later one, in ms of the log's own time: twice as long as an upstream may take
/// to answer.
const SPAN_MS: u64 = 600_000;
/// Most lines that wait.
const LINES: usize = 100_000;
/// Most bytes of lines that wait.
const BYTES: usize = 64 << 20;

/// Lines that wait for earlier ones.
#[derive(Debug)]
pub(super) struct Order {
    waiting: BTreeMap<Turn, Box<Call>>,
    newest: u64,
    bytes: usize,
    /// The time of the last line that was let go.
    gone: u64,
    next: u64,
    span_ms: u64,
    lines: usize,
    most: usize,
}

/// The time, whether it was refused, and the number of the line. Within one millisecond admitted calls come first:
/// nothing frees meanwhile, so that a call that was refused for want of room found what they had left.
type Turn = (u64, bool, u64);

impl Order {
    pub(super) fn new() -> Self {
        Self::with_bounds(SPAN_MS, LINES)
    }

    fn with_bounds(span_ms: u64, lines: usize) -> Self {
        Self {
            waiting: BTreeMap::new(),
            newest: 0,
            bytes: 0,
            gone: 0,
            next: 0,
            span_ms,
            lines,
            most: 0,
        }
    }

    pub(super) fn add(&mut self, mut call: Box<Call>) {
        call.late = call.at < self.gone;
        let at = call.at.max(self.gone);
        self.newest = self.newest.max(at);
        self.bytes = self.bytes.saturating_add(call.size);
        self.next = self.next.saturating_add(1);
        let turn = (at, !call.then.allowed(), self.next);
        self.waiting.insert(turn, call);
        self.most = self.most.max(self.waiting.len());
    }

    /// The next line whose turn has surely come, or that can wait no longer.
    pub(super) fn ready(&mut self) -> Option<Box<Call>> {
        let ((oldest, ..), _) = self.waiting.first_key_value()?;
        let full = self.waiting.len() > self.lines || self.bytes > BYTES;
        if full || self.newest.saturating_sub(*oldest) > self.span_ms {
            self.next()
        } else {
            None
        }
    }

    /// Most lines that waited at once.
    pub(super) const fn most(&self) -> usize {
        self.most
    }

    /// The earliest line that waits.
    pub(super) fn next(&mut self) -> Option<Box<Call>> {
        let ((at, ..), call) = self.waiting.pop_first()?;
        self.gone = at;
        self.bytes = self.bytes.saturating_sub(call.size);
        Some(call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::line::Line;

    fn call(second: u32, outcome: &str) -> Box<Call> {
        let text = format!(
            r#"{{"time":"2026-01-01T00:{:02}:{:02}.000Z","grant":"g","server":"s","method":"tools/call","tool":"t","outcome":"{outcome}"}}"#,
            second / 60,
            second % 60
        );
        match Line::read(text.as_bytes()).unwrap() {
            Line::Call(call) => call,
            other => panic!("{other:?}"),
        }
    }

    fn seconds(order: &mut Order) -> Vec<(u64, bool)> {
        let base = call(0, "allowed").at;
        std::iter::from_fn(|| order.next())
            .map(|call| ((call.at - base) / 1_000, call.late))
            .collect()
    }

    #[test]
    fn lines_come_out_in_the_order_of_their_times() {
        let mut order = Order::with_bounds(60_000, 100);
        for second in [5, 3, 9, 1, 40] {
            order.add(call(second, "allowed"));
            assert!(order.ready().is_none());
        }
        let on_time = [1, 3, 5, 9, 40].map(|second| (second, false));
        assert_eq!(seconds(&mut order), on_time);
    }

    #[test]
    fn within_one_moment_admitted_calls_come_before_refused_ones_and_else_the_file_decides() {
        let mut order = Order::with_bounds(60_000, 100);
        for outcome in ["limited", "allowed", "denied", "upstream_error"] {
            order.add(call(1, outcome));
        }
        let outcomes: Vec<_> = std::iter::from_fn(|| order.next())
            .map(|call| call.then.outcome.as_str())
            .collect();
        assert_eq!(outcomes, ["allowed", "upstream_error", "limited", "denied"]);
    }

    #[test]
    fn a_line_waits_no_longer_than_the_span_and_one_that_comes_after_it_is_late() {
        let mut order = Order::with_bounds(10_000, 100);
        order.add(call(20, "allowed"));
        order.add(call(30, "allowed"));
        assert!(order.ready().is_none());
        order.add(call(31, "allowed"));
        assert!(order.ready().is_some());
        assert!(order.ready().is_none());
        order.add(call(19, "allowed"));
        order.add(call(20, "allowed"));
        assert_eq!(
            seconds(&mut order),
            [(19, true), (20, false), (30, false), (31, false)]
        );
    }

    #[test]
    fn no_more_lines_wait_than_there_is_room_for() {
        let mut order = Order::with_bounds(u64::MAX, 10);
        for second in 0..1_000 {
            order.add(call(second, "allowed"));
            while order.ready().is_some() {}
            assert!(order.waiting.len() <= 10);
        }
    }
}
