//! The stages of a forwarded message as types: `Judged` → [`Charged`] → [`Sent`] → ended.
//!
//! A [`Charged`] ends in a send or in a refund, whatever happens to the client meanwhile: dropped, it
//! refunds by itself. A [`Sent`] keeps its charge; dropped, it records that the client left.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::Instrument;

use super::Gate;
use super::asking::{self, Used};
use super::fallback::Without;
use super::held::Held;
use super::ledger::Ledger;
use super::upstream::UpstreamError;
use crate::counters::{Admission, ChargeState, Fit, Receipt, Store, StoreError, Verdict};
use crate::policy::{self, Charge, Denial};
use crate::record::Operation;

/// How long an agent is asked to wait for a store that did not answer.
pub const STORE_RETRY_MS: u64 = 1_000;

/// A message and what it was charged.
struct Standing {
    ledger: Ledger,
    /// None where nothing was charged.
    receipt: Option<Receipt>,
    /// None where the call takes no place among those that may run at once.
    held: Option<Held>,
    /// Charged to the fallback's counters, because the store did not answer.
    degraded: bool,
    /// What people agreed to, where that was needed.
    used: Option<Used>,
}

/// Admitted: what was charged stands until it is sent or refunded. Empty once it was sent.
pub struct Charged(Option<Standing>);

/// On its way, or there: the charge stands unless it turns out that nothing left.
pub struct Sent(Option<Standing>);

/// Why a call was not admitted, with the ledger to record it in.
pub struct NotAdmitted {
    pub denial: Denial,
    pub ledger: Option<Ledger>,
}

/// Charges a call, all or nothing. Runs in a task of its own where it waits for a store: a client that
/// hangs up in the middle leaves no half-charged state behind.
pub async fn admit(ledger: Ledger, tool: &str, charges: Vec<Charge>) -> Result<Charged, Box<NotAdmitted>> {
    if charges.is_empty() {
        return Ok(Charged::free(ledger));
    }
    let gate = Arc::clone(ledger.gate());
    if gate.recorder.refuses() {
        return Err(Box::new(NotAdmitted {
            denial: policy::not_recorded(tool, Some(STORE_RETRY_MS)),
            ledger: Some(ledger),
        }));
    }
    if matches!(gate.store, Store::Memory(_)) {
        // never waits: there is no point at which a hang-up could stop it
        return charge(gate, ledger, tool.to_owned(), charges).await;
    }
    let charging = tokio::spawn(charge(gate, ledger, tool.to_owned(), charges).in_current_span());
    charging.await.unwrap_or_else(|error| {
        // a fault below us, or the runtime is going down: nothing was forwarded
        tracing::error!(%error, "a charge did not end");
        Err(Box::new(NotAdmitted {
            denial: store_failed(tool, &[], STORE_RETRY_MS),
            ledger: None,
        }))
    })
}

async fn charge(
    gate: Arc<Gate>,
    mut ledger: Ledger,
    tool: String,
    charges: Vec<Charge>,
) -> Result<Charged, Box<NotAdmitted>> {
    let admission = Admission {
        id: ledger.id,
        charges,
    };
    let asked = Instant::now();
    let denial = match ask(&gate, &admission).await {
        Ok(Verdict::Admitted { receipt, states }) => {
            ledger.noted(not_held(&admission.charges, &states, &tool));
            ledger.charges(admission.charges, states, Some(receipt.at_ms()));
            ledger.charged_at(receipt.times());
            return Ok(Charged::admitted(ledger, receipt, asked));
        }
        Ok(Verdict::Limited {
            charge,
            retry_after_ms,
            at_ms,
            states,
            ..
        }) => {
            let denial = match admission.charges.get(charge) {
                Some(charge) => policy::limited(charge, &tool, retry_after_ms),
                None => store_failed(&tool, &admission.charges, STORE_RETRY_MS),
            };
            ledger.limited(admission.charges, states, at_ms);
            denial
        }
        Err(error) => {
            tracing::warn!(%error, error.code = error.code(), "the store did not admit a call");
            let without = gate.fallback.judge(&admission, &error).await;
            let charges = admission.charges;
            let denial = match without {
                Without::Pass(receipt) => {
                    ledger.degraded();
                    ledger.charges(charges, Vec::new(), None);
                    return Ok(Charged::degraded(ledger, receipt));
                }
                Without::Limited {
                    charge,
                    retry_after_ms,
                } => {
                    ledger.degraded();
                    policy::limited(&charge, &tool, retry_after_ms)
                }
                Without::Refuse => store_failed(&tool, &charges, retry_after(&error)),
            };
            ledger.charges(charges, Vec::new(), None);
            denial
        }
    };
    Err(Box::new(NotAdmitted {
        denial,
        ledger: Some(ledger),
    }))
}

