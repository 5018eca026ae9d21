//! The policy language from outside: samples, properties, schema, documentation.
#![cfg(test)]

#[path = "policy/amounts.rs"]
mod amounts;
#[path = "policy/approvals.rs"]
mod approvals;
#[path = "policy/asked.rs"]
mod asked;
#[path = "policy/attacks.rs"]
mod attacks;
#[path = "policy/conditions.rs"]
mod conditions;
#[path = "policy/cookbook.rs"]
mod cookbook;
#[path = "policy/diff_pairs.rs"]
mod diff_pairs;
#[path = "policy/diffs.rs"]
mod diffs;
#[path = "policy/explained.rs"]
mod explained;
#[path = "policy/explained_always.rs"]
mod explained_always;
#[path = "policy/explained_random.rs"]
mod explained_random;
#[path = "policy/known_faults.rs"]
mod known_faults;
#[path = "policy/known_faults_counted.rs"]
mod known_faults_counted;
#[path = "policy/model.rs"]
mod model;
#[path = "policy/properties.rs"]
mod properties;
#[path = "policy/samples.rs"]
mod samples;
#[path = "policy/schema.rs"]
mod schema;
#[path = "policy/schemas.rs"]
mod schemas;
#[path = "policy/servers.rs"]
mod servers;
#[path = "policy/shadow.rs"]
mod shadow;
#[path = "policy/truth.rs"]
mod truth;
#[path = "policy/written_examples.rs"]
mod written_examples;
