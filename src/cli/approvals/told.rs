//! Approvals on a terminal, or as the console wrote them.

use std::io::Write;

use jiff::Timestamp;

use super::Format;
use crate::cli::shown::escaped;
use crate::client::{ListedApproval, Said};

/// Writes answers.
pub(super) struct Told<'o> {
    out: &'o mut dyn Write,
    format: Format,
}

impl<'o> Told<'o> {
    pub(super) const fn new(out: &'o mut dyn Write, format: Format) -> Self {
        Self { out, format }
    }

    pub(super) fn list(&mut self, text: &str, approvals: &[ListedApproval]) -> anyhow::Result<()> {
        if self.format == Format::Json {
            return self.raw(text);
        }
        if approvals.is_empty() {
            writeln!(self.out, "none")?;
            return Ok(());
        }
        writeln!(
            self.out,
            "{:<32} {:<9} {:<10} {:<20} {:<16} TOOL",
            "ID", "STATE", "EXPIRES", "GRANT", "SERVER"
        )?;
        for approval in approvals {
            let texts = &approval.shown;
            let [id, state, grant, server, tool] = [
                &approval.id,
                &approval.state,
                &texts.grant,
                &texts.server,
                &texts.tool,
            ]
            .map(|text| escaped(text));
            let left = left(&approval.expires);
            writeln!(
                self.out,
                "{id:<32} {state:<9} {left:<10} {grant:<20} {server:<16} {tool}"
            )?;
        }
        Ok(())
    }

    pub(super) fn one(&mut self, text: &str, approval: &ListedApproval) -> anyhow::Result<()> {
        if self.format == Format::Json {
            return self.raw(text);
        }
        let texts = &approval.shown;
        let left = left(&approval.expires);
        let grant = asker(approval);
        for (name, value) in [
            ("id", &approval.id),
            ("state", &approval.state),
            ("grant", &grant),
            ("server", &texts.server),
            ("tool", &texts.tool),
            ("asked", &approval.created),
            ("expires", &format!("{} ({left})", approval.expires)),
            ("digest", &approval.digest),
        ] {
            writeln!(self.out, "{name:<10} {}", escaped(value))?;
        }
        let agreed = approval
            .decisions
            .iter()
            .filter(|said| said.decision == "approve");
        writeln!(
            self.out,
            "{:<10} {} of {}",
            "approvals",
            agreed.count(),
            approval.approvals_needed
        )?;
        for Said {
            by,
            decision,
            reason,
            time,
        } in &approval.decisions
        {
            let [by, decision, reason, time] = [by, decision, reason, time].map(|text| escaped(text));
            writeln!(self.out, "{:<10} {time} {by}: {decision}, {reason}", "decision")?;
        }
        match &texts.arguments {
            None if texts.argument_keys.is_empty() => writeln!(self.out, "no arguments")?,
            None => writeln!(
                self.out,
                "arguments (names only): {}",
                escaped(&texts.argument_keys.join(", "))
            )?,
            Some(arguments) => {
                writeln!(
                    self.out,
                    "arguments (a code such as \\u{{202e}} stands for what is not plain ASCII)"
                )?;
                for line in arguments.lines() {
                    writeln!(self.out, "  {}", escaped(line))?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn decided(&mut self, text: &str, approval: &ListedApproval) -> anyhow::Result<()> {
        if self.format == Format::Json {
            return self.raw(text);
        }
        let call = call(approval);
        if approval.state == "pending" {
            let agreed = approval
                .decisions
                .iter()
                .filter(|said| said.decision == "approve")
                .count();
            let needed = approval.approvals_needed;
            writeln!(
                self.out,
                "{agreed} of {needed} have agreed to {call}: another approver is needed"
            )?;
        } else {
            writeln!(self.out, "{}: {call}", escaped(&approval.state))?;
        }
        Ok(())
    }

    /// One change: what is new, or what became of something.
    pub(super) fn change(&mut self, text: &str, approval: &ListedApproval) -> anyhow::Result<()> {
        if self.format == Format::Json {
            let line: &serde_json::value::RawValue = serde_json::from_str(text)?;
            writeln!(self.out, "{}", line.get().replace(['\n', '\r'], " "))?;
        } else {
            let [id, state] = [&approval.id, &approval.state].map(|text| escaped(text));
            writeln!(self.out, "{id} {state:<9} {}", call(approval))?;
        }
        self.out.flush()?;
        Ok(())
    }

    fn raw(&mut self, text: &str) -> anyhow::Result<()> {
        writeln!(self.out, "{}", text.trim_end())?;
        Ok(())
    }
}

fn call(approval: &ListedApproval) -> String {
    let texts = &approval.shown;
    escaped(&format!(
        "{} on {}, asked by {}",
        texts.tool,
        texts.server,
        asker(approval)
    ))
}

/// The grant, with what tells it from one that looks the same.
fn asker(approval: &ListedApproval) -> String {
    let grant = &approval.shown.grant;
    match &approval.grant_key {
        Some(key) => format!("{grant} ({key})"),
        None => grant.clone(),
    }
}

/// How long until then, in words; empty for a time that is over.
#[expect(clippy::disallowed_methods, reason = "shows people how long they have")]
fn left(expires: &str) -> String {
    let until = expires
        .parse::<Timestamp>()
        .map(|time| time.duration_since(Timestamp::now()).as_secs());
    match until {
        Ok(seconds @ 1..60) => format!("in {seconds} s"),
        Ok(seconds @ 60..) => format!("in {} min", seconds / 60),
        Ok(_) => "-".to_owned(),
        Err(_) => String::new(),
    }
}
