//! Storms of equal denials: beyond ten in a second, one line stands for all of them.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::DecisionRecord;
use super::decision::RecordedValues;

/// Lines of their own in one second.
const ALONE: u32 = 10;
const SECOND: Duration = Duration::from_secs(1);
/// A line waits no longer for others that are like it.
const HELD: Duration = Duration::from_millis(800);
/// Most kinds of denials in one second; beyond them each is a line.
const KINDS: usize = 10_000;
/// Lines in one second for denials of one kind that differ in what else a record shows.
const WAYS: usize = 16;
/// Stands for tools that neither a policy nor the server's list knows.
const OTHER: &str = "(other)";

/// Denials of the last second, by kind.
#[derive(Default)]
pub(super) struct Fold {
    kinds: Mutex<HashMap<Kind, Seen>>,
    folded: AtomicU64,
}

/// What makes denials equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind {
    grant: String,
    /// Two grants that are made of claims may look the same.
    grant_key: Option<String>,
    server: String,
    tool: Option<String>,
    outcome: &'static str,
    rule: Option<String>,
}

struct Seen {
    since: Instant,
    count: u32,
    folded: Vec<Folded>,
}

/// The line that stands for several.
struct Folded {
    /// The first one, as JSON.
    json: Vec<u8>,
    since: Instant,
    count: u64,
    first: String,
    last: String,
    /// A digest of what else a record tells of a call.
    rest: u64,
    /// It stands for calls that differ in that, and shows none of it.
    mixed: bool,
}

impl Fold {
    /// Whether the decision is now part of a line that stands for several. Admissions never are.
    pub(super) fn note(&self, record: &DecisionRecord<'_>, known: bool, now: Instant) -> bool {
        let Some(grant) = record.grant else { return false };
        if matches!(record.outcome, "allowed" | "upstream_error") {
            return false;
        }
        let tool = record.tool.map(|tool| if known { tool } else { OTHER });
        let kind = Kind {
            grant: grant.to_owned(),
            grant_key: record.grant_key.map(str::to_owned),
            server: record.server.to_owned(),
            tool: tool.map(str::to_owned),
            outcome: record.outcome,
            rule: record.rule.map(str::to_owned),
        };
        let mut kinds = self.lock();
        if kinds.len() >= KINDS && !kinds.contains_key(&kind) {
            return false;
        }
        let seen = kinds.entry(kind).or_insert_with(|| Seen {
            since: now,
            count: 0,
            folded: Vec::new(),
        });
        if now.duration_since(seen.since) >= SECOND && seen.folded.is_empty() {
            (seen.since, seen.count) = (now, 0);
        }
        seen.count = seen.count.saturating_add(1);
        if seen.count <= ALONE {
            return false;
        }
        let took = seen.fold(record, tool, now);
        drop(kinds);
        self.folded.fetch_add(u64::from(took), Ordering::Relaxed);
        took
    }

    /// Lines whose time has come.
    pub(super) fn due(&self, now: Instant) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        self.lock().retain(|_, seen| {
            let over = now.duration_since(seen.since) >= SECOND;
            let due = |folded: &mut Folded| over || now.duration_since(folded.since) >= HELD;
            lines.extend(seen.folded.extract_if(.., due).map(Folded::line));
            !over
        });
        lines
    }

    /// All lines, at the end.
    pub(super) fn rest(&self) -> Vec<Vec<u8>> {
        let mut kinds = self.lock();
        let folded = kinds.drain().flat_map(|(_, seen)| seen.folded);
        folded.map(Folded::line).collect()
    }

    /// Decisions that became part of another's line.
    pub(super) fn folded(&self) -> u64 {
        self.folded.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Kind, Seen>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// Adds the denial to the line of those that look the same; what looks different in too many ways shares one.
    /// `false` where it cannot be written as JSON.
    fn fold(&mut self, record: &DecisionRecord<'_>, tool: Option<&str>, now: Instant) -> bool {
        let rest = rest_of(record);
        let crowded = tool == Some(OTHER) || self.folded.len() >= WAYS;
        let same = |folded: &&mut Folded| !folded.mixed && folded.rest == rest;
        let found = match self.folded.iter_mut().find(same) {
            Some(found) => Some(found),
            None if crowded => self.folded.iter_mut().find(|folded| folded.mixed),
            None => None,
        };
        if let Some(folded) = found {
            folded.add(record);
            return true;
        }
        let started = Folded::start(record, tool, rest, crowded, now);
        let took = started.is_some();
        self.folded.extend(started);
        took
    }
}

impl Folded {
    /// `None` where the record cannot be written as JSON.
    fn start(
        record: &DecisionRecord<'_>,
        tool: Option<&str>,
        rest: u64,
        mixed: bool,
        now: Instant,
    ) -> Option<Self> {
        let mut shown = record.clone();
        if mixed {
            shown.tool = tool;
            shown.session = None;
            shown.argument_keys = &[];
            shown.recorded = RecordedValues(&[]);
            if shown.approval.take().is_some() {
                // it names the approval
                shown.message = None;
            }
        }
        Some(Self {
            json: serde_json::to_vec(&shown).ok()?,
            since: now,
            count: 1,
            first: record.time.clone(),
            last: record.time.clone(),
            rest,
            mixed,
        })
    }

    fn add(&mut self, record: &DecisionRecord<'_>) {
        self.count = self.count.saturating_add(1);
        // messages are not recorded in the order in which they came
        if record.time < self.first {
            self.first.clone_from(&record.time);
        }
        if record.time > self.last {
            self.last.clone_from(&record.time);
        }
    }

    fn line(self) -> Vec<u8> {
        let Self {
            mut json,
            count,
            first,
            last,
            mixed,
            ..
        } = self;
        if json.pop().is_some() {
            // writing to memory cannot fail
            if count > 1 {
                let _ = write!(json, r#","count":{count},"first":"{first}","last":"{last}""#);
            }
            if mixed {
                json.extend_from_slice(br#","mixed":true"#);
            }
            json.push(b'}');
        }
        json
    }
}

/// What may differ between denials of one kind.
fn rest_of(record: &DecisionRecord<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&record.session, record.method, record.tool, record.argument_keys).hash(&mut hasher);
    record.approval.hash(&mut hasher);
    // a reload may come between two
    for policy in &record.policy {
        policy.digest.hash(&mut hasher);
    }
    for recorded in record.recorded.0 {
        (&*recorded.path, &recorded.json).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests;
