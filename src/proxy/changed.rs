//! Who is told that a server's list of tools looks otherwise now: a policy was read anew, or other tools are accepted.
//!
//! Changes are not queued. A client that is slow to read is told once of all that happened meanwhile.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::watch;

use crate::mcp::ids::IdKey;
use crate::mcp::reply;
use crate::mcp::sse::frame;
use crate::mcp::subscription::acknowledged;

/// By server, those who listen for changes of its list.
#[derive(Default)]
pub struct Changes(Mutex<HashMap<String, watch::Sender<()>>>);

impl Changes {
    /// The server's list of tools may look otherwise now, for some grant or for all.
    pub fn tell(&self, server: &str) {
        let listened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(changed) = listened.get(server) {
            changed.send_replace(());
        }
    }

    /// Tells of changes from now on. `server` is a configured name: the table does not grow with clients.
    pub fn watch(&self, server: &str) -> Changed {
        let mut listened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = match listened.get(server) {
            Some(changed) => changed.subscribe(),
            None => listened.entry(server.to_owned()).or_default().subscribe(),
        };
        Changed(Box::pin(next(changed)))
    }
}

/// Changes of one server's list.
pub struct Changed(Pin<Box<dyn Future<Output = watch::Receiver<()>> + Send>>);

async fn next(mut changed: watch::Receiver<()>) -> watch::Receiver<()> {
    if changed.changed().await.is_err() {
        // the gate is gone: nothing changes any more
        std::future::pending::<()>().await;
    }
    changed
}

impl Changed {
    /// Ready once for all changes since the last time.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0
            .as_mut()
            .poll(cx)
            .map(|changed| self.0 = Box::pin(next(changed)))
    }

    /// Waits for the next change. Cancel-safe.
    pub async fn wait(&mut self) {
        std::future::poll_fn(|cx| self.poll(cx)).await;
    }
}

/// Whether an answer is a stream on which the gate may say that the list changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tells<'m> {
    No,
    /// The stream of a session, open for whatever the server says.
    Always,
    /// Not known yet: a stream of 2024-11-05 begins with its endpoint.
    FromFirstEvent,
    /// The answer to a `subscriptions/listen` with this id: when it was acknowledged and asks for it.
    Subscribed(&'m str),
}

/// Tells the client of one event stream.
pub struct Teller {
    changed: Changed,
    now: Now,
}

enum Now {
    /// It may be told, in a subscription under the id of that.
    Open(Option<String>),
    FromFirstEvent,
    Unacknowledged(String),
    /// It did not ask for it.
    Never,
}

impl Teller {
    /// `None`: nothing is to be told there.
    pub fn new(changes: &Changes, server: &str, tells: Tells<'_>) -> Option<Self> {
        let now = match tells {
            Tells::No => return None,
            Tells::Always => Now::Open(None),
            Tells::FromFirstEvent => Now::FromFirstEvent,
            Tells::Subscribed(id) => Now::Unacknowledged(id.to_owned()),
        };
        let changed = changes.watch(server);
        Some(Self { changed, now })
    }

    /// An event with this data goes out.
    pub fn saw(&mut self, data: &[u8]) {
        match &mut self.now {
            Now::Open(_) | Now::Never => {}
            Now::FromFirstEvent => self.now = Now::Open(None),
            Now::Unacknowledged(id) => {
                let Some(told) = acknowledged(data).filter(|told| IdKey::of(id).as_ref() == Some(&told.id))
                else {
                    return;
                };
                self.now = if told.tools {
                    Now::Open(Some(std::mem::take(id)))
                } else {
                    Now::Never
                };
            }
        }
    }

    /// The event to put between two others, once for all changes since the last time. It has no id.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Option<Bytes> {
        let Now::Open(subscription) = &self.now else {
            return None;
        };
        match self.changed.poll(cx) {
            Poll::Ready(()) => Some(frame(&reply::list_changed(subscription.as_deref())).into()),
            Poll::Pending => None,
        }
    }
}
