//! A TCP relay before Redis that can hold back what the server answers.
#![allow(dead_code, reason = "each test file uses its own part of these helpers")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone)]
pub struct Relay {
    pub address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// Answers are read from the server and thrown away, on every connection open now or opened later.
    mute: AtomicBool,
    /// Connections from now on are numbered; this one is mute.
    mute_one: AtomicUsize,
    opened: AtomicUsize,
}

impl Relay {
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Self {
            address: listener.local_addr().unwrap(),
            state: Arc::default(),
        };
        relay.state.mute_one.store(usize::MAX, Ordering::SeqCst);
        let state = Arc::clone(&relay.state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else {
                    continue;
                };
                let number = state.opened.fetch_add(1, Ordering::SeqCst);
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(pump(from_client, to_server, None));
                tokio::spawn(pump(from_server, to_client, Some((Arc::clone(&state), number))));
            }
        });
        relay
    }

    pub fn url(&self) -> String {
        format!("redis://{}/", self.address)
    }

    /// Answers get lost from now on, until healed; a connection that lost one stays silent.
    pub fn mute(&self) {
        self.state.mute.store(true, Ordering::SeqCst);
    }

    /// The connection opened as the `number`th (from 0) loses all its answers.
    pub fn mute_one(&self, number: usize) {
        self.state.mute_one.store(number, Ordering::SeqCst);
    }

    pub fn heal(&self) {
        self.state.mute.store(false, Ordering::SeqCst);
        self.state.mute_one.store(usize::MAX, Ordering::SeqCst);
    }

    pub fn opened(&self) -> usize {
        self.state.opened.load(Ordering::SeqCst)
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, answers: Option<(Arc<State>, usize)>) {
    let mut buffer = vec![0; 16 * 1024];
    let mut lost = false;
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if let Some((state, number)) = &answers {
            lost |= state.mute.load(Ordering::SeqCst) || state.mute_one.load(Ordering::SeqCst) == *number;
        }
        if !lost && to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
