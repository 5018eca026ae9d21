//! Denials, judged: something really did not fit, and does once the told time has passed.

use toolgate::counters::command::{Command, Fit, KeyCharge, KeyState, Outcome, Reply, Span};
use toolgate::counters::model::SLOTS;

use super::{Found, Judge, calendar, is_lease};

impl Judge<'_> {
    /// Limited: some charge must really not fit, within one slot where charges were merged.
    pub(super) fn justify(&self, command: &Command, reply: &Reply) -> Found {
        let needless = command.charges.iter().zip(&reply.states).find(|(charge, state)| {
            let slack = match charge.span {
                Span::Window { window } if self.merged(&charge.key) => window.div_ceil(SLOTS) - 1,
                _ => 0,
            };
            let used = self.used(charge, self.time(&charge.key), slack);
            let fits = used + u128::from(charge.weight) <= u128::from(charge.max);
            charge.bound.is_none() && state.fit != Fit::Now && fits
        });
        needless.map_or(Ok(()), |(charge, state)| {
            Err(format!("needless denial {state:?} of {charge:?}"))
        })
    }

    /// The retry time is exact: one ms earlier it is still denied, then it is admitted.
    pub(super) fn probe(&mut self, command: &Command, reply: &Reply) -> Found {
        if reply.outcome != Outcome::Limited {
            return Ok(());
        }
        let denying = command
            .charges
            .iter()
            .zip(&reply.states)
            .filter(|(charge, _)| !charge.advisory);
        let mut wait = 0;
        for (_, state) in denying {
            match state.fit {
                Fit::Now => {}
                Fit::After(ms) => wait = wait.max(ms),
                Fit::Never => return Ok(()),
            }
        }
        let now = self.now;
        // A value that fits now may have lost its key by then, and then shares the overflow key: so exact
        // is only what denies by itself. So may a value whose leases have all ended: of these nobody is told
        // an exact time.
        let fits = |(charge, state): (&KeyCharge, &KeyState)| {
            charge.bound.is_some() && (state.fit == Fit::Now || is_lease(charge))
        };
        let may_lapse = command.charges.iter().zip(&reply.states).any(fits);
        let probes = [
            (now + wait - 1, Outcome::Limited),
            (now + wait, Outcome::Admitted),
        ];
        for (at, expected) in probes.into_iter().take(if may_lapse { 1 } else { 2 }) {
            let mut look = Command {
                peek: true,
                deadline: 0,
                first_sent: 0,
                ..command.clone()
            };
            for charge in &mut look.charges {
                if let Span::Calendar { .. } = charge.span {
                    charge.span = calendar(self.window, at.max(self.time(&charge.key)));
                }
            }
            let found = self.rig.admit(at, &look)?.outcome;
            if found != expected {
                return Err(format!(
                    "retry after {wait}: {found:?} at {at}, now {now}: {command:?}"
                ));
            }
        }
        Ok(())
    }
}
