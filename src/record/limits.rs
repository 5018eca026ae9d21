//! How near calls come to their limits.

use prometheus::{IntCounterVec, Registry};

use super::metrics::counter;
use super::{ChargeRecord, DecisionRecord};

/// Charges of limits, by how much was left.
pub(super) struct LimitMetrics(IntCounterVec);

impl LimitMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let help = "Charges of limits: `within` and `near` (a fifth of the limit or less is left) were made, `over` was refused, or would have been in mode `shadow`.";
        let labels = ["server", "counter", "state", "mode"];
        counter(registry, "toolgate_limit_charges_total", help, &labels).map(Self)
    }

    pub(super) fn decision(&self, record: &DecisionRecord<'_>) {
        for charge in &record.charges {
            let Some(state) = state(charge) else { continue };
            let mode = if charge.shadow { "shadow" } else { "enforce" };
            self.0
                .with_label_values(&[record.server, charge.counter, state, mode])
                .inc();
        }
    }
}

/// `None`: nobody asked the store, or the charge fits and another one of the call did not.
fn state(charge: &ChargeRecord<'_>) -> Option<&'static str> {
    let left = charge.left?;
    if charge.store_ms.is_none() {
        return (left < charge.weight).then_some("over");
    }
    Some(if left <= charge.max / 5 { "near" } else { "within" })
}

#[cfg(test)]
mod tests {
    use super::state;
    use crate::record::ChargeRecord;

    fn charge(left: Option<u64>, store_ms: Option<u64>) -> ChargeRecord<'static> {
        ChargeRecord {
            rule: "",
            counter: "c",
            weight: 2,
            max: 10,
            left,
            store_ms,
            shadow: false,
            scope: "grant",
            window: crate::policy::Window::Sliding { ms: 1_000 }.into(),
            scale: 0,
        }
    }

    #[test]
    fn what_was_charged_is_within_or_near_and_what_did_not_fit_is_over() {
        for (left, store_ms, expected) in [
            (Some(3), Some(1), Some("within")),
            (Some(2), Some(1), Some("near")),
            (Some(0), Some(1), Some("near")),
            (Some(1), None, Some("over")),
            (Some(2), None, None),
            (None, None, None),
        ] {
            assert_eq!(state(&charge(left, store_ms)), expected, "{left:?} {store_ms:?}");
        }
    }
}
