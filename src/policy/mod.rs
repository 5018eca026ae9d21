//! Policies: as written → compiled → decided. Pure: no I/O, no clock.
//!
//! [`load`] reads a policy file into a sealed [`Policy`], or returns every problem in it with its
//! place. [`plan_tool`] turns a call into a refusal or a list of charges; the store answers; turning
//! that answer into a [`Denial`] ([`limited`], [`store_unavailable`]) is pure again.

mod against;
mod arguments;
mod block;
mod canonical;
mod charging;
mod claims;
mod compile;
mod compiled;
mod condition;
mod conform;
mod decide;
mod diff;
mod digest;
mod explain;
mod facts;
mod fold;
mod folder;
mod glob;
mod held;
mod json;
mod known;
mod language;
mod lint;
mod load;
mod methods;
mod names;
mod number;
mod path;
mod pattern;
mod pins;
mod recorded;
mod refusal;
mod schema;
mod shape;
mod spelling;
mod strictness;
mod suggest;
mod together;
mod types;
mod watch;
mod window;
mod written;

pub use canonical::canonical;
pub use claims::Claims;
pub use compiled::Policy;
pub use decide::{Call, Decision, Plan, may_hide, plan_method, plan_tool, visible};
pub use diff::{Difference, diff};
pub use explain::{
    Answer, Asked, Broken, Condition, Counting, Explanation, Fate, Heard, Known, Leaf, Led, Read, Step,
    counting_in_words, explain_method, explain_tool, place_of, scope_as_written, subject_in_words,
    units_in_whole, window_in_words,
};
pub use held::Held;
pub use known::{OnRecord, Told, Uncounted, Unknown, plan_on_record};
pub use load::{Loaded, load, load_against};
pub use methods::is_protocol_method;
pub use pattern::NamePattern;
pub use pins::{Change, Definition, Listing, NotPins, Pins, listing};
pub use recorded::{RECORDED_AT_MOST, Recorded};
pub use refusal::{
    another_call, limited, needs_approval, not_accepted, not_recorded, people_refused, people_unreachable,
    store_unavailable, too_many_wait, waits_for_people, without_id,
};
pub use schema::{schema, schema_text};
pub use spelling::unnameable;
pub use together::check_together;
pub use types::{Ask, Caller, Charge, Denial, Limit, OnStoreError, Outcome, Scope, Subject, Unit, Window};
