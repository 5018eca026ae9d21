//! What the registry holds, as plain values, for the status page.

use prometheus::Registry;
use prometheus::proto::{LabelPair, Metric, MetricType};

/// One time series now. Of a histogram there are two, `NAME_count` and `NAME_sum`.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    pub name: String,
    labels: Vec<(String, String)>,
    pub value: f64,
}

impl Series {
    /// The label's value; empty where it has none.
    pub fn label(&self, name: &str) -> &str {
        let found = self.labels.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }
}

pub(super) fn all(registry: &Registry) -> Vec<Series> {
    let mut all = Vec::new();
    for family in registry.gather() {
        for metric in family.get_metric() {
            let mut add = |suffix: &str, value: f64| {
                all.push(Series {
                    name: format!("{}{suffix}", family.name()),
                    labels: labels(metric),
                    value,
                });
            };
            match family.get_field_type() {
                MetricType::COUNTER => add("", metric.get_counter().get_value()),
                MetricType::GAUGE => add("", metric.get_gauge().get_value()),
                MetricType::HISTOGRAM => {
                    let histogram = metric.get_histogram();
                    add("_sum", histogram.get_sample_sum());
                    // counts are far below 2^53
                    #[expect(clippy::cast_precision_loss, reason = "a number for people to read")]
                    add("_count", histogram.get_sample_count() as f64);
                }
                MetricType::SUMMARY | MetricType::UNTYPED => {}
            }
        }
    }
    all
}

fn labels(metric: &Metric) -> Vec<(String, String)> {
    let pair = |label: &LabelPair| (label.name().to_owned(), label.value().to_owned());
    metric.get_label().iter().map(pair).collect()
}
