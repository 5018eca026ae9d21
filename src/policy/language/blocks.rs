//! The part of the language that is about the arguments of a call: blocks of conditions.

use serde_json::json;

use super::super::shape::{Form, Need, Record, Shape, Word};
use super::{key, word};
use crate::document::Value;

use Need::{Optional, Required};

pub(super) const REQUIRE: &str = "Blocks of conditions: every condition must hold, else the call is refused. One that cannot be evaluated refuses too.";

pub(super) const DENY_IF: &str = "Blocks of conditions: a call for which all conditions of a block hold is refused. So is one for which a condition cannot be evaluated.";

pub(super) const APPROVE_IF: &str = "Blocks of conditions: a call for which all conditions of a block hold is put before a person. One for which a condition cannot be evaluated is refused.";

pub(super) const APPROVERS: &str = "How many people must agree where `action` or an `approve_if` beside it asks for one; 1 unless written. Of all that ask, the largest number counts.";

/// More would only make a call that nobody lets pass.
pub(super) const MOST_APPROVERS: u64 = 16;

pub(super) const SHADOW: &str =
    "`true`: what it would have refused is recorded, and passes. A rule on trial.";

const SHADOW_ASKING: &str =
    "`true`: that it would have asked is recorded, and nobody is asked. A rule on trial.";

pub(super) static BLOCKS: Shape = Shape::List(&Shape::Record(&BLOCK));

pub(in super::super) static BLOCK: Record = Record {
    what: "a block",
    name: "block",
    about: "Conditions that belong together.",
    keys: &[
        key(
            "conditions",
            "What is looked at; an empty list holds for every call.",
            Required("\"conditions\": []"),
            Shape::List(&Shape::Record(&CONDITION)),
        ),
        key(
            "on_deny",
            "Told to the agent where the block refuses its call.",
            Optional,
            Shape::Text,
        ),
        key("shadow", SHADOW, Optional, Shape::Flag),
    ],
};

pub(in super::super) static ASKING: Record = Record {
    what: "an `approve_if` block",
    name: "approve_if_block",
    about: "Conditions that belong together: a call for which all hold is put before a person.",
    keys: &[
        key(
            "conditions",
            "What is looked at; an empty list holds for every call.",
            Required("\"conditions\": []"),
            Shape::List(&Shape::Record(&CONDITION)),
        ),
        key(
            "approvers",
            "How many people must agree to such a call; as many as the entry says unless written.",
            Optional,
            Shape::Whole(1, MOST_APPROVERS),
        ),
        key(
            "on_deny",
            "Why a person is asked, told to the agent and to those who decide; the `reason` of the entry unless written.",
            Optional,
            Shape::Text,
        ),
        key("shadow", SHADOW_ASKING, Optional, Shape::Flag),
    ],
};

pub(in super::super) static CONDITION: Record = Record {
    what: "a condition",
    name: "condition",
    about: "One question about a call. Where it cannot be evaluated (a value of another JSON type, a step into what is no object), the call is refused.",
    keys: &[
        key(
            "path",
            "Where to look: `args.a.b`, `args.list[0]`, `args.list[*].x` (each element), `args[\"odd.key\"]`, `grant.id`, `grant.claims.x`, `tool.name`.",
            Required("\"path\": \"args.amount\""),
            Shape::Form(&PATH),
        ),
        key(
            "op",
            "What is asked. A missing value satisfies only `exists` with `false`.",
            Required("\"op\": \"lte\""),
            Shape::Words(&OPERATORS),
        ),
        key(
            "value",
            "What the value is compared with, of the type that the operator asks for.",
            Optional,
            Shape::Anything,
        ),
    ],
};

/// The names of all operators with what they ask.
pub(in super::super) static OPERATORS: [Word; 14] = [
    word(
        "eq",
        "The same value: numbers by their value, lists and objects element by element.",
    ),
    word("neq", "Another value of the same JSON type."),
    word("lt", "A number below this one."),
    word("lte", "A number not above this one."),
    word("gt", "A number above this one."),
    word("gte", "A number not below this one."),
    word("in", "One of the values in this list."),
    word(
        "not_in",
        "None of the values in this list, of the JSON type of one of them.",
    ),
    word("exists", "There is a value; with `false`: there is none."),
    word(
        "regex",
        "Text in which this regular expression is found; `^…$` for the whole text. Linear time, no lookaround; `(?i)` folds case.",
    ),
    word("not_regex", "Text in which this regular expression is not found."),
    word(
        "contains",
        "Text that holds this text, or a list that holds this element.",
    ),
    word(
        "not_contains",
        "Text that does not hold this text, or a list that does not hold this element.",
    ),
    word("under", "A plain absolute path in one of these absolute folders."),
];

/// Paths have a check of their own (`path`), which can say what is wrong.
static PATH: Form = Form {
    expected: "a path such as `\"args.amount\"`",
    help: None,
    accepts: |value| matches!(value, Value::Text(_)),
    schema: || json!({ "type": "string", "pattern": "^(args(\\.|\\[\")|grant\\.id$|grant\\.claims(\\.|\\[\")|tool\\.name$)" }),
};

/// What stands in it is looked at when the policy is compiled.
pub(super) static SCHEMA: Form = Form {
    expected: "a JSON Schema, as an object",
    help: None,
    accepts: |value| matches!(value, Value::Object(_)),
    schema: || json!({ "type": "object" }),
};
