//! A TCP relay that cuts, stalls and heals.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Pass,
    Stall,
    Cut,
}

pub struct Relay {
    pub addr: SocketAddr,
    mode: watch::Sender<Mode>,
    held: Arc<AtomicUsize>,
}

impl Relay {
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (mode, watched) = watch::channel(Mode::Pass);
        let held = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&held);
        tokio::spawn(async move {
            while let Ok((inbound, _)) = listener.accept().await {
                if *watched.borrow() == Mode::Cut {
                    continue;
                }
                let Ok(outbound) = TcpStream::connect(target).await else {
                    continue;
                };
                let (from_client, to_client) = inbound.into_split();
                let (from_server, to_server) = outbound.into_split();
                tokio::spawn(pump(from_client, to_server, watched.clone(), Arc::clone(&count)));
                tokio::spawn(pump(from_server, to_client, watched.clone(), Arc::clone(&count)));
            }
        });
        Self { addr, mode, held }
    }

    /// Ends every connection and takes no new one.
    pub fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
    }

    /// Keeps connections open and passes nothing.
    pub fn stall(&self) {
        self.mode.send_replace(Mode::Stall);
    }

    /// Bytes that came in while stalled.
    pub fn held(&self) -> usize {
        self.held.load(SeqCst)
    }

    pub fn heal(&self) {
        self.mode.send_replace(Mode::Pass);
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
    held: Arc<AtomicUsize>,
) {
    let mut buffer = vec![0; 16_384];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            cut = mode.wait_for(|mode| *mode == Mode::Cut) => { drop(cut); return }
        };
        let Ok(read @ 1..) = read else { return };
        if *mode.borrow() == Mode::Stall {
            held.fetch_add(read, SeqCst);
        }
        match mode.wait_for(|mode| *mode != Mode::Stall).await.map(|mode| *mode) {
            Ok(Mode::Pass) => {}
            _ => return,
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
