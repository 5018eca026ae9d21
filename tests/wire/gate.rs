//! A gate in this process, on free ports, with its files in a folder of its own.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use toolgate::app::{App, Reload, load_files};
use toolgate::approvals::Approvals;
use toolgate::grants::TokenHash;
use toolgate::record::Lines;
use toolgate::settings;

use super::client::{Answer, Client, Req, request};
use super::upstream::Upstream;
use super::{BARE, CI, ELSEWHERE, LATE, OTHER, until, within};

/// What a gate is made of. `Setup::default()` allows everything.
#[derive(Clone)]
pub struct Setup {
    pub policy: String,
    /// Further lines of the settings file.
    pub settings: String,
    /// Further keys of the server `s`, in flow style: `, host: pass`.
    pub server: String,
    /// A second server `t`, and a grant for it.
    pub second: Option<SocketAddr>,
    pub env: BTreeMap<String, String>,
    /// The pins of the server `s`, as their file's text.
    pub pins: Option<String>,
    /// The upstream is asked over TLS.
    pub https: bool,
    /// The upstream's name, in place of its address.
    pub host: Option<&'static str>,
    /// Further files, by name.
    pub files: BTreeMap<String, String>,
    /// Further lines of `grants.yaml`.
    pub grants: String,
    /// Files are read again where they change.
    pub reloads: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            policy: r#"{"version":"1","default":"allow"}"#.to_owned(),
            settings: String::new(),
            server: String::new(),
            second: None,
            env: BTreeMap::new(),
            pins: None,
            https: false,
            host: None,
            files: BTreeMap::new(),
            grants: String::new(),
            reloads: false,
        }
    }
}

impl Setup {
    pub fn policy(policy: &str) -> Self {
        Self {
            policy: policy.to_owned(),
            ..Self::default()
        }
    }

    /// Two `runs` an hour for a grant, everything else allowed.
    pub fn two_runs() -> Self {
        Self::runs(2, "grant")
    }

    pub fn runs(max: u32, scope: &str) -> Self {
        Self::policy(&format!(
            r#"{{"version":"1","default":"allow","tools":{{"run":{{"limits":[{{"counter":"runs","window":"hour","max":{max},"scope":"{scope}"}}]}}}}}}"#
        ))
    }

    pub fn settings(mut self, lines: &str) -> Self {
        self.settings.push_str(lines);
        self.settings.push('\n');
        self
    }

    pub fn server(mut self, keys: &str) -> Self {
        self.server.push_str(keys);
        self
    }

    /// A further grant, in flow style without its braces: `id: a, jwt: …`.
    #[allow(dead_code, reason = "only tests/identity.rs writes grants of its own")]
    pub fn grant(mut self, keys: &str) -> Self {
        self.grants.push_str(&format!("  - {{ {keys} }}\n"));
        self
    }

    pub fn file(mut self, name: &str, text: &str) -> Self {
        self.files.insert(name.to_owned(), text.to_owned());
        self
    }

    pub fn https(mut self) -> Self {
        self.https = true;
        self
    }

    #[allow(dead_code, reason = "only some tests change files")]
    pub fn reloads(mut self) -> Self {
        self.reloads = true;
        self
    }

    pub fn redis(self, addr: SocketAddr, deadline_ms: u32) -> Self {
        self.settings(&format!(
            "counters: {{ store: redis, url: 'redis://{addr}/', deadline_ms: {deadline_ms} }}"
        ))
    }

    pub async fn before(self, upstream: SocketAddr) -> Gate {
        Gate::start(self, upstream).await
    }
}

/// A gate in front of an upstream that answers every request well.
pub async fn open(setup: Setup) -> (Gate, Upstream) {
    let upstream = Upstream::start().await;
    let gate = setup.before(upstream.addr).await;
    (gate, upstream)
}

pub struct Gate {
    pub proxy: SocketAddr,
    pub admin: SocketAddr,
    pub sink: Sink,
    /// What waits for people there.
    pub approvals: Approvals,
    stop: watch::Sender<bool>,
    run: Option<JoinHandle<()>>,
    pub folder: PathBuf,
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Gate {
    pub async fn start(setup: Setup, upstream: SocketAddr) -> Self {
        let folder = write_files(&setup, upstream);
        let settings = settings::load_with(&folder.join("toolgate.yaml"), &setup.env).unwrap();
        let loaded = load_files(&settings.files, settings.servers.keys().map(String::as_str)).unwrap();
        let sink = Sink::default();
        let mut app = App::bind(settings, loaded, Some(Lines::to(sink.clone()).unwrap()))
            .await
            .unwrap();
        if setup.reloads {
            app = app.reloading(Reload::start(&folder.join("toolgate.yaml")).unwrap().0);
        }
        let approvals = app.approvals().clone();
        let (proxy, admin) = (app.proxy_addr().unwrap(), app.admin_addr().unwrap());
        let (stop, stopped) = watch::channel(false);
        let run = Some(tokio::spawn(app.run(stopped)));
        Self {
            proxy,
            admin,
            sink,
            approvals,
            stop,
            run,
            folder,
        }
    }

    /// One request on a connection of its own.
    pub async fn ask(&self, request: &Req) -> Answer {
        self.client().await.ask(request).await
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.proxy).await
    }

