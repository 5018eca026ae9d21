//! The store client, as it is shipped, against a store on a wire that loses, delays and repeats, with replicas that
//! die and clocks that step. Everything follows from a seed.
//!
//! The store is the model, which a property test compares with the scripts. What is shown here is the protocol around
//! it: deadlines, resends under one id, the late guard, undoing, and the memo.

mod charged;
mod decode;
mod judge;
mod net;
mod play;
mod server;

use std::collections::BTreeMap;
use std::io::BufRead as _;
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) use net::Wire;
use play::{play, tell};
use server::Plant;

/// Seeds that once showed a fault, of the code or of a planted one: they are always run.
const KEPT: &str = include_str!("simulated/seeds.txt");
/// Seeds of the short run.
const FEW: u64 = 500;

/// Numbers that follow from a seed (splitmix64).
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From `low` up to, not including, `high`.
    fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low)
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }
}

fn kept() -> impl Iterator<Item = u64> {
    let lines = KEPT.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_whitespace().next()?.parse().ok())
}

/// The first fault of these seeds, and what happened in all of them.
fn search(seeds: impl Iterator<Item = u64>, plant: Plant) -> (Option<String>, BTreeMap<&'static str, u64>) {
    let mut happened = BTreeMap::new();
    for seed in seeds {
        match play(seed, plant) {
            Ok(events) => events
                .into_iter()
                .for_each(|(what, count)| *happened.entry(what).or_default() += count),
            Err(fault) => return (Some(format!("seed {seed}: {fault}")), happened),
        }
    }
    (None, happened)
}

#[test]
fn no_seed_breaks_a_promise_of_the_store_client() {
    let (fault, happened) = search(kept().chain(0..FEW), Plant::None);
    assert_eq!(fault, None);
    // all that the wire and the world can do was done
    for what in [
        "admitted",
        "limited",
        "remembered",
        "timeout",
        "unavailable",
        "resent",
        "already",
        "late",
        "in doubt",
        "lost",
        "answer lost",
        "delayed",
        "repeated",
        "broken",
        "frozen",
        "crashed",
        "refunded",
        "undone",
        "script forgotten",
        "clock ahead",
        "clock back",
    ] {
        assert!(
            happened.get(what).is_some_and(|count| *count > 0),
            "{what} never happened: {happened:?}"
        );
    }
}

#[test]
fn one_seed_is_one_history() {
    for seed in 0..20 {
        assert_eq!(play(seed, Plant::None), play(seed, Plant::None), "seed {seed}");
    }
}

#[test]
fn each_planted_fault_is_found() {
    for plant in Plant::ALL {
        let (fault, _) = search(0..FEW, plant);
        assert!(fault.is_some(), "{plant:?} was not found");
    }
}

/// `make simulate SEEDS=100000`: reads the number of seeds, and which is the first, from stdin. Of one seed it tells
/// each step.
#[test]
#[ignore = "takes minutes: make simulate"]
fn many_seeds() {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).unwrap();
    let mut numbers = line.split_whitespace().map(|word| word.parse::<u64>().unwrap());
    let count = numbers.next().unwrap();
    let first = numbers.next().unwrap_or(0);
    if count == 1 {
        let (happened, told) = tell(first);
        println!("{}", told.join("\n"));
        println!("{happened:?}");
        return;
    }
    for plant in Plant::ALL {
        let (fault, _) = search(0..FEW, plant);
        println!("{plant:?}: {}", fault.unwrap());
    }
    let began = std::time::Instant::now();
    let next = AtomicU64::new(first);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let run = || {
        let seeds = std::iter::from_fn(|| {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            (seed < first + count).then_some(seed)
        });
        search(seeds, Plant::None)
    };
    let all: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut happened: BTreeMap<&str, u64> = BTreeMap::new();
    for (fault, events) in all {
        assert_eq!(
            fault, None,
            "keep the seed in src/counters/redis/simulated/seeds.txt"
        );
        events
            .into_iter()
            .for_each(|(what, count)| *happened.entry(what).or_default() += count);
    }
    let seconds = began.elapsed().as_secs();
    println!("{count} seeds from {first} on in {seconds} s, none broke a promise: {happened:?}");
}
