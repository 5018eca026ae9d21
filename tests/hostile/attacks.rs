//! Clients that mean harm. Each runs until it is stopped and says what it was answered.

#[path = "resets.rs"]
pub mod resets;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"run","arguments":{}}}"#;
/// How long an attacker waits for an answer before it says that there is none.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whom it is aimed at.
#[derive(Clone)]
pub struct Aim {
    pub gate: SocketAddr,
    /// Of a grant of the attacker's own.
    pub token: String,
}

/// What came back, by what it was: `400`, `closed`, `no answer`, …
#[derive(Clone, Default)]
pub struct Answers(Arc<Mutex<BTreeMap<String, u64>>>);

impl Answers {
    pub fn note(&self, what: impl Into<String>) {
        *self.0.lock().unwrap().entry(what.into()).or_default() += 1;
    }

    pub fn seen(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap().clone()
    }
}

/// One kind of attack.
pub struct Attack {
    pub name: &'static str,
    /// What is done, for people.
    pub what: &'static str,
    /// Answers that are clean refusals.
    pub clean: &'static [&'static str],
    /// How many at once, of full strength.
    pub clients: usize,
    one: One,
}

#[derive(Clone, Copy)]
enum One {
    SlowHead,
    SlowBody,
    HeaderFlood,
    Idle,
    HugeBody,
    HalfOpen,
    Smuggled,
    Resets,
    Bomb,
}

const fn attack(
    name: &'static str,
    clients: usize,
    one: One,
    clean: &'static [&'static str],
    what: &'static str,
) -> Attack {
    Attack {
        name,
        what,
        clean,
        clients,
        one,
    }
}

/// All of them.
pub const ATTACKS: [Attack; 9] = [
    attack(
        "slow-heads",
        64,
        One::SlowHead,
        &["closed", "408"],
        "64 connections, a byte of a head every 100 ms",
    ),
    attack(
        "slow-bodies",
        200,
        One::SlowBody,
        &["closed", "408", "503"],
        "200 connections with a good token, 3.9 MiB of a body, then a byte every 100 ms",
    ),
    attack(
        "header-flood",
        16,
        One::HeaderFlood,
        &["400", "431", "closed"],
        "16 connections in a loop, 10 000 header lines each",
    ),
    attack(
        "idle",
        10_000,
        One::Idle,
        &["401", "closed"],
        "10 000 connections from 20 addresses, one refused request each, then nothing",
    ),
    attack(
        "huge-body",
        16,
        One::HugeBody,
        &["413", "closed"],
        "16 connections in a loop, a body of 1 GB, announced or in chunks",
    ),
    attack(
        "half-open",
        64,
        One::HalfOpen,
        &["closed", "400"],
        "64 connections in a loop, half a request, then the sending side is shut",
    ),
    attack(
        "smuggled",
        16,
        One::Smuggled,
        &["400", "closed"],
        "16 connections in a loop, one request with two lengths and another one within it",
    ),
    attack(
        "h2-resets",
        8,
        One::Resets,
        &["closed"],
        "8 HTTP/2 connections in a loop, calls taken back as soon as they are sent, 100 with each write",
    ),
    attack(
        "bomb",
        16,
        One::Bomb,
        &["415", "closed"],
        "16 connections in a loop, a compressed body that unpacks to 1 GB",
    ),
];

/// Runs this many clients of the attack until the future is dropped.
pub async fn run(attack: &Attack, clients: usize, aim: &Aim, answers: &Answers) {
    let mut all = JoinSet::new();
    for number in 0..clients {
        let (aim, answers, one) = (aim.clone(), answers.clone(), attack.one);
        all.spawn(async move {
            loop {
                // an address of its own for each 500, so that only the limit in all is met
                let Some(stream) = connect(aim.gate, number / 500).await else {
                    answers.note("closed");
                    sleep(Duration::from_millis(20)).await;
                    continue;
                };
                one.strike(stream, &aim, &answers).await;
            }
        });
    }
    while all.join_next().await.is_some() {}
}

async fn connect(gate: SocketAddr, from: usize) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().ok()?;
    let last = u8::try_from(2 + from % 200).ok()?;
    socket
        .bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0))
        .ok()?;
    timeout(PATIENCE, socket.connect(gate)).await.ok()?.ok()
}

