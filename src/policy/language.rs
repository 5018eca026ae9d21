//! The policy language, written down once: the check of a file and the JSON Schema are both made
//! from these tables.

mod blocks;
mod concurrency;
mod scope;

use serde_json::json;

use blocks::{
    APPROVE_IF, APPROVERS, ASKING, BLOCK, BLOCKS, CONDITION, DENY_IF, MOST_APPROVERS, REQUIRE, SCHEMA, SHADOW,
};
use concurrency::CONCURRENCY;
pub(super) use concurrency::{DEFAULT_LEASE_MS, lease_ms};
use scope::SCOPE;

use super::shape::{Form, Key, Need, Record, Shape, Word};
use super::window::Length;
use crate::document::Value;

use Need::{Optional, Required};

/// The largest number that counters hold and every JSON reader keeps exactly: 2^53.
pub(super) const LARGEST: u64 = 1 << 53;

/// Live values of a caller-chosen scope that have a key of their own, unless the limit says otherwise.
pub(super) const DEFAULT_MAX_VALUES: u32 = 1_000;

/// Every record, outermost first.
pub(super) static RECORDS: [&Record; 9] = [
    &POLICY,
    &ALL_TOOLS,
    &TOOL,
    &BLOCK,
    &ASKING,
    &CONDITION,
    &LIMIT,
    &RATE_LIMIT,
    &CONCURRENCY,
];

pub(super) static POLICY: Record = Record {
    what: "a policy",
    name: "policy",
    about: "A toolgate policy: which tools an agent may call, and how often.",
    keys: &[
        key(
            "$schema",
            "Names the JSON Schema for editors; toolgate ignores it.",
            Optional,
            Shape::Anything,
        ),
        key(
            "version",
            "The version of the policy language.",
            Required("\"version\": \"1\""),
            Shape::Words(&[word("1", "The only version there is.")]),
        ),
        key(
            "default",
            "What happens to a tool that no entry under `tools` matches, and to methods other than tools/call that reach server code.",
            Required("\"default\": \"deny\""),
            Shape::Words(&[
                word("allow", "It passes."),
                word(
                    "deny",
                    "It is refused; such a tool is also left out of tools/list.",
                ),
            ]),
        ),
        key(
            "mode",
            "Whether the policy is in force.",
            Optional,
            Shape::Words(&[
                word("enforce", "It is. The default."),
                word(
                    "shadow",
                    "It decides and is recorded, and blocks nothing: a policy on trial.",
                ),
            ]),
        ),
        key(
            "hide",
            "Tools that look as if they did not exist: names or globs. They are taken out of tools/list and refused on call as unknown. `*` stands for any run of characters, `?` for one.",
            Optional,
            Shape::List(&Shape::Form(&TOOL_NAME)),
        ),
        key(
            "all_tools",
            "What applies to every call, whichever tool it names.",
            Optional,
            Shape::Record(&ALL_TOOLS),
        ),
        key(
            "tools",
            "Tool name or glob → what applies to it. An exact name beats a glob, a glob with a longer literal prefix beats a shorter one, then the one with more literal characters. Exactly one entry applies to a call.",
            Optional,
            Shape::Named(&TOOL),
        ),
        key(
            "methods",
            "Method → whether it passes: for methods other than tools/call that reach server code, such as `resources/read`. What is not named follows `default`.",
            Optional,
            Shape::NamedWords(&[word("allow", "It passes."), word("deny", "It is refused.")]),
        ),
        key(
            "record",
            "Paths of arguments whose values go to the decision log: `args.amount`. Values longer than 1024 bytes are left out.",
            Optional,
            Shape::List(&Shape::Form(&AMOUNT)),
        ),
    ],
};

pub(super) static ALL_TOOLS: Record = Record {
    what: "`all_tools`",
    name: "all_tools",
    about: "What applies to every call, beside the tool's own entry.",
    keys: &[
        key(
            "limits",
            "Limits that every call is charged to.",
            Optional,
            Shape::List(&Shape::Record(&LIMIT)),
        ),
        key("require", REQUIRE, Optional, Shape::Same(&BLOCKS)),
        key("deny_if", DENY_IF, Optional, Shape::Same(&BLOCKS)),
        key(
            "approve_if",
            APPROVE_IF,
            Optional,
            Shape::List(&Shape::Record(&ASKING)),
        ),
        key("approvers", APPROVERS, Optional, Shape::Whole(1, MOST_APPROVERS)),
    ],
};

