//! The part of the language that is about calls in flight.

use serde_json::json;

use super::super::shape::{Form, Need, Record, Shape};
use super::super::window::Length;
use super::{COUNTER_NAME, SCOPE, key};
use crate::document::Value;

use Need::{Optional, Required};

/// Most calls at once: the store keeps something for each of them.
const MOST: u64 = 1_000;

/// How long a call in flight counts unless its replica says that it still runs, in milliseconds.
pub(in super::super) const DEFAULT_LEASE_MS: u64 = 30_000;

/// The longest lease in milliseconds: for so long a replica that died holds its places.
const LONGEST: u64 = 3_600_000;

pub(in super::super) static CONCURRENCY: Record = Record {
    what: "`concurrency`",
    name: "concurrency",
    about: "Never more than `max` calls in flight at once, over all replicas.",
    keys: &[
        key(
            "counter",
            "The counter's name. The same counter and scope in two places is the same usage, across tools, policies and servers of that grant. A limit under the same name counts by itself.",
            Required("\"counter\": \"runs_at_once\""),
            Shape::Form(&COUNTER_NAME),
        ),
        key(
            "max",
            "The most calls that run at once.",
            Required("\"max\": 2"),
            Shape::Whole(1, MOST),
        ),
        key(
            "scope",
            "Whose calls are counted together.",
            Optional,
            Shape::Same(&SCOPE),
        ),
        key(
            "lease",
            "How long a call counts unless its replica renews it, as it does while the call runs: after so long the calls of a replica that died count no more. Like a window: seconds as a number, a word or a duration, from a second to an hour; `30s` unless written.",
            Optional,
            Shape::Form(&LEASE),
        ),
    ],
};

static LEASE: Form = Form {
    expected: "a time such as `\"30s\"` or `30` (seconds), from a second to an hour",
    help: None,
    accepts: |value| lease_ms(value).is_some(),
    schema: || {
        json!({ "anyOf": [
            { "enum": ["second", "minute", "hour"] },
            { "type": "integer", "minimum": 1, "maximum": LONGEST / 1_000, "description": "Seconds." },
            { "type": "string", "pattern": "^[1-9][0-9]*[smh]$", "description": "Seconds, minutes or hours." },
        ] })
    },
};

/// A lease's length in milliseconds. The shortest window is a second, and so is the shortest lease.
pub(in super::super) fn lease_ms(value: &Value) -> Option<u64> {
    Length::read(value)?.ms().filter(|ms| *ms <= LONGEST)
}
