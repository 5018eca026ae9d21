//! The scripts' interface in bytes: what the model is told as KEYS and ARGV, and what they answer.

use redis::{FromRedisValue, Value};

use super::approval::ApprovalId;
use super::model::{Change, Found, KEPT_AT_MOST, Open, WAITING_AT_MOST, Written};
use crate::counters::StoreError;
use crate::counters::keys::approval_key;

/// `lua/approval_open.lua`: opens a request.
pub const OPEN: &str = include_str!("../../lua/approval_open.lua");
/// `lua/approval_change.lua`: puts one record in another's place.
pub const CHANGE: &str = include_str!("../../lua/approval_change.lua");
/// `lua/approval_read.lua`: looks at requests.
pub const READ: &str = include_str!("../../lua/approval_read.lua");

/// A test's time and server in the place of the store's own.
pub type Pretended<'t> = Option<(u64, &'t str)>;

/// The names of the keys.
#[derive(Clone, Debug)]
pub struct Names {
    prefix: String,
}

impl Names {
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    fn key(&self, of: &str, name: &str) -> String {
        approval_key(&self.prefix, of, name)
    }

    pub fn record(&self, id: ApprovalId) -> String {
        self.key("record", &id.to_string())
    }

    fn arguments(&self, id: ApprovalId) -> String {
        self.key("arguments", &id.to_string())
    }

    pub fn call(&self, call: &str) -> String {
        self.key("call", call)
    }

    /// What waited on a server that has gone takes no places.
    fn waiting(&self, grant: &str, run: &str) -> String {
        self.key("waiting", &format!("{run} {grant}"))
    }

    pub fn all(&self) -> String {
        self.key("all", "")
    }

    pub fn not_ended(&self) -> String {
        self.key("open", "")
    }

    pub fn changes(&self) -> String {
        self.key("changes", "")
    }

    /// The KEYS of `lua/approval_open.lua`.
    pub fn open(&self, open: &Open) -> [String; 7] {
        [
            self.record(open.id),
            self.arguments(open.id),
            self.call(&open.call),
            self.waiting(&open.grant, &open.run),
            self.all(),
            self.not_ended(),
            self.changes(),
        ]
    }

    /// The KEYS of `lua/approval_change.lua`.
    pub fn change(&self, change: &Change) -> [String; 5] {
        [
            self.record(change.id),
            self.arguments(change.id),
            self.waiting(&change.grant, &change.run),
            self.not_ended(),
            self.changes(),
        ]
    }

    /// The KEYS of `lua/approval_read.lua`.
    pub fn read(&self, ids: &[ApprovalId]) -> Vec<String> {
        let of_each = ids.iter().flat_map(|id| [self.record(*id), self.arguments(*id)]);
        std::iter::once(self.changes()).chain(of_each).collect()
    }
}

/// The ARGV of `lua/approval_open.lua`.
pub fn open_argv(open: &Open, pretended: Pretended<'_>) -> Vec<Vec<u8>> {
    let (clock, run) = own_or(pretended);
    let instead_of = open.instead_of.map(|id| id.to_string()).unwrap_or_default();
    vec![
        open.id.to_string().into_bytes(),
        clock,
        run,
        open.record.clone(),
        open.arguments.clone(),
        instead_of.into_bytes(),
        open.run.clone().into_bytes(),
        number(open.expires_ms),
        number(open.drops_ms),
        WAITING_AT_MOST.to_string().into_bytes(),
        KEPT_AT_MOST.to_string().into_bytes(),
    ]
}

/// The ARGV of `lua/approval_change.lua`.
pub fn change_argv(change: &Change, pretended: Pretended<'_>) -> Vec<Vec<u8>> {
    let (clock, run) = own_or(pretended);
    let flags = u8::from(change.decided) | (u8::from(change.ended) << 1);
    vec![
        change.id.to_string().into_bytes(),
        clock,
        run,
        change.from.clone(),
        change.to.clone(),
        change.run.clone().into_bytes(),
        number(change.since_ms),
        number(change.until_ms),
        flags.to_string().into_bytes(),
        number(change.expires_ms),
    ]
}

/// The ARGV of `lua/approval_read.lua`.
pub fn read_argv(pretended: Pretended<'_>) -> Vec<Vec<u8>> {
    let (clock, run) = own_or(pretended);
    vec![clock, run]
}

