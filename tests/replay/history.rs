//! Histories: calls decided by policies and a memory store on a clock of their own, as lines of a decision log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use toolgate::counters::{Admission, CallId, Fit, MemoryStore, Receipt, Store, Verdict};
use toolgate::mcp::keys::argument_keys;
use toolgate::policy::{Call, Caller, Charge, Denial, Plan, Policy, Recorded, limited, load, plan_tool};
use toolgate::record::{
    ChargeRecord, DecisionRecord, PolicyRecord, RecordedValues, ShadowRecord, UpstreamRecord,
};
use toolgate::replay::{Filter, Line, Replay, Report, Rulebook};

/// 2026-01-01T00:00:00Z.
pub const START: u64 = 1_767_225_600_000;

/// One call.
#[derive(Clone, Debug)]
pub struct Step {
    /// Milliseconds after the call before.
    pub after: u64,
    pub grant: &'static str,
    pub tool: &'static str,
    pub session: Option<&'static str>,
    pub arguments: String,
    pub ends: Ends,
    /// Milliseconds until the line is written.
    pub written: u64,
}

/// How a call that was admitted ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    Answered,
    /// Nothing was sent; refunded after this many ms.
    Unsent(u32),
}

impl Step {
    pub fn call(after: u64, tool: &'static str, arguments: &str) -> Self {
        Self {
            after,
            grant: "ci",
            tool,
            session: None,
            arguments: arguments.to_owned(),
            ends: Ends::Answered,
            written: 0,
        }
    }
}

pub fn policy(text: &str) -> Vec<Arc<Policy>> {
    vec![Arc::new(load("p", "p.json", text).unwrap().policy)]
}

struct World<'p> {
    policies: &'p [Arc<Policy>],
    clock: Arc<AtomicU64>,
    store: Store,
    refunds: Vec<(u64, Receipt)>,
    runtime: tokio::runtime::Runtime,
}

/// Drives the steps through the policies, and gives the lines in the order in which they are written.
pub fn log(policies: &[Arc<Policy>], steps: &[Step]) -> Vec<String> {
    let clock = Arc::new(AtomicU64::new(START));
    let theirs = Arc::clone(&clock);
    let mut world = World {
        policies,
        clock,
        store: Store::Memory(MemoryStore::with_clock(move || theirs.load(Ordering::Relaxed))),
        refunds: Vec::new(),
        runtime: tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap(),
    };
    let mut lines: Vec<(u64, String)> = steps
        .iter()
        .enumerate()
        .map(|(number, step)| world.step(number, step))
        .collect();
    lines.sort_by_key(|(at, _)| *at);
    lines.into_iter().map(|(_, line)| line).collect()
}

/// What became of one call.
struct Decided {
    outcome: &'static str,
    denial: Option<Denial>,
    /// With the store's time where it was made.
    charges: Vec<(Charge, Option<u64>)>,
    shadow: Vec<Denial>,
    upstream: Option<UpstreamRecord>,
    /// The store's time where nothing was charged.
    store_ms: Option<u64>,
}

