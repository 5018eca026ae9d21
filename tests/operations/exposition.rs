//! What `/metrics` shows, read as a scraper reads it.

use crate::support::gate::Gate;
use crate::support::wait::until;

/// One scrape.
pub struct Exposition(String);

pub async fn scrape(gate: &Gate) -> Exposition {
    let (status, text) = gate.admin("/metrics").await;
    assert_eq!(status, 200, "{text}");
    Exposition(text)
}

impl Exposition {
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The value of the one series of this name whose labels hold all of these.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let found: Vec<f64> = self
            .0
            .lines()
            .filter_map(|line| {
                let (series, value) = line.rsplit_once(' ')?;
                let (named, rest) = series.split_once('{').unwrap_or((series, ""));
                let has = |(key, value): &(&str, &str)| rest.contains(&format!("{key}=\"{value}\""));
                (named == name && labels.iter().all(has)).then(|| value.parse().unwrap())
            })
            .collect();
        assert!(
            found.len() < 2,
            "{name} with {labels:?} stands {} times",
            found.len()
        );
        found.first().copied()
    }
}

/// Waits until the series has a value that satisfies the condition.
pub async fn until_value(
    gate: &Gate,
    name: &str,
    labels: &[(&str, &str)],
    holds: impl Fn(f64) -> bool,
) -> f64 {
    until(&format!("{name} {labels:?} is as it should be"), || async {
        scrape(gate)
            .await
            .value(name, labels)
            .filter(|value| holds(*value))
    })
    .await
}
