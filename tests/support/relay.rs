//! A small TCP relay that a test puts on a wire to cut, stall and heal it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Flowing,
    /// Connections stay open, no byte passes in either direction.
    Stalled,
    /// Every piece waits so many ms.
    Slow(u64),
    /// What clients send passes, and their side is then closed; answers are held back.
    HalfClosed,
    /// Open connections are closed, new ones too.
    Cut,
}

pub struct Relay {
    pub address: SocketAddr,
    state: watch::Sender<State>,
    target: Arc<Mutex<String>>,
    accepting: JoinHandle<()>,
}

impl Relay {
    /// Relays to `target` (`host:port`) from a loopback port of its own.
    pub async fn start(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, watching) = watch::channel(State::Flowing);
        let target = Arc::new(Mutex::new(target.to_owned()));
        let to = Arc::clone(&target);
        let accepting = tokio::spawn(async move {
            while let Ok((inbound, _)) = listener.accept().await {
                if *watching.borrow() != State::Cut {
                    let target = to.lock().unwrap().clone();
                    tokio::spawn(carry(inbound, target, watching.clone()));
                }
            }
        });
        Self {
            address,
            state,
            target,
            accepting,
        }
    }

    /// Leads new connections to another target.
    pub fn lead_to(&self, target: &str) {
        target.clone_into(&mut self.target.lock().unwrap());
    }

    /// Closes every connection and refuses new ones.
    pub fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Holds every byte back, in both directions.
    pub fn stall(&self) {
        self.state.send_replace(State::Stalled);
    }

    /// Lets every piece wait, in both directions.
    pub fn slow(&self, ms: u64) {
        self.state.send_replace(State::Slow(ms));
    }

    /// Closes the way to the target and holds back what it answers.
    pub fn half_close(&self) {
        self.state.send_replace(State::HalfClosed);
    }

    /// Lets bytes pass again; what was held back comes first.
    pub fn heal(&self) {
        self.state.send_replace(State::Flowing);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.cut();
        self.accepting.abort();
    }
}

async fn carry(inbound: TcpStream, target: String, watching: watch::Receiver<State>) {
    let Ok(outbound) = TcpStream::connect(target).await else {
        return;
    };
    inbound.set_nodelay(true).unwrap();
    outbound.set_nodelay(true).unwrap();
    let (client_reads, client_writes) = inbound.into_split();
    let (server_reads, server_writes) = outbound.into_split();
    let mut cut = watching.clone();
    tokio::select! {
        _ = cut.wait_for(|state| *state == State::Cut) => {}
        _ = async {
            tokio::join!(
                copy(client_reads, server_writes, watching.clone(), Way::There),
                copy(server_reads, client_writes, watching.clone(), Way::Back),
            )
        } => {}
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut watching: watch::Receiver<State>,
    way: Way,
) {
    let mut part = vec![0_u8; 16 * 1024];
    loop {
        let mut half = watching.clone();
        let count = tokio::select! {
            read = from.read(&mut part) => read.unwrap_or(0),
            _ = half.wait_for(|state| *state == State::HalfClosed && way == Way::There) => 0,
        };
        let passes = |state: &State| {
            matches!(state, State::Flowing | State::Slow(_)) || count == 0 && way == Way::There
        };
        let state = match watching.wait_for(passes).await {
            Ok(state) => *state,
            Err(_) => return,
        };
        if let State::Slow(ms) = state {
            tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
        }
        if count == 0 || to.write_all(&part[..count]).await.is_err() {
            let _ = to.shutdown().await;
            return;
        }
    }
}
