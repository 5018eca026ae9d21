//! What the page shows beside approvals; the application says how to learn it.

use std::sync::Arc;

use serde::Serialize;

use crate::admin::{Later, Probes};

/// How the page learns what it shows.
#[derive(Clone)]
pub struct Views {
    pub probes: Probes,
    /// Where every limit of every grant stands. Answers within a bound.
    pub limits: Arc<dyn Fn() -> Later<Limits> + Send + Sync>,
}

/// Limits of grants that stand in the file.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    pub rows: Vec<Usage>,
    /// Those that were not asked for, since they are too many.
    pub left_out: usize,
    /// The store does not answer.
    pub unknown: bool,
}

/// Where one limit stands, over all replicas.
#[derive(Clone, Debug, Serialize)]
pub struct Usage {
    pub grant: String,
    pub counter: String,
    pub scope: &'static str,
    /// In words.
    pub window: String,
    pub used: u64,
    pub max: u64,
    /// Milliseconds until the next unit frees; 0: nothing is used.
    pub next_free_ms: u64,
    pub shadow: bool,
    /// Those that the grant reaches.
    #[serde(skip)]
    pub servers: Vec<String>,
}
