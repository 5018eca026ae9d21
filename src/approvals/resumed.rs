//! What a client is given to bring back when it was pointed to the page where people decide. It grants nothing: what
//! counts is the request that stands for the call.

use data_encoding::BASE64URL_NOPAD;

use super::ApprovalsError;
use super::approval::{Approval, ApprovalId};
use super::book::Approvals;

/// Every state of this kind begins so.
pub const STATE_MARKER: &str = "toolgate-approval.";

/// A state that was given to this grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumed {
    pub id: ApprovalId,
    /// Store time in ms until which the request stood.
    pub expires_ms: u64,
    digest: String,
}

impl Resumed {
    /// Whether it was given for the call with this digest.
    pub fn is_of(&self, digest: &str) -> bool {
        self.digest == digest
    }
}

impl Approvals {
    /// The state for a client of the grant with this identity.
    ///
    /// # Errors
    /// [`ApprovalsError::Sealing`]
    pub fn state_for(&self, identity: &str, approval: &Approval) -> Result<String, ApprovalsError> {
        let text = format!("{}.{}.{}", approval.id, approval.expires_ms, approval.digest);
        let tag = self.inner.seal.sign(&[identity.as_bytes(), text.as_bytes()])?;
        Ok(format!("{STATE_MARKER}{text}.{}", BASE64URL_NOPAD.encode(&tag)))
    }

    /// What a state says; `None` where it was not given to the grant with this identity.
    pub fn resumed(&self, identity: &str, state: &str) -> Option<Resumed> {
        let (text, tag) = state.strip_prefix(STATE_MARKER)?.rsplit_once('.')?;
        let tag = BASE64URL_NOPAD.decode(tag.as_bytes()).ok()?;
        let parts = [identity.as_bytes(), text.as_bytes()];
        if !self.inner.seal.verifies(&parts, &tag) {
            return None;
        }
        let mut parts = text.splitn(3, '.');
        Some(Resumed {
            id: ApprovalId::parse(parts.next()?)?,
            expires_ms: parts.next()?.parse().ok()?,
            digest: parts.next()?.to_owned(),
        })
    }
}
