//! The gate is going. First its answers close their connections, so that clients find another replica; then no
//! connection is taken any more, and streams that only listen end.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::watch;

/// How far the gate has gone.
pub struct Leaving(watch::Sender<Stage>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Serves,
    Leaves,
    Drains,
}

impl Default for Leaving {
    fn default() -> Self {
        Self(watch::Sender::new(Stage::Serves))
    }
}

impl Leaving {
    /// From now on answers close their connections.
    pub fn begin(&self) {
        self.0.send_replace(Stage::Leaves);
    }

    /// From now on streams that only listen end.
    pub fn drain(&self) {
        self.0.send_replace(Stage::Drains);
    }

    pub fn has_begun(&self) -> bool {
        *self.0.borrow() > Stage::Serves
    }

    /// Tells one stream.
    pub fn listen(&self) -> Drains {
        let mut stage = self.0.subscribe();
        Drains(Box::pin(async move {
            // an error means that the gate is gone, which is as good
            drop(stage.wait_for(|stage| *stage == Stage::Drains).await);
        }))
    }
}

/// Ready once the gate drains. Not to be polled after that.
pub struct Drains(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Drains {
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}
