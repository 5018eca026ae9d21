//! Two grants never see or spend each other's limits or sessions, whatever they are called: over random entries,
//! claims and calls. What a grant is was written down here a second time, as plainly as can be.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;
use toolgate::counters::keys;
use toolgate::grants::{Credential, Grant, GrantsFile, Named, TokenHash};
use toolgate::policy::{Call, Caller, Claims, Plan, load, plan_tool};
use toolgate::proxy::SessionKey;
use toolgate::settings::Secret;

/// Names that try to be each other's.
const NAMES: [&str; 12] = [
    "a", "b", "ab", "a:b", "b:a", "a/b", "ci:a", "ci", ":", "#", "{sub}", "a\u{a0}b",
];
const PATTERNS: [&str; 7] = [
    "{sub}",
    "{team}",
    "{sub}{team}",
    "{team}{sub}",
    "ci:{sub}",
    "{sub}:{team}",
    "shared",
];

#[derive(Clone, Debug)]
enum Who {
    /// A static grant, by its place.
    Static(usize),
    /// A token: issuer, subject, team.
    Token(&'static str, &'static str, &'static str),
}

/// What makes a grant one grant: the entry, and of a pattern the issuer and the claims in it.
type Truth = (String, Vec<String>);

fn truth(who: &Who, ids: &[&str], patterns: &[(&str, &str)]) -> Option<Truth> {
    match who {
        Who::Static(place) => Some((format!("static {}", ids[*place]), Vec::new())),
        Who::Token(issuer, sub, team) => {
            let (_, pattern) = patterns.iter().find(|(of, _)| of == issuer)?;
            let mut parts = vec![(*issuer).to_owned()];
            for (name, value) in [("{sub}", sub), ("{team}", team)] {
                if pattern.contains(name) {
                    parts.push(format!("{name} is {value}"));
                }
            }
            Some((format!("pattern {pattern}"), parts))
        }
    }
}

fn who() -> impl Strategy<Value = Who> {
    let token = (
        select(vec!["i", "j"]),
        select(NAMES.to_vec()),
        select(NAMES.to_vec()),
    );
    prop_oneof![
        (0..3_usize).prop_map(Who::Static),
        token.prop_map(|(issuer, sub, team)| Who::Token(issuer, sub, team)),
    ]
}

const POLICY: &str = r#"{"version":"1","default":"allow","tools":{"run":{"limits":[
    {"counter":"g","window":"hour","max":3,"scope":"grant"},
    {"counter":"s","window":"hour","max":3,"scope":"session"},
    {"counter":"v","window":"hour","max":3,"scope":"arg:x"},
    {"counter":"w","window":"hour","max":3,"scope":"arguments"}]}}}"#;

/// The keys that one call would be counted in.
fn counted(grant: &Grant, session: &str) -> Vec<String> {
    let caller = Caller {
        grant: &grant.id,
        server: "s",
        session: Some(session),
        claims: grant.claims.as_deref(),
    };
    let call = Call {
        tool: "run",
        arguments: Some(r#"{"x":"1"}"#),
    };
    let charges = match plan_tool(&grant.policies, &caller, &call).plan {
        Plan::Admit(charges) => charges,
        other => panic!("the policy allows it: {other:?}"),
    };
    let charges = charges
        .into_iter()
        .map(|charge| charge.counted_for(grant.identity()));
    charges
        .map(|charge| keys::names("toolgate", &charge).key)
        .collect()
}

/// What every call of one grant is counted and signed under.
fn traces(grant: &Grant, key: &SessionKey) -> HashSet<String> {
    let mut traces: HashSet<String> = counted(grant, "session").into_iter().collect();
    traces.insert(key.sign("s", grant.identity(), "upstream-session").unwrap());
    traces.insert(
        key.sign_endpoint("s", grant.identity(), "upstream-endpoint")
            .unwrap(),
    );
    traces
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_grants_share_nothing_and_one_grant_shares_all(
        ids in proptest::sample::subsequence(NAMES.to_vec(), 3),
        first in select(PATTERNS.to_vec()),
        second in select(PATTERNS.to_vec()),
        callers in proptest::collection::vec(who(), 2..12),
    ) {
        let ids: Vec<&str> = ids.into_iter().filter(|id| !id.starts_with('#') && !id.contains('\u{a0}')).collect();
        prop_assume!(ids.len() == 3 && first != second);
        let patterns = [("i", first), ("j", second)];
        let entries = ids.iter().map(|id| {
            json!({ "id": id, "token_sha256": TokenHash::of(id.as_bytes()).to_hex(), "server": "s", "policy": "p" })
        });
        let rules = patterns.iter().filter(|(_, pattern)| !ids.contains(pattern)).map(|(issuer, pattern)| {
            json!({ "id": pattern, "jwt": { "issuer": issuer }, "server": "s", "policy": "p" })
        });
        let file = json!({ "grants": entries.chain(rules).collect::<Vec<_>>() }).to_string();
        let policy = Arc::new(load("p", "p", POLICY).unwrap().policy);
        let policies = BTreeMap::from([("p".to_owned(), policy)]);
        let named = Named {
            servers: vec!["s"],
            policies: &policies,
            issuers: vec!["i", "j"],
            anonymous: &BTreeMap::new(),
        };
        let path = Path::new("grants.yaml");
        let grants = GrantsFile::parse(path, &file).unwrap().resolve(path, &named).unwrap();
        let key = SessionKey::default();
        key.set(Secret::new(b"0123456789abcdef".to_vec()));

        let mut known: BTreeMap<Truth, HashSet<String>> = BTreeMap::new();
        for who in &callers {
            let credential = match who {
                Who::Static(place) => Credential::Token(TokenHash::of(ids[*place].as_bytes())),
                Who::Token(issuer, sub, team) => Credential::Claims {
                    issuer: (*issuer).to_owned(),
                    claims: Arc::new(Claims::read(&json!({ "sub": sub, "team": team }).to_string()).unwrap()),
                },
            };
            // no rule, or an id that is a static grant's
            let Ok(grant) = grants.find(&credential, "s") else { continue };
            let truth = truth(who, &ids, &patterns).unwrap();
            let traces = traces(&grant, &key);
            match known.get(&truth) {
                Some(same) => prop_assert_eq!(same, &traces, "one grant, counted apart: {:?}", who),
                None => {
                    for (other, theirs) in &known {
                        prop_assert!(theirs.is_disjoint(&traces), "{:?} meets {:?}", other, truth);
                    }
                    known.insert(truth, traces);
                }
            }
        }
    }
}
