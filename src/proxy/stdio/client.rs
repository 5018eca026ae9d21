//! The client's side: each line is read, judged and charged, then goes on to the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::holding::{Back, Holding};
use super::lines::{Line, Lines, Out};
use super::listens::Listens;
use crate::counters::CallId;
use crate::grants::Grant;
use crate::mcp::envelope::{self, Envelope, Kind, Unreadable};
use crate::mcp::ids::IdKey;
use crate::mcp::line::{cancelled, has_bare_cr};
use crate::mcp::reply;
use crate::mcp::skim::Skimmed;
use crate::policy::Outcome;
use crate::proxy::Gate;
use crate::proxy::asking::{Hold, NotAgreed, Waits};
use crate::proxy::exchange::Exchange;
use crate::proxy::ledger::Ledger;
use crate::proxy::stage::Charged;
use crate::proxy::told::{self, CODE_INVALID_REQUEST, CODE_TOO_LARGE, CODE_UNAVAILABLE};
use crate::proxy::upstream::UpstreamError;
use crate::proxy::weigh::{Denied, NotCharged, Stopped, UNREAD, answerable, lost, method_of, weigh};

const BARE_CR: &str =
    "the line holds a bare carriage return, which ends a message for some servers: write it as a space";

/// Who is on the other side of stdin and stdout.
pub struct Caller {
    pub gate: Arc<Gate>,
    pub grant: Arc<Grant>,
    pub server: String,
    /// Names this run, for limits of scope `session`.
    pub session: String,
    /// Where the server is: its URL, or its command.
    pub place: String,
}

/// What is to be handled next.
enum Next {
    Line(Line),
    Back(Box<Back>),
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
    /// holds up the next; a call that waits for people does not.
    pub(super) async fn serve<F: Far>(&self, far: &F, input: impl AsyncRead + Unpin) {
        let mut lines = Lines::new(input, self.caller.gate.limits.body_bytes);
        let (holding, mut comes_back) = Holding::new();
        loop {
            let next = tokio::select! {
                line = lines.next() => match line {
                    Ok(Some(line)) => Next::Line(line),
                    Ok(None) => break,
                    Err(error) => {
                        tracing::warn!(%error, "the client's messages cannot be read");
                        break;
                    }
                },
                Some(back) = comes_back.recv() => Next::Back(Box::new(back)),
            };
            let handling = self.next(far, &holding, next);
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

    async fn next<F: Far>(&self, far: &F, holding: &Holding, next: Next) {
        // a flood must not outrun a slow disk
        self.caller.gate.recorder.room().await;
        match next {
            Next::Line(Line::Whole(line)) => self.message(far, holding, &line).await,
            Next::Line(Line::TooLong(skimmed)) => self.too_long(&skimmed).await,
            Next::Back(back) => self.back(far, holding, *back).await,
        }
    }

    /// A call that waited for people: judged again from the start where they decided.
    async fn back<F: Far>(&self, far: &F, holding: &Holding, back: Back) {
        // it was read before
        let Ok(envelope) = envelope::read(&back.line) else {
            return;
        };
        if !holding.is_wanted(&back) {
            return;
        }
        let message = Admitted {
            envelope: &envelope,
            line: &back.line,
        };
        if back.decided {
            let mut ledger = back.waits.ledger;
            ledger.again();
            self.go(far, holding, &message, ledger, Some(back.hold)).await;
        } else {
            self.denied(&envelope, back.waits.into_denied()).await;
        }
    }

    fn ledger(&self, id: CallId, method: &str) -> Ledger {
        let mut ledger = Ledger::open(&self.caller.gate, id, &self.caller.server);
        ledger.grant(&self.caller.grant);
        ledger.method(method);
        ledger.session(&self.caller.session);
        ledger
    }

    /// One message, read strictly.
    async fn message<F: Far>(&self, far: &F, holding: &Holding, line: &Bytes) {
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
        if envelope.method.as_deref() == Some("notifications/cancelled")
            && cancelled(line).is_some_and(|id| holding.cancel(&id))
        {
            // the server has not heard of the call
            return;
        }
        let message = Admitted {
            envelope: &envelope,
            line,
        };
        let ledger = self.ledger(call, method_of(&envelope));
        self.go(far, holding, &message, ledger, None).await;
    }

    /// Judge → be ready → charge → send.
    async fn go<F: Far>(
        &self,
        far: &F,
        holding: &Holding,
        message: &Admitted<'_>,
        mut ledger: Ledger,
        hold: Option<Hold>,
    ) {
        let envelope = message.envelope;
        let exchange = self.exchange(message);
        loop {
            let weighed = match weigh(&exchange, ledger) {
                Ok(weighed) => weighed,
                Err(Stopped::Unreadable(ledger, unreadable)) => {
                    return self.unreadable(*ledger, &unreadable).await;
                }
                Err(Stopped::Denied(denied)) => return self.denied(envelope, *denied).await,
            };
            let weighed = match weighed.agreed(&exchange).await {
                Ok(weighed) => weighed,
                Err(NotAgreed::Denied(denied)) => return self.denied(envelope, *denied).await,
                Err(NotAgreed::Waits(waits)) => return self.waits(holding, message, waits, hold).await,
            };
            let way = match far.ready(envelope).await {
                Ok(way) => way,
                Err(error) => {
                    let ledger = weighed.into_ledger();
                    ledger.failed(&error.to_string(), None, "unsent", false);
                    return self.no_answer(&error, answerable(envelope)).await;
                }
            };
            match weighed.charge().await {
                Ok(charged) => {
                    // before it is sent: the answer may come at once
                    self.listens.asked(envelope, message.line);
                    return far.send(way, message, charged, self).await;
                }
                Err(NotCharged::Denied(denied)) => return self.denied(envelope, *denied).await,
                Err(NotCharged::Again(again)) => {
                    ledger = *again;
                    ledger.again();
                }
                Err(NotCharged::Lost) => return self.denied(envelope, lost(&exchange)).await,
            }
        }
    }

    fn exchange<'m>(&'m self, message: &Admitted<'m>) -> Exchange<'m> {
        Exchange {
            grant: &self.caller.grant,
            server: &self.caller.server,
            session: Some(&self.caller.session),
            modern: message.envelope.is_modern(None),
            message: message.envelope,
            bytes: message.line,
            resumed: None,
            place: &self.caller.place,
            pins: self.caller.gate.pinned(&self.caller.server),
        }
    }

    /// Lets the call wait for people, in the place that it has if it waited before.
    async fn waits(&self, holding: &Holding, message: &Admitted<'_>, waits: Box<Waits>, hold: Option<Hold>) {
        let gate = &self.caller.gate;
        let hold = hold.map_or_else(|| Hold::begin(gate, self.caller.grant.identity(), None), Ok);
        match hold {
            Ok(hold) => {
                let id = message.envelope.id.and_then(IdKey::of);
                holding.wait(id, message.line.clone(), waits, hold);
            }
            Err(_) => self.denied(message.envelope, waits.into_denied()).await,
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

    async fn denied(&self, envelope: &Envelope<'_>, denied: Denied) {
        let told = told::denied(
            &denied.denial,
            denied.form,
            envelope.id.filter(|_| envelope.kind == Kind::Request),
            envelope.is_modern(None),
            &denied.decision_id(),
            denied.approval.as_ref(),
        );
        if let Some(ledger) = denied.ledger {
            ledger.refused(&denied.denial);
        }
        if let Some(told) = told {
            self.tell(&told).await;
        }
    }
}
