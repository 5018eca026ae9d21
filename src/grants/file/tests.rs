use std::path::Path;

use super::*;
use crate::policy::{Claims, load};

const HASH: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const OTHER: &str = "cb8379ac2098aa165029e3938a51da0bcecfc008fd6795f401178647f96c5b34";

fn resolved(text: &str) -> Result<Grants, GrantsError> {
    let path = Path::new("grants.yaml");
    let policy = |name: &str, text: &str| {
        let text = format!("version: \"1\"\ndefault: deny\n{text}");
        (name.to_owned(), Arc::new(load(name, name, &text).unwrap().policy))
    };
    let limit = |mode: &str| {
        format!("all_tools: {{ limits: [{{ counter: c, window: day, max: 9, mode: {mode} }}] }}")
    };
    let policies = BTreeMap::from([
        policy("open", ""),
        policy("sliding", &limit("sliding")),
        policy("calendar", &limit("calendar")),
    ]);
    let anonymous = BTreeMap::from([("t".to_owned(), "nobody".to_owned())]);
    let open = text.contains("id: nobody");
    let named = Named {
        servers: vec!["s", "t"],
        policies: &policies,
        issuers: vec!["cluster"],
        anonymous: if open { &anonymous } else { &BTreeMap::new() },
    };
    GrantsFile::parse(path, text)?.resolve(path, &named)
}

/// One grant with these further keys.
fn one(keys: &str) -> Result<Grants, GrantsError> {
    resolved(&format!(
        "grants:\n  - {{ id: ci, token_sha256: {HASH}, server: s, {keys} }}\n"
    ))
}

fn problems(found: Result<Grants, GrantsError>) -> String {
    found.unwrap_err().to_string()
}

#[test]
fn a_file_without_grants_holds_none() {
    for text in ["", " \n", "grants:\n", "grants: []\n"] {
        assert_eq!(resolved(text).unwrap().iter().count(), 0, "{text:?}");
    }
}

