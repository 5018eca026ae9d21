//! Grants on the wire, over random steps of each: nothing of the one (sessions, ids, streams, running calls, counters, places,
//! lists, records; and in `people` requests and decisions of people) is seen, ended or spent by the other. A real gate, a
//! server on the official SDK.

mod limits;
mod people;
mod records;
mod running;
mod sessions;

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::gate::{Gate, Setup};
use crate::support::http::Events;
use crate::support::mcp::{Reply, Session};
use crate::support::servers::{Era, Fixture};
use crate::support::wait::{PATIENCE, within};

const TOKENS: [&str; 2] = ["tg_one", "tg_two"];
const IDS: [&str; 2] = ["ci", "ci:two"];
/// What each may do: `echo` for a grant, `stop_run` in a session, `start_run` for a value of its argument.
const ECHOES: u64 = 4;
const STOPS: u64 = 2;
const STARTS: u64 = 2;

/// How one grant tries a session of the other.
#[derive(Clone, Copy, Debug)]
enum Tries {
    Call,
    Listen,
    End,
    /// The other's id with a signature of its own.
    Forge,
}

/// A step of one grant (`usize`: which), in one of its sessions (`usize`: which of those that are open).
#[derive(Clone, Debug)]
enum Step {
    Open(usize),
    Echo(usize, usize),
    Stop(usize, usize),
    Start(usize, usize, &'static str),
    List(usize, usize),
    Listen(usize, usize),
    End(usize, usize),
    Slow(usize, usize),
    /// Cancels what runs under the id that all calls here have.
    Cancel(usize, usize),
    Foreign(usize, usize, Tries),
    /// Both call at once, under one id.
    Both(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    use Step::{Both, Cancel, Echo, End, Foreign, List, Listen, Open, Slow, Start, Stop};
    (0..2_usize, 0..3_usize).prop_flat_map(|(who, at)| {
        prop_oneof![
            2 => Just(Open(who)),
            4 => Just(Echo(who, at)),
            4 => Just(Stop(who, at)),
            4 => select(vec!["x", "y"]).prop_map(move |pipeline| Start(who, at, pipeline)),
            1 => Just(List(who, at)),
            2 => Just(Listen(who, at)),
            1 => Just(End(who, at)),
            3 => Just(Slow(who, at)),
            2 => Just(Cancel(who, at)),
            6 => select(vec![Tries::Call, Tries::Listen, Tries::End, Tries::Forge])
                .prop_map(move |tries| Foreign(who, at, tries)),
            2 => Just(Both(who, at)),
        ]
    })
}

struct Opened {
    session: Session,
    stops: u64,
    stream: Option<Events>,
    runs: Option<(String, JoinHandle<Reply>)>,
}

/// One grant, as it should be: counted a second time, as plainly as can be.
#[derive(Default)]
struct Side {
    sessions: Vec<Opened>,
    echoes: u64,
    starts: BTreeMap<&'static str, u64>,
    executed: u64,
}

impl Side {
    fn session(&mut self, at: usize) -> Option<&mut Opened> {
        let count = self.sessions.len();
        self.sessions.get_mut(at.checked_rem(count)?)
    }

    /// One in which nothing runs: in one session a server mixes up two requests under one id.
    fn free(&mut self, at: usize) -> Option<&mut Opened> {
        self.session(at).filter(|opened| opened.runs.is_none())
    }

    fn runs(&self) -> bool {
        self.sessions.iter().any(|opened| opened.runs.is_some())
    }

    /// What a call should come to while `spent` of `max` are used.
    fn expects(&mut self, reply: &Reply, spent: u64, max: u64) -> bool {
        let fits = spent < max;
        assert_eq!(
            reply.outcome(),
            if fits { "executed" } else { "limited" },
            "{:?}",
            reply.message
        );
        self.executed += u64::from(fits);
        fits
    }
}

struct Play<'f> {
    gate: Gate,
    fixture: &'f Fixture,
    /// Sessions of the server that were open before: of a case that failed.
    before: u64,
    sides: [Side; 2],
    slow: usize,
}

fn policy(hide: &str) -> Value {
    let limit = |counter: &str, max: u64, scope: &str| json!({ "limits": [{ "counter": counter, "window": "hour", "max": max, "scope": scope }] });
    json!({ "version": "1", "default": "allow", "hide": [hide], "tools": {
        "echo": limit("echoes", ECHOES, "grant"),
        "stop_run": limit("stops", STOPS, "session"),
        "start_run": limit("starts", STARTS, "arg:pipeline"),
        "slow": { "concurrency": { "counter": "slow", "max": 1 } } } })
}

impl Play<'_> {
    async fn step(&mut self, step: Step) {
        match step {
            Step::Open(who) => self.open(who).await,
            Step::Echo(who, at) => self.echo(who, at).await,
            Step::Stop(who, at) => self.stop(who, at).await,
            Step::Start(who, at, pipeline) => self.start(who, at, pipeline).await,
            Step::List(who, at) => self.list(who, at).await,
            Step::Listen(who, at) => self.listen(who, at).await,
            Step::End(who, at) => self.end(who, at).await,
            Step::Slow(who, at) => self.slow(who, at).await,
            Step::Cancel(who, at) => self.cancel(who, at).await,
            Step::Foreign(who, at, tries) => self.foreign(who, at, tries).await,
            Step::Both(one, other) => self.both(one, other).await,
        }
    }

    /// What is open still is.
    async fn settle(mut self) {
        self.sessions_go_on().await;
        self.calls_go_on().await;
        self.end_all_sessions().await;
        self.on_record().await;
    }
}

async fn play(fixture: &Fixture, steps: Vec<Step>) {
    let gate = Setup::new()
        .server("fixture", &fixture.url)
        .policy("one", policy("secret-*"))
        .policy("two", policy("admin_*"))
        .grant(IDS[0], TOKENS[0], "fixture", "one")
        .grant(IDS[1], TOKENS[1], "fixture", "two")
        .start();
    let mut play = Play {
        before: fixture.state().await["sessions"].as_u64().unwrap(),
        gate,
        fixture,
        sides: Default::default(),
        slow: 0,
    };
    play.open(0).await;
    play.open(1).await;
    for step in steps {
        let what = format!("{step:?}");
        within(&what, PATIENCE, play.step(step)).await;
    }
    within("what is open goes on", PATIENCE, play.settle()).await;
}

/// Runs the cases; the same ones on every run. `PROPTEST_RNG_SEED` gives others.
fn for_each_case<S: Strategy>(cases: u32, of: S, play: impl Fn(S::Value)) {
    let given = Config::default();
    let rng_seed = match given.rng_seed {
        RngSeed::Random => RngSeed::Fixed(28),
        fixed @ RngSeed::Fixed(_) => fixed,
    };
    let config = Config {
        cases,
        rng_seed,
        failure_persistence: None,
        // each step of it is a gate
        max_shrink_iters: 40,
        ..given
    };
    let ended = TestRunner::new(config).run(&of, |case| {
        play(case);
        Ok(())
    });
    ended.unwrap_or_else(|error| panic!("seed {rng_seed}: {error}"));
}

#[test]
fn whatever_two_grants_do_neither_sees_ends_or_spends_what_is_the_others() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let steps = proptest::collection::vec(step(), 12..36);
    let fixture = Fixture::start(Era::Session);
    for_each_case(24, steps, |steps| runtime.block_on(play(&fixture, steps)));
}
