//! Other tools are accepted: a stdio client hears that its list looks otherwise now.

use std::path::Path;

use serde_json::{Value, json};
use toolgate::policy::{Definition, Pins, listing};

use super::policy;
use super::support::wrapped::{Place, Wrapped};

const LISTEN: &str = "subscriptions/listen";

fn accept(folder: &Path, tools: &[&str]) {
    let entries = tools.iter().map(|tool| {
        let entry = json!({ "name": tool }).to_string();
        ((*tool).to_owned(), Definition::read(&entry))
    });
    let tools = listing(entries)
        .into_iter()
        .map(|(name, read)| (name, read.unwrap()));
    let pins = Pins {
        server: "files".to_owned(),
        tools: tools.collect(),
    };
    std::fs::create_dir_all(folder.join("pins")).unwrap();
    std::fs::write(folder.join("pins/files.json"), pins.text()).unwrap();
}

fn pinned() -> (Place, Wrapped) {
    let place = Place::with(&policy());
    let settings = json!({ "servers": { "files": { "pin": true } } });
    place.folder.write("toolgate.yaml", &settings.to_string());
    accept(place.folder.path(), &["echo"]);
    let config = place.path("toolgate.yaml").display().to_string();
    let client = place.start(&["--config", &config, "--server", "files"]);
    (place, client)
}

fn is_change(message: &Value) -> bool {
    message["method"] == "notifications/tools/list_changed"
}

#[test]
fn a_stdio_client_is_told_once_its_handshake_is_done() {
    let (place, mut client) = pinned();
    client.request(1, "initialize", json!({}));
    client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    // answered: what came before it is done
    client.request(2, "ping", json!({}));
    accept(place.folder.path(), &["echo", "die"]);
    let told = client.until("the list changed", is_change);
    assert_eq!(
        told,
        json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" })
    );
}

#[test]
fn a_stdio_client_of_2026_07_28_is_told_in_its_subscription() {
    let (place, mut client) = pinned();
    let asked = |id: &str, filter: Value| json!({ "jsonrpc": "2.0", "id": id, "method": LISTEN, "params": { "notifications": filter } });
    client.send(&asked("p/1", json!({ "promptsListChanged": true })));
    client.send(&asked("t/1", json!({ "toolsListChanged": true })));
    client.until("both are acknowledged", |message| {
        message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == "t/1"
    });
    accept(place.folder.path(), &["echo", "die"]);
    let told = client.until("the list changed", is_change);
    assert_eq!(
        told["params"]["_meta"],
        json!({ "io.modelcontextprotocol/subscriptionId": "t/1" })
    );
    client.request(9, "ping", json!({}));
    assert_eq!(client.stdout().matches("tools/list_changed").count(), 1);
}
