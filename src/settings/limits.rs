//! The section `limits`.

use super::Limits;
use super::file::SettingsFile;
use super::load::Check;

impl Check<'_> {
    pub(super) fn limits(&mut self, written: &SettingsFile) -> Limits {
        let limits = &written.limits;
        let mut at_least = |key: &str, value: Option<usize>, least: usize, default: usize| {
            let value = value.unwrap_or(default);
            if value < least {
                self.problem(&format!("limits.{key}"), format!("must be at least {least}"));
            }
            value.max(least)
        };
        Limits {
            body_bytes: at_least("body_bytes", limits.body_bytes, 1024, 4 << 20),
            headers: at_least("headers", limits.headers, 16, 100),
            // hyper refuses a smaller read buffer
            header_bytes: at_least("header_bytes", limits.header_bytes, 8192, 32_768),
            connections: at_least("connections", limits.connections, 1, 10_000),
            connections_per_peer: at_least("connections_per_peer", limits.connections_per_peer, 1, 1_000),
            requests_per_connection: at_least(
                "requests_per_connection",
                limits.requests_per_connection,
                1,
                10_000,
            ),
            streams_per_connection: {
                let streams = at_least("streams_per_connection", limits.streams_per_connection, 1, 256);
                u32::try_from(streams).unwrap_or(u32::MAX)
            },
            streams: at_least("streams", limits.streams, 1, 10_000),
            streams_per_grant: at_least("streams_per_grant", limits.streams_per_grant, 1, 5_000),
            body_memory_bytes: at_least("body_memory_bytes", limits.body_memory_bytes, 1 << 20, 32 << 20),
            line_bytes: at_least("line_bytes", limits.line_bytes, 1024, 16 << 20),
            max_list_bytes: at_least("max_list_bytes", limits.max_list_bytes, 1024, 8 << 20),
            header_timeout: self.millis("limits.header_timeout_ms", limits.header_timeout_ms, 5_000),
            body_timeout: self.millis("limits.body_timeout_ms", limits.body_timeout_ms, 30_000),
            idle_timeout: self.millis("limits.idle_timeout_ms", limits.idle_timeout_ms, 60_000),
            write_timeout: self.millis("limits.write_timeout_ms", limits.write_timeout_ms, 60_000),
            connection_age: self.millis("limits.connection_age_ms", limits.connection_age_ms, 3_600_000),
        }
    }
}
