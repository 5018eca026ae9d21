//! One replica: a process that admits calls through the store client and writes down what came of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use toolgate::counters::{Admission, AfterFailover, CallId, Place, RedisOptions, Store, Verdict};
use toolgate::policy::{Charge, Limit, OnStoreError, Scope, Subject, Window};

/// Where the counters are.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum Site {
    Url(String),
    Sentinels { master: String, urls: Vec<String> },
    Cluster(Vec<String>),
}

/// What a replica is told on its stdin.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Orders {
    pub site: Site,
    pub file: PathBuf,
    pub name: String,
    pub length_ms: u64,
    pub workers: usize,
    pub deadline_ms: u64,
    pub by_slot_group: bool,
    /// Some of what was charged is taken back. A denial that is remembered then outlives its reason, for a second at most.
    pub refunds: bool,
    /// Grants that call; each has a counter of each kind.
    pub grants: u64,
    pub load: Load,
    /// `after_failover: restore`, with [`REMEMBERED`] as `failover_quarantine_max`.
    pub restores: bool,
}

/// Which counters there are, and how often they are asked.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub struct Load {
    /// `max` and window of a grant's counters: few calls, some, so many that they are merged, and amounts.
    pub kinds: [(u64, u64); 4],
    /// Over all grants.
    pub shared: (u64, u64),
    /// How long a worker waits after each call, in ms, beside what its answer asks for.
    pub pause_ms: u64,
}

impl Load {
    /// Demand far above every limit.
    pub const FULL: Self = Self {
        kinds: [(10, 300), (50, 500), (400, 1_000), (100, 700)],
        shared: (2_000, 900),
        pause_ms: 0,
    };
    /// Windows that are longer than limits are held after a fail-over, one of them also longer than [`REMEMBERED`]. They
    /// fill up slowly, so that whenever a primary dies some counters have just been charged.
    pub const SLOW: Self = Self {
        kinds: [(10, 4_000), (30, 5_000), (150, 8_000), (100, 6_000)],
        shared: (100, 5_000),
        pause_ms: 60,
    };
}

/// For how long replicas remember what they were admitted, where they restore it.
const REMEMBERED: Duration = Duration::from_secs(6);

/// What it prints, counted from its start on.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    pub calls: u64,
    pub admitted: u64,
    /// On the counters by which lost capacity is told: demand is far above them.
    pub small: u64,
    /// Denied without asking the store.
    pub remembered: u64,
    pub refunded: u64,
    pub errors: BTreeMap<String, u64>,
}

impl Counts {
    pub fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.admitted += other.admitted;
        self.small += other.small;
        self.remembered += other.remembered;
        self.refunded += other.refunded;
        for (code, count) in &other.errors {
            *self.errors.entry(code.clone()).or_default() += count;
        }
    }
}

struct Replica {
    orders: Orders,
    store: Store,
    written: Mutex<(String, Counts)>,
    file: Mutex<std::fs::File>,
}

/// Not a test: a process that the scenes start. Without orders it ends at once.
#[test]
#[ignore = "started by the scenes"]
fn replica() {
    let mut text = String::new();
    std::io::stdin().read_line(&mut text).unwrap();
    let Ok(orders) = serde_json::from_str::<Orders>(&text) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(drive(orders));
}

async fn drive(orders: Orders) {
    let place = match orders.site.clone() {
        Site::Url(url) => Place::Single(url),
        Site::Sentinels { master, urls } => Place::Sentinel { master, urls },
        Site::Cluster(urls) => Place::Cluster(urls),
    };
    let mut options = RedisOptions {
        deadline: Duration::from_millis(orders.deadline_ms),
        by_slot_group: orders.by_slot_group,
        ..RedisOptions::new(place, "faults")
    };
    if orders.restores {
        options.after_failover = AfterFailover::Restore;
        options.quarantine_max = REMEMBERED;
    }
    let store = Store::redis(options);
    let replica = Arc::new(Replica {
        store: store.unwrap(),
        written: Mutex::default(),
        file: Mutex::new(std::fs::File::create(&orders.file).unwrap()),
        orders,
    });
    let until = tokio::time::Instant::now() + Duration::from_millis(replica.orders.length_ms);
    let workers: Vec<_> = (0..replica.orders.workers)
        .map(|_| tokio::spawn(work(Arc::clone(&replica), until)))
        .collect();
    tokio::spawn(meet(Arc::clone(&replica)));
    let mut print = tokio::time::interval(Duration::from_millis(10));
    let mut turn = 0_u32;
    loop {
        print.tick().await;
        turn += 1;
        let ended = workers.iter().all(tokio::task::JoinHandle::is_finished);
        let counts = replica.flush();
        if ended || turn.is_multiple_of(10) {
            say(&counts);
        }
        if ended {
            break;
        }
    }
    for worker in workers {
        worker.await.unwrap();
    }
}

/// Twice a second, as the gate does.
async fn meet(replica: Arc<Replica>) {
    let mut often = tokio::time::interval(Duration::from_millis(500));
    loop {
        often.tick().await;
        replica.store.meet().await;
    }
}

/// A line of its own, whatever the test harness has printed before it.
#[expect(clippy::print_stdout, reason = "this is how a replica tells the scene")]
fn say(counts: &Counts) {
    println!("\n{}", serde_json::to_string(counts).unwrap());
}

