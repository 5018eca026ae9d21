//! Which policies decide on whom.

use std::collections::HashMap;
use std::sync::Arc;

use super::line::{Asked, Call};
use crate::mcp::keys::is_complete;
use crate::policy::{self, Caller, Claims, Denial, OnRecord, Outcome, Plan, Policy, Told};

/// The policies to replay.
#[derive(Debug)]
pub enum Rulebook {
    /// The same for every grant of the log; the grants' claims are not known.
    Everyone(Vec<Arc<Policy>>),
    /// Each grant's own, by its id.
    Grants(HashMap<String, Holder>),
}

/// A grant as it is now.
#[derive(Debug, Default)]
pub struct Holder {
    pub policies: Vec<Arc<Policy>>,
    pub servers: Vec<String>,
    /// Milliseconds since 1970.
    pub expires_ms: Option<u64>,
    pub claims: Option<Claims>,
}

impl Rulebook {
    /// What can be told of a call before its limits are asked. `None`: its name is cut in the record.
    pub(super) fn tell(&self, call: &Call) -> Option<Told> {
        let nobody = Holder::default();
        let (policies, holder) = match self {
            Self::Everyone(policies) => (policies, &nobody),
            Self::Grants(grants) => match grants.get(&call.grant).map(|holder| holder.admits(call)) {
                Some(Ok(holder)) => (&holder.policies, holder),
                Some(Err(rule)) => return Some(stranger(rule)),
                None => return Some(stranger("(unknown grant)")),
            },
        };
        match &call.asked {
            Asked::Cut(_) => None,
            Asked::Method(method) => {
                let decision = policy::plan_method(policies, method);
                let refused = match decision.plan {
                    Plan::Refuse(denial) => Some(denial),
                    // no rule asks about a method
                    Plan::Admit(_) | Plan::Ask { .. } => None,
                };
                Some(Told {
                    refused,
                    shadow: decision.shadow,
                    ..Told::default()
                })
            }
            Asked::Tool(tool) => {
                let caller = Caller {
                    grant: &call.grant,
                    server: &call.server,
                    session: call.session.as_deref(),
                    claims: holder.claims.as_ref(),
                };
                let complete = is_complete(&call.argument_keys);
                let has_claims = matches!(self, Self::Grants(_));
                let known = OnRecord::new(&call.argument_keys, complete, &call.recorded, has_claims);
                Some(policy::plan_on_record(policies, &caller, tool, &known))
            }
        }
    }
}

impl Holder {
    /// # Errors
    /// Why the grant would not have got so far as to be judged.
    fn admits(&self, call: &Call) -> Result<&Self, &'static str> {
        if !self.servers.contains(&call.server) {
            return Err("(server)");
        }
        match self.expires_ms {
            Some(expires) if call.at >= expires => Err("(expired)"),
            _ => Ok(self),
        }
    }
}

/// A caller that would have had no token that counts.
fn stranger(rule: &str) -> Told {
    Told {
        refused: Some(Denial {
            outcome: Outcome::Unauthenticated,
            rule: rule.to_owned(),
            message: String::new(),
            retry_after_ms: None,
        }),
        ..Told::default()
    }
}
