//! What the tests on the wire stand on: a gate in this process, a scripted upstream, a raw client, a relay.

pub mod client;
pub mod gate;
pub mod relay;
pub mod upstream;

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Tokens of the grants: `ci` and `other` carry the policy, `late` is expired, `bare` has no policy,
/// `elsewhere` is for the second server.
pub const CI: &str = "tok-ci-5f1c9d";
pub const OTHER: &str = "tok-other-77aa01";
pub const LATE: &str = "tok-late-90be02";
pub const BARE: &str = "tok-bare-13cc03";
pub const ELSEWHERE: &str = "tok-elsewhere-2f04";

/// No wait in these tests is longer.
const BOUND: Duration = Duration::from_secs(15);

pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, future)
        .await
        .expect("it did not happen within the bound")
}

/// Waits until a condition holds.
#[track_caller]
pub fn until(condition: impl Fn() -> bool) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        let start = Instant::now();
        while !condition() {
            assert!(
                start.elapsed() < BOUND,
                "the condition at {place} did not come to hold"
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// What is logged in this thread, down to debug level; tests run their gate in a thread of their own.
#[derive(Clone, Default)]
pub struct Logs(Arc<Mutex<Vec<u8>>>);

pub fn logs() -> Logs {
    Logs::default()
}

impl Logs {
    /// Listens until the guard is dropped.
    pub fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let logs = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_ansi(false)
            .with_writer(move || logs.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
