//! The decisions of the last moments, for people who watch this gate. Bounded: the oldest give way.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::DecisionRecord;

/// How many decisions are kept, and how many refusals beside them: those are few and would be pushed out.
const KEPT: usize = 100;

/// One decision, without anything that the caller's arguments held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// 1, 2, … in the order in which they were made here.
    pub number: u64,
    /// RFC 3339 in UTC with milliseconds.
    pub time: String,
    pub grant: String,
    pub server: String,
    pub method: String,
    pub tool: Option<String>,
    pub outcome: &'static str,
    pub rule: Option<String>,
    pub message: Option<String>,
}

/// What was decided lately. Requests without a known grant are left out: strangers would fill it.
#[derive(Debug, Default)]
pub struct Recent(Mutex<Rings>);

#[derive(Debug, Default)]
struct Rings {
    last: u64,
    all: VecDeque<Seen>,
    refusals: VecDeque<Seen>,
}

impl Recent {
    fn rings(&self) -> MutexGuard<'_, Rings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, record: &DecisionRecord<'_>) {
        let Some(grant) = record.grant else { return };
        let mut seen = Seen {
            number: 0,
            time: record.time.clone(),
            grant: grant.to_owned(),
            server: record.server.to_owned(),
            method: record.method.to_owned(),
            tool: record.tool.map(str::to_owned),
            outcome: record.outcome,
            rule: record.rule.map(str::to_owned),
            message: record.message.map(str::to_owned),
        };
        let mut rings = self.rings();
        rings.last += 1;
        seen.number = rings.last;
        if seen.outcome != "allowed" {
            push(&mut rings.refusals, seen.clone());
        }
        push(&mut rings.all, seen);
    }

    /// Those above `number` that are still kept, oldest first, and the number of the last decision.
    pub fn since(&self, number: u64) -> (Vec<Seen>, u64) {
        let rings = self.rings();
        let oldest = rings.all.front().map_or(u64::MAX, |seen| seen.number);
        let older = rings.refusals.iter().filter(|seen| seen.number < oldest);
        let found = older.chain(&rings.all).filter(|seen| seen.number > number);
        (found.cloned().collect(), rings.last)
    }
}

fn push(ring: &mut VecDeque<Seen>, seen: Seen) {
    if ring.len() == KEPT {
        ring.pop_front();
    }
    ring.push_back(seen);
}

#[cfg(test)]
mod tests {
    use super::{KEPT, Recent};
    use crate::record::{DecisionRecord, RecordedValues};

    fn note(recent: &Recent, grant: Option<&str>, outcome: &'static str) {
        recent.note(&DecisionRecord {
            time: String::new(),
            id: String::new(),
            grant,
            grant_key: None,
            label: None,
            server: "s",
            session: None,
            method: "tools/call",
            tool: Some("t"),
            argument_keys: &[],
            policy: Vec::new(),
            outcome,
            rule: None,
            message: None,
            approval: None,
            store_ms: None,
            charges: Vec::new(),
            upstream: None,
            recorded: RecordedValues(&[]),
            shadow: Vec::new(),
            degraded: false,
            trace_id: None,
            replica: "r",
        });
    }

    #[test]
    fn many_allowed_calls_push_out_no_refusal_and_strangers_nothing() {
        let recent = Recent::default();
        note(&recent, Some("ci"), "denied");
        for _ in 0..2 * KEPT {
            note(&recent, None, "unauthenticated");
            note(&recent, Some("ci"), "allowed");
        }
        let (seen, last) = recent.since(0);
        assert_eq!((seen.len(), last), (KEPT + 1, 2 * KEPT as u64 + 1));
        assert_eq!((seen[0].number, seen[0].outcome), (1, "denied"));
        assert!(seen.windows(2).all(|pair| pair[0].number < pair[1].number));
        assert_eq!(recent.since(last), (Vec::new(), last));
        note(&recent, Some("ci"), "limited");
        assert_eq!(recent.since(last).0.len(), 1);
    }
}
