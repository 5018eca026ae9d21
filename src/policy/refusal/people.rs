//! Refusals of calls that people decide about.

use super::refuse;
use crate::policy::types::{Ask, Denial, Outcome};

const STATE: &str = "(request state)";

/// The refusal of a call that a person must agree to, and nobody has.
pub fn needs_approval(tool: &str, ask: &Ask) -> Denial {
    refuse(Outcome::NeedsApproval, tool, &ask.rule, &who(ask), None)
}

/// The same where people have been asked: under this id, until this time.
pub fn waits_for_people(tool: &str, ask: &Ask, id: &str, until: &str) -> Denial {
    let who = who(ask);
    let text = format!(
        "{}. Its approval `{id}` is pending until {until}. Call again with the same arguments: it runs once it is approved",
        who.trim_end_matches(['.', '!', '?'])
    );
    refuse(Outcome::NeedsApproval, tool, &ask.rule, &text, None)
}

/// The refusal of a call that people cannot be asked about, because so many others wait.
pub fn too_many_wait(tool: &str, ask: &Ask) -> Denial {
    let text = format!(
        "{}. Nobody was asked, because too many calls wait for people already",
        who(ask).trim_end_matches(['.', '!', '?'])
    );
    refuse(Outcome::NeedsApproval, tool, &ask.rule, &text, None)
}

/// The refusal of a call that a person refused, for this reason.
pub fn people_refused(tool: &str, ask: &Ask, reason: &str, until: &str) -> Denial {
    let reason = reason.trim().trim_end_matches(['.', '!', '?']);
    let why = if reason.is_empty() {
        String::new()
    } else {
        format!(": {reason}")
    };
    let text = format!("an approver refused this call{why}. That stands until {until}");
    refuse(Outcome::Denied, tool, &ask.rule, &text, None)
}

/// The refusal of a call whose approval could not be looked for.
pub fn people_unreachable(tool: &str, ask: &Ask, retry_after_ms: Option<u64>) -> Denial {
    let text = "its approval could not be looked for, because the store did not answer";
    refuse(Outcome::StoreError, tool, &ask.rule, text, retry_after_ms)
}

/// The refusal of a call that comes back with the state of another one.
pub fn another_call(tool: &str) -> Denial {
    let text =
        "its `requestState` was given for another call, or under another policy: call again without it";
    refuse(Outcome::Invalid, tool, STATE, text, None)
}

fn who(ask: &Ask) -> String {
    let who = match ask.approvers {
        1 => "a person must approve this call".to_owned(),
        several => format!("{several} people must approve this call"),
    };
    match &ask.reason {
        Some(reason) => format!("{who}: {reason}"),
        None => who,
    }
}
