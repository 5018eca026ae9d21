//! `toolgate wrap`.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;
use sha2::{Digest, Sha256};

use crate::app::wrap::{self, Far, ServerCommand, Wrap};
use crate::settings::{self, Counters, Wrapped};

/// Examples in `toolgate wrap --help`.
pub const EXAMPLES: &str = "\
Examples:
  toolgate wrap --policy policy.json -- npx -y @modelcontextprotocol/server-everything
  toolgate wrap --policy policy.json --server files --env FILES_TOKEN -- ./files-server --stdio
  toolgate wrap --policy policy.json --upstream https://mcp.example/mcp --header Authorization=MCP_AUTHORIZATION
  toolgate wrap --policy policy.json --record ~/decisions.jsonl -- uvx some-server

In a client's configuration:
  { \"mcpServers\": { \"files\": { \"command\": \"toolgate\",
      \"args\": [\"wrap\", \"--policy\", \"/home/me/files.json\", \"--server\", \"files\", \"--\", \"files-server\"] } } }";

/// Arguments of `toolgate wrap`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A policy, JSON or YAML. Where there are several, each must allow a call.
    #[arg(long, value_name = "FILE", required = true)]
    policy: Vec<PathBuf>,
    /// Names the server in records, and its counters: gates of the same name share their limits. Left out, the
    /// name is made from the command.
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// A settings file, of which `counters` and `limits` are used, and for --upstream `servers.NAME`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// An environment variable that the server gets, beside PATH, HOME, LANG and TMPDIR.
    #[arg(long, value_name = "NAME")]
    env: Vec<String>,
    /// Where decision lines are appended; left out, they go to stderr.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// An MCP server that speaks Streamable HTTP, in place of a command.
    #[arg(long, value_name = "URL", conflicts_with_all = ["env", "command"])]
    upstream: Option<String>,
    /// A header for it, and the environment variable that holds its value.
    #[arg(long, value_name = "NAME=VARIABLE", requires = "upstream")]
    header: Vec<String>,
    /// The server's command and its arguments.
    #[arg(last = true, required_unless_present = "upstream", value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Runs until the server or the client has ended. stdout belongs to MCP.
pub fn run(arguments: Arguments) -> anyhow::Result<u8> {
    // what this process was given open is not for the server
    close_fds::set_fds_cloexec_threadsafe(3, &[]);
    super::start_logging("warn", None);
    super::install_crypto();
    let server = match &arguments.server {
        Some(name) => name.clone(),
        None => match &arguments.upstream {
            Some(url) => name_of(&["http".into(), url.into()]),
            None => name_of(&arguments.command),
        },
    };
    let wrapped = Wrapped {
        config: arguments.config.as_deref(),
        server: &server,
        upstream: arguments.upstream.as_deref(),
        headers: &arguments.header,
    };
    let settings = settings::for_wrap(&wrapped)?;
    if matches!(settings.counters, Counters::Memory) {
        tracing::warn!("counters are in memory: a restart starts every limit anew");
    }
    let environment =
        settings::child_environment(&arguments.env).map_err(|problem| anyhow!("--env: {problem}"))?;
    let mut command = arguments.command.into_iter();
    let far = match command.next() {
        None => Far::Upstream,
        Some(program) => Far::Command(ServerCommand {
            program,
            arguments: command.collect(),
            environment,
        }),
    };
    let wrap = Wrap {
        settings,
        server,
        policies: arguments.policy,
        record: arguments.record,
        far,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot start")?;
    let ended = runtime.block_on(wrap::run(wrap));
    // a read of stdin that is still under way cannot be stopped
    runtime.shutdown_background();
    ended
}

/// A name from a command: the program's, and a digest that tells two commands of one launcher apart.
fn name_of(command: &[OsString]) -> String {
    let program = command.first().map(Path::new).and_then(Path::file_name);
    let program = program.unwrap_or_default().to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let mut name: String = program.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    let mut digest = Sha256::new();
    for part in command {
        let part = part.as_encoded_bytes();
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    name.push('-');
    for byte in digest.finalize().iter().take(4) {
        // writing to a string cannot fail
        let _ = write!(name, "{byte:02x}");
    }
    name
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::name_of;

    fn name(command: &[&str]) -> String {
        name_of(&command.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn a_name_tells_commands_apart_and_is_the_same_for_the_same() {
        let one = name(&["/usr/bin/npx", "-y", "server-a"]);
        assert!(one.starts_with("npx-") && one.len() == "npx-".len() + 8, "{one}");
        assert_eq!(one, name(&["/usr/bin/npx", "-y", "server-a"]));
        assert_ne!(one, name(&["/usr/bin/npx", "-y", "server-b"]));
        assert_ne!(name(&["x", "a b"]), name(&["x", "a", "b"]));
        assert!(name(&["./a.b c"]).starts_with("a_b_c-"));
    }
}
