//! `toolgate scan`: what a server's tools do, and a first policy for them.

mod changes;
mod source;
mod table;

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;

use crate::policy::{Definition, Listing, listing};
use crate::scan::{Classed, Live, classify, document, starter};
use source::{Found, Source};

/// Examples in `toolgate scan --help`.
pub const EXAMPLES: &str = "\
Examples:
  toolgate scan https://mcp.example.com/mcp --header-env Authorization=MCP_AUTH
  toolgate scan -- npx -y @modelcontextprotocol/server-everything
  toolgate scan --format policy -- uvx mcp-server-git > policies/git.yaml
  toolgate scan --format tools-list -- uvx mcp-server-git > list.json
  toolgate scan --format json --tools list.json > scan.json
  toolgate scan --drift policies/git.yaml --drift scan.json -- uvx mcp-server-git";

/// Nothing has changed, or nothing was compared.
const SAME: u8 = 0;
/// Something has changed.
const DRIFTED: u8 = 1;
/// The server or a file cannot be read.
const UNREADABLE: u8 = 2;

/// Arguments of `toolgate scan`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// How the result is written to stdout.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    format: Format,
    /// Tell what has changed since: a policy, pins, or what `--format json` wrote. May be given several times.
    #[arg(long, value_name = "FILE")]
    drift: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people, the gravest first.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// A starter policy, YAML.
    Policy,
    /// The list as the server gave it, for `--tools` here and of `toolgate pin`.
    ToolsList,
}

/// What was found, classed.
struct Scan {
    found: Found,
    classed: Vec<Classed>,
    listing: Listing,
}

/// Asks, classes and writes. Returns the exit code.
pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<u8> {
    super::start_logging("warn", None);
    match scan(args, out) {
        Ok(code) => Ok(code),
        Err(error) if super::is_broken_pipe(&error) => Err(error),
        Err(error) => {
            say(&format!("{error:#}"))?;
            Ok(UNREADABLE)
        }
    }
}

fn scan(args: &Args, out: &mut dyn Write) -> anyhow::Result<u8> {
    anyhow::ensure!(
        args.drift.is_empty() || matches!(args.format, Format::Table | Format::Json),
        "--drift tells what has changed: give it --format table or json, and write the policy or the list by itself"
    );
    // what is to be compared is read before a server is started
    let against = changes::read(&args.drift)?;
    let found = args.source.find()?;
    let server = found.name.as_deref();
    let definitions = found.tools.iter();
    let definitions = definitions.map(|tool| (tool.name.clone(), Definition::read(&tool.text)));
    let scan = Scan {
        listing: listing(definitions),
        classed: classify(server, &found.tools),
        found,
    };
    if !against.is_empty() {
        let live = Live {
            classed: &scan.classed,
            listing: &scan.listing,
        };
        let drifted = changes::write(&against, &live, args.format == Format::Json, out)?;
        return Ok(if drifted { DRIFTED } else { SAME });
    }
    scan.write(args.format, out)?;
    Ok(SAME)
}

impl Scan {
    fn write(&self, format: Format, out: &mut dyn Write) -> anyhow::Result<()> {
        let (name, version) = (self.found.name.as_deref(), self.found.version.as_deref());
        match format {
            Format::Table => table::write(&self.classed, out)?,
            Format::Json => {
                let document = document(name, version, &self.classed, &self.listing);
                writeln!(out, "{document:#}")?;
            }
            Format::Policy => {
                let starter = starter(name, version, &self.classed);
                out.write_all(starter.text.as_bytes())?;
                for (tool, why) in &starter.left_out {
                    say(&format!("left out, since its name {why}: {tool}")).context("stderr")?;
                }
            }
            Format::ToolsList => self.found.write(out)?,
        }
        Ok(())
    }
}

/// Tells something beside the result.
fn say(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stderr(), "toolgate: {text}")
}
