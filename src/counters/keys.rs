//! Names of counters in the store.
//!
//! `prefix:1:{slot}:name`, where `slot` is the 128-bit hash of the slot group in hex and `name` the
//! 128-bit hash of what is counted, in base64url. Nothing that a caller sends stands in a key as it
//! came, so braces, colons and NUL in a session id cannot choose a slot or meet another key.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use sha2::{Digest, Sha256};

use crate::policy::{Charge, Limit, Subject, Window};

/// Version of the key layout, not of the values (those carry a format byte).
const LAYOUT: &str = "1";

/// Counters that must be reachable in one script call: on a cluster they share a hash slot.
///
/// The order is the order of charging, narrowest first: an agent that runs away is stopped by its own
/// limits before it touches what others share.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SlotGroup {
    Grant(String),
    /// The claim's name and the digest of its value.
    Claim(String, String),
    Server(String),
    Global,
}

impl SlotGroup {
    /// The slot group in which a subject is counted.
    pub fn of(subject: &Subject) -> Self {
        match subject {
            Subject::Grant { grant }
            | Subject::Session { grant, .. }
            | Subject::Argument { grant, .. }
            | Subject::Arguments { grant, .. } => Self::Grant(grant.clone()),
            Subject::Claim { name, digest } => Self::Claim(name.clone(), digest.clone()),
            Subject::Server { server } => Self::Server(server.clone()),
            Subject::Global => Self::Global,
        }
    }

    fn tag(&self) -> String {
        let fields: &[&str] = match self {
            Self::Grant(grant) => &["grant", grant],
            Self::Claim(name, digest) => &["claim", name, digest],
            Self::Server(server) => &["server", server],
            Self::Global => &["global"],
        };
        HEXLOWER.encode(&hash(fields))
    }
}

/// The key of one charge, with its companions where the scope is bounded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    pub key: String,
    /// `(overflow, index)` where the caller chooses the value.
    pub bound: Option<(String, String)>,
}

/// Names the key that `charge` counts in.
pub fn names(prefix: &str, charge: &Charge) -> Names {
    let group = SlotGroup::of(&charge.subject).tag();
    let name = |value: &[&str]| {
        let fields = fields(&charge.limit, value);
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        format!(
            "{prefix}:{LAYOUT}:{{{group}}}:{}",
            BASE64URL_NOPAD.encode(&hash(&fields))
        )
    };
    let (key, bounded) = match &charge.subject {
        Subject::Grant { .. } => (name(&["grant"]), false),
        Subject::Session { session: None, .. } => (name(&["session", "none"]), false),
        Subject::Session {
            server,
            session: Some(session),
            ..
        } => (name(&["session", "of", server, session]), true),
        Subject::Server { .. } => (name(&["server"]), false),
        Subject::Global => (name(&["global"]), false),
        Subject::Claim { name: claim, digest } => (name(&["claim", "of", claim, digest]), false),
        Subject::Argument { path, digest, .. } => (name(&["argument", "of", path, digest]), true),
        Subject::Arguments { digest, .. } => (name(&["arguments", "of", digest]), true),
    };
    let companions: &[&str] = match &charge.subject {
        Subject::Argument { path, .. } => &["argument", path],
        Subject::Arguments { .. } => &["arguments"],
        _ => &["session"],
    };
    let companion = |what: &'static str| name(&[companions, &[what]].concat());
    let bound = bounded.then(|| (companion("overflow"), companion("index")));
    Names { key, bound }
}

/// The name under which the replicas share a secret: outside every slot group.
pub fn secret_key(prefix: &str, name: &str) -> String {
    format!(
        "{prefix}:{LAYOUT}:secret:{}",
        HEXLOWER.encode(&hash(&["secret", name]))
    )
}

/// The stream that the audit log is kept in: a name that people can write.
pub fn stream_key(prefix: &str, stream: &str) -> String {
    format!("{prefix}:{stream}")
}

/// Where the number of the chain's last line in that stream is kept: in the stream's own slot.
pub fn chain_key(prefix: &str, stream: &str, chain: &str) -> String {
    format!("{prefix}:{LAYOUT}:chain:{{{prefix}:{stream}}}:{chain}")
}

/// Where the heads of all chains are kept.
pub fn heads_key(prefix: &str) -> String {
    format!("{prefix}:{LAYOUT}:heads")
}

/// The name under which the replicas share a list: outside every slot group.
pub fn list_key(prefix: &str, name: &str) -> String {
    format!("{prefix}:{LAYOUT}:list:{name}")
}

/// What is kept of requests for approval, all in one slot of their own: `of` says what, `name` of which one.
pub fn approval_key(prefix: &str, of: &str, name: &str) -> String {
    let tag = HEXLOWER.encode(&hash(&["approvals"]));
    let name = BASE64URL_NOPAD.encode(&hash(&["approvals", of, name]));
    format!("{prefix}:{LAYOUT}:{{{tag}}}:{of}:{name}")
}

fn fields(limit: &Limit, value: &[&str]) -> Vec<String> {
    let (mode, window) = match limit.window {
        Window::Sliding { ms } => ("sliding", ms.to_string()),
        Window::Calendar(unit) => ("calendar", unit.as_str().to_owned()),
        // Leases of different lengths take places of one `max`.
        Window::Lease { .. } => ("lease", String::new()),
    };
    let mut fields = vec![limit.scope.as_str().to_owned(), value.len().to_string()];
    fields.extend(value.iter().map(|&part| part.to_owned()));
    fields.extend([
        limit.counter.clone(),
        window,
        mode.to_owned(),
        limit.scale.to_string(),
    ]);
    if limit.shadow {
        fields.push("shadow".to_owned());
    }
    fields
}

/// SHA-256 of the fields, each behind its length, cut to 128 bits.
fn hash(fields: &[&str]) -> [u8; 16] {
    let mut digest = Sha256::new();
    for field in fields {
        let length = u64::try_from(field.len()).unwrap_or(u64::MAX);
        digest.update(length.to_be_bytes());
        digest.update(field.as_bytes());
    }
    let mut short = [0; 16];
    for (to, from) in short.iter_mut().zip(digest.finalize()) {
        *to = from;
    }
    short
}

#[cfg(test)]
mod tests;
