//! A request over HTTP that waits for people, judged again from the start when they decide.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::Response;

use super::pointed::Pointer;
use super::shown::{self, Progress};
use super::{Hold, Waits};
use crate::mcp::envelope;
use crate::proxy::Gate;
use crate::proxy::body::GateBody;
use crate::proxy::head::{Head, Identity};
use crate::proxy::known::Turn;
use crate::proxy::ledger::Ledger;
use crate::proxy::legacy::{Endpoint, told};
use crate::proxy::refused::undecided;
use crate::proxy::respond::accepted;

type Answer = Response<GateBody>;

/// A request whose body is here: it can be judged as often as need be.
pub struct Received {
    pub head: Head,
    pub body: Bytes,
    pub started: Instant,
    /// The client is pointed to the page where people decide.
    pub pointer: Option<Pointer>,
}

/// Answers a request that waits for people after its first look. The client sees life meanwhile where it can.
pub async fn held(head: Head, identity: Identity, (body, started): (Bytes, Instant), first: Turn) -> Answer {
    let gate = Arc::clone(&head.gate);
    let pointer = Pointer::wanted(&head.known(&identity), &body);
    let went_on = head.brought.as_ref().map(|brought| brought.accepted);
    let waits = match (&pointer, went_on) {
        // its user goes there first
        (Some(_), None) | (_, Some(false)) => false,
        (None, None) | (_, Some(true)) => true,
    };
    let received = Received {
        head,
        body,
        started,
        // who declined is not asked again
        pointer: pointer.filter(|_| went_on != Some(false)),
    };
    let hold = if waits {
        let own = identity.whose.grant.identity();
        Hold::begin(&gate, own, received.head.known(&identity).held(&received.body)).ok()
    } else {
        None
    };
    match (identity.endpoint, hold) {
        (endpoint, None) => {
            let answer = received.rounds(first, None).await;
            told(&gate, endpoint.as_ref(), answer).await
        }
        // its answer comes on the stream: nothing is waited for here
        (Some(endpoint), hold) => {
            tokio::spawn(on_stream(gate, endpoint, received, first, hold));
            accepted()
        }
        (None, hold) => match Progress::wanted(&received.head.headers, &received.body) {
            Some(progress) => shown::answer(received, first, hold, progress),
            None => received.rounds(first, hold).await,
        },
    }
}

async fn on_stream(gate: Arc<Gate>, endpoint: Endpoint, received: Received, first: Turn, hold: Option<Hold>) {
    let answer = tokio::select! {
        answer = received.rounds(first, hold) => answer,
        () = gate.legacy.closed(&endpoint) => return,
    };
    let answer = shown::addressed(answer, received.id().as_deref()).await;
    // a stream that has ended has nobody who waits
    drop(told(&gate, Some(&endpoint), answer).await);
}

impl Received {
    /// Looks again whenever people decided, until the message is answered or the time is over.
    pub async fn rounds(&self, mut turn: Turn, mut hold: Option<Hold>) -> Answer {
        loop {
            turn = match turn {
                Turn::Answered(answer) => return *answer,
                Turn::Again(ledger) => self.again(*ledger).await,
                Turn::Waits(waits) => {
                    let decided = match &mut hold {
                        Some(hold) => hold.decided(waits.approval.id).await.is_ok(),
                        None => false,
                    };
                    if !decided {
                        return self.undecided(*waits);
                    }
                    self.again(waits.ledger).await
                }
            };
        }
    }

    /// From the start: who calls, under which policy, with which pins and limits, is what it is now.
    async fn again(&self, ledger: Ledger) -> Turn {
        match self.head.identify_again().await {
            Ok(identity) => {
                let known = self.head.known(&identity);
                known.message(&self.body, self.started, Some(ledger)).await
            }
            Err(answer) => {
                ledger.superseded();
                Turn::Answered(answer)
            }
        }
    }

    fn undecided(&self, waits: Waits) -> Answer {
        if let Some((pointer, id)) = self.pointer.as_ref().zip(self.id()) {
            return match pointer.answer(&self.head.gate.approvals, waits, &id) {
                Ok(answer) => answer,
                Err(waits) => undecided(&self.body, &self.head.headers, *waits),
            };
        }
        undecided(&self.body, &self.head.headers, waits)
    }

    /// The bytes of the request's id.
    pub fn id(&self) -> Option<String> {
        let message = envelope::read(&self.body).ok()?;
        message.id.map(str::to_owned)
    }
}
