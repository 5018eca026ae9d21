//! Replay: a recorded decision log and other policies → what would have been decided differently. Pure.
//!
//! Lines go through [`Order`](order) into the order of their times; each call is decided by the one
//! decision of `policy`, on what its record tells of it; its charges meet counters on recorded times.
//! Where a value that is not on record could change an answer, that is said and never guessed.

mod limits;
mod line;
mod order;
mod report;
mod rulebook;
mod run;
mod tally;
mod time;

pub use line::{Asked, Call, Fate, Line, Then};
pub use report::{Difference, Malformed, Noted, Report, Totals, Untold};
pub use rulebook::{Holder, Rulebook};
pub use run::{Filter, Replay};
