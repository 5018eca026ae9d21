//! What one message's record will say, gathered on its way; it is written exactly once, also when the
//! client has left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Gate;
use super::session;
use crate::counters::{CallId, ChargeState, Fit};
use crate::grants::Grant;
use crate::policy::{Charge, Denial, Outcome, Recorded};
use crate::record::{
    ChargeRecord, DecisionRecord, Operation, Pending, PolicyRecord, RecordedValues, ShadowRecord, Trace,
    UpstreamRecord, shown_message, shown_name,
};

/// The facts of one message. Dropped unfinished, it records that the client left.
pub struct Ledger {
    gate: Arc<Gate>,
    pub id: CallId,
    arrived: Timestamp,
    grant: Option<Arc<Grant>>,
    server: String,
    session: Option<String>,
    method: String,
    tool: Option<String>,
    argument_keys: Vec<String>,
    charges: Vec<Charge>,
    states: Vec<ChargeState>,
    store_ms: Option<u64>,
    /// Of each charge, where they were not made at once.
    times: Vec<u64>,
    limited_ms: Option<u64>,
    shadow: Vec<Denial>,
    recorded: Vec<Recorded>,
    degraded: bool,
    /// The request for approval that it is about.
    approval: Option<String>,
    /// What is recorded of a call that waits for people, if its client leaves.
    waits: Option<Denial>,
    sent: Option<Instant>,
    trace_id: Option<String>,
    /// What the upstream is told of it.
    traceparent: Option<String>,
    /// None once it was taken: it then ends with the answer.
    operation: Option<Operation>,
    written: bool,
    // the end of the process waits for it
    _pending: Pending,
}

impl Ledger {
    #[expect(clippy::disallowed_methods, reason = "records say when a message came")]
    pub fn open(gate: &Arc<Gate>, id: CallId, server: &str) -> Self {
        Self {
            gate: Arc::clone(gate),
            id,
            arrived: Timestamp::now(),
            grant: None,
            server: server.to_owned(),
            session: None,
            method: String::new(),
            tool: None,
            argument_keys: Vec::new(),
            charges: Vec::new(),
            states: Vec::new(),
            store_ms: None,
            times: Vec::new(),
            limited_ms: None,
            shadow: Vec::new(),
            recorded: Vec::new(),
            degraded: false,
            approval: None,
            waits: None,
            sent: None,
            trace_id: None,
            traceparent: None,
            operation: Some(Operation::begin(&gate.recorder.metrics, server)),
            written: false,
            _pending: gate.recorder.begin(),
        }
    }

    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    pub fn grant(&mut self, grant: &Arc<Grant>) {
        self.grant = Some(Arc::clone(grant));
    }

    pub fn session(&mut self, upstream_id: &str) {
        self.session = Some(session::shown(upstream_id));
    }

    pub fn method(&mut self, method: &str) {
        self.method = shown_name(method).to_owned();
        self.of_operation(|operation| operation.method(method));
    }

    pub fn tool(&mut self, tool: &str, argument_keys: Vec<String>) {
        self.tool = Some(shown_name(tool).to_owned());
        self.argument_keys = argument_keys;
        self.of_operation(|operation| operation.tool(tool));
    }

    fn of_operation(&mut self, change: impl FnOnce(&mut Operation)) {
        if let Some(operation) = &mut self.operation {
            change(operation);
        }
    }

    /// Where the message stands in a trace.
    pub fn trace(&mut self, trace: Option<Trace>) {
        if let Some(trace) = trace {
            self.trace_id = Some(trace.trace_id());
            self.traceparent = trace.to_upstream();
            self.of_operation(|operation| operation.trace(trace));
        }
    }

    /// What the upstream is told of the trace.
    pub fn traceparent(&self) -> Option<String> {
        self.traceparent.clone()
    }

    /// What is measured, to be held until the answer has ended.
    pub fn take_operation(&mut self) -> Option<Operation> {
        let mut operation = self.operation.take()?;
        self.decided(&mut operation, Outcome::Allowed, None);
        Some(operation)
    }

