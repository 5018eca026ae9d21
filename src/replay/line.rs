//! One line of a decision log → the call that it tells of.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::time::millis;
use crate::policy::Outcome;

/// A record cuts names at this many characters: one that is as long may have been longer.
const NAME_CHARS: usize = 128;
/// Most decisions that one line stands for: far more than a gate denies in a second.
const FOLDED_AT_MOST: u64 = 1_000_000;

/// What a line holds.
#[derive(Debug)]
pub enum Line {
    /// A decision that a policy made.
    Call(Box<Call>),
    /// Another event, such as `listening`, or an empty line.
    Event,
    /// A message on which no policy decided: it could not be read, came without a known token, or opened a stream.
    NotJudged,
}

/// One recorded decision.
#[derive(Clone, Debug)]
pub struct Call {
    /// When its limits were asked, in ms since 1970: the store's time where the line has it, else the arrival.
    pub at: u64,
    pub grant: String,
    pub server: String,
    /// A hash of the session's id, which is the same for the same session.
    pub session: Option<String>,
    pub asked: Asked,
    pub then: Then,
    /// People were asked about it.
    pub approval: bool,
    pub fate: Fate,
    /// Counter and `max` of each limit on calls in flight that was asked then.
    pub in_flight: Vec<(String, u64)>,
    pub argument_keys: Vec<String>,
    /// Path → JSON text.
    pub recorded: Vec<(String, String)>,
    /// Equal denials that the line stands for, at least 1, the first of them at `at`.
    pub count: u64,
    /// From the first of them to the last, in ms.
    pub span_ms: u64,
    /// They differ in arguments, session or name, and the line shows one of them.
    pub mixed: bool,
    /// Bytes of the line.
    pub size: usize,
    /// The line came after later ones had been decided.
    pub late: bool,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    Tool(String),
    Method(String),
    /// A tool or method whose name the record has cut.
    Cut(String),
}

impl Asked {
    pub fn name(&self) -> &str {
        match self {
            Self::Tool(name) | Self::Method(name) | Self::Cut(name) => name,
        }
    }
}

/// What was decided then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Then {
    pub outcome: Outcome,
    pub rule: Option<String>,
}

impl Then {
    /// Whether the policy let it pass; what the upstream made of it is another matter.
    pub const fn allowed(&self) -> bool {
        matches!(self.outcome, Outcome::Allowed | Outcome::UpstreamError)
    }
}

/// What becomes of a charge of this call, were one made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Stands,
    /// Nothing reached the upstream: taken back this many ms later.
    Refunded {
        after_ms: u64,
    },
    /// The call ended before its limits were asked.
    Never,
    /// The counters did not answer.
    NoStore,
}

#[derive(Deserialize)]
struct Written {
    event: Option<IgnoredAny>,
    time: Option<String>,
    grant: Option<String>,
    server: Option<String>,
    session: Option<String>,
    method: Option<String>,
    tool: Option<String>,
    #[serde(default)]
    argument_keys: Vec<String>,
    #[serde(default)]
    recorded: BTreeMap<String, Box<RawValue>>,
    outcome: Option<String>,
    rule: Option<String>,
    approval: Option<IgnoredAny>,
    #[serde(default)]
    charges: Vec<WrittenCharge>,
    upstream: Option<WrittenUpstream>,
    #[serde(default)]
    degraded: bool,
    /// Where nothing was charged: the store's time when the limits were asked.
    store_ms: Option<u64>,
    count: Option<u64>,
    last: Option<String>,
    #[serde(default)]
    mixed: bool,
}

#[derive(Deserialize)]
struct WrittenCharge {
    #[serde(default)]
    rule: String,
    #[serde(default)]
    counter: String,
    #[serde(default)]
    max: u64,
    store_ms: Option<u64>,
}

#[derive(Deserialize)]
struct WrittenUpstream {
    #[serde(default)]
    ms: f64,
    #[serde(default)]
    ended: String,
    #[serde(default)]
    refunded: bool,
}

impl WrittenCharge {
    /// Whether its rule is `/tools/NAME/concurrency`; a limit of that name stands one level deeper.
    fn is_in_flight(&self) -> bool {
        self.rule.ends_with("/concurrency") && self.rule.matches('/').count() == 3
    }
}

