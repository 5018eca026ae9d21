//! Limits of which a part is not on record.

use serde_json::json;

use super::history::{policy, replay};
use super::told::{entry, line};

const CAP: &str =
    r#"{"limits":[{"counter":"spend","window":"minute","max":100,"increment_from":"args.amount"}]}"#;

fn spend(second: u32, amount: Option<u32>) -> String {
    let recorded = amount.map_or(json!({}), |amount| json!({"args.amount": amount}));
    line(second, json!({"argument_keys": ["amount"], "recorded": recorded}))
}

#[test]
fn an_amount_that_is_not_on_record_leaves_its_limit_open_until_its_window_has_passed() {
    let policies = policy(&entry(CAP));
    let lines = [
        spend(1, Some(60)),
        spend(2, None),
        spend(3, Some(10)),
        spend(4, Some(41)),
        spend(65, Some(100)),
    ];
    let report = replay(&policies, &lines);
    // 60 allowed; unknown; 10 may or may not fit; 41 is too much in any case; all is free again
    let totals = &report.totals;
    assert_eq!(
        (totals.alike, totals.newly_denied, totals.cannot_be_told),
        (2, 1, 2),
        "{report:?}"
    );
    let whys: Vec<_> = report.cannot_be_told.iter().map(|row| row.why.as_str()).collect();
    assert!(whys.contains(&"`args.amount` is not on record"), "{whys:?}");
    assert!(
        whys.contains(&"earlier calls that cannot be told may have used it up"),
        "{whys:?}"
    );
}

#[test]
fn a_call_that_cannot_be_told_leaves_later_ones_certain_while_there_is_room() {
    let limited = r#"{"require":[{"conditions":[{"path":"args.a","op":"eq","value":1}]}],"limits":[{"counter":"c","window":"minute","max":3}]}"#;
    let known = json!({"argument_keys": ["a"], "recorded": {"args.a": 1}});
    let unknown = json!({"argument_keys": ["a"]});
    let lines: Vec<String> = (1..7)
        .map(|second| {
            line(
                second,
                if second == 1 {
                    unknown.clone()
                } else {
                    known.clone()
                },
            )
        })
        .collect();
    let report = replay(&policy(&entry(limited)), &lines);
    // unknown, 2 surely fit, the third may, the rest: 2 or 3 are charged, so one more may fit, and another may
    let totals = &report.totals;
    assert_eq!(
        (totals.alike, totals.newly_denied, totals.cannot_be_told),
        (2, 0, 4),
        "{report:?}"
    );
    let lines: Vec<String> = (1..7)
        .map(|second| {
            line(
                second,
                if second == 6 {
                    unknown.clone()
                } else {
                    known.clone()
                },
            )
        })
        .collect();
    let report = replay(&policy(&entry(limited)), &lines);
    assert_eq!(
        (report.totals.alike, report.totals.newly_denied),
        (3, 3),
        "{report:?}"
    );
}

#[test]
fn a_value_that_is_not_on_record_leaves_every_count_of_its_limit_open() {
    let by = r#"{"limits":[{"counter":"c","window":"minute","max":2,"scope":"arg:customer"}]}"#;
    let of = |second, customer: Option<&str>| {
        let recorded = customer.map_or(json!({}), |customer| json!({"args.customer": customer}));
        line(
            second,
            json!({"argument_keys": ["customer"], "recorded": recorded}),
        )
    };
    let lines = [
        of(1, Some("a")),
        of(2, Some("a")),
        of(3, None),
        of(4, Some("b")),
        of(5, Some("a")),
    ];
    let report = replay(&policy(&entry(by)), &lines);
    let totals = &report.totals;
    assert_eq!(
        (totals.alike, totals.newly_denied, totals.cannot_be_told),
        (2, 1, 2),
        "{report:?}"
    );
}
