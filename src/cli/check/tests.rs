use super::*;

fn sample(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/policies")
        .join(path)
}

fn options(strict: bool) -> Options {
    Options {
        strict,
        ..Options::default()
    }
}

fn check(paths: &[&str], strict: bool) -> (u8, String) {
    let paths: Vec<PathBuf> = paths.iter().map(|path| sample(path)).collect();
    let mut out = Vec::new();
    let code = run(&paths, &options(strict), &mut out).unwrap();
    (code, String::from_utf8(out).unwrap())
}

const VALID: &str = "valid/product.json";
const WARNED: &str = "warned/session-only.yaml";
const INVALID: &str = "invalid/default-unknown.yaml";

#[test]
fn a_clean_policy_is_said_to_be_ok() {
    let (code, out) = check(&[VALID], true);
    assert_eq!(code, CLEAN);
    let file = sample(VALID);
    assert_eq!(
        out,
        format!("{}: ok\nchecked 1 policy: 0 errors, 0 warnings\n", file.display())
    );
}

#[test]
fn warnings_are_told_and_count_only_when_strict() {
    let (code, out) = check(&[VALID, WARNED], false);
    assert_eq!(code, CLEAN);
    assert!(out.contains("session-only.yaml:4:25: warning: "), "{out}");
    assert!(
        out.ends_with("checked 2 policies: 0 errors, 2 warnings\n"),
        "{out}"
    );
    assert_eq!(check(&[VALID, WARNED], true).0, FAULTY);
}

#[test]
fn errors_are_told_with_their_place_and_every_policy_is_looked_at() {
    let (code, out) = check(&[INVALID, "invalid/empty.yaml", VALID], false);
    assert_eq!(code, FAULTY);
    assert!(out.contains("default-unknown.yaml:2:10: error: "), "{out}");
    assert!(out.contains("empty.yaml:1:1: error: "), "{out}");
    assert!(out.contains("product.json: ok"), "{out}");
    assert!(
        out.ends_with("checked 3 policies: 2 errors, 0 warnings\n"),
        "{out}"
    );
}

#[test]
fn what_cannot_be_read_outweighs_errors_and_stops_nothing() {
    let (code, out) = check(&["no-such-file.json", "valid", INVALID], false);
    assert_eq!(code, UNREADABLE);
    assert!(
        out.contains("no-such-file.json: error: cannot be read: "),
        "{out}"
    );
    assert!(out.contains("default-unknown.yaml:2:10: error: "), "{out}");
    assert!(
        out.ends_with("checked 3 policies: 1 error, 0 warnings, 2 unreadable\n"),
        "{out}"
    );
}

#[test]
fn a_file_without_end_is_not_read_to_its_end() {
    let mut out = Vec::new();
    assert_eq!(
        run(&[PathBuf::from("/dev/zero")], &options(false), &mut out).unwrap(),
        UNREADABLE
    );
    assert!(
        String::from_utf8(out)
            .unwrap()
            .contains("more than 16777216 bytes")
    );
}
