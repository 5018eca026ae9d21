//! Decisions counted by grant, tool and outcome, in bounded space.

use std::collections::BTreeMap;

use super::entry::Entry;

/// Most rows; what comes beyond is one row.
const ROWS: usize = 10_000;
/// Longest name in a row, in characters.
const CHARS: usize = 128;
/// Seconds of which a rate is made.
const MINUTE: u64 = 60;

/// The counts.
#[derive(Debug, Default)]
pub struct Top {
    rows: BTreeMap<Key, Counts>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    grant: String,
    tool: String,
    outcome: String,
}

#[derive(Debug, Default)]
struct Counts {
    total: u64,
    /// Second → decisions, of the last minute alone.
    seconds: BTreeMap<u64, u64>,
}

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub grant: String,
    pub tool: String,
    pub outcome: String,
    pub last_minute: u64,
    pub total: u64,
}

impl Top {
    /// Counts one line. `second`: when it was decided.
    pub fn add(&mut self, entry: &Entry<'_>, second: u64) {
        let key = Key {
            grant: cut(entry.grant.as_deref().unwrap_or("(none)")),
            tool: cut(entry.what()),
            outcome: cut(&entry.outcome),
        };
        let key = if self.rows.len() < ROWS || self.rows.contains_key(&key) {
            key
        } else {
            let other = || "(other)".to_owned();
            Key {
                grant: other(),
                tool: other(),
                outcome: other(),
            }
        };
        let counts = self.rows.entry(key).or_default();
        counts.total = counts.total.saturating_add(entry.count);
        let in_second = counts.seconds.entry(second).or_default();
        *in_second = in_second.saturating_add(entry.count);
        while let Some(oldest) = counts.seconds.first_entry()
            && oldest.key().saturating_add(MINUTE) <= second
        {
            oldest.remove();
        }
    }

    /// The busiest in the minute before `now` (in seconds) first.
    pub fn rows(&self, now: u64) -> Vec<Row> {
        let row = |(key, counts): (&Key, &Counts)| Row {
            grant: key.grant.clone(),
            tool: key.tool.clone(),
            outcome: key.outcome.clone(),
            last_minute: counts
                .seconds
                .range(now.saturating_sub(MINUTE).saturating_add(1)..)
                .fold(0, |sum, (_, count)| sum.saturating_add(*count)),
            total: counts.total,
        };
        let mut rows: Vec<Row> = self.rows.iter().map(row).collect();
        rows.sort_by_key(|row| std::cmp::Reverse((row.last_minute, row.total)));
        rows
    }
}

fn cut(text: &str) -> String {
    text.chars().take(CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::Top;
    use crate::audit::Entry;

    fn line(grant: &str, tool: &str, count: u64) -> String {
        format!(
            r#"{{"time":"2026-01-01T00:00:00.000Z","grant":"{grant}","server":"s","method":"tools/call","tool":"{tool}","outcome":"denied","count":{count}}}"#
        )
    }

    #[test]
    fn counts_are_kept_by_grant_and_tool_and_only_the_last_minute_makes_the_rate() {
        let mut top = Top::default();
        for (grant, tool, count, second) in [("a", "t", 5, 100), ("b", "t", 2, 130), ("a", "t", 1, 160)] {
            let line = line(grant, tool, count);
            top.add(&Entry::read(line.as_bytes()).unwrap(), second);
        }
        let rows = top.rows(160);
        let shown: Vec<_> = rows
            .iter()
            .map(|row| (row.grant.as_str(), row.last_minute, row.total))
            .collect();
        assert_eq!(shown, [("b", 2, 2), ("a", 1, 6)]);
    }
}
