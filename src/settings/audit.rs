//! The section `audit`.

use std::path::PathBuf;

use super::file::AuditFile;
use super::load::Check;
use super::{Audit, AuditStream, Counters, defaults};

impl Check<'_> {
    pub(super) fn audit(&mut self, written: &AuditFile, counters: &Counters) -> Audit {
        let file = written.file.as_ref().map(|path| self.base.join(path));
        let redis_stream = written.redis_stream.as_ref().map(|name| AuditStream {
            name: name.clone(),
            lines: written.redis_lines.unwrap_or(defaults::AUDIT_STREAM_LINES),
        });
        if let Some(stream) = &redis_stream {
            self.stream(stream, counters);
        }
        let stdout = written.stdout.unwrap_or(file.is_none() && redis_stream.is_none());
        if !stdout && file.is_none() && redis_stream.is_none() {
            self.problem(
                "audit.stdout",
                "no place for decisions is left: set `file` or `redis_stream` too",
            );
        }
        let keep = written.keep.unwrap_or(defaults::AUDIT_KEEP);
        if keep == 0 || keep > 10_000 {
            self.problem("audit.keep", "must be 1 to 10000 files");
        }
        let rotate_bytes = written.rotate_bytes.unwrap_or(defaults::AUDIT_ROTATE_BYTES);
        if (1..4_096).contains(&rotate_bytes) {
            self.problem("audit.rotate_bytes", "must be at least 4096, or 0 for never");
        }
        if file.as_ref().is_some_and(|path: &PathBuf| path.is_dir()) {
            self.problem("audit.file", "this is a folder: name a file in it");
        }
        Audit {
            stdout,
            file,
            rotate_bytes,
            keep,
            redis_stream,
            drops: self.word("audit.overflow", written.overflow.as_deref(), ["wait", "drop"]),
            goes_on: self.word(
                "audit.on_error",
                written.on_error.as_deref(),
                ["refuse", "continue"],
            ),
        }
    }

    fn stream(&mut self, stream: &AuditStream, counters: &Counters) {
        if !matches!(counters, Counters::Redis(_)) {
            self.problem(
                "audit.redis_stream",
                "the stream is kept where the counters are: set `counters.store: redis`",
            );
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        if stream.name.is_empty() || stream.name.len() > 64 || !stream.name.chars().all(plain) {
            self.problem(
                "audit.redis_stream",
                "must be 1 to 64 of the characters A-Z a-z 0-9 - _ . :",
            );
        }
        if stream.lines == 0 {
            self.problem("audit.redis_lines", "must be at least 1");
        }
    }

    /// Whether the second of two words is written; the first is the default.
    fn word(&mut self, key: &str, written: Option<&str>, [first, second]: [&str; 2]) -> bool {
        match written {
            None => false,
            Some(word) if word == first => false,
            Some(word) if word == second => true,
            Some(other) => {
                self.problem(key, format!("`{other}` is no choice: write {first} or {second}"));
                false
            }
        }
    }
}
