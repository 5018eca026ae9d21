//! `toolgate replay`: what other policies would have decided on the calls of a decision log.

mod input;
mod progress;
mod table;

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};

use super::check;
use crate::app;
use crate::document::{Level, render};
use crate::policy::{self, Policy};
use crate::replay::{Filter, Holder, Replay, Report, Rulebook};
use crate::settings;

/// Nothing newly denied, or nobody asked.
const DONE: u8 = 0;
/// `--fail-on-new-denials`, and a call that was allowed would be refused.
const NEWLY_DENIED: u8 = 1;
/// Input or policies that cannot be used.
const UNUSABLE: u8 = 2;

pub(super) const EXAMPLES: &str = "\
Examples:
  toolgate replay --policy new.json decisions.jsonl
  toolgate replay --config toolgate.yaml replica-1.jsonl replica-2.jsonl --fail-on-new-denials
  kubectl logs deploy/toolgate | toolgate replay --policy new.json --format json -

Exit code: 0, 1 where --fail-on-new-denials found one, 2 for input or policies that cannot be used.";

/// How the result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Json,
}

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A policy that stands for the policies of every grant; give it again for further ones.
    #[arg(long = "policy", value_name = "POLICY", required_unless_present = "config")]
    policies: Vec<PathBuf>,
    /// Settings: each grant is judged by its own policies.
    #[arg(long, value_name = "FILE", conflicts_with = "policies")]
    config: Option<PathBuf>,
    /// What `serve` wrote on stdout; `-` is stdin. Several are merged by time.
    #[arg(value_name = "LOG", required = true)]
    logs: Vec<PathBuf>,
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Exit with 1 where a call that was allowed would be refused.
    #[arg(long)]
    fail_on_new_denials: bool,
    /// Count only decisions on this grant; all are simulated.
    #[arg(long, value_name = "ID")]
    grant: Option<String>,
    /// Count only decisions on this server; all are simulated.
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
}

/// Replays, writes the result to `out`, and returns the exit code.
///
/// # Errors
/// Where `out` cannot be written to.
pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<u8> {
    let report = match replay(args) {
        Ok(report) => report,
        Err(error) => {
            // nothing can be done if stderr is closed too
            drop(writeln!(io::stderr(), "toolgate: {error:#}"));
            return Ok(UNUSABLE);
        }
    };
    match args.format {
        Format::Table => table::write(&report, out)?,
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &report).map_err(io::Error::from)?;
            writeln!(out)?;
        }
    }
    out.flush()?;
    let totals = &report.totals;
    Ok(match totals.newly_denied {
        _ if totals.malformed > 0 && totals.malformed == totals.lines => UNUSABLE,
        1.. if args.fail_on_new_denials => NEWLY_DENIED,
        _ => DONE,
    })
}

fn replay(args: &Args) -> anyhow::Result<Report> {
    let rulebook = match &args.config {
        Some(config) => of_config(config)?,
        None => Rulebook::Everyone(of_files(&args.policies)?),
    };
    let filter = Filter {
        grant: args.grant.clone(),
        server: args.server.clone(),
    };
    let mut replay = Replay::new(rulebook, filter);
    let logs = input::open(&args.logs)?;
    let progress = progress::Progress::new(input::size(&args.logs), io::stderr().is_terminal());
    input::merge(logs, &mut replay, progress)?;
    Ok(replay.end())
}

fn of_files(paths: &[PathBuf]) -> anyhow::Result<Vec<Arc<Policy>>> {
    let mut policies = Vec::new();
    let mut problems = String::new();
    for path in paths {
        let file = path.display().to_string();
        let text = check::read(path).with_context(|| format!("{file}: cannot read the policy"))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        match policy::load(&name, &file, &text) {
            Ok(loaded) => policies.push(Arc::new(loaded.policy)),
            Err(found) => found
                .iter()
                .for_each(|problem| problems.push_str(&render(problem, Level::Error, Some(&text)))),
        }
    }
    if problems.is_empty() {
        let found = policy::check_together(&policies);
        found
            .iter()
            .for_each(|problem| problems.push_str(&render(problem, Level::Error, None)));
    }
    if problems.is_empty() {
        Ok(policies)
    } else {
        Err(anyhow!("these policies cannot be used\n{}", problems.trim_end()))
    }
}

fn of_config(config: &Path) -> anyhow::Result<Rulebook> {
    let settings = settings::load(config)?;
    let servers = settings.server_names();
    let loaded = app::load_files(&settings.files, servers)?;
    let holders = loaded.grants.iter().map(|grant| {
        let expires = grant
            .expires
            .map(|at| u64::try_from(at.as_millisecond()).unwrap_or(0));
        let holder = Holder {
            policies: grant.policies.clone(),
            servers: grant.servers.clone(),
            expires_ms: expires,
            claims: grant.claims.as_deref().cloned(),
        };
        (grant.id.clone(), holder)
    });
    Ok(Rulebook::Grants(holders.collect::<HashMap<_, _>>()))
}