impl Line {
    /// Reads one line, with or without its end.
    ///
    /// # Errors
    /// Where it is no decision and no event: a sentence that holds nothing of the line but its own words.
    pub fn read(line: &[u8]) -> Result<Self, String> {
        if line.trim_ascii().is_empty() {
            return Ok(Self::Event);
        }
        let written: Written = serde_json::from_slice(line).map_err(|error| {
            // the library's message may quote what stands there
            let (column, kind) = (error.column(), error.classify());
            match kind {
                serde_json::error::Category::Eof => "the line ends too early".to_owned(),
                serde_json::error::Category::Data => format!("a field has another type at column {column}"),
                _ => format!("this is no JSON at column {column}"),
            }
        })?;
        if written.event.is_some() && written.outcome.is_none() {
            return Ok(Self::Event);
        }
        written.call(line.len())
    }
}

impl Written {
    fn call(self, size: usize) -> Result<Line, String> {
        let missing = |name: &str| format!("this is no decision: `{name}` is missing");
        let outcome = self.outcome.as_deref().ok_or_else(|| missing("outcome"))?;
        let outcome = outcome_of(outcome).ok_or("its `outcome` is none that this version knows")?;
        let time = self.time.as_deref().ok_or_else(|| missing("time"))?;
        let time = millis(time).ok_or("its `time` is none like 2026-01-31T23:59:59.999Z")?;
        let method = self.method.as_deref().ok_or_else(|| missing("method"))?;
        let server = self.server.clone().ok_or_else(|| missing("server"))?;
        let unjudged = matches!(outcome, Outcome::Invalid | Outcome::Unauthenticated)
            || method.starts_with('(')
            || matches!(method, "GET" | "DELETE");
        let Some(grant) = self.grant.clone().filter(|_| !unjudged) else {
            return Ok(Line::NotJudged);
        };
        let (count, last) = (self.count.unwrap_or(1), self.last.as_deref().and_then(millis));
        if !(1..=FOLDED_AT_MOST).contains(&count) {
            return Err(format!("its `count` is none from 1 to {FOLDED_AT_MOST}"));
        }
        let fate = self.fate(outcome);
        let store_ms = self.charges.iter().find_map(|charge| charge.store_ms);
        let asked = match (method, self.tool) {
            ("tools/call", Some(tool)) if is_cut(&tool) => Asked::Cut(tool),
            ("tools/call", Some(tool)) => Asked::Tool(tool),
            ("tools/call", None) => return Err(missing("tool")),
            (method, _) if is_cut(method) => Asked::Cut(method.to_owned()),
            (method, _) => Asked::Method(method.to_owned()),
        };
        let recorded = self.recorded.into_iter();
        let limits = self.charges.into_iter().filter(WrittenCharge::is_in_flight);
        Ok(Line::Call(Box::new(Call {
            at: store_ms.or(self.store_ms).unwrap_or(time),
            grant,
            server,
            session: self.session,
            asked,
            then: Then {
                outcome,
                rule: self.rule,
            },
            approval: self.approval.is_some(),
            fate,
            in_flight: limits.map(|charge| (charge.counter, charge.max)).collect(),
            argument_keys: self.argument_keys,
            recorded: recorded
                .map(|(path, json)| (path, json.get().to_owned()))
                .collect(),
            count,
            span_ms: last.unwrap_or(time).saturating_sub(time),
            mixed: self.mixed,
            size,
            late: false,
        })))
    }

    fn fate(&self, outcome: Outcome) -> Fate {
        if self.degraded || outcome == Outcome::StoreError {
            return Fate::NoStore;
        }
        let Some(upstream) = &self.upstream else {
            return Fate::Stands;
        };
        let charged = self.charges.iter().any(|charge| charge.store_ms.is_some());
        let sent = upstream.ms > 0.0;
        if !charged && !sent {
            return Fate::Never;
        }
        // a call without limits of its own has nothing to refund, but one with limits would have been refunded
        if upstream.refunded || (upstream.ended == "unsent" && !charged) {
            return Fate::Refunded {
                after_ms: whole_ms(upstream.ms),
            };
        }
        Fate::Stands
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded up, and held between 0 and a day before"
)]
fn whole_ms(ms: f64) -> u64 {
    ms.ceil().clamp(0.0, 86_400_000.0) as u64
}

fn is_cut(name: &str) -> bool {
    name.chars().nth(NAME_CHARS.saturating_sub(1)).is_some()
}

fn outcome_of(word: &str) -> Option<Outcome> {
    const ALL: [Outcome; 9] = [
        Outcome::Allowed,
        Outcome::Denied,
        Outcome::Hidden,
        Outcome::Limited,
        Outcome::NeedsApproval,
        Outcome::Invalid,
        Outcome::Unauthenticated,
        Outcome::StoreError,
        Outcome::UpstreamError,
    ];
    ALL.into_iter().find(|outcome| outcome.as_str() == word)
}
