//! Where people decide: the console's listener, the file of its approvers, and whom webhooks tell.

use std::path::PathBuf;

use http::Uri;
use serde::Deserialize;

use super::file::SettingsFile;
use super::issuers::is_trusted;
use super::load::Check;
use super::{Console, Secret, SecretSource, Webhook, WebhookFormat, defaults};

/// What `approvals` says of those who decide.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookFile {
    url: Option<UrlFile>,
    secret: Option<SecretSource>,
    format: Option<String>,
}

/// Some services' URLs are secrets themselves.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum UrlFile {
    Text(String),
    Secret(SecretSource),
}

impl Check<'_> {
    pub(super) fn console(&mut self, written: &SettingsFile) -> Option<Console> {
        let url = written.console_url.as_deref();
        let url = url.and_then(|text| self.url("console_url", text));
        if url
            .as_ref()
            .is_some_and(|url| url.path() != "/" || url.query().is_some())
        {
            self.problem(
                "console_url",
                "must have no path: the page is at the root of a host of its own",
            );
        }
        let Some(listen) = written.console.as_deref() else {
            if written.console_url.is_some() || !written.console_hosts.is_empty() {
                self.problem("console", "missing: add `console: 127.0.0.1:9091`");
            }
            return None;
        };
        if written.approvals.approvers.is_none() {
            self.problem(
                "approvals.approvers",
                "missing, and nobody could sign in at the console: write `approvers: approvers.yaml`, and make an entry with `toolgate approvals token`",
            );
        }
        let hosts = written.console_hosts.iter();
        Some(Console {
            listen: self.address("console", Some(listen), defaults::CONSOLE),
            hosts: hosts.map(|host| host.to_ascii_lowercase()).collect(),
            url,
        })
    }

    pub(super) fn webhooks(&mut self, written: &[WebhookFile]) -> Vec<Webhook> {
        let hooks = written.iter().enumerate();
        hooks
            .filter_map(|(index, hook)| self.webhook(&format!("approvals.webhooks[{index}]"), hook))
            .collect()
    }

    fn webhook(&mut self, key: &str, written: &WebhookFile) -> Option<Webhook> {
        let format = match written.format.as_deref() {
            None | Some("json") => WebhookFormat::Json,
            Some("slack") => WebhookFormat::Slack,
            Some(other) => {
                let message = format!("`{other}` is no format of webhooks: write json or slack");
                self.problem(&format!("{key}.format"), message);
                WebhookFormat::Json
            }
        };
        let secret_key = format!("{key}.secret");
        let secret = written.secret.as_ref();
        let secret = secret.and_then(|source| self.read_secret(&secret_key, source));
        if written.secret.is_none() && format == WebhookFormat::Json {
            self.problem(
                &secret_key,
                "missing, and its receiver could not know who sent a message: write `{ env: NAME }` or `{ file: PATH }`",
            );
        }
        let url = self.webhook_url(&format!("{key}.url"), written.url.as_ref())?;
        Some(Webhook {
            url,
            secret,
            format,
            egress: self.egress.clone(),
        })
    }

    fn webhook_url(&mut self, key: &str, written: Option<&UrlFile>) -> Option<Secret<Uri>> {
        let text = match written {
            None => {
                self.problem(key, "missing: write an https URL");
                return None;
            }
            Some(UrlFile::Text(text)) => text.clone(),
            Some(UrlFile::Secret(source)) => self.read_secret(key, source)?.expose().clone(),
        };
        let url = self.url(key, &text)?;
        if !is_trusted(&url) {
            self.problem(key, "must be https, or http on this machine's loopback");
        }
        Some(Secret::new(url))
    }

    fn read_secret(&mut self, key: &str, source: &SecretSource) -> Option<Secret<String>> {
        let read = source.read(self.base, &|name| self.env.get(name).cloned());
        match read {
            Ok(secret) => Some(secret),
            Err(message) => {
                self.problem(key, message);
                None
            }
        }
    }

    pub(super) fn approvers(&self, written: &SettingsFile) -> Option<PathBuf> {
        let path = written.approvals.approvers.as_ref()?;
        Some(self.base.join(path))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use crate::settings::file::SettingsFile;
    use crate::settings::load::Check;
    use crate::settings::{Settings, WebhookFormat};

    fn load(more: &str) -> Result<Settings, String> {
        let text = format!("servers: {{ s: {{ upstream: 'http://127.0.0.1:3000/mcp' }} }}\n{more}");
        let written: SettingsFile = serde_saphyr::from_str(&text).map_err(|error| error.to_string())?;
        let env = [
            ("HOOK", "secret"),
            ("SLACK", "https://hooks.example/services/T0/secret"),
        ];
        let env: BTreeMap<_, _> = env
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let check = Check::new(Path::new("toolgate.yaml"), Path::new("/etc/toolgate"), &env);
        check.settings_of(&written).map_err(|error| error.to_string())
    }

    #[test]
    fn without_a_console_there_is_none_and_nothing_is_needed() {
        let settings = load("").unwrap();
        assert!(settings.console.is_none() && settings.webhooks.is_empty());
    }

    #[test]
    fn a_console_and_its_webhooks_are_read() {
        let settings = load(
            "console: localhost:9091\nconsole_hosts: [Approve.Example]\nconsole_url: https://people.example\napprovals: { approvers: a.yaml, webhooks: [{ url: 'https://h.example/x', secret: { env: HOOK } }, { url: { env: SLACK }, format: slack }] }\n",
        )
        .unwrap();
        let console = settings.console.unwrap();
        assert_eq!(console.listen.to_string(), "127.0.0.1:9091");
        assert_eq!(console.hosts, ["approve.example"]);
        assert_eq!(
            settings.files.approvers.unwrap(),
            Path::new("/etc/toolgate/a.yaml")
        );
        let [json, slack] = settings.webhooks.as_slice() else {
            panic!("two webhooks")
        };
        assert_eq!(
            (json.format, slack.format),
            (WebhookFormat::Json, WebhookFormat::Slack)
        );
        assert_eq!(slack.url.expose().host(), Some("hooks.example"));
        let debug = format!("{json:?} {slack:?}");
        assert!(!debug.contains("secret\"") && !debug.contains("T0"), "{debug}");
    }

    #[test]
    fn every_mistake_is_told_with_its_key_and_what_to_write() {
        for (more, part) in [
            ("console: 127.0.0.1:9091\n", "`approvals.approvers`: missing"),
            (
                "console_hosts: [x]\n",
                "`console`: missing: add `console: 127.0.0.1:9091`",
            ),
            (
                "console: 127.0.0.1:9091\nconsole_url: https://x.example/people\napprovals: { approvers: a.yaml }\n",
                "`console_url`: must have no path",
            ),
            (
                "approvals: { webhooks: [{ secret: { env: HOOK } }] }\n",
                "`approvals.webhooks[0].url`: missing",
            ),
            (
                "approvals: { webhooks: [{ url: 'http://h.example/x', secret: { env: HOOK } }] }\n",
                "`approvals.webhooks[0].url`: must be https",
            ),
            (
                "approvals: { webhooks: [{ url: 'https://h.example/x' }] }\n",
                "`approvals.webhooks[0].secret`: missing",
            ),
            (
                "approvals: { webhooks: [{ url: 'https://h.example/x', secret: { env: NONE } }] }\n",
                "the environment has no `NONE`",
            ),
            (
                "approvals: { webhooks: [{ url: 'https://h.example/x', secret: { env: HOOK }, format: teams }] }\n",
                "`teams` is no format of webhooks: write json or slack",
            ),
        ] {
            let problems = load(more).unwrap_err();
            assert!(problems.contains(part), "{more}: {problems}");
        }
    }
}
