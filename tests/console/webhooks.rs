//! Being told: what goes out, that it can be believed, and what happens where nobody takes it.

use std::sync::{Arc, Mutex};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::gates::{AGENT, setup, start_with};
use crate::support::gate::Gate;
use crate::support::redis::RedisServer;
use crate::support::servers::{Era, Fixture};
use crate::support::wait::until;

const SECRET: &str = "a secret that both sides know";

/// One message as it came.
#[derive(Clone, Debug)]
struct Came {
    head: String,
    body: String,
}

impl Came {
    fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut found = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        found.next().map_or("", |(_, value)| value)
    }

    fn is_signed(&self) -> bool {
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(format!("{}.{}", self.header("toolgate-timestamp"), self.body).as_bytes());
        let made = mac.finalize().into_bytes();
        let made: String = made.iter().map(|byte| format!("{byte:02x}")).collect();
        self.header("toolgate-signature") == format!("v1={made}")
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A receiver that answers with these statuses, the last one for ever.
struct Receiver {
    url: String,
    came: Arc<Mutex<Vec<Came>>>,
}

impl Receiver {
    async fn start(answers: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook?key=in-the-url", listener.local_addr().unwrap());
        let came: Arc<Mutex<Vec<Came>>> = Arc::default();
        let kept = Arc::clone(&came);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let Some(message) = read(&mut stream).await else {
                    continue;
                };
                let count = {
                    let mut kept = kept.lock().unwrap();
                    kept.push(message);
                    kept.len()
                };
                let status = answers.get(count - 1).or(answers.last()).unwrap();
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                drop(stream.write_all(answer.as_bytes()).await);
            }
        });
        Self { url, came }
    }

    fn came(&self) -> Vec<Came> {
        self.came.lock().unwrap().clone()
    }

    async fn until(&self, count: usize) -> Vec<Came> {
        until("messages have come", || async {
            Some(self.came()).filter(|came| came.len() >= count)
        })
        .await
    }
}

async fn read(stream: &mut tokio::net::TcpStream) -> Option<Came> {
    use tokio::io::AsyncReadExt;
    let mut text = String::new();
    let mut part = [0_u8; 4096];
    loop {
        let count = stream.read(&mut part).await.ok().filter(|count| *count > 0)?;
        text += std::str::from_utf8(part.get(..count)?).ok()?;
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return Some(Came {
                head: head.to_owned(),
                body: body.to_owned(),
            });
        }
    }
}

/// `more`: further keys of the one webhook.
fn gate(fixture: &Fixture, redis: Option<&RedisServer>, receiver: &Receiver, more: &Value) -> Gate {
    let mut hook = json!({ "url": receiver.url, "secret": { "env": "HOOK" } });
    for (key, value) in more.as_object().unwrap() {
        hook[key] = value.clone();
    }
    let setup = setup(fixture, redis, &json!({ "hold_ms": 0, "webhooks": [hook] }));
    let setup = setup.key("console_url", json!("https://people.example"));
    start_with(&setup, &[("HOOK", SECRET)])
}

async fn ask(gate: &Gate, pipeline: &str) -> String {
    let arguments = json!({ "pipeline": pipeline });
    let reply = gate.caller("fixture", AGENT).call("start_run", &arguments).await;
    assert_eq!(reply.outcome(), "needs_approval");
    reply.decision()["approvalId"].as_str().unwrap().to_owned()
}

