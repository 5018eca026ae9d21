//! The section `tracing`, and the form of logs.

use http::Uri;

use super::file::{SettingsFile, TracingFile};
use super::load::Check;
use super::{LogForm, Tracing};

/// Where collectors take spans, under a URL without a path (OTLP 1.x, section "OTLP/HTTP Request").
const DEFAULT_PATH: &str = "/v1/traces";

impl Check<'_> {
    pub(super) fn tracing(&mut self, written: &TracingFile) -> Option<Tracing> {
        let Some(text) = written.otlp.as_deref() else {
            if written.sample.is_some() || !written.headers.is_empty() {
                self.problem("tracing.otlp", "missing: add `otlp: http://HOST:4318`");
            }
            return None;
        };
        let url = self.url("tracing.otlp", text)?;
        let headers = written
            .headers
            .iter()
            .filter_map(|(name, source)| self.header(&format!("tracing.headers.{name}"), name, source))
            .collect();
        let sample = written.sample.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&sample) {
            self.problem("tracing.sample", "must be a share of the traces, 0 to 1");
        }
        Some(Tracing {
            otlp: with_path(url),
            headers,
            egress: self.egress.clone(),
            sample,
        })
    }

    pub(super) fn log(&mut self, written: &SettingsFile) -> Option<LogForm> {
        match written.log.as_deref() {
            None => None,
            Some("json") => Some(LogForm::Json),
            Some("text") => Some(LogForm::Text),
            Some(other) => {
                self.problem("log", format!("`{other}` is no form of logs: write json or text"));
                None
            }
        }
    }
}

fn with_path(url: Uri) -> Uri {
    if !matches!(url.path(), "" | "/") || url.query().is_some() {
        return url;
    }
    let mut parts = url.clone().into_parts();
    parts.path_and_query = DEFAULT_PATH.parse().ok();
    Uri::from_parts(parts).unwrap_or(url)
}
