//! `toolgate serve`.

use std::io::Write;
use std::path::Path;

use anyhow::Context;

use crate::app::{self, App, Reload};
use crate::settings::{Counters, Settings};

/// Runs until SIGTERM or SIGINT.
pub fn run(config: &Path, out: &mut dyn Write) -> anyhow::Result<u8> {
    // what this process was given open is not for the servers that it starts
    close_fds::set_fds_cloexec_threadsafe(3, &[]);
    super::install_crypto();
    super::runtime()
        .context("the runtime cannot start")?
        .block_on(serve(config, out))
}

async fn serve(config: &Path, out: &mut dyn Write) -> anyhow::Result<u8> {
    let (reload, settings, loaded) = Reload::start(config)?;
    super::start_logging("info", settings.log);
    warn(&settings, &loaded);
    let lines = app::audit_lines(&settings.audit, &settings.counters)?;
    app::reopen_at_hangup(lines.clone())?;
    let app = App::bind(settings, loaded, Some(lines)).await?.reloading(reload);
    app::announce(out, &app)?;
    let stop = app::signals()?;
    app.run(stop).await;
    Ok(0)
}

fn warn(settings: &Settings, loaded: &app::Loaded) {
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    if matches!(settings.counters, Counters::Memory) {
        tracing::warn!(
            "counters are in memory: limits hold for this process only; set `counters.store: redis` to share them"
        );
        // requests in memory are decided at this gate or nowhere
        if settings.console.is_none() {
            let remedy = "set `console`, or share them with a gate that has one (`counters.store: redis`)";
            app::warn_of_nobody(loaded.policies.values(), remedy);
        }
    }
    if loaded.grants.iter().next().is_none() {
        tracing::warn!("there are no grants: every call gets 401; make one with `toolgate grant new`");
    }
}
