//! The core of the proxy, without a transport: one message, and what is to become of it.

use std::sync::Arc;

use super::pinned::Pinned;
use crate::approvals::Resumed;
use crate::grants::Grant;
use crate::mcp::envelope::{Envelope, Kind, ToolCall, Unreadable};
use crate::policy::{self, Ask, Call, Caller, Charge, Denial, Outcome, Plan, Recorded};

/// One message of a grant on its way to a server.
pub struct Exchange<'m> {
    pub grant: &'m Arc<Grant>,
    pub server: &'m str,
    /// The upstream's session id, verified.
    pub session: Option<&'m str>,
    pub message: &'m Envelope<'m>,
    /// What the message was read from.
    pub bytes: &'m [u8],
    /// The request for approval that the client was pointed to before.
    pub resumed: Option<&'m Resumed>,
    /// Where the server is: its URL, or its command.
    pub place: &'m str,
    /// Revision 2026-07-28 or later.
    pub modern: bool,
    /// What the server's tools may be, where that is pinned.
    pub pins: Option<&'m Pinned>,
}

/// How a refusal is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// An `isError` result: the agent's model reads it.
    ToolError,
    /// A JSON-RPC error.
    RpcError,
    /// As the server itself answers for a name it does not know.
    UnknownTool,
    /// A notification gets no answer.
    Silent,
}

/// What is to be done with a message, and what goes on record beside that.
pub struct Judgement<'m> {
    pub judged: Judged<'m>,
    /// What rules in shadow would have refused.
    pub shadow: Vec<Denial>,
    pub recorded: Vec<Recorded>,
}

/// What is to be done with a message.
pub enum Judged<'m> {
    /// Forward it; nothing is charged.
    Pass,
    /// A tool call to forward once its charges are admitted (there may be none).
    Call {
        tool: &'m str,
        charges: Vec<Charge>,
        /// People must agree first.
        ask: Option<Ask>,
    },
    Refuse {
        denial: Denial,
        form: Form,
    },
    /// The parameters of a call cannot be read.
    Unreadable(Unreadable<'m>),
}

impl<'m> From<Judged<'m>> for Judgement<'m> {
    fn from(judged: Judged<'m>) -> Self {
        Self {
            judged,
            shadow: Vec::new(),
            recorded: Vec::new(),
        }
    }
}

/// Decides. No I/O, no clock: the same message, grant, policies and pins give the same decision.
pub fn judge<'m>(exchange: &Exchange<'m>) -> Judgement<'m> {
    match exchange.message.tool_call() {
        Err(unreadable) => return Judged::Unreadable(unreadable).into(),
        Ok(Some(call)) => return judge_call(exchange, &call),
        Ok(None) => {}
    }
    let Some(method) = exchange.message.method.as_deref() else {
        return Judged::Pass.into();
    };
    let decision = policy::plan_method(&exchange.grant.policies, method);
    let judged = match decision.plan {
        Plan::Admit(_) => Judged::Pass,
        Plan::Ask { ask, .. } => Judged::Refuse {
            denial: policy::needs_approval(method, &ask),
            form: Form::RpcError,
        },
        Plan::Refuse(denial) => {
            let silent = exchange.message.kind == Kind::Notification;
            Judged::Refuse {
                denial,
                form: if silent { Form::Silent } else { Form::RpcError },
            }
        }
    };
    Judgement {
        judged,
        shadow: decision.shadow,
        recorded: decision.recorded,
    }
}

fn judge_call<'m>(exchange: &Exchange<'m>, call: &ToolCall<'m>) -> Judgement<'m> {
    let tool = call.name;
    if exchange.message.kind == Kind::Notification {
        let denial = policy::without_id(tool);
        let form = Form::Silent;
        return Judged::Refuse { denial, form }.into();
    }
    let caller = Caller {
        grant: &exchange.grant.id,
        server: exchange.server,
        session: exchange.session,
        claims: exchange.grant.claims.as_deref(),
    };
    let asked = Call {
        tool,
        arguments: call.arguments,
    };
    let decision = policy::plan_tool(&exchange.grant.policies, &caller, &asked);
    // before what the policy says: a refusal of its would show that the tool exists
    let plan = match exchange.pins {
        Some(pins) if pins.refuses(tool) => Plan::Refuse(policy::not_accepted(tool)),
        _ => decision.plan,
    };
    // conditions look at the id; what is counted is whose call it is
    let identity = exchange.grant.identity();
    let counted = |charges: Vec<Charge>| {
        charges
            .into_iter()
            .map(|charge| charge.counted_for(identity))
            .collect()
    };
    let judged = match plan {
        Plan::Admit(charges) => Judged::Call {
            tool,
            charges: counted(charges),
            ask: None,
        },
        Plan::Ask { charges, ask } => Judged::Call {
            tool,
            charges: counted(charges),
            ask: Some(ask),
        },
        Plan::Refuse(denial) => {
            let form = form_of(&denial, call.task);
            Judged::Refuse { denial, form }
        }
    };
    Judgement {
        judged,
        shadow: decision.shadow,
        recorded: decision.recorded,
    }
}

/// How the refusal of a tool call is told. The result of a task-augmented call would have to be a task.
pub fn form_of(denial: &Denial, task: bool) -> Form {
    match denial.outcome {
        Outcome::Hidden => Form::UnknownTool,
        _ if task => Form::RpcError,
        _ => Form::ToolError,
    }
}
