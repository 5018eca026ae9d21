use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Counters, Settings, load_with};
use crate::settings::{Place, Redis};

struct Folder(PathBuf);

impl Folder {
    fn with(text: &str) -> Self {
        let unique = format!(
            "toolgate-settings-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        );
        let path = std::env::temp_dir().join(unique);
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("toolgate.yaml"), text).unwrap();
        Self(path)
    }

    fn load(&self, env: &[(&str, &str)]) -> Result<Settings, String> {
        let env: BTreeMap<_, _> = env
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let shown = format!("{}/", self.0.display());
        load_with(&self.0.join("toolgate.yaml"), &env).map_err(|error| error.to_string().replace(&shown, ""))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const PLAIN: &str = "servers:\n  s:\n    upstream: http://127.0.0.1:3000/mcp\n";

#[test]
fn what_is_left_out_gets_a_default() {
    let settings = Folder::with(PLAIN).load(&[]).unwrap();
    assert_eq!(settings.front.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.front.admin.to_string(), "127.0.0.1:9090");
    assert!(matches!(settings.counters, Counters::Memory));
    assert_eq!(settings.limits.body_bytes, 4_194_304);
}

#[test]
fn the_environment_overrides_the_file() {
    let folder = Folder::with(PLAIN);
    let settings = folder
        .load(&[
            ("TOOLGATE__LISTEN", "127.0.0.1:1"),
            ("TOOLGATE__COUNTERS__STORE", "redis"),
            ("TOOLGATE__COUNTERS__URL", "redis://:hunter2@127.0.0.1:6379"),
            ("TOOLGATE__SERVERS__S__UPSTREAM", "http://127.0.0.1:4000/x"),
            ("TOOLGATE__LIMITS__BODY_BYTES", "2048"),
            ("TOOLGATE__ALLOWED_ORIGINS", "http://a.example, http://b.example"),
        ])
        .unwrap();
    assert_eq!(settings.front.listen.to_string(), "127.0.0.1:1");
    assert_eq!(
        settings.servers["s"].upstream.to_string(),
        "http://127.0.0.1:4000/x"
    );
    assert_eq!(settings.limits.body_bytes, 2048);
    assert_eq!(
        settings.front.allowed_origins,
        ["http://a.example", "http://b.example"]
    );
    assert!(!format!("{settings:?}").contains("hunter2"));
}

#[test]
fn variables_that_kubernetes_sets_for_a_service_named_toolgate_are_not_overrides() {
    let folder = Folder::with(PLAIN);
    folder
        .load(&[
            ("TOOLGATE_PORT", "tcp://10.0.0.1:80"),
            ("TOOLGATE_SERVICE_HOST", "10.0.0.1"),
        ])
        .unwrap();
}

#[test]
fn an_unknown_key_is_refused_with_its_line() {
    let error = Folder::with("listen: 127.0.0.1:0\nlissten: x\n")
        .load(&[])
        .unwrap_err();
    assert!(error.starts_with("toolgate.yaml: "), "{error}");
    assert!(error.contains("lissten") && error.contains("line 2"), "{error}");
}

#[test]
fn an_unknown_override_is_refused_and_the_environment_is_named() {
    let error = Folder::with(PLAIN)
        .load(&[("TOOLGATE__LISSTEN", "x")])
        .unwrap_err();
    assert!(
        error.contains("lissten") && error.contains("environment"),
        "{error}"
    );
}

#[test]
fn all_problems_are_told_at_once() {
    let error = Folder::with(
        "listen: here\ncounters: { store: etcd }\nservers:\n  s: { upstream: ftp://x }\n  t: { host: mine }\n",
    )
    .load(&[])
    .unwrap_err();
    for part in [
        "`listen`",
        "`counters.store`",
        "`servers.s.upstream`",
        "`servers.t.host`",
        "`servers.t.upstream`",
    ] {
        assert!(error.contains(part), "{part} is missing in:\n{error}");
    }
}

#[test]
fn an_upstream_credential_comes_from_the_environment_or_a_file_and_is_never_shown() {
    let text = "servers:\n  s:\n    upstream: http://127.0.0.1:3000/mcp\n    headers: { Authorization: { env: TOKEN }, X-Key: { file: key } }\n";
    let folder = Folder::with(text);
    std::fs::write(folder.0.join("key"), "from-file\n").unwrap();
    let settings = folder.load(&[("TOKEN", "Bearer from-env")]).unwrap();
    let headers = settings.servers["s"].headers.iter();
    let headers: Vec<_> = headers
        .map(|(name, value)| (name.as_str(), value.value.expose().as_str()))
        .collect();
    assert_eq!(
        headers,
        [("authorization", "Bearer from-env"), ("x-key", "from-file")]
    );
    let shown = format!("{settings:?}");
    assert!(
        !shown.contains("from-env") && !shown.contains("from-file"),
        "{shown}"
    );

    let error = folder.load(&[]).unwrap_err();
    assert!(
        error.contains("servers.s.headers.") && error.contains("`TOKEN`"),
        "{error}"
    );
}

#[test]
fn a_missing_file_is_named_with_the_remedy() {
    let error = load_with(&PathBuf::from("/nowhere/toolgate.yaml"), &BTreeMap::new())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("/nowhere/toolgate.yaml") && error.contains("--config"),
        "{error}"
    );
}

fn with_counters(counters: &str) -> Folder {
    Folder::with(&format!("counters: {{ store: redis, {counters} }}\n{PLAIN}"))
}

fn redis_of(settings: &Settings) -> &Redis {
    match &settings.counters {
        Counters::Redis(redis) => redis,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_store_has_exactly_one_place() {
    for (counters, part) in [
        ("prefix: t", "no place"),
        ("url: redis://h, cluster: [redis://h]", "more than one place"),
        ("url: http://h", "write redis://"),
        ("url: rediss://h/#insecure", "without a fragment"),
        ("cluster: [redis://h, rediss://h]", "some with TLS"),
        ("sentinel: { master: m, urls: [] }", "no sentinel"),
        ("url: redis://h, username: u", "a user without a password"),
        ("url: redis://h, password: { env: NONE }", "`NONE`"),
        ("url: rediss://h, tls: { cert: c.pem }", "`cert` and `key`"),
        ("url: rediss://h, tls: { ca: missing.pem }", "missing.pem"),
        ("url: rediss://h, tls: { ca: toolgate.yaml }", "not in PEM form"),
        (
            "url: redis://h, expected_replicas: 0",
            "`counters.expected_replicas`",
        ),
    ] {
        let error = with_counters(counters).load(&[]).unwrap_err();
        assert!(error.contains(part), "{counters}: {error}");
    }
    let error = Folder::with(&format!("counters: {{ cluster: [redis://h] }}\n{PLAIN}"));
    assert!(error.load(&[]).unwrap_err().contains("add `store: redis`"));
}

#[test]
fn the_ways_to_reach_a_store_are_read_and_their_secrets_never_shown() {
    let folder = with_counters(
        "sentinel: { master: m, urls: ['rediss://:hunter2@h:1'] }, username: u, password: { file: pw }, tls: { ca: ca.pem, cert: ca.pem, key: ca.pem }",
    );
    std::fs::write(folder.0.join("pw"), "hunter2\n").unwrap();
    std::fs::write(folder.0.join("ca.pem"), "-----BEGIN hunter2-----\n").unwrap();
    let settings = folder.load(&[]).unwrap();
    let redis = redis_of(&settings);
    let Place::Sentinel { master, urls } = &redis.place else {
        panic!("{redis:?}")
    };
    assert_eq!((master.as_str(), urls.len()), ("m", 1));
    assert_eq!(redis.password.as_ref().unwrap().expose(), "hunter2");
    assert!(redis.tls.ca.is_some() && redis.tls.client.is_some());
    assert!(!format!("{settings:?}").contains("hunter2"));

    let folder = Folder::with(PLAIN);
    let environment = [
        ("TOOLGATE__COUNTERS__STORE", "redis"),
        ("TOOLGATE__COUNTERS__CLUSTER", "redis://a, redis://b"),
        ("TOOLGATE__COUNTERS__PASSWORD__ENV", "PW"),
        ("PW", "hunter2"),
    ];
    let settings = folder.load(&environment).unwrap();
    assert!(matches!(&redis_of(&settings).place, Place::Cluster(urls) if urls.len() == 2));
}

#[test]
fn decisions_go_to_stdout_unless_another_place_is_named() {
    let audit = |section: &str| {
        Folder::with(&format!("{PLAIN}{section}"))
            .load(&[])
            .unwrap()
            .audit
    };
    let plain = audit("");
    assert!(plain.stdout && plain.file.is_none() && !plain.drops && !plain.goes_on);
    let file = audit("audit: { file: logs/audit.jsonl, overflow: drop, on_error: continue }\n");
    assert!(!file.stdout && file.drops && file.goes_on);
    assert!(file.file.unwrap().ends_with("logs/audit.jsonl"));
    assert!(audit("audit: { file: a, stdout: true }\n").stdout);
    let stream = "counters: { store: redis, url: redis://127.0.0.1:1 }\naudit: { redis_stream: log }\n";
    let stream = audit(stream);
    assert!(!stream.stdout && stream.redis_stream.unwrap().lines == 100_000);
}

#[test]
fn an_audit_log_that_has_no_place_is_refused_with_every_problem() {
    let folder = Folder::with(&format!(
        "{PLAIN}audit: {{ redis_stream: 'a b', redis_lines: 0, keep: 0, rotate_bytes: 9, overflow: block, on_error: stop }}\n"
    ));
    let said = folder.load(&[]).unwrap_err();
    for key in ["redis_lines", "keep", "rotate_bytes", "overflow", "on_error"] {
        assert!(said.contains(&format!("`audit.{key}`:")), "{key}: {said}");
    }
    assert_eq!(said.matches("`audit.redis_stream`").count(), 2, "{said}");
    assert!(
        said.contains("`block` is no choice: write wait or drop"),
        "{said}"
    );
    let nowhere = Folder::with(&format!("{PLAIN}audit: {{ stdout: false }}\n"));
    assert!(
        nowhere
            .load(&[])
            .unwrap_err()
            .contains("`audit.stdout`: no place for decisions is left")
    );
}
