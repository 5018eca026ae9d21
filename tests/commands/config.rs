//! `check --config`: whatever would stop `serve` about the settings and the files that they name.

use std::fs;

use serde_json::Value;

use super::{FAULTY, Folder, SOUND};

const ASKS: &str = "version: \"1\"\ndefault: deny\ntools: { a: { action: require_approval } }\n";
const NOBODY: &str = "approvers: [{ id: ann, role: approver }]\n";

/// Exit code, and each file with its errors.
fn checked(folder: &Folder) -> (i32, Vec<(String, Vec<String>)>) {
    let ran = folder.run(&["check", "--format", "json", "--config", "toolgate.yaml"]);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of_file = |file: &Value| {
        let problems = file["problems"].as_array().unwrap().iter();
        let errors = problems.filter(|problem| problem["level"] == "error");
        (
            text(&file["file"]),
            errors.map(|problem| text(&problem["message"])).collect(),
        )
    };
    let report = ran.json();
    (
        ran.code,
        report["files"].as_array().unwrap().iter().map(of_file).collect(),
    )
}

/// That these files, in this order, have one error each, which says this; the empty text: none.
fn says(found: &[(String, Vec<String>)], expected: &[(&str, &str)]) {
    let files: Vec<&str> = found.iter().map(|(file, _)| file.as_str()).collect();
    let names: Vec<&str> = expected.iter().map(|(file, _)| *file).collect();
    assert_eq!(files, names, "{found:?}");
    for ((file, errors), (_, said)) in found.iter().zip(expected) {
        match errors.as_slice() {
            [] => assert_eq!(*said, "", "{file}"),
            [error] => assert!(!said.is_empty() && error.contains(said), "{file}: {error}"),
            many => panic!("{file}: {many:?}"),
        }
    }
}

#[test]
fn without_grants_the_other_files_are_checked_all_the_same() {
    let settings = "servers: { s: { upstream: http://127.0.0.1:1/mcp, pin: true } }\npolicies: { p: p.yaml }\n\
                    counters: { store: redis, url: 'redis://127.0.0.1:1' }\n";
    let folder = Folder::new(&[
        (
            "toolgate.yaml",
            &format!("{settings}approvals: {{ approvers: a.yaml }}\n"),
        ),
        ("p.yaml", ASKS),
        ("a.yaml", NOBODY),
    ]);
    let (code, found) = checked(&folder);
    assert_eq!(code, 1);
    says(
        &found,
        &[
            ("toolgate.yaml", "set `approvals: { key: { env: NAME } }`"),
            ("p.yaml", ""),
            ("a.yaml", "approvers[0] (`ann`)"),
            ("pins/s.json", "`toolgate pin s --config toolgate.yaml`"),
        ],
    );
    let write = |name: &str, text: &str| fs::write(folder.0.join(name), text).unwrap();
    let whole = format!("{settings}approvals: {{ approvers: a.yaml, key: {{ file: key }} }}\n");
    write("toolgate.yaml", &whole);
    write("key", "0123456789abcdef");
    write("a.yaml", "approvers: []\n");
    fs::create_dir(folder.0.join("pins")).unwrap();
    write("pins/s.json", r#"{"version":1,"server":"s","tools":{}}"#);
    let (code, found) = checked(&folder);
    assert_eq!(code, 0, "{found:?}");
}

#[test]
fn a_faulty_policy_hides_no_fault_but_those_of_the_grants_that_carry_it() {
    let folder = Folder::new(&[
        (
            "toolgate.yaml",
            "servers: { s: { upstream: http://127.0.0.1:1/mcp, pin: true } }\npolicies: { p: p.yaml }\n\
             grants: grants.yaml\napprovals: { approvers: a.yaml }\n",
        ),
        ("p.yaml", FAULTY),
        (
            "grants.yaml",
            "grants: [{ id: g, token_sha256: \"00\", server: s, policy: p }]\n",
        ),
        ("a.yaml", NOBODY),
    ]);
    let others = [
        ("a.yaml", "approvers[0] (`ann`)"),
        ("pins/s.json", "toolgate pin s"),
    ];
    let (code, found) = checked(&folder);
    assert_eq!(code, 1);
    let faulty = [
        ("toolgate.yaml", ""),
        ("p.yaml", "unknown key"),
        ("grants.yaml", ""),
    ];
    says(&found, &[&faulty[..], &others].concat());
    fs::write(folder.0.join("p.yaml"), SOUND).unwrap();
    let (_, found) = checked(&folder);
    let carried = [
        ("toolgate.yaml", ""),
        ("p.yaml", ""),
        ("grants.yaml", "grants[0]"),
    ];
    says(&found, &[&carried[..], &others].concat());
}

#[test]
fn certificates_and_addresses_that_stop_a_start_are_found() {
    let folder = Folder::new(&[(
        "ca.pem",
        "-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n",
    )]);
    for (more, said) in [
        (
            "public_url: https://g.example\nissuers: { k: { issuer: 'https://i.example', jwks_ca: gone.pem } }\n",
            "`issuers.k.jwks_ca`",
        ),
        (
            "counters: { store: redis, url: 'rediss://127.0.0.1:1', tls: { ca: ca.pem } }\n",
            "the certificates for the store cannot be read",
        ),
        (
            "counters: { store: redis, url: 'redis://127.0.0.1:1', prefix: 'a b' }\n",
            "the store's prefix `a b`",
        ),
        ("tracing: { otlp: 'https://-/' }\n", "`tracing.otlp`"),
        (
            "approvals: { webhooks: [{ url: 'https://-/', format: slack }] }\n",
            "`approvals.webhooks[0]`",
        ),
    ] {
        let settings = format!("servers: {{ s: {{ upstream: 'http://127.0.0.1:1/mcp' }} }}\n{more}");
        fs::write(folder.0.join("toolgate.yaml"), settings).unwrap();
        let (code, found) = checked(&folder);
        assert_eq!(code, 1, "{more}");
        says(&found, &[("toolgate.yaml", said)]);
    }
}
