//! From file and environment to [`Settings`], with every problem at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderName, HeaderValue, Uri};

use super::environment::environment;
use super::file::{CountersFile, ServerFile, SettingsFile};
use super::secret::Secret;
use super::{Counters, Files, Front, Limits, Server, defaults};

/// The prefix of every environment override: `TOOLGATE__SECTION__KEY`.
const ENV_PREFIX: &str = "TOOLGATE";
const ENV_SEPARATOR: &str = "__";

/// Everything `serve` needs to know, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    pub front: Front,
    pub counters: Counters,
    pub limits: Limits,
    pub servers: BTreeMap<String, Server>,
    pub files: Files,
}

/// What is wrong with the settings: one line a problem, each with file, place and remedy.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("{}: cannot read the settings: {source}; name another file with --config", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
}

/// Reads `path` and the process environment.
pub fn load(path: &Path) -> Result<Settings, SettingsError> {
    load_with(path, &environment())
}

/// Reads `path` with the environment given.
pub fn load_with(path: &Path, env: &BTreeMap<String, String>) -> Result<Settings, SettingsError> {
    let text = std::fs::read_to_string(path).map_err(|source| SettingsError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let written = read(path, &text, env)?;
    check(path, env, &written)
}

/// Settings of a gate in memory before one server, without a file or the environment: the demo's.
pub fn for_one_server(
    name: &str,
    upstream: &str,
    listen: SocketAddr,
    admin: SocketAddr,
) -> Result<Settings, SettingsError> {
    let server = ServerFile {
        upstream: Some(upstream.to_owned()),
        ..ServerFile::default()
    };
    let written = SettingsFile {
        listen: Some(listen.to_string()),
        admin: Some(admin.to_string()),
        drain_ms: Some(1_000),
        servers: BTreeMap::from([(name.to_owned(), server)]),
        ..SettingsFile::default()
    };
    check(Path::new("the demo's settings"), &BTreeMap::new(), &written)
}

fn check(
    path: &Path,
    env: &BTreeMap<String, String>,
    written: &SettingsFile,
) -> Result<Settings, SettingsError> {
    let base = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    Check::new(path, &base, env).settings_of(written)
}

/// The file alone first, so that an error has its line; then file and environment together.
pub(super) fn read(
    path: &Path,
    text: &str,
    env: &BTreeMap<String, String>,
) -> Result<SettingsFile, SettingsError> {
    let shown = path.display();
    if !text.trim().is_empty() {
        serde_saphyr::from_str::<SettingsFile>(text)
            .map_err(|error| SettingsError::Invalid(vec![format!("{shown}: {error}")]))?;
    }
    let prefix = format!("{ENV_PREFIX}{ENV_SEPARATOR}");
    let overrides = env.iter().filter(|(name, _)| name.starts_with(&prefix));
    let overrides = overrides
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let environment = config::Environment::with_prefix(ENV_PREFIX)
        .prefix_separator(ENV_SEPARATOR)
        .separator(ENV_SEPARATOR)
        .source(Some(overrides));
    config::Config::builder()
        .add_source(config::File::from_str(text, config::FileFormat::Yaml))
        .add_source(environment)
        .build()
        .and_then(config::Config::try_deserialize)
        .map_err(|error| {
            let hint = "the file alone is fine: look at the `TOOLGATE__…` environment variables";
            SettingsError::Invalid(vec![format!("{shown} with the environment: {error}; {hint}")])
        })
}

pub(super) struct Check<'a> {
    path: &'a Path,
    base: &'a Path,
    pub(super) env: &'a BTreeMap<String, String>,
    /// The server of `toolgate wrap`.
    pub(super) wrapped: Option<&'a str>,
    problems: Vec<String>,
}

impl<'a> Check<'a> {
    pub(super) const fn new(path: &'a Path, base: &'a Path, env: &'a BTreeMap<String, String>) -> Self {
        Self {
            path,
            base,
            env,
            wrapped: None,
            problems: Vec::new(),
        }
    }
}