    /// Tells the gate to drain, without waiting for it.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub fn is_running(&self) -> bool {
        self.run.as_ref().is_some_and(|run| !run.is_finished())
    }

    /// Stops the gate and gives every decision that it recorded.
    pub async fn ended(mut self) -> Vec<Value> {
        self.stop();
        within(self.run.take().unwrap()).await.unwrap();
        self.sink.records()
    }

    /// Waits for that many decisions, and gives all that are there.
    pub async fn records(&self, count: usize) -> Vec<Value> {
        until(|| self.sink.records().len() >= count).await;
        self.sink.records()
    }

    pub async fn admin(&self, path: &str) -> Answer {
        let request = request("GET", "").without("Authorization").to(path);
        Client::connect(self.admin).await.ask(&request).await
    }

    /// The value of one line of `/metrics`, 0 where it is not there.
    pub async fn metric(&self, line: &str) -> u64 {
        let text = self.admin("/metrics").await.text();
        let found = text
            .lines()
            .find_map(|found| found.strip_prefix(line)?.strip_prefix(' ')?.parse().ok());
        found.unwrap_or(0)
    }
}

fn write_files(setup: &Setup, upstream: SocketAddr) -> PathBuf {
    let mut name = [0; 8];
    getrandom::fill(&mut name).unwrap();
    let folder = std::env::temp_dir().join(format!("toolgate-wire-{:016x}", u64::from_be_bytes(name)));
    std::fs::create_dir_all(&folder).unwrap();
    let second = setup
        .second
        .map(|addr| format!("  t: {{ upstream: 'http://{addr}/mcp' }}\n"))
        .unwrap_or_default();
    let scheme = if setup.https { "https" } else { "http" };
    let host = setup
        .host
        .map_or_else(|| upstream.ip().to_string(), ToOwned::to_owned);
    let port = upstream.port();
    let yaml = format!(
        "{}\nservers:\n  s: {{ upstream: '{scheme}://{host}:{port}/upstream/mcp'{} }}\n{second}policies: {{ p: p.json }}\ngrants: grants.yaml\n",
        with_defaults(&setup.settings),
        setup.server,
    );
    let grant = |id: &str, token: &str, rest: &str| {
        let hash = TokenHash::of(token.as_bytes()).to_hex();
        format!("  - {{ id: {id}, token_sha256: '{hash}', {rest} }}\n")
    };
    let mut grants = "grants:\n".to_owned();
    grants += &grant("ci", CI, "server: s, policy: p, claims: { team: data }");
    grants += &grant("other", OTHER, "server: s, policy: p, claims: { team: data }");
    grants += &grant(
        "late",
        LATE,
        "server: s, policy: p, expires: 2020-01-01T00:00:00Z",
    );
    grants += &grant("bare", BARE, "server: s");
    if setup.second.is_some() {
        grants += &grant("elsewhere", ELSEWHERE, "server: t, policy: p");
    }
    for (file, text) in &setup.files {
        std::fs::write(folder.join(file), text).unwrap();
    }
    grants += &setup.grants;
    if let Some(pins) = &setup.pins {
        std::fs::create_dir_all(folder.join("pins")).unwrap();
        std::fs::write(folder.join("pins/s.json"), pins).unwrap();
    }
    for (file, text) in [
        ("toolgate.yaml", &yaml),
        ("p.json", &setup.policy),
        ("grants.yaml", &grants),
    ] {
        std::fs::write(folder.join(file), text).unwrap();
    }
    folder
}

fn with_defaults(settings: &str) -> String {
    let mut out = String::new();
    for (key, default) in [
        ("listen:", "listen: 127.0.0.1:0\n"),
        ("admin:", "admin: 127.0.0.1:0\n"),
        ("drain_ms:", "drain_ms: 3000\n"),
        ("probe_upstreams:", "probe_upstreams: false\n"),
    ] {
        if !settings.lines().any(|line| line.starts_with(key)) {
            out.push_str(default);
        }
    }
    out + settings
}

/// Where decision lines go; can be stopped up.
#[derive(Clone, Default)]
pub struct Sink(Arc<(Mutex<Kept>, Condvar)>);

#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    blocked: bool,
}

impl Sink {
    pub fn block(&self, blocked: bool) {
        self.0.0.lock().unwrap().blocked = blocked;
        self.0.1.notify_all();
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.0.0.lock().unwrap().bytes.clone()).unwrap()
    }

    pub fn records(&self) -> Vec<Value> {
        let text = self.text();
        let whole = text
            .rfind('\n')
            .and_then(|end| text.get(..end))
            .unwrap_or_default();
        let lines = whole.lines().map(|line| serde_json::from_str(line).unwrap());
        lines
            .flat_map(|line: Value| {
                // equal denials are counted on one line
                let count = line["count"].as_u64().unwrap_or(1);
                std::iter::repeat_n(line, usize::try_from(count).unwrap())
            })
            .collect()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut kept = self.0.0.lock().unwrap();
        while kept.blocked {
            kept = self.0.1.wait(kept).unwrap();
        }
        kept.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
