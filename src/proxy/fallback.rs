//! What becomes of a call whose limits cannot be checked: each limit's `on_store_error` says.

use std::sync::Arc;

use super::Gate;
use super::owed::{self, Owed};
use crate::counters::{Admission, Receipt, Store, StoreError, Verdict};
use crate::policy::{Charge, Limit, OnStoreError};

/// Counters of this replica alone, for limits with `on_store_error: local`.
#[derive(Debug)]
pub struct Fallback {
    store: Store,
    replicas: u64,
    owed: Owed,
}

/// The judgement without the store.
pub(super) enum Without {
    /// Forward it. The receipt is one of [`Fallback::store`].
    Pass(Option<Receipt>),
    /// This replica's share of a limit is used up.
    Limited {
        charge: Charge,
        retry_after_ms: Option<u64>,
    },
    /// A limit that must be checked cannot be.
    Refuse,
}

impl Fallback {
    /// `replicas` share each limit; at least 1.
    pub fn new(replicas: u64) -> Self {
        Self {
            store: Store::memory(),
            replicas: replicas.max(1),
            owed: Owed::default(),
        }
    }

    /// Takes back what was admitted here.
    pub(super) async fn refund(&self, receipt: &Receipt) -> Result<bool, StoreError> {
        self.owed.remove(receipt.id());
        self.store.refund(receipt).await
    }

    /// Calls that were admitted here and that the store does not know of yet.
    pub fn owes(&self) -> usize {
        self.owed.count()
    }

    /// Whether a call is judged here although the store may answer: it does not know yet what it was judged by
    /// before.
    pub(super) fn still_judges(&self, admission: &Admission) -> bool {
        let local =
            |charge: &Charge| !charge.limit.shadow && charge.limit.on_store_error == OnStoreError::Local;
        self.owed.count() > 0 && admission.charges.iter().any(local)
    }

    /// Tells the store what was admitted here, as far as it answers.
    pub async fn tell(gate: &Arc<Gate>) {
        owed::tell(gate, &gate.fallback.owed).await;
    }

    /// Judges what the store could not, because of `error`. Limits in shadow never stand in the way.
    pub(super) async fn judge(&self, admission: &Admission, error: &StoreError) -> Without {
        let in_force = || admission.charges.iter().filter(|charge| !charge.limit.shadow);
        let must_know = |charge: &Charge| charge.limit.on_store_error == OnStoreError::Deny;
        if in_force().next().is_some() && (!is_outage(error) || in_force().any(must_know)) {
            return Without::Refuse;
        }
        let local: Vec<&Charge> = in_force()
            .filter(|charge| charge.limit.on_store_error == OnStoreError::Local)
            .collect();
        if local.is_empty() {
            return Without::Pass(None);
        }
        let charges: Vec<Charge> = local.iter().map(|charge| self.share(charge)).collect();
        if charges.iter().any(|charge| charge.weight > charge.limit.max) {
            // the share is too small, which says nothing about the limit
            return Without::Refuse;
        }
        let id = admission.id;
        match self.store.admit(&Admission { id, charges }).await {
            Ok(Verdict::Admitted { receipt, .. }) => {
                let local = local.into_iter().cloned().collect();
                if self.owed.add(id, local) {
                    return Without::Pass(Some(receipt));
                }
                // nobody could tell the store; whether it is taken back here matters to nobody
                let _ = self.store.refund(&receipt).await;
                Without::Refuse
            }
            Ok(Verdict::Limited {
                charge,
                retry_after_ms,
                ..
            }) => match local.get(charge) {
                Some(&charge) => Without::Limited {
                    charge: charge.clone(),
                    retry_after_ms,
                },
                None => Without::Refuse,
            },
            Err(_) => Without::Refuse,
        }
    }

    /// The same charge against what falls to this replica: `max` by the number of replicas, rounded down, and at
    /// least one whole unit.
    fn share(&self, charge: &Charge) -> Charge {
        let limit = &charge.limit;
        let whole = 10_u64.checked_pow(u32::from(limit.scale)).unwrap_or(1);
        let share = limit.max.checked_div(self.replicas).unwrap_or(0);
        let own = Limit {
            rule: limit.rule.clone(),
            counter: limit.counter.clone(),
            on_deny: limit.on_deny.clone(),
            max: share.max(whole).min(limit.max),
            ..**limit
        };
        Charge {
            limit: Arc::new(own),
            weight: charge.weight,
            subject: charge.subject.clone(),
        }
    }
}

/// Whether the store is out of reach. A store that is full is not: a flood would open the gate.
const fn is_outage(error: &StoreError) -> bool {
    match error {
        StoreError::Timeout
        | StoreError::Unavailable(_)
        | StoreError::InDoubt
        | StoreError::Late
        | StoreError::Protocol(_)
        | StoreError::Quarantined { .. }
        | StoreError::Owed => true,
        StoreError::OutOfMemory | StoreError::Charges(_) | StoreError::Randomness => false,
    }
}
