//! `toolgate pin`: which definitions of a server's tools are accepted.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};

use super::check::read;
use crate::client::{Target, list_tools};
use crate::document::shown;
use crate::mcp::tools::{Tool, recorded};
use crate::policy::{Change, Definition, Listing, Pins, listing};
use crate::settings::{self, Settings, Wrapped};

/// Examples in `toolgate pin --help`.
pub const EXAMPLES: &str = "\
Examples:
  toolgate pin coalesce                          the first time: accept the tools as they are now
  toolgate pin coalesce                          later: tell what is new, changed or gone
  toolgate pin coalesce --accept start_run --accept stop_run
  toolgate pin coalesce --accept-all
  toolgate pin files --tools list.json           for a server that is a command: what `scan --format tools-list` wrote";

/// Every tool is as it was accepted.
const SAME: u8 = 0;
/// Something differs and was not accepted.
const DIFFERENT: u8 = 1;
/// Settings, server or file cannot be read, or there is no such tool; nothing was written.
const UNREADABLE: u8 = 2;

/// How long a server may take for its whole list.
const WITHIN: Duration = Duration::from_secs(20);

/// Arguments of `toolgate pin`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The server's name in the settings.
    #[arg(value_name = "SERVER")]
    server: String,
    /// The settings file; the pins are kept in `pins/SERVER.json` next to it.
    #[arg(long, value_name = "FILE", default_value = "toolgate.yaml")]
    config: PathBuf,
    /// Accept this tool as it is now, also that it is gone.
    #[arg(long, value_name = "TOOL")]
    accept: Vec<String>,
    /// Accept every tool as it is now.
    #[arg(long, conflicts_with = "accept")]
    accept_all: bool,
    /// Read the tools from what `toolgate scan --format tools-list` wrote, or a recorded `tools/list` answer, instead
    /// of asking the server.
    #[arg(long, value_name = "FILE")]
    tools: Option<PathBuf>,
}

/// Compares, tells, and writes what is accepted. Returns the exit code.
pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<u8> {
    super::start_logging("warn", None);
    match prepare(args) {
        Ok(work) => work.run(args, out),
        Err(error) => refuse(&error),
    }
}

fn refuse(error: &anyhow::Error) -> anyhow::Result<u8> {
    writeln!(std::io::stderr(), "toolgate: {error:#}")?;
    Ok(UNREADABLE)
}

/// What is compared with what.
struct Work {
    path: PathBuf,
    /// `None`: there is no file yet.
    pins: Option<Pins>,
    live: Listing,
}

fn prepare(args: &Args) -> anyhow::Result<Work> {
    let settings = settings_of(args)?;
    let server = &args.server;
    let path = settings::pins_file(&args.config, server);
    let pins = match fs::read_to_string(&path) {
        Ok(text) => Some(
            Pins::read(&text, server)
                .with_context(|| format!("{}: remove it to start anew", path.display()))?,
        ),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("{}: cannot be read", path.display())),
    };
    let tools = match &args.tools {
        Some(file) => {
            let text = read(file).with_context(|| format!("{}: cannot be read", file.display()))?;
            recorded(&text).with_context(|| format!("{}: this is no list of tools", file.display()))?
        }
        None => ask(&settings, server)?,
    };
    if !settings.files.pins.contains_key(server) {
        let config = args.config.display();
        let note = format!("note: {config} does not say `pin: true` for `{server}`: nothing is enforced yet");
        writeln!(std::io::stderr(), "{note}")?;
    }
    let definitions = tools.into_iter();
    let definitions = definitions.map(|tool| (tool.name, Definition::read(&tool.text)));
    let live = listing(definitions);
    let named = |tool: &String| {
        live.contains_key(tool) || pins.as_ref().is_some_and(|pins| pins.tools.contains_key(tool))
    };
    if let Some(unknown) = args.accept.iter().find(|tool| !named(tool)) {
        bail!("--accept: `{}` is no tool of `{server}`", shown(unknown));
    }
    Ok(Work { path, pins, live })
}

