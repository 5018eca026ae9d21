//! Questions to a client in revision 2026-07-28 ("Multi Round-Trip Requests"): whether it can be sent to a URL, what it
//! answers to a question of the gate's own, and its message without that answer.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::text::{Text, place_of};

/// The gate's own question among those of a result.
pub const QUESTION: &str = "toolgate_approval";
/// The members of `params` that answer a question.
const ANSWER: [&str; 2] = ["requestState", "inputResponses"];
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    params: &'a RawValue,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow, default, rename = "_meta")]
    meta: BTreeMap<String, &'a RawValue>,
    #[serde(borrow, rename = "requestState")]
    state: Option<&'a RawValue>,
    #[serde(default, rename = "inputResponses")]
    responses: Option<BTreeMap<String, serde_json::Value>>,
}

/// A client's answer to the gate's own question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<'m> {
    /// What the client was given to bring back.
    pub state: Cow<'m, str>,
    /// The user went on: neither declined nor cancelled.
    pub accepted: bool,
}

fn params(message: &str) -> Option<Params<'_>> {
    let message: Message<'_> = serde_json::from_str(message).ok()?;
    serde_json::from_str(message.params.get()).ok()
}

/// Whether the client says that it can send its user to a URL.
pub fn takes_urls(message: &str) -> bool {
    #[derive(Deserialize)]
    struct Capabilities {
        elicitation: Option<BTreeMap<String, serde_json::Value>>,
    }
    let url = params(message).and_then(|params| {
        let declared: Capabilities = serde_json::from_str(params.meta.get(CAPABILITIES)?.get()).ok()?;
        declared.elicitation?.remove("url")
    });
    url.is_some_and(|url| url.is_object())
}

/// The answer whose state begins with `marker`, if there is one. The message went through the strict reading.
pub fn answer<'m>(message: &'m str, marker: &str) -> Option<Answer<'m>> {
    let params = params(message)?;
    let Text(state) = serde_json::from_str(params.state?.get()).ok()?;
    if !state.starts_with(marker) {
        return None;
    }
    let responses = params.responses.unwrap_or_default();
    let said = responses.get(QUESTION).and_then(|said| said.get("action"));
    Some(Answer {
        state,
        accepted: said.is_some_and(|action| action == "accept"),
    })
}

/// The message as it was before a question was answered: without `requestState` and `inputResponses`, and every other
/// member byte for byte. `None` where it is no message with `params`.
pub fn without_answer(message: &str) -> Option<String> {
    let read: Message<'_> = serde_json::from_str(message).ok()?;
    let params = read.params.get();
    let place = place_of(message, params)?;
    let kept = members(params)?.into_iter();
    let kept = kept.filter(|(key, _)| !ANSWER.contains(&key.as_ref()));
    let kept: Option<Vec<&str>> = kept.map(|(_, range)| params.get(range)).collect();
    let (before, behind) = (message.get(..place.start)?, message.get(place.end..)?);
    Some(format!("{before}{{{}}}{behind}", kept?.join(",")))
}

/// Each member of an object in JSON: its key, and where it stands.
fn members(object: &str) -> Option<Vec<(Cow<'_, str>, Range<usize>)>> {
    let mut members = Vec::new();
    let mut at = object.find('{')?.checked_add(1)?;
    loop {
        at = skip(object, at)?;
        if object.get(at..)?.starts_with('}') {
            return Some(members);
        }
        let (key, end) = value(object, at)?;
        let Text(key) = serde_json::from_str(key).ok()?;
        let colon = skip(object, end)?;
        let (_, end) = value(object, colon.checked_add(1)?)?;
        members.push((key, at..end));
        at = skip(object, end)?;
        if object.get(at..)?.starts_with(',') {
            at = at.checked_add(1)?;
        }
    }
}

/// The next value, and where it ends.
fn value(text: &str, at: usize) -> Option<(&str, usize)> {
    let mut values = serde_json::Deserializer::from_str(text.get(at..)?).into_iter::<&RawValue>();
    let value = values.next()?.ok()?;
    Some((value.get(), at.checked_add(values.byte_offset())?))
}

fn skip(text: &str, at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    let blanks = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    at.checked_add(blanks)
}

#[cfg(test)]
mod tests {
    use super::{answer, takes_urls, without_answer};

    #[test]
    fn only_a_client_that_declares_urls_takes_them() {
        let with = |declared: &str| {
            takes_urls(&format!(
                r#"{{"params":{{"_meta":{{"io.modelcontextprotocol/clientCapabilities":{declared}}}}}}}"#
            ))
        };
        assert!(with(r#"{"elicitation":{"form":{},"url":{}}}"#));
        for none in [
            "{}",
            r#"{"elicitation":{}}"#,
            r#"{"elicitation":{"form":{}}}"#,
            r#"{"elicitation":{"url":null}}"#,
            r#"{"sampling":{"url":{}}}"#,
        ] {
            assert!(!with(none), "{none}");
        }
        assert!(!takes_urls(r#"{"params":{}}"#));
    }

    #[test]
    fn an_answer_is_one_to_a_state_of_our_own() {
        let message = r#"{"params":{"requestState":"own.x","inputResponses":{"toolgate_approval":{"action":"accept"}}}}"#;
        let read = answer(message, "own.").unwrap();
        assert_eq!((read.state.as_ref(), read.accepted), ("own.x", true));
        assert_eq!(answer(message, "other."), None);
        for declined in [
            r#"{"params":{"requestState":"own.x"}}"#,
            r#"{"params":{"requestState":"own.x","inputResponses":{"toolgate_approval":{"action":"decline"}}}}"#,
            r#"{"params":{"requestState":"own.x","inputResponses":{"another":{"action":"accept"}}}}"#,
        ] {
            assert!(!answer(declined, "own.").unwrap().accepted, "{declined}");
        }
    }

    #[test]
    fn the_answer_is_cut_out_and_all_else_stays_byte_for_byte() {
        for (message, left) in [
            (
                r#"{ "id" : 1, "params" : { "name":"t" , "request\u0053tate" : "a\"}" ,"arguments": { "n" : 1e2 }, "inputResponses":{"k":[1,{}]} } }"#,
                r#"{ "id" : 1, "params" : {"name":"t","arguments": { "n" : 1e2 }} }"#,
            ),
            (r#"{"params":{"requestState":"x"}}"#, r#"{"params":{}}"#),
            (r#"{"params":{},"id":1}"#, r#"{"params":{},"id":1}"#),
        ] {
            assert_eq!(without_answer(message).as_deref(), Some(left));
        }
        assert_eq!(without_answer(r#"{"id":1}"#), None);
    }
}
