//! The store: the model behind the commands that the client sends, with a clock that steps.

use std::collections::BTreeMap;

use redis::{ErrorKind, RedisError, ServerErrorKind, Value};
use tokio::time::Instant;

use super::decode;
use crate::counters::CallId;
use crate::counters::command::{Command, Fit, KeyCharge, KeyState, Outcome};
use crate::counters::model::Model;
use crate::counters::wire;

/// A fault that is put in on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plant {
    None,
    /// The script judges whatever comes, however late.
    NoLateGuard,
    /// The script knows no id.
    NoIds,
    /// A resend is told the time of its answer, not of its charge.
    TimeOfTheAnswer,
    /// A denial tells a retry time a millisecond late.
    LateRetry,
}

impl Plant {
    /// Every fault.
    pub(super) const ALL: [Self; 4] = [
        Self::NoLateGuard,
        Self::NoIds,
        Self::TimeOfTheAnswer,
        Self::LateRetry,
    ];
}

/// What the store did, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Done {
    Charged {
        id: CallId,
        charge: KeyCharge,
        real_ms: u64,
    },
    TakenBack {
        id: CallId,
        key: String,
        real_ms: u64,
    },
    /// It was to be taken back, and not held.
    LookedFor {
        id: CallId,
        key: String,
    },
}

impl Done {
    pub(super) fn id(&self) -> CallId {
        match self {
            Self::Charged { id, .. } | Self::TakenBack { id, .. } | Self::LookedFor { id, .. } => *id,
        }
    }

    pub(super) fn key(&self) -> &str {
        match self {
            Self::Charged { charge, .. } => &charge.key,
            Self::TakenBack { key, .. } | Self::LookedFor { key, .. } => key,
        }
    }
}

/// Store time at the start.
pub(super) const START: u64 = 1_700_000_000_000;

pub(super) struct Server {
    model: Model,
    plant: Plant,
    began: Instant,
    step_ms: i64,
    known: Vec<String>,
    pub(super) done: Vec<Done>,
    pub(super) happened: BTreeMap<&'static str, u64>,
    /// What happened, in words, where somebody reads it.
    pub(super) told: Option<Vec<String>>,
}

impl Server {
    pub(super) fn new(plant: Plant, told: Option<Vec<String>>) -> Self {
        Self {
            model: Model::default(),
            plant,
            began: Instant::now(),
            step_ms: 0,
            known: Vec::new(),
            done: Vec::new(),
            happened: BTreeMap::new(),
            told,
        }
    }

    /// Writes a line of the tale of one seed.
    pub(super) fn tell(&mut self, what: impl FnOnce() -> String) {
        let real_ms = self.real_ms();
        if let Some(told) = &mut self.told {
            told.push(format!("{real_ms:>6} ms  {}", what()));
        }
    }

    pub(super) fn count(&mut self, what: &'static str) {
        *self.happened.entry(what).or_default() += 1;
    }

    /// Milliseconds since the start, whatever the clock says.
    pub(super) fn real_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap()
    }

    fn now(&self) -> u64 {
        (START + self.real_ms()).checked_add_signed(self.step_ms).unwrap()
    }

    pub(super) fn step(&mut self, ms: i64) {
        self.step_ms += ms;
        self.count(if ms > 0 { "clock ahead" } else { "clock back" });
        self.tell(|| format!("the store's clock steps by {ms} ms"));
    }

    pub(super) fn forget_scripts(&mut self) {
        self.known.clear();
        self.count("script forgotten");
        self.tell(|| "the store forgets its scripts".into());
    }

    /// Runs one command.
    pub(super) fn run(&mut self, words: &[Vec<u8>]) -> Result<Value, RedisError> {
        match words[0].as_slice() {
            b"TIME" => {
                let now = self.now();
                let text = |number: u64| Value::BulkString(number.to_string().into_bytes());
                Ok(Value::Array(vec![text(now / 1_000), text(now % 1_000 * 1_000)]))
            }
            b"PING" => Ok(Value::SimpleString("PONG".into())),
            b"SCRIPT" => {
                let sha = redis::Script::new(str::from_utf8(&words[2]).unwrap());
                self.known.push(sha.get_hash().to_owned());
                Ok(Value::SimpleString(sha.get_hash().to_owned()))
            }
            b"EVALSHA" => {
                let sha = str::from_utf8(&words[1]).unwrap().to_owned();
                if !self.known.contains(&sha) {
                    let kind = ErrorKind::Server(ServerErrorKind::NoScript);
                    return Err(RedisError::from((kind, "no matching script")));
                }
                let (keys, argv) = decode::keys_and_argv(words);
                let is = |script: &str| redis::Script::new(script).get_hash() == sha;
                Ok(integers(if is(wire::ADMIT) {
                    self.admit(decode::command(&keys, &argv))
                } else {
                    assert!(is(wire::REFUND), "another script");
                    self.refund(&keys, decode::id(&argv))
                }))
            }
            other => panic!("the client sends {:?}", String::from_utf8_lossy(other)),
        }
    }

    fn admit(&mut self, mut command: Command) -> Vec<i64> {
        if command.first_sent > 0 {
            self.count("resent");
        }
        match self.plant {
            Plant::NoLateGuard => command.deadline = 0,
            Plant::NoIds => command.first_sent = 0,
            _ => {}
        }
        let mut reply = self.model.admit(self.now(), &command);
        let (id, first_sent, peek, outcome) = (command.id, command.first_sent, command.peek, reply.outcome);
        let keys: Vec<_> = command.charges.iter().map(|charge| tail(&charge.key)).collect();
        self.tell(|| {
            let kind = if peek {
                "look"
            } else if first_sent > 0 {
                "resend"
            } else {
                "admit"
            };
            format!("the store runs {kind} of {id} on {keys:?}: {outcome:?}")
        });
        match reply.outcome {
            Outcome::Admitted if !command.peek => {
                let (id, real_ms) = (command.id, self.real_ms());
                let charged = command.charges.into_iter();
                self.done
                    .extend(charged.map(|charge| Done::Charged { id, charge, real_ms }));
            }
            Outcome::Already => self.count("already"),
            Outcome::Late => self.count("late"),
            Outcome::InDoubt => self.count("in doubt"),
            _ => {}
        }
        match self.plant {
            Plant::TimeOfTheAnswer => reply.charged = 0,
            Plant::LateRetry => reply.states.iter_mut().for_each(later),
            _ => {}
        }
        decode::integers(&reply)
    }

    fn refund(&mut self, keys: &[String], id: CallId) -> Vec<i64> {
        let mut removed = 0;
        for key in keys {
            let held = self.model.refund(std::slice::from_ref(key), id) > 0;
            let (key, real_ms) = (key.clone(), self.real_ms());
            self.done.push(if held {
                removed += 1;
                Done::TakenBack { id, key, real_ms }
            } else {
                Done::LookedFor { id, key }
            });
        }
        if removed > 0 {
            self.count("undone");
        }
        self.tell(|| format!("the store takes {id} back on {removed} of {} keys", keys.len()));
        vec![removed, i64::try_from(self.now()).unwrap()]
    }
}

fn later(state: &mut KeyState) {
    if let Fit::After(ms) = &mut state.fit {
        *ms += 1;
    }
}

/// Of a key, what tells it from others.
fn tail(key: &str) -> String {
    key.get(key.len().saturating_sub(4)..).unwrap_or(key).to_owned()
}

fn integers(integers: Vec<i64>) -> Value {
    Value::Array(integers.into_iter().map(Value::Int).collect())
}
