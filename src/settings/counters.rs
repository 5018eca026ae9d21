//! The section `counters`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file::{CountersFile, StoreTlsFile};
use super::load::Check;
use super::{Secret, defaults};

/// Where counters live.
#[derive(Debug, Clone)]
pub enum Counters {
    /// This process only.
    Memory,
    /// The gates of one user before one server: `toolgate wrap` alone.
    File {
        path: PathBuf,
        deadline: Duration,
    },
    Redis(Box<Redis>),
}

/// Counters in Redis.
#[derive(Debug, Clone)]
pub struct Redis {
    pub place: Place,
    /// In place of what stands in the URLs.
    pub username: Option<String>,
    pub password: Option<Secret<String>>,
    pub tls: StoreTls,
    pub prefix: String,
    pub deadline: Duration,
    /// Replicas that share a limit counted with `on_store_error: local`; at least 1.
    pub expected_replicas: u64,
    pub after_failover: AfterFailover,
    /// Longer windows do not wait.
    pub quarantine_max: Duration,
}

/// What limits do after another server took the store's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterFailover {
    /// They wait for a window to pass.
    Quarantine,
    /// They wait until replicas have charged again what they were admitted lately.
    Restore,
    Continue,
}

/// Which Redis.
#[derive(Debug, Clone)]
pub enum Place {
    Single(Secret<String>),
    /// The sentinels, and their name of the primary.
    Sentinel {
        master: String,
        urls: Vec<Secret<String>>,
    },
    /// Some nodes of a cluster.
    Cluster(Vec<Secret<String>>),
}

/// PEM texts for a store over TLS.
#[derive(Debug, Clone, Default)]
pub struct StoreTls {
    pub ca: Option<Secret<Vec<u8>>>,
    /// The client's certificates and their key.
    pub client: Option<Secret<(Vec<u8>, Vec<u8>)>>,
}

