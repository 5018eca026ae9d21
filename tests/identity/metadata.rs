//! How OAuth clients find their issuers.

use serde_json::{Value, json};

use crate::issuer::{BY_SUBJECT, Issuer};
use crate::signer::Signer;
use crate::wire::client::{Answer, call, request};
use crate::wire::gate::{Gate, Setup, open};

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

async fn get(gate: &Gate, path: &str) -> Answer {
    gate.ask(&request("GET", "").without("Authorization").to(path))
        .await
}

#[tokio::test]
async fn every_401_leads_to_metadata_that_names_resource_issuers_and_scopes() {
    let issuer = Issuer::with_keys(&[&Signer::p256("k")]).await;
    let setup = Setup::default()
        .server(", scopes: ['mcp:run']")
        .settings(&issuer.settings(""))
        .grant(BY_SUBJECT);
    let (gate, upstream) = open(setup).await;
    let origin = format!("http://{}", gate.proxy);
    for (target, sent) in [("/mcp/s", None), ("/mcp", None), ("/mcp/s", Some("Bearer wrong"))] {
        let request = call("run").to(target).without("Authorization");
        let request = sent.map_or(request.clone(), |sent| request.header("Authorization", sent));
        let answer = gate.ask(&request).await;
        assert_eq!(answer.status, 401);
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(
            challenge.starts_with("Bearer ") && challenge.contains("scope=\"mcp:run\""),
            "{challenge}"
        );
        // RFC 6750 section 3.1: no error code where nothing was shown
        assert_eq!(challenge.contains("error="), sent.is_some(), "{challenge}");
        let url = challenge
            .split("resource_metadata=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        let answer = get(&gate, url.strip_prefix(&origin).unwrap()).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some("application/json"))
        );
        let metadata = answer.json();
        assert_eq!(metadata["resource"], format!("{origin}{target}"));
        assert_eq!(metadata["authorization_servers"], json!([issuer.url()]));
        assert_eq!(metadata["scopes_supported"], json!(["mcp:run"]));
        assert_eq!(metadata["bearer_methods_supported"], json!(["header"]));
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn metadata_is_told_of_servers_that_exist_by_get_alone() {
    let (gate, upstream) = open(Setup::default().settings("public_url: 'https://gate.example/tools'")).await;
    for path in ["/mcp/s", "/tools/mcp/s"] {
        let metadata = get(&gate, &format!("{WELL_KNOWN}{path}")).await.json();
        assert_eq!(metadata["resource"], "https://gate.example/tools/mcp/s");
        assert_eq!(metadata.get("authorization_servers"), None::<&Value>);
    }
    for path in ["", "/", "/mcp/t", "/mcp/s/", "/mcp/s/x", "/mcp/%73", "/MCP/s"] {
        assert_eq!(
            get(&gate, &format!("{WELL_KNOWN}{path}")).await.status,
            404,
            "{path}"
        );
    }
    for method in ["POST", "DELETE", "PUT"] {
        let answer = gate
            .ask(&request(method, "").to(&format!("{WELL_KNOWN}/mcp/s")))
            .await;
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some("GET, OPTIONS")),
            "{method}"
        );
    }
    // a browser's client on an allowed origin may read it; a foreign page may not
    let page = request("GET", "")
        .to(&format!("{WELL_KNOWN}/mcp/s"))
        .header("Origin", "https://gate.example");
    let answer = gate.ask(&page).await;
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (200, Some("https://gate.example"))
    );
    let foreign = request("GET", "")
        .to(&format!("{WELL_KNOWN}/mcp/s"))
        .header("Origin", "https://evil.example");
    assert_eq!(gate.ask(&foreign).await.status, 403);
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn an_issuer_that_clients_cannot_use_is_not_advertised() {
    let issuer = Issuer::with_keys(&[&Signer::p256("k")]).await;
    let settings = issuer.settings(", advertise: false");
    let (gate, _upstream) = open(Setup::default().settings(&settings)).await;
    let metadata = get(&gate, &format!("{WELL_KNOWN}/mcp/s")).await.json();
    assert_eq!(metadata.get("authorization_servers"), None::<&Value>);
}
