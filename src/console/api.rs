//! Reading: all approvals, and one.

use http::Response;
use serde::Serialize;

use super::body::ConsoleBody;
use super::entry::Caller;
use super::respond::{Refusal, json};
use super::{Console, ShownApproval};
use crate::approvals::{Approval, ApprovalId, ApprovalsError, State};

/// Written as it is: a tree in between would change what the agent wrote.
#[derive(Serialize)]
struct List<'a> {
    approvals: Vec<ShownApproval<'a>>,
}

impl Console {
    /// Those in this state, or all, that are in the caller's reach.
    pub(super) async fn list(
        &self,
        caller: &Caller,
        state: Option<State>,
    ) -> Result<Response<ConsoleBody>, Refusal> {
        let all = self
            .0
            .parts
            .approvals
            .list(state)
            .await
            .map_err(|error| gone(&error))?;
        let shown = all.iter();
        let shown = shown.filter_map(|approval| ShownApproval::to(&caller.approver, approval));
        Ok(json(&List {
            approvals: shown.collect(),
        }))
    }

    /// One; what is out of reach looks as if it did not exist.
    pub(super) async fn one(&self, caller: &Caller, id: &str) -> Result<Response<ConsoleBody>, Refusal> {
        let (_, approval) = self.known(id).await?;
        let shown = ShownApproval::to(&caller.approver, &approval).ok_or(Refusal::NotFound)?;
        Ok(json(&shown))
    }

    /// # Errors
    /// [`Refusal::NotFound`] for a text that is no id, and for an id that nothing has.
    pub(super) async fn known(&self, id: &str) -> Result<(ApprovalId, Approval), Refusal> {
        let id = ApprovalId::parse(id).ok_or(Refusal::NotFound)?;
        let found = self
            .0
            .parts
            .approvals
            .get(&id)
            .await
            .map_err(|error| gone(&error))?;
        Ok((id, found.ok_or(Refusal::NotFound)?))
    }
}

pub(super) fn gone(error: &ApprovalsError) -> Refusal {
    tracing::warn!(%error, "the console could not look at the approvals");
    Refusal::Store(error.code())
}
