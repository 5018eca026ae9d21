//! What the fuzz targets do with an input. tests/fuzz_corpus.rs runs the same over the corpus that is kept.

pub mod built;
pub mod decide;
pub mod dice;
pub mod envelope;
pub mod headers;
pub mod list_filter;
pub mod policy_document;
pub mod reading;
pub mod sse;

/// What a target does with one input: it panics where something does not hold.
pub type Run = fn(&[u8]);

/// Every target by name.
pub const TARGETS: [(&str, Run); 6] = [
    ("decide", decide::run),
    ("envelope", envelope::run),
    ("headers", headers::run),
    ("list_filter", list_filter::run),
    ("policy_document", policy_document::run),
    ("sse", sse::run),
];