impl World<'_> {
    fn step(&mut self, number: usize, step: &Step) -> (u64, String) {
        let now = self.clock.fetch_add(step.after, Ordering::Relaxed) + step.after;
        let (due, later): (Vec<_>, Vec<_>) = self.refunds.drain(..).partition(|(at, _)| *at <= now);
        self.refunds = later;
        for (_, receipt) in due {
            self.runtime.block_on(self.store.refund(&receipt)).unwrap();
        }
        let caller = Caller {
            grant: step.grant,
            server: "s",
            session: step.session,
            claims: None,
        };
        let call = Call {
            tool: step.tool,
            arguments: Some(&step.arguments),
        };
        let decision = plan_tool(self.policies, &caller, &call);
        let mut decided = match decision.plan {
            Plan::Refuse(denial) => Decided {
                outcome: denial.outcome.as_str(),
                denial: Some(denial),
                charges: Vec::new(),
                shadow: Vec::new(),
                upstream: None,
                store_ms: None,
            },
            Plan::Admit(charges) => self.admit(number, step, now, charges),
            Plan::Ask { ask, .. } => panic!("{ask:?}"),
        };
        decided.shadow.splice(0..0, decision.shadow);
        (
            now + step.written,
            line(number, step, now, &decided, &decision.recorded),
        )
    }

    fn admit(&mut self, number: usize, step: &Step, now: u64, charges: Vec<Charge>) -> Decided {
        let id = CallId((number as u64).to_be_bytes());
        let admission = Admission { id, charges };
        let verdict = self.runtime.block_on(self.store.admit(&admission)).unwrap();
        let charges = admission.charges;
        match verdict {
            Verdict::Admitted { receipt, states } => {
                let made: Vec<bool> = states.iter().map(|state| state.fit == Fit::Now).collect();
                let unfit = charges.iter().zip(&made).filter(|(_, made)| !**made);
                Decided {
                    outcome: if step.ends == Ends::Answered {
                        "allowed"
                    } else {
                        "upstream_error"
                    },
                    denial: None,
                    shadow: unfit
                        .map(|(charge, _)| limited(charge, step.tool, None))
                        .collect(),
                    upstream: Some(self.ended(step.ends, now, receipt, charges.is_empty())),
                    store_ms: (!made.contains(&true) && !made.is_empty()).then_some(now),
                    charges: charges
                        .into_iter()
                        .zip(made)
                        .map(|(charge, made)| (charge, made.then_some(now)))
                        .collect(),
                }
            }
            Verdict::Limited { charge, at_ms, .. } => Decided {
                outcome: "limited",
                denial: Some(limited(&charges[charge], step.tool, None)),
                charges: charges.into_iter().map(|charge| (charge, None)).collect(),
                shadow: Vec::new(),
                upstream: None,
                store_ms: Some(at_ms),
            },
        }
    }

    fn ended(&mut self, ends: Ends, now: u64, receipt: Receipt, free: bool) -> UpstreamRecord {
        match ends {
            Ends::Answered => UpstreamRecord {
                status: Some(200),
                ms: 3.5,
                ended: "answered",
                refunded: false,
            },
            Ends::Unsent(after) => {
                self.refunds.push((now + u64::from(after), receipt));
                UpstreamRecord {
                    status: None,
                    ms: f64::from(after) - 0.5,
                    ended: "unsent",
                    refunded: !free,
                }
            }
        }
    }
}

fn line(number: usize, step: &Step, now: u64, decided: &Decided, recorded: &[Recorded]) -> String {
    let time = jiff::Timestamp::from_millisecond(i64::try_from(now).unwrap()).unwrap();
    // messages come some time before their limits are asked, which is on record where that was
    let asked = decided.store_ms.is_some() || decided.charges.iter().any(|(_, at)| at.is_some());
    let early = if asked {
        i64::try_from(number % 7).unwrap()
    } else {
        0
    };
    let keys = argument_keys(Some(&step.arguments));
    let denial = decided.denial.as_ref();
    let record = DecisionRecord {
        time: format!("{:.3}", time - jiff::SignedDuration::from_millis(early)),
        id: format!("{number:016x}"),
        grant: Some(step.grant),
        grant_key: None,
        label: None,
        server: "s",
        session: step.session.map(str::to_owned),
        method: "tools/call",
        tool: Some(step.tool),
        argument_keys: &keys,
        policy: vec![PolicyRecord {
            name: "p",
            digest: "",
        }],
        outcome: decided.outcome,
        rule: denial.map(|denial| denial.rule.as_str()),
        message: denial.map(|denial| denial.message.as_str()),
        approval: None,
        store_ms: decided.store_ms,
        charges: decided
            .charges
            .iter()
            .map(|(charge, at)| shown(charge, *at))
            .collect(),
        upstream: decided.upstream.clone(),
        recorded: RecordedValues(recorded),
        shadow: decided.shadow.iter().map(ShadowRecord::of).collect(),
        degraded: false,
        trace_id: None,
        replica: "r",
    };
    serde_json::to_string(&record).unwrap()
}

fn shown(charge: &Charge, store_ms: Option<u64>) -> ChargeRecord<'_> {
    ChargeRecord {
        rule: &charge.limit.rule,
        counter: &charge.limit.counter,
        weight: charge.weight,
        max: charge.limit.max,
        left: None,
        store_ms,
        shadow: charge.limit.shadow,
        scope: charge.limit.scope.as_str(),
        window: charge.limit.window.into(),
        scale: charge.limit.scale,
    }
}

/// Replays lines under policies that stand for everyone's.
pub fn replay(policies: &[Arc<Policy>], lines: &[String]) -> Report {
    replay_as(Rulebook::Everyone(policies.to_vec()), lines)
}

pub fn replay_as(rulebook: Rulebook, lines: &[String]) -> Report {
    let mut replay = Replay::new(rulebook, Filter::default());
    for (number, line) in lines.iter().enumerate() {
        match Line::read(line.as_bytes()) {
            Ok(line) => replay.take(line),
            Err(why) => replay.malformed(format!("log:{}", number + 1), why),
        }
    }
    replay.end()
}