/// The store's verdict, measured unless the replica knew it.
async fn ask(gate: &Gate, admission: &Admission) -> Result<Verdict, StoreError> {
    let timer = gate.recorder.metrics.store("admit");
    let result = if gate.fallback.still_judges(admission) {
        Err(StoreError::Owed)
    } else {
        gate.store.admit(admission).await
    };
    if matches!(result, Ok(Verdict::Limited { remembered: true, .. })) {
        gate.recorder.metrics.remembered();
    } else {
        timer.end(result.as_ref().err().map(StoreError::code));
    }
    result
}

/// What limits in shadow would have refused.
fn not_held(charges: &[Charge], states: &[ChargeState], tool: &str) -> Vec<Denial> {
    let shadow = charges
        .iter()
        .zip(states)
        .filter(|(charge, _)| charge.limit.shadow);
    shadow
        .filter_map(|(charge, state)| match state.fit {
            Fit::Now => None,
            Fit::After(ms) => Some(policy::limited(charge, tool, Some(ms))),
            Fit::Never => Some(policy::limited(charge, tool, None)),
        })
        .collect()
}

/// When it may be worth asking again; at once is worth nothing.
const fn retry_after(error: &StoreError) -> u64 {
    match error {
        StoreError::Quarantined { retry_ms } if *retry_ms > STORE_RETRY_MS => *retry_ms,
        _ => STORE_RETRY_MS,
    }
}

pub fn store_failed(tool: &str, charges: &[Charge], retry_ms: u64) -> Denial {
    let in_force = charges.iter().find(|charge| !charge.limit.shadow);
    let rule = in_force.map_or("(store)", |charge| charge.limit.rule.as_str());
    policy::store_unavailable(tool, rule, Some(retry_ms))
}

impl Charged {
    /// A message that is charged nothing.
    pub const fn free(ledger: Ledger) -> Self {
        Self(Some(Standing {
            ledger,
            receipt: None,
            held: None,
            degraded: false,
            used: None,
        }))
    }

    /// Holds its leases since they were `asked` for.
    fn admitted(ledger: Ledger, receipt: Receipt, asked: Instant) -> Self {
        let held = Held::start(ledger.gate(), &receipt, asked);
        Self(Some(Standing {
            ledger,
            receipt: Some(receipt),
            held,
            degraded: false,
            used: None,
        }))
    }

    /// The receipt is the fallback's. A place among calls at once is never taken without the store.
    const fn degraded(ledger: Ledger, receipt: Option<Receipt>) -> Self {
        Self(Some(Standing {
            ledger,
            receipt,
            held: None,
            degraded: true,
            used: None,
        }))
    }

    /// It runs under this approval, which is given back with the charge.
    #[must_use]
    pub fn under(mut self, used: Used) -> Self {
        if let Some(standing) = &mut self.0 {
            standing.used = Some(used);
        }
        self
    }

    pub fn ledger(&self) -> Option<&Ledger> {
        self.0.as_ref().map(|standing| &standing.ledger)
    }

    /// Takes the charge back and goes on with the record.
    pub async fn take_back(mut self) -> Option<Ledger> {
        let (ledger, _) = self.0.take()?.take_back().await;
        Some(ledger)
    }

    /// From here on the charge stands, unless [`Sent::failed`] learns that nothing left.
    pub fn send(mut self) -> Sent {
        let mut standing = self.0.take();
        if let Some(standing) = &mut standing {
            standing.ledger.sent_now();
        }
        Sent(standing)
    }
}

