//! The place of a call among those that may run at once. Over stdio a call has no connection that could be
//! closed: when its place is lost, somebody is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::AbortHandle;

use crate::proxy::held::Held;

/// What a running call holds. Dropped, it is given back.
pub(super) struct Place {
    held: Option<Held>,
    watch: AbortHandle,
    over: Arc<AtomicBool>,
}

impl Place {
    /// From now on `lost` is called when a lease is lost. Gives back what is held where it is lost already:
    /// nothing may be sent then.
    pub(super) fn take(held: Held, lost: impl FnOnce() + Send + 'static) -> Result<Self, Held> {
        let over = Arc::new(AtomicBool::new(false));
        let told = Told {
            over: Arc::clone(&over),
            lost: Some(lost),
        };
        // the lease's keeper aborts it
        let watch = tokio::spawn(async move {
            let _told = told;
            std::future::pending::<()>().await;
        });
        let place = Self {
            held: None,
            watch: watch.abort_handle(),
            over,
        };
        if held.run_on(&place.watch) {
            Ok(Self::holding(place, held))
        } else {
            Err(held)
        }
    }

    fn holding(mut place: Self, held: Held) -> Self {
        place.held = Some(held);
        place
    }

    /// What is held, which is no longer watched.
    pub(super) fn into_held(mut self) -> Option<Held> {
        self.held.take()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        self.held = None;
        self.watch.abort();
    }
}

/// Tells when it is dropped, unless the call is over.
struct Told<F: FnOnce()> {
    over: Arc<AtomicBool>,
    lost: Option<F>,
}

impl<F: FnOnce()> Drop for Told<F> {
    fn drop(&mut self) {
        if let Some(lost) = self.lost.take()
            && !self.over.load(Ordering::SeqCst)
        {
            lost();
        }
    }
}
