//! The wire between the replicas and the store.

use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::{Cmd, RedisError, Value};
use tokio::sync::{oneshot, watch};
use tokio::time::sleep;

use super::server::Server;
use super::{Random, decode};
use crate::counters::CallId;

/// One replica's end of the wire.
#[derive(Clone)]
pub(in super::super) struct Wire {
    net: Arc<Net>,
    alive: Arc<AtomicBool>,
}

pub(super) struct Net {
    pub(super) server: Mutex<Server>,
    random: Mutex<Random>,
    /// Messages arrive and answers come, each in its time.
    pub(super) sound: AtomicBool,
    pub(super) frozen: watch::Sender<bool>,
    /// Calls of which a message was repeated: they may be charged twice, or again after a refund.
    pub(super) repeated: Mutex<HashSet<CallId>>,
    /// Calls of which a connection broke while a message was on its way.
    pub(super) broken: Mutex<HashSet<CallId>>,
}

/// What becomes of one message.
#[derive(Debug)]
struct Fate {
    there_ms: u64,
    back_ms: u64,
    lost: bool,
    answer_lost: bool,
    broken: bool,
    again_ms: Option<u64>,
}

impl Net {
    pub(super) fn new(server: Server, random: Random) -> Self {
        Self {
            server: Mutex::new(server),
            random: Mutex::new(random),
            sound: AtomicBool::new(false),
            frozen: watch::Sender::new(false),
            repeated: Mutex::default(),
            broken: Mutex::default(),
        }
    }

    fn fate(&self) -> Fate {
        let mut random = self.random.lock().unwrap();
        let sound = self.sound.load(Ordering::Relaxed);
        let mut chance = |percent| random.percent(percent) && !sound;
        let (lost, answer_lost, broken) = (chance(4), chance(5), chance(3));
        let (slow_there, slow_back, again) = (chance(6), chance(6), chance(2));
        let mut ms = |slow| {
            if slow {
                random.within(20, 250)
            } else {
                random.within(0, 4)
            }
        };
        Fate {
            there_ms: ms(slow_there),
            back_ms: ms(slow_back),
            lost,
            answer_lost,
            broken,
            again_ms: again.then(|| ms(true)),
        }
    }

    async fn arrive(&self, words: &[Vec<u8>], ms: u64) -> Result<Value, RedisError> {
        sleep(Duration::from_millis(ms)).await;
        let mut frozen = self.frozen.subscribe();
        if *frozen.borrow() {
            self.server.lock().unwrap().count("frozen");
        }
        let _ = frozen.wait_for(|frozen| !frozen).await;
        self.server.lock().unwrap().run(words)
    }

    fn count(&self, fate: &Fate) {
        let mut server = self.server.lock().unwrap();
        let slow = fate.there_ms.max(fate.back_ms) >= 20;
        let happened = [
            (fate.lost, "lost"),
            (fate.answer_lost, "answer lost"),
            (fate.broken, "broken"),
            (fate.again_ms.is_some(), "repeated"),
            (slow, "delayed"),
        ];
        for (_, what) in happened.iter().filter(|(happened, _)| *happened) {
            server.count(what);
        }
    }
}

impl Wire {
    pub(super) fn new(net: &Arc<Net>) -> Self {
        Self {
            net: Arc::clone(net),
            alive: Arc::new(AtomicBool::new(true)),
        }
    }

    /// The replica is gone: what it sent may still arrive, and nothing new leaves.
    pub(super) fn crash(&self) {
        self.alive.store(false, Ordering::Relaxed);
    }

    pub(in super::super) async fn request(&self, cmd: &Cmd) -> Result<Value, RedisError> {
        if !self.alive.load(Ordering::Relaxed) {
            return std::future::pending().await;
        }
        let fate = self.net.fate();
        self.net.count(&fate);
        let words = decode::words(cmd);
        let whose = whose(&words);
        self.net
            .server
            .lock()
            .unwrap()
            .tell(|| told(&words, whose, &fate));
        if let (true, Some(id)) = (fate.broken, whose) {
            self.net.broken.lock().unwrap().insert(id);
        }
        let (answer, answered) = oneshot::channel();
        let (net, broken) = (Arc::clone(&self.net), fate.broken);
        // what is on the wire arrives also where nobody waits any more
        tokio::spawn(async move {
            if let (Some(ms), Some(id)) = (fate.again_ms, whose) {
                net.repeated.lock().unwrap().insert(id);
                let (net, words) = (Arc::clone(&net), words.clone());
                tokio::spawn(async move { net.arrive(&words, ms).await.map(|_| ()) });
            }
            if fate.lost {
                return;
            }
            let reply = net.arrive(&words, fate.there_ms).await;
            sleep(Duration::from_millis(fate.back_ms)).await;
            if !fate.answer_lost {
                let _ = answer.send(reply);
            }
        });
        if broken {
            sleep(Duration::from_millis(2)).await;
            return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
        }
        match answered.await {
            Ok(reply) => reply,
            Err(_) => std::future::pending().await,
        }
    }
}

/// The call that a script is run for.
fn whose(words: &[Vec<u8>]) -> Option<CallId> {
    (words[0] == b"EVALSHA").then(|| decode::id(&decode::keys_and_argv(words).1))
}

/// One message and what becomes of it.
fn told(words: &[Vec<u8>], whose: Option<CallId>, fate: &Fate) -> String {
    let (what, whose) = (String::from_utf8_lossy(&words[0]), whose.map(|id| id.to_string()));
    format!("{what} of {} is sent: {fate:?}", whose.unwrap_or_default())
}
