//! The window invariant checked by brute force on a recorded history.

/// The largest number of admissions in any interval of length `window_ms`, both ends included: an admission at t
/// counts until t + window, so it frees at t + window + 1 (times are whole milliseconds).
pub fn worst_window(times_ms: &[u64], window_ms: u64) -> usize {
    times_ms
        .iter()
        .map(|&start| {
            times_ms
                .iter()
                .filter(|&&time| time >= start && time - start <= window_ms)
                .count()
        })
        .max()
        .unwrap_or(0)
}

/// When an admitted call left its client and when its answer was back, in milliseconds since some start.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub sent_ms: u64,
    pub answered_ms: u64,
}

/// The largest number of admissions that must have lain in one interval of length `window_ms`, whatever the store's
/// clock said: calls whose whole span lies in the interval. More than `max` is a proof that the limit was broken.
pub fn surely_within(spans: &[Span], window_ms: u64) -> usize {
    let inside = |start: u64, span: &&Span| span.sent_ms >= start && span.answered_ms <= start + window_ms;
    spans
        .iter()
        .map(|first| spans.iter().filter(|span| inside(first.sent_ms, span)).count())
        .max()
        .unwrap_or(0)
}
