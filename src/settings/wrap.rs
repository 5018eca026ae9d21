//! Settings of `toolgate wrap`: of the file and the environment it takes counters and limits, and the server
//! comes from the command line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::environment::environment;
use super::file::{CountersFile, ServerFile, SettingsFile, StoreTlsFile};
use super::load::{Check, Settings, SettingsError, read};
use super::{Counters, SecretSource, defaults};

/// What the command line says.
pub struct Wrapped<'a> {
    pub config: Option<&'a Path>,
    pub server: &'a str,
    /// The URL of an HTTP server; `None`: a command.
    pub upstream: Option<&'a str>,
    /// `NAME=VARIABLE`: a header for the HTTP server, and the variable that holds its value.
    pub headers: &'a [String],
}

/// Reads the settings of one wrapped server, with the process environment.
///
/// # Errors
/// Every problem at once.
pub fn for_wrap(wrapped: &Wrapped<'_>) -> Result<Settings, SettingsError> {
    for_wrap_with(wrapped, &environment())
}

/// The same with the environment given.
///
/// # Errors
/// Every problem at once.
pub fn for_wrap_with(
    wrapped: &Wrapped<'_>,
    env: &BTreeMap<String, String>,
) -> Result<Settings, SettingsError> {
    let path = wrapped.config.unwrap_or(Path::new("the settings"));
    let text = match wrapped.config {
        None => String::new(),
        Some(path) => std::fs::read_to_string(path).map_err(|source| SettingsError::Unreadable {
            path: path.to_owned(),
            source,
        })?,
    };
    let mut written = read(path, &text, env)?;
    let base = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    let mut check = Check::new(path, &base, env);
    check.wrapped = Some(wrapped.server);
    check.server_name("--server", wrapped.server);
    let mut pins = written.pins(path);
    pins.retain(|name, _| name == wrapped.server);
    let own = wrapped.upstream.map(|url| {
        let server = check.wrapped_server(&mut written, wrapped, url);
        (wrapped.server.to_owned(), server)
    });
    written.servers = own.into_iter().collect();
    let mut settings = check.settings_of(&written)?;
    settings.files.pins = pins;
    Ok(settings)
}

impl Check<'_> {
    fn wrapped_server(&mut self, written: &mut SettingsFile, wrapped: &Wrapped<'_>, url: &str) -> ServerFile {
        let mut server = written.servers.remove(wrapped.server).unwrap_or_default();
        server.upstream = Some(url.to_owned());
        for header in wrapped.headers {
            match header.split_once('=') {
                Some((name, variable)) if !name.is_empty() && !variable.is_empty() => {
                    let source = SecretSource::of_env(variable.to_owned());
                    server.headers.insert(name.to_owned(), source);
                }
                _ => self.problem("--header", "write NAME=VARIABLE, such as Authorization=MY_TOKEN"),
            }
        }
        server
    }

    /// Counters in a file of the user's, one for each server.
    pub(super) fn counters_file(&mut self, written: &CountersFile, server: &str) -> Counters {
        let deadline = written.deadline_ms.unwrap_or(defaults::FILE_DEADLINE_MS);
        if deadline == 0 || deadline > 60_000 {
            self.problem("counters.deadline_ms", "must be 1 to 60000 milliseconds");
        }
        for (field, _) in of_redis(written).into_iter().filter(|(_, set)| *set) {
            self.problem(
                &format!("counters.{field}"),
                "is for Redis, and counters are in a file here: write `store: redis`, or remove it",
            );
        }
        let Some(folder) = state_folder(self.env) else {
            let hint = "no folder for the file: set `HOME`, or `XDG_STATE_HOME` to an absolute path";
            self.problem("counters.store", hint);
            return Counters::Memory;
        };
        Counters::File {
            path: folder.join("toolgate").join(format!("{server}.counters")),
            deadline: Duration::from_millis(deadline),
        }
    }
}

