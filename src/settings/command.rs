//! One entry of the section `servers` that is a program to start.

use super::file::ServerFile;
use super::load::Check;
use super::{CommandServer, Sessions, child_environment};

/// Processes of one server at once.
const PROCESSES: usize = 32;
/// A launcher may have to fetch the program first.
const START_MS: u64 = 30_000;
const IDLE_MS: u64 = 600_000;

impl Check<'_> {
    pub(super) fn command(&mut self, name: &str, written: &ServerFile) -> Option<CommandServer> {
        let key = |field: &str| format!("servers.{name}.{field}");
        self.server_name(&format!("servers.{name}"), name);
        let of_urls = [
            ("upstream", written.upstream.is_some()),
            ("headers", !written.headers.is_empty()),
            ("host", written.host.is_some()),
            ("authorization", written.authorization.is_some()),
            ("oauth", written.oauth.is_some()),
            ("upstream_tls", written.upstream_tls.is_some()),
            ("resource", written.resource.is_some()),
            ("scopes", !written.scopes.is_empty()),
        ];
        for (field, _) in of_urls.into_iter().filter(|(_, set)| *set) {
            self.problem(
                &key(field),
                "cannot stand beside `command`: it is for a server at a URL, so remove one of the two",
            );
        }
        let sessions = match written.sessions.as_deref() {
            None | Some("each") => Sessions::Each,
            Some("shared") => Sessions::Shared,
            Some(other) => {
                let hint =
                    "write `each` (a process for each session) or `shared` (one for all sessions of a grant)";
                self.problem(&key("sessions"), format!("`{other}` is not known: {hint}"));
                Sessions::Each
            }
        };
        let processes = written.processes.unwrap_or(PROCESSES);
        if processes == 0 {
            self.problem(&key("processes"), "must be at least 1");
        }
        let names = written.env.as_deref().unwrap_or_default();
        let environment = child_environment(names).unwrap_or_else(|error| {
            self.problem(&key("env"), error);
            Vec::new()
        });
        let words = written.command.as_deref().unwrap_or_default();
        let Some((program, arguments)) = words.split_first().filter(|(program, _)| !program.is_empty())
        else {
            self.problem(
                &key("command"),
                "names no program: write `command: [PROGRAM, ARGUMENT]`",
            );
            return None;
        };
        if words.iter().any(|word| word.contains('\0')) {
            self.problem(&key("command"), "holds a NUL character, which no argument can");
        }
        Some(CommandServer {
            program: program.clone(),
            arguments: arguments.to_vec(),
            environment,
            sessions,
            processes: processes.max(1),
            process_idle: self.millis(&key("process_idle_ms"), written.process_idle_ms, IDLE_MS),
            connect_timeout: self.millis(&key("connect_timeout_ms"), written.connect_timeout_ms, START_MS),
            response_timeout: self.millis(&key("response_timeout_ms"), written.response_timeout_ms, 300_000),
            idle_timeout: self.millis(&key("idle_timeout_ms"), written.idle_timeout_ms, 3_600_000),
        })
    }
}
