//! The audit log's chain: lines sealed with a hash, and the search for what was changed afterwards. Pure.
//!
//! Each line ends with `"boot"`, `"sequence"`, `"previous"` and `"hash"`. `hash` is the SHA-256 of the line's own
//! bytes up to the comma before it, and `previous` the `hash` of the line before: whoever changes a line must
//! change every later one, and what was noted elsewhere as the chain's head no longer fits.

mod entry;
mod line;
mod links;
mod seal;
mod top;
mod verify;

pub use entry::{Entry, Filter};
pub use line::{Broken, Sealed};
pub use links::{Finding, Gravity, Place};
pub use seal::{Chain, Head};
pub use top::{Row, Top};
pub use verify::{Report, Verifier};
