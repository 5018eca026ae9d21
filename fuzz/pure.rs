//! The rooms of toolgate that do no I/O, as a crate of their own for the fuzzers.

#![allow(dead_code, reason = "what only the rest of toolgate calls is unused here")]

#[path = "../src/document/mod.rs"]
pub mod document;
#[path = "../src/mcp/mod.rs"]
pub mod mcp;
#[path = "../src/policy/mod.rs"]
pub mod policy;

// The targets use the rooms by the name that tests/fuzz_corpus.rs knows them by.
extern crate self as toolgate;
#[path = "shared/mod.rs"]
pub mod shared;
