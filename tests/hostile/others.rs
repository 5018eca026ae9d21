//! Those who only want to work: a server that answers, clients that call it all the while, and the gate's memory.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// A server that answers each request of a connection well.
pub async fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer_all(stream));
        }
    });
    addr
}

async fn answer_all(mut stream: TcpStream) -> Option<()> {
    const BODY: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"ran"}]}}"#;
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    let mut buffer = Vec::new();
    loop {
        while whole(&buffer).is_none() {
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        }
        buffer.drain(..whole(&buffer)?);
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}

/// The length of the request or answer that the bytes begin with, once it is all there.
fn whole(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(4).position(|part| part == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(bytes.get(..end)?).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.map_or(Some(0), |length| length.trim().parse().ok())?;
    (bytes.len() >= end + length).then_some(end + length)
}

const EVERY: Duration = Duration::from_millis(20);

/// How the calls of the others went.
#[derive(Default)]
pub struct Calls {
    /// Sorted.
    pub times: Vec<Duration>,
    pub failed: Vec<String>,
}

impl Calls {
    pub fn quantile(&self, of: f64) -> Duration {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index below the length"
        )]
        let at = ((self.times.len() as f64 - 1.0) * of) as usize;
        self.times.get(at).copied().unwrap_or_default()
    }
}

/// Calls by this many clients, one every 20 ms each and one after the other, for this long.
pub async fn call(gate: SocketAddr, token: &str, clients: usize, time: Duration) -> Calls {
    let mut all = JoinSet::new();
    let end = Instant::now() + time;
    for number in 0..clients {
        let token = token.to_owned();
        let turn = EVERY * u32::try_from(number).unwrap() / u32::try_from(clients).unwrap();
        all.spawn(async move {
            sleep(turn).await;
            let mut calls = Calls::default();
            let mut stream = None;
            while Instant::now() < end {
                let started = Instant::now();
                match timeout(Duration::from_secs(30), one(gate, &token, &mut stream)).await {
                    Ok(Ok(())) => calls.times.push(started.elapsed()),
                    Ok(Err(why)) => calls.failed.push(why),
                    Err(_) => calls.failed.push("no answer".to_owned()),
                }
                sleep(EVERY).await;
            }
            calls
        });
    }
    let mut whole = Calls::default();
    while let Some(calls) = all.join_next().await {
        let calls = calls.unwrap();
        whole.times.extend(calls.times);
        whole.failed.extend(calls.failed);
    }
    whole.times.sort();
    whole
}

async fn one(gate: SocketAddr, token: &str, kept: &mut Option<TcpStream>) -> Result<(), String> {
    const BODY: &str =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"run","arguments":{}}}"#;
    let request = format!(
        "POST /mcp/s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nContent-Length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    let mut stream = match kept.take() {
        Some(stream) => stream,
        None => TcpStream::connect(gate)
            .await
            .map_err(|error| error.to_string())?,
    };
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(|error| error.to_string())?;
    let mut buffer = Vec::with_capacity(1024);
    while whole(&buffer).is_none() {
        let count = stream
            .read_buf(&mut buffer)
            .await
            .map_err(|error| error.to_string())?;
        if count == 0 {
            return Err("closed".to_owned());
        }
    }
    let text = String::from_utf8_lossy(&buffer).into_owned();
    if !text.contains("ran") {
        return Err(text);
    }
    if !text.to_ascii_lowercase().contains("connection: close") {
        *kept = Some(stream);
    }
    Ok(())
}

/// Forgets the peak of a process' memory.
pub fn forget_peak(pid: u32) {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
}

/// The most resident memory of a process since, in bytes.
pub fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kilobytes * 1024
}