pub(super) static TOOL: Record = Record {
    what: "a tool entry",
    name: "tool",
    about: "What applies to one tool, or to the tools that one glob matches. `{}` allows.",
    keys: &[
        key(
            "action",
            "What happens to a call. A denied tool stays in tools/list; `hide` takes it out.",
            Optional,
            Shape::Words(&[
                word("allow", "It passes, within the limits. The default."),
                word("deny", "It is refused, with the reason."),
                word(
                    "require_approval",
                    "A person must agree to each call before it is forwarded.",
                ),
            ]),
        ),
        key(
            "reason",
            "Told to the agent where the action is `deny`; where the entry asks for approval, to the agent and to those who decide.",
            Optional,
            Shape::Text,
        ),
        key(
            "arguments",
            "A JSON Schema (draft 2020-12) that the call's arguments must satisfy. References are `#/$defs/NAME`, patterns run in linear time.",
            Optional,
            Shape::Form(&SCHEMA),
        ),
        key("require", REQUIRE, Optional, Shape::Same(&BLOCKS)),
        key("deny_if", DENY_IF, Optional, Shape::Same(&BLOCKS)),
        key(
            "approve_if",
            APPROVE_IF,
            Optional,
            Shape::List(&Shape::Record(&ASKING)),
        ),
        key("approvers", APPROVERS, Optional, Shape::Whole(1, MOST_APPROVERS)),
        key(
            "limits",
            "Limits that each call is charged to: all of them in one step, or none.",
            Optional,
            Shape::List(&Shape::Record(&LIMIT)),
        ),
        key(
            "rate_limit",
            "Short form of one limit: counter `<key of the entry>_rate`, scope `session`.",
            Optional,
            Shape::Short(&RATE_LIMIT, &RATE),
        ),
        key(
            "concurrency",
            "How many calls may be in flight at once.",
            Optional,
            Shape::Record(&CONCURRENCY),
        ),
    ],
};

pub(super) static LIMIT: Record = Record {
    what: "a limit",
    name: "limit",
    about: "Never more than `max` in a `window`.",
    keys: &[
        key(
            "counter",
            "The counter's name. The same counter, window and scope in two places is the same usage, across tools, policies and servers of that grant.",
            Required("\"counter\": \"start_run_rate\""),
            Shape::Form(&COUNTER_NAME),
        ),
        key(
            "window",
            "How long usage counts: a word, seconds as a number, or a duration such as `15m`; at most 366 days.",
            Required("\"window\": \"minute\""),
            Shape::Form(&WINDOW),
        ),
        key(
            "max",
            "The most that is admitted in a window.",
            Required("\"max\": 10"),
            Shape::Whole(1, LARGEST),
        ),
        key(
            "scope",
            "Over what the limit counts.",
            Optional,
            Shape::Same(&SCOPE),
        ),
        key(
            "increment_from",
            "A path to a number that is charged instead of 1: `args.amount`. Negative, absent or more precise than `scale` refuses the call.",
            Optional,
            Shape::Form(&AMOUNT),
        ),
        key(
            "weight",
            "What each call charges, in units of `max`; 1 unless written.",
            Optional,
            Shape::Whole(1, LARGEST),
        ),
        key(
            "scale",
            "Decimal places that are kept of what is charged; 0 unless written. `max` stays in whole units.",
            Optional,
            Shape::Whole(0, 15),
        ),
        key(
            "mode",
            "How the window moves.",
            Optional,
            Shape::Words(&[
                word(
                    "sliding",
                    "Never more than `max` in any interval of the window. The default.",
                ),
                word(
                    "calendar",
                    "Starts anew on UTC boundaries: of the second, minute, hour, day, week (Monday) or month.",
                ),
            ]),
        ),
        key(
            "on_store_error",
            "What happens while the counters cannot be reached.",
            Optional,
            Shape::Words(&[
                word("deny", "The call is refused. The default."),
                word("allow", "It passes uncounted, and the record says so."),
                word(
                    "local",
                    "This replica counts it in memory, against its share of `max`.",
                ),
            ]),
        ),
        key(
            "max_values",
            "With scope `session`, `arg:` or `arguments`: how many live values of a grant have a count of their own; further ones share one. 1000 unless written.",
            Optional,
            Shape::Whole(1, 1_000_000),
        ),
        key("shadow", SHADOW, Optional, Shape::Flag),
        key(
            "on_deny",
            "Told to the agent where the limit refuses its call.",
            Optional,
            Shape::Text,
        ),
    ],
};

