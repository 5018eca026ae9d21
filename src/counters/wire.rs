//! The script's interface in bytes: a [`Command`] as KEYS and ARGV, a [`Reply`] from integers.

use super::StoreError;
use super::command::{Command, Fit, KeyCharge, KeyState, Outcome, Reply, Span};

/// `lua/admit.lua`: judges all charges of a call and makes all or none.
pub const ADMIT: &str = include_str!("../../lua/admit.lua");
/// `lua/refund.lua`: takes a call's charges back.
pub const REFUND: &str = include_str!("../../lua/refund.lua");

/// ARGV before the charges: id, call, clock.
pub const FIXED_ARGV: usize = 3;
/// Integers of a reply before the states: outcome, now.
const FIXED_REPLY: usize = 2;
/// Integers of one state: left, frees, wait.
const STATE: usize = 3;

/// The script's KEYS: one for each charge, then overflow and index of each bounded one.
pub fn keys(command: &Command) -> Vec<&str> {
    let own = command.charges.iter().map(|charge| charge.key.as_str());
    let bounds = command.charges.iter().filter_map(|charge| charge.bound.as_ref());
    own.chain(bounds.flat_map(|bound| [bound.overflow.as_str(), bound.index.as_str()]))
        .collect()
}

/// The script's ARGV. `clock` replaces the store's clock in tests, in ms.
pub fn argv(command: &Command, clock: Option<u64>) -> Vec<Vec<u8>> {
    let mut call = Vec::with_capacity(13);
    put::<6>(&mut call, command.deadline);
    put::<6>(&mut call, command.first_sent);
    call.push(u8::from(command.peek));
    let clock = clock.map(|ms| ms.to_string().into_bytes()).unwrap_or_default();
    let mut argv = vec![command.id.0.to_vec(), call, clock];
    argv.extend(command.charges.iter().map(charge));
    argv
}

fn charge(charge: &KeyCharge) -> Vec<u8> {
    let (kind, a, b) = match charge.span {
        Span::Window { window } => (1, window, 0),
        Span::Calendar { start, end } => (2, start, end),
        Span::Lease { ttl } => (3, ttl, 0),
    };
    let mut bytes = Vec::with_capacity(48);
    bytes.push(kind);
    bytes.push(u8::from(charge.advisory) | (u8::from(charge.bound.is_some()) << 1));
    put::<7>(&mut bytes, charge.weight);
    put::<7>(&mut bytes, charge.max);
    put::<6>(&mut bytes, a);
    put::<6>(&mut bytes, b);
    let max_values = charge
        .bound
        .as_ref()
        .map_or(0, |bound| u64::from(bound.max_values));
    put::<4>(&mut bytes, max_values);
    // Lua writes a number as text slowly: the usual expiry comes written.
    if let Span::Window { window } = charge.span {
        let windows = if charge.bound.is_some() { 2 } else { 1 };
        bytes.extend(
            window
                .saturating_add(1)
                .saturating_mul(windows)
                .to_string()
                .into_bytes(),
        );
    }
    bytes
}

/// The low `N` bytes, highest first. Callers keep values in range: [`super::command::MAX_UNITS`] and
/// [`super::command::MAX_WINDOW_MS`]; store times have 48 bits until the year 10889.
fn put<const N: usize>(bytes: &mut Vec<u8>, value: u64) {
    bytes.extend(value.to_be_bytes().into_iter().skip(8_usize.saturating_sub(N)));
}