/// What means nothing for a file, and whether it is set.
fn of_redis(written: &CountersFile) -> [(&'static str, bool); 10] {
    let StoreTlsFile { ca, cert, key } = &written.tls;
    [
        ("url", written.url.is_some()),
        ("sentinel", written.sentinel.is_some()),
        ("cluster", !written.cluster.is_empty()),
        ("username", written.username.is_some()),
        ("password", written.password.is_some()),
        ("tls", ca.is_some() || cert.is_some() || key.is_some()),
        ("prefix", written.prefix.is_some()),
        ("after_failover", written.after_failover.is_some()),
        (
            "failover_quarantine_max",
            written.failover_quarantine_max.is_some(),
        ),
        ("expected_replicas", written.expected_replicas.is_some()),
    ]
}

/// The user's state folder (XDG Base Directory Specification 0.8).
fn state_folder(env: &BTreeMap<String, String>) -> Option<PathBuf> {
    let absolute = |name: &str| env.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::{Check, Wrapped, for_wrap_with};
    use crate::settings::Counters;

    fn env(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = entries
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        owned.collect()
    }

    const COMMAND: Wrapped<'_> = Wrapped {
        config: None,
        server: "files",
        upstream: None,
        headers: &[],
    };

    fn file(entries: &[(&str, &str)]) -> String {
        match for_wrap_with(&COMMAND, &env(entries)).unwrap().counters {
            Counters::File { path, .. } => path.display().to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn counters_are_in_a_file_of_the_users_state_folder_unless_redis_is_set() {
        let home = ("HOME", "/home/u");
        assert_eq!(file(&[home]), "/home/u/.local/state/toolgate/files.counters");
        assert_eq!(
            file(&[home, ("XDG_STATE_HOME", "/s")]),
            "/s/toolgate/files.counters"
        );
        assert_eq!(
            file(&[home, ("XDG_STATE_HOME", "relative")]),
            "/home/u/.local/state/toolgate/files.counters"
        );
        let redis = [
            home,
            ("TOOLGATE__COUNTERS__STORE", "redis"),
            ("TOOLGATE__COUNTERS__URL", "redis://127.0.0.1:6379"),
        ];
        let settings = for_wrap_with(&COMMAND, &env(&redis)).unwrap();
        assert!(matches!(settings.counters, Counters::Redis { .. }));
    }

    #[test]
    fn a_file_of_counters_takes_no_key_that_is_for_redis() {
        let env = env(&[("HOME", "/h"), ("P", "secret")]);
        let load = |counters: &str| {
            let written = serde_saphyr::from_str(&format!("counters: {{ {counters} }}")).unwrap();
            let mut check = Check::new(Path::new("toolgate.yaml"), Path::new(""), &env);
            check.wrapped = Some("files");
            check.settings_of(&written).map_err(|error| error.to_string())
        };
        for counters in [
            "url: 'redis://h:1'",
            "sentinel: { master: m, urls: ['redis://h:1'] }",
            "cluster: ['redis://h:1']",
            "username: u",
            "password: { env: P }",
            "tls: { ca: ca.pem }",
            "prefix: p",
            "after_failover: restore",
            "failover_quarantine_max: 5s",
            "expected_replicas: 3",
        ] {
            let (key, _) = counters.split_once(':').unwrap();
            let expected = format!(
                "toolgate.yaml: `counters.{key}`: is for Redis, and counters are in a file here: write `store: redis`, or remove it"
            );
            assert_eq!(load(counters).unwrap_err(), expected);
            assert_eq!(load(&format!("store: file, {counters}")).unwrap_err(), expected);
        }
        assert!(load("deadline_ms: 5").is_ok());
    }

    #[test]
    fn without_a_state_folder_or_with_a_bad_name_nothing_starts() {
        let error = for_wrap_with(&COMMAND, &env(&[])).unwrap_err().to_string();
        assert!(error.contains("set `HOME`"), "{error}");
        for server in ["", "../x", "a/b", ".hidden"] {
            let error = for_wrap_with(&Wrapped { server, ..COMMAND }, &env(&[("HOME", "/h")])).unwrap_err();
            assert!(error.to_string().contains("`--server`"), "{server}: {error}");
        }
        let config = Some(Path::new("/nowhere/toolgate.yaml"));
        assert!(for_wrap_with(&Wrapped { config, ..COMMAND }, &env(&[])).is_err());
    }

    #[test]
    fn an_http_server_gets_headers_from_the_environment() {
        let headers = ["Authorization=TOKEN".to_owned()];
        let wrapped = Wrapped {
            upstream: Some("http://127.0.0.1:1/mcp"),
            headers: &headers,
            ..COMMAND
        };
        let settings = for_wrap_with(&wrapped, &env(&[("HOME", "/h"), ("TOKEN", "Bearer x")])).unwrap();
        let server = &settings.servers["files"];
        assert_eq!(server.headers.len(), 1);
        assert_eq!(server.headers[0].1.value.expose(), "Bearer x");
        assert!(for_wrap_with(&wrapped, &env(&[("HOME", "/h")])).is_err());
    }
}
