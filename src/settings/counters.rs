//! The section `counters`.

use std::time::Duration;

use super::file::CountersFile;
use super::load::Check;
use super::{Counters, Secret, defaults};

impl Check<'_> {
    pub(super) fn counters(&mut self, written: &CountersFile) -> Counters {
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
}
