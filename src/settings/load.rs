//! From file and environment to [`Settings`], with every problem at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Uri;

use super::environment::environment;
use super::file::{ServerFile, SettingsFile};
use super::{
    ApprovalSettings, Audit, CommandServer, Console, Counters, Egress, Files, Front, Issuer, Limits, LogForm,
    Server, Tracing, Webhook,
};

/// The prefix of every environment override: `TOOLGATE__SECTION__KEY`.
const ENV_PREFIX: &str = "TOOLGATE";
const ENV_SEPARATOR: &str = "__";

/// Everything `serve` needs to know, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    pub front: Front,
    pub counters: Counters,
    pub limits: Limits,
    pub audit: Audit,
    /// Those at a URL.
    pub servers: BTreeMap<String, Server>,
    /// Those that are programs; no name is in both.
    pub commands: BTreeMap<String, CommandServer>,
    pub issuers: BTreeMap<String, Issuer>,
    pub approvals: ApprovalSettings,
    /// None: there is no console.
    pub console: Option<Console>,
    /// Who is told of calls that wait for a person.
    pub webhooks: Vec<Webhook>,
    /// None: spans are not exported.
    pub tracing: Option<Tracing>,
    /// None: text on a terminal, JSON elsewhere.
    pub log: Option<LogForm>,
    /// The way to servers elsewhere.
    pub egress: Egress,
    pub files: Files,
}

impl Settings {
    /// The names of all servers.
    pub fn server_names(&self) -> impl Iterator<Item = &str> + Clone {
        self.servers
            .keys()
            .chain(self.commands.keys())
            .map(String::as_str)
    }
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
        probe_upstreams: Some(false),
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
    pub(super) base: &'a Path,
    pub(super) env: &'a BTreeMap<String, String>,
    /// The server of `toolgate wrap`.
    pub(super) wrapped: Option<&'a str>,
    /// The way to servers elsewhere.
    pub(super) egress: Egress,
    problems: Vec<String>,
}

impl<'a> Check<'a> {
    pub(super) const fn new(path: &'a Path, base: &'a Path, env: &'a BTreeMap<String, String>) -> Self {
        Self {
            path,
            base,
            env,
            wrapped: None,
            egress: Egress::direct(),
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
        self.egress = self.read_egress();
        let (commands, urls): (Vec<_>, Vec<_>) = written
            .servers
            .iter()
            .partition(|(_, server)| server.command.is_some());
        let servers = urls
            .into_iter()
            .filter_map(|(name, server)| Some((name.clone(), self.server(name, server)?)))
            .collect();
        let commands = commands
            .into_iter()
            .filter_map(|(name, server)| Some((name.clone(), self.command(name, server)?)))
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
        let front = self.front(written);
        let issuers = self.issuers(written, &front);
        self.forwarding(written);
        let counters = self.counters(&written.counters);
        Settings {
            audit: self.audit(&written.audit, &counters),
            limits: self.limits(written),
            servers,
            commands,
            console: self.console(written),
            webhooks: self.webhooks(&written.approvals.webhooks),
            tracing: self.tracing(&written.tracing),
            log: self.log(written),
            egress: self.egress.clone(),
            files: Files {
                issuers: issuers.keys().cloned().collect(),
                anonymous: self.anonymous(written),
                settings: self.path.to_owned(),
                policies,
                grants: written.grants.as_ref().map(|path| self.base.join(path)),
                approvers: self.approvers(written),
                pins: written.pins(self.path),
                can_ask: Self::can_ask(written, &counters),
            },
            approvals: self.approvals(&written.approvals),
            counters,
            front,
            issuers,
        }
    }

    pub(super) fn address(&mut self, key: &str, text: Option<&str>, default: SocketAddr) -> SocketAddr {
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

    pub(super) fn url(&mut self, key: &str, text: &str) -> Option<Uri> {
        match text.parse::<Uri>() {
            Ok(uri) if is_http(&uri) => Some(uri),
            _ => {
                self.problem(key, "not a URL that can be asked: write http://HOST:PORT/PATH or https://…, without user or fragment");
                None
            }
        }
    }

    pub(super) fn millis(&mut self, key: &str, value: Option<u64>, default: u64) -> Duration {
        if value == Some(0) {
            self.problem(key, "must be at least 1 millisecond");
        }
        Duration::from_millis(value.unwrap_or(default).clamp(1, 7 * 24 * 3_600_000))
    }
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
