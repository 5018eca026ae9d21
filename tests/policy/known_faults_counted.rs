//! Faults of comparable products that show only once calls are counted, each with a test.

use std::sync::Arc;

use toolgate::counters::{Admission, CallId, Store, Verdict};
use toolgate::policy::{Call, Plan, Policy, plan_tool};

use super::asked::{CALLER, tools, whole};

/// Policies, and a store of their own.
struct Counted {
    policies: Vec<Arc<Policy>>,
    store: Store,
}

impl Counted {
    fn by(policies: Vec<Arc<Policy>>) -> Self {
        let store = Store::memory();
        Self { policies, store }
    }

    /// The rule that refuses the call; `None` where it is admitted and charged.
    async fn call(&self, tool: &str, arguments: &str) -> Option<String> {
        let call = Call {
            tool,
            arguments: Some(arguments),
        };
        let charges = match plan_tool(&self.policies, &CALLER, &call).plan {
            Plan::Refuse(denial) => return Some(denial.rule),
            Plan::Admit(charges) => charges,
            Plan::Ask { ask, .. } => panic!("{ask:?}"),
        };
        let id = CallId::random().unwrap();
        let admission = Admission { id, charges };
        match self.store.admit(&admission).await.unwrap() {
            Verdict::Admitted { .. } => None,
            Verdict::Limited { charge, .. } => Some(admission.charges[charge].limit.rule.clone()),
        }
    }
}

fn spend(more: &str) -> Counted {
    Counted::by(vec![tools(&format!(
        r#"{{"pay": {{"limits": [{{"counter": "spend", "window": "day", "max": 100, "increment_from": "args.amount"{more}}}]}}}}"#
    ))])
}

#[tokio::test]
async fn no_amount_lowers_a_counter() {
    let counted = spend("");
    assert_eq!(counted.call("pay", r#"{"amount": 60}"#).await, None);
    for amount in [
        "-50",
        "-1e-9",
        "1e300",
        "-9223372036854775808",
        "9223372036854775807",
        "18446744073709551616",
        "1e999",
        "\"-50\"",
        "null",
        "[-50]",
        "{}",
    ] {
        let refused = counted.call("pay", &format!(r#"{{"amount": {amount}}}"#)).await;
        assert_eq!(refused.as_deref(), Some("/tools/pay/limits/spend"), "{amount}");
    }
    assert!(counted.call("pay", r#"{"amount": 41}"#).await.is_some());
    assert_eq!(counted.call("pay", r#"{"amount": 40}"#).await, None);
    assert!(counted.call("pay", r#"{"amount": 1}"#).await.is_some());
}

#[tokio::test]
async fn cents_are_counted_or_refused_and_never_nothing() {
    let whole_units = spend("");
    for amount in ["0.99", "0.5", "99.01", "1e-1"] {
        let refused = whole_units
            .call("pay", &format!(r#"{{"amount": {amount}}}"#))
            .await;
        assert!(refused.is_some(), "{amount}");
    }
    let cents = spend(r#", "scale": 2"#);
    for _ in 0..101 {
        assert_eq!(cents.call("pay", r#"{"amount": 0.99}"#).await, None);
    }
    // 99.99 are spent
    assert!(cents.call("pay", r#"{"amount": 0.02}"#).await.is_some());
    assert_eq!(cents.call("pay", r#"{"amount": 0.01}"#).await, None);
    assert!(cents.call("pay", r#"{"amount": 0.01}"#).await.is_some());
}

#[tokio::test]
async fn a_limit_counts_wherever_it_stands() {
    let limit = r#"{"counter": "c", "window": "day", "max": 2}"#;
    let entry = |key: &str| tools(&format!(r#"{{"{key}": {{"limits": [{limit}]}}}}"#));
    let everywhere = whole(&format!(
        r#"{{"version": "1", "default": "allow", "all_tools": {{"limits": [{limit}]}}}}"#
    ));
    let open = whole(r#"{"version": "1", "default": "allow"}"#);
    let short = tools(r#"{"a.b": {"rate_limit": "2/day"}}"#);
    for policies in [
        vec![entry("a.b")],
        vec![entry("a.*")],
        vec![entry("?.b")],
        vec![entry("*")],
        vec![Arc::clone(&everywhere)],
        vec![Arc::clone(&open), everywhere],
        vec![entry("a.b"), open],
        vec![short],
    ] {
        let shown = format!("{policies:?}");
        let counted = Counted::by(policies);
        assert_eq!(counted.call("a.b", "{}").await, None, "{shown}");
        assert_eq!(counted.call("a.b", "{}").await, None, "{shown}");
        assert!(counted.call("a.b", "{}").await.is_some(), "{shown}");
    }
}

#[tokio::test]
async fn a_call_that_one_limit_refuses_is_charged_to_none() {
    let limit =
        |counter: &str, max: u8| format!(r#"{{"counter": "{counter}", "window": "day", "max": {max}}}"#);
    let (first, second) = (limit("first", 5), limit("second", 1));
    for both in [format!("{first}, {second}"), format!("{second}, {first}")] {
        let counted = Counted::by(vec![tools(&format!(
            r#"{{"both": {{"limits": [{both}]}}, "probe": {{"limits": [{first}]}}}}"#
        ))]);
        assert_eq!(counted.call("both", "{}").await, None);
        for _ in 0..20 {
            let refused = counted.call("both", "{}").await;
            assert_eq!(refused.as_deref(), Some("/tools/both/limits/second"));
        }
        for left in (0..4).rev() {
            assert_eq!(counted.call("probe", "{}").await, None, "{left} are left");
        }
        assert!(counted.call("probe", "{}").await.is_some());
    }
}
