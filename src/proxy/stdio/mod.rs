//! MCP over stdio: one client on stdin and stdout, and behind it a child process or an HTTP server.
//!
//! Adapters only: what is judged, charged and recorded is decided in `exchange`, `weigh`, `stage` and `ledger`,
//! as over HTTP.

mod alone;
mod child;
mod client;
mod holding;
mod host;
mod lines;
mod listens;
mod pending;
mod place;
mod process;
mod remote;
mod session;
mod stream;

pub use alone::Alone;
pub use child::wrap_command;
pub use client::Caller;
pub use host::{Asks, Host, Talk, Turn, Visit};
pub use process::{ServerCommand, Signal, exit_code, signal_code};
pub use remote::wrap_upstream;
