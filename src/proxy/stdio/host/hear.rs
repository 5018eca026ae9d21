//! What a process says, and who is told: the client that waits for it, the session that it serves, or nobody.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use tokio::process::ChildStdout;

use super::child::{Child, Serves};
use super::waiting::Waiting;
use crate::mcp::ids::IdKey;
use crate::mcp::renumber;
use crate::mcp::reply;
use crate::mcp::skim::Skim;
use crate::proxy::stdio::lines::{Line, Lines};

/// What the gate answers to requests of a process whose clients it cannot tell apart.
const NOT_HERE: &str = "the sessions of this grant share the process: it cannot ask one of them";
const METHOD_NOT_FOUND: i64 = -32601;

impl Child {
    /// Passes on what it says until it closes its stdout.
    pub(super) async fn hear(&self, stdout: ChildStdout, cap: usize) {
        let mut lines = Lines::new(stdout, cap);
        loop {
            match lines.next().await {
                Ok(Some(Line::Whole(line))) => self.line(&line),
                Ok(Some(Line::TooLong(skimmed))) => {
                    let reason = format!("it is larger than {cap} bytes (`limits.line_bytes`)");
                    tracing::warn!(
                        server = self.server,
                        reason,
                        "a line of the server was not passed on"
                    );
                    if let Some(waiting) = skimmed.answers().and_then(|id| self.waiting.answered(&id)) {
                        waiting.unusable(&reason);
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(server = self.server, %error, "the server's messages cannot be read");
                    return;
                }
            }
        }
    }

    fn line(&self, line: &Bytes) {
        self.touch();
        if line.trim_ascii_start().first() != Some(&b'[') {
            return self.message(line.clone());
        }
        // a batch of an old server: its messages may be for several clients
        let batch: Vec<&RawValue> = serde_json::from_slice(line).unwrap_or_default();
        for message in batch {
            self.message(line.slice_ref(message.get().as_bytes()));
        }
    }

    fn message(&self, message: Bytes) {
        let is_json = || serde_json::from_slice::<IgnoredAny>(&message).is_ok();
        if message.trim_ascii_start().first() != Some(&b'{') || !is_json() {
            tracing::warn!(
                server = self.server,
                "a line of the server is no message: it was dropped"
            );
            return;
        }
        let skimmed = Skim::of(&message);
        if let Some(id) = skimmed.answers() {
            return self.answer(&id, message);
        }
        match (skimmed.method, skimmed.id) {
            (true, Some(id)) => self.request(&id, message),
            (true, None) => self.notification(message),
            (false, _) => tracing::debug!(server = self.server, "an answer to nothing was dropped"),
        }
    }

    /// An answer goes to the client that waits for it, and to nobody else.
    fn answer(&self, id: &IdKey, answer: Bytes) {
        let Some(waiting) = self.waiting.answered(id) else {
            tracing::debug!(
                server = self.server,
                "an answer that nobody waits for was dropped"
            );
            return;
        };
        match self.restored(&waiting, answer) {
            Some(answer) => waiting.answered(answer),
            None => waiting.unusable("its id cannot be read"),
        }
    }

    fn restored(&self, waiting: &Waiting, message: Bytes) -> Option<Bytes> {
        if self.serves == Serves::OneSession {
            return Some(message);
        }
        renumber::restored(&message, &waiting.original).map(Bytes::from)
    }

    /// Sampling, elicitation, roots: asked of the client whose session it is, on the stream of the call that it most
    /// likely belongs to.
    fn request(&self, id: &str, request: Bytes) {
        if self.serves == Serves::OneSession {
            return self.to_the_session(request, true);
        }
        let answer = match method_of(&request).as_deref() {
            Some("ping") => [b"{\"jsonrpc\":\"2.0\",\"id\":", id.as_bytes(), b",\"result\":{}}"].concat(),
            _ => reply::error(Some(id), METHOD_NOT_FOUND, NOT_HERE, None),
        };
        self.mention(&answer);
    }

    fn notification(&self, message: Bytes) {
        let method = method_of(&message);
        let method = method.as_deref().unwrap_or_default();
        match self.serves {
            Serves::OneSession => {
                let own = method == "notifications/progress"
                    && progress_token(&message).is_some_and(|token| self.progress(&token, &message));
                if !own {
                    // both concern what is being done just now; other news does not
                    let of_a_call = matches!(method, "notifications/progress" | "notifications/message");
                    self.to_the_session(message, of_a_call);
                }
            }
            Serves::Sessions | Serves::Requests => {
                let Some(number) = renumber::belongs_to(&message) else {
                    return self.to_all(&message);
                };
                if method == "notifications/cancelled" {
                    // the end of a subscription
                    if let Some(waiting) = self.waiting.answered(&number) {
                        waiting.given_up();
                    }
                    return;
                }
                self.waiting.with(&number, |waiting| {
                    self.restored(waiting, message.clone())
                        .is_some_and(|message| waiting.message(message))
                });
            }
        }
    }

    /// Progress goes where its call is answered.
    fn progress(&self, token: &IdKey, message: &Bytes) -> bool {
        self.waiting.newest(|waiting| {
            let own = waiting.original.token.as_deref().and_then(IdKey::of);
            own.as_ref() == Some(token) && waiting.message(message.clone())
        })
    }

    /// To the one session: on the stream of the newest request, or on the session's own.
    fn to_the_session(&self, message: Bytes, of_a_call: bool) {
        let mailbox = self.lock_sessions().values().next().cloned();
        let listens = mailbox.as_ref().is_some_and(|mailbox| mailbox.is_open());
        let first = of_a_call || !listens;
        if first && self.waiting.newest(|waiting| waiting.message(message.clone())) {
            return;
        }
        if let Some(mailbox) = mailbox {
            mailbox.post(message);
        }
    }

    /// News that belong to no request: every session of the grant may hear them. Without sessions only a request that
    /// is alone can be meant.
    fn to_all(&self, message: &Bytes) {
        if self.serves == Serves::Requests {
            if self.waiting.len() == 1 {
                self.waiting.newest(|waiting| waiting.message(message.clone()));
            }
            return;
        }
        for mailbox in self.lock_sessions().values() {
            mailbox.post(message.clone());
        }
    }
}

fn method_of(message: &[u8]) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(borrow)]
        method: Cow<'a, str>,
    }
    serde_json::from_slice::<Message<'_>>(message)
        .ok()
        .map(|message| message.method)
}

fn progress_token(message: &[u8]) -> Option<IdKey> {
    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(borrow)]
        params: Params<'a>,
    }
    #[derive(Deserialize)]
    struct Params<'a> {
        #[serde(borrow, rename = "progressToken")]
        token: &'a RawValue,
    }
    let read: Message<'_> = serde_json::from_slice(message).ok()?;
    IdKey::of(read.params.token.get())
}
