//! How much harm one call can do: the class' own level, and one more for each thing that makes it worse.

use super::describe::Description;
use super::fields::{Field, Kind};
use super::name::Name;
use super::{Class, Risk};

/// Whom or what many calls of one kind touch at once.
const MANY: &[&str] = &[
    "all",
    "batch",
    "bulk",
    "cascade",
    "everything",
    "many",
    "multiple",
    "recursive",
];
/// What much depends on.
const HEAVY: &[&str] = &[
    "account",
    "app",
    "bucket",
    "cluster",
    "database",
    "db",
    "domain",
    "member",
    "namespace",
    "node",
    "org",
    "organization",
    "production",
    "project",
    "repo",
    "repository",
    "server",
    "tenant",
    "user",
    "vm",
    "workspace",
];
/// What opens doors.
const KEYS: &[&str] = &[
    "acl",
    "admin",
    "config",
    "credential",
    "credentials",
    "env",
    "key",
    "password",
    "permission",
    "permissions",
    "policy",
    "restrictions",
    "role",
    "secret",
    "secrets",
    "token",
    "tokens",
];
/// Flags that take a safety away.
const FLAGS: &[&str] = &[
    "bypass",
    "dangerous",
    "force",
    "insecure",
    "overwrite",
    "privileged",
    "recursive",
    "skip",
    "unsafe",
];

/// The level, and what raised it.
pub(super) fn of(
    class: Class,
    name: &Name,
    description: &Description,
    fields: &[Field],
    free_code: bool,
) -> (Risk, Vec<String>) {
    let mut risk = match class {
        Class::Read => Risk::Low,
        Class::Write => Risk::Medium,
        Class::Execute | Class::Destructive | Class::Financial => Risk::High,
    };
    let mut reasons = Vec::new();
    let mut raise = |reason: String| {
        risk = risk.raised();
        reasons.push(reason);
    };
    if class == Class::Execute && free_code {
        raise("what it runs is free".to_owned());
    }
    if let Some(word) = name.has(KEYS) {
        raise(format!("its name says `{word}`"));
    }
    if class != Class::Read {
        let flag = |field: &&Field| field.kind == Kind::Flag && field.has(FLAGS);
        if let Some(flag) = fields.iter().find(flag) {
            raise(format!("it has the flag `{}`", flag.words.join("_")));
        }
        if let Some(word) = name.has(MANY) {
            raise(format!("its name says `{word}`"));
        }
    }
    if class == Class::Destructive {
        if let Some(word) = name.has(HEAVY) {
            raise(format!("its name says `{word}`"));
        }
        if description.for_good {
            raise("its description says that it cannot be undone".to_owned());
        }
    }
    if class == Class::Read && fields.iter().any(|field| field.is(&["url", "uri", "urls"])) {
        raise("it fetches what it is told to".to_owned());
    }
    (risk, reasons)
}
