//! Whose call it is, from `toolgate.yaml` and `grants.yaml`.

use super::{Folder, POLICY, explain, json, try_explain};

const SETTINGS: &str = "listen: 127.0.0.1:8080\nadmin: 127.0.0.1:9090\nservers:\n  git: { upstream: \"http://127.0.0.1:3000/mcp\" }\n  web: { upstream: \"http://127.0.0.1:3001/mcp\" }\npolicies: { org: org.yaml, team: team.yaml }\ngrants: grants.yaml\n";

fn with_settings(name: &str) -> (Folder, String) {
    let folder = Folder::new(name);
    let hash = |digit: &str| digit.repeat(64);
    folder.file("team.yaml", POLICY);
    folder.file(
        "org.yaml",
        "version: \"1\"\ndefault: allow\nall_tools: { limits: [{ counter: c, window: day, max: 9 }] }\n",
    );
    folder.file(
        "grants.yaml",
        &format!(
            "grants:\n  - {{ id: ci, token_sha256: \"{}\", server: git, policy: [org, team], claims: {{ team: a }} }}\n  - {{ id: old, token_sha256: \"{}\", server: [git, web], policy: team, expires: 2020-01-01T00:00:00Z }}\n",
            hash("a"),
            hash("b")
        ),
    );
    let config = folder.file("toolgate.yaml", SETTINGS);
    (folder, config)
}

#[test]
fn a_grant_of_the_settings_brings_its_policies_claims_and_server() {
    let (_folder, config) = with_settings("config");
    let call = json(&[
        "--config", &config, "--grant", "ci", "--tool", "push", "--arg", "branch=x", "--arg", "size=1",
    ]);
    assert_eq!(call.pointer("/server").unwrap(), "git");
    let rules: Vec<_> = call
        .pointer("/charges")
        .unwrap()
        .as_array()
        .unwrap()
        .iter()
        .map(|charge| charge.get("rule").unwrap().as_str().unwrap())
        .collect();
    assert_eq!(
        rules,
        [
            "org#/all_tools/limits/c",
            "team#/tools/push/limits/pushes",
            "team#/tools/push/limits/team",
            "team#/tools/push/limits/size"
        ]
    );
    let files: Vec<_> = ["/charges/0/place/file", "/charges/1/place/file"]
        .map(|at| call.pointer(at).unwrap().as_str().unwrap().to_owned())
        .to_vec();
    assert!(
        files[0].ends_with("org.yaml") && files[1].ends_with("team.yaml"),
        "{files:?}"
    );
}

#[test]
fn policies_that_are_named_beside_a_grant_take_the_place_of_its_own() {
    let (folder, config) = with_settings("instead");
    let other = folder.file("other.yaml", "version: \"1\"\ndefault: deny\ntools: { x: { require: [{ conditions: [{ path: grant.claims.team, op: eq, value: a }] }] } }\n");
    explain(&[
        &other, "--config", &config, "--grant", "ci", "--tool", "x", "--expect", "allowed",
    ]);
    explain(&[
        &other, "--config", &config, "--grant", "ci", "--tool", "push", "--expect", "hidden",
    ]);
}

#[test]
fn a_grant_that_gets_401_is_said_to() {
    let (_folder, config) = with_settings("expired");
    let with = |grant: &str, more: &[&str]| {
        let fixed = ["--config", &config, "--grant", grant, "--tool", "push"];
        try_explain(&fixed.into_iter().chain(more.iter().copied()).collect::<Vec<_>>())
    };
    let (_, out) = with("old", &["--server", "git"]).unwrap();
    assert!(
        out.contains("note: the grant expired at 2020-01-01T00:00:00Z"),
        "{out}"
    );
    let error = |result: anyhow::Result<(u8, String)>| result.unwrap_err().to_string();
    assert!(error(with("old", &[])).contains("choose one with --server: git, web"));
    assert!(error(with("ci", &["--server", "web"])).contains("does not reach the server `web`"));
    assert!(error(with("nobody", &[])).contains("no grant has the id `nobody`"));
}
