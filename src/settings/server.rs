//! One entry of the section `servers`.

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};

use super::file::ServerFile;
use super::load::Check;
use super::{CredentialSource, SecretSource, Server};

/// What only a server with `command` has.
const COMMAND_KEYS: [&str; 4] = ["env", "sessions", "processes", "process_idle_ms"];

const fn set_of_command(written: &ServerFile) -> [bool; 4] {
    [
        written.env.is_some(),
        written.sessions.is_some(),
        written.processes.is_some(),
        written.process_idle_ms.is_some(),
    ]
}

/// Looks whether a server can be called so.
///
/// # Errors
/// What a name is made of.
pub fn check_server_name(name: &str) -> Result<(), &'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.is_empty() && name.chars().all(plain) && !name.starts_with('.') {
        return Ok(());
    }
    Err(
        "a server's name is part of URLs and of names of files: use letters, digits, `-`, `_` and `.` (not first)",
    )
}

impl Check<'_> {
    /// `key` is where the name stands.
    pub(super) fn server_name(&mut self, key: &str, name: &str) {
        if let Err(hint) = check_server_name(name) {
            self.problem(key, hint);
        }
    }

    pub(super) fn server(&mut self, name: &str, written: &ServerFile) -> Option<Server> {
        let key = |field: &str| format!("servers.{name}.{field}");
        self.server_name(&format!("servers.{name}"), name);
        for (field, set) in COMMAND_KEYS.into_iter().zip(set_of_command(written)) {
            if set {
                self.problem(&key(field), "is for a server with `command`: remove it");
            }
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
            self.problem(
                &key("upstream"),
                "missing: add `upstream: http://HOST:PORT/mcp`, or `command: [PROGRAM, ARGUMENT]`",
            );
            return None;
        };
        let upstream = self.url(&key("upstream"), text)?;
        let headers: Vec<_> = written
            .headers
            .iter()
            .filter_map(|(header, source)| self.header(&key(&format!("headers.{header}")), header, source))
            .collect();
        let oauth = written.oauth.as_ref();
        let oauth = oauth.and_then(|oauth| self.oauth(&key("oauth"), oauth));
        if oauth.is_some() && headers.iter().any(|(name, _)| name == AUTHORIZATION) {
            let hint = "the tokens go into `Authorization`, which `headers` sets too: remove one of them";
            self.problem(&key("oauth"), hint);
        }
        let is_https = upstream.scheme_str() == Some("https");
        let tls = self.upstream_tls(&key("upstream_tls"), written.upstream_tls.as_ref(), is_https);
        let forward = self.forwards(&key("authorization"), written);
        let resource = written.resource.as_deref();
        let resource = resource.and_then(|text| self.resource(&key("resource"), text));
        self.scopes(&key("scopes"), &written.scopes);
        Some(Server {
            upstream,
            headers,
            oauth,
            tls,
            egress: self.egress.clone(),
            forward,
            resource,
            scopes: written.scopes.clone(),
            pass_host,
            connect_timeout: self.millis(&key("connect_timeout_ms"), written.connect_timeout_ms, 5_000),
            response_timeout: self.millis(&key("response_timeout_ms"), written.response_timeout_ms, 300_000),
            idle_timeout: self.millis(&key("idle_timeout_ms"), written.idle_timeout_ms, 3_600_000),
        })
    }

    pub(super) fn header(
        &mut self,
        key: &str,
        name: &str,
        source: &SecretSource,
    ) -> Option<(HeaderName, CredentialSource)> {
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
        let value = self.credential(key, source)?;
        if HeaderValue::from_str(value.value.expose()).is_err() {
            self.problem(key, "the value has characters that a header cannot carry");
            return None;
        }
        Some((header, value))
    }
}
