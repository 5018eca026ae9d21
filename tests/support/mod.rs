//! What the tests on real parts share: toolgate itself, real MCP servers and clients, Redis, and a wire that breaks.
//!
//! Everything listens on loopback, on ports that the started part chose and told. Nothing is skipped: a part that is
//! not installed fails the test with the command that installs it.
#![allow(dead_code, reason = "each test file uses its own part of these helpers")]

pub mod browser;
pub mod canned;
pub mod child;
pub mod clients;
pub mod gate;
pub mod history;
pub mod http;
pub mod mcp;
pub mod redis;
pub mod relay;
pub mod scene;
pub mod servers;
pub mod wait;
pub mod ways_round;
pub mod wrapped;
