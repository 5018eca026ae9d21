//! Where the tools come from: a server at a URL, a command, or a file.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};

use super::say;
use crate::cli::against::headers;
use crate::cli::check::read;
use crate::client::{Target, list_tools};
use crate::mcp::tools::{Tool, recorded};
use crate::settings::child_environment;

/// One of the three.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Source {
    /// An MCP server over HTTP: Streamable HTTP, or the event stream of 2024-11-05.
    #[arg(value_name = "URL", conflicts_with_all = ["tools", "command"], required_unless_present_any = ["tools", "command"])]
    url: Option<String>,
    /// A header for it. The process list shows it: for secrets use --header-env.
    #[arg(long, value_name = "NAME: VALUE", conflicts_with_all = ["tools", "command"])]
    header: Vec<String>,
    /// A header whose value stands in an environment variable.
    #[arg(long, value_name = "NAME=VARIABLE", conflicts_with_all = ["tools", "command"])]
    header_env: Vec<String>,
    /// A recorded `tools/list` answer, in place of a server.
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    tools: Option<PathBuf>,
    /// An environment variable that the command gets, beside PATH, HOME, LANG and TMPDIR.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["url", "tools"])]
    env: Vec<String>,
    /// How long the server may take for its whole list, starting included, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    within: u64,
    /// A server that speaks stdio: its command and its arguments. It is started, asked, and ended.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// What a server said.
pub(super) struct Found {
    pub(super) name: Option<String>,
    pub(super) version: Option<String>,
    pub(super) tools: Vec<Tool>,
}

impl Found {
    /// Writes the list, a tool after the other as it was sent, and who gave it where that is known.
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(b"{")?;
        if let Some(name) = &self.name {
            let info = json!({ "name": name, "version": self.version });
            write!(out, "\"serverInfo\":{info},")?;
        }
        out.write_all(b"\"tools\":[")?;
        for (index, tool) in self.tools.iter().enumerate() {
            let joint = if index == 0 { "\n" } else { ",\n" };
            write!(out, "{joint}{}", tool.text)?;
        }
        out.write_all(b"\n]}\n")
    }
}

impl Source {
    /// Asks, or reads the file.
    ///
    /// # Errors
    /// Where it cannot be had; the text holds no header's value and no argument of the command.
    pub(super) fn find(&self) -> anyhow::Result<Found> {
        if let Some(file) = &self.tools {
            return from_file(file).with_context(|| format!("{}", file.display()));
        }
        crate::cli::install_crypto();
        let within = Duration::from_secs(self.within);
        let target = match (&self.url, self.command.split_first()) {
            (Some(url), _) => Target::new(url, headers(&self.header, &self.header_env)?, within)?,
            (None, Some((program, arguments))) => self.command(program, arguments)?,
            (None, None) => bail!("name a URL, a command after `--`, or a file with --tools"),
        };
        let shown = target.shown();
        say(&format!("asking {shown} for its tools"))?;
        let runtime = crate::cli::runtime().context("the runtime cannot start")?;
        let listed = runtime.block_on(list_tools(&target, within));
        let listed = listed.with_context(|| shown.clone())?;
        let (tools, revision) = (listed.tools.len(), &listed.revision);
        say(&format!("{shown} has {tools} tools, revision {revision}"))?;
        Ok(Found {
            name: listed.name,
            version: listed.version,
            tools: listed.tools,
        })
    }

    fn command(&self, program: &OsString, arguments: &[OsString]) -> anyhow::Result<Target> {
        let environment = child_environment(&self.env).map_err(|problem| anyhow!("--env: {problem}"))?;
        // what this process was given open is not for the server
        close_fds::set_fds_cloexec_threadsafe(3, &[]);
        Ok(Target::command(program.clone(), arguments.to_vec(), environment))
    }
}

fn from_file(file: &Path) -> anyhow::Result<Found> {
    let text = read(file).context("cannot be read")?;
    let tools = recorded(&text).context("this is no list of tools")?;
    let whole: Value = serde_json::from_str(&text).unwrap_or_default();
    let told = |key: &str| {
        let text = whole.pointer(&format!("/serverInfo/{key}"))?.as_str()?;
        Some(text.to_owned())
    };
    Ok(Found {
        name: told("name"),
        version: told("version"),
        tools,
    })
}
