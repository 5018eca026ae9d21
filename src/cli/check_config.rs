//! `toolgate check --config`: settings, grants, and all policies that they name.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::against;
use super::check::{self, Options};
use super::convert;
use super::report::{Entry, Format, Report};
use crate::app::{self, FileProblem};
use crate::document::Level;
use crate::settings::{self, Settings, SettingsError};

pub const EXAMPLES: &str = "\
Examples:
  toolgate check policies/coalesce.json
  toolgate check --strict --config toolgate.yaml
  toolgate check --format github policies/*.json      annotations in GitHub Actions
  toolgate check --against http://127.0.0.1:3000/mcp policies/coalesce.json
  toolgate check --against https://mcp.example.com/mcp --header-env Authorization=MCP_AUTH policies/coalesce.json
  toolgate check --convert intercept.yaml > policies/converted.yaml";

/// What `toolgate check` is asked.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Policy files, JSON or YAML.
    #[arg(value_name = "POLICY", required_unless_present_any = ["config", "convert"])]
    policies: Vec<PathBuf>,
    /// Check settings, grants and all policies that they name.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Treat warnings as errors.
    #[arg(long)]
    strict: bool,
    /// How the problems are written.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    against: against::Args,
    /// Write a policy of PolicyLayer's open-source proxy anew, as a toolgate policy, to stdout.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["policies", "config", "strict", "format", "against"])]
    convert: Option<PathBuf>,
}

/// Checks the policies given and, with `--config`, everything that the settings name. Returns the exit code,
/// the highest that applies.
pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<u8> {
    if let Some(old) = &args.convert {
        return Ok(convert::run(old, out, &mut std::io::stderr())?);
    }
    let mut report = Report::default();
    let tools = args.against.tools().unwrap_or_else(|error| {
        let server = Entry::unreadable(args.against.shown(), &format!("{error:#}"));
        report.entries.push(server);
        None
    });
    let options = Options {
        strict: args.strict,
        format: args.format,
        tools,
    };
    match &args.config {
        None => check::check(&args.policies, &options, &mut report),
        Some(config) => with_settings(&args.policies, config, &options, &mut report),
    }
    report.write(options.format, out)?;
    Ok(check::code(&report, options.strict))
}

fn with_settings(policies: &[PathBuf], config: &Path, options: &Options, report: &mut Report) {
    match settings::load(config) {
        Err(error) => {
            report.entries.push(faulty(config, &error));
            check::check(policies, options, report);
        }
        Ok(settings) => named(policies, &settings, options, report),
    }
}

/// The settings, the policies, and the other files that they name, in this order.
fn named(policies: &[PathBuf], settings: &Settings, options: &Options, report: &mut Report) {
    super::install_crypto();
    let files = &settings.files;
    let problems = app::file_problems(files, settings.server_names());
    let mut entry = entry_of(&files.settings, &problems);
    match super::runtime() {
        Ok(runtime) => {
            let problems = runtime.block_on(async { app::start_problems(settings) });
            problems
                .into_iter()
                .for_each(|problem| entry.whole(Level::Error, problem));
        }
        Err(error) => entry.whole(Level::Error, format!("the runtime cannot start: {error}")),
    }
    report.entries.push(entry);
    let mut paths = policies.to_vec();
    paths.extend(files.policies.values().cloned());
    check::check(&paths, options, report);
    let carried = |problem: &FileProblem| files.policies.values().any(|path| *path == problem.file);
    report.entries.extend(files.grants.as_ref().map(|path| {
        let mut entry = entry_of(path, &problems);
        if problems.iter().any(carried) {
            entry.whole(Level::Note, "not checked, since they carry these policies");
        }
        entry
    }));
    let others = files.approvers.iter().chain(files.pins.values());
    report
        .entries
        .extend(others.map(|path| entry_of(path, &problems)));
}

/// One file with what is wrong with it, a problem a line.
fn entry_of(path: &Path, problems: &[FileProblem]) -> Entry {
    let mut entry = Entry::new(path.display().to_string());
    for problem in problems.iter().filter(|problem| problem.file == path) {
        problem
            .text
            .lines()
            .for_each(|line| entry.whole(Level::Error, line));
    }
    entry
}

fn faulty(config: &Path, error: &SettingsError) -> Entry {
    let file = config.display().to_string();
    match error {
        SettingsError::Unreadable { source, .. } => {
            Entry::unreadable(file, &format!("cannot be read: {source}"))
        }
        SettingsError::Invalid(problems) => {
            let mut entry = Entry::new(file);
            for problem in problems {
                entry.whole(Level::Error, problem.as_str());
            }
            entry
        }
    }
}
