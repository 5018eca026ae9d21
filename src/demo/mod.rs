//! The demo: an example MCP server, the gate, and calls, in one process.

mod drive;
mod server;

pub use drive::{Call, Driver};
pub use server::serve;

/// The policy that the demo enforces: the sentence that the project stands on.
pub const POLICY: &str = r#"{ "version": "1", "default": "deny",
  "tools": { "start_run": { "limits": [
    { "counter": "start_run_rate", "window": "minute", "max": 10, "scope": "grant" } ] } } }
"#;
