//! `toolgate counters list | reset`: where a grant's counters stand, and setting them back by hand.
//!
//! Keys of the store are hashes; which there are follows from the settings' policies and the grant.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use jiff::Timestamp;

use crate::app::{self, charges_of, is_chosen};
use crate::counters::{CallId, ChargeState, Store, VALUES_SHOWN};
use crate::grants::Grant;
use crate::policy::{Limit, Scope, Window};
use crate::record::ResetRecord;
use crate::settings::{self, Counters, Settings};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show what a grant has used of its limits. Changes nothing.
    #[command(after_help = "Example:\n  toolgate counters list --grant ci-runner")]
    List {
        /// The grant's id in grants.yaml.
        #[arg(long, value_name = "ID")]
        grant: String,
        /// The settings file.
        #[arg(long, value_name = "FILE", default_value = "toolgate.yaml")]
        config: PathBuf,
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
    /// Set a grant's own counters back to nothing used. The replicas write it into the audit log.
    ///
    /// Counters that other grants share, and calls in flight, are left alone.
    #[command(
        after_help = "Example:\n  toolgate counters reset --grant ci-runner --counter start_run_rate --reason 'the backfill was agreed on'"
    )]
    Reset {
        /// The grant's id in grants.yaml.
        #[arg(long, value_name = "ID")]
        grant: String,
        /// Only the counter of this name.
        #[arg(long, value_name = "NAME")]
        counter: Option<String>,
        /// Why; it stands in the record.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// The settings file.
        #[arg(long, value_name = "FILE", default_value = "toolgate.yaml")]
        config: PathBuf,
    },
}

/// How a list is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Table,
    Json,
}

/// One counter as a list shows it.
#[derive(Debug, serde::Serialize)]
struct Row {
    counter: String,
    scope: &'static str,
    /// Of a scope whose values callers choose: the hash of the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    window: String,
    used: u64,
    max: u64,
    /// Milliseconds until the next unit frees; 0: nothing is used.
    next_free_ms: u64,
    shadow: bool,
}

/// Runs the command. Returns the exit code.
///
/// # Errors
/// Settings, a grant or a store that cannot be used, and where `out` cannot be written to.
pub fn run(command: &Command, out: &mut dyn Write) -> anyhow::Result<u8> {
    super::start_logging("warn", None);
    super::install_crypto();
    let runtime = super::runtime()?;
    match command {
        Command::List {
            grant,
            config,
            format,
        } => {
            let rows = runtime.block_on(async { list(&Shelf::open(config, grant)?).await })?;
            match format {
                Format::Table => table(&rows, out)?,
                Format::Json => {
                    serde_json::to_writer_pretty(&mut *out, &rows).map_err(io::Error::from)?;
                    writeln!(out)?;
                }
            }
        }
        Command::Reset {
            grant,
            counter,
            reason,
            config,
        } => {
            let reset = async { reset(&Shelf::open(config, grant)?, counter.as_deref(), reason).await };
            let (record, keys) = runtime.block_on(reset)?;
            writeln!(out, "{record}")?;
            writeln!(
                io::stderr(),
                "{keys} keys were set back; a replica writes it into the audit log"
            )?;
        }
    }
    Ok(0)
}

/// A grant, its limits, and the store that counts them.
struct Shelf {
    grant: Arc<Grant>,
    store: Store,
}

impl Shelf {
    fn open(config: &Path, id: &str) -> anyhow::Result<Self> {
        let settings = settings::load(config)?;
        let Settings { counters, files, .. } = &settings;
        if !matches!(counters, Counters::Redis(_)) {
            let file = config.display();
            bail!("{file}: counters in memory are the gate's own: set `counters.store: redis` to share them");
        }
        let loaded = app::load_files(files, settings.server_names())?;
        let grant = loaded.grants.iter().find(|grant| grant.id == id).cloned();
        let grant =
            grant.ok_or_else(|| anyhow!("no grant `{id}`: give the id of an entry of grants.yaml"))?;
        let store = app::store(counters)?;
        Ok(Self { grant, store })
    }
}

async fn list(shelf: &Shelf) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for charge in charges_of(&shelf.grant) {
        let limit = &charge.limit;
        if !is_chosen(limit.scope) {
            let state = shelf.store.usage(&charge).await.context("the store")?;
            rows.push(row(limit, None, state));
            continue;
        }
        for value in shelf.store.values(&charge).await.context("the store")? {
            rows.push(row(limit, Some(value.value), value.state));
        }
    }
    Ok(rows)
}

fn row(limit: &Limit, value: Option<String>, state: ChargeState) -> Row {
    Row {
        counter: limit.counter.clone(),
        scope: limit.scope.as_str(),
        value,
        window: app::window_of(limit),
        used: limit.max.saturating_sub(state.left),
        max: limit.max,
        next_free_ms: state.frees_ms,
        shadow: limit.shadow,
    }
}

fn table(rows: &[Row], out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{:<24} {:<10} {:<22} {:<14} {:>10} {:>10}  NEXT FREE",
        "COUNTER", "SCOPE", "VALUE", "WINDOW", "USED", "MAX"
    )?;
    for row in rows {
        let free = match row.next_free_ms {
            0 => "-".to_owned(),
            ms => format!("{} s", ms.div_ceil(1_000)),
        };
        let value = row.value.as_deref().unwrap_or("-");
        let shadow = if row.shadow { "  (shadow)" } else { "" };
        writeln!(
            out,
            "{:<24} {:<10} {value:<22} {:<14} {:>10} {:>10}  {free}{shadow}",
            row.counter, row.scope, row.window, row.used, row.max
        )?;
    }
    if rows.iter().filter(|row| row.value.is_some()).count() >= VALUES_SHOWN {
        writeln!(
            out,
            "of each limit by a value the first {VALUES_SHOWN} values are shown"
        )?;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the record says when it was done")]
async fn reset(shelf: &Shelf, counter: Option<&str>, reason: &str) -> anyhow::Result<(String, u64)> {
    if reason.trim().is_empty() {
        bail!("`--reason` is empty: say why, for the audit log");
    }
    let mut charges = charges_of(&shelf.grant);
    charges.retain(|charge| {
        let own = matches!(charge.limit.scope, Scope::Grant) || is_chosen(charge.limit.scope);
        let named = counter.is_none_or(|name| charge.limit.counter == name);
        own && named && !matches!(charge.limit.window, Window::Lease { .. })
    });
    let mut names: Vec<String> = charges
        .iter()
        .map(|charge| charge.limit.counter.clone())
        .collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        bail!("no counter of the grant's own to reset: `toolgate counters list` shows them");
    }
    let record = ResetRecord::new(
        format!("{:.3}", Timestamp::now()),
        CallId::random()?.to_string(),
        &shelf.grant.id,
        &names,
        reason,
        app::replica_name()?,
    );
    let record = serde_json::to_string(&record)?;
    let keys = shelf.store.reset(&charges, &record).await.context("the store")?;
    Ok((record, keys))
}
