//! Every decision is recorded once, with the fields of the contract and without secrets.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::wire::CI;
use crate::wire::client::{call, post, request};
use crate::wire::gate::{Setup, open};
use crate::wire::upstream::{self, Latch, Step, Upstream};

#[tokio::test]
async fn a_record_has_the_fields_of_the_contract() {
    let (gate, _upstream) = open(Setup::runs(1, "grant")).await;
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"run","arguments":{"b":1,"a":{"c":2}}}}"#;
    assert!(gate.ask(&post(body)).await.ran());
    let answer = gate.ask(&post(body)).await;
    gate.ask(&request("GET", "")).await;
    let line = gate.sink.clone();
    let records = gate.ended().await;
    let wanted = "time id grant server session method tool argument_keys policy outcome rule message charges upstream degraded replica boot sequence previous hash";
    let names: BTreeSet<&str> = wanted.split(' ').collect();
    for record in &records {
        let own: BTreeSet<&str> = record.as_object().unwrap().keys().map(String::as_str).collect();
        let more: Vec<_> = own.difference(&names).copied().collect();
        let limited = record["outcome"] == "limited";
        assert!(
            own.is_superset(&names) && more == ["store_ms"][usize::from(!limited)..],
            "{own:?}"
        );
    }
    let text = line.text();
    let places: Vec<_> = wanted
        .split(' ')
        .map(|name| text.find(&format!("\"{name}\":")).unwrap())
        .collect();
    assert!(places.is_sorted(), "the contract's order: {text}");

    let [admitted, limited, stream] = <[Value; 3]>::try_from(records).unwrap();
    assert_eq!(
        (
            &admitted["grant"],
            &admitted["server"],
            &admitted["method"],
            &admitted["tool"]
        ),
        (&json!("ci"), &json!("s"), &json!("tools/call"), &json!("run"))
    );
    assert_eq!(
        (
            &admitted["outcome"],
            &admitted["argument_keys"],
            &admitted["rule"]
        ),
        (&json!("allowed"), &json!(["b", "a"]), &json!(null))
    );
    assert_eq!(
        (&admitted["upstream"]["status"], &admitted["upstream"]["ended"]),
        (&json!(200), &json!("answered"))
    );
    assert_eq!(
        (&admitted["policy"][0]["name"], &admitted["degraded"]),
        (&json!("p"), &json!(false))
    );
    let charge = &admitted["charges"][0];
    assert_eq!(
        (
            &charge["counter"],
            &charge["weight"],
            &charge["max"],
            &charge["left"]
        ),
        (&json!("runs"), &json!(1), &json!(1), &json!(0))
    );
    assert!(charge["store_ms"].as_u64().unwrap() > 1_700_000_000_000);
    assert!(
        admitted["time"]
            .as_str()
            .unwrap()
            .parse::<jiff::Timestamp>()
            .is_ok()
    );
    assert_eq!(
        (&limited["outcome"], &limited["rule"], &limited["upstream"]),
        (&json!("limited"), &charge["rule"], &json!(null))
    );
    assert_eq!(limited["message"], answer.tool_error().as_str());
    assert_eq!(
        (&limited["id"], &limited["charges"][0]["store_ms"]),
        (&answer.decision()["id"], &json!(null))
    );
    assert!(limited["store_ms"].as_u64() >= charge["store_ms"].as_u64());
    assert_ne!(limited["id"], admitted["id"]);
    assert_eq!(
        (&stream["method"], &stream["tool"], &stream["charges"]),
        (&json!("GET"), &json!(null), &json!([]))
    );
}

