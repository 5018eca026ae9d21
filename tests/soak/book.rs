//! What the clients counted, and what the gate wrote down.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// Tool and outcome of one call, as one side has it.
type Entry = (String, String);

/// Each call has a number of its own, which goes along as an argument and which the policy puts on record.
#[derive(Clone, Default)]
pub struct Book(Arc<Inner>);

#[derive(Default)]
struct Inner {
    next: AtomicU64,
    counted: Mutex<BTreeMap<u64, Entry>>,
}

impl Book {
    /// The number of the next call.
    pub fn number(&self) -> u64 {
        self.0.next.fetch_add(1, Relaxed)
    }

    /// How a call ended for its client.
    pub fn count(&self, number: u64, tool: &str, outcome: &str) {
        let entry = (tool.to_owned(), outcome.to_owned());
        let before = self.0.counted.lock().unwrap().insert(number, entry);
        assert_eq!(before, None, "call {number} was counted twice");
    }

    pub fn counted(&self) -> usize {
        self.0.counted.lock().unwrap().len()
    }

    /// Lays the clients' side beside the decision lines of the gate.
    pub fn close(&self, stdout: &str) -> Books {
        let mut books = Books::default();
        let mut counted = self.0.counted.lock().unwrap().clone();
        for line in stdout.lines() {
            let Ok(line) = serde_json::from_str::<Value>(line) else {
                books.faults.push(format!("no JSON on stdout: {line}"));
                continue;
            };
            if line["method"] != "tools/call" {
                continue;
            }
            let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
            let written = (text("tool"), text("outcome"));
            *books.outcomes.entry(written.clone()).or_default() += 1;
            match line["recorded"]["args.n"]
                .as_u64()
                .and_then(|number| counted.remove(&number))
            {
                Some(expected) if expected == written => {}
                Some(expected) => books
                    .faults
                    .push(format!("{expected:?} was written as {written:?}")),
                None => books.faults.push(format!("a line too many: {line}")),
            }
        }
        let lost = counted.iter().map(|call| format!("no line for {call:?}"));
        books.faults.extend(lost);
        books
    }
}

/// Both sides.
#[derive(Default)]
pub struct Books {
    /// Lines by tool and outcome.
    pub outcomes: BTreeMap<Entry, usize>,
    /// Where the sides differ.
    pub faults: Vec<String>,
}

impl Books {
    pub fn lines(&self) -> usize {
        self.outcomes.values().sum()
    }

    pub fn assert_balanced(&self) {
        let shown = self.faults.iter().take(20).cloned().collect::<Vec<_>>();
        assert!(
            self.faults.is_empty(),
            "{} calls do not stand in the decision lines exactly once: {shown:#?}",
            self.faults.len()
        );
        assert!(self.lines() > 0, "nothing was called");
    }
}
