//! `toolgate check --config`: settings, grants, and all policies that they name.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::against;
use super::check::{self, Options};
use super::convert;
use super::report::{Entry, Format, Report};
use crate::app;
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
        Ok(settings) => {
            let mut entry = Entry::new(config.display().to_string());
            super::install_crypto();
            for problem in app::certificate_problems(&settings) {
                entry.whole(Level::Error, problem);
            }
            let place = report.entries.len();
            report.entries.push(entry);
            let mut paths = policies.to_vec();
            paths.extend(settings.files.policies.values().cloned());
            check::check(&paths, options, report);
            let sound = check::code(report, options.strict) == check::CLEAN;
            match &settings.files.grants {
                Some(path) => report.entries.push(grants(path, &settings, sound)),
                None if sound => {
                    let entry = report.entries.get_mut(place);
                    entry.into_iter().for_each(|entry| named_files(&settings, entry));
                }
                None => {}
            }
        }
    }
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

/// `sound`: the policies that they carry are.
fn grants(path: &Path, settings: &Settings, sound: bool) -> Entry {
    let mut entry = Entry::new(path.display().to_string());
    if sound {
        named_files(settings, &mut entry);
    } else {
        entry.whole(Level::Note, "not checked, since they carry these policies");
    }
    entry
}

/// What is wrong with grants, approvers and pins, and with sound policies in this place.
fn named_files(settings: &Settings, entry: &mut Entry) {
    if let Err(error) = app::load_files(&settings.files, settings.server_names()) {
        // one problem a line
        for problem in format!("{error:#}").lines() {
            entry.whole(Level::Error, problem);
        }
    }
}
