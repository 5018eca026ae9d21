//! Which MCP methods belong to the protocol itself and always pass.

/// Methods of the protocol, of every revision from 2024-11-05 to 2026-07-28: they open a session,
/// keep it alive, list what there is, or follow a call that was judged when it was made.
const PROTOCOL_METHODS: [&str; 13] = [
    "initialize",
    "logging/setLevel",
    "ping",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "server/discover",
    "subscriptions/listen",
    "tasks/cancel",
    "tasks/get",
    "tasks/list",
    "tasks/result",
    "tools/list",
];

/// Whether `method` passes whatever the policy says. `tools/call` does not (it is judged as a call),
/// and neither does any method that is not known here: those follow the policy's `default`.
pub fn is_protocol_method(method: &str) -> bool {
    PROTOCOL_METHODS.contains(&method) || method.starts_with("notifications/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_that_reach_server_code_are_not_protocol_methods() {
        for method in [
            "tools/call",
            "resources/read",
            "resources/subscribe",
            "prompts/get",
            "completion/complete",
        ] {
            assert!(!is_protocol_method(method), "{method}");
        }
    }

    #[test]
    fn names_are_compared_byte_by_byte() {
        for method in [
            "Ping",
            "ping ",
            "tools/list/",
            "notifications",
            "",
            "tasks/update",
        ] {
            assert!(!is_protocol_method(method), "{method:?}");
        }
    }

    #[test]
    fn lists_and_notifications_are_protocol_methods() {
        for method in [
            "initialize",
            "tools/list",
            "notifications/initialized",
            "notifications/cancelled",
        ] {
            assert!(is_protocol_method(method), "{method}");
        }
    }
}
