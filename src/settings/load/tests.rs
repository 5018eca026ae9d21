use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Counters, Settings, load_with};

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
