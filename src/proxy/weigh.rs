//! What every transport does with a message that it has read: judge, and charge once the server can be reached.

use super::exchange::{Exchange, Form, Judged, form_of, judge};
use super::ledger::Ledger;
use super::stage::{Charged, admit};
use crate::mcp::envelope::{Envelope, Kind, Unreadable};
use crate::mcp::keys::argument_keys;
use crate::policy::{Charge, Denial};

/// A message that may go on once its charges are admitted.
pub struct Weighed<'m> {
    ledger: Ledger,
    tool: &'m str,
    charges: Vec<Charge>,
    task: bool,
}

/// A message that does not go on.
pub enum Stopped<'m> {
    /// The parameters of a call cannot be read.
    Unreadable(Box<Ledger>, Unreadable<'m>),
    Denied(Box<Denied>),
}

/// A refusal that is still to be told and recorded.
pub struct Denied {
    pub denial: Denial,
    pub form: Form,
    /// None where the record was lost with the task that charged.
    pub ledger: Option<Ledger>,
}

/// Stands for the method in the record of a message that was not read.
pub const UNREAD: &str = "(unreadable)";

/// How the record names the method of a message, also where it has none.
pub fn method_of<'m>(exchange: &Exchange<'m>) -> &'m str {
    exchange.message.method.as_deref().unwrap_or("(response)")
}

/// The id under which the client waits for an answer. The id of a response is the server's: an answer under
/// it could be taken for that of a request of the client's own.
pub fn answerable<'m>(message: &Envelope<'m>) -> Option<&'m str> {
    message.id.filter(|_| message.kind == Kind::Request)
}

impl Denied {
    /// Under this id the decision stands in the record.
    pub fn decision_id(&self) -> String {
        let id = self.ledger.as_ref().map(|ledger| ledger.id.to_string());
        id.unwrap_or_default()
    }
}

/// Judges the message and notes in its record what it is.
pub fn weigh<'m>(exchange: &Exchange<'m>, mut ledger: Ledger) -> Result<Weighed<'m>, Stopped<'m>> {
    let task = match exchange.message.tool_call() {
        Ok(Some(call)) => {
            ledger.tool(call.name, argument_keys(call.arguments));
            call.task
        }
        _ => false,
    };
    let judgement = judge(exchange);
    ledger.noted(judgement.shadow);
    ledger.recorded(judgement.recorded);
    let (tool, charges) = match judgement.judged {
        Judged::Unreadable(unreadable) => return Err(Stopped::Unreadable(Box::new(ledger), unreadable)),
        Judged::Refuse { denial, form } => {
            let ledger = Some(ledger);
            return Err(Stopped::Denied(Box::new(Denied { denial, form, ledger })));
        }
        Judged::Pass => ("", Vec::new()),
        Judged::Call { tool, charges } => (tool, charges),
    };
    Ok(Weighed {
        ledger,
        tool,
        charges,
        task,
    })
}

impl Weighed<'_> {
    /// The record, where the server cannot be reached: nothing was charged.
    pub fn into_ledger(self) -> Ledger {
        self.ledger
    }

    /// Charges the message. Have the way to the server ready first, so that admission and arrival are close.
    pub async fn charge(self) -> Result<Charged, Box<Denied>> {
        let task = self.task;
        admit(self.ledger, self.tool, self.charges)
            .await
            .map_err(|refused| {
                Box::new(Denied {
                    form: form_of(&refused.denial, task),
                    denial: refused.denial,
                    ledger: refused.ledger,
                })
            })
    }
}
