//! Which counters a grant's policies charge, and where they stand.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::admin::Later;
use crate::console::{Limits, Usage};
use crate::counters::ChargeState;
use crate::grants::Grant;
use crate::policy::{Charge, Limit, Scope, Subject, Window, window_in_words};
use crate::proxy::Gate;

/// Counters that are asked for at once for the page; the store does little else meanwhile.
const ASKED: usize = 200;
/// Who asks sooner gets the same answer.
const APART: Duration = Duration::from_secs(2);
/// How long all of them may take.
const WITHIN: Duration = Duration::from_secs(3);

/// One charge for each counter that the grant's policies can charge, without a value where callers choose it.
pub fn charges_of(grant: &Grant) -> Vec<Charge> {
    let mut charges: Vec<Charge> = Vec::new();
    for policy in &grant.policies {
        let own = policy.limits().flat_map(|(limit, value)| {
            let subjects = subjects(grant, limit, value).into_iter();
            subjects.map(move |subject| (limit, subject))
        });
        let claims = grant.claims.as_deref().into_iter();
        let shared = claims.flat_map(|claims| policy.limits_by_claim(claims));
        for (limit, subject) in own.chain(shared) {
            add(&mut charges, limit, subject);
        }
    }
    charges
}

/// One more counter; of the same one the smallest `max` counts.
fn add(charges: &mut Vec<Charge>, limit: &Arc<Limit>, subject: Subject) {
    let name = |limit: &Limit| (limit.counter.clone(), limit.window, limit.shadow, limit.scale);
    let known = |charge: &&mut Charge| charge.subject == subject && name(&charge.limit) == name(limit);
    match charges.iter_mut().find(known) {
        Some(charge) if limit.max < charge.limit.max => charge.limit = Arc::clone(limit),
        Some(_) => {}
        None => charges.push(Charge {
            limit: Arc::clone(limit),
            weight: 1,
            subject,
        }),
    }
}

fn subjects(grant: &Grant, limit: &Limit, value: Option<&str>) -> Vec<Subject> {
    let servers = || grant.servers.iter().cloned();
    let (path, digest) = (value.unwrap_or_default().to_owned(), String::new());
    let grant = grant.identity().to_owned();
    match limit.scope {
        Scope::Grant => vec![Subject::Grant { grant }],
        Scope::Session => vec![Subject::Session {
            grant,
            server: String::new(),
            session: Some(String::new()),
        }],
        Scope::Server => servers().map(|server| Subject::Server { server }).collect(),
        Scope::Global => vec![Subject::Global],
        Scope::Argument => vec![Subject::Argument { grant, path, digest }],
        Scope::Arguments => vec![Subject::Arguments { grant, digest }],
        // it follows from the claims
        Scope::Claim => Vec::new(),
    }
}

/// Whether callers choose whose counter it is.
pub const fn is_chosen(scope: Scope) -> bool {
    matches!(scope, Scope::Session | Scope::Argument | Scope::Arguments)
}

/// The window of a limit in words.
pub fn window_of(limit: &Limit) -> String {
    match limit.window {
        Window::Lease { .. } => "in flight".to_owned(),
        window => window_in_words(window),
    }
}

/// What the page shows of limits: those of the file's grants whose counters no caller chooses.
pub(super) fn view(gate: &Arc<Gate>) -> Arc<dyn Fn() -> Later<Limits> + Send + Sync> {
    let gate = Arc::clone(gate);
    let known: Arc<tokio::sync::Mutex<Option<(Instant, Limits)>>> = Arc::default();
    Arc::new(move || {
        let (gate, known) = (Arc::clone(&gate), Arc::clone(&known));
        Box::pin(async move {
            // those who ask meanwhile wait for the same answer
            let mut known = known.lock().await;
            if let Some((since, limits)) = known.as_ref()
                && since.elapsed() < APART
            {
                return limits.clone();
            }
            let limits = now(&gate).await;
            *known = Some((Instant::now(), limits.clone()));
            limits
        })
    })
}

async fn now(gate: &Gate) -> Limits {
    let snapshot = gate.snapshot.load_full();
    // a pattern stands for grants that are made of claims
    let grants = snapshot.grants.iter().filter(|grant| grant.entry.is_none());
    let counted = grants.flat_map(|grant| {
        let charges = charges_of(grant).into_iter();
        charges.map(move |charge| (Arc::clone(grant), charge))
    });
    let counted: Vec<_> = counted
        .filter(|(_, charge)| !is_chosen(charge.limit.scope))
        .collect();
    let mut limits = Limits {
        left_out: counted.len().saturating_sub(ASKED),
        ..Limits::default()
    };
    let asking = async {
        for (grant, charge) in counted.iter().take(ASKED) {
            match gate.store.usage(charge).await {
                Ok(state) => limits.rows.push(usage(grant, &charge.limit, state)),
                Err(_) => return false,
            }
        }
        true
    };
    limits.unknown = !timeout(WITHIN, asking).await.unwrap_or(false);
    limits
}

fn usage(grant: &Grant, limit: &Limit, state: ChargeState) -> Usage {
    Usage {
        grant: grant.id.clone(),
        counter: limit.counter.clone(),
        scope: limit.scope.as_str(),
        window: window_of(limit),
        used: limit.max.saturating_sub(state.left),
        max: limit.max,
        next_free_ms: state.frees_ms,
        shadow: limit.shadow,
        servers: grant.servers.clone(),
    }
}
