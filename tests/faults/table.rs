//! What a run showed, as a row of docs/guarantees.md.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::replica::Counts;
use super::scene::Scene;

pub struct Row {
    pub scene: Scene,
    pub replicas: usize,
    pub ran: Duration,
    pub faults: u64,
    pub total: Counts,
    /// Part of what the small counters would have let through.
    pub lost: f64,
    /// What the checker said.
    pub judged: Value,
}

const HEAD: &str = "\n## Long runs\n\n`make faults` adds a row for each scene: real processes, real faults, and `toolgate check-history` over all that the
replicas wrote down. *Asked*: calls that were not denied from memory. *Fullest*: the fullest window of any counter, of its
`max`. *Lost*: the part of ten calls in 300 ms (for gates: in 1 s; with `restore`: in 4 s) that was not used although there was demand; without
faults it is the replicas' own pauses and a busy machine. Where the store's clock jumps ahead, windows end early and more passes.\n\n| day | faults | replicas | seconds | faults caused | calls | asked | admitted | store errors | fullest | broken windows | lost |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n";

impl Row {
    /// No fault in the history, every scene did what it is for, and there was demand.
    pub fn assert_sound(&self) {
        let found = &self.judged;
        assert_eq!(found["holds"], true, "{}: {found:#}", self.scene.told());
        assert!(
            self.total.admitted > 0 && self.total.calls > self.total.admitted,
            "{:?}",
            self.total
        );
        let struck = matches!(self.scene, Scene::Calm | Scene::ReplicaClocks) || self.faults > 0;
        assert!(struck, "{}: no fault was caused", self.scene.told());
    }

    fn line(&self) -> String {
        let Counts {
            calls,
            admitted,
            remembered,
            errors,
            ..
        } = &self.total;
        let (asked, errors) = (calls - remembered, errors.values().sum::<u64>());
        let full = &self.judged["fullest"];
        format!(
            "| {} | {} | {} | {:.0} | {} | {calls} | {asked} | {admitted} | {errors} | {} of {} | {} | {:.1} % |\n",
            today(),
            self.scene.told(),
            self.replicas,
            self.ran.as_secs_f64(),
            self.faults,
            full["sum"],
            full["max"],
            self.judged["faults"],
            self.lost * 100.0
        )
    }
}

/// Adds the row behind the table's last.
pub fn add(row: &Row) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guarantees.md");
    let mut text = std::fs::read_to_string(&path).unwrap_or_else(|_| "# Guarantees\n".to_owned());
    if !text.contains(HEAD) {
        text.push_str(HEAD);
    }
    let start = text.find(HEAD).unwrap() + HEAD.len();
    let (_, rows) = text.split_at(start);
    let rows = rows.find("\n\n").map_or(text.len(), |end| start + end + 1);
    text.insert_str(rows, &row.line());
    std::fs::write(&path, text).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "the table says when a run was made")]
fn today() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
}

/// A number from the environment, for runs by hand.
pub fn setting(name: &str, usual: u64) -> u64 {
    word(name).parse().unwrap_or(usual)
}

/// A word from the environment; empty where there is none.
#[expect(
    clippy::disallowed_methods,
    reason = "how long a test runs is no setting of toolgate"
)]
pub fn word(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}
