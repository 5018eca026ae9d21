//! Calls that wait for people, over random calls and decisions: a request of one grant is never joined, seen, used up,
//! released or refused by another's, and each has places of its own for those that wait.

mod agent;
mod asked;
mod book;
mod decided;
mod place;
mod records;

use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use agent::{Asks, CALLS, Call, Line};
use book::Book;
use place::{ENTRIES, Ground, LOOK_ALIKE, Who};

use crate::support::gate::Gate;
use crate::support::mcp::Caller;
use crate::support::servers::{Era, Fixture};
use crate::support::wait::{PATIENCE, within};

/// What one grant shows of another's request.
#[derive(Clone, Copy, Debug)]
enum Steals {
    /// What the other was given to bring back.
    State,
    /// The same with a signature that was given to itself.
    Forged,
    /// The id alone.
    Id,
}

/// A step; `usize` are which grant, which of its requests or of all that wait.
#[derive(Clone, Debug)]
enum Step {
    Ask(usize, Call),
    /// It brings back what it was given, if anything, and declined.
    Decline(usize, Call),
    /// Its client waits for the answer, with what it was given or without.
    Wait(usize, Call, bool),
    /// All that it can ask, one after the other.
    Flood(usize),
    /// All grants ask at once.
    Together(Call),
    Decide(usize, bool),
    /// A decision about one request with the digest of another.
    Mixed(usize, usize),
    Steal(usize, usize, usize, Steals),
}

fn step() -> impl Strategy<Value = Step> {
    use Step::{Ask, Decide, Decline, Flood, Mixed, Steal, Together, Wait};
    let calls = (0..CALLS).prop_map(Call);
    // few calls, so that grants ask the same
    let call = prop_oneof![3 => (0..3_usize).prop_map(Call), 1 => calls];
    (0..4_usize, 0..CALLS, call).prop_flat_map(|(who, at, call)| {
        prop_oneof![
            6 => Just(Ask(who, call)),
            1 => Just(Decline(who, call)),
            4 => any::<bool>().prop_map(move |brings| Wait(who, call, brings)),
            1 => Just(Flood(who)),
            3 => Just(Together(call)),
            9 => prop::bool::weighted(0.7).prop_map(move |approve| Decide(at, approve)),
            1 => (0..CALLS).prop_map(move |other| Mixed(at, other)),
            6 => (0..4_usize, select(vec![Steals::State, Steals::Forged, Steals::Id]))
                .prop_map(move |(from, steals)| Steal(who, from, at, steals)),
        ]
    })
}

/// One grant: how it asks, and what it should find.
struct Side {
    who: Who,
    caller: Caller,
    book: Book,
    /// Calls whose clients wait.
    lines: Vec<(Call, Line)>,
    sent: usize,
    /// The id of its first call, which stands in the records.
    first: Option<String>,
}

struct Play<'g> {
    gate: Gate,
    ground: &'g Ground,
    sides: Vec<Side>,
    /// What ran on the server before.
    before: u64,
}

impl Play<'_> {
    fn side(&self, who: usize) -> usize {
        who % self.sides.len()
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Ask(who, call) => self.ask(self.side(who), call, Asks::Pointed).await,
            Step::Decline(who, call) => {
                let who = self.side(who);
                if let Some(state) = self.brought(who, call) {
                    self.ask(who, call, Asks::Declines(&state)).await;
                }
            }
            Step::Wait(who, call, brings) => self.wait(self.side(who), call, brings).await,
            Step::Flood(who) => {
                for call in (0..CALLS).map(Call) {
                    self.ask(self.side(who), call, Asks::Pointed).await;
                }
            }
            Step::Together(call) => self.together(call).await,
            Step::Decide(at, approve) => self.decide(at, approve).await,
            Step::Mixed(at, other) => self.mixed(at, other).await,
            Step::Steal(who, from, at, steals) => {
                let who = self.side(who);
                // any other
                let from = self.side(who + 1 + from % (self.sides.len() - 1));
                self.steal(who, from, at, steals).await;
            }
        }
    }

    /// Who waits still does, and runs when people agree; then what was written down is looked at.
    async fn settle(mut self) {
        loop {
            let pending = self.pending();
            let waits = pending.iter().position(|(who, id)| {
                let side = &self.sides[*who];
                let call = side
                    .book
                    .requests
                    .iter()
                    .find(|request| request.id == *id)
                    .unwrap()
                    .call;
                side.lines.iter().any(|(waits, _)| *waits == call)
            });
            let Some(at) = waits else { break };
            self.decide(at, true).await;
        }
        assert!(self.sides.iter().all(|side| side.lines.is_empty()));
        let runs: usize = self.sides.iter().map(|side| side.book.runs()).sum();
        assert_eq!(
            self.ground.runs().await - self.before,
            runs as u64,
            "runs on the server"
        );
        records::right(&mut self.gate, &self.sides).await;
    }
}

async fn play(ground: &Ground, prefix: Option<&str>, grants: &[Who], steps: Vec<Step>) {
    let gate = ground.gate(prefix);
    let sides = grants.iter().map(|who| Side {
        who: *who,
        caller: ground.caller(&gate, *who),
        book: Book::default(),
        lines: Vec::new(),
        sent: 0,
        first: None,
    });
    let mut play = Play {
        sides: sides.collect(),
        before: ground.runs().await,
        gate,
        ground,
    };
    play.together(Call(0)).await;
    for step in steps {
        let what = format!("{step:?}");
        within(&what, PATIENCE, play.step(step)).await;
    }
    within("what waits goes on", PATIENCE, play.settle()).await;
}

#[test]
fn whatever_grants_ask_and_people_decide_no_request_is_shared_or_seen_by_another_grant() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ground = Ground::new(Fixture::start(Era::Current));
    let made = AtomicU32::new(0);
    let cases = (
        any::<bool>(),
        select(LOOK_ALIKE.to_vec()),
        subsequence(ENTRIES.to_vec(), 0..=2),
        proptest::collection::vec(step(), 16..48),
    );
    super::for_each_case(16, cases, |(shared, alike, others, steps)| {
        let prefix = format!("case{}", made.fetch_add(1, Ordering::Relaxed));
        let prefix = shared.then_some(prefix.as_str());
        let grants = [&alike[..], &others].concat();
        runtime.block_on(play(&ground, prefix, &grants, steps));
    });
}
