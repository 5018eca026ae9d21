//! What an open page is told as it happens.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, Sender};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::body::ConsoleBody;
use super::entry::Caller;
use super::respond::{self, Refusal};
use super::{Approver, Console, ShownApproval};
use crate::approvals::Approval;
use crate::document::escaped;
use crate::record::Seen;

/// Events that wait for a slow client.
const QUEUE: usize = 8;
/// How often decisions are looked at, and whether the approver still is one.
const DECISIONS_EVERY: Duration = Duration::from_millis(500);
/// How often limits and health are asked for. It also shows a client that the stream lives.
const VIEWS_EVERY: Duration = Duration::from_secs(5);
/// Decisions in one event; further ones are told as a number.
const DECISIONS: usize = 50;
/// Approvals in one event.
const APPROVALS: usize = 100;
/// Of each approval's arguments, in bytes; the page asks for the rest.
const ARGUMENTS: usize = 8 << 10;

impl Console {
    /// A stream of events for this caller, until it leaves or is no approver any more.
    pub(super) fn events(&self, caller: Caller) -> Result<Response<ConsoleBody>, Refusal> {
        let place = self.0.streams.clone().try_acquire_owned();
        let place = place.map_err(|_| Refusal::TooMany)?;
        let (to, events) = mpsc::channel(QUEUE);
        let console = self.clone();
        tokio::spawn(async move {
            let teller = Teller {
                changes: console.0.parts.approvals.changes(),
                console,
                caller,
                to,
                seen: 0,
                approvals: String::new(),
            };
            teller.run().await;
            drop(place);
        });
        Ok(respond::events(events))
    }
}

/// The client has gone.
struct Gone;

struct Teller {
    console: Console,
    caller: Caller,
    changes: watch::Receiver<u64>,
    to: Sender<Bytes>,
    /// The last decision that was told.
    seen: u64,
    /// The approvals as they were told last.
    approvals: String,
}

fn ticks(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

impl Teller {
    async fn run(mut self) {
        if self.hello().await.is_err() {
            return;
        }
        let (mut often, mut seldom) = (ticks(DECISIONS_EVERY), ticks(VIEWS_EVERY));
        self.changes.mark_changed();
        loop {
            let told = tokio::select! {
                () = self.to.closed() => return,
                changed = self.changes.changed() => match changed {
                    Ok(()) => self.approvals().await,
                    Err(_) => return,
                },
                _ = often.tick() => self.decisions().await,
                _ = seldom.tick() => self.views().await,
            };
            if told.is_err() {
                return;
            }
        }
    }

    async fn hello(&mut self) -> Result<(), Gone> {
        let approver = &self.caller.approver;
        let hello = json!({
            "approver": { "id": approver.id, "role": approver.role, "label": approver.label },
            "replica": self.console.0.parts.replica,
            "version": env!("CARGO_PKG_VERSION"),
        });
        self.tell("hello", &hello).await
    }

    /// The approver as the file has it now.
    fn approver(&self) -> Result<std::sync::Arc<Approver>, Gone> {
        self.console.still(&self.caller).ok_or(Gone)
    }

    async fn approvals(&mut self) -> Result<(), Gone> {
        let approver = self.approver()?;
        let told = match self.console.0.parts.approvals.list(None).await {
            Ok(all) => shown(&approver, &all),
            Err(error) => json!({ "approvals": null, "error": error.code() }),
        };
        let text = told.to_string();
        if text != self.approvals {
            self.tell("approvals", &told).await?;
            self.approvals = text;
        }
        Ok(())
    }

    async fn decisions(&mut self) -> Result<(), Gone> {
        let approver = self.approver()?;
        let (mut new, last) = self.console.0.parts.recent.since(self.seen);
        // what was pushed out before it could be told
        let lost = last.saturating_sub(self.seen).saturating_sub(new.len() as u64);
        let lost = if self.seen == 0 { 0 } else { lost };
        self.seen = last;
        new.retain(|seen| is_within(&approver, seen));
        let skipped = new.len().saturating_sub(DECISIONS);
        if new.is_empty() {
            return Ok(());
        }
        let told: Vec<Value> = new.iter().skip(skipped).map(decision).collect();
        let skipped = lost.saturating_add(skipped as u64);
        self.tell("decisions", &json!({ "decisions": told, "skipped": skipped }))
            .await
    }

    async fn views(&mut self) -> Result<(), Gone> {
        let approver = self.approver()?;
        let views = self.console.0.parts.views.clone();
        let health = views.probes.health().await;
        let servers = health.servers.iter();
        let servers = servers.filter(|(name, _)| approver.reaches_server(name));
        let servers: Vec<Value> = servers
            .map(|(name, word)| json!({ "name": escaped(name), "state": word }))
            .collect();
        let told = json!({ "store": health.store, "policies": health.policies, "servers": servers });
        self.tell("health", &told).await?;
        let limits = (views.limits)().await;
        let reached = |servers: &[String]| servers.iter().any(|server| approver.reaches_server(server));
        let rows = limits.rows.iter().filter(|row| reached(&row.servers));
        let rows: Vec<_> = rows.collect();
        let told = json!({ "limits": rows, "left_out": limits.left_out, "unknown": limits.unknown });
        self.tell("limits", &told).await?;
        // a request may have expired meanwhile
        self.approvals().await
    }

    async fn tell(&self, event: &str, data: &Value) -> Result<(), Gone> {
        // JSON has no line breaks of its own here
        let text = format!("event: {event}\ndata: {data}\n\n");
        self.to.send(text.into()).await.map_err(|_| Gone)
    }
}

/// Those that are open first, then the newest of the others.
fn shown(approver: &Approver, all: &[Approval]) -> Value {
    let mut shown: Vec<_> = all
        .iter()
        .filter_map(|approval| ShownApproval::to(approver, approval))
        .map(|approval| approval.brief(ARGUMENTS))
        .collect();
    // the list is in the order of asking
    shown.reverse();
    shown.sort_by_key(|approval| approval.state != "pending");
    let left_out = shown.len().saturating_sub(APPROVALS);
    shown.truncate(APPROVALS);
    json!({ "approvals": shown, "left_out": left_out })
}

fn is_within(approver: &Approver, seen: &Seen) -> bool {
    match &seen.tool {
        Some(tool) => approver.reaches(&seen.server, tool),
        None => approver.reaches_server(&seen.server),
    }
}

fn decision(seen: &Seen) -> Value {
    let text = |text: &Option<String>| text.as_deref().map(escaped);
    json!({
        "number": seen.number,
        "time": seen.time,
        "grant": escaped(&seen.grant),
        "server": escaped(&seen.server),
        "method": escaped(&seen.method),
        "tool": text(&seen.tool),
        "outcome": seen.outcome,
        "rule": text(&seen.rule),
        "message": text(&seen.message),
    })
}
