//! The scripts' interface in bytes: a [`Command`] as KEYS and ARGV, a [`Reply`] from integers.

use super::command::{Bound, Command, Fit, Held, KeyCharge, KeyState, Outcome, Reply, Span};
use super::{CallId, StoreError};

/// `lua/admit.lua`: judges all charges of a call and makes all or none.
pub const ADMIT: &str = include_str!("../../lua/admit.lua");
/// `lua/refund.lua`: takes a call's charges or leases back.
pub const REFUND: &str = include_str!("../../lua/refund.lua");
/// `lua/renew.lua`: extends a call's leases.
pub const RENEW: &str = include_str!("../../lua/renew.lua");

/// ARGV before the charges: id, call, clock.
pub const FIXED_ARGV: usize = 3;
/// Integers of a reply before the states: outcome, now.
const FIXED_REPLY: usize = 2;
/// Integers of one state: left, frees, wait.
const STATE: usize = 3;

/// The script's KEYS: one for each charge, then overflow and index of each bounded one.
pub fn keys(command: &Command) -> Vec<&str> {
    with_companions(
        command
            .charges
            .iter()
            .map(|charge| (&charge.key, charge.bound.as_ref())),
    )
}

/// The KEYS of `lua/renew.lua`, in the same order.
pub fn renew_keys(leases: &[Held]) -> Vec<&str> {
    with_companions(leases.iter().map(|lease| (&lease.key, lease.bound.as_ref())))
}

fn with_companions<'k>(keys: impl Iterator<Item = (&'k String, Option<&'k Bound>)> + Clone) -> Vec<&'k str> {
    let own = keys.clone().map(|(key, _)| key.as_str());
    let bounds = keys.filter_map(|(_, bound)| bound);
    own.chain(bounds.flat_map(|bound| [bound.overflow.as_str(), bound.index.as_str()]))
        .collect()
}

/// The ARGV of `lua/renew.lua`. `clock` replaces the store's clock in tests, in ms.
pub fn renew_argv(id: CallId, leases: &[Held], clock: Option<u64>) -> Vec<Vec<u8>> {
    let clock = clock.map(|ms| ms.to_string().into_bytes()).unwrap_or_default();
    let mut argv = vec![id.0.to_vec(), clock];
    argv.extend(leases.iter().map(|lease| {
        let mut bytes = vec![u8::from(lease.bound.is_some()) << 1];
        put::<6>(&mut bytes, lease.ttl);
        bytes
    }));
    argv
}

/// What `lua/renew.lua` answered for `leases` leases: the store's time in ms, and which were live.
///
/// # Errors
/// [`StoreError::Protocol`] for anything but the documented form.
pub fn renewed(integers: &[u64], leases: usize) -> Result<(u64, Vec<bool>), StoreError> {
    match integers {
        [now, live @ ..] if live.len() == leases && live.iter().all(|live| *live <= 1) => {
            Ok((*now, live.iter().map(|live| *live == 1).collect()))
        }
        _ => Err(StoreError::Protocol("a reply of another form than renew.lua's")),
    }
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
    let life = |length: u64, times: u64| length.saturating_add(1).saturating_mul(times).to_string();
    match charge.span {
        Span::Window { window } if charge.bound.is_some() => bytes.extend(life(window, 2).into_bytes()),
        Span::Window { window: length } | Span::Lease { ttl: length } => {
            bytes.extend(life(length, 1).into_bytes());
        }
        Span::Calendar { .. } => {}
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
    let mut reply = Reply::plain(outcome, now);
    let rest = match (outcome, rest) {
        (Outcome::Already, [rest @ .., charged]) => {
            reply.charged = number(*charged).ok_or(bad.clone())?;
            rest
        }
        _ => rest,
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

    #[test]
    fn the_scripts_are_pinned_so_that_a_change_of_them_is_seen_in_review() {
        let sha = |script: &str| redis::Script::new(script).get_hash().to_owned();
        assert_eq!(
            (sha(ADMIT).as_str(), FIXED_ARGV),
            ("797a24d1492e05a13bd6144fbedc4455c20c4436", 3)
        );
        assert_eq!(sha(REFUND), "6fda70d1f5fe9b254e4a35c99d4ee1980c59d822");
        assert_eq!(sha(RENEW), "d16a6d41a530d8be9267c117287bc54f005877bc");
    }

    #[test]
    fn a_command_has_one_argument_for_each_charge_and_two_more_keys_for_each_bound() {
        let bound = Bound {
            overflow: "o".into(),
            index: "x".into(),
            max_values: 5,
        };
        let window = |key: &str, bound| KeyCharge {
            weight: 0x0102,
            max: 10,
            bound,
            ..KeyCharge::one(key, Span::Window { window: 60_000 })
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
    fn a_renewal_has_the_companions_of_bounded_leases_behind_all_keys() {
        let bound = Bound {
            overflow: "o".into(),
            index: "x".into(),
            max_values: 5,
        };
        let lease = |key: &str, bound| Held {
            key: key.into(),
            bound,
            ttl: 0x0102,
        };
        let leases = [lease("a", Some(bound)), lease("b", None)];
        assert_eq!(renew_keys(&leases), ["a", "b", "o", "x"]);
        let argv = renew_argv(CallId([7; 8]), &leases, None);
        assert_eq!(argv[1], b"");
        assert_eq!(argv[2], [2, 0, 0, 0, 0, 1, 2]);
        assert_eq!(argv[3], [0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(renewed(&[9, 1, 0], 2), Ok((9, vec![true, false])));
        for odd in [&[][..], &[9], &[9, 1], &[9, 1, 2], &[9, 1, 0, 0]] {
            assert!(renewed(odd, 2).is_err(), "{odd:?}");
        }
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
            &[2, 1, 5, 0, 0],
            &[2, 1, 5, 0, 0, -1],
            &[1, 1, 5, 0, 0, 1],
        ] {
            assert!(reply(integers, 1).is_err(), "{integers:?}");
        }
        assert!(reply(&[1, 1, 5, 0, 0], 1).is_ok());
        assert_eq!(reply(&[2, 9, 5, 0, 0, 7], 1).map(|reply| reply.charged), Ok(7));
    }
}
