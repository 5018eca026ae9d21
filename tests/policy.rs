//! The policy language from outside: samples, properties, schema, documentation.
#![cfg(test)]

#[path = "policy/model.rs"]
mod model;
#[path = "policy/properties.rs"]
mod properties;
#[path = "policy/samples.rs"]
mod samples;
#[path = "policy/schema.rs"]
mod schema;
#[path = "policy/written_examples.rs"]
mod written_examples;