async fn work(replica: Arc<Replica>, until: tokio::time::Instant) {
    while tokio::time::Instant::now() < until {
        let id = CallId::random().unwrap();
        let seed = u64::from_be_bytes(id.0);
        let admission = Admission {
            id,
            charges: charges(seed, &replica.orders),
        };
        let sent = now_ms();
        let verdict = replica.store.admit(&admission).await;
        let pause = match &verdict {
            Ok(Verdict::Admitted { .. }) => None,
            Ok(Verdict::Limited { .. }) => Some(seed % 4),
            Err(_) => Some(5),
        };
        replica.note(&admission, &verdict, sent);
        if let Ok(Verdict::Admitted { receipt, .. }) = &verdict
            && replica.orders.refunds
            && seed.is_multiple_of(50)
        {
            // on disk before it is asked for: a replica that is killed in between may have refunded
            replica.refunding(&admission, receipt.times());
            let _ = replica.store.refund(receipt).await;
        }
        let always = replica.orders.load.pause_ms;
        if pause.is_some() || always > 0 {
            let pause = pause.unwrap_or(0) + always;
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }
}

impl Replica {
    fn note(
        &self,
        admission: &Admission,
        verdict: &Result<Verdict, toolgate::counters::StoreError>,
        sent: u64,
    ) {
        let mut written = self.written.lock().unwrap();
        let (text, counts) = &mut *written;
        counts.calls += 1;
        match verdict {
            Ok(Verdict::Admitted { receipt, .. }) => {
                counts.admitted += 1;
                let small = self.orders.load.kinds[0].0;
                counts.small += u64::from(admission.charges[0].limit.max == small);
                let more = format!(r#","sent_ms":{sent},"got_ms":{}"#, now_ms());
                for (charge, at_ms) in admission.charges.iter().zip(receipt.times()) {
                    self.line(text, admission.id, charge, *at_ms, &more);
                }
            }
            Ok(Verdict::Limited {
                charge,
                at_ms,
                remembered,
                ..
            }) => {
                counts.remembered += u64::from(*remembered);
                // one that is remembered ends by this replica's reckoning of the store's clock, which is a round trip behind
                if !remembered {
                    let charge = &admission.charges[*charge];
                    self.line(text, admission.id, charge, *at_ms, r#","kind":"denial""#);
                }
            }
            Err(error) => *counts.errors.entry(error.code().to_owned()).or_default() += 1,
        }
    }

    /// Each charge may be gone, as early as it was made.
    fn refunding(&self, admission: &Admission, since: &[u64]) {
        let mut written = self.written.lock().unwrap();
        let (text, counts) = &mut *written;
        counts.refunded += 1;
        for (charge, since) in admission.charges.iter().zip(since) {
            self.line(text, admission.id, charge, *since, r#","kind":"refund""#);
        }
        drop(written);
        self.flush();
    }

    fn flush(&self) -> Counts {
        let mut file = self.file.lock().unwrap();
        let mut written = self.written.lock().unwrap();
        let text = std::mem::take(&mut written.0);
        let counts = written.1.clone();
        drop(written);
        file.write_all(text.as_bytes()).unwrap();
        counts
    }

    fn line(&self, text: &mut String, id: CallId, charge: &Charge, t_ms: u64, more: &str) {
        let limit = &charge.limit;
        let Window::Sliding { ms } = limit.window else {
            unreachable!("every window here slides")
        };
        let (name, max, weight) = (&limit.counter, limit.max, charge.weight);
        let replica = &self.orders.name;
        writeln!(
            text,
            r#"{{"id":"{id}","key":"{name}","t_ms":{t_ms},"charge":{weight},"max":{max},"window_ms":{ms},"replica":"{replica}"{more}}}"#
        )
        .unwrap();
    }
}

/// One grant's call, on one kind of counter, and now and then also on the shared one.
fn charges(seed: u64, orders: &Orders) -> Vec<Charge> {
    let Load { kinds, shared, .. } = orders.load;
    let (grant, kind) = (seed % orders.grants, usize::try_from(seed / 1_000 % 4).unwrap());
    let grant = format!("g{grant}");
    let weight = if kind == 3 { 1 + seed / 10_000 % 5 } else { 1 };
    let subject = Subject::Grant { grant: grant.clone() };
    let mut charges = vec![charge(
        format!("{grant}-{kind}"),
        kinds[kind],
        weight,
        Scope::Grant,
        subject,
    )];
    if (seed / 100_000).is_multiple_of(3) {
        charges.push(charge("shared".into(), shared, 1, Scope::Global, Subject::Global));
    }
    charges
}

fn charge(counter: String, (max, ms): (u64, u64), weight: u64, scope: Scope, subject: Subject) -> Charge {
    let limit = Limit {
        rule: format!("/{counter}"),
        counter,
        window: Window::Sliding { ms },
        max,
        scope,
        scale: 0,
        max_values: None,
        shadow: false,
        on_deny: None,
        on_store_error: OnStoreError::Deny,
    };
    Charge {
        limit: Arc::new(limit),
        weight,
        subject,
    }
}

/// The machine's own time, which no scene changes (but for the replicas that have another clock).
#[expect(
    clippy::disallowed_methods,
    reason = "what the store's clock is compared with"
)]
fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}
