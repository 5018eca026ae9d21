//! What one call offers to conditions. Its arguments are read once, when the first rule asks.

use std::borrow::Cow;
use std::cell::OnceCell;

use super::claims::Claims;
use super::decide::Call;
use super::json::Json;
use super::known::OnRecord;
use super::path::{Doubt, Path};
use super::types::Caller;

pub(super) struct Facts<'c> {
    pub(super) tool: Json<'c>,
    pub(super) grant: Json<'c>,
    pub(super) claims: Option<&'c Claims>,
    raw: Option<&'c str>,
    arguments: OnceCell<Option<Json<'c>>>,
    /// Of a call that is only on record: what is known of it.
    known: Option<&'c OnRecord<'c>>,
}

impl<'c> Facts<'c> {
    pub(super) fn new(caller: &Caller<'c>, call: &Call<'c>) -> Self {
        Self {
            tool: Json::Text(Cow::Borrowed(call.tool)),
            grant: Json::Text(Cow::Borrowed(caller.grant)),
            claims: caller.claims,
            raw: call.arguments,
            arguments: OnceCell::new(),
            known: None,
        }
    }

    /// A call of which a record is all that there is.
    pub(super) fn on_record(caller: &Caller<'c>, call: &Call<'c>, known: &'c OnRecord<'c>) -> Self {
        Self {
            known: Some(known),
            ..Self::new(caller, call)
        }
    }

    /// The arguments, always an object; absent ones count as `{}`. `None` where they are no object
    /// that every reader reads alike.
    pub(super) fn arguments(&self) -> Option<&Json<'c>> {
        let read = || match (self.known, self.raw) {
            (Some(known), _) => Some(known.arguments()),
            (None, None) => Some(Json::Object(Vec::new())),
            (None, Some(raw)) => Json::read(raw).filter(|value| matches!(value, Json::Object(_))),
        };
        self.arguments.get_or_init(read).as_ref()
    }

    /// All arguments, for a rule that reads every one of them.
    ///
    /// # Errors
    /// As [`Facts::arguments`], and where not all of them are on record.
    pub(super) fn whole(&self) -> Result<&Json<'c>, Doubt> {
        if self.known.is_some_and(|known| !known.is_whole()) {
            return Err(Doubt::Unrecorded);
        }
        self.arguments().ok_or(Doubt::Unread)
    }

    /// Asks whether it is known what a path leads to; `presence`: only whether something is there.
    ///
    /// # Errors
    /// Where it is not on record.
    pub(super) fn tells(&self, path: &Path, presence: bool) -> Result<(), Doubt> {
        match self.known {
            Some(known) if !known.tells(path, presence) => Err(Doubt::Unrecorded),
            _ => Ok(()),
        }
    }

    /// Whether the rule that is being tried asked for what is not on record.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.known.is_some_and(OnRecord::is_in_doubt)
    }
}
