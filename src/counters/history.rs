//! Checks a recorded history of admissions against the window invariant.

use std::collections::HashMap;

/// One admitted charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    pub key: String,
    /// Store time in ms.
    pub t_ms: u64,
    pub charge: u64,
}

/// The fullest window of a history, and the first that is too full.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Worst {
    /// Largest sum of charges on one key in any interval `[t, t + window]`.
    pub sum: u64,
    pub violation: Option<Violation>,
}

/// A window that holds more than `max`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub key: String,
    /// First and last charge of the window, store time in ms.
    pub from_ms: u64,
    pub to_ms: u64,
    pub sum: u64,
}

/// Slides a window of `window_ms` over every key's admissions, in any order given.
///
/// Times are floored to ms, so two charges lie in one interval of `window_ms` when they are at most
/// `window_ms` apart.
pub fn check(history: &[Admitted], max: u64, window_ms: u64) -> Worst {
    let mut keys: HashMap<&str, Vec<(u64, u64)>> = HashMap::new();
    for entry in history {
        keys.entry(&entry.key)
            .or_default()
            .push((entry.t_ms, entry.charge));
    }
    let mut names: Vec<&str> = keys.keys().copied().collect();
    names.sort_unstable();
    let mut worst = Worst::default();
    for name in names {
        let mut charges = keys.remove(name).unwrap_or_default();
        charges.sort_unstable();
        let mut oldest = charges.iter().copied().peekable();
        let mut sum = 0_u64;
        for &(to_ms, charge) in &charges {
            sum = sum.saturating_add(charge);
            while let Some((_, gone)) = oldest.next_if(|&(at, _)| to_ms.saturating_sub(at) > window_ms) {
                sum = sum.saturating_sub(gone);
            }
            worst.sum = worst.sum.max(sum);
            if sum > max && worst.violation.is_none() {
                let from_ms = oldest.peek().map_or(to_ms, |&(at, _)| at);
                worst.violation = Some(Violation {
                    key: name.to_owned(),
                    from_ms,
                    to_ms,
                    sum,
                });
            }
        }
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(key: &str, times: &[u64]) -> Vec<Admitted> {
        times
            .iter()
            .map(|&t_ms| Admitted {
                key: key.into(),
                t_ms,
                charge: 1,
            })
            .collect()
    }

    #[test]
    fn charges_exactly_one_window_apart_share_an_interval_and_one_ms_more_do_not() {
        assert_eq!(check(&at("k", &[0, 1_000]), 1, 1_000).sum, 2);
        assert_eq!(
            check(&at("k", &[0, 1_001]), 1, 1_000),
            Worst {
                sum: 1,
                violation: None
            }
        );
    }

    #[test]
    fn the_first_window_that_is_too_full_is_named() {
        let worst = check(&at("k", &[0, 500, 900, 5_000]), 2, 1_000);
        let violation = Violation {
            key: "k".into(),
            from_ms: 0,
            to_ms: 900,
            sum: 3,
        };
        assert_eq!(
            worst,
            Worst {
                sum: 3,
                violation: Some(violation)
            }
        );
    }

    #[test]
    fn keys_are_judged_one_by_one_and_weights_add_up() {
        let mut history = at("a", &[0, 1]);
        history.extend(at("b", &[0, 1]));
        assert_eq!(
            check(&history, 2, 1_000),
            Worst {
                sum: 2,
                violation: None
            }
        );
        history.push(Admitted {
            key: "b".into(),
            t_ms: 2,
            charge: 40,
        });
        assert_eq!(
            check(&history, 41, 1_000)
                .violation
                .map(|found| (found.key, found.sum)),
            Some(("b".into(), 42))
        );
    }

    #[test]
    fn a_history_out_of_order_is_sorted_first() {
        assert_eq!(check(&at("k", &[900, 0, 500]), 3, 1_000).sum, 3);
    }
}
