//! `toolgate wrap` around a server, and its client played by the test.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, ExitStatus};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::child::Child;
use super::gate::Folder;
use super::wait::PATIENCE;

/// How long a server that may have choked is waited for.
const SILENCE: Duration = Duration::from_secs(6);

/// A folder with a policy, and the state folder of one user.
pub struct Place {
    pub folder: Folder,
}

impl Place {
    pub fn with(policy: &Value) -> Self {
        let folder = Folder::new("wrap");
        folder.write("policy.json", &policy.to_string());
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `toolgate wrap` with this place's policy and state, then these options.
    pub fn wrap(&self, options: &[&str]) -> Command {
        let mut command = self.bare();
        command
            .arg("--policy")
            .arg(self.path("policy.json"))
            .args(options);
        command
    }

    /// `toolgate wrap` alone. Of the machine's environment it has PATH.
    #[expect(
        clippy::disallowed_methods,
        reason = "the programs that tests start are on the machine's PATH"
    )]
    pub fn bare(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_toolgate"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.folder.path())
            .env("XDG_STATE_HOME", self.path("state"))
            .arg("wrap");
        command
    }

    /// The words of `toolgate wrap` around this server, for a client that starts it.
    pub fn words(&self, options: &[&str], server: &Command) -> Vec<String> {
        let mut command = self.wrap(options);
        command
            .arg("--")
            .arg(server.get_program())
            .args(server.get_args());
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words.map(|word| word.to_str().unwrap().to_owned()).collect()
    }

    /// The same in front of an HTTP server.
    pub fn words_for(&self, url: &str, options: &[&str]) -> Vec<String> {
        let mut command = self.wrap(options);
        command.args(["--upstream", url]);
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words.map(|word| word.to_str().unwrap().to_owned()).collect()
    }

    /// What such a client sets in its environment.
    pub fn env(&self) -> Value {
        json!({ "HOME": self.folder.path(), "XDG_STATE_HOME": self.path("state") })
    }

    /// Wraps the raw server.
    pub fn start(&self, options: &[&str]) -> Wrapped {
        self.start_keeping(options, false)
    }

    /// `keep`: the server ends neither at the end of its stdin nor at SIGTERM.
    pub fn start_keeping(&self, options: &[&str], keep: bool) -> Wrapped {
        let mut command = self.wrap(options);
        command.arg("--").args(self.raw_server(keep));
        Wrapped::start(&mut command)
    }

    pub fn raw_server(&self, keep: bool) -> [String; 3] {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/python/raw_stdio_server.py");
        let settings = json!({ "log": self.path("server.log"), "keep": keep });
        [
            "python3".to_owned(),
            script.display().to_string(),
            settings.to_string(),
        ]
    }

    /// What the raw server saw and did.
    pub fn log(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("server.log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// How often this tool truly ran.
    pub fn ran(&self, tool: &str) -> usize {
        let wanted = format!("ran {tool}");
        self.log().iter().filter(|line| **line == wanted).count()
    }
}

/// A running `toolgate wrap`.
pub struct Wrapped {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Wrapped {
    pub fn start(command: &mut Command) -> Self {
        let (child, stdin) = Child::start_with_stdin("toolgate wrap", command);
        Self {
            child,
            stdin: Some(stdin),
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Sends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    pub fn send(&mut self, message: &Value) {
        self.raw(format!("{message}\n").as_bytes());
    }

    /// The client's end, to write to it from another thread.
    pub fn take_stdin(&mut self) -> ChildStdin {
        self.stdin.take().unwrap()
    }

    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// The first message that satisfies the condition.
    pub fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        self.child.wait_line(what, PATIENCE, |line| {
            let message: Value = serde_json::from_str(line).expect("stdout is MCP alone");
            Some(message).filter(&holds)
        })
    }

    /// The answer under this id.
    pub fn answer(&self, id: &Value) -> Value {
        self.until(&format!("answer to {id}"), |message| {
            message["id"] == *id && message["method"].is_null()
        })
    }

    /// Whether there is an answer under this id before the server ends, within a bound.
    pub fn answers(&self, id: &Value) -> bool {
        let began = Instant::now();
        loop {
            let ended = self.child.has_closed_stdout();
            let lines = self.child.json_lines();
            if lines
                .iter()
                .any(|message| message["id"] == *id && message["method"].is_null())
            {
                return true;
            }
            if ended || began.elapsed() > SILENCE {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn request(&mut self, id: impl Into<Value>, method: &str, params: Value) -> Value {
        let id = id.into();
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        self.answer(&id)
    }

    pub fn call(&mut self, id: impl Into<Value>, tool: &str, arguments: Value) -> Value {
        self.request(id, "tools/call", json!({ "name": tool, "arguments": arguments }))
    }

    /// Lines of stdout so far.
    pub fn stdout(&self) -> String {
        self.child.stdout()
    }

    pub fn stderr(&self) -> String {
        self.child.stderr()
    }

    /// Decisions on stderr so far, oldest first.
    pub fn decisions(&self) -> Vec<Value> {
        decisions_in(&self.stderr())
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.pid().to_string()])
            .status();
        assert!(status.unwrap().success(), "kill -{name} failed");
    }

    /// Waits for the end of the process, within a bound that allows for a server that has to be killed.
    pub fn end(&mut self) -> ExitStatus {
        self.child.wait_end(Duration::from_secs(30))
    }
}

pub fn decisions_in(text: &str) -> Vec<Value> {
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["outcome"].is_string()).collect()
}

pub fn text_of(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"]
        .as_str()
        .unwrap_or_default()
}
