//! One seed: replicas call, the world goes wrong, and in the end everything is mended and judged.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::Random;
use super::charged::Known;
use super::judge::{Ended, Story, judge};
use super::net::{Net, Wire};
use super::server::{Plant, Server};
use crate::counters::redis::RedisStore;
use crate::counters::{Admission, CallId, RedisOptions, Store, StoreError, Verdict};
use crate::policy::{Charge, Limit, OnStoreError, Scope, Subject, Window};

const DEADLINE: Duration = Duration::from_millis(100);
/// Longer than undoing goes on, than every window, and than every step of the clock.
const SETTLED: Duration = Duration::from_secs(30);

/// What happened; an error tells which promise was broken.
pub(super) type Happened = Result<BTreeMap<&'static str, u64>, String>;

/// Plays one seed.
pub(super) fn play(seed: u64, plant: Plant) -> Happened {
    run(seed, plant, None).0
}

/// The same without a planted fault, and each step in words.
pub(super) fn tell(seed: u64) -> (Happened, Vec<String>) {
    run(seed, Plant::None, Some(Vec::new()))
}

fn run(seed: u64, plant: Plant, told: Option<Vec<String>>) -> (Happened, Vec<String>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut random = Random(seed);
        let net = Arc::new(Net::new(Server::new(plant, told), Random(random.next())));
        let happened = played(random, Arc::clone(&net)).await;
        let told = net.server.lock().unwrap().told.take();
        (happened, told.unwrap_or_default())
    })
}

/// A world that goes wrong in one way or another.
struct World {
    net: Arc<Net>,
    story: Arc<Mutex<Story>>,
    limits: Arc<Vec<Arc<Limit>>>,
    random: Random,
    by_slot_group: bool,
}

