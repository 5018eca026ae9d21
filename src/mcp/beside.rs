//! What a `tools/call` says beside its tool and arguments.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// The members of `params` that people see, or that concern the transport alone.
const ELSEWHERE: [&str; 3] = ["name", "arguments", "_meta"];

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    params: BTreeMap<String, &'a RawValue>,
}

/// All members of `params` but `name`, `arguments` and `_meta`, as one object in JSON: `task`, and what a client
/// answers to a question of the server. The message went through the strict reading; `None`: it has no `params`.
pub fn beside(message: &str) -> Option<String> {
    let mut params = serde_json::from_str::<Message<'_>>(message).ok()?.params;
    params.retain(|key, _| !ELSEWHERE.contains(&key.as_str()));
    serde_json::to_string(&params).ok()
}

#[cfg(test)]
mod tests {
    use super::beside;

    #[test]
    fn a_plain_call_says_nothing_beside_its_tool_and_arguments() {
        let message = r#"{"id":1,"params":{"_meta":{"progressToken":7},"name":"t","arguments":{"a":1}}}"#;
        assert_eq!(beside(message).as_deref(), Some("{}"));
        assert_eq!(beside(r#"{"id":1}"#), None);
    }

    #[test]
    fn everything_else_is_kept_as_it_was_sent() {
        let message = r#"{"params":{"t\u0061sk":{"ttl":1e3},"name":"t","inputResponses":[1]}}"#;
        assert_eq!(
            beside(message).as_deref(),
            Some(r#"{"inputResponses":[1],"task":{"ttl":1e3}}"#)
        );
    }
}