impl Check<'_> {
    pub(super) fn problem(&mut self, key: &str, message: impl std::fmt::Display) {
        self.problems
            .push(format!("{}: `{key}`: {message}", self.path.display()));
    }

    pub(super) fn settings_of(mut self, written: &SettingsFile) -> Result<Settings, SettingsError> {
        let settings = self.settings(written);
        if self.problems.is_empty() {
            Ok(settings)
        } else {
            Err(SettingsError::Invalid(self.problems))
        }
    }

    fn settings(&mut self, written: &SettingsFile) -> Settings {
        let servers: BTreeMap<_, _> = written
            .servers
            .iter()
            .filter_map(|(name, server)| Some((name.clone(), self.server(name, server)?)))
            .collect();
        if written.servers.is_empty() && self.wrapped.is_none() {
            self.problem(
                "servers",
                "no server: add `servers: { NAME: { upstream: http://HOST:PORT/mcp } }`",
            );
        }
        let policies = written.policies.iter();
        let policies = policies
            .map(|(name, path)| (name.clone(), self.base.join(path)))
            .collect();
        Settings {
            front: self.front(written),
            counters: self.counters(&written.counters),
            limits: self.limits(written),
            servers,
            files: Files {
                settings: self.path.to_owned(),
                policies,
                grants: written.grants.as_ref().map(|path| self.base.join(path)),
                pins: written.pins(self.path),
            },
        }
    }

    fn front(&mut self, written: &SettingsFile) -> Front {
        let public_url = written
            .public_url
            .as_deref()
            .and_then(|text| self.url("public_url", text));
        let session_key = written.session_key.as_ref().and_then(|source| {
            match source.read(self.base, &|name| self.env.get(name).cloned()) {
                Ok(key) => Some(Secret::new(key.expose().clone().into_bytes())),
                Err(message) => {
                    self.problem("session_key", message);
                    None
                }
            }
        });
        Front {
            listen: self.address("listen", written.listen.as_deref(), defaults::LISTEN),
            admin: self.address("admin", written.admin.as_deref(), defaults::ADMIN),
            public_url,
            allowed_origins: written.allowed_origins.clone(),
            allowed_hosts: written
                .allowed_hosts
                .iter()
                .map(|host| host.to_ascii_lowercase())
                .collect(),
            session_key,
            drain: Duration::from_millis(written.drain_ms.unwrap_or(defaults::DRAIN_MS)),
        }
    }

    fn address(&mut self, key: &str, text: Option<&str>, default: SocketAddr) -> SocketAddr {
        let Some(text) = text else { return default };
        let text = text
            .strip_prefix("localhost:")
            .map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
        text.parse().unwrap_or_else(|_| {
            self.problem(
                key,
                format!("`{text}` is no address: write IP:PORT, such as 127.0.0.1:8080 or [::]:8080"),
            );
            default
        })
    }

    fn url(&mut self, key: &str, text: &str) -> Option<Uri> {
        match text.parse::<Uri>() {
            Ok(uri) if is_http(&uri) => Some(uri),
            _ => {
                self.problem(key, "not a URL that can be asked: write http://HOST:PORT/PATH or https://…, without user or fragment");
                None
            }
        }
    }

    fn counters(&mut self, written: &CountersFile) -> Counters {
        match (written.store.as_deref(), self.wrapped) {
            (None | Some("file"), Some(server)) => self.counters_file(written, server),
            (None, _) if written.url.is_some() => {
                self.problem("counters.url", "a URL without a store: add `store: redis`");
                Counters::Memory
            }
            (None | Some("memory"), _) => Counters::Memory,
            (Some("redis"), _) => {
                let url = written.url.clone().unwrap_or_default();
                if !url.starts_with("redis://") && !url.starts_with("rediss://") {
                    self.problem("counters.url", "write redis://HOST:PORT or rediss://HOST:PORT");
                }
                let deadline = written.deadline_ms.unwrap_or(defaults::STORE_DEADLINE_MS);
                if deadline == 0 || deadline > 60_000 {
                    self.problem("counters.deadline_ms", "must be 1 to 60000 milliseconds");
                }
                let prefix = written.prefix.clone().unwrap_or_else(|| "toolgate".to_owned());
                if prefix.is_empty() || prefix.contains(['{', '}']) {
                    self.problem("counters.prefix", "must be some letters, without braces");
                }
                let expected_replicas = written.expected_replicas.unwrap_or(1);
                if expected_replicas == 0 {
                    self.problem("counters.expected_replicas", "must be at least 1");
                }
                Counters::Redis {
                    expected_replicas: expected_replicas.max(1),
                    url: Secret::new(url),
                    prefix,
                    deadline: Duration::from_millis(deadline),
                }
            }
            (Some(other), _) => {
                let hint = format!("`{other}` is no store here: write memory or redis");
                self.problem("counters.store", hint);
                Counters::Memory
            }
        }
    }

    fn limits(&mut self, written: &SettingsFile) -> Limits {
        let limits = &written.limits;
        let mut at_least = |key: &str, value: Option<usize>, least: usize, default: usize| {
            let value = value.unwrap_or(default);
            if value < least {
                self.problem(&format!("limits.{key}"), format!("must be at least {least}"));
            }
            value.max(least)
        };
        Limits {
            body_bytes: at_least("body_bytes", limits.body_bytes, 1024, 4 << 20),
            headers: at_least("headers", limits.headers, 16, 100),
            // hyper refuses a smaller read buffer
            header_bytes: at_least("header_bytes", limits.header_bytes, 8192, 32_768),
            connections: at_least("connections", limits.connections, 1, 10_000),
            connections_per_peer: at_least("connections_per_peer", limits.connections_per_peer, 1, 1_000),
            line_bytes: at_least("line_bytes", limits.line_bytes, 1024, 16 << 20),
            max_list_bytes: at_least("max_list_bytes", limits.max_list_bytes, 1024, 8 << 20),
            header_timeout: self.millis("limits.header_timeout_ms", limits.header_timeout_ms, 5_000),
            body_timeout: self.millis("limits.body_timeout_ms", limits.body_timeout_ms, 30_000),
        }
    }

    fn millis(&mut self, key: &str, value: Option<u64>, default: u64) -> Duration {
        if value == Some(0) {
            self.problem(key, "must be at least 1 millisecond");
        }
        Duration::from_millis(value.unwrap_or(default).clamp(1, 7 * 24 * 3_600_000))
    }

    fn server(&mut self, name: &str, written: &ServerFile) -> Option<Server> {
        let key = |field: &str| format!("servers.{name}.{field}");
        if !is_server_name(name) {
            self.problem(
                &format!("servers.{name}"),
                "a server's name is part of its URL: use letters, digits, `-` and `_`",
            );
        }
        let pass_host = match written.host.as_deref() {
            None => false,
            Some("pass") => true,
            Some(other) => {
                self.problem(
                    &key("host"),
                    format!("`{other}` is not known: write `pass`, or leave the key out"),
                );
                false
            }
        };
        let Some(text) = written.upstream.as_deref() else {
            self.problem(&key("upstream"), "missing: add `upstream: http://HOST:PORT/mcp`");
            return None;
        };
        let upstream = self.url(&key("upstream"), text)?;
        let headers = written
            .headers
            .iter()
            .filter_map(|(header, source)| self.header(&key(&format!("headers.{header}")), header, source))
            .collect();
        Some(Server {
            upstream,
            headers,
            pass_host,
            connect_timeout: self.millis(&key("connect_timeout_ms"), written.connect_timeout_ms, 5_000),
            response_timeout: self.millis(&key("response_timeout_ms"), written.response_timeout_ms, 300_000),
            idle_timeout: self.millis(&key("idle_timeout_ms"), written.idle_timeout_ms, 3_600_000),
        })
    }

    fn header(
        &mut self,
        key: &str,
        name: &str,
        source: &super::SecretSource,
    ) -> Option<(HeaderName, Secret<HeaderValue>)> {
        const OURS: [&str; 6] = [
            "host",
            "content-length",
            "transfer-encoding",
            "connection",
            "upgrade",
            "te",
        ];
        let Ok(header) = name.parse::<HeaderName>() else {
            self.problem(key, "not a header name");
            return None;
        };
        if OURS.contains(&header.as_str()) {
            self.problem(key, "toolgate writes this header itself: remove it");
            return None;
        }
        let value = match source.read(self.base, &|name| self.env.get(name).cloned()) {
            Ok(value) => value,
            Err(message) => {
                self.problem(key, message);
                return None;
            }
        };
        let Ok(mut value) = HeaderValue::from_str(value.expose()) else {
            self.problem(key, "the value has characters that a header cannot carry");
            return None;
        };
        value.set_sensitive(true);
        Some((header, Secret::new(value)))
    }
}

/// A server's name is part of URLs, and of the name of a file.
pub(super) fn is_server_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && name.chars().all(plain) && !name.starts_with('.')
}

/// `http` or `https`, with a host and without user information.
fn is_http(uri: &Uri) -> bool {
    let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
    scheme
        && uri
            .authority()
            .is_some_and(|authority| !authority.as_str().contains('@'))
}

#[cfg(test)]
mod tests;
