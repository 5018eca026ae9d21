//! What one call offers to conditions. Its arguments are read once, when the first rule asks.

use std::borrow::Cow;
use std::cell::OnceCell;

use super::claims::Claims;
use super::decide::Call;
use super::json::Json;
use super::types::Caller;

pub(super) struct Facts<'c> {
    pub(super) tool: Json<'c>,
    pub(super) grant: Json<'c>,
    pub(super) claims: Option<&'c Claims>,
    raw: Option<&'c str>,
    arguments: OnceCell<Option<Json<'c>>>,
}

impl<'c> Facts<'c> {
    pub(super) fn new(caller: &Caller<'c>, call: &Call<'c>) -> Self {
        Self {
            tool: Json::Text(Cow::Borrowed(call.tool)),
            grant: Json::Text(Cow::Borrowed(caller.grant)),
            claims: caller.claims,
            raw: call.arguments,
            arguments: OnceCell::new(),
        }
    }

    /// The arguments, always an object; absent ones count as `{}`. `None` where they are no object
    /// that every reader reads alike.
    pub(super) fn arguments(&self) -> Option<&Json<'c>> {
        let read = || match self.raw {
            None => Some(Json::Object(Vec::new())),
            Some(raw) => Json::read(raw).filter(|value| matches!(value, Json::Object(_))),
        };
        self.arguments.get_or_init(read).as_ref()
    }
}