    /// Attributes of the message's span.
    fn decided(&self, operation: &mut Operation, outcome: Outcome, rule: Option<&str>) {
        let id = self.id.to_string();
        let known = [
            ("toolgate.decision.id", id.as_str()),
            ("toolgate.outcome", outcome.as_str()),
        ];
        let grant = self
            .grant
            .iter()
            .map(|grant| ("toolgate.grant", grant.id.as_str()));
        let session = self.session.iter().map(|id| ("mcp.session.id", id.as_str()));
        let rule = rule.map(|rule| ("toolgate.rule", rule));
        operation.decided(known.into_iter().chain(grant).chain(session).chain(rule));
    }

    /// What the store said of each charge.
    pub fn charges(&mut self, charges: Vec<Charge>, states: Vec<ChargeState>, store_ms: Option<u64>) {
        self.charges = charges;
        self.states = states;
        self.store_ms = store_ms;
    }

    /// The store's time of each charge in ms.
    pub fn charged_at(&mut self, times: &[u64]) {
        self.times = times.to_vec();
    }

    /// What the store said of each charge when it admitted none, and its time in ms.
    pub fn limited(&mut self, charges: Vec<Charge>, states: Vec<ChargeState>, at_ms: u64) {
        self.charges(charges, states, None);
        self.limited_ms = Some(at_ms);
    }

    /// What rules in shadow would have refused.
    pub fn noted(&mut self, shadow: Vec<Denial>) {
        self.shadow.extend(shadow);
    }

    /// Values that the policies want on record.
    pub fn recorded(&mut self, recorded: Vec<Recorded>) {
        self.recorded = recorded;
    }

    /// The call is about this request for approval.
    pub fn approval(&mut self, id: String) {
        self.approval = Some(id);
    }

    /// The call waits for people; this is what it is refused with until they agree.
    pub fn waits(&mut self, denial: Denial) {
        self.waits = Some(denial);
    }

    /// The message is judged again from the start.
    pub fn again(&mut self) {
        self.charges.clear();
        self.states.clear();
        self.times.clear();
        self.shadow.clear();
        self.recorded.clear();
        (self.store_ms, self.limited_ms) = (None, None);
        (self.degraded, self.approval, self.waits) = (false, None, None);
    }

    /// Another record says what became of the message.
    pub fn superseded(mut self) {
        self.written = true;
    }

    /// The call went on although the store did not answer.
    pub fn degraded(&mut self) {
        self.degraded = true;
    }

    pub fn charged(&self) -> impl Iterator<Item = (&Charge, &ChargeState)> {
        self.charges.iter().zip(&self.states)
    }

    pub fn server(&self) -> &str {
        &self.server
    }

    pub fn sent_now(&mut self) {
        self.sent = Some(Instant::now());
        self.of_operation(Operation::sent);
    }

    fn since_sent(&self) -> Duration {
        self.sent.map_or(Duration::ZERO, |sent| sent.elapsed())
    }

    /// Records a refusal.
    pub fn refused(mut self, denial: &Denial) {
        self.write(denial.outcome, Some((&denial.rule, &denial.message)), None);
    }

    /// Records a message that could not be read, or came without a known token.
    pub fn invalid(mut self, outcome: Outcome, message: &str) {
        self.write(outcome, Some(("(message)", message)), None);
    }

    /// Records that the upstream answered.
    pub fn answered(mut self, status: Option<u16>) {
        let took = self.since_sent();
        self.gate
            .recorder
            .metrics
            .upstream(&self.server, took.as_secs_f64());
        self.write(
            Outcome::Allowed,
            None,
            Some(upstream(status, took, "answered", false)),
        );
    }

    /// Records that no usable answer came. `ended` is one of the words of [`UpstreamRecord`].
    pub fn failed(mut self, message: &str, status: Option<u16>, ended: &'static str, refunded: bool) {
        let record = upstream(status, self.since_sent(), ended, refunded);
        self.write(
            Outcome::UpstreamError,
            Some(("(upstream)", message)),
            Some(record),
        );
    }

    /// Records that the client left.
    pub fn aborted(mut self, refunded: bool) {
        self.left(refunded);
    }

