//! What stops a start although the settings can be read, found without a port, a connection or a file that is written.

use super::{issuers, otlp, store, tls, webhooks};
use crate::settings::Settings;

/// Certificates, keys and addresses of the settings that cannot be used, one line each. Inside a tokio runtime.
pub fn start_problems(settings: &Settings) -> Vec<String> {
    let path = &settings.files.settings;
    let listening = tls::inbound(path, settings.front.tls.as_ref()).err();
    let upstreams = settings.servers.iter();
    let upstreams = upstreams.filter_map(|(name, server)| tls::upstream(path, name, server).err());
    let issuers = settings.issuers.iter();
    let issuers = issuers.filter_map(|(name, issuer)| issuers::place(settings, name, issuer).err());
    let collector = settings.tracing.as_ref();
    let collector = collector.and_then(|tracing| otlp::collector(tracing).err());
    let receivers = settings.webhooks.iter().enumerate();
    let receivers = receivers.filter_map(|(index, webhook)| webhooks::receiver(index, webhook).err());
    let problems = listening.into_iter().chain(upstreams).chain(issuers);
    let problems = problems.chain(store::store(&settings.counters).err());
    let problems = problems.chain(collector).chain(receivers);
    problems.map(|problem| format!("{problem:#}")).collect()
}
