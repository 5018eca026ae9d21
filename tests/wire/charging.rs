//! What is charged, what is refunded, and that each decision is recorded exactly once.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::redis_server::RedisServer;
use crate::wire::client::{call, post, request};
use crate::wire::gate::{Gate, Setup};
use crate::wire::relay::Relay;
use crate::wire::upstream::{self, Latch, Step, Upstream};
use crate::wire::{CI, until};

async fn limited_to_one(policy: Setup) -> (Gate, Upstream) {
    let upstream = Upstream::start().await;
    let gate = policy.before(upstream.addr).await;
    (gate, upstream)
}

async fn is_used_up(gate: &Gate) -> bool {
    let answer = gate.ask(&call("run")).await;
    let used = answer.text().contains("used up");
    assert!(used || answer.ran(), "{}", answer.text());
    used
}

/// A gate whose store is a Redis behind a relay; its deadline is long enough to stall the store meanwhile.
async fn behind_a_relay(upstream: SocketAddr) -> (Gate, Relay, RedisServer) {
    let redis = RedisServer::start();
    let relay = Relay::to(format!("127.0.0.1:{}", redis.port).parse().unwrap()).await;
    let gate = Setup::runs(2, "grant")
        .redis(relay.addr, 10_000)
        .before(upstream)
        .await;
    // connections are open and the script is known from here on
    assert!(gate.ask(&call("run")).await.ran());
    (gate, relay, redis)
}

#[tokio::test]
async fn a_call_that_finds_no_connection_is_not_charged() {
    let (gate, upstream) = limited_to_one(Setup::runs(1, "grant")).await;
    let addr = upstream.addr;
    upstream.stop_listening().await;
    for _ in 0..3 {
        assert_eq!(gate.ask(&call("run")).await.json()["error"]["code"], 502);
    }
    let _back = Upstream::at(addr).await;
    assert!(!is_used_up(&gate).await);
    assert!(is_used_up(&gate).await);
    let records = gate.ended().await;
    assert_eq!(
        (&records[0]["outcome"], &records[0]["upstream"]["ended"]),
        (&json!("upstream_error"), &json!("unsent"))
    );
}

