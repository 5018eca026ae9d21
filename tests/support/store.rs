//! A real `redis-server` of the test's own, which can be killed and started again on the same port.

use std::net::TcpListener;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

use super::child::Child;
use super::gate::Folder;
use super::wait::PATIENCE;

/// Ports below the range from which the system picks for outgoing connections, so that nothing takes one in between.
const FIRST_PORT: u16 = 21_000;
const PORTS: u16 = 9_000;

pub struct Redis {
    child: Child,
    folder: Folder,
    pub port: u16,
}

impl Redis {
    pub fn start() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        // Each test process begins elsewhere in the range.
        let offset = u16::try_from(std::process::id() % u32::from(PORTS)).unwrap();
        loop {
            let step = NEXT.fetch_add(1, Ordering::Relaxed);
            let port = FIRST_PORT + offset.wrapping_mul(7).wrapping_add(step) % PORTS;
            if TcpListener::bind(("127.0.0.1", port)).is_ok() {
                let folder = Folder::new("redis");
                return Self {
                    child: launch(port, &folder),
                    folder,
                    port,
                };
            }
        }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// `host:port`, e.g. as the target of a relay.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Ends the server as a crash would; its data is gone.
    pub fn kill(&mut self) {
        self.child.kill();
    }

    /// Starts it again, empty, on the same port.
    pub fn restart(&mut self) {
        self.child.kill();
        self.child = launch(self.port, &self.folder);
    }
}

fn launch(port: u16, folder: &Folder) -> Child {
    let mut command = Command::new("redis-server");
    command.args([
        "--port",
        &port.to_string(),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
    ]);
    command.args(["--daemonize", "no", "--dir"]).arg(folder.path());
    let child = Child::start("redis-server", &mut command);
    child.wait_line("readiness", PATIENCE, |line| {
        line.contains("Ready to accept connections").then_some(())
    });
    child
}
