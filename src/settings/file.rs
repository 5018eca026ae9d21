//! `toolgate.yaml` as written: every key optional, unknown keys refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

use super::console::WebhookFile;
use super::oauth::OAuthFile;
use super::pins_file;
use super::secret::SecretSource;
use super::tls::{ListenTlsFile, UpstreamTlsFile};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SettingsFile {
    pub(super) listen: Option<String>,
    pub(super) admin: Option<String>,
    pub(super) console: Option<String>,
    #[serde(default, deserialize_with = "list")]
    pub(super) console_hosts: Vec<String>,
    pub(super) console_url: Option<String>,
    #[serde(default)]
    pub(super) approvals: ApprovalsFile,
    pub(super) public_url: Option<String>,
    #[serde(default, deserialize_with = "list")]
    pub(super) allowed_origins: Vec<String>,
    #[serde(default, deserialize_with = "list")]
    pub(super) allowed_hosts: Vec<String>,
    #[serde(default, deserialize_with = "list")]
    pub(super) trusted_proxies: Vec<String>,
    pub(super) forwarded_header: Option<String>,
    pub(super) tls: Option<ListenTlsFile>,
    pub(super) session_key: Option<SecretSource>,
    #[serde(default)]
    pub(super) issuers: BTreeMap<String, IssuerFile>,
    /// By server, the id of the grant that calls without a token act as.
    #[serde(default)]
    pub(super) anonymous: BTreeMap<String, String>,
    pub(super) drain_ms: Option<u64>,
    pub(super) drain_delay_ms: Option<u64>,
    pub(super) probe_upstreams: Option<bool>,
    pub(super) log: Option<String>,
    #[serde(default)]
    pub(super) tracing: TracingFile,
    #[serde(default)]
    pub(super) counters: CountersFile,
    #[serde(default)]
    pub(super) limits: LimitsFile,
    #[serde(default)]
    pub(super) audit: AuditFile,
    #[serde(default)]
    pub(super) servers: BTreeMap<String, ServerFile>,
    #[serde(default)]
    pub(super) policies: BTreeMap<String, PathBuf>,
    pub(super) grants: Option<PathBuf>,
}

impl SettingsFile {
    /// Where the pins of each pinned server are; `path` is that of the settings.
    pub(super) fn pins(&self, path: &Path) -> BTreeMap<String, PathBuf> {
        let pinned = self.servers.iter().filter(|(_, server)| server.pin);
        pinned
            .map(|(name, _)| (name.clone(), pins_file(path, name)))
            .collect()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApprovalsFile {
    pub(super) approvers: Option<PathBuf>,
    #[serde(default)]
    pub(super) webhooks: Vec<WebhookFile>,
    pub(super) hold_ms: Option<u64>,
    pub(super) expires: Option<String>,
    pub(super) key: Option<SecretSource>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CountersFile {
    pub(super) store: Option<String>,
    pub(super) url: Option<String>,
    pub(super) sentinel: Option<SentinelFile>,
    #[serde(default, deserialize_with = "list")]
    pub(super) cluster: Vec<String>,
    pub(super) username: Option<String>,
    pub(super) password: Option<SecretSource>,
    #[serde(default)]
    pub(super) tls: StoreTlsFile,
    pub(super) prefix: Option<String>,
    pub(super) after_failover: Option<String>,
    pub(super) failover_quarantine_max: Option<String>,
    pub(super) deadline_ms: Option<u64>,
    pub(super) expected_replicas: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TracingFile {
    pub(super) otlp: Option<String>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, SecretSource>,
    pub(super) sample: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SentinelFile {
    pub(super) master: String,
    #[serde(deserialize_with = "list")]
    pub(super) urls: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoreTlsFile {
    pub(super) ca: Option<PathBuf>,
    pub(super) cert: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsFile {
    pub(super) body_bytes: Option<usize>,
    pub(super) headers: Option<usize>,
    pub(super) header_bytes: Option<usize>,
    pub(super) connections: Option<usize>,
    pub(super) connections_per_peer: Option<usize>,
    pub(super) header_timeout_ms: Option<u64>,
    pub(super) body_timeout_ms: Option<u64>,
    pub(super) idle_timeout_ms: Option<u64>,
    pub(super) write_timeout_ms: Option<u64>,
    pub(super) connection_age_ms: Option<u64>,
    pub(super) requests_per_connection: Option<usize>,
    pub(super) streams_per_connection: Option<usize>,
    pub(super) streams: Option<usize>,
    pub(super) streams_per_grant: Option<usize>,
    pub(super) body_memory_bytes: Option<usize>,
    pub(super) max_list_bytes: Option<usize>,
    pub(super) line_bytes: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditFile {
    pub(super) file: Option<PathBuf>,
    pub(super) rotate_bytes: Option<u64>,
    pub(super) keep: Option<u32>,
    pub(super) stdout: Option<bool>,
    pub(super) redis_stream: Option<String>,
    pub(super) redis_lines: Option<u64>,
    pub(super) overflow: Option<String>,
    pub(super) on_error: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServerFile {
    pub(super) upstream: Option<String>,
    pub(super) command: Option<Vec<String>>,
    pub(super) env: Option<Vec<String>>,
    pub(super) sessions: Option<String>,
    pub(super) processes: Option<usize>,
    pub(super) process_idle_ms: Option<u64>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, SecretSource>,
    pub(super) upstream_tls: Option<UpstreamTlsFile>,
    pub(super) oauth: Option<OAuthFile>,
    pub(super) host: Option<String>,
    pub(super) connect_timeout_ms: Option<u64>,
    pub(super) response_timeout_ms: Option<u64>,
    pub(super) idle_timeout_ms: Option<u64>,
    #[serde(default)]
    pub(super) pin: bool,
    pub(super) authorization: Option<String>,
    pub(super) resource: Option<String>,
    #[serde(default, deserialize_with = "list")]
    pub(super) scopes: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IssuerFile {
    pub(super) issuer: Option<String>,
    pub(super) jwks: Option<String>,
    pub(super) jwks_ca: Option<PathBuf>,
    pub(super) jwks_token: Option<PathBuf>,
    #[serde(default, deserialize_with = "list")]
    pub(super) audience: Vec<String>,
    #[serde(default, deserialize_with = "list")]
    pub(super) algorithms: Vec<String>,
    pub(super) advertise: Option<bool>,
}

/// A list, or (from the environment) its items with commas between them.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::Many(items) => items,
        OneOrMany::One(text) => text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect(),
    })
}