#[tokio::test]
async fn a_call_whose_connection_closed_meanwhile_and_cannot_be_replaced_is_refunded() {
    let upstream = Upstream::start().await;
    let addr = upstream.addr;
    let (gate, relay, _redis) = behind_a_relay(addr).await;
    relay.stall();
    let mut client = gate.client().await;
    client.send(&call("run").bytes()).await;
    // the connection to the upstream was taken, the store is being asked
    until(|| relay.held() > 0).await;
    upstream.stop_listening().await;
    upstream.close_idle();
    until(|| upstream.ended() == 1).await;
    relay.heal();
    let error = client.answer().await.json()["error"].clone();
    assert_eq!(error["code"], 502);
    assert!(
        error["message"].as_str().unwrap().contains("was not executed"),
        "{error}"
    );
    let record = gate.records(2).await.swap_remove(1);
    assert_eq!(
        (&record["upstream"]["ended"], &record["upstream"]["refunded"]),
        (&json!("unsent"), &json!(true)),
        "{record}"
    );
    assert_eq!(
        gate.metric(r#"toolgate_refunds_total{result="refunded",server="s"}"#)
            .await,
        1.0
    );
    let back = Upstream::at(addr).await;
    assert!(!is_used_up(&gate).await);
    assert!(is_used_up(&gate).await);
    assert_eq!((upstream.count(), back.count()), (1, 1));
}

#[tokio::test]
async fn a_call_whose_idle_connection_closed_goes_out_once_on_a_new_one() {
    let upstream = Upstream::start().await;
    let (gate, relay, _redis) = behind_a_relay(upstream.addr).await;
    relay.stall();
    let mut client = gate.client().await;
    client.send(&call("run").bytes()).await;
    until(|| relay.held() > 0).await;
    upstream.close_idle();
    until(|| upstream.ended() == 1).await;
    relay.heal();
    assert!(client.answer().await.ran());
    assert_eq!((upstream.accepted(), upstream.count()), (2, 2));
    assert!(is_used_up(&gate).await);
}

#[tokio::test]
async fn a_client_that_leaves_after_the_charge_and_before_sending_is_refunded_and_recorded() {
    let upstream = Upstream::start().await;
    let (gate, relay, _redis) = behind_a_relay(upstream.addr).await;
    relay.stall();
    let mut client = gate.client().await;
    client.send(&call("run").bytes()).await;
    until(|| relay.held() > 0).await;
    drop(client);
    while gate.metric("toolgate_open_connections").await > 0.0 {
        tokio::task::yield_now().await;
    }
    relay.heal();
    let record = gate.records(2).await.swap_remove(1);
    assert_eq!(
        (&record["upstream"]["ended"], &record["upstream"]["refunded"]),
        (&json!("aborted"), &json!(true)),
        "{record}"
    );
    assert_eq!(record["charges"][0]["counter"], "runs");
    assert_eq!(upstream.count(), 1, "the call of the one who left was not sent");
    assert!(!is_used_up(&gate).await);
    assert!(is_used_up(&gate).await);
    assert_eq!(gate.ended().await.len(), 4);
}

#[tokio::test]
async fn a_client_that_leaves_after_sending_aborts_the_upstream_and_stays_charged() {
    let (gate, upstream) = limited_to_one(Setup::runs(1, "grant")).await;
    upstream.next(vec![Step::Wait(Latch::new())]);
    let mut client = gate.client().await;
    client.send(&call("run").bytes()).await;
    upstream.request(1).await;
    drop(client);
    until(|| upstream.aborted() == 1).await;
    let record = gate.records(1).await.swap_remove(0);
    assert_eq!(
        (&record["upstream"]["ended"], &record["upstream"]["refunded"]),
        (&json!("aborted"), &json!(false))
    );
    assert!(is_used_up(&gate).await);
    assert_eq!(gate.ended().await.len(), 2);
}

#[tokio::test]
async fn a_client_that_leaves_an_open_stream_ends_it_at_the_upstream() {
    let (gate, upstream) = limited_to_one(Setup::runs(1, "grant")).await;
    for asked in [call("run"), request("GET", "")] {
        let aborted = upstream.aborted();
        upstream.next(vec![
            Step::Send(upstream::stream_head("")),
            Step::Send(upstream::chunk(
                "data: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n",
            )),
            Step::Wait(Latch::new()),
        ]);
        let mut client = gate.client().await;
        client.send(&asked.bytes()).await;
        client.head().await;
        client.chunks_until("\n\n").await;
        assert_eq!(gate.metric(r#"toolgate_in_flight{server="s"}"#).await, 1.0);
        drop(client);
        until(|| upstream.aborted() == aborted + 1).await;
    }
    assert_eq!(gate.metric(r#"toolgate_in_flight{server="s"}"#).await, 0.0);
    let records = gate.ended().await;
    assert_eq!(records.len(), 2);
    assert!(
        records
            .iter()
            .all(|record| record["upstream"]["ended"] == "answered")
    );
}

#[tokio::test]
async fn a_call_that_timed_out_or_broke_after_sending_stays_charged() {
    for reply in [
        vec![Step::Wait(Latch::new())],
        vec![Step::Close],
        vec![Step::Send(b"HTTP/1.1 ".to_vec()), Step::Close],
    ] {
        let (gate, upstream) =
            limited_to_one(Setup::runs(1, "grant").server(", response_timeout_ms: 100")).await;
        upstream.next(reply);
        assert!(
            gate.ask(&call("run"))
                .await
                .text()
                .contains("may have been executed")
        );
        assert!(is_used_up(&gate).await);
        let records = gate.ended().await;
        assert_eq!(
            (records.len(), &records[0]["upstream"]["refunded"]),
            (2, &json!(false))
        );
        assert_eq!(records[0]["charges"][0]["left"], 0);
    }
}

#[tokio::test]
async fn an_error_of_the_server_stays_charged() {
    let (gate, upstream) = limited_to_one(Setup::runs(1, "grant")).await;
    upstream.next(vec![Step::Send(upstream::answer(
        "500 Internal Server Error",
        &[],
        b"",
    ))]);
    assert_eq!(gate.ask(&call("run")).await.status, 500);
    assert!(is_used_up(&gate).await);
}

#[tokio::test]
async fn a_denied_call_charges_nothing() {
    let policy = r#"{"version":"1","default":"allow","hide":["h"],
        "all_tools":{"limits":[{"counter":"all","window":"hour","max":2}]},
        "tools":{"run":{"limits":[{"counter":"runs","window":"hour","max":1}]},"drop":{"action":"deny"}}}"#;
    let (gate, upstream) = limited_to_one(Setup::policy(policy)).await;
    assert!(gate.ask(&call("run")).await.ran());
    for tool in ["run", "run", "drop", "h"] {
        assert!(!gate.ask(&call(tool)).await.ran());
    }
    gate.ask(&post(
        r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"free"}}"#,
    ))
    .await;
    gate.ask(&post(
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"free","arguments":[]}}"#,
    ))
    .await;
    assert!(gate.ask(&call("free")).await.ran(), "`all` has one left");
    assert!(gate.ask(&call("free")).await.tool_error().contains("used up"));
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn a_retry_with_input_or_a_task_is_charged_like_every_call() {
    let (gate, upstream) = limited_to_one(Setup::runs(2, "grant")).await;
    let retry = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"run","requestState":"x","inputResponses":{"a":{}}}}"#;
    let task = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"run","task":{}}}"#;
    assert!(gate.ask(&post(retry)).await.ran());
    assert!(gate.ask(&post(task)).await.ran());
    assert!(gate.ask(&post(retry)).await.tool_error().contains("used up"));
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn a_resent_json_rpc_id_is_charged_again() {
    let (gate, _upstream) = limited_to_one(Setup::runs(1, "grant")).await;
    assert!(!is_used_up(&gate).await);
    assert!(is_used_up(&gate).await);
}