impl One {
    async fn strike(self, stream: TcpStream, aim: &Aim, answers: &Answers) {
        let what = match self {
            Self::SlowHead => slowly(stream, b"", head(aim, "").as_bytes()).await,
            Self::SlowBody => {
                let start = format!(
                    "{}{}",
                    head(aim, "Content-Length: 4194304\r\n\r\n"),
                    "x".repeat(4_089_446)
                );
                slowly(stream, start.as_bytes(), &[b'x'; 10_000]).await
            }
            Self::HeaderFlood => {
                let lines: String = (0..10_000)
                    .map(|number| format!("X-{number}: {number}\r\n"))
                    .collect();
                send(stream, &[head(aim, &lines).as_bytes()]).await
            }
            Self::Idle => return idle(stream, answers).await,
            Self::HugeBody => {
                let chunk = format!("10000\r\n{}\r\n", "x".repeat(65_536));
                let chunked = head(aim, "Transfer-Encoding: chunked\r\n\r\n");
                let announced = head(aim, "Content-Length: 1000000000\r\n\r\n");
                let first = if stream.local_addr().is_ok_and(|own| own.port() % 2 == 0) {
                    chunked
                } else {
                    announced
                };
                let pieces: Vec<&[u8]> = std::iter::once(first.as_bytes())
                    .chain(std::iter::repeat_n(chunk.as_bytes(), 16_000))
                    .collect();
                send(stream, &pieces).await
            }
            Self::HalfOpen => half(stream, aim).await,
            Self::Smuggled => smuggled(stream, aim).await,
            Self::Resets => resets::rapid(stream, aim).await,
            Self::Bomb => {
                // a member of gzip whose deflate stream repeats one byte; nobody should ever read it
                let body = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &[0xed; 100_000]].concat();
                let head = head(
                    aim,
                    &format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", body.len()),
                );
                send(stream, &[head.as_bytes(), &body]).await
            }
        };
        answers.note(what);
    }
}

fn head(aim: &Aim, more: &str) -> String {
    format!(
        "POST /mcp/s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n{more}",
        aim.token
    )
}

/// The status of what comes, `closed` for an end without one.
async fn answer(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut bytes = [0; 2048];
    match timeout(PATIENCE, stream.read(&mut bytes)).await {
        Err(_) => "no answer".to_owned(),
        Ok(Ok(count)) if count > 0 => {
            let text = String::from_utf8_lossy(bytes.get(..count).unwrap_or_default()).into_owned();
            text.split(' ').nth(1).unwrap_or("garbage").to_owned()
        }
        Ok(_) => "closed".to_owned(),
    }
}

/// Sends these pieces as fast as they are taken, and reads the while.
async fn send(stream: TcpStream, pieces: &[&[u8]]) -> String {
    let (mut read, mut write) = stream.into_split();
    let sending = async {
        for piece in pieces {
            if write.write_all(piece).await.is_err() {
                break;
            }
        }
        std::future::pending::<String>().await
    };
    tokio::select! {
        what = answer(&mut read) => what,
        what = sending => what,
    }
}

async fn slowly(stream: TcpStream, start: &[u8], rest: &[u8]) -> String {
    let (mut read, mut write) = stream.into_split();
    let sending = async {
        let mut ok = write.write_all(start).await.is_ok();
        for byte in rest {
            if !ok {
                break;
            }
            sleep(Duration::from_millis(100)).await;
            ok = write.write_all(&[*byte]).await.is_ok();
        }
        std::future::pending::<String>().await
    };
    // longer than any time-out of the gate
    let mut bytes = [0; 2048];
    tokio::select! {
        count = read.read(&mut bytes) => match count {
            Ok(count) if count > 0 => {
                let text = String::from_utf8_lossy(bytes.get(..count).unwrap_or_default()).into_owned();
                text.split(' ').nth(1).unwrap_or("garbage").to_owned()
            }
            _ => "closed".to_owned(),
        },
        what = sending => what,
    }
}

async fn idle(mut stream: TcpStream, answers: &Answers) {
    let asked = b"POST /mcp/s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n";
    let sent = stream.write_all(asked).await;
    answers.note(match sent {
        Ok(()) => answer(&mut stream).await,
        Err(_) => "closed".to_owned(),
    });
    // until the gate has enough of it
    let mut part = [0; 512];
    while matches!(stream.read(&mut part).await, Ok(count) if count > 0) {}
}

async fn half(mut stream: TcpStream, aim: &Aim) -> String {
    let request = head(aim, "Content-Length: 100\r\n\r\n{\"jsonrpc\":");
    if stream.write_all(request.as_bytes()).await.is_err() || stream.shutdown().await.is_err() {
        return "closed".to_owned();
    }
    answer(&mut stream).await
}

/// Two lengths, and within the body another request, which must be answered by nobody.
async fn smuggled(mut stream: TcpStream, aim: &Aim) -> String {
    let inner = head(aim, "Content-Length: 0\r\n\r\n");
    let outer = head(
        aim,
        &format!(
            "Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}",
            inner.len() + 5
        ),
    );
    if stream.write_all(outer.as_bytes()).await.is_err() {
        return "closed".to_owned();
    }
    let mut all = Vec::new();
    match timeout(PATIENCE, stream.read_to_end(&mut all)).await {
        Err(_) => return "no answer".to_owned(),
        Ok(Ok(_)) => {}
        Ok(Err(_)) if all.is_empty() => return "closed".to_owned(),
        Ok(Err(_)) => {}
    }
    let text = String::from_utf8_lossy(&all).into_owned();
    match text.matches("HTTP/1.1 ").count() {
        0 => "closed".to_owned(),
        1 => text.split(' ').nth(1).unwrap_or("garbage").to_owned(),
        count => format!("{count} answers"),
    }
}
