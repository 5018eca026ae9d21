//! A started process whose lines are collected and that ends with its owner.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child as Process, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// What to do when a program is missing: the same sentence everywhere.
pub const REMEDY: &str = "run `make test` (or scripts/install-test-deps.sh) to install what the tests need";

#[derive(Default)]
struct Lines {
    seen: Mutex<(Vec<String>, bool)>,
    more: Condvar,
}

impl Lines {
    fn collect(self: Arc<Self>, from: impl Read + Send + 'static) {
        std::thread::spawn(move || {
            for line in BufReader::new(from).split(b'\n') {
                let Ok(line) = line else { break };
                self.seen
                    .lock()
                    .unwrap()
                    .0
                    .push(String::from_utf8_lossy(&line).into_owned());
                self.more.notify_all();
            }
            self.seen.lock().unwrap().1 = true;
            self.more.notify_all();
        });
    }
}

/// A running child process. Dropping it kills it by its process id and waits for its end.
pub struct Child {
    name: String,
    process: Process,
    out: Arc<Lines>,
    err: Arc<Lines>,
}

impl Child {
    /// Starts the command with piped output. Panics with the remedy where the program is missing.
    pub fn start(name: &str, command: &mut Command) -> Self {
        Self::spawn(name, command.stdin(Stdio::null()))
    }

    /// The same with a pipe to its stdin.
    pub fn start_with_stdin(name: &str, command: &mut Command) -> (Self, ChildStdin) {
        let mut child = Self::spawn(name, command.stdin(Stdio::piped()));
        let stdin = child.process.stdin.take().unwrap();
        (child, stdin)
    }

    fn spawn(name: &str, command: &mut Command) -> Self {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = match command.spawn() {
            Ok(process) => process,
            Err(error) => panic!("{name} does not start ({error}): {REMEDY}"),
        };
        let (out, err) = (Arc::new(Lines::default()), Arc::new(Lines::default()));
        Arc::clone(&out).collect(process.stdout.take().unwrap());
        Arc::clone(&err).collect(process.stderr.take().unwrap());
        Self {
            name: name.to_owned(),
            process,
            out,
            err,
        }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits for the first stdout line that `pick` turns into a value; panics when the process ends before or `bound` passes.
    pub fn wait_line<T>(&self, what: &str, bound: Duration, mut pick: impl FnMut(&str) -> Option<T>) -> T {
        let began = Instant::now();
        let mut looked_at = 0;
        let mut seen = self.out.seen.lock().unwrap();
        loop {
            while looked_at < seen.0.len() {
                if let Some(value) = pick(&seen.0[looked_at]) {
                    return value;
                }
                looked_at += 1;
            }
            let left = bound.checked_sub(began.elapsed());
            let (Some(left), false) = (left, seen.1) else {
                let (lines, ended) = (seen.0.join("\n"), seen.1);
                drop(seen);
                let why = if ended { "it ended" } else { "time ran out" };
                panic!(
                    "{}: no {what} ({why}).\nstdout:\n{lines}\nstderr:\n{}",
                    self.name,
                    self.stderr()
                );
            };
            seen = self.out.more.wait_timeout(seen, left).unwrap().0;
        }
    }

    /// The first stdout line that is a JSON object with this `event`.
    pub fn wait_event(&self, event: &str, bound: Duration) -> Value {
        self.wait_line(&format!("line with event `{event}`"), bound, |line| {
            serde_json::from_str::<Value>(line)
                .ok()
                .filter(|value| value["event"] == event)
        })
    }

    /// All stdout lines so far that are JSON.
    pub fn json_lines(&self) -> Vec<Value> {
        let seen = self.out.seen.lock().unwrap();
        seen.0
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Nothing more comes from it: it has ended, or closed its stdout.
    pub fn has_closed_stdout(&self) -> bool {
        self.out.seen.lock().unwrap().1
    }

    pub fn stdout(&self) -> String {
        self.out.seen.lock().unwrap().0.join("\n")
    }

    pub fn stderr(&self) -> String {
        self.err.seen.lock().unwrap().0.join("\n")
    }

    /// Waits for the end of the process, with all its output read; panics (and kills it) after `bound`.
    pub fn wait_end(&mut self, bound: Duration) -> ExitStatus {
        let began = Instant::now();
        loop {
            let output_ended = self.out.seen.lock().unwrap().1 && self.err.seen.lock().unwrap().1;
            if let (Some(status), true) = (self.process.try_wait().unwrap(), output_ended) {
                return status;
            }
            if began.elapsed() > bound {
                self.kill();
                panic!(
                    "{} did not end within {bound:?}.\nstderr:\n{}",
                    self.name,
                    self.stderr()
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills the process at once (SIGKILL) and waits for it. A process that has ended already is fine.
    pub fn kill(&mut self) {
        // both fail only where the process has ended and been waited for
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Child {
    #[expect(
        clippy::print_stderr,
        reason = "a failed test shows what its parts had to say"
    )]
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("---- stderr of {} ----\n{}\n----", self.name, self.stderr());
        }
    }
}