    /// A client that left before its call was sent left nothing that could have run.
    fn left(&mut self, refunded: bool) {
        let ended = if self.sent.is_some() { "aborted" } else { "unsent" };
        let record = upstream(None, self.since_sent(), ended, refunded);
        self.write(Outcome::Allowed, None, Some(record));
    }

    fn write(&mut self, outcome: Outcome, why: Option<(&str, &str)>, upstream: Option<UpstreamRecord>) {
        if std::mem::replace(&mut self.written, true) {
            return;
        }
        if let Some(mut operation) = self.operation.take() {
            self.decided(&mut operation, outcome, why.map(|(rule, _)| rule));
            if let Some(error) = error_type(outcome, upstream.as_ref()) {
                operation.failed(error);
            }
        }
        let policies = self.grant.iter().flat_map(|grant| &grant.policies);
        let record = DecisionRecord {
            time: format!("{:.3}", self.arrived),
            id: self.id.to_string(),
            grant: self.grant.as_ref().map(|grant| grant.id.as_str()),
            grant_key: self.grant.as_ref().and_then(|grant| grant.identity.as_deref()),
            label: self.grant.as_ref().and_then(|grant| grant.label.as_deref()),
            server: &self.server,
            session: self.session.clone(),
            method: &self.method,
            tool: self.tool.as_deref(),
            argument_keys: &self.argument_keys,
            policy: policies
                .map(|policy| PolicyRecord {
                    name: policy.name(),
                    digest: policy.digest(),
                })
                .collect(),
            outcome: outcome.as_str(),
            rule: why.map(|(rule, _)| rule),
            message: why.map(|(_, message)| shown_message(message)),
            approval: self.approval.as_deref(),
            store_ms: self.limited_ms.or(self.store_ms.filter(|_| !self.was_charged())),
            charges: self.charge_records(),
            upstream,
            recorded: RecordedValues(&self.recorded),
            shadow: self.shadow.iter().map(ShadowRecord::of).collect(),
            degraded: self.degraded,
            trace_id: self.trace_id.as_deref(),
            replica: &self.gate.replica,
        };
        self.gate.recorder.decision(&record);
    }

    /// Whether a charge was made: one in shadow that does not fit is not.
    fn was_charged(&self) -> bool {
        self.states.iter().any(|state| state.fit == Fit::Now)
    }

    fn charge_records(&self) -> Vec<ChargeRecord<'_>> {
        let states = self.states.iter().map(Some).chain(std::iter::repeat(None));
        let times = self
            .times
            .iter()
            .map(|at| Some(*at))
            .chain(std::iter::repeat(self.store_ms));
        self.charges
            .iter()
            .zip(states.zip(times))
            .map(|(charge, (state, at))| ChargeRecord {
                rule: &charge.limit.rule,
                counter: &charge.limit.counter,
                weight: charge.weight,
                max: charge.limit.max,
                left: state.map(|state| state.left),
                // one in shadow that did not fit was not charged
                store_ms: at.filter(|_| state.is_some_and(|state| state.fit == Fit::Now)),
                shadow: charge.limit.shadow,
                scope: charge.limit.scope.as_str(),
                window: charge.limit.window.into(),
                scale: charge.limit.scale,
            })
            .collect()
    }
}

/// Why an operation failed; `None`: it did not.
fn error_type(outcome: Outcome, upstream: Option<&UpstreamRecord>) -> Option<&'static str> {
    match (outcome, upstream) {
        (Outcome::UpstreamError, Some(record)) => Some(record.ended),
        (Outcome::Allowed, Some(record)) => (record.ended != "answered").then_some(record.ended),
        (Outcome::Allowed, None) => None,
        _ => Some(outcome.as_str()),
    }
}

fn upstream(status: Option<u16>, took: Duration, ended: &'static str, refunded: bool) -> UpstreamRecord {
    UpstreamRecord {
        status,
        ms: (took.as_secs_f64() * 1e6).round() / 1e3,
        ended,
        refunded,
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        if self.written {
            return;
        }
        if let Some(denial) = self.waits.take() {
            self.write(denial.outcome, Some((&denial.rule, &denial.message)), None);
        } else if self.grant.is_some() && !self.method.is_empty() {
            self.left(false);
        }
    }
}
