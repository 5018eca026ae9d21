//! Calls that wait for a person: what is asked, who has said what, and that one approval runs one call once.
//!
//! pending → approved → consumed, or denied, or expired. [`model`] is what the store does, in plain Rust;
//! `life` how one request goes on; `sealed` what makes a record one that can be believed. Everything is on
//! the store's clock.

mod approval;
mod book;
mod calls;
mod life;
pub mod model;
mod resumed;
mod sealed;
mod shelf;
mod spent;
mod tend;
pub mod wire;

pub use approval::{Approval, ApprovalId, Decision, State};
pub use book::{Approvals, Decided, LISTED_AT_MOST, REASON_AT_MOST};
pub use calls::{Asked, Consumed, Request, Ticket};
pub use resumed::{Resumed, STATE_MARKER};

use crate::counters::StoreError;

/// Why a request cannot be looked at or changed. No message holds a secret or an argument.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalsError {
    #[error("the approvals cannot be reached: {0}")]
    Store(#[from] StoreError),
    #[error("the approval is being changed by others all the time")]
    Contended,
    #[error("the operating system gave no random bytes")]
    Randomness,
    #[error("the approval cannot be sealed")]
    Sealing,
}

impl ApprovalsError {
    /// One word for log lines and metric labels; a closed set.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Store(error) => error.code(),
            Self::Contended => "contended",
            Self::Randomness => "randomness",
            Self::Sealing => "sealing",
        }
    }
}

#[cfg(test)]
mod tests;
