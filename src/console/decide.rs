//! Saying yes or no.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use jiff::Timestamp;

use super::api::gone;
use super::body::{ConsoleBody, read};
use super::entry::Caller;
use super::respond::{Refusal, json};
use super::{Console, Role, ShownApproval};
use crate::approvals::{ApprovalId, ApprovalsError, Decided, REASON_AT_MOST};
use crate::document::is_invisible;
use crate::proxy::approval_of;
use crate::record::ApprovalRecord;

/// What stands in the body.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Word {
    /// Of the call that the approver saw.
    digest: String,
    #[serde(default)]
    reason: String,
}

impl Word {
    /// # Errors
    /// Anything but a JSON object with a digest and, for a denial, a reason that can be shown.
    fn read(body: &[u8], approve: bool) -> Result<Self, Refusal> {
        let bad = |why: &str| Refusal::Body(why.to_owned());
        let starts = body.trim_ascii_start().first();
        if starts != Some(&b'{') {
            return Err(bad("write a JSON object: {\"digest\": \"…\", \"reason\": \"…\"}"));
        }
        let word: Self = serde_json::from_slice(body).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => {
                bad("its keys are `digest` and `reason`, both texts, each once")
            }
            _ => bad("it is no JSON"),
        })?;
        if word.reason.trim().is_empty() && !approve {
            return Err(bad("`reason` is missing: the agent and the record are told why"));
        }
        if word.reason.len() > REASON_AT_MOST {
            return Err(Refusal::Body(format!(
                "`reason` has more than {REASON_AT_MOST} bytes"
            )));
        }
        if word.reason.chars().any(|c| c.is_control() || is_invisible(c)) {
            return Err(bad("`reason` must be one line without invisible characters"));
        }
        Ok(word)
    }
}

impl Console {
    /// Takes the caller's word. What can be refused without the body is refused before it is read.
    pub(super) async fn decide(
        &self,
        caller: &Caller,
        id: &str,
        approve: bool,
        request: Request<Incoming>,
    ) -> Result<Response<ConsoleBody>, Refusal> {
        let (id, approval) = self.known(id).await?;
        if !caller.approver.reaches(&approval.server, &approval.tool) {
            return Err(Refusal::OutOfReach);
        }
        if caller.approver.role != Role::Approver {
            return Err(Refusal::Viewer);
        }
        is_json(request.headers())?;
        let body = read(request.into_body(), self.0.parts.limits.body_timeout).await?;
        let word = Word::read(&body, approve)?;
        let (console, by) = (self.clone(), caller.approver.id.clone());
        // in a task of its own: a client that leaves does not come between the decision and its record
        let decided = tokio::spawn(async move { console.take(id, approve, &by, &word).await }).await;
        let decided = decided.map_err(|_| Refusal::Store("broken"))?;
        match decided.map_err(|error| gone(&error))? {
            Decided::Done(approval) => {
                let shown = ShownApproval::to(&caller.approver, &approval).ok_or(Refusal::OutOfReach)?;
                Ok(json(&shown))
            }
            Decided::Unknown => Err(Refusal::NotFound),
            Decided::NotPending(state) => Err(Refusal::NotPending(state)),
            Decided::OtherDigest => Err(Refusal::OtherDigest),
            Decided::AlreadyBy => Err(Refusal::AlreadyBy),
        }
    }
}

impl Console {
    /// Takes a word, and records who said it and why.
    async fn take(
        &self,
        id: ApprovalId,
        approve: bool,
        by: &str,
        word: &Word,
    ) -> Result<Decided, ApprovalsError> {
        let parts = &self.0.parts;
        let decided = parts
            .approvals
            .decide(&id, &word.digest, approve, by, &word.reason)
            .await?;
        if let Decided::Done(approval) = &decided {
            let record = ApprovalRecord::new(
                now(),
                approval_of(approval),
                approval.state.as_str(),
                &parts.replica,
            );
            parts.recorder.approval(&record.by(by, approve, &word.reason));
        }
        Ok(decided)
    }
}

#[expect(clippy::disallowed_methods, reason = "records say when something happened")]
fn now() -> String {
    format!("{:.3}", Timestamp::now())
}

/// A page elsewhere can send forms and plain text without asking first, but not this type.
fn is_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
    if kind.trim().eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(Refusal::NotJson)
    }
}

#[cfg(test)]
mod tests {
    use super::{REASON_AT_MOST, Refusal, Word};

    #[test]
    fn a_denial_has_a_reason_and_nothing_else_is_read() {
        assert_eq!(Word::read(br#" {"digest":"ab"}"#, true).unwrap().reason, "");
        let word = Word::read(br#"{"reason":"too much","digest":"ab"}"#, false).unwrap();
        assert_eq!((word.digest.as_str(), word.reason.as_str()), ("ab", "too much"));
        let long = format!(
            r#"{{"digest":"ab","reason":"{}"}}"#,
            "x".repeat(REASON_AT_MOST + 1)
        );
        for body in [
            r#"{"digest":"ab"}"#,
            r#"{"digest":"ab","reason":"  "}"#,
            r#"{"digest":"ab","reason":"a\nb"}"#,
            r#"{"digest":"ab","reason":"a\u202eb"}"#,
            r#"{"reason":"x"}"#,
            r#"{"digest":"ab","digest":"ab","reason":"x"}"#,
            r#"{"digest":"ab","reason":"x","by":"boss"}"#,
            r#"{"digest":1,"reason":"x"}"#,
            r#"["ab","x"]"#,
            "digest=ab&reason=x",
            "",
            long.as_str(),
        ] {
            let read = Word::read(body.as_bytes(), false);
            assert!(matches!(read, Err(Refusal::Body(_))), "{body}: {read:?}");
        }
    }
}
