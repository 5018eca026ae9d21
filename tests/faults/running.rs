//! One replica of a run: this program with the store client alone, or the real gate with callers before it.

use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use super::child::Child;
use super::gates::Driven;
use super::replica::{Counts, Orders};

/// How long a replica may take to end after its time on a busy machine.
pub const END: Duration = Duration::from_secs(60);

pub enum Running {
    Client(Child),
    Gate(Driven),
}

impl Running {
    /// Starts this program as a replica, with these variables in its environment.
    pub fn client(orders: &Orders, env: &[(&str, String)]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["replica::replica", "--exact", "--ignored", "--nocapture"]);
        command.envs(env.iter().map(|(name, value)| (name, value)));
        let (child, mut stdin) = Child::start_with_stdin("replica", &mut command);
        writeln!(stdin, "{}", serde_json::to_string(orders).unwrap()).unwrap();
        Self::Client(child)
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Stops it; after so many ms it goes on, whatever is done meanwhile.
    pub fn halt(&self, ms: u64) {
        let pid = self.pid();
        signal(pid, "STOP");
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(ms));
            signal(pid, "CONT");
        });
    }

    fn pid(&self) -> u32 {
        match self {
            Self::Client(child) => child.pid(),
            Self::Gate(driven) => driven.pid(),
        }
    }

    /// kill -9; what it had counted.
    pub fn kill(self) -> Counts {
        match self {
            Self::Client(mut child) => {
                child.kill();
                counts(&child)
            }
            Self::Gate(driven) => driven.kill(),
        }
    }

    /// Its time is over; what it counted.
    pub async fn end(self) -> Counts {
        match self {
            Self::Client(mut child) => {
                assert!(child.wait_end(END).success(), "{}", child.stderr());
                counts(&child)
            }
            Self::Gate(driven) => driven.end().await,
        }
    }
}

fn signal(pid: u32, name: &str) {
    let mut kill = Command::new("kill");
    let status = kill.args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(status.unwrap().success(), "kill -{name} {pid}");
}

/// What a replica counted last.
fn counts(child: &Child) -> Counts {
    let mut lines = child.json_lines().into_iter().rev();
    let last = lines.find_map(|line| serde_json::from_value(line).ok());
    last.unwrap_or_default()
}
