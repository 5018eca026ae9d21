//! The section `approvals`, as far as calls need it: how long one is held, how long a request stands, and the key.

use std::time::Duration;

use super::file::{ApprovalsFile, SettingsFile};
use super::load::Check;
use super::{ApprovalSettings, Counters, Secret, defaults};

/// A shorter key could be found by trying.
const KEY_BYTES: usize = 16;
const LONGEST_HOLD_MS: u64 = 600_000;
const SHORTEST: Duration = Duration::from_secs(10);

impl Check<'_> {
    pub(super) fn approvals(&mut self, written: &ApprovalsFile) -> ApprovalSettings {
        let hold = written.hold_ms.unwrap_or(defaults::HOLD_MS);
        if hold > LONGEST_HOLD_MS {
            let hint = format!("must be at most {LONGEST_HOLD_MS} milliseconds; 0 holds no call");
            self.problem("approvals.hold_ms", hint);
        }
        ApprovalSettings {
            hold: Duration::from_millis(hold.min(LONGEST_HOLD_MS)),
            expires: self.expires(written.expires.as_deref()),
            key: self.approvals_key(written),
        }
    }

    fn expires(&mut self, written: Option<&str>) -> Duration {
        let Some(text) = written else {
            return defaults::APPROVAL_EXPIRES;
        };
        let duration = super::counters::duration(text).filter(|duration| *duration >= SHORTEST);
        duration.unwrap_or_else(|| {
            let hint = format!("`{text}` is no duration of 10s to 7d: write 10m, 1h or 1d");
            self.problem("approvals.expires", hint);
            defaults::APPROVAL_EXPIRES
        })
    }

    fn approvals_key(&mut self, written: &ApprovalsFile) -> Option<Secret<Vec<u8>>> {
        let source = written.key.as_ref()?;
        match source.read(self.base, &|name| self.env.get(name).cloned()) {
            Ok(key) if key.expose().len() < KEY_BYTES => {
                let hint = format!(
                    "must be at least {KEY_BYTES} bytes: make one with `openssl rand -hex 32`, the same for all replicas"
                );
                self.problem("approvals.key", hint);
                None
            }
            Ok(key) => Some(Secret::new(key.expose().clone().into_bytes())),
            Err(message) => {
                self.problem("approvals.key", message);
                None
            }
        }
    }

    /// Whether requests for approval can be kept: a store that others can write to needs a key.
    pub(super) fn can_ask(written: &SettingsFile, counters: &Counters) -> bool {
        written.approvals.key.is_some() || !matches!(counters, Counters::Redis(_))
    }
}
