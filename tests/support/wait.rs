//! Waiting for a condition with a bound, instead of sleeping for luck.

use std::future::Future;
use std::time::{Duration, Instant};

/// How long a started part may take to become ready on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How often a condition is looked at.
const PAUSE: Duration = Duration::from_millis(10);

/// Asks until the answer is `Some`; panics with `what` after [`PATIENCE`].
pub async fn until<T, F, Fut>(what: &str, mut ask: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let began = Instant::now();
    loop {
        if let Some(value) = ask().await {
            return value;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "waited {PATIENCE:?} in vain until {what}"
        );
        tokio::time::sleep(PAUSE).await;
    }
}

/// The future's value; panics with `what` when it takes longer than `bound`.
pub async fn within<T>(what: &str, bound: Duration, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(bound, work).await {
        Ok(value) => value,
        Err(_) => panic!("{what} took longer than {bound:?}"),
    }
}
