//! The client's side: each line is read, judged and charged, then goes on to the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::lines::{Line, Lines, Out};
use super::listens::Listens;
use crate::counters::CallId;
use crate::grants::Grant;
use crate::mcp::envelope::{self, Envelope, Kind, Unreadable};
use crate::mcp::line::has_bare_cr;
use crate::mcp::reply;
use crate::mcp::skim::Skimmed;
use crate::policy::Outcome;
use crate::proxy::Gate;
use crate::proxy::exchange::Exchange;
use crate::proxy::ledger::Ledger;
use crate::proxy::stage::Charged;
use crate::proxy::told::{self, CODE_INVALID_REQUEST, CODE_TOO_LARGE, CODE_UNAVAILABLE};
use crate::proxy::upstream::UpstreamError;
use crate::proxy::weigh::{Denied, Stopped, UNREAD, answerable, method_of, weigh};

const BARE_CR: &str =
    "the line holds a bare carriage return, which ends a message for some servers: write it as a space";

/// Who is on the other side of stdin and stdout.
pub struct Caller {
    pub gate: Arc<Gate>,
    pub grant: Arc<Grant>,
    pub server: String,
    /// Names this run, for limits of scope `session`.
    pub session: String,
}

/// The server that admitted messages go to.
pub(super) trait Far {
    /// A way to it that was ready when it was taken.
    type Way;

    async fn ready(&self, message: &Envelope<'_>) -> Result<Self::Way, UpstreamError>;

    /// Sends an admitted message, and sees to its answer and record.
    async fn send(&self, way: Self::Way, message: &Admitted<'_>, charged: Charged, client: &Client);
}

/// A message on its way to the server.
pub(super) struct Admitted<'m> {
    pub(super) envelope: &'m Envelope<'m>,
    /// The bytes that were judged.
    pub(super) line: &'m Bytes,
}

/// One client.
pub(super) struct Client {
    pub(super) caller: Caller,
    out: Out,
    /// It has sent a message of 2026-07-28 or later.
    modern: AtomicBool,
    listens: Listens,
    /// It has closed its end, or does not take what it is told.
    gone: watch::Sender<bool>,
}

impl Client {
    pub(super) fn new(caller: Caller, output: impl AsyncWrite + Send + Unpin + 'static) -> Self {
        Self {
            caller,
            out: Out::new(output),
            modern: AtomicBool::new(false),
            listens: Listens::default(),
            gone: watch::Sender::new(false),
        }
    }

    pub(super) fn is_modern(&self) -> bool {
        self.modern.load(Ordering::Relaxed)
    }

    /// Waits until it has gone.
    pub(super) async fn gone(&self) {
        // the sender is ours: it cannot be gone
        let _ = self.gone.subscribe().wait_for(|gone| *gone).await;
    }

    /// Tells it one message.
    pub(super) async fn tell(&self, message: &[u8]) {
        self.listens.heard(message);
        if let Err(error) = self.out.message(message).await
            && !self.gone.send_replace(true)
        {
            tracing::info!(%error, "the client takes no more messages");
        }
    }

    /// Tells it each time that the list of tools looks otherwise now. Never ends.
    pub(super) async fn tell_changes(&self) {
        let mut changed = self.caller.gate.changes.watch(&self.caller.server);
        loop {
            changed.wait().await;
            for notification in self.listens.notifications() {
                self.tell(&notification).await;
            }
        }
    }

