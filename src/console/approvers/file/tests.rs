use std::path::Path;
use std::sync::Arc;

use super::ApproversFile;
use crate::console::approvers::{Approvers, Role};
use crate::grants::{Grant, Grants, TokenHash};

fn hash(token: &str) -> String {
    TokenHash::of(token.as_bytes()).to_hex()
}

fn read(text: &str) -> Result<Approvers, String> {
    let path = Path::new("approvers.yaml");
    let grant = Grant {
        id: "ci".to_owned(),
        ..Grant::default()
    };
    let grants = Grants::new([(TokenHash::of(b"agent"), Arc::new(grant))]);
    let file = ApproversFile::parse(path, text).map_err(|error| error.to_string())?;
    file.resolve(path, &["coalesce", "stripe"], &grants)
        .map_err(|error| error.to_string())
}

fn now() -> jiff::Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

#[test]
fn an_approver_reaches_what_its_entry_names_until_it_expires() {
    let text = format!(
        "approvers:\n  - {{ id: lead, token_sha256: \"{}\", role: approver, servers: [coalesce], tools: [\"refund_*\"] }}\n  - {{ id: eye, tokens_sha256: [\"{}\", \"{}\"], role: viewer, expires: 2026-01-01T00:00:00Z, label: on call }}\n",
        hash("lead"),
        hash("eye"),
        hash("eye 2")
    );
    let approvers = read(&text).unwrap();
    let lead = approvers.find(&TokenHash::of(b"lead"), now()).unwrap();
    assert_eq!((lead.id.as_str(), lead.role), ("lead", Role::Approver));
    assert!(lead.reaches("coalesce", "refund_all") && !lead.reaches_all());
    assert!(!lead.reaches("coalesce", "list") && !lead.reaches("stripe", "refund_all"));
    let before = "2025-12-31T23:59:59Z".parse().unwrap();
    assert!(
        approvers
            .find(&TokenHash::of(b"eye 2"), before)
            .unwrap()
            .reaches_all()
    );
    assert!(approvers.find(&TokenHash::of(b"eye 2"), now()).is_none());
    assert!(approvers.find(&TokenHash::of(b"nobody"), now()).is_none());
}

#[test]
fn every_problem_is_told_with_its_place_and_what_to_do() {
    let agent = hash("agent");
    let text = format!(
        "approvers:\n  - {{ id: a, role: approver, token_sha256: \"{agent}\" }}\n  - {{ id: a, role: viewer, servers: [nowhere], tools: [\"`x`\"], expires: soon, token_sha256: abc }}\n  - {{ id: b c, role: viewer, servers: [], tools: [] }}\n  - {{ id: d, role: approver, token_sha256: \"{agent}\" }}\n"
    );
    let problems = read(&text).unwrap_err();
    for part in [
        "approvers.yaml: approvers[0] (`a`): the token is that of the grant `ci` too: a grant can never approve",
        "approvers[1] (`a`): the id stands at approvers[0] too",
        "no server `nowhere`; they have: coalesce, stripe",
        "`tools`: \"`x`\" is no name or glob",
        "`expires: soon` is no time: write 2027-01-01T00:00:00Z",
        "`token_sha256` must be 64 hexadecimal digits",
        "approvers[2] (`b c`): an id must be 1 to 128 characters without blanks",
        "`servers` is empty",
        "`tools` is empty",
        "nobody can act as this approver",
        "approvers[3] (`d`): the token is that of approvers[0] (`a`) too",
    ] {
        assert!(problems.contains(part), "{part}\n is not in\n{problems}");
    }
}

#[test]
fn unknown_keys_and_roles_are_refused_with_their_line() {
    let problem = read("approvers:\n  - { id: a, role: admin }\n").unwrap_err();
    assert!(
        problem.contains("approvers.yaml: ") && problem.contains("line 2"),
        "{problem}"
    );
    let problem = read("approvers:\n  - { id: a, role: viewer, tokens: x }\n").unwrap_err();
    assert!(problem.contains("unknown field `tokens`"), "{problem}");
    assert!(read("").unwrap().is_empty() && read("approvers:\n").unwrap().is_empty());
}