async fn played(mut random: Random, net: Arc<Net>) -> Happened {
    let limits = Arc::new(limits(&mut random));
    let by_slot_group = random.percent(40);
    let mut world = World {
        net,
        story: Arc::default(),
        limits,
        random,
        by_slot_group,
    };
    let mut replicas: Vec<(Wire, JoinHandle<()>)> = Vec::new();
    for number in 0..world.random.within(1, 4) {
        replicas.push(world.replica(number));
    }
    let steps_back = world.random.percent(50);
    for _ in 0..world.random.within(1, 6) {
        let pause = world.random.within(20, 500);
        sleep(Duration::from_millis(pause)).await;
        world.strike(&mut replicas, steps_back).await;
    }
    for (_, replica) in replicas {
        // an aborted one has crashed
        if let Err(error) = replica.await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
    world.net.sound.store(true, Ordering::Relaxed);
    sleep(SETTLED).await;
    world.fill_up().await?;
    let story = std::mem::take(&mut *world.story.lock().unwrap());
    let repeated = std::mem::take(&mut *world.net.repeated.lock().unwrap());
    let broken = std::mem::take(&mut *world.net.broken.lock().unwrap());
    let mut server = world.net.server.lock().unwrap();
    for (ended, count) in story.counts() {
        *server.happened.entry(ended).or_default() += count;
    }
    let known = Known {
        broken: &broken,
        steps_back,
    };
    let stricter = judge(&story, &server.done, &repeated, &known)?;
    for (what, calls) in [
        ("charged twice", stricter.twice),
        ("freed before it was taken back", stricter.freed),
        ("stands", stricter.stands),
    ] {
        server.tell(|| format!("{what}: {calls:?}"));
        *server.happened.entry(what).or_default() += u64::try_from(calls.len()).unwrap();
    }
    Ok(std::mem::take(&mut server.happened))
}

impl Net {
    /// Notes how a call ended; when it was.
    fn end(&self, admission: &Admission, verdict: &Result<Verdict, StoreError>) -> u64 {
        let mut server = self.server.lock().unwrap();
        let (id, charges) = (admission.id, admission.charges.len());
        server.tell(|| format!("{id} of {charges} charges ends: {verdict:?}"));
        server.real_ms()
    }
}

impl World {
    fn store(&self, wire: &Wire) -> Store {
        let store = RedisStore::new(&RedisOptions {
            deadline: DEADLINE,
            by_slot_group: self.by_slot_group,
            ..RedisOptions::single("redis://127.0.0.1:1/", "s")
        })
        .unwrap();
        for node in store.inner.route.nodes() {
            node.simulate(wire);
        }
        Store::Redis(store)
    }

    fn replica(&mut self, number: u64) -> (Wire, JoinHandle<()>) {
        let wire = Wire::new(&self.net);
        let store = Arc::new(self.store(&wire));
        let (story, limits, net) = (
            Arc::clone(&self.story),
            Arc::clone(&self.limits),
            Arc::clone(&self.net),
        );
        let mut random = Random(self.random.next());
        let calls = random.within(4, 24);
        let running = tokio::spawn(async move {
            for call in 0..calls {
                sleep(Duration::from_millis(random.within(0, 60))).await;
                let id = CallId((number << 32 | call).to_be_bytes());
                let admission = Admission {
                    id,
                    charges: charges(&limits, &mut random),
                };
                let began = Instant::now();
                story.lock().unwrap().begin(id);
                let verdict = store.admit(&admission).await;
                let took = began.elapsed();
                let refund = random.percent(15);
                let receipt = match &verdict {
                    Ok(Verdict::Admitted { receipt, .. }) if refund => Some(receipt.clone()),
                    _ => None,
                };
                let at_ms = net.end(&admission, &verdict);
                story.lock().unwrap().end(&admission, ended(verdict), took, at_ms);
                if let Some(receipt) = receipt {
                    // until there is an answer nobody knows
                    story.lock().unwrap().refunded(id, Err(StoreError::InDoubt));
                    let refunded = store.refund(&receipt).await;
                    story.lock().unwrap().refunded(id, refunded);
                }
            }
        });
        (wire, running)
    }

    async fn strike(&mut self, replicas: &mut [(Wire, JoinHandle<()>)], steps_back: bool) {
        match self.random.within(0, 5) {
            0 => {
                let ms = self.random.within(10, 400);
                self.net
                    .server
                    .lock()
                    .unwrap()
                    .tell(|| format!("the store freezes for {ms} ms"));
                self.net.frozen.send_replace(true);
                sleep(Duration::from_millis(ms)).await;
                self.net.frozen.send_replace(false);
            }
            1 => self.net.server.lock().unwrap().forget_scripts(),
            2 => {
                let ms = i64::try_from(self.random.within(1, 3_000)).unwrap();
                let step = if steps_back { -ms } else { ms };
                self.net.server.lock().unwrap().step(step);
            }
            3 => {
                if let Some((wire, replica)) = replicas.last() {
                    wire.crash();
                    replica.abort();
                    self.story
                        .lock()
                        .unwrap()
                        .crash(u64::try_from(replicas.len()).unwrap() - 1);
                    self.net.server.lock().unwrap().count("crashed");
                }
            }
            _ => {}
        }
    }

    /// Once all is mended, every limit lets through exactly `max`, and says when the next one fits.
    async fn fill_up(&mut self) -> Result<(), String> {
        let store = self.store(&Wire::new(&self.net));
        let limits = Arc::clone(&self.limits);
        for (number, limit) in (1_u64 << 40..).step_by(100).zip(limits.iter()) {
            let mut frees_ms = None;
            for turn in 0..=limit.max {
                let id = CallId((number + turn).to_be_bytes());
                let charges = vec![charge(limit, 1)];
                let verdict = store.admit(&Admission { id, charges }).await;
                match (&verdict, limit.window) {
                    (Ok(Verdict::Admitted { receipt, .. }), Window::Sliding { ms }) if turn < limit.max => {
                        frees_ms = frees_ms.or(Some(receipt.at_ms() + ms + 1));
                    }
                    (Ok(Verdict::Limited { .. }), _) if turn == limit.max => {
                        fits_again(&verdict, frees_ms)?;
                    }
                    _ => {
                        return Err(format!(
                            "in the end charge {turn} of {} is {verdict:?}",
                            limit.max
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}

/// A denial tells the moment at which the first charge frees, by the store's clock.
fn fits_again(denial: &Result<Verdict, StoreError>, frees_ms: Option<u64>) -> Result<(), String> {
    let told = match denial {
        Ok(Verdict::Limited {
            retry_after_ms: Some(wait),
            at_ms,
            ..
        }) => Some(at_ms + wait),
        _ => None,
    };
    if told == frees_ms {
        return Ok(());
    }
    Err(format!(
        "the next charge fits at {frees_ms:?}, and the denial says {told:?}"
    ))
}

fn ended(verdict: Result<Verdict, StoreError>) -> Ended {
    match verdict {
        Ok(Verdict::Admitted { receipt, .. }) => Ended::Admitted {
            times: receipt.times().to_vec(),
        },
        Ok(Verdict::Limited {
            remembered,
            retry_after_ms,
            charge,
            ..
        }) => Ended::Limited {
            remembered,
            retry_after_ms,
            charge,
        },
        Err(error) => Ended::Failed(error.code()),
    }
}

fn limits(random: &mut Random) -> Vec<Arc<Limit>> {
    let scopes = [Scope::Grant, Scope::Grant, Scope::Global];
    let limit = |(number, scope)| {
        Arc::new(Limit {
            rule: format!("/{number}"),
            counter: format!("c{number}"),
            window: Window::Sliding {
                ms: random.within(100, 1_500),
            },
            max: random.within(1, 6),
            scope,
            scale: 0,
            max_values: None,
            shadow: false,
            on_deny: None,
            on_store_error: OnStoreError::Deny,
        })
    };
    scopes.into_iter().enumerate().map(limit).collect()
}

/// One or more of the limits, each with one weight that its `max` allows.
fn charges(limits: &[Arc<Limit>], random: &mut Random) -> Vec<Charge> {
    let first = usize::try_from(random.next() % 3).unwrap();
    let wanted = limits
        .iter()
        .enumerate()
        .filter(|(number, _)| *number == first || random.percent(30));
    wanted
        .map(|(_, limit)| charge(limit, 1 + limit.max / 4))
        .collect()
}

fn charge(limit: &Arc<Limit>, weight: u64) -> Charge {
    let subject = match limit.scope {
        Scope::Global => Subject::Global,
        _ => Subject::Grant { grant: "g".into() },
    };
    Charge {
        limit: Arc::clone(limit),
        weight,
        subject,
    }
}
