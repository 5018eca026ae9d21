//! Counts decisions that are being made, so that the end can wait for them.

use std::sync::Arc;

use tokio::sync::watch;

/// How many are open.
#[derive(Clone)]
pub(super) struct Count(Arc<watch::Sender<usize>>);

impl Default for Count {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

/// One open decision; it ends when this is dropped.
pub struct Pending(Count);

impl Count {
    pub(super) fn begin(&self) -> Pending {
        self.0.send_modify(|open| *open = open.saturating_add(1));
        Pending(self.clone())
    }

    /// Waits until none is open.
    pub(super) async fn none(&self) {
        // the sender is ours: it cannot be gone
        let _ = self.0.subscribe().wait_for(|open| *open == 0).await;
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.0.send_modify(|open| *open = open.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Count;

    #[tokio::test]
    async fn the_end_waits_until_the_last_one_is_dropped() {
        let count = Count::default();
        count.none().await;
        let (one, two) = (count.begin(), count.begin());
        drop(one);
        let waiting = tokio::time::timeout(Duration::from_millis(20), count.none());
        assert!(waiting.await.is_err());
        drop(two);
        count.none().await;
    }
}
