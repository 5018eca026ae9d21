//! What a server's tools do, told from what they say of themselves. Pure.
//!
//! [`classify`] gives each tool a [`Class`], a [`Risk`] and the reasons. Names, descriptions and schemas come from the
//! server and may lie: a class is a first reading for a person, and no fence. Hints in `annotations` only ever raise it.

mod class;
mod classify;
mod describe;
mod drift;
mod fields;
mod kept;
mod money;
mod name;
mod risk;
mod starter;
mod verbs;
mod words;

pub use class::{Class, Risk};
pub use classify::{Classed, classify};
pub use drift::{Against, Change, Drift, Live, drift};
pub use kept::{Kept, NotKept, document};
pub use starter::{Starter, limit_of, starter};
