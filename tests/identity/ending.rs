//! Grants that end while something of theirs is open.

use serde_json::json;

use crate::issuer::{Issuer, gate_for};
use crate::signer::{Signer, seconds_from_now};
use crate::support::gate::Setup as Served;
use crate::support::redis::RedisServer;
use crate::wire::client::{Client, Req, call, request};
use crate::wire::gate::{Gate, Setup, open};
use crate::wire::upstream::{Latch, Step, Upstream, chunk, stream_head};
use crate::wire::{CI, OTHER, until, within};

fn address(redis: &RedisServer) -> std::net::SocketAddr {
    ([127, 0, 0, 1], redis.port).into()
}

/// An upstream's stream that stays open after its first event.
fn stream() -> Vec<Step> {
    let mut head = stream_head("");
    head.extend(chunk(
        "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{}}\n\n",
    ));
    vec![Step::Send(head), Step::Wait(Latch::new())]
}

/// Opens a stream and reads its first event.
async fn listen(gate: &Gate, upstream: &Upstream, token: &str) -> Client {
    opened(
        gate,
        upstream,
        &request("GET", "")
            .token(token)
            .header("Accept", "text/event-stream"),
    )
    .await
}

async fn opened(gate: &Gate, upstream: &Upstream, request: &Req) -> Client {
    upstream.next(stream());
    let mut client = gate.client().await;
    client.send(&request.bytes()).await;
    let head = client.head().await;
    assert_eq!(head.status, 200, "{}", head.head);
    client.chunks_until("notifications/message").await;
    client
}

#[tokio::test]
async fn an_open_stream_ends_when_its_token_expires() {
    let signer = Signer::p256("k");
    let issuer = Issuer::with_keys(&[&signer]).await;
    let (gate, upstream) = gate_for(&issuer, Setup::default()).await;
    // the leeway is 30 s: this one has three seconds left
    let ending = signer.token(&issuer.claims(&gate, json!({ "exp": seconds_from_now(-27) })));
    let staying = signer.token(&issuer.claims(&gate, json!({})));
    let mut stays = listen(&gate, &upstream, &staying).await;
    let mut ends = listen(&gate, &upstream, &ending).await;
    // a call whose answer is a stream is cut as well
    let mut call = opened(&gate, &upstream, &call("run").token(&ending)).await;
    assert!(ends.rest().await.is_empty());
    assert!(call.rest().await.is_empty());
    until(|| upstream.aborted() == 2).await;
    assert_eq!(
        gate.ask(&crate::wire::client::call("run").token(&ending))
            .await
            .status,
        401
    );
    assert!(
        gate.ask(&crate::wire::client::call("run").token(&staying))
            .await
            .ran()
    );
    stays.send(b"").await;
    assert_eq!(upstream.aborted(), 2, "the other stream stays");
}

#[tokio::test]
async fn a_revoked_grant_is_refused_by_every_replica_and_its_streams_end() {
    let redis = RedisServer::start();
    let setup = || Setup::runs(100, "grant").redis(address(&redis), 5_000);
    let (first, upstream) = open(setup()).await;
    let second = setup().before(upstream.addr).await;
    let mut revoked = listen(&first, &upstream, CI).await;
    let mut other = listen(&second, &upstream, OTHER).await;
    assert!(second.ask(&call("run").token(CI)).await.ran());
    let code = toolgate_revoke(&first, &["ci"]);
    assert!(code.contains("`ci` is revoked"), "{code}");
    assert!(revoked.rest().await.is_empty());
    let is_refused = async |gate: &Gate| gate.ask(&call("run").token(CI)).await.status == 401;
    for gate in [&first, &second] {
        within(async { while !is_refused(gate).await {} }).await;
        assert!(gate.ask(&call("run").token(OTHER)).await.ran());
    }
    // one that starts later reads the list at once
    let third = setup().before(upstream.addr).await;
    within(async { while !is_refused(&third).await {} }).await;
    assert_eq!(upstream.aborted(), 1);
    other.send(b"").await;
    assert!(toolgate_revoke(&first, &["--undo", "ci"]).contains("no longer revoked"));
    within(async { while is_refused(&first).await {} }).await;
}

/// `toolgate grant revoke` on the gate's own settings.
fn toolgate_revoke(gate: &Gate, arguments: &[&str]) -> String {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_toolgate"))
        .args(["grant", "revoke", "--config"])
        .arg(gate.folder.join("toolgate.yaml"))
        .args(arguments)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_subject_or_a_whole_entry_can_be_revoked() {
    let redis = RedisServer::start();
    let signer = Signer::p256("k");
    let issuer = Issuer::with_keys(&[&signer]).await;
    let (gate, _upstream) = gate_for(&issuer, Setup::default().redis(address(&redis), 5_000)).await;
    let token = |sub: &str| signer.token(&issuer.claims(&gate, json!({ "sub": sub })));
    let status = async |sub: &str| gate.ask(&call("run").token(&token(sub))).await.status;
    assert_eq!((status("ann").await, status("bob").await), (200, 200));
    toolgate_revoke(&gate, &["u:bob"]);
    within(async { while status("bob").await != 401 {} }).await;
    assert_eq!(status("ann").await, 200);
    toolgate_revoke(&gate, &["u:{sub}"]);
    within(async { while status("ann").await != 401 {} }).await;
}

#[tokio::test]
async fn without_a_shared_store_nobody_can_be_revoked_from_outside() {
    let (gate, _upstream) = open(Setup::default()).await;
    let told = toolgate_revoke(&gate, &["ci"]);
    assert!(told.contains("revoked: true"), "{told}");
}

#[tokio::test]
async fn the_last_list_stays_in_force_while_the_store_is_down() {
    let mut redis = RedisServer::start();
    let (gate, _upstream) = open(Setup::default().redis(address(&redis), 5_000)).await;
    toolgate_revoke(&gate, &["ci"]);
    let refused = async || gate.ask(&call("run").token(CI)).await.status == 401;
    within(async { while !refused().await {} }).await;
    redis.kill();
    for _ in 0..3 {
        assert!(refused().await);
        assert!(gate.ask(&call("run").token(OTHER)).await.ran());
    }
}

#[tokio::test]
async fn an_open_stream_ends_when_a_reload_takes_its_grant_away_and_others_stay() {
    let upstream = Upstream::start().await;
    let policy = json!({ "version": "1", "default": "allow" });
    let served = |grants: &[&str]| {
        let setup = Served::new()
            .server("s", &format!("http://{}/mcp", upstream.addr))
            .policy("p", policy.clone());
        grants
            .iter()
            .fold(setup, |setup, id| setup.grant(id, &format!("tok-{id}"), "s", "p"))
    };
    let gate = served(&["stays", "goes"]).start();
    let stream_of = async |token: &str| {
        upstream.next(stream());
        let mut client = Client::connect(gate.proxy.parse().unwrap()).await;
        let request = request("GET", "")
            .token(token)
            .header("Accept", "text/event-stream");
        client.send(&request.bytes()).await;
        assert_eq!(client.head().await.status, 200);
        client.chunks_until("notifications/message").await;
        client
    };
    let mut goes = stream_of("tok-goes").await;
    let mut stays = stream_of("tok-stays").await;
    let new = std::fs::read_to_string(served(&["stays"]).write().path().join("grants.yaml")).unwrap();
    gate.folder.write("grants.yaml", &new);
    assert!(goes.rest().await.is_empty());
    until(|| upstream.aborted() == 1).await;
    stays.send(b"").await;
    assert_eq!(upstream.aborted(), 1);
}
