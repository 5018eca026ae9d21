//! `toolgate diff`: what two policies decide differently.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::against;
use super::check::{self, UNREADABLE};
use super::report::{Entry, Finding, Format as Shown, Report};
use crate::document::Level;
use crate::policy::{Difference, Policy, diff, load};

/// Both decide every call alike.
const SAME: u8 = 0;
const DIFFERENT: u8 = 1;

pub const EXAMPLES: &str = "\
Examples:
  toolgate diff policies/live.yaml policies/new.yaml
  git show main:policies/team.yaml | toolgate diff /dev/stdin policies/team.yaml
  toolgate diff --against tools.json old.json new.yaml     tool by tool, as the server names them";

/// What `toolgate diff` is asked.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// The policy as it was, JSON or YAML.
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The policy as it is to be.
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// How the differences are written.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    against: against::Args,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people, one line a difference.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

/// Writes the differences. Returns 0 where there is none, 1 where there is one, 2 where one of the policies (or the
/// list of tools) cannot be read or holds errors, which then go to `out` as `toolgate check` tells them.
///
/// # Errors
/// Where `out` cannot be written to.
pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<u8> {
    let mut report = Report::default();
    let tools = args.against.tools().unwrap_or_else(|error| {
        let entry = Entry::unreadable(args.against.shown(), &format!("{error:#}"));
        report.entries.push(entry);
        None
    });
    let (old, new) = (read(&args.old, &mut report), read(&args.new, &mut report));
    let (Some(old), Some(new), true) = (old, new, report.entries.is_empty()) else {
        report.write(
            match args.format {
                Format::Text => Shown::Text,
                Format::Json => Shown::Json,
            },
            out,
        )?;
        return Ok(UNREADABLE);
    };
    let tools = tools.unwrap_or_default();
    let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
    let found = diff(&old, &new, &names);
    match args.format {
        Format::Text => text(&found, out)?,
        Format::Json => {
            let changes: Vec<_> = found
                .iter()
                .map(
                    |Difference {
                         about,
                         text,
                         was,
                         now,
                     }| {
                        json!({ "about": about, "text": text, "old_rule": was, "new_rule": now })
                    },
                )
                .collect();
            let (old, new) = (args.old.display().to_string(), args.new.display().to_string());
            let whole = json!({ "old": old, "new": new, "different": !found.is_empty(), "changes": changes });
            writeln!(out, "{whole:#}")?;
        }
    }
    Ok(if found.is_empty() { SAME } else { DIFFERENT })
}

fn text(found: &[Difference], out: &mut dyn Write) -> std::io::Result<()> {
    for Difference {
        about,
        text,
        was,
        now,
    } in found
    {
        write!(out, "{about}: {text}")?;
        match (was, now) {
            (Some(was), Some(now)) if was != now => writeln!(out, " ({was} → {now})")?,
            (Some(rule), _) | (None, Some(rule)) => writeln!(out, " ({rule})")?,
            (None, None) => writeln!(out)?,
        }
    }
    match found.len() {
        0 => writeln!(out, "no difference: both decide every call alike"),
        1 => writeln!(out, "1 difference"),
        many => writeln!(out, "{many} differences"),
    }
}

/// `None` where the policy cannot be used; the report then says why.
fn read(path: &Path, report: &mut Report) -> Option<Policy> {
    let file = path.display().to_string();
    report.policies += 1;
    let text = match check::read(path) {
        Ok(text) => text,
        Err(error) => {
            let entry = Entry::unreadable(file, &format!("cannot be read: {error}"));
            report.entries.push(entry);
            return None;
        }
    };
    match load("policy", &file, &text) {
        Ok(loaded) => Some(loaded.policy),
        Err(problems) => {
            let mut entry = Entry::new(file);
            let placed = problems.into_iter();
            entry.findings = placed
                .map(|problem| Finding::Placed(Level::Error, problem))
                .collect();
            entry.source = Some(text);
            report.entries.push(entry);
            None
        }
    }
}