#[test]
fn a_grant_is_found_by_its_token_alone_and_carries_what_is_written() {
    let token = b"abc";
    let grants =
        one("policy: [open, sliding], expires: 2027-01-01T00:00:00Z, claims: { team: data, k: { ns: ci } }")
            .unwrap();
    let grant = grants.of_token(token).unwrap();
    assert_eq!((grant.id.as_str(), grant.policies.len()), ("ci", 2));
    assert!(grant.reaches("s", "2026-12-31T23:59:59Z".parse().unwrap()));
    assert!(!grant.reaches("s", "2027-01-01T00:00:00Z".parse().unwrap()));
    assert!(!grant.reaches("t", "2026-12-31T23:59:59Z".parse().unwrap()));
    assert_eq!(
        grant.claims.as_deref().cloned(),
        Claims::read(r#"{"k": {"ns": "ci"}, "team": "data"}"#)
    );
    assert!(grants.of_token(b"abd").is_none());
}

#[test]
fn every_problem_is_told_with_its_grant_and_the_remedy() {
    let text = format!(
        "grants:\n  - {{ id: a b, token_sha256: {HASH}, server: x }}\n  - {{ id: c, token_sha256: {HASH}, server: s, policy: opne }}\n  - {{ id: c, token_sha256: beef, server: [s, t], expires: soon }}\n"
    );
    let found = problems(resolved(&text));
    for part in [
        "grants.yaml: grants[0] (`a b`): an id must be some characters without blanks",
        "no server `x`; they have: s, t",
        "grants[1] (`c`): the settings have no policy `opne`; they have: calendar, open, sliding",
        "the token is that of grants[0] (`a b`) too",
        "grants[2] (`c`): the id stands at grants[1] too",
        "`token_sha256` must be 64 hexadecimal digits",
        "`expires: soon` is no time",
    ] {
        assert!(found.contains(part), "{part}\n{found}");
    }
}

#[test]
fn an_unknown_key_is_refused_with_its_line() {
    let found = problems(one("polcy: open"));
    assert!(found.contains("polcy") && found.contains("line 2"), "{found}");
}

#[test]
fn policies_of_one_grant_that_contradict_each_other_are_refused() {
    let found = problems(one("policy: [sliding, calendar]"));
    assert!(found.contains("mode `calendar` here and `sliding`"), "{found}");
}

#[test]
fn a_slash_in_the_name_of_a_claim_would_be_read_as_two_levels_and_is_refused() {
    for claims in ["{ a/b: c }", "{ x: { a/b: c } }"] {
        let found = problems(one(&format!("policy: open, claims: {claims}")));
        assert!(found.contains("the claim `a/b` holds a `/`"), "{found}");
        assert!(found.contains("write `a` and `b`"), "{found}");
    }
}

#[test]
fn a_hash_may_be_written_in_capitals() {
    let upper = HASH.to_uppercase();
    let text = format!(
        "grants:\n  - {{ id: a, token_sha256: {upper}, server: s }}\n  - {{ id: b, token_sha256: {OTHER}, server: s }}\n"
    );
    let grants = resolved(&text).unwrap();
    assert_eq!(grants.of_token(b"abc").unwrap().id, "a");
    assert_eq!(grants.iter().count(), 2);
}

#[test]
fn entries_for_an_issuers_tokens_say_what_does_not_fit() {
    let jwt = |id: &str, jwt: &str, more: &str| {
        resolved(&format!(
            "grants:\n  - {{ id: '{id}', jwt: {jwt}, server: s, policy: open{more} }}\n"
        ))
    };
    assert!(
        jwt(
            "u:{sub}",
            "{ issuer: cluster, claims: { k.io/ns: ci, n: 7, ok: true } }",
            ""
        )
        .is_ok()
    );
    for (id, entry, more, wanted) in [
        (
            "u",
            "{ issuer: other }",
            "",
            "the settings have no issuer `other`; they have: cluster",
        ),
        (
            "u:{sub",
            "{ issuer: cluster }",
            "",
            "write each claim as `{NAME}`",
        ),
        (
            "u",
            "{ issuer: cluster, claims: { a: [b] } }",
            "",
            "the claim `a` must be a text, a boolean or a whole number",
        ),
        (
            "u",
            "{ issuer: cluster }",
            ", claims: { a: b }",
            "its claims are those of the token",
        ),
        ("u", "{ issuer: cluster, claim: { a: b } }", "", "claim"),
        ("#u", "{ issuer: cluster }", "", "an id does not start with `#`"),
    ] {
        let found = problems(jwt(id, entry, more));
        assert!(found.contains(wanted), "{id} {entry}: {found}");
    }
    let both = format!(", token_sha256: {HASH}");
    let found = problems(jwt("u", "{ issuer: cluster }", &both));
    assert!(found.contains("has none of its own"), "{found}");
}

#[test]
fn a_grant_has_some_way_to_be_acted_as() {
    let none = |more: &str| resolved(&format!("grants:\n  - {{ id: a, server: s{more} }}\n"));
    let found = problems(none(""));
    assert!(
        found.contains("nobody can act as this grant: add `token_sha256`"),
        "{found}"
    );
    // shut on purpose
    assert!(none(", tokens_sha256: []").is_ok());
    let open = |server: &str| resolved(&format!("grants:\n  - {{ id: nobody, server: {server} }}\n"));
    let grants = open("[s, t]").unwrap();
    assert_eq!(
        grants.anonymous().map(|(server, _)| server).collect::<Vec<_>>(),
        ["t"]
    );
    let found = problems(open("s"));
    assert!(found.contains("names `nobody` for the server `t`"), "{found}");
}

#[test]
fn of_several_tokens_each_finds_the_grant_and_none_stands_twice() {
    let tokens = |tokens: &str| {
        resolved(&format!(
            "grants:\n  - {{ id: a, tokens_sha256: {tokens}, server: s }}\n"
        ))
    };
    let grants = tokens(&format!("[{HASH}, {OTHER}]")).unwrap();
    assert_eq!(
        (
            grants.of_token(b"abc").unwrap().id.as_str(),
            grants.iter().count()
        ),
        ("a", 1)
    );
    let found = problems(tokens(&format!("[{HASH}, {HASH}, beef]")));
    assert!(found.contains("the token is that of grants[0]"), "{found}");
    assert!(
        found.contains("`tokens_sha256` must be 64 hexadecimal digits"),
        "{found}"
    );
}