#[tokio::test]
async fn a_record_has_the_fields_of_the_contract() {
    let (gate, _upstream) = limited_to_one(Setup::runs(1, "grant")).await;
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"run","arguments":{"b":1,"a":{"c":2}}}}"#;
    assert!(gate.ask(&post(body)).await.ran());
    let answer = gate.ask(&post(body)).await;
    gate.ask(&request("GET", "")).await;
    let line = gate.sink.clone();
    let records = gate.ended().await;
    let wanted = "time id grant server session method tool argument_keys policy outcome rule message charges upstream degraded replica";
    let names: BTreeSet<&str> = wanted.split(' ').collect();
    for record in &records {
        assert_eq!(
            record
                .as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .collect::<BTreeSet<_>>(),
            names
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
    assert_ne!(limited["id"], admitted["id"]);
    assert_eq!(
        (&stream["method"], &stream["tool"], &stream["charges"]),
        (&json!("GET"), &json!(null), &json!([]))
    );
}

#[tokio::test]
async fn names_that_a_caller_chose_are_cut_in_the_record() {
    let policy = r#"{"version":"1","default":"deny","tools":{"run":{}}}"#;
    let (gate, _upstream) = limited_to_one(Setup::policy(policy)).await;
    let long = "x".repeat(300_000);
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
    let policy = r#"{"version":"1","default":"allow","tools":{"drop":{"action":"deny"}}}"#;
    let (gate, _upstream) = limited_to_one(Setup::policy(policy)).await;
    gate.sink.block(true);
    // lines with much in them fill the buffer after some hundred
    let keys: String = (0..32)
        .map(|key| format!(r#""{key:02}{}":1,"#, "𝕏".repeat(62)))
        .collect();
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"drop","arguments":{{{}"x":1}}}}}}"#,
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
        "after {answered} denied calls the buffer is still taken for endless"
    );
    gate.sink.block(false);
    client.answer().await;
    assert_eq!(gate.ended().await.len(), answered + 1);
}
