//! Calls that people must agree to: put before them, waited for, and run once.
//!
//! A call that needs people is looked at again from the start whenever its request was decided: who calls, the policy
//! in force, pins and limits. What it finds then is what counts; nothing is carried over from before but the ledger.

mod agree;
mod hold;
mod holds;
mod pointed;
mod received;
mod shown;
mod use_up;

pub use agree::{Agreed, NotAgreed, Waits};
pub(super) use agree::{agreed, written};
pub use hold::Hold;
pub use holds::{HELD_PER_GRANT, Held, Holds};
pub use pointed::{Brought, brought};
pub(super) use received::held;
pub use use_up::approval_of;
pub(super) use use_up::{Used, give_back, use_up};
