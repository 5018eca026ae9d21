//! Logs larger than memory.
