//! What every transport does with a message that it has read: judge, see that people agreed, and charge once the server
//! can be reached.

use super::asking::{self, Agreed, NotAgreed};
use super::exchange::{Exchange, Form, Judged, form_of, judge};
use super::ledger::Ledger;
use super::stage::{Charged, STORE_RETRY_MS, admit, store_failed};
use crate::mcp::envelope::{Envelope, Kind, Unreadable};
use crate::mcp::keys::argument_keys;
use crate::policy::{Ask, Charge, Denial};

/// A message that may go on once its charges are admitted.
pub struct Weighed<'m> {
    pub(super) ledger: Ledger,
    pub(super) tool: &'m str,
    pub(super) charges: Vec<Charge>,
    pub(super) task: bool,
    /// People must be asked.
    pub(super) ask: Option<Ask>,
    /// People were asked, and agreed.
    pub(super) agreed: Option<Box<Agreed>>,
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
    /// The request for approval that it is about.
    pub approval: Option<Noted>,
}

/// A request for approval, as the agent is told of it.
pub struct Noted {
    pub id: String,
    /// RFC 3339.
    pub expires: String,
}

/// Why a message is not sent after it was judged.
pub enum NotCharged {
    Denied(Box<Denied>),
    /// Another call used its approval up meanwhile: it is to be judged again.
    Again(Box<Ledger>),
    /// Its record was lost with the task that charged.
    Lost,
}

/// Stands for the method in the record of a message that was not read.
pub const UNREAD: &str = "(unreadable)";

/// How the record names the method of a message, also where it has none.
pub fn method_of<'m>(message: &'m Envelope<'_>) -> &'m str {
    message.method.as_deref().unwrap_or("(response)")
}

/// The refusal of a call whose record was lost with the task that charged it, which says so in the log.
pub fn lost(exchange: &Exchange<'_>) -> Denied {
    let call = exchange.message.tool_call().ok().flatten();
    let denial = store_failed(call.map_or("", |call| call.name), &[], STORE_RETRY_MS);
    Denied {
        form: form_of(&denial, call.is_some_and(|call| call.task)),
        denial,
        ledger: None,
        approval: None,
    }
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
    let (tool, charges, ask) = match judgement.judged {
        Judged::Unreadable(unreadable) => return Err(Stopped::Unreadable(Box::new(ledger), unreadable)),
        Judged::Refuse { denial, form } => {
            let ledger = Some(ledger);
            return Err(Stopped::Denied(Box::new(Denied {
                denial,
                form,
                ledger,
                approval: None,
            })));
        }
        Judged::Pass => ("", Vec::new(), None),
        Judged::Call { tool, charges, ask } => (tool, charges, ask),
    };
    Ok(Weighed {
        ledger,
        tool,
        charges,
        task,
        ask,
        agreed: None,
    })
}

impl<'m> Weighed<'m> {
    /// Goes on where people agreed, or need not.
    ///
    /// # Errors
    /// [`NotAgreed`]
    pub async fn agreed(self, exchange: &Exchange<'_>) -> Result<Self, NotAgreed> {
        asking::agreed(self, exchange).await
    }

    /// The record, where the server cannot be reached: nothing was charged.
    pub fn into_ledger(self) -> Ledger {
        self.ledger
    }

    /// Charges the message, and uses up what people agreed to. Have the way to the server ready first, so that
    /// admission and arrival are close.
    ///
    /// # Errors
    /// [`NotCharged`]: nothing was charged, or it is taken back.
    pub async fn charge(self) -> Result<Charged, NotCharged> {
        let task = self.task;
        let charged = admit(self.ledger, self.tool, self.charges).await;
        let charged = charged.map_err(|refused| {
            NotCharged::Denied(Box::new(Denied {
                form: form_of(&refused.denial, task),
                denial: refused.denial,
                ledger: refused.ledger,
                approval: None,
            }))
        })?;
        match self.agreed {
            None => Ok(charged),
            Some(agreed) => asking::use_up(charged, agreed, task).await,
        }
    }
}
