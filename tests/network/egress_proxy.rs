//! An egress proxy: opens tunnels by CONNECT, or does not.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A host that is not taken for loopback, and yet leads to this machine: whoever goes round the proxy gets there.
pub const HOST: &str = "0.0.0.0";

pub const REFUSES: Does =
    Does::Says("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");

/// What a proxy does with a request.
#[derive(Clone, Copy)]
pub enum Does {
    /// Leads to this port of loopback, whatever the host.
    Tunnel,
    /// Says this, and no more.
    Says(&'static str),
    Nothing,
}

pub struct Proxy {
    pub addr: SocketAddr,
    does: Arc<Mutex<Does>>,
    /// The heads of the requests.
    heads: Arc<Mutex<Vec<String>>>,
    accepting: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Proxy {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let does = Arc::new(Mutex::new(Does::Tunnel));
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (doing, seen) = (Arc::clone(&does), Arc::clone(&heads));
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let does = *doing.lock().unwrap();
                tokio::spawn(serve(stream, does, Arc::clone(&seen)));
            }
        });
        Self {
            addr,
            does,
            heads,
            accepting,
        }
    }

    pub fn does(&self, does: Does) {
        *self.does.lock().unwrap() = does;
    }

    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// What `HTTPS_PROXY` says of it.
    pub fn url(&self) -> String {
        format!("http://user:p%40ss@{}", self.addr)
    }
}

async fn serve(mut stream: TcpStream, does: Does, seen: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.split(' ').nth(1).unwrap().to_owned();
    seen.lock().unwrap().push(head);
    match does {
        Does::Tunnel => {
            let port: u16 = target.rsplit_once(':').unwrap().1.parse().unwrap();
            let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            stream
                .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                .await
                .unwrap();
            // ends with either side
            let _ = copy_bidirectional(&mut stream, &mut server).await;
        }
        Does::Says(text) => {
            // who asked may have left
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.read_u8().await;
        }
        Does::Nothing => drop(stream.read_u8().await),
    }
}
