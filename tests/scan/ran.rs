//! `toolgate` as it is run, and the server that offers the tools of a file (`tests/clients/node/listing-server.mjs`).

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::child::Child;
use crate::support::gate::Folder;
use crate::support::servers::node;
use crate::support::wait::PATIENCE;

/// What a run left behind.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn lines(&self) -> Vec<&str> {
        self.out.lines().collect()
    }
}

/// Runs `toolgate scan` in the folder.
pub fn scan(folder: &Folder, arguments: &[&str]) -> Ran {
    toolgate(folder, &[&["scan"], arguments].concat(), &[])
}

/// Runs `toolgate` in the folder, with these variables set beside.
pub fn toolgate(folder: &Folder, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toolgate"));
    command
        .args(arguments)
        .current_dir(folder.path())
        .envs(environment.iter().copied());
    let output = command.output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The file of a recorded server.
pub fn recorded(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/scan/recorded/{name}.json"))
}

/// What the server that offers the tools of `file` is told, three of them a page.
pub fn listing(file: &Path, transport: &str, era: &str) -> Value {
    json!({ "file": file, "page": 3, "transport": transport, "era": era })
}

/// The command of this server over stdio.
pub fn stdio_command(settings: &Value) -> Vec<String> {
    let mut command = node("listing-server.mjs");
    command.arg(settings.to_string());
    let program = std::iter::once(command.get_program());
    program
        .chain(command.get_args())
        .map(|word| word.to_str().unwrap().to_owned())
        .collect()
}

/// This server over HTTP.
pub struct Listing {
    _child: Child,
    pub url: String,
}

impl Listing {
    pub fn start(settings: &Value) -> Self {
        let child = Child::start(
            "listing server",
            node("listing-server.mjs").arg(settings.to_string()),
        );
        let ready = child.wait_event("listening", PATIENCE);
        let url = ready["mcp"].as_str().unwrap().to_owned();
        Self { _child: child, url }
    }
}
