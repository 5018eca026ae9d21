//! toolgate as its users start it: `toolgate serve --config FILE` on written files.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::child::Child;
use super::http;
use super::mcp::Caller;
use super::wait::{PATIENCE, until};

/// A folder of the test's own below the target folder, removed at the end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// The hash of a token as `grants.yaml` holds it.
pub fn token_sha256(token: &str) -> String {
    Sha256::digest(token.as_bytes())
        .iter()
        .fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        })
}

/// The policy the project stands on: `max` calls of `tool` in `window` for each grant, all else allowed.
pub fn limited(tool: &str, max: u64, window: Value) -> Value {
    json!({ "version": "1", "default": "allow", "tools": { tool: { "limits": [
        { "counter": format!("{tool}_rate"), "window": window, "max": max, "scope": "grant" } ] } } })
}

/// The files of one or more replicas, to be written and started.
#[derive(Clone, Default)]
pub struct Setup {
    servers: BTreeMap<String, Value>,
    policies: BTreeMap<String, Value>,
    grants: Vec<Value>,
    counters: Option<Value>,
    more: BTreeMap<String, Value>,
}

impl Setup {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn server(mut self, name: &str, upstream: &str) -> Self {
        self.servers
            .insert(name.to_owned(), json!({ "upstream": upstream }));
        self
    }

    /// A server that is a command, with further keys.
    pub fn command(mut self, name: &str, command: &Command, more: &Value) -> Self {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<&str> = words.map(|word| word.to_str().unwrap()).collect();
        let mut server = more.clone();
        server["command"] = json!(words);
        self.servers.insert(name.to_owned(), server);
        self
    }

    /// A further key of a server that is there.
    pub fn server_key(mut self, name: &str, key: &str, value: Value) -> Self {
        self.servers.get_mut(name).unwrap()[key] = value;
        self
    }

    pub fn policy(mut self, name: &str, policy: Value) -> Self {
        self.policies.insert(name.to_owned(), policy);
        self
    }

    pub fn grant(mut self, id: &str, token: &str, server: &str, policy: &str) -> Self {
        let grant =
            json!({ "id": id, "token_sha256": token_sha256(token), "server": server, "policy": policy });
        self.grants.push(grant);
        self
    }

    /// A grant with all its keys.
    pub fn entry(mut self, grant: Value) -> Self {
        self.grants.push(grant);
        self
    }

    /// Counters in Redis, with this deadline for a store call. Tests of exactness use 5 s.
    pub fn redis(mut self, url: &str, deadline_ms: u64) -> Self {
        self.counters = Some(json!({ "store": "redis", "url": url, "deadline_ms": deadline_ms }));
        self
    }

    /// A further top-level key of `toolgate.yaml`.
    pub fn key(mut self, name: &str, value: Value) -> Self {
        self.more.insert(name.to_owned(), value);
        self
    }

    /// With `pin: true` for the servers that are there.
    pub fn pinned(mut self) -> Self {
        for server in self.servers.values_mut() {
            server["pin"] = json!(true);
        }
        self
    }

    /// Writes the files (JSON is YAML) and returns their folder.
    pub fn write(&self) -> Folder {
        let folder = Folder::new("gate");
        let paths: BTreeMap<_, _> = self
            .policies
            .keys()
            .map(|name| (name, format!("policies/{name}.json")))
            .collect();
        let mut settings = json!({
            "listen": "127.0.0.1:0", "admin": "127.0.0.1:0",
            "servers": self.servers, "policies": paths, "grants": "grants.yaml",
            // tests count what reaches their servers
            "probe_upstreams": false,
        });
        if let Some(counters) = &self.counters {
            settings["counters"] = counters.clone();
        }
        for (name, value) in &self.more {
            settings[name] = value.clone();
        }
        folder.write("toolgate.yaml", &format!("{settings:#}\n"));
        folder.write(
            "grants.yaml",
            &format!("{:#}\n", json!({ "grants": self.grants })),
        );
        for (name, policy) in &self.policies {
            folder.write(&format!("policies/{name}.json"), &format!("{policy:#}\n"));
        }
        folder
    }

    /// Starts one replica and waits until it listens.
    pub fn start(&self) -> Gate {
        Self::start_in(self.write())
    }

