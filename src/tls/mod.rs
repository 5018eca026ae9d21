//! TLS on both sides: certificates and keys from files, followed as the files change.
//!
//! rustls with ring alone. Files are compared by content, so that swapped symlinks are seen, and a set of files that
//! does not fit together leaves the last good one in force.

mod client;
mod files;
mod live;
mod server;

pub use client::ClientTls;
pub use files::TlsError;
pub use server::ServerTls;
