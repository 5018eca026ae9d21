//! Leases, judged: how many are live at once, and which are renewed.

use toolgate::counters::CallId;
use toolgate::counters::command::{Command, Held, KeyCharge, Span};

use super::{Found, Judge};

impl Judge<'_> {
    /// Admitted: never more than `max` leases are live at once, and no call holds two.
    pub(super) fn take(&mut self, charge: &KeyCharge, id: CallId) -> Found {
        if self.leases.is_live(self.now, charge, id) {
            return Err(format!("{id:?} was charged twice"));
        }
        let ends = self.leases.hold(self.now, charge, id);
        self.keeps(charge, ends);
        let live = self.leases.live(self.now, charge);
        if live > charge.max {
            return Err(format!("{live} of {} at once on {}", charge.max, charge.key));
        }
        Ok(())
    }

    /// The key stays until its latest lease has ended.
    fn keeps(&mut self, charge: &KeyCharge, ends: u64) {
        let expiry = self.expiries.entry(charge.key.clone()).or_default();
        *expiry = (*expiry).max(ends + 1);
    }

    /// Renewed are exactly the leases that are live; a lapsed one is another call's by now.
    pub(super) fn renew(&mut self, command: &Command) -> Found {
        self.pass();
        let held = command.charges.iter().map(|charge| match charge.span {
            Span::Lease { ttl } => Held {
                key: charge.key.clone(),
                bound: charge.bound.clone(),
                ttl,
            },
            _ => panic!("only leases are renewed"),
        });
        let held: Vec<Held> = held.collect();
        let live = self.rig.renew(self.now, command.id, &held);
        if let Some(model) = &mut self.model {
            let expected = model.renew(self.now, command.id, &held);
            if expected != live {
                return Err(format!(
                    "renewal at {}: model {expected:?}, script {live:?}: {command:?}",
                    self.now
                ));
            }
        }
        for (charge, live) in command.charges.iter().zip(live) {
            let surely = self.leases.is_live(self.now, charge, command.id);
            if surely && !live || live && !surely && charge.bound.is_none() {
                return Err(format!(
                    "renewal of {charge:?} at {}: live {surely}, renewed {live}",
                    self.now
                ));
            }
            if live {
                let ends = self.leases.hold(self.now, charge, command.id);
                self.keeps(charge, ends);
            }
        }
        Ok(())
    }
}
