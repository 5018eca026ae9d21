//! toolgate: a gate for the tool calls of AI agents.
//!
//! The rooms and the way of a call are described in `ARCHITECTURE.md`. Imports point one way:
//! `mcp` ← `policy` ← `counters` ← `proxy` ← `app` ← `main`; `document` is a leaf below `policy`.

pub mod admin;
pub mod app;
pub mod approvals;
pub mod audit;
pub mod cli;
pub mod client;
pub mod console;
pub mod convert;
pub mod counters;
pub mod demo;
pub mod document;
pub mod grants;
pub mod issuers;
pub mod mcp;
pub mod policy;
pub mod proxy;
pub mod record;
pub mod replay;
pub mod scan;
pub mod settings;
pub mod tls;
