//! `toolgate approvals list | show | approve | deny | watch | token`: what waits for a person, by way of a console.

mod token;
mod told;
mod watch;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

use crate::client::{ConsoleClient, ConsoleError, ListedApproval};
use crate::settings::{Egress, defaults, secret_from_env};
use told::Told;

/// How long a console may take for one answer.
const WITHIN: Duration = Duration::from_secs(20);

const REFUSED: u8 = 1;
const UNREACHED: u8 = 2;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List approvals, the oldest first: those that are pending, or with --state others.
    #[command(after_help = "Example:\n  TOOLGATE_APPROVER_TOKEN=tg_… toolgate approvals list")]
    List {
        /// Which: pending, approved, denied, expired, consumed, or all.
        #[arg(long, value_name = "STATE", default_value = "pending")]
        state: Which,
        #[command(flatten)]
        at: At,
    },
    /// Show one, with its arguments.
    Show {
        id: String,
        #[command(flatten)]
        at: At,
    },
    /// Approve one: its exact call may run, once.
    #[command(
        after_help = "Example:\n  toolgate approvals approve 5f0c… --reason 'agreed in the incident channel'"
    )]
    Approve {
        id: String,
        /// Why; it stands in the record.
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        #[command(flatten)]
        at: At,
    },
    /// Deny one. The agent is told the reason.
    Deny {
        id: String,
        /// Why; the agent is told, and it stands in the record.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        at: At,
    },
    /// Show what waits, and what becomes of it, until it is stopped.
    Watch {
        #[command(flatten)]
        at: At,
    },
    /// Make an approver's token: printed once, with the entry for approvers.yaml.
    ///
    /// stdout: the token on the first line, the entry on the second.
    #[command(after_help = token::EXAMPLES)]
    Token(token::Args),
}

/// Where the console is, and how answers are written.
#[derive(Debug, clap::Args)]
pub struct At {
    /// The console's URL.
    #[arg(long, value_name = "URL", default_value_t = format!("http://{}", defaults::CONSOLE))]
    console: String,
    /// The environment variable that holds an approver's token.
    #[arg(long, value_name = "NAME", default_value = "TOOLGATE_APPROVER_TOKEN")]
    token_env: String,
    /// Certificates of the only authorities that may have signed the console's; left out: the system's.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// `json` is the console's own answer; of `watch`, one line for each change.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// How answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Text,
    Json,
}

/// Which approvals a list shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Which {
    Pending,
    Approved,
    Denied,
    Expired,
    Consumed,
    All,
}

impl Which {
    const fn state(self) -> Option<&'static str> {
        match self {
            Self::Pending => Some("pending"),
            Self::Approved => Some("approved"),
            Self::Denied => Some("denied"),
            Self::Expired => Some("expired"),
            Self::Consumed => Some("consumed"),
            Self::All => None,
        }
    }
}

#[derive(serde::Deserialize)]
struct Listed {
    approvals: Vec<ListedApproval>,
}

/// Runs the command. Returns the exit code.
///
/// # Errors
/// A token or URL that cannot be used, and where `out` cannot be written to.
pub fn run(command: &Command, out: &mut dyn Write) -> anyhow::Result<u8> {
    super::start_logging("warn", None);
    let at = match command {
        Command::Token(args) => return token::run(args, out),
        Command::List { at, .. }
        | Command::Show { at, .. }
        | Command::Approve { at, .. }
        | Command::Deny { at, .. }
        | Command::Watch { at } => at,
    };
    super::install_crypto();
    let client = client(at)?;
    let runtime = super::runtime().context("the runtime cannot start")?;
    let mut told = Told::new(out, at.format);
    let done = runtime.block_on(async {
        match command {
            Command::List { state, .. } => list(&client, state.state(), &mut told).await,
            Command::Show { id, .. } => show(&client, id, &mut told).await,
            Command::Approve { id, reason, .. } => decide(&client, id, true, reason, &mut told).await,
            Command::Deny { id, reason, .. } => decide(&client, id, false, reason, &mut told).await,
            Command::Watch { .. } => watch::watch(&client, &mut told).await,
            Command::Token(_) => Ok(()),
        }
    });
    code(done)
}

fn client(at: &At) -> anyhow::Result<ConsoleClient> {
    let token = secret_from_env(&at.token_env).map_err(|error| {
        anyhow::anyhow!("{error}: it holds an approver's token (or name another variable with --token-env)")
    })?;
    let egress = Egress::from_env()?;
    Ok(ConsoleClient::new(
        &at.console,
        &token,
        at.ca.clone(),
        egress,
        WITHIN,
    )?)
}

/// A console that refuses is told from one that does not answer.
fn code(done: anyhow::Result<()>) -> anyhow::Result<u8> {
    let Err(error) = done else { return Ok(0) };
    let code = match error.downcast_ref::<ConsoleError>() {
        Some(ConsoleError::Refused { .. }) => REFUSED,
        Some(_) => UNREACHED,
        None => return Err(error),
    };
    let text = super::shown::escaped(&format!("{error:#}"));
    writeln!(std::io::stderr(), "toolgate: {text}")?;
    Ok(code)
}

async fn list(client: &ConsoleClient, state: Option<&str>, told: &mut Told<'_>) -> anyhow::Result<()> {
    let text = client.list_text(state).await?;
    let listed: Listed = read(&text)?;
    told.list(&text, &listed.approvals)
}

async fn show(client: &ConsoleClient, id: &str, told: &mut Told<'_>) -> anyhow::Result<()> {
    let text = client.get_text(id).await?;
    told.one(&text, &read(&text)?)
}

/// What is decided is the call that the id stands for now: its digest is sent back.
async fn decide(
    client: &ConsoleClient,
    id: &str,
    approve: bool,
    reason: &str,
    told: &mut Told<'_>,
) -> anyhow::Result<()> {
    let asked: ListedApproval = read(&client.get_text(id).await?)?;
    let text = client.decide(&asked.id, approve, &asked.digest, reason).await?;
    told.decided(&text, &read(&text)?)
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> anyhow::Result<T> {
    serde_json::from_str(text).map_err(|_| ConsoleError::NotConsole(200).into())
}
