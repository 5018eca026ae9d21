//! Charges and calls as the tests of stores make them.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::sync::Arc;

use toolgate::counters::{Admission, CallId, Store, Verdict};
use toolgate::policy::{Charge, Limit, Scope, Subject, Window};

pub fn limit(counter: &str, max: u64, window: Window, scope: Scope) -> Limit {
    Limit {
        rule: format!("/{counter}"),
        counter: counter.into(),
        window,
        max,
        scope,
        scale: 0,
        max_values: None,
        shadow: false,
        on_deny: None,
        on_store_error: toolgate::policy::OnStoreError::Deny,
    }
}

pub const HOUR: Window = Window::Sliding { ms: 3_600_000 };

pub fn grant(counter: &str, max: u64) -> Charge {
    grant_of(limit(counter, max, HOUR, Scope::Grant), 1)
}

pub fn grant_of(limit: Limit, weight: u64) -> Charge {
    Charge {
        limit: Arc::new(limit),
        weight,
        subject: Subject::Grant { grant: "ci".into() },
    }
}

/// Of a grant of its own, whose keys live in a slot of their own.
pub fn grant_named(number: u32, max: u64) -> Charge {
    Charge {
        subject: Subject::Grant {
            grant: format!("ci-{number}"),
        },
        ..grant("c", max)
    }
}

pub fn global(counter: &str, max: u64) -> Charge {
    let limit = Arc::new(limit(counter, max, HOUR, Scope::Global));
    Charge {
        limit,
        weight: 1,
        subject: Subject::Global,
    }
}

pub fn call(charges: &[Charge]) -> Admission {
    Admission {
        id: CallId::random().unwrap(),
        charges: charges.to_vec(),
    }
}

/// What is left of each charge, or the index of the charge that denied.
pub async fn admit(store: &Store, charges: &[Charge]) -> Result<Vec<u64>, usize> {
    read(store.admit(&call(charges)).await.unwrap())
}

pub async fn peek(store: &Store, charges: &[Charge]) -> Result<Vec<u64>, usize> {
    read(store.peek(&call(charges)).await.unwrap())
}

pub fn read(verdict: Verdict) -> Result<Vec<u64>, usize> {
    match verdict {
        Verdict::Admitted { states, .. } => Ok(states.iter().map(|state| state.left).collect()),
        Verdict::Limited { charge, .. } => Err(charge),
    }
}
