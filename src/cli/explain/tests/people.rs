use super::*;

#[test]
fn a_call_that_people_must_agree_to_is_told_with_the_rule_that_asks() {
    let folder = Folder::new("people");
    let policy = folder.file("p.yaml", POLICY);
    let asked = [
        &policy,
        "--tool",
        "pay",
        "--arg",
        "amount=101",
        "--expect",
        "needs_approval",
    ];
    let told = json(&asked);
    let decision = &told["decision"];
    assert_eq!(
        (&decision["approvers"], &decision["rule"]),
        (&2.into(), &"/tools/pay/approve_if/0".into())
    );
    assert_eq!(decision["place"]["line"], 23);
    let text = explain(&asked);
    for part in [
        "needs_approval: a call of `pay`",
        "2 people must approve this call: Large.",
        "Once it is approved, the same call runs once.",
        "ASKS     /tools/pay/action",
        "Charged once it is approved, all in one step",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}
