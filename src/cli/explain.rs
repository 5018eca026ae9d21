//! `toolgate explain`: what the policies decide about one call, and why. No server, no store.

mod ask;
mod caller;
mod json;
mod sources;
mod text;

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::bail;
use clap::{ArgGroup, Args, ValueEnum};

use self::caller::Asker;
use crate::document::{Level, Problem, quoted, render};
use crate::mcp::envelope::{self, Envelope, Kind, Unreadable};
use crate::policy::{
    self, Call, Decision, Denial, Explanation, Outcome, Plan, check_together, explain_method, explain_tool,
    needs_approval, without_id,
};
use sources::Sources;

/// The call was explained, and decided as expected.
const EXPLAINED: u8 = 0;
/// A policy holds errors, or the call was not decided as `--expect` says.
const FAULTY: u8 = 1;

const EXAMPLES: &str = "\
Examples:
  toolgate explain policies/team.yaml --tool push --arg branch=main
  toolgate explain org.yaml team.yaml --tool create_refund --args '{\"amount\": 120.5}' --claim team=payments
  toolgate explain --config toolgate.yaml --grant ci --call call.json --format json
  toolgate explain policies/team.yaml --method resources/read
  toolgate explain policies/team.yaml --tool push --arg branch=dev --expect allowed   (a test for CI)

Values of arguments are not printed unless --show-values is given: output often ends in logs.
Counters are taken as unused. Exit code: 0 explained, 1 the policy has errors or --expect is not met, 2 unreadable.";

/// What `toolgate explain` is asked.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(group = ArgGroup::new("asked").required(true).args(["tool", "call", "method"]))]
pub struct Options {
    /// Policy files, JSON or YAML, in the order in which the grant carries them.
    #[arg(value_name = "POLICY", required_unless_present = "config")]
    policies: Vec<PathBuf>,
    /// Take the grant's policies, claims and server from these settings. Policies that are named take the
    /// place of the grant's own.
    #[arg(long, value_name = "FILE", requires = "grant")]
    config: Option<PathBuf>,
    /// Explain a call of this tool.
    #[arg(long, value_name = "NAME")]
    tool: Option<String>,
    /// An argument of the call; the value is JSON where it reads as such, and text otherwise.
    #[arg(long, value_name = "K=V", requires = "tool", conflicts_with_all = ["args", "args_file"])]
    arg: Vec<String>,
    /// All arguments of the call, as JSON.
    #[arg(long, value_name = "JSON", requires = "tool", conflicts_with = "args_file")]
    args: Option<String>,
    /// A file with all arguments of the call, as JSON; `-` is stdin.
    #[arg(long, value_name = "FILE", requires = "tool")]
    args_file: Option<PathBuf>,
    /// A file with the whole message as the client sends it, or with `{"name": …, "arguments": …}`; `-` is stdin.
    #[arg(long, value_name = "FILE")]
    call: Option<PathBuf>,
    /// Explain a request of another method, such as resources/read.
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// Who calls [default: local].
    #[arg(long, value_name = "ID")]
    grant: Option<String>,
    /// The server that is called [default: that of the grant, or local].
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// The id of the MCP session, where the call has one.
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// A claim of the grant; the value is JSON where it reads as such, and text otherwise.
    #[arg(long, value_name = "K=V", conflicts_with = "claims")]
    claim: Vec<String>,
    /// All claims of the grant, as JSON.
    #[arg(long, value_name = "JSON")]
    claims: Option<String>,
    /// Print the values of arguments that rules looked at.
    #[arg(long)]
    show_values: bool,
    /// Exit with 1 unless the outcome is this one.
    #[arg(long, value_name = "OUTCOME", value_parser = ["allowed", "denied", "hidden", "limited", "needs_approval", "invalid"])]
    expect: Option<String>,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// An explanation, and everything that is needed to show it.
struct Shown<'s> {
    explanation: &'s Explanation,
    sources: &'s Sources,
    asker: &'s Asker,
    /// The method of the message, as far as it could be read.
    method: Option<&'s str>,
    tool: Option<&'s str>,
    notes: Vec<String>,
    values: bool,
}

