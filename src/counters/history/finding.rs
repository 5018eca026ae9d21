//! One fault of a history, with the place where it shows.

use std::fmt;

use super::{Event, What};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// A window holds more than `max`.
    WindowExceeded,
    /// One id was charged twice on one key.
    ChargedTwice,
    /// A call was denied, and charged on this or another key.
    ChargedThoughDenied,
    /// A charge was taken back twice.
    RefundedTwice,
    /// What was taken back was not held.
    RefundedUnknown,
    /// The charge would have fitted.
    DeniedNeedlessly,
    /// No window came as close to `max` as the demand would have it.
    MaxNotReached,
}

/// A fault and the window in which it shows.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    pub fault: Fault,
    pub key: String,
    /// First and last moment of the window or of the pair of lines, store time in ms.
    pub from_ms: u64,
    pub to_ms: u64,
    /// What the window holds, and what it may hold.
    pub sum: u64,
    pub max: u64,
    /// The newest charges of the window, at most 20, oldest first.
    pub charges: Vec<Shown>,
}

/// One charge as a finding shows it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Shown {
    pub id: String,
    pub t_ms: u64,
    pub charge: u64,
    pub replica: String,
}

impl Shown {
    pub(super) fn new(id: u64, t_ms: u64, charge: u64, replica: &str) -> Self {
        Self {
            id: format!("{id:016x}"),
            t_ms,
            charge,
            replica: replica.to_owned(),
        }
    }
}

impl Finding {
    /// A fault of two lines of one id: this event and an earlier one.
    pub(super) fn of(fault: Fault, event: &Event, earlier_ms: u64) -> Self {
        let (charge, max) = match event.what {
            What::Admission(wanted) | What::Denial(wanted) => (wanted.charge, wanted.max),
            What::Refund => (0, 0),
        };
        Self {
            fault,
            key: event.key.clone(),
            from_ms: earlier_ms.min(event.t_ms),
            to_ms: event.t_ms.max(earlier_ms),
            sum: charge,
            max,
            charges: vec![Shown::new(event.id, event.t_ms, charge, &event.replica)],
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            from_ms,
            to_ms,
            sum,
            max,
            ..
        } = self;
        let id = self.charges.first().map_or("", |shown| shown.id.as_str());
        match self.fault {
            Fault::WindowExceeded => {
                write!(
                    f,
                    "key `{key}`: {sum} of {max} charged from {from_ms} to {to_ms} ms"
                )?;
                for Shown {
                    id,
                    t_ms,
                    charge,
                    replica,
                } in &self.charges
                {
                    write!(f, "\n    {t_ms} ms  id {id}  charge {charge}  replica {replica}")?;
                }
                Ok(())
            }
            Fault::ChargedTwice => write!(
                f,
                "key `{key}`: id {id} was charged at {from_ms} and again at {to_ms} ms"
            ),
            Fault::ChargedThoughDenied => write!(
                f,
                "key `{key}`: id {id} was denied and yet charged (lines of {from_ms} and {to_ms} ms)"
            ),
            Fault::RefundedTwice => {
                write!(f, "key `{key}`: id {id} was refunded twice (again at {to_ms} ms)")
            }
            Fault::RefundedUnknown => write!(
                f,
                "key `{key}`: id {id} was refunded at {to_ms} ms but was not held"
            ),
            Fault::DeniedNeedlessly => write!(
                f,
                "key `{key}`: id {id} was denied at {to_ms} ms although {sum} of {max} were used since {from_ms} ms"
            ),
            Fault::MaxNotReached => write!(
                f,
                "key `{key}`: the fullest window, from {from_ms} to {to_ms} ms, holds {sum} of {max}"
            ),
        }
    }
}