/// Reads the script's integers for a command of `charges` charges.
///
/// # Errors
/// [`StoreError::Protocol`] for anything but the documented form.
pub fn reply(integers: &[i64], charges: usize) -> Result<Reply, StoreError> {
    let bad = StoreError::Protocol("a reply of another form than admit.lua's");
    let mut numbers = integers.iter().copied();
    let outcome = numbers.next().and_then(outcome).ok_or(bad.clone())?;
    let now = numbers.next().and_then(number).ok_or(bad.clone())?;
    let rest = integers.get(FIXED_REPLY..).unwrap_or_default();
    let mut reply = Reply {
        outcome,
        now,
        states: Vec::new(),
        times: Vec::new(),
    };
    match outcome {
        Outcome::Limited | Outcome::Admitted | Outcome::Already => {
            reply.states = rest
                .chunks_exact(STATE)
                .map(state)
                .collect::<Option<_>>()
                .ok_or(bad.clone())?;
            let whole = rest.len().checked_rem(STATE) == Some(0);
            (whole && reply.states.len() == charges)
                .then_some(reply)
                .ok_or(bad)
        }
        Outcome::Stale => {
            reply.times = rest
                .iter()
                .copied()
                .map(number)
                .collect::<Option<_>>()
                .ok_or(bad.clone())?;
            (reply.times.len() == charges).then_some(reply).ok_or(bad)
        }
        Outcome::InDoubt | Outcome::Late | Outcome::Unsupported => {
            rest.is_empty().then_some(reply).ok_or(bad)
        }
    }
}

const fn outcome(integer: i64) -> Option<Outcome> {
    Some(match integer {
        0 => Outcome::Limited,
        1 => Outcome::Admitted,
        2 => Outcome::Already,
        3 => Outcome::InDoubt,
        4 => Outcome::Late,
        5 => Outcome::Stale,
        6 => Outcome::Unsupported,
        _ => return None,
    })
}

fn number(integer: i64) -> Option<u64> {
    u64::try_from(integer).ok()
}

fn state(integers: &[i64]) -> Option<KeyState> {
    let &[left, frees_ms, wait] = integers else {
        return None;
    };
    let fit = match wait {
        0 => Fit::Now,
        -1 => Fit::Never,
        ms => Fit::After(number(ms)?),
    };
    Some(KeyState {
        left: number(left)?,
        frees_ms: number(frees_ms)?,
        fit,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::CallId;
    use crate::counters::command::Bound;

    #[test]
    fn the_scripts_are_pinned_so_that_a_change_of_them_is_seen_in_review() {
        let sha = |script: &str| redis::Script::new(script).get_hash().to_owned();
        assert_eq!(
            (sha(ADMIT).as_str(), FIXED_ARGV),
            ("f316bd5d88363aababcd120a27cfa45ea1d67c31", 3)
        );
        assert_eq!(sha(REFUND), "0c39ff5664863e441487587e58149236f38fffa3");
    }

    #[test]
    fn a_command_has_one_argument_for_each_charge_and_two_more_keys_for_each_bound() {
        let bound = Bound {
            overflow: "o".into(),
            index: "x".into(),
            max_values: 5,
        };
        let window = |key: &str, bound| KeyCharge {
            key: key.into(),
            span: Span::Window { window: 60_000 },
            weight: 0x0102,
            max: 10,
            advisory: false,
            bound,
        };
        let charges = vec![window("a", Some(bound)), window("b", None)];
        let command = Command {
            id: CallId([7; 8]),
            deadline: 1,
            first_sent: 2,
            peek: true,
            charges,
        };
        assert_eq!(keys(&command), ["a", "b", "o", "x"]);
        let argv = argv(&command, None);
        assert_eq!(argv.len(), FIXED_ARGV + 2);
        assert_eq!(argv[1], [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 1]);
        assert_eq!(argv[2], b"");
        assert_eq!(argv[3][..9], [1, 2, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(&argv[3][28..], b"\0\0\0\x05120002");
        assert_eq!(&argv[4][28..], b"\0\0\0\x0060001");
    }

    #[test]
    fn a_reply_of_another_form_is_refused() {
        for integers in [
            &[][..],
            &[1],
            &[9, 1],
            &[1, 1],
            &[1, 1, 5, 0],
            &[1, 1, -5, 0, 0],
            &[0, 1, 5, 0, -2],
            &[4, 1, 1],
            &[5, 1],
            &[1, -1, 5, 0, 0],
        ] {
            assert!(reply(integers, 1).is_err(), "{integers:?}");
        }
        assert!(reply(&[1, 1, 5, 0, 0], 1).is_ok());
    }
}
