//! The command line. One file per subcommand; exit codes are part of the contract.

mod against;
mod approvals;
mod audit;
pub mod check;
mod check_config;
mod check_history;
mod convert;
mod counters;
mod demo;
mod diff;
mod entries;
mod explain;
mod grant;
mod init;
mod lines;
mod pin;
mod replay;
mod report;
mod scan;
pub mod schema;
mod serve;
mod shown;
mod wrap;

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::settings::LogForm;

/// A gate for the tool calls of AI agents: policies and exact shared limits in front of MCP servers.
#[derive(Debug, Parser)]
#[command(name = "toolgate", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  toolgate demo                              see a policy at work; nothing else is needed
  toolgate init --upstream http://127.0.0.1:3000/mcp
                                             the first files for a server of yours
  toolgate check policies/*.json             look for mistakes before a policy is live
  toolgate explain policies/team.json --tool push --arg branch=main
                                             see which rule decides a call, and why
  toolgate diff old.json new.yaml            what two policies decide differently
  toolgate grant new --id ci --server coalesce --policy coalesce-default --append grants.yaml
  toolgate serve --config toolgate.yaml      run the gate
  toolgate scan -- npx -y some-server        what a server's tools do; with --format policy a first policy
  toolgate pin coalesce                      accept a server's tools as they are; later: what has changed
  toolgate wrap --policy p.json -- COMMAND   put the gate around a local server

Environment:
  TOOLGATE__SECTION__KEY   overrides a key of toolgate.yaml, such as TOOLGATE__COUNTERS__URL
  RUST_LOG                 what is logged to stderr (default: info)";

#[derive(Debug, Subcommand)]
enum Command {
    /// Write the first files for a server: settings, a policy, and a grant, whose token is printed once.
    ///
    /// Never overwrites a file.
    #[command(after_help = init::EXAMPLES)]
    Init(init::Args),
    /// Run the gate: the proxy, and probes and metrics on a second port.
    ///
    /// stdout holds JSON lines only: first {"event":"listening",…}, then one line per decision. Logs go to stderr.
    #[command(after_help = "Example:\n  toolgate serve --config /etc/toolgate/toolgate.yaml")]
    Serve {
        /// The settings file. Relative paths in it start from its folder.
        #[arg(long, value_name = "FILE", default_value = "toolgate.yaml")]
        config: PathBuf,
    },
    /// Show a policy at work: example server, gate and calls in one process.
    #[command(
        after_help = "Examples:\n  toolgate demo          drive calls, then stay up for a client of yours\n  toolgate demo --once   drive calls and exit 0 if exactly 10 of 12 were admitted"
    )]
    Demo {
        /// Exit after the calls; fail unless exactly 10 of 12 were admitted.
        #[arg(long)]
        once: bool,
    },
    /// Check policies; every problem is told with its place.
    ///
    /// Exit code: 0 clean or warnings only, 1 errors (with --strict: warnings too), 2 unreadable.
    #[command(after_help = check_config::EXAMPLES)]
    Check(check_config::Args),
    /// Tell what two policies decide differently.
    ///
    /// What they say counts, not how it is written. Exit code: 0 no difference, 1 different, 2 unreadable or invalid.
    #[command(after_help = diff::EXAMPLES)]
    Diff(diff::Args),
    /// Explain what policies decide about one call, and why: each rule that was tried, and what is charged.
    ///
    /// Needs no server and no store.
    Explain(Box<explain::Options>),
    /// Replay recorded decisions under other policies: what would have been decided differently?
    ///
    /// Limits are simulated on the recorded times. What depends on values that are not on record is counted apart.
    #[command(after_help = replay::EXAMPLES)]
    Replay(replay::Args),
    /// Tell whether the limits held in what replicas wrote down: no window above its max, nothing charged on a denial.
    ///
    /// Reads histories of admissions, or with --decisions what `serve` wrote.
    #[command(after_help = check_history::EXAMPLES)]
    CheckHistory(check_history::Args),
    /// See what waits for a person, and approve or deny it.
    ///
    /// Asks a gate's console. Exit code: 0 done, 1 refused, 2 the console was not reached.
    #[command(subcommand)]
    Approvals(approvals::Command),
    /// Look at a grant's counters, or set them back.
    #[command(subcommand)]
    Counters(counters::Command),
    /// Accept the tools of a server as they are now, and tell what has changed since.
    ///
    /// Where the settings say `pin: true` for the server, a tool that is new or changed is hidden and denied until it
    /// is accepted. Exit code: 0 all as accepted, 1 something differs, 2 unreadable.
    #[command(after_help = pin::EXAMPLES)]
    Pin(pin::Args),
    /// Tell what a server's tools do: read, write, execute, destroy or move money; and write a first policy for them.
    ///
    /// Calls no tool. Exit code: 0; with --drift 1 where something has changed; 2 where the server or a file cannot
    /// be read.
    #[command(after_help = scan::EXAMPLES)]
    Scan(Box<scan::Args>),
    /// Check the audit log for changes, and show it to people.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Make tokens for grants, and revoke grants.
    #[command(subcommand)]
    Grant(grant::Command),
    /// Run the demo's MCP server alone, to try a gate in front of it.
    #[command(after_help = "Example:\n  toolgate example-server --listen 127.0.0.1:3000")]
    ExampleServer {
        /// Where to listen; its URL is printed.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000")]
        listen: SocketAddr,
    },
    /// Start a local MCP server behind a policy, for a client that speaks stdio.
    ///
    /// stdin and stdout carry MCP alone. Logs, decision lines and the server's own stderr go to stderr. The
    /// exit code is the server's.
    #[command(after_help = wrap::EXAMPLES)]
    Wrap(wrap::Arguments),
    /// Print the JSON Schema of the policy file.
    #[command(after_help = "Example:\n  toolgate schema > policy.schema.json")]
    Schema,
}

/// Runs the command that the process' arguments name.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = run(cli.command, &mut std::io::stdout());
    match result {
        Ok(code) => ExitCode::from(code),
        // the reader of a pipe went away: nothing to say, and nobody to say it to
        Err(error) if is_broken_pipe(&error) => ExitCode::FAILURE,
        Err(error) => {
            let mut stderr = std::io::stderr();
            // nothing can be done if stderr is closed too
            drop(writeln!(stderr, "toolgate: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command, out: &mut dyn Write) -> anyhow::Result<u8> {
    match command {
        Command::Init(args) => init::run(&args, out),
        Command::Serve { config } => serve::run(&config, out),
        Command::Demo { once } => demo::run(once, out),
        Command::Check(args) => check_config::run(&args, out),
        Command::Diff(args) => diff::run(&args, out),
        Command::Explain(options) => explain::run(&options, out),
        Command::Replay(args) => replay::run(&args, out),
        Command::CheckHistory(args) => check_history::run(&args, out),
        Command::Approvals(command) => approvals::run(&command, out),
        Command::Counters(command) => counters::run(&command, out),
        Command::Pin(args) => pin::run(&args, out),
        Command::Scan(args) => scan::run(&args, out),
        Command::Audit(command) => audit::run(&command, out),
        Command::Grant(command) => grant::run(&command, out),
        Command::ExampleServer { listen } => demo::example_server(listen, out),
        Command::Wrap(arguments) => wrap::run(arguments),
        Command::Schema => schema::run(out).map(|()| 0).map_err(Into::into),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Logs to stderr: `form`, or else for people on a terminal and JSON lines elsewhere. `RUST_LOG` sets the levels.
fn start_logging(default: &str, form: Option<LogForm>) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let terminal = std::io::stderr().is_terminal();
    let form = form.unwrap_or(if terminal { LogForm::Text } else { LogForm::Json });
    let started = match form {
        LogForm::Text => builder.with_target(false).with_ansi(terminal).try_init(),
        LogForm::Json => builder
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .try_init(),
    };
    // a second start in one process (tests) keeps the first
    drop(started);
}

/// The runtime of `serve` and `demo`. `TOKIO_WORKER_THREADS` sets the number of threads.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// One TLS provider for upstreams and the store.
fn install_crypto() {
    // an error means that one is installed already
    drop(rustls::crypto::ring::default_provider().install_default());
}