async fn until_counted(gate: &Gate, line: &str) {
    until(line, || async {
        gate.admin("/metrics")
            .await
            .1
            .lines()
            .any(|known| known == line)
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_message_is_signed_says_no_argument_and_is_tried_until_it_is_taken() {
    let fixture = Fixture::start(Era::Current);
    let redis = RedisServer::start();
    let receiver = Receiver::start(&["503 Busy", "200 OK"]).await;
    let gates = [(); 2].map(|()| gate(&fixture, Some(&redis), &receiver, &json!({})));
    let id = ask(&gates[0], "in-the-argument").await;
    let came = receiver.until(2).await;
    for message in &came {
        assert!(
            message.head.starts_with("POST /hook?key=in-the-url HTTP/1.1"),
            "{message:?}"
        );
        assert!(message.is_signed(), "{message:?}");
        assert_eq!(message.header("toolgate-delivery"), id);
        let told = message.json();
        assert_eq!(
            [
                &told["event"],
                &told["id"],
                &told["grant"],
                &told["server"],
                &told["tool"]
            ],
            ["approval_requested", id.as_str(), "agent", "fixture", "start_run"]
        );
        assert_eq!(told["argument_keys"], json!(["pipeline"]));
        assert_eq!(told["url"], format!("https://people.example/#{id}"));
        assert!(!message.body.contains("in-the-argument"));
    }
    until_counted(&gates[0], "toolgate_webhooks_total{result=\"delivered\"} 1").await;

    // the same call again joins what waits, here and at the other replica: nobody is told twice
    assert_eq!(ask(&gates[0], "in-the-argument").await, id);
    assert_eq!(ask(&gates[1], "in-the-argument").await, id);
    let other = ask(&gates[1], "another").await;
    let came = receiver.until(3).await;
    assert_eq!(
        (came.len(), came[2].header("toolgate-delivery")),
        (3, other.as_str())
    );
    until_counted(&gates[1], "toolgate_webhooks_total{result=\"delivered\"} 1").await;
    for gate in &gates {
        let all = gate.stdout() + &gate.stderr();
        assert!(!all.contains("in-the-url") && !all.contains(SECRET), "{all}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_slack_gets_its_own_body() {
    let fixture = Fixture::start(Era::Current);
    let receiver = Receiver::start(&["307 Elsewhere\r\nLocation: http://127.0.0.1:9/", "200 OK"]).await;
    let gate = gate(&fixture, None, &receiver, &json!({ "format": "slack" }));
    let first = ask(&gate, "a").await;
    until_counted(&gate, "toolgate_webhooks_total{result=\"failed\"} 1").await;
    assert!(
        gate.stderr()
            .contains("it redirects (307), which is not followed"),
        "{}",
        gate.stderr()
    );
    ask(&gate, "b").await;
    until_counted(&gate, "toolgate_webhooks_total{result=\"delivered\"} 1").await;
    let came = receiver.came();
    assert_eq!(came.len(), 2, "what was refused for good is not tried again");
    let told = came[0].json();
    let text = told["text"].as_str().unwrap();
    assert!(
        text.starts_with("start_run on fixture waits for a person, asked by agent, until "),
        "{text}"
    );
    assert_eq!(
        told["blocks"][1]["text"]["text"],
        format!("<https://people.example/#{first}|Look at it and decide>")
    );
}

/// A receiver that takes nothing holds up no call, and what does not fit into the queue is counted.
#[tokio::test]
async fn what_nobody_takes_is_dropped_and_counted() {
    let fixture = Fixture::start(Era::Current);
    let receiver = Receiver::start(&["503 Busy"]).await;
    let mut setup = setup(
        &fixture,
        None,
        &json!({ "hold_ms": 0, "webhooks": [{ "url": receiver.url, "secret": { "env": "HOOK" } }] }),
    );
    // ten may wait for one grant
    for grant in 0..30 {
        setup = setup.grant(
            &format!("agent-{grant}"),
            &format!("tg_agent-{grant}"),
            "fixture",
            "people",
        );
    }
    let gate = start_with(&setup, &[("HOOK", SECRET)]);
    for grant in 0..30 {
        let caller = gate.caller("fixture", &format!("tg_agent-{grant}"));
        for call in 0..10 {
            let arguments = json!({ "pipeline": call.to_string() });
            assert_eq!(
                caller.call("start_run", &arguments).await.outcome(),
                "needs_approval"
            );
        }
    }
    let dropped = |text: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("toolgate_webhooks_total{result=\"dropped\"} "));
        line.unwrap().parse::<u64>().unwrap()
    };
    // 256 wait and one is under way
    let count = dropped(&gate.admin("/metrics").await.1);
    assert!((300 - 257..=300 - 256).contains(&count), "{count}");
}
