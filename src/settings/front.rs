//! Listen addresses and switches that are neither limits nor servers.

use std::time::Duration;

use super::file::SettingsFile;
use super::load::Check;
use super::{Front, Secret, defaults};

impl Check<'_> {
    pub(super) fn front(&mut self, written: &SettingsFile) -> Front {
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
            tls: self.listen_tls(written.tls.as_ref()),
            trusted_proxies: self.trusted_proxies(written),
            session_key,
            drain_delay: Duration::from_millis(written.drain_delay_ms.unwrap_or_default()),
            probe_upstreams: written.probe_upstreams.unwrap_or(true),
            drain: Duration::from_millis(written.drain_ms.unwrap_or(defaults::DRAIN_MS)),
        }
    }
}
