//! Requests for approval in a real Redis: the scripts against the model, several replicas over one store, and replicas
//! that are killed.
#![cfg(test)]

#[path = "approvals/broken.rs"]
mod broken;
#[path = "approvals/killed.rs"]
mod killed;
#[path = "approvals/properties.rs"]
mod properties;
#[path = "approvals/replicas.rs"]
mod replicas;
mod support;
