//! An approval as the API and the page show it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::{Approver, Role};
use crate::approvals::{Approval, Decision};
use crate::document::{escaped, escaped_json};

/// One approval for one approver. Field names are part of the contract.
#[derive(Debug, Serialize)]
pub struct ShownApproval<'a> {
    pub id: String,
    pub state: &'static str,
    pub grant: &'a str,
    /// Tells grants apart that look the same; only of one that was made of claims.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant_key: Option<&'a str>,
    pub server: &'a str,
    pub tool: &'a str,
    /// As the agent sent them; for approvers alone, and while the request has not ended.
    pub arguments: Option<Box<RawValue>>,
    /// The names at their top, in order.
    pub argument_keys: Vec<String>,
    /// Whoever decides sends it back.
    pub digest: &'a str,
    pub created: String,
    pub expires: String,
    pub approvals_needed: u32,
    pub decisions: Vec<ShownDecision<'a>>,
    /// The same in the one form that is fit for eyes (see `document::escaped`).
    pub shown: Fit,
}

/// What an approver said.
#[derive(Debug, Serialize)]
pub struct ShownDecision<'a> {
    pub by: &'a str,
    pub decision: &'static str,
    pub reason: &'a str,
    pub time: String,
}

/// Texts of callers, escaped.
#[derive(Debug, Serialize)]
pub struct Fit {
    pub grant: String,
    pub server: String,
    pub tool: String,
    pub arguments: Option<String>,
    /// How many bytes of the arguments' text are left out here.
    pub left_out: usize,
    pub argument_keys: Vec<String>,
}

impl<'a> ShownApproval<'a> {
    /// `None`: it is out of the approver's reach.
    pub fn to(approver: &Approver, approval: &'a Approval) -> Option<Self> {
        if !approver.reaches(&approval.server, &approval.tool) {
            return None;
        }
        let sent = approval.arguments.as_deref();
        let seen = sent.filter(|_| approver.role == Role::Approver);
        let keys = sent.map(argument_keys).unwrap_or_default();
        Some(Self {
            id: approval.id.to_string(),
            state: approval.state.as_str(),
            grant: &approval.grant,
            grant_key: approval.grant_key.as_deref(),
            server: &approval.server,
            tool: &approval.tool,
            arguments: seen.and_then(|json| RawValue::from_string(json.to_owned()).ok()),
            digest: &approval.digest,
            created: shown_time(approval.created_ms),
            expires: shown_time(approval.expires_ms),
            approvals_needed: approval.needed,
            decisions: approval.decisions.iter().map(ShownDecision::of).collect(),
            shown: Fit {
                grant: escaped(&approval.grant),
                server: escaped(&approval.server),
                tool: escaped(&approval.tool),
                // what is nested too deep to be laid out is shown on one line
                arguments: seen.map(|json| escaped_json(json).unwrap_or_else(|| escaped(json))),
                left_out: 0,
                argument_keys: keys.iter().map(|key| escaped(key)).collect(),
            },
            argument_keys: keys,
        })
    }

    /// Without the raw arguments, and with at most this many bytes of their text: for events.
    #[must_use]
    pub fn brief(mut self, at_most: usize) -> Self {
        self.arguments = None;
        if let Some(text) = &mut self.shown.arguments
            && let Some(kept) = text.get(..at_most)
        {
            self.shown.left_out = text.len() - kept.len();
            *text = kept.to_owned();
        }
        self
    }
}

impl<'a> ShownDecision<'a> {
    fn of(decision: &'a Decision) -> Self {
        Self {
            by: &decision.by,
            decision: if decision.approve { "approve" } else { "deny" },
            reason: &decision.reason,
            time: shown_time(decision.at_ms),
        }
    }
}

/// The names at the top; none where the arguments are no object.
pub fn argument_keys(json: &str) -> Vec<String> {
    let object: BTreeMap<String, IgnoredAny> = serde_json::from_str(json).unwrap_or_default();
    object.into_keys().collect()
}

/// RFC 3339 in UTC with milliseconds.
pub fn shown_time(ms: u64) -> String {
    let time = i64::try_from(ms).ok().map(Timestamp::from_millisecond);
    let time = time.and_then(Result::ok).unwrap_or(Timestamp::MAX);
    format!("{time:.3}")
}

#[cfg(test)]
mod tests {
    use super::ShownApproval;
    use crate::approvals::{Approval, ApprovalId, State};
    use crate::console::{Approver, Role};
    use crate::policy::NamePattern;

    fn approval() -> Approval {
        Approval {
            id: ApprovalId::parse("0123456789abcdef0123456789abcdef").unwrap(),
            state: State::Pending,
            grant: "ci".to_owned(),
            grant_key: Some("#0a1b".to_owned()),
            server: "stripe".to_owned(),
            tool: "refund\u{202e}".to_owned(),
            arguments: Some("{ \"note\": \"<b>\u{200b}\", \"amount\": 1.50 }".to_owned()),
            digest: "ab".to_owned(),
            created_ms: 0,
            expires_ms: 1_767_225_600_000,
            needed: 2,
            decisions: Vec::new(),
        }
    }

    fn approver(role: Role, servers: Option<&[&str]>) -> Approver {
        Approver {
            id: "a".to_owned(),
            role,
            servers: servers.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
            tools: Some(vec![NamePattern::read("refund*").unwrap()]),
            expires: None,
            label: None,
        }
    }

    #[test]
    fn an_approver_sees_arguments_and_a_viewer_their_names() {
        let approval = approval();
        let all = approver(Role::Approver, None);
        let shown = serde_json::to_value(ShownApproval::to(&all, &approval).unwrap()).unwrap();
        assert_eq!(shown["expires"], "2026-01-01T00:00:00.000Z");
        assert_eq!(shown["shown"]["tool"], "refund\\u{202e}");
        assert_eq!(
            shown["shown"]["arguments"],
            "{\n  \"note\": \"<b>\\u{200b}\"  (4 characters)\n  \"amount\": 1.50\n}"
        );
        let raw = serde_json::to_string(&ShownApproval::to(&all, &approval).unwrap()).unwrap();
        assert!(
            raw.contains("\"arguments\":{ \"note\": \"<b>\u{200b}\", \"amount\": 1.50 }"),
            "{raw}"
        );

        let viewer = approver(Role::Viewer, Some(&["stripe"]));
        let shown = serde_json::to_value(ShownApproval::to(&viewer, &approval).unwrap()).unwrap();
        assert!(shown["arguments"].is_null() && shown["shown"]["arguments"].is_null());
        assert_eq!(shown["argument_keys"], serde_json::json!(["amount", "note"]));
        assert!(!shown.to_string().contains("1.50"));
        assert!(ShownApproval::to(&approver(Role::Approver, Some(&["other"])), &approval).is_none());
    }

    #[test]
    fn events_say_what_they_leave_out() {
        let approval = approval();
        let all = approver(Role::Approver, None);
        let shown = ShownApproval::to(&all, &approval).unwrap().brief(10);
        let text = shown.shown.arguments.unwrap();
        assert_eq!(
            (text.as_str(), shown.arguments.is_none()),
            ("{\n  \"note\"", true)
        );
        assert!(shown.shown.left_out > 20);
    }
}
