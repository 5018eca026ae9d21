//! What goes on by itself: time ends requests, and other replicas change them.

use std::time::Duration;

use super::ApprovalsError;
use super::approval::{Approval, ApprovalId, State};
use super::book::{Approvals, LISTED_AT_MOST, Read};
use super::model::Written;

/// Between two looks at whether other replicas changed anything.
const LOOK_PAUSE: Duration = Duration::from_millis(250);

impl Approvals {
    /// Notices what other replicas change, while anybody watches. Never ends.
    pub async fn follow(&self) {
        let mut seen = None;
        loop {
            tokio::time::sleep(LOOK_PAUSE).await;
            if self.inner.changes.receiver_count() == 0 {
                continue;
            }
            // a store that does not answer changes nothing; whoever then looks is told so
            let Ok(count) = self.inner.shelf.changes().await else {
                continue;
            };
            if seen.replace(count) != Some(count) {
                self.tick();
            }
        }
    }

    /// How many wait for people, up to [`LISTED_AT_MOST`].
    ///
    /// # Errors
    /// Any [`ApprovalsError`]
    pub async fn pending(&self) -> Result<usize, ApprovalsError> {
        if self.inner.shelf.changes().await? == 0 {
            return Ok(0);
        }
        Ok(self.list(Some(State::Pending)).await?.len())
    }

    /// Ends every request whose time is over; gives those that this call ended.
    ///
    /// # Errors
    /// Any [`ApprovalsError`]: the others come next time.
    pub async fn expire(&self) -> Result<Vec<Approval>, ApprovalsError> {
        if self.inner.shelf.changes().await? == 0 {
            return Ok(Vec::new());
        }
        let ids = self.inner.shelf.not_ended(LISTED_AT_MOST).await?;
        let looked = self.inner.shelf.look(&ids).await?;
        let mut ended = Vec::new();
        for (id, found) in ids.into_iter().zip(looked.found) {
            let record = self.believed(id, &looked.run, &found);
            let Some((record, sealed)) = record.zip(found.record) else {
                continue;
            };
            let Some(next) = record.expired(looked.now, ApprovalId::random()?.to_string()) else {
                continue;
            };
            let (since, until) = (record.expires_ms, record.drops_ms());
            let now = looked.now;
            let read = Read {
                record,
                sealed,
                hidden: None,
                now,
            };
            if self.change(id, &read, &next, since, until).await? == Written::Done {
                ended.push(next.shown(id, now, None));
            }
        }
        Ok(ended)
    }
}
