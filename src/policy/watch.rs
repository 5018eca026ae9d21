//! Seeing a decision being made: `explain` watches, the proxy does not.

use super::compiled::{Asking, Block, Entry, Method, Policy, Rated, Rule};
use super::types::{Ask, Charge, Denial};

/// One rule that was tried.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tried<'p> {
    /// `hide` and `default`, with the entry that applies.
    Known(Option<&'p Entry>),
    /// The entry's `action`.
    Action(&'p Entry),
    Arguments(&'p Rule),
    Require(&'p Block),
    DenyIf(&'p Block),
    /// The entry's `action: require_approval`.
    Ask(&'p Entry),
    ApproveIf(&'p Asking),
    Limit(&'p Rated),
    /// What `methods` says about a method other than `tools/call`; `None`: the `default` decides.
    Method(Option<&'p Method>),
}

/// What a rule said.
#[derive(Clone, Copy, Debug)]
pub(super) enum Said<'d> {
    Passed,
    /// The limit asks for this charge.
    Charges(&'d Charge),
    /// A person must agree.
    Asks(&'d Ask),
    Refused(&'d Denial),
    /// It would have refused, but is in shadow.
    Noted(&'d Denial),
}

/// Sees every rule, in the order in which they are tried.
pub(super) trait Watch<'p> {
    fn tried(&mut self, policy: &'p Policy, tried: Tried<'p>, said: Said<'_>);
}

/// Looks away.
pub(super) struct Unwatched;

impl Watch<'_> for Unwatched {
    #[inline]
    fn tried(&mut self, _: &Policy, _: Tried<'_>, _: Said<'_>) {}
}