impl Check<'_> {
    pub(super) fn counters(&mut self, written: &CountersFile) -> Counters {
        match (written.store.as_deref(), self.wrapped) {
            (None | Some("file"), Some(server)) => self.counters_file(written, server),
            (None, _) if written.url.is_some() => {
                self.problem("counters.url", "a URL without a store: add `store: redis`");
                Counters::Memory
            }
            (None, _) if written.sentinel.is_some() || !written.cluster.is_empty() => {
                self.problem("counters", "a place without a store: add `store: redis`");
                Counters::Memory
            }
            (None | Some("memory"), _) => Counters::Memory,
            (Some("redis"), _) => Counters::Redis(Box::new(self.redis(written))),
            (Some(other), _) => {
                let hint = format!("`{other}` is no store here: write memory or redis");
                self.problem("counters.store", hint);
                Counters::Memory
            }
        }
    }

    fn redis(&mut self, written: &CountersFile) -> Redis {
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
        let password = written.password.as_ref().map(|source| {
            let read = source.read(self.base, &|name| self.env.get(name).cloned());
            read.unwrap_or_else(|message| {
                self.problem("counters.password", message);
                Secret::new(String::new())
            })
        });
        if written.username.is_some() && password.is_none() {
            self.problem(
                "counters.username",
                "a user without a password: add `password: { env: NAME }`",
            );
        }
        Redis {
            place: self.place(written),
            username: written.username.clone(),
            password,
            tls: self.store_tls(&written.tls),
            prefix,
            deadline: Duration::from_millis(deadline),
            expected_replicas: expected_replicas.max(1),
            after_failover: self.after_failover(written.after_failover.as_deref()),
            quarantine_max: self.quarantine_max(written.failover_quarantine_max.as_deref()),
        }
    }

    fn after_failover(&mut self, written: Option<&str>) -> AfterFailover {
        match written {
            None | Some("quarantine") => AfterFailover::Quarantine,
            Some("restore") => AfterFailover::Restore,
            Some("continue") => AfterFailover::Continue,
            Some(other) => {
                let hint = format!("`{other}` is unknown: write quarantine, restore or continue");
                self.problem("counters.after_failover", hint);
                AfterFailover::Quarantine
            }
        }
    }

    fn quarantine_max(&mut self, written: Option<&str>) -> Duration {
        let Some(text) = written else {
            return defaults::QUARANTINE_MAX;
        };
        duration(text).unwrap_or_else(|| {
            let hint = format!("`{text}` is no duration up to 7d: write 60s, 5m, 1h or 1d, or 0s for none");
            self.problem("counters.failover_quarantine_max", hint);
            defaults::QUARANTINE_MAX
        })
    }

    fn place(&mut self, written: &CountersFile) -> Place {
        match (&written.url, &written.sentinel, written.cluster.as_slice()) {
            (Some(url), None, []) => Place::Single(self.redis_url("counters.url", url)),
            (None, Some(sentinel), []) => {
                if sentinel.urls.is_empty() {
                    self.problem(
                        "counters.sentinel.urls",
                        "no sentinel: write redis://HOST:PORT of each",
                    );
                }
                Place::Sentinel {
                    master: sentinel.master.clone(),
                    urls: self.redis_urls("counters.sentinel.urls", &sentinel.urls),
                }
            }
            (None, None, urls @ [_, ..]) => Place::Cluster(self.redis_urls("counters.cluster", urls)),
            (None, None, []) => {
                let hint = "no place: write `url: redis://HOST:PORT`, or `sentinel`, or `cluster`";
                self.problem("counters.url", hint);
                Place::Single(Secret::new(String::new()))
            }
            _ => {
                self.problem(
                    "counters",
                    "more than one place: keep one of `url`, `sentinel` and `cluster`",
                );
                Place::Single(Secret::new(String::new()))
            }
        }
    }

    fn redis_urls(&mut self, key: &str, urls: &[String]) -> Vec<Secret<String>> {
        let with_tls = |url: &String| url.starts_with("rediss://");
        if urls.iter().any(with_tls) && !urls.iter().all(with_tls) {
            self.problem(
                key,
                "some with TLS and some without: write rediss:// in all of them or in none",
            );
        }
        urls.iter().map(|url| self.redis_url(key, url)).collect()
    }

    fn redis_url(&mut self, key: &str, url: &str) -> Secret<String> {
        if !url.starts_with("redis://") && !url.starts_with("rediss://") {
            self.problem(key, "write redis://HOST:PORT or rediss://HOST:PORT");
        }
        if url.contains('#') {
            self.problem(key, "without a fragment: certificates are always verified; name their authority in `counters.tls.ca`");
        }
        Secret::new(url.to_owned())
    }

    fn store_tls(&mut self, written: &StoreTlsFile) -> StoreTls {
        let ca = written
            .ca
            .as_deref()
            .and_then(|path| self.pem("counters.tls.ca", path));
        let cert = written
            .cert
            .as_deref()
            .and_then(|path| self.pem("counters.tls.cert", path));
        let key = written
            .key
            .as_deref()
            .and_then(|path| self.pem("counters.tls.key", path));
        if written.cert.is_some() != written.key.is_some() {
            self.problem("counters.tls", "a client needs both: `cert` and `key`");
        }
        StoreTls {
            ca: ca.map(Secret::new),
            client: cert.zip(key).map(Secret::new),
        }
    }

    fn pem(&mut self, key: &str, path: &Path) -> Option<Vec<u8>> {
        let path = self.base.join(path);
        match std::fs::read(&path) {
            Ok(text)
                if text.starts_with(b"-----BEGIN")
                    || text.windows(11).any(|part| part == b"\n-----BEGIN") =>
            {
                Some(text)
            }
            Ok(_) => {
                self.problem(key, format!("`{}` is not in PEM form", path.display()));
                None
            }
            Err(error) => {
                self.problem(key, format!("cannot read `{}`: {error}", path.display()));
                None
            }
        }
    }
}

/// `60s`, `5m`, `1h`, `1d`: at most a week.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = number
        .parse::<u64>()
        .ok()
        .filter(|_| digits)?
        .checked_mul(seconds)?;
    (seconds <= 7 * 86_400).then(|| Duration::from_secs(seconds))
}