    /// Handles its lines one after the other, until it closes its end. A server that does not take a line
    /// holds up the next.
    pub(super) async fn serve<F: Far>(&self, far: &F, input: impl AsyncRead + Unpin) {
        let mut lines = Lines::new(input, self.caller.gate.limits.body_bytes);
        loop {
            let line = match lines.next().await {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%error, "the client's messages cannot be read");
                    break;
                }
            };
            let handling = self.line(far, &line);
            tokio::pin!(handling);
            tokio::select! {
                () = &mut handling => continue,
                () = lines.ends() => {}
            }
            self.gone.send_replace(true);
            handling.await;
        }
        self.gone.send_replace(true);
    }

    async fn line<F: Far>(&self, far: &F, line: &Line) {
        // a flood must not outrun a slow disk
        self.caller.gate.recorder.room().await;
        match line {
            Line::Whole(line) => self.message(far, line).await,
            Line::TooLong(skimmed) => self.too_long(skimmed).await,
        }
    }

    fn ledger(&self, id: CallId, method: &str) -> Ledger {
        let mut ledger = Ledger::open(&self.caller.gate, id, &self.caller.server);
        ledger.grant(&self.caller.grant);
        ledger.method(method);
        ledger.session(&self.caller.session);
        ledger
    }

    /// One message: read → judge → be ready → charge → send.
    async fn message<F: Far>(&self, far: &F, line: &Bytes) {
        let envelope = envelope::read(line);
        let id = match &envelope {
            Ok(envelope) => answerable(envelope),
            Err(unreadable) => unreadable.id,
        };
        let Ok(call) = CallId::random() else {
            let told = reply::error(id, CODE_UNAVAILABLE, told::NO_RANDOMNESS, None);
            return self.tell(&told).await;
        };
        if has_bare_cr(line) {
            self.ledger(call, UNREAD).invalid(Outcome::Invalid, BARE_CR);
            return self
                .tell(&reply::error(id, CODE_INVALID_REQUEST, BARE_CR, None))
                .await;
        }
        let envelope = match envelope {
            Ok(envelope) => envelope,
            Err(unreadable) => return self.unreadable(self.ledger(call, UNREAD), &unreadable).await,
        };
        if envelope.is_modern(None) {
            self.modern.store(true, Ordering::Relaxed);
        }
        let exchange = Exchange {
            grant: &self.caller.grant,
            server: &self.caller.server,
            session: Some(&self.caller.session),
            modern: envelope.is_modern(None),
            message: &envelope,
            pins: self.caller.gate.pinned(&self.caller.server),
        };
        let weighed = match weigh(&exchange, self.ledger(call, method_of(&exchange))) {
            Ok(weighed) => weighed,
            Err(Stopped::Unreadable(ledger, unreadable)) => {
                return self.unreadable(*ledger, &unreadable).await;
            }
            Err(Stopped::Denied(denied)) => return self.denied(&exchange, *denied).await,
        };
        let way = match far.ready(&envelope).await {
            Ok(way) => way,
            Err(error) => {
                weighed
                    .into_ledger()
                    .failed(&error.to_string(), None, "unsent", false);
                return self.no_answer(&error, id).await;
            }
        };
        let message = Admitted {
            envelope: &envelope,
            line,
        };
        match weighed.charge().await {
            Ok(charged) => {
                // before it is sent: the answer may come at once
                self.listens.asked(&envelope, line);
                far.send(way, &message, charged, self).await;
            }
            Err(denied) => self.denied(&exchange, *denied).await,
        }
    }

    /// Tells that the server gave no answer; messages without an id get none.
    pub(super) async fn no_answer(&self, error: &UpstreamError, id: Option<&str>) {
        tracing::warn!(server = self.caller.server, %error, "no answer from the server");
        if let Some(id) = id {
            let (code, text) = told::no_answer(error);
            self.tell(&reply::error(Some(id), code, text, None)).await;
        }
    }

    async fn unreadable(&self, ledger: Ledger, unreadable: &Unreadable<'_>) {
        let reason = unreadable.reason();
        ledger.invalid(Outcome::Invalid, reason);
        self.tell(&reply::error(unreadable.id, unreadable.code(), reason, None))
            .await;
    }

    async fn too_long(&self, skimmed: &Skimmed) {
        let cap = self.caller.gate.limits.body_bytes;
        if let Ok(call) = CallId::random() {
            self.ledger(call, UNREAD)
                .invalid(Outcome::Invalid, "line too long");
        }
        // the id of an answer to the server is the server's
        let id = skimmed.id.as_deref().filter(|_| skimmed.method);
        let text = format!("the message is larger than {cap} bytes (`limits.body_bytes`)");
        self.tell(&reply::error(id, CODE_TOO_LARGE, &text, None)).await;
    }

    async fn denied(&self, exchange: &Exchange<'_>, denied: Denied) {
        let told = told::denied(
            &denied.denial,
            denied.form,
            exchange
                .message
                .id
                .filter(|_| exchange.message.kind == Kind::Request),
            exchange.modern,
            &denied.decision_id(),
        );
        if let Some(ledger) = denied.ledger {
            ledger.refused(&denied.denial);
        }
        if let Some(told) = told {
            self.tell(&told).await;
        }
    }
}