/// With a recorded list the server need not have a URL: it may be a command that `toolgate wrap` starts.
fn settings_of(args: &Args) -> anyhow::Result<Settings> {
    if args.tools.is_none() {
        return Ok(settings::load(&args.config)?);
    }
    let wrapped = Wrapped {
        config: Some(&args.config),
        server: &args.server,
        upstream: None,
        headers: &[],
    };
    Ok(settings::for_wrap(&wrapped)?)
}

fn ask(settings: &Settings, name: &str) -> anyhow::Result<Vec<Tool>> {
    if settings.commands.contains_key(name) {
        bail!(
            "{}: `{}` is a program: record its tools with `toolgate scan --format tools-list -- COMMAND > list.json`, and pin it with --tools list.json",
            settings.files.settings.display(),
            shown(name)
        );
    }
    let server = settings.servers.get(name).ok_or_else(|| {
        let known: Vec<_> = settings.server_names().collect();
        anyhow!(
            "{}: there is no server `{}`; there is {}",
            settings.files.settings.display(),
            shown(name),
            known.join(", ")
        )
    })?;
    super::install_crypto();
    let target = Target::of(server)?;
    let listed = super::runtime()
        .context("the runtime cannot start")?
        .block_on(list_tools(&target, WITHIN))
        .with_context(|| format!("`{name}` at {} with its `headers`", target.shown()))?;
    Ok(listed.tools)
}

impl Work {
    fn run(self, args: &Args, out: &mut dyn Write) -> anyhow::Result<u8> {
        let Self { path, pins, live } = self;
        let first = pins.is_none();
        let mut pins = pins.unwrap_or_else(|| Pins::none(args.server.clone()));
        let changes = pins.compare(&live);
        let all = args.accept_all || first && args.accept.is_empty();
        let wanted = |tool: &String| all || args.accept.contains(tool);
        let (taken, left): (BTreeMap<_, _>, BTreeMap<_, _>) = changes
            .into_iter()
            .partition(|(tool, change)| wanted(tool) && *change != Change::Unclear);
        for tool in taken.keys() {
            match live.get(tool).cloned().flatten() {
                Some(definition) => pins.tools.insert(tool.clone(), definition),
                None => pins.tools.remove(tool),
            };
        }
        if (first || !taken.is_empty())
            && let Err(error) = replace(&path, &pins.text())
        {
            let error = anyhow!(error).context(format!("{}: cannot be written", path.display()));
            return refuse(&error);
        }
        tell(&taken, " (accepted)", out)?;
        tell(&left, "", out)?;
        let (tools, file) = (pins.tools.len(), path.display());
        let tools = format!(
            "{tools} {} accepted in {file}",
            if tools == 1 { "tool" } else { "tools" }
        );
        if left.is_empty() {
            writeln!(out, "{tools}, all as they are now")?;
            return Ok(SAME);
        }
        let verb = if left.len() == 1 { "differs" } else { "differ" };
        writeln!(
            out,
            "{tools}; {} {verb}: accept with --accept TOOL or --accept-all",
            left.len()
        )?;
        Ok(DIFFERENT)
    }
}

fn tell(changes: &BTreeMap<String, Change>, done: &str, out: &mut dyn Write) -> std::io::Result<()> {
    for (tool, change) in changes {
        let (word, more) = match change {
            Change::New => ("new", String::new()),
            Change::Changed(parts) => ("changed", format!(": {}", parts.join(", "))),
            Change::Gone => ("gone", String::new()),
            Change::Unclear => (
                "unclear",
                ": its definition can be read in two ways and cannot be accepted".to_owned(),
            ),
        };
        writeln!(out, "{word:<8} {}{more}{done}", shown(tool))?;
    }
    Ok(())
}

/// The new file takes the old one's place in one step.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}.new", std::process::id()));
    let mut file = fs::File::create(&beside)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let moved = written.and_then(|()| fs::rename(&beside, path));
    if moved.is_err() {
        // what is left of it is of no use; the first error says why
        drop(fs::remove_file(&beside));
    }
    moved
}