    /// The same, with this in its environment.
    pub fn start_with_env(&self, env: &[(&str, &str)]) -> Gate {
        Self::start_in_with(self.write(), env)
    }

    /// The same, on files that were written before.
    pub fn start_in(folder: Folder) -> Gate {
        Self::start_in_with(folder, &[])
    }

    /// The same with these variables in its environment, and no others.
    pub fn start_in_with(folder: Folder, env: &[(&str, &str)]) -> Gate {
        let mut command = Command::new(env!("CARGO_BIN_EXE_toolgate"));
        // Nothing of the machine's own environment may steer the gate.
        command
            .env_clear()
            .envs(env.iter().copied())
            .args(["serve", "--config"])
            .arg(folder.path().join("toolgate.yaml"));
        Self::start_command(folder, &mut command)
    }

    /// The same by a command of the test's own, which becomes the gate.
    pub fn start_command(folder: Folder, command: &mut Command) -> Gate {
        let child = Child::start("toolgate", command);
        let ready = child.wait_event("listening", PATIENCE);
        let address = |key: &str| http::address_of(ready[key].as_str().unwrap()).to_owned();
        Gate {
            proxy: address("proxy"),
            admin: address("admin"),
            console: ready["console"].as_str().map(str::to_owned),
            child,
            folder,
        }
    }

    /// Starts this many replicas on the same files.
    pub fn start_many(&self, count: usize) -> Vec<Gate> {
        (0..count).map(|_| self.start()).collect()
    }
}

/// One running replica.
pub struct Gate {
    child: Child,
    pub folder: Folder,
    /// `127.0.0.1:PORT` of the proxy.
    pub proxy: String,
    /// `127.0.0.1:PORT` of the admin listener.
    pub admin: String,
    /// `127.0.0.1:PORT` of the console, where there is one.
    pub console: Option<String>,
}

impl Gate {
    /// The URL that a client of this server is given.
    pub fn url(&self, server: &str) -> String {
        format!("http://{}/mcp/{server}", self.proxy)
    }

    /// A raw caller with this grant's token.
    pub fn caller(&self, server: &str, token: &str) -> Caller {
        Caller::new(&self.url(server), token)
    }

    /// The decisions logged so far, oldest first: stdout lines that carry an `outcome`, each as often as it counts.
    pub fn decisions(&self) -> Vec<Value> {
        let lines = self.child.json_lines().into_iter();
        let decisions = lines.filter(|line| line["outcome"].is_string());
        decisions
            .flat_map(|line| {
                let count = line["count"].as_u64().unwrap_or(1);
                std::iter::repeat_n(line, usize::try_from(count).unwrap())
            })
            .collect()
    }

    /// Waits until at least `count` logged decisions satisfy the condition, and returns them.
    pub async fn until_decisions(
        &self,
        what: &str,
        count: usize,
        holds: impl Fn(&Value) -> bool,
    ) -> Vec<Value> {
        until(what, || async {
            let found: Vec<Value> = self.decisions().into_iter().filter(&holds).collect();
            (found.len() >= count).then_some(found)
        })
        .await
    }

    /// A GET on the admin listener: status and text.
    pub async fn admin(&self, path: &str) -> (u16, String) {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.admin
        );
        let answer = http::exchange(&self.admin, request.as_bytes()).await;
        (answer.status, answer.text())
    }

    /// A request to the console with an approver's token, and a body in JSON.
    pub async fn ask_console(&self, token: &str, method: &str, path: &str, body: &str) -> http::Answer {
        let address = self.console.as_ref().expect("the gate has no console");
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        http::exchange(address, request.as_bytes()).await
    }

    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    pub fn stdout(&self) -> String {
        self.child.stdout()
    }

    pub fn stderr(&self) -> String {
        self.child.stderr()
    }

    /// Kills the replica as a crash would.
    pub fn kill(&mut self) {
        self.child.kill();
    }

    /// Waits for its end.
    pub fn wait_end(&mut self, bound: Duration) -> ExitStatus {
        self.child.wait_end(bound)
    }

    /// Asks it to end (SIGTERM) and waits for that.
    pub fn terminate(&mut self, bound: Duration) -> ExitStatus {
        let status = Command::new("kill")
            .args(["-TERM", &self.pid().to_string()])
            .status()
            .unwrap();
        assert!(status.success(), "kill -TERM failed");
        self.child.wait_end(bound)
    }
}
