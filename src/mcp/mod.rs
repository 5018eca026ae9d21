//! What MCP messages say, read strictly. Pure: no I/O, no clock.
//!
//! One strict reading of a body decides; bytes that could be read in two ways are refused; the
//! bytes forwarded are the bytes judged. Answers are filtered by cutting their original bytes.

pub mod beside;
pub mod envelope;
pub mod headers;
pub mod ids;
pub mod input_required;
pub mod keys;
pub mod line;
pub mod list;
pub mod progress;
pub mod renumber;
pub mod reply;
pub mod scout;
pub mod skim;
pub mod sse;
mod strict;
pub mod subscription;
pub(crate) mod text;
pub mod tools;
pub mod trace;

#[cfg(test)]
mod ways_round_tests;
