//! What each call was charged: what it should have been, or more for a reason that is known.

use std::collections::{BTreeMap, HashSet};

use super::judge::{Ended, Story};
use super::server::Done;
use crate::counters::CallId;

/// What may make a limit stricter.
pub(super) struct Known<'w> {
    /// Calls of which a connection broke: what was sent on it may come after what was sent again, and charge once more.
    pub(super) broken: &'w HashSet<CallId>,
    /// The store's clock may be set back: what comes after its deadline then seems in time.
    pub(super) steps_back: bool,
}

/// Calls that were charged more than they should have been: stricter, never looser.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stricter {
    /// Charged twice under one id.
    pub(super) twice: Vec<CallId>,
    /// Not admitted, charged, and free again before the store heard that it was to be taken back.
    pub(super) freed: Vec<CallId>,
    /// Not admitted, and charged after what was to take it back.
    pub(super) stands: Vec<CallId>,
}

/// One key's part in a call.
#[derive(Default)]
struct Part {
    charged: u64,
    taken_back: u64,
    /// The store was asked to take the last charge back and did not hold it any more.
    looked_for: bool,
}

fn parts(id: CallId, done: &[Done]) -> BTreeMap<&str, Part> {
    let mut parts: BTreeMap<&str, Part> = BTreeMap::new();
    for event in done.iter().filter(|event| event.id() == id) {
        let part = parts.entry(event.key()).or_default();
        match event {
            Done::Charged { .. } => (part.charged, part.looked_for) = (part.charged + 1, false),
            Done::TakenBack { .. } => part.taken_back += 1,
            Done::LookedFor { .. } => part.looked_for = true,
        }
    }
    parts
}

/// An admitted call was charged on each of its counters once and taken back only for its own refund; any other
/// was charged nothing, or it was taken back.
pub(super) fn once(
    (id, charges, ended): (CallId, usize, &Ended),
    story: &Story,
    done: &[Done],
    known: &Known<'_>,
    stricter: &mut Stricter,
) -> Result<(), String> {
    let admitted = matches!(ended, Ended::Admitted { .. });
    let parts = parts(id, done);
    let keys = parts.values().filter(|part| part.charged > 0).count();
    if admitted && keys != charges {
        return Err(format!("{id} was admitted and charged on {keys} keys"));
    }
    let excused = known.steps_back || known.broken.contains(&id);
    for part in parts.values() {
        if admitted && part.taken_back > u64::from(story.asked_back(id)) {
            return Err(format!(
                "{id} was admitted and taken back {} times",
                part.taken_back
            ));
        }
        if part.charged > 1 {
            stricter.twice.push(id);
            if !excused {
                return Err(format!("{id} was charged {} times on one key", part.charged));
            }
        }
        if admitted || part.charged <= part.taken_back || story.has_crashed(id) {
            continue;
        }
        if part.looked_for {
            stricter.freed.push(id);
        } else if known.steps_back || excused && part.charged > 1 {
            // of two charges under one id the first is taken back
            stricter.stands.push(id);
        } else {
            return Err(format!("{id} was not admitted, and its charge stands: {ended:?}"));
        }
    }
    Ok(())
}