pub(super) static RATE_LIMIT: Record = Record {
    what: "`rate_limit`",
    name: "rate_limit",
    about: "Short form of a limit: so many calls in a window, for each session.",
    keys: &[
        key(
            "max",
            "The most calls in a window.",
            Required("\"max\": 10"),
            Shape::Whole(1, LARGEST),
        ),
        key(
            "window",
            "How long a call counts: seconds as a number, a word or a duration.",
            Required("\"window\": 60"),
            Shape::Form(&WINDOW),
        ),
    ],
};

static WINDOW: Form = Form {
    expected: "a window such as `\"minute\"`, `90` (seconds) or `\"15m\"`",
    help: Some(
        "the words are second, minute, hour, day, week and month; durations end with s, m, h, d or w; at most 366 days",
    ),
    accepts: |value| Length::read(value).is_some(),
    schema: || {
        json!({ "anyOf": [
            { "enum": ["second", "minute", "hour", "day", "week", "month"] },
            { "type": "integer", "minimum": 1, "maximum": 31_622_400, "description": "Seconds." },
            { "type": "string", "pattern": "^[1-9][0-9]*[smhdw]$", "description": "Seconds, minutes, hours, days or weeks." },
        ] })
    },
};

static RATE: Form = Form {
    expected: "an object such as `{\"max\": 10, \"window\": 60}` or text such as `\"10/minute\"`",
    help: None,
    accepts: |value| rate(value).is_some(),
    schema: || {
        json!({
            "type": "string",
            "pattern": "^[1-9][0-9]*/(second|minute|hour|day|week|[1-9][0-9]*[smhdw])$",
            "description": "So many calls in a window, such as `10/minute`.",
        })
    },
};

/// Names have a check of their own (`spelling`), which can say what was meant.
static TOOL_NAME: Form = Form {
    expected: "a tool's name or a glob",
    help: None,
    accepts: |value| matches!(value, Value::Text(_)),
    schema: || json!({ "type": "string", "pattern": TOOL_NAME_PATTERN }),
};

static COUNTER_NAME: Form = Form {
    expected: "the counter's name, as text",
    help: None,
    accepts: |value| matches!(value, Value::Text(_)),
    schema: || json!({ "type": "string", "minLength": 1, "pattern": "^[^\\s`]+$" }),
};

/// Paths have a check of their own, which can say what is wrong.
static AMOUNT: Form = Form {
    expected: "a path such as `\"args.amount\"`",
    help: None,
    accepts: |value| matches!(value, Value::Text(_)),
    schema: || json!({ "type": "string", "pattern": "^args(\\.|\\[)" }),
};

/// Tool names and globs in the schema: no blanks, back-ticks, brackets or braces.
pub(super) const TOOL_NAME_PATTERN: &str = "^[^\\s`\\[\\]{}]+$";

/// `"10/minute"` → how many, in what window.
pub(super) fn rate(value: &Value) -> Option<(u64, Length)> {
    let Value::Text(text) = value else { return None };
    let (max, window) = text.split_once('/')?;
    let fits = max.bytes().all(|byte| byte.is_ascii_digit()) && !max.starts_with('0');
    let max = max
        .parse()
        .ok()
        .filter(|max| fits && (1..=LARGEST).contains(max))?;
    Some((max, Length::read_text(window)?))
}

const fn key(name: &'static str, about: &'static str, need: Need, shape: Shape) -> Key {
    Key {
        name,
        about,
        need,
        shape,
    }
}

const fn word(text: &'static str, about: &'static str) -> Word {
    Word { text, about }
}
