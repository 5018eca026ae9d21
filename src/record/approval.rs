//! What becomes of a request for approval, as a line and in metrics. Field names are part of the contract.

use prometheus::{IntCounterVec, IntGauge, Registry};

use super::decision::{shown_message, shown_name};
use super::metrics::counter;

const EVENT: &str = "approval";

/// One step of one request: a person's word, the use of an approval, its end.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ApprovalRecord<'a> {
    /// `approval`.
    event: &'static str,
    /// RFC 3339 in UTC with milliseconds.
    time: String,
    /// The request's id: 32 hexadecimal digits.
    approval: String,
    /// Where it stands now: `pending` (others must agree too), `approved`, `denied`, `consumed`, `returned` (approved
    /// again, because nothing of its call was sent) or `expired`.
    state: &'static str,
    grant: &'a str,
    /// What the grant is counted under, where it was made of claims.
    #[serde(skip_serializing_if = "Option::is_none")]
    grant_key: Option<&'a str>,
    server: &'a str,
    tool: &'a str,
    /// Stands for the exact call; the arguments stand nowhere.
    digest: &'a str,
    /// The approver's id, where a person did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
    /// `approve` or `deny`, where a person did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// The decision line of the call that used it up.
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<&'a str>,
    replica: &'a str,
}

/// The request that a line is about.
#[derive(Clone, Copy)]
pub struct ApprovalOf<'a> {
    pub id: &'a (dyn std::fmt::Display + Sync),
    pub grant: &'a str,
    pub grant_key: Option<&'a str>,
    pub server: &'a str,
    pub tool: &'a str,
    pub digest: &'a str,
}

impl<'a> ApprovalRecord<'a> {
    pub fn new(time: String, of: ApprovalOf<'a>, state: &'static str, replica: &'a str) -> Self {
        Self {
            event: EVENT,
            time,
            approval: of.id.to_string(),
            state,
            grant: of.grant,
            grant_key: of.grant_key,
            server: of.server,
            tool: shown_name(of.tool),
            digest: of.digest,
            by: None,
            decision: None,
            reason: None,
            call: None,
            replica,
        }
    }

    /// A person did it. The reason is cut at 1 000 characters.
    #[must_use]
    pub fn by(self, by: &'a str, approve: bool, reason: &'a str) -> Self {
        Self {
            by: Some(by),
            decision: Some(if approve { "approve" } else { "deny" }),
            reason: Some(shown_message(reason)),
            ..self
        }
    }

    /// The call with this decision line did it.
    #[must_use]
    pub fn call(self, id: &'a str) -> Self {
        Self {
            call: Some(id),
            ..self
        }
    }

    pub(super) const fn server(&self) -> &str {
        self.server
    }

    pub(super) const fn state(&self) -> &'static str {
        self.state
    }
}

/// Requests by what became of them, and how many wait.
pub struct ApprovalMetrics {
    total: IntCounterVec,
    pending: IntGauge,
}

impl ApprovalMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let total = "Requests for approval that came into a state, by server and state.";
        let waits = "Requests for approval that wait for people now; all replicas see the same ones.";
        let pending = IntGauge::new("toolgate_approvals_pending", waits)?;
        registry.register(Box::new(pending.clone()))?;
        Ok(Self {
            total: counter(registry, "toolgate_approvals_total", total, &["server", "state"])?,
            pending,
        })
    }

    /// One request came into a state.
    pub fn came(&self, server: &str, state: &str) {
        self.total.with_label_values(&[server, state]).inc();
    }

    /// So many wait.
    pub fn pending(&self, count: usize) {
        self.pending.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
