use std::collections::HashSet;
use std::sync::Arc;

use super::*;
use crate::policy::OnStoreError;
use crate::policy::{Scope, Unit};

fn limit(counter: &str, scope: Scope, window: Window) -> Limit {
    Limit {
        rule: "/r".into(),
        counter: counter.into(),
        window,
        max: 10,
        scope,
        scale: 0,
        max_values: None,
        shadow: false,
        on_deny: None,
        on_store_error: OnStoreError::Deny,
    }
}

fn key(limit: Limit, subject: Subject) -> String {
    names(
        "tg",
        &Charge {
            limit: Arc::new(limit),
            weight: 1,
            subject,
        },
    )
    .key
}

fn session(grant: &str, server: &str, id: &str) -> Subject {
    Subject::Session {
        grant: grant.into(),
        server: server.into(),
        session: Some(id.into()),
    }
}

const MINUTE: Window = Window::Sliding { ms: 60_000 };

#[test]
fn a_key_is_prefix_layout_slot_and_name_only() {
    let hostile = Subject::Grant {
        grant: "a}{b:\0\r\n".into(),
    };
    let key = key(limit("c:{}\0", Scope::Grant, MINUTE), hostile);
    let (head, name) = key.rsplit_once(':').unwrap();
    let tag = head
        .strip_prefix("tg:1:{")
        .and_then(|rest| rest.strip_suffix('}'))
        .unwrap();
    assert_eq!(tag.len(), 32);
    assert!(tag.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(name.len(), 22);
    assert!(
        name.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    );
}

#[test]
fn whatever_differs_in_usage_differs_in_key() {
    let grant = |grant: &str| Subject::Grant { grant: grant.into() };
    let scaled = Limit {
        scale: 2,
        ..limit("c", Scope::Grant, MINUTE)
    };
    let keys = [
        key(limit("c", Scope::Grant, MINUTE), grant("g")),
        key(limit("d", Scope::Grant, MINUTE), grant("g")),
        key(limit("c", Scope::Grant, MINUTE), grant("h")),
        key(
            limit("c", Scope::Grant, Window::Sliding { ms: 60_001 }),
            grant("g"),
        ),
        key(
            limit("c", Scope::Grant, Window::Calendar(Unit::Minute)),
            grant("g"),
        ),
        key(scaled, grant("g")),
        key(limit("c", Scope::Session, MINUTE), session("g", "s", "1")),
        key(limit("c", Scope::Session, MINUTE), session("g", "s", "2")),
        key(limit("c", Scope::Session, MINUTE), session("g", "s2", "1")),
        key(limit("c", Scope::Session, MINUTE), session("g", "s1", "")),
        key(
            limit("c", Scope::Server, MINUTE),
            Subject::Server { server: "g".into() },
        ),
        key(limit("c", Scope::Global, MINUTE), Subject::Global),
    ];
    assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
}

#[test]
fn fields_cannot_run_into_each_other() {
    assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
    assert_ne!(hash(&["ab"]), hash(&["ab", ""]));
}

#[test]
fn max_and_rule_are_not_part_of_the_key() {
    let grant = Subject::Grant { grant: "g".into() };
    let other = Limit {
        max: 99,
        rule: "/other".into(),
        ..limit("c", Scope::Grant, MINUTE)
    };
    assert_eq!(
        key(other, grant.clone()),
        key(limit("c", Scope::Grant, MINUTE), grant)
    );
}

#[test]
fn one_grants_keys_share_a_slot_and_another_grants_do_not() {
    let tag = |key: String| key.split(['{', '}']).nth(1).unwrap().to_owned();
    let a = tag(key(
        limit("c", Scope::Grant, MINUTE),
        Subject::Grant { grant: "g".into() },
    ));
    let b = tag(key(limit("d", Scope::Session, MINUTE), session("g", "s", "1")));
    let c = tag(key(
        limit("c", Scope::Grant, MINUTE),
        Subject::Grant { grant: "h".into() },
    ));
    assert_eq!(a, b);
    assert_ne!(a, c);
}

#[test]
fn the_overflow_and_index_keys_are_common_to_all_sessions() {
    let of = |id: &str| {
        let limit = Arc::new(limit("c", Scope::Session, MINUTE));
        names(
            "tg",
            &Charge {
                limit,
                weight: 1,
                subject: session("g", "s", id),
            },
        )
    };
    let (a, b) = (of("1"), of("2"));
    assert_ne!(a.key, b.key);
    assert_eq!(a.bound, b.bound);
    let (overflow, index) = a.bound.unwrap();
    assert_ne!(overflow, index);
    assert!(![&overflow, &index].contains(&&a.key));
}

#[test]
fn without_a_session_the_grant_stands_in_whatever_the_server() {
    let none = |server: &str| Subject::Session {
        grant: "g".into(),
        server: server.into(),
        session: None,
    };
    let limit = || limit("c", Scope::Session, MINUTE);
    assert_eq!(key(limit(), none("a")), key(limit(), none("b")));
    let charge = Charge {
        limit: Arc::new(limit()),
        weight: 1,
        subject: none("a"),
    };
    assert_eq!(names("tg", &charge).bound, None);
}

#[test]
fn groups_are_ordered_narrowest_first() {
    let mut groups = [
        SlotGroup::Global,
        SlotGroup::Server("a".into()),
        SlotGroup::Grant("z".into()),
    ];
    groups.sort();
    assert_eq!(
        groups,
        [
            SlotGroup::Grant("z".into()),
            SlotGroup::Server("a".into()),
            SlotGroup::Global
        ]
    );
}

#[test]
fn the_names_are_pinned_because_replicas_of_two_versions_share_them() {
    let key = key(
        limit("start_run_rate", Scope::Grant, MINUTE),
        Subject::Grant { grant: "ci".into() },
    );
    assert_eq!(
        key,
        "tg:1:{08466529ccc9ac2b120870f97666a82c}:FQjskChEgD7tXEmjq5fiGw"
    );
}

#[test]
fn calls_at_once_have_one_key_whatever_their_lease_and_none_with_a_limit() {
    let lease = |ms| {
        key(
            limit("c", Scope::Grant, Window::Lease { ms }),
            Subject::Grant { grant: "g".into() },
        )
    };
    assert_eq!(lease(60_000), lease(1_000));
    let limit = limit("c", Scope::Grant, MINUTE);
    assert_ne!(lease(60_000), key(limit, Subject::Grant { grant: "g".into() }));
}