/// Explains and returns the exit code.
pub fn run(options: &Options, out: &mut dyn Write) -> anyhow::Result<u8> {
    let body = ask::body(options)?;
    let (asker, sources) = match caller::load(options)? {
        Ok(loaded) => loaded,
        Err(unfit) => {
            out.write_all(unfit.report.as_bytes())?;
            return Ok(unfit.code);
        }
    };
    let problems = check_together(&sources.policies);
    if !problems.is_empty() {
        tell(&problems, &sources, out)?;
        return Ok(FAULTY);
    }
    let read = envelope::read(&body);
    let method = match &read {
        Ok(envelope) => envelope.method.as_deref(),
        Err(_) => None,
    };
    let tool = match &read {
        Ok(envelope) => envelope
            .tool_call()
            .ok()
            .flatten()
            .map(|call| call.name.to_owned()),
        Err(_) => None,
    };
    let explanation = match &read {
        Ok(envelope) => explain(envelope, &asker, &sources),
        Err(unreadable) => invalid(unreadable),
    };
    let shown = Shown {
        explanation: &explanation,
        sources: &sources,
        asker: &asker,
        method,
        tool: tool.as_deref(),
        notes: notes(&asker, &sources, read.as_ref().ok()),
        values: options.show_values,
    };
    match options.format {
        Format::Text => text::write(&shown, out)?,
        Format::Json => json::write(&shown, out)?,
    }
    expected(options.expect.as_deref(), &explanation.decision)
}

fn explain(envelope: &Envelope<'_>, asker: &Asker, sources: &Sources) -> Explanation {
    let policies = &sources.policies;
    match envelope.tool_call() {
        Err(unreadable) => invalid(&unreadable),
        Ok(Some(call)) if envelope.kind == Kind::Notification => refused(without_id(call.name)),
        Ok(Some(call)) => {
            let asked = Call {
                tool: call.name,
                arguments: call.arguments,
            };
            explain_tool(policies, &asker.caller(), &asked)
        }
        Ok(None) => match envelope.method.as_deref() {
            Some(method) => explain_method(policies, method),
            // A client's answer to a question of the server's.
            None => of(Plan::Admit(Vec::new())),
        },
    }
}

/// A message that the proxy would not read: no policy is asked.
fn invalid(unreadable: &Unreadable<'_>) -> Explanation {
    refused(Denial {
        outcome: Outcome::Invalid,
        rule: "(message)".to_owned(),
        message: unreadable.reason().to_owned(),
        retry_after_ms: None,
    })
}

fn refused(denial: Denial) -> Explanation {
    of(Plan::Refuse(denial))
}

fn of(plan: Plan) -> Explanation {
    let decision = Decision {
        plan,
        shadow: Vec::new(),
        recorded: Vec::new(),
    };
    Explanation {
        decision,
        steps: Vec::new(),
    }
}

impl Shown<'_> {
    /// Why the call is not forwarded as it is.
    fn denial(&self) -> Option<Denial> {
        match &self.explanation.decision.plan {
            Plan::Admit(_) => None,
            Plan::Ask { ask, .. } => Some(needs_approval(self.tool.unwrap_or_default(), ask)),
            Plan::Refuse(denial) => Some(denial.clone()),
        }
    }
}

fn notes(asker: &Asker, sources: &Sources, envelope: Option<&Envelope<'_>>) -> Vec<String> {
    let mut notes = asker.notes.clone();
    for (source, _) in sources.iter().filter(|(_, policy)| policy.is_shadow()) {
        let name = quoted(&source.name);
        notes.push(format!("the policy {name} is in shadow: it blocks nothing"));
    }
    let Some(envelope) = envelope else { return notes };
    match envelope.method.as_deref() {
        None => notes.push("a client's answer to the server is forwarded and not judged".to_owned()),
        Some(method) if policy::is_protocol_method(method) => {
            notes.push("this method belongs to the protocol: it passes whatever the policies say".to_owned());
        }
        Some(_) => {}
    }
    notes
}

fn outcome(decision: &Decision) -> Outcome {
    match &decision.plan {
        Plan::Admit(_) => Outcome::Allowed,
        Plan::Ask { .. } => Outcome::NeedsApproval,
        Plan::Refuse(denial) => denial.outcome,
    }
}

fn expected(expect: Option<&str>, decision: &Decision) -> anyhow::Result<u8> {
    let outcome = outcome(decision).as_str();
    match expect {
        Some(expect) if expect != outcome => {
            bail!("the outcome is `{outcome}`, and --expect says `{expect}`")
        }
        _ => Ok(EXPLAINED),
    }
}

fn tell(problems: &[Problem], sources: &Sources, out: &mut dyn Write) -> io::Result<()> {
    for problem in problems {
        let text = sources.text_of(&problem.file);
        out.write_all(render(problem, Level::Error, text).as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
