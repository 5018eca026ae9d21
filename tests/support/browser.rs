//! A real browser: Debian's Chromium, driven by playwright-core.

use std::io::Write;
use std::path::Path;
use std::process::ChildStdin;
use std::sync::Mutex;

use serde_json::{Value, json};

use super::child::{Child, REMEDY};
use super::servers::node;
use super::wait::PATIENCE;

/// Where the distribution puts it.
const EXECUTABLE: &str = "/usr/bin/chromium";

/// One running browser. Its windows share nothing.
pub struct Browser {
    child: Child,
    commands: Mutex<(ChildStdin, u64)>,
}

/// One window.
#[derive(Clone, Copy)]
pub struct Window<'b> {
    browser: &'b Browser,
    name: &'static str,
}

impl Browser {
    pub fn start() -> Self {
        assert!(Path::new(EXECUTABLE).exists(), "chromium is missing: {REMEDY}");
        let within = u64::try_from(PATIENCE.as_millis()).unwrap();
        let settings = json!({ "executable": EXECUTABLE, "within": within });
        let mut command = node("browser.mjs");
        command.arg(settings.to_string());
        let (child, stdin) = Child::start_with_stdin("the browser", &mut command);
        child.wait_event("ready", PATIENCE * 3);
        Self {
            child,
            commands: Mutex::new((stdin, 0)),
        }
    }

    /// A new window; `options` are those of a playwright context.
    pub fn window(&self, name: &'static str, options: &Value) -> Window<'_> {
        let window = Window { browser: self, name };
        window.tell(&json!({ "do": "window", "options": options }));
        window
    }

    fn tell(&self, mut command: Value) -> Value {
        let mut commands = self.commands.lock().unwrap();
        commands.1 += 1;
        let number = commands.1;
        command["number"] = json!(number);
        writeln!(commands.0, "{command}").unwrap();
        let answer = self
            .child
            .wait_line("answer of the browser", PATIENCE * 3, |line| {
                let line: Value = serde_json::from_str(line).ok()?;
                (line["number"] == number).then_some(line)
            });
        assert!(answer["error"].is_null(), "{command}: {}", answer["error"]);
        answer["ok"].clone()
    }
}

impl Window<'_> {
    fn tell(&self, command: &Value) -> Value {
        let mut command = command.clone();
        command["window"] = json!(self.name);
        self.browser.tell(command)
    }

    fn at(&self, deed: &str, at: &str) -> Value {
        self.tell(&json!({ "do": deed, "at": at }))
    }

    pub fn goto(&self, url: &str) {
        self.tell(&json!({ "do": "goto", "url": url }));
    }

    pub fn fill(&self, at: &str, value: &str) {
        self.tell(&json!({ "do": "fill", "at": at, "value": value }));
    }

    pub fn click(&self, at: &str) {
        self.at("click", at);
    }

    /// A key, where the focus is.
    pub fn press(&self, key: &str) {
        self.tell(&json!({ "do": "press", "value": key }));
    }

    /// Waits until it can be seen.
    pub fn wait(&self, at: &str) {
        self.at("wait", at);
    }

    /// Waits until it cannot be seen.
    pub fn gone(&self, at: &str) {
        self.at("gone", at);
    }

    pub fn text(&self, at: &str) -> String {
        self.at("text", at).as_str().unwrap().to_owned()
    }

    pub fn count(&self, at: &str) -> u64 {
        self.at("count", at).as_u64().unwrap()
    }

    /// The id of what has the focus, or its text.
    pub fn focused(&self) -> String {
        let focused = self.tell(&json!({ "do": "focused" }));
        focused.as_str().unwrap().to_owned()
    }

    /// Any other question of `browser.mjs`.
    pub fn ask(&self, deed: &str) -> Value {
        self.tell(&json!({ "do": deed }))
    }

    /// Puts a text into the page.
    pub fn write(&self, at: &str, text: &str) {
        self.tell(&json!({ "do": "write", "at": at, "value": text }));
    }

    /// A screenshot: of the whole page, or of what the window shows.
    pub fn shot(&self, file: &Path, whole: bool) {
        self.tell(&json!({ "do": "shot", "file": file, "value": whole }));
    }

    /// No error, dialog or request to another place so far.
    pub fn assert_quiet(&self) {
        assert_eq!(self.ask("noise"), json!([]));
    }

    /// Signs in at a console's page.
    pub fn sign_in(&self, token: &str) {
        self.fill("#token", token);
        self.press("Enter");
        self.wait("#board");
    }
}