#[tokio::test]
async fn names_that_a_caller_chose_are_cut_in_the_record() {
    let policy = r#"{"version":"1","default":"deny","tools":{"run":{}}}"#;
    let (gate, _upstream) = open(Setup::policy(policy)).await;
    let long = "x".repeat(1_000);
    assert!(gate.ask(&call(&long)).await.text().contains("Unknown tool"));
    gate.ask(&post(format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{long}"}}"#)))
        .await;
    let sink = gate.sink.clone();
    assert_eq!(gate.ended().await.len(), 2);
    assert!(
        sink.text().len() < 8_000,
        "{} bytes for two decisions",
        sink.text().len()
    );
}

#[tokio::test]
async fn no_token_argument_session_or_credential_shows_up_in_records_logs_refusals_or_metrics() {
    let logs = crate::wire::logs();
    let _here = logs.listen();
    let upstream = Upstream::start().await;
    let mut setup = Setup::runs(1, "grant")
        .server(", response_timeout_ms: 100, headers: { Authorization: { env: CRED } }");
    setup
        .env
        .insert("CRED".to_owned(), "Bearer sekret-credential".to_owned());
    let gate = setup.before(upstream.addr).await;
    let headers = [
        ("Content-Type", "application/json"),
        ("Mcp-Session-Id", "sekret-session"),
    ];
    upstream.next(vec![Step::Send(upstream::answer(
        "200 OK",
        &headers,
        br#"{"jsonrpc":"2.0","id":0,"result":{}}"#,
    ))]);
    let session = gate
        .ask(&post(r#"{"jsonrpc":"2.0","id":0,"method":"initialize"}"#))
        .await
        .header("mcp-session-id")
        .unwrap()
        .to_owned();
    let body = r#"{"jsonrpc":"2.0","id":"sekret-id","method":"tools/call","params":{"name":"run","arguments":{"key":"sekret-value","n":424242424242}}}"#;
    let asked = post(body)
        .header("Cookie", "sekret-cookie")
        .header("Mcp-Session-Id", &session);
    assert!(gate.ask(&asked).await.ran());
    let mut said = String::new();
    let mut requests = vec![
        asked.clone(),
        asked.clone().token("sekret-token"),
        asked.clone().with("Mcp-Session-Id", "sekret-session"),
        asked.clone().header("Mcp-Name", "sekret-name"),
        asked.clone().with("Host", "sekret-host.example"),
        asked.clone().to("/mcp/sekret-path"),
    ];
    requests.push(post(body.replace("\"run\"", "5")));
    requests.push(post(body.replace("{\"key\"", "{\"key\":1,\"key\"")));
    requests.push(post(format!("{body}sekret-junk")));
    for request in requests {
        let answer = gate.ask(&request).await;
        let text = answer.text();
        // the id is the client's own and goes back to it
        said += &(answer.head + &text.replace("\"id\":\"sekret-id\"", ""));
    }
    upstream.next(vec![Step::Wait(Latch::new())]);
    said += &gate.ask(&post(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"y","arguments":{"k":"sekret-value"}}}"#)).await.text();
    said += &gate.admin("/metrics").await.text();
    let sink = gate.sink.clone();
    gate.ended().await;
    said += &sink.text();
    said += &logs.text();
    assert!(
        said.contains("the upstream")
            && said.contains("argument_keys")
            && said.contains("toolgate_decisions_total")
    );
    assert!(
        logs.text().contains("no answer from the upstream"),
        "logs are listened to"
    );
    for secret in ["sekret", "424242", CI] {
        let place = said.find(secret).map(|at| {
            said[at.saturating_sub(200)..]
                .chars()
                .take(400)
                .collect::<String>()
        });
        assert_eq!(place, None, "{secret}");
    }
}

#[tokio::test]
async fn a_sink_that_is_stopped_up_slows_calls_and_loses_no_line() {
    let (gate, _upstream) = open(Setup::default()).await;
    gate.sink.block(true);
    // lines with much in them fill the buffer after some hundred
    let keys: String = (0..32)
        .map(|key| format!(r#""{key:02}{}":1,"#, "𝕏".repeat(62)))
        .collect();
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"run","arguments":{{{}"x":1}}}}}}"#,
        keys
    );
    let asked = post(body).bytes();
    let mut client = gate.client().await;
    let mut answered = 0;
    let waits = loop {
        client.send(&asked).await;
        match tokio::time::timeout(std::time::Duration::from_millis(400), client.answer()).await {
            Ok(_) => answered += 1,
            Err(_) => break true,
        }
        if answered > 2_000 {
            break false;
        }
    };
    assert!(
        waits,
        "after {answered} calls the buffer is still taken for endless"
    );
    gate.sink.block(false);
    client.answer().await;
    assert_eq!(gate.ended().await.len(), answered + 1);
}
