//! Requests for approval in a real Redis: the scripts against the model, and several replicas over one store.
#![cfg(test)]

#[path = "approvals/broken.rs"]
mod broken;
#[path = "approvals/properties.rs"]
mod properties;
#[path = "support/redis.rs"]
mod redis_server;
#[path = "approvals/replicas.rs"]
mod replicas;
#[path = "support/wait.rs"]
mod wait;
