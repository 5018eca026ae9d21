//! What a definition that tries to look harmless is taken for.

use serde_json::{Value, json};
use toolgate::mcp::tools::{Tool, recorded};
use toolgate::scan::{Class, Classed, Risk, classify};

fn tools(definitions: &[Value]) -> Vec<Tool> {
    recorded(&json!({ "tools": definitions }).to_string()).unwrap()
}

fn class_of(definition: &Value) -> Classed {
    classify(None, &tools(std::slice::from_ref(definition))).remove(0)
}

#[test]
fn hints_never_lower_a_class() {
    let harmless = json!({
        "readOnlyHint": true, "destructiveHint": false, "idempotentHint": true, "openWorldHint": false
    });
    for (name, at_least) in [
        ("delete_file", Class::Destructive),
        ("run_command", Class::Execute),
        ("create_payment", Class::Financial),
        ("update_issue", Class::Write),
        ("frobnicate", Class::Write),
    ] {
        let bare = class_of(&json!({ "name": name }));
        let hinted = class_of(&json!({ "name": name, "annotations": harmless }));
        assert_eq!(bare.class, at_least, "{name}");
        assert!(
            hinted.class >= bare.class && hinted.risk >= bare.risk,
            "{name}: {hinted:?}"
        );
    }
    // over every recorded tool, whatever the hints are
    for server in crate::labelled::servers() {
        let bare: Vec<Value> = server
            .tools
            .iter()
            .map(|tool| without_hints(tool, None))
            .collect();
        let hinted: Vec<Value> = server
            .tools
            .iter()
            .map(|tool| without_hints(tool, Some(&harmless)))
            .collect();
        let called = server.called.as_deref();
        let pairs = classify(called, &tools(&bare))
            .into_iter()
            .zip(classify(called, &tools(&hinted)));
        for (bare, hinted) in pairs {
            assert!(hinted.class >= bare.class, "{}: {bare:?} {hinted:?}", server.name);
        }
    }
}

fn without_hints(tool: &Tool, hints: Option<&Value>) -> Value {
    let mut definition = tool.definition.clone();
    let fields = definition.as_object_mut().unwrap();
    fields.remove("annotations");
    if let Some(hints) = hints {
        fields.insert("annotations".to_owned(), hints.clone());
    }
    definition
}

#[test]
fn hints_raise_what_is_not_known() {
    let hinted = |name: &str, hints: Value| class_of(&json!({ "name": name, "annotations": hints })).class;
    assert_eq!(
        hinted("frobnicate", json!({ "destructiveHint": true })),
        Class::Destructive
    );
    assert_eq!(
        hinted("get_state", json!({ "readOnlyHint": false })),
        Class::Write
    );
    assert_eq!(
        hinted("get_state", json!({ "destructiveHint": true })),
        Class::Write
    );
    assert_eq!(hinted("get_state", json!({ "readOnlyHint": "no" })), Class::Read);
}

#[test]
fn what_nothing_is_known_of_is_taken_to_write() {
    for definition in [
        json!({ "name": "frobnicate" }),
        json!({ "name": "frobnicate", "description": "" }),
        json!({ "name": "frobnicate", "description": "Frobnicates the widget." }),
        json!({ "name": "💥" }),
        json!({ "name": "" }),
        json!({ "name": "x", "description": 7, "inputSchema": "none", "annotations": [] }),
    ] {
        let tool = class_of(&definition);
        assert_eq!(
            (tool.class, tool.risk),
            (Class::Write, Risk::Medium),
            "{definition}"
        );
        assert!(!tool.reasons.is_empty());
    }
}

#[test]
fn what_takes_away_or_pays_is_not_classed_as_reading_however_it_is_called() {
    let field = |name: &str, kind: &str| json!({ "properties": { name: { "type": kind } } });
    for (definition, class) in [
        (json!({ "name": "getAndDelete" }), Class::Destructive),
        (
            json!({ "name": "get_message", "description": "Gets a message and deletes it" }),
            Class::Destructive,
        ),
        (
            json!({ "name": "list-items", "description": "Permanently removes all items" }),
            Class::Destructive,
        ),
        (
            json!({ "name": "query", "description": "Queries data. This cannot be undone." }),
            Class::Destructive,
        ),
        (json!({ "name": "userremove" }), Class::Destructive),
        (json!({ "name": "files.rm" }), Class::Destructive),
        (json!({ "name": "read_all_then_purge" }), Class::Destructive),
        (
            json!({ "name": "set_state", "inputSchema": field("delete_others", "boolean") }),
            Class::Destructive,
        ),
        (
            json!({ "name": "manage", "inputSchema": { "properties": { "action": { "enum": ["get", "delete"] } } } }),
            Class::Destructive,
        ),
        (
            json!({ "name": "get", "inputSchema": { "properties": { "operation": { "enum": ["list", "destroy"] } } } }),
            Class::Destructive,
        ),
        (
            json!({ "name": "get_quote", "description": "Charges the card of the customer" }),
            Class::Financial,
        ),
        (json!({ "name": "fetch_and_pay" }), Class::Financial),
        (json!({ "name": "placeOrder" }), Class::Financial),
        (
            json!({ "name": "send", "inputSchema": { "properties": { "amount": {}, "currency": {} } } }),
            Class::Financial,
        ),
        (
            json!({ "name": "get_rows", "inputSchema": field("sql", "string") }),
            Class::Execute,
        ),
        (
            json!({ "name": "search", "inputSchema": field("command", "string") }),
            Class::Execute,
        ),
        (
            json!({ "name": "fetch", "inputSchema": { "properties": { "method": {}, "url": {} } } }),
            Class::Execute,
        ),
    ] {
        let tool = class_of(&definition);
        assert!(tool.class >= class, "{definition}: {tool:?}");
    }
}

#[test]
fn what_reads_is_seen_to_read() {
    for definition in [
        json!({ "name": "get_file" }),
        json!({ "name": "ListDeletedItems" }),
        json!({ "name": "get_payment", "description": "Get a payment" }),
        json!({ "name": "list-orders", "inputSchema": { "properties": { "include_deleted": { "type": "boolean" } } } }),
        json!({ "name": "db-stats" }),
        json!({ "name": "tree", "description": "Shows the tree of a folder" }),
    ] {
        let tool = class_of(&definition);
        assert_eq!(tool.class, Class::Read, "{definition}: {tool:?}");
    }
}