impl Drop for Charged {
    fn drop(&mut self) {
        if let Some(standing) = self.0.take() {
            standing.refund(Ledger::aborted);
        }
    }
}

impl Sent {
    /// The head of the answer is here; `status` is HTTP's, where there is one.
    pub fn answered(self, status: impl Into<Option<u16>>) {
        if let Some(Standing { ledger, .. }) = self.0 {
            ledger.answered(status.into());
        }
    }

    /// What the call holds: it goes with the request and its answer.
    pub fn take_held(&mut self) -> Option<Held> {
        self.0.as_mut().and_then(|standing| standing.held.take())
    }

    /// What is measured until the answer, which is here with this HTTP status, has ended.
    pub fn take_operation(&mut self, status: u16) -> Option<Operation> {
        let mut operation = self.0.as_mut()?.ledger.take_operation()?;
        if status >= 400 {
            operation.failed(status.to_string());
        }
        Some(operation)
    }

    /// No answer. Where nothing was sent the charge is taken back; what the call `held` in any case.
    pub fn failed(self, error: &UpstreamError, held: Option<Held>) {
        let Some(mut standing) = self.0 else { return };
        standing.held = held;
        let message = error.to_string();
        if error.nothing_sent() {
            standing.refund(move |ledger, refunded| ledger.failed(&message, None, "unsent", refunded));
        } else {
            let ended = match error {
                UpstreamError::LeaseLost => "cut",
                error if error.is_timeout() => "timeout",
                _ => "broken",
            };
            standing.ledger.failed(&message, None, ended, false);
        }
    }

    /// The client asked the server to stop, and waits for no answer. Whether the server did nobody can tell: what
    /// the call `held` it keeps until the lease ends by itself.
    pub fn cancelled(self, held: Option<Held>) {
        held.into_iter().for_each(Held::lapse);
        if let Some(Standing { ledger, .. }) = self.0 {
            ledger.aborted(false);
        }
    }

    /// An answer came that cannot be passed on.
    pub fn unusable(self, status: impl Into<Option<u16>>, message: &str) {
        if let Some(Standing { ledger, .. }) = self.0 {
            ledger.failed(message, status.into(), "answered", false);
        }
    }

    pub fn ledger(&self) -> Option<&Ledger> {
        self.0.as_ref().map(|standing| &standing.ledger)
    }
}

impl Standing {
    /// Takes back what was charged, in a task of its own, then records.
    fn refund(self, record: impl FnOnce(Ledger, bool) + Send + 'static) {
        let runtime = tokio::runtime::Handle::try_current();
        let (true, Ok(runtime)) = (self.receipt.is_some() || self.used.is_some(), runtime) else {
            // nothing to take back; or the process is going down and, in doubt, the charge stays
            self.held.into_iter().for_each(Held::refunded);
            record(self.ledger, false);
            return;
        };
        let refund = async move {
            let (ledger, refunded) = self.take_back().await;
            record(ledger, refunded);
        };
        runtime.spawn(refund.in_current_span());
    }

    /// Takes back what was charged. Whether it was is said beside the record.
    async fn take_back(self) -> (Ledger, bool) {
        let Self {
            ledger,
            receipt,
            held,
            degraded,
            used,
        } = self;
        held.into_iter().for_each(Held::refunded);
        let gate = Arc::clone(ledger.gate());
        if let Some(used) = used {
            asking::give_back(&gate, &used, &ledger.id.to_string()).await;
        }
        let Some(receipt) = receipt else {
            return (ledger, false);
        };
        let timer = gate.recorder.metrics.store("refund");
        let result = if degraded {
            gate.fallback.refund(&receipt).await
        } else {
            gate.store.refund(&receipt).await
        };
        timer.end(result.as_ref().err().map(StoreError::code));
        let refunded = matches!(result, Ok(true));
        gate.recorder
            .metrics
            .refund(ledger.server(), if refunded { "refunded" } else { "stands" });
        (ledger, refunded)
    }
}