fn own_or(pretended: Pretended<'_>) -> (Vec<u8>, Vec<u8>) {
    pretended.map_or_else(Default::default, |(clock, run)| {
        (number(clock), run.as_bytes().to_vec())
    })
}

fn number(number: u64) -> Vec<u8> {
    number.to_string().into_bytes()
}

/// What either writing script answered, and the store's time in ms.
///
/// # Errors
/// [`StoreError::Protocol`] for anything but the documented form.
pub fn written(value: Value) -> Result<(Written, u64), StoreError> {
    const BAD: StoreError = StoreError::Protocol("a reply of another form than the approvals' scripts'");
    let (outcome, now) = <(i64, i64)>::from_redis_value(value).map_err(|_| BAD)?;
    let now = u64::try_from(now).map_err(|_| BAD)?;
    let written = match outcome {
        0 => Written::Differs,
        1 => Written::Done,
        2 => Written::Untimely,
        3 => Written::Full,
        4 => Written::OtherRun,
        _ => return Err(BAD),
    };
    Ok((written, now))
}

/// What `lua/approval_read.lua` answered for so many ids: the store's time in ms, its server, what was found.
///
/// # Errors
/// [`StoreError::Protocol`] for anything but the documented form.
pub fn read(value: Value, ids: usize) -> Result<(u64, String, Vec<Found>), StoreError> {
    const BAD: StoreError = StoreError::Protocol("a reply of another form than approval_read.lua's");
    let Value::Array(values) = value else {
        return Err(BAD);
    };
    let mut values = values.into_iter();
    let now = i64::from_redis_value(values.next().ok_or(BAD)?).map_err(|_| BAD)?;
    let now = u64::try_from(now).map_err(|_| BAD)?;
    let run = String::from_redis_value(values.next().ok_or(BAD)?).map_err(|_| BAD)?;
    let bytes = |value: Value| Option::<Vec<u8>>::from_redis_value(value).map_err(|_| BAD);
    let mut found = Vec::with_capacity(ids);
    while let Some(record) = values.next() {
        found.push(Found {
            record: bytes(record)?,
            arguments: bytes(values.next().ok_or(BAD)?)?,
        });
    }
    if found.len() == ids {
        Ok((now, run, found))
    } else {
        Err(BAD)
    }
}

#[cfg(test)]
mod tests {
    use super::{CHANGE, Names, OPEN, READ, read, written};
    use crate::approvals::ApprovalId;
    use redis::Value;

    #[test]
    fn the_scripts_are_pinned_so_that_a_change_of_them_is_seen_in_review() {
        let sha = |script: &str| redis::Script::new(script).get_hash().to_owned();
        assert_eq!(sha(OPEN), "27b21cfa85185e1fc464b012fd1bc5715d316dc1");
        assert_eq!(sha(CHANGE), "10d4618c6e0797f0a3bda0b458478a2ebc1944b8");
        assert_eq!(sha(READ), "d3d51de44f8b0927c0ed42be488e62caf6c68689");
    }

    #[test]
    fn all_keys_share_a_slot_and_show_nothing_of_the_call() {
        let names = Names::new("p");
        let tag = |key: &str| key.split_once('}').unwrap().0.to_owned();
        let keys = [
            names.all(),
            names.changes(),
            names.call("secret"),
            names.waiting("grant", "run"),
        ];
        for key in keys {
            assert_eq!(tag(&key), tag(&names.record(ApprovalId::random().unwrap())));
            assert!(!key.contains("secret") && !key.contains("grant"), "{key}");
        }
    }

    #[test]
    fn replies_of_another_form_are_refused() {
        let integers = |numbers: &[i64]| Value::Array(numbers.iter().map(|n| Value::Int(*n)).collect());
        for odd in [&[][..], &[1], &[5, 1], &[1, -1], &[1, 1, 1]] {
            assert!(written(integers(odd)).is_err(), "{odd:?}");
        }
        assert!(read(Value::Nil, 0).is_err());
        assert!(read(integers(&[1]), 0).is_err());
        let one = Value::Array(vec![Value::Int(1), Value::BulkString(b"r".to_vec()), Value::Nil]);
        assert!(read(one, 1).is_err());
    }
}
