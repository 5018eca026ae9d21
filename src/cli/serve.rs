//! `toolgate serve`.

use std::io::Write;
use std::path::Path;

use anyhow::Context;

use crate::app::{self, App};
use crate::record::Lines;
use crate::settings::{self, Counters};

/// Runs until SIGTERM or SIGINT.
pub fn run(config: &Path, out: &mut dyn Write) -> anyhow::Result<u8> {
    // what this process was given open is not for the servers that it starts
    close_fds::set_fds_cloexec_threadsafe(3, &[]);
    super::start_logging("info");
    super::install_crypto();
    let settings = settings::load(config)?;
    let loaded = app::load_files(&settings.files, settings.server_names())?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    if matches!(settings.counters, Counters::Memory) {
        tracing::warn!(
            "counters are in memory: limits hold for this process only; set `counters.store: redis` to share them"
        );
    }
    if loaded.grants.iter().next().is_none() {
        tracing::warn!("there are no grants: every call gets 401; make one with `toolgate grant new`");
    }
    super::runtime()
        .context("the runtime cannot start")?
        .block_on(async {
            let lines = Lines::to(std::io::stdout()).context("the record cannot start")?;
            let app = App::bind(settings, loaded, Some(lines)).await?;
            app::announce(out, &app)?;
            let stop = app::signals()?;
            app.run(stop).await;
            Ok(0)
        })
}
