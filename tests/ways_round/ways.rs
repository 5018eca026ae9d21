//! The ways round: each is one or more requests that are meant to have an effect without being seen to.

mod bodies;
mod heads;

use crate::post::{Post, Target};

/// What shows that a way worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The denied tool ran.
    Denied,
    /// The allowed tool ran for a grant that may not call it so.
    Allowed,
    /// The hidden tool ran.
    Hidden,
    /// The name of the hidden tool was read.
    Seen,
    /// The session of another grant was ended, or its stream opened.
    Session,
}

pub type Requests = fn(&Target) -> Vec<Post>;

/// A way that needs several steps: see `steps.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steps {
    /// A list under the id of a call that runs.
    SameId,
    Replay,
    StolenCall,
    /// The endpoint that the server itself announced (2024-11-05), at the gate.
    OwnEndpoint,
    StolenStream,
    StolenEnd,
}

#[derive(Clone, Copy)]
pub enum Do {
    /// Each of these alone; the bodies make sense over the transport of 2024-11-05 too.
    Anywhere(Requests),
    /// Makes sense over Streamable HTTP alone.
    Http(Requests),
    Steps(Steps),
}

pub struct Way {
    pub name: &'static str,
    pub effect: Effect,
    pub what: Do,
}

const fn way(name: &'static str, what: Do) -> Way {
    Way {
        name,
        effect: Effect::Denied,
        what,
    }
}

const fn leak(name: &'static str, what: Do) -> Way {
    Way {
        name,
        effect: Effect::Seen,
        what,
    }
}

pub fn all() -> Vec<Way> {
    [
        bodies::keys(),
        bodies::values(),
        bodies::shapes(),
        bodies::encodings(),
        heads::heads(),
        heads::framings(),
        heads::paths(),
        sessions(),
        lists(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn call(target: &Target) -> Post {
    Post::call(target)
}

/// The session, where headers that mirror the body were taken away with it.
fn restore(target: &Target, post: Post) -> Post {
    match &target.session {
        Some(session) => post.header("Mcp-Session-Id", session),
        None => post,
    }
}

/// Sessions that are not the caller's.
fn sessions() -> Vec<Way> {
    let allowed = |name, what| Way {
        effect: Effect::Allowed,
        ..way(name, what)
    };
    let session = |name, steps| Way {
        effect: Effect::Session,
        ..way(name, Do::Steps(steps))
    };
    vec![
        allowed(
            "in a session with an invented id",
            Do::Http(|t| {
                let call = Post::of(
                    t,
                    "tools/call",
                    t.tools.allowed,
                    t.call_of(t.tools.allowed, r#"{"message":"x"}"#),
                );
                vec![call.header("Mcp-Session-Id", "00000000-0000-4000-8000-000000000000")]
            }),
        ),
        allowed("in the session of another grant", Do::Steps(Steps::StolenCall)),
        allowed(
            "at the server's own `/message?sessionId=`",
            Do::Steps(Steps::OwnEndpoint),
        ),
        session(
            "the stream of another grant's session, opened",
            Steps::StolenStream,
        ),
        session("the session of another grant, ended", Steps::StolenEnd),
    ]
}

/// Where the name of a hidden tool could be read.
fn lists() -> Vec<Way> {
    use Do::{Anywhere, Http};
    vec![
        leak("the list of tools", Anywhere(|t| vec![Post::list(t)])),
        leak(
            "the list in a batch",
            Anywhere(|t| vec![Post::list(t).body(format!("[{}]", t.list()))]),
        ),
        leak(
            "the list, with compressed answers accepted",
            Http(|t| {
                vec![Post::list(t).header("Accept-Encoding", "identity;q=0.1, gzip, br, zstd, deflate")]
            }),
        ),
        leak(
            "the list, with one kind of answer accepted",
            Http(|t| {
                ["application/json", "text/event-stream", "*/*", "text/html"]
                    .map(|kind| Post::list(t).header("Accept", kind))
                    .to_vec()
            }),
        ),
        leak(
            "the list under the id of a running call",
            Do::Steps(Steps::SameId),
        ),
        leak(
            "the list in a replay by `Last-Event-ID`",
            Do::Steps(Steps::Replay),
        ),
    ]
}
