use std::sync::Arc;

use super::*;
use crate::policy::{Limit, OnStoreError, Scope, Unit, Window};

const MINUTE: Window = Window::Sliding { ms: 60_000 };

fn charge(max: u64, weight: u64, window: Window, subject: Subject) -> Charge {
    let limit = Limit {
        rule: "/tools/start_run/limits/runs".into(),
        counter: "runs".into(),
        window,
        max,
        scope: Scope::Grant,
        scale: 0,
        max_values: None,
        shadow: false,
        on_deny: None,
        on_store_error: OnStoreError::Deny,
    };
    Charge {
        limit: Arc::new(limit),
        weight,
        subject,
    }
}

fn grant() -> Subject {
    Subject::Grant { grant: "ci".into() }
}

#[test]
fn a_limited_call_is_told_what_is_used_up_and_when_to_try_again() {
    let denial = limited(&charge(10, 1, MINUTE, grant()), "start_run", Some(41_001));
    assert_eq!(
        denial,
        Denial {
            outcome: Outcome::Limited,
            rule: "/tools/start_run/limits/runs".into(),
            message: "[POLICY DENIED] start_run: 10 calls per minute for this grant are used up. \
                      Try again in 42 s. The call was not executed."
                .into(),
            retry_after_ms: Some(41_001),
        }
    );
}

#[test]
fn seconds_round_up_and_are_at_least_one() {
    let wait = |ms| limited(&charge(10, 1, MINUTE, grant()), "t", Some(ms)).message;
    assert!(wait(42_000).contains("in 42 s."));
    assert!(wait(42_001).contains("in 43 s."));
    assert!(wait(1).contains("in 1 s."));
    assert!(wait(0).contains("in 1 s."));
    assert!(wait(u64::MAX).contains("in 18446744073709552 s."));
}

#[test]
fn a_call_that_others_in_flight_keep_out_is_told_so_without_a_window() {
    let lease = Window::Lease { ms: 30_000 };
    let told = |max| limited(&charge(max, 1, lease, grant()), "t", Some(1_000)).message;
    assert_eq!(
        told(2),
        "[POLICY DENIED] t: 2 calls for this grant are running, and no more may run at once. \
         Try again in 1 s. The call was not executed."
    );
    assert!(told(1).contains("t: 1 call for this grant is running, and no other may run beside it."));
}

#[test]
fn a_charge_that_never_fits_is_told_so_and_no_time() {
    let denial = limited(&charge(3, 5, MINUTE, grant()), "t", None);
    assert_eq!(
        denial.message,
        "[POLICY DENIED] t: this call alone counts more than the 3 units per minute for this grant. \
         The call was not executed."
    );
}

#[test]
fn windows_subjects_and_numbers_are_said_as_people_say_them() {
    let said = |max, weight, window, subject| {
        let message = limited(&charge(max, weight, window, subject), "t", None).message;
        let (_, said) = message.split_once(": ").unwrap();
        said.split_once(" used up").unwrap().0.to_owned()
    };
    let session = |session: Option<&str>| Subject::Session {
        grant: "ci".into(),
        server: "s".into(),
        session: session.map(str::to_owned),
    };
    let day = Window::Calendar(Unit::Day);
    assert_eq!(
        said(1, 1, MINUTE, session(Some("x"))),
        "1 call per minute for this session is"
    );
    assert_eq!(
        said(9, 3, MINUTE, session(None)),
        "9 units per minute for this grant are"
    );
    let server = Subject::Server { server: "s".into() };
    assert_eq!(
        said(9, 1, day, server),
        "9 calls per calendar day for this server are"
    );
    let quarter = Window::Sliding { ms: 900_000 };
    assert_eq!(
        said(9, 1, quarter, Subject::Global),
        "9 calls per 15 minutes for all grants together are"
    );
}

#[test]
fn a_reason_keeps_its_own_full_stop() {
    assert!(
        denied("t", "/r", Some("Ask Ann."))
            .message
            .contains("t: Ask Ann. The call")
    );
    assert!(
        denied("t", "/r", Some("Ask Ann!\n"))
            .message
            .contains("t: Ask Ann! The call")
    );
    assert!(
        denied("t", "/r", None)
            .message
            .contains("t: the policy denies this tool. The call")
    );
}

#[test]
fn a_callers_name_is_cut_and_cannot_steer_a_terminal_except_where_the_server_would_repeat_it() {
    let long = format!("\u{1b}[31m{}", "x".repeat(1_000));
    let message = denied(&long, "/r", None).message;
    assert!(
        message.contains("\\u{1b}[31mxxx") && message.contains("x…:"),
        "{message}"
    );
    assert!(message.len() < 300);
    assert_eq!(
        unknown_tool(&long, HIDDEN).message,
        format!("Unknown tool: {long}")
    );
}

#[test]
fn a_store_error_names_the_rule_and_when_to_try_again() {
    let denial = store_unavailable("t", "/tools/t/limits/c", Some(1_000));
    assert_eq!(
        (denial.outcome, denial.rule.as_str()),
        (Outcome::StoreError, "/tools/t/limits/c")
    );
    assert_eq!(
        denial.message,
        "[POLICY DENIED] t: its limits could not be checked, because the counters did not answer. \
         Try again in 1 s. The call was not executed."
    );
}
