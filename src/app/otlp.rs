//! Spans to a collector: OTLP over HTTP in JSON (OpenTelemetry Protocol 1.x, "OTLP/HTTP"). Calls never wait for it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method};
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use crate::proxy::{Access, Upstream};
use crate::record::{Span, SpanKind, SpanMetrics, Spans};
use crate::settings::{Server, Tracing};

/// Spans sent at once.
const BATCH: usize = 512;
/// How long spans gather before they are sent.
const GATHER: Duration = Duration::from_secs(1);
/// How long a collector may take for each step of one request.
const WITHIN: Duration = Duration::from_secs(5);
/// How long the last spans may take when the process ends.
const LAST: Duration = Duration::from_secs(2);
/// Of a collector's answer no more is read.
const ANSWER_BYTES: usize = 64 << 10;

/// Takes spans from their queue to the collector.
pub(super) struct Exporter {
    spans: mpsc::Receiver<Span>,
    collector: Arc<Upstream>,
    metrics: SpanMetrics,
    resource: Value,
    /// The last batch was not taken: told once.
    failing: bool,
}

/// Where spans go and who takes them on, where that is wanted.
///
/// # Errors
/// Where the URL's host cannot be a TLS server name.
pub(super) fn exporting(
    tracing: Option<&Tracing>,
    metrics: &SpanMetrics,
    replica: &str,
) -> anyhow::Result<(Option<Spans>, Option<Exporter>)> {
    let Some(tracing) = tracing else {
        return Ok((None, None));
    };
    let (spans, ended) = Spans::new(metrics, tracing.sample);
    let exporter = Exporter::new(tracing, ended, metrics.clone(), replica)?;
    Ok((Some(spans), Some(exporter)))
}

/// # Errors
/// Where the URL's host cannot be a TLS server name.
pub(super) fn collector(tracing: &Tracing) -> anyhow::Result<Upstream> {
    let mut server = Server::at(tracing.otlp.clone(), tracing.headers.clone(), WITHIN);
    server.egress.clone_from(&tracing.egress);
    let access = Access::of(&server);
    let collector = access.and_then(|access| Upstream::new("tracing", &server, access));
    collector.map_err(|error| anyhow!("`tracing.otlp`: {error}"))
}

impl Exporter {
    /// # Errors
    /// Where the URL's host cannot be a TLS server name.
    fn new(
        tracing: &Tracing,
        spans: mpsc::Receiver<Span>,
        metrics: SpanMetrics,
        replica: &str,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            spans,
            collector: Arc::new(collector(tracing)?),
            metrics,
            resource: json!({ "attributes": [
                attribute("service.name", "toolgate"),
                attribute("service.version", env!("CARGO_PKG_VERSION")),
                attribute("service.instance.id", replica),
            ] }),
            failing: false,
        })
    }

    /// Exports until `ending`, and what is left then.
    pub(super) async fn run(mut self, mut ending: watch::Receiver<bool>) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let ended = tokio::select! {
                ended = self.fill(&mut batch) => ended,
                _ = ending.wait_for(|end| *end) => break,
            };
            self.export(&mut batch).await;
            if ended {
                return;
            }
        }
        while let Ok(span) = self.spans.try_recv() {
            batch.push(span);
        }
        // a collector that is not there does not hold up the end
        drop(tokio::time::timeout(LAST, self.export(&mut batch)).await);
    }

    /// Waits for spans and lets them gather; true where none can come any more.
    async fn fill(&mut self, batch: &mut Vec<Span>) -> bool {
        if self.spans.recv_many(batch, BATCH).await == 0 {
            return true;
        }
        if batch.len() < BATCH {
            tokio::time::sleep(GATHER).await;
            while batch.len() < BATCH
                && let Ok(span) = self.spans.try_recv()
            {
                batch.push(span);
            }
        }
        false
    }

    async fn export(&mut self, batch: &mut Vec<Span>) {
        let count = u64::try_from(batch.len()).unwrap_or_default();
        if count == 0 {
            return;
        }
        let body = self.request(batch).to_string();
        batch.clear();
        let result = self.post(body.into()).await;
        match &result {
            Ok(()) => self.metrics.count("exported", count),
            Err(_) => self.metrics.count("failed", count),
        }
        match result {
            Err(error) if !self.failing => {
                tracing::warn!(%error, spans = count, "spans were not exported");
                self.failing = true;
            }
            Ok(()) if self.failing => {
                tracing::info!("spans are exported again");
                self.failing = false;
            }
            _ => {}
        }
    }

    async fn post(&self, body: Bytes) -> anyhow::Result<()> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let request = self.collector.request(Method::POST, None, headers, body);
        let connection = self.collector.connection().await?;
        let answer = connection.send(request, &mut None).await?;
        let status = answer.status();
        // read to its end, so that the connection can be used again
        drop(Limited::new(answer.into_body(), ANSWER_BYTES).collect().await);
        if status.is_success() {
            Ok(())
        } else {
            Err(anyhow!("the collector answered {}", status.as_u16()))
        }
    }

    fn request(&self, spans: &[Span]) -> Value {
        let spans: Vec<Value> = spans.iter().map(shown).collect();
        json!({ "resourceSpans": [{
            "resource": self.resource,
            "scopeSpans": [{
                "scope": { "name": "toolgate", "version": env!("CARGO_PKG_VERSION") },
                "spans": spans,
            }],
        }] })
    }
}

fn attribute(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// A span as OTLP/JSON writes it: ids in hexadecimal digits, enums as numbers, 64-bit numbers as text.
fn shown(span: &Span) -> Value {
    let mut attributes: Vec<Value> = span
        .attributes
        .iter()
        .map(|(key, value)| attribute(key, value))
        .collect();
    let mut shown = json!({
        "traceId": HEXLOWER.encode(&span.context.trace),
        "spanId": HEXLOWER.encode(&span.context.span),
        "name": span.name,
        "kind": match span.kind { SpanKind::Server => 2, SpanKind::Client => 3 },
        "startTimeUnixNano": span.start_ns.to_string(),
        "endTimeUnixNano": span.end_ns.to_string(),
    });
    let Value::Object(fields) = &mut shown else {
        return shown;
    };
    if let Some(parent) = span.parent {
        fields.insert("parentSpanId".to_owned(), HEXLOWER.encode(&parent).into());
    }
    if let Some(link) = span.link {
        let link = json!({ "traceId": HEXLOWER.encode(&link.trace), "spanId": HEXLOWER.encode(&link.span) });
        fields.insert("links".to_owned(), json!([link]));
    }
    if !span.error.is_empty() {
        attributes.push(attribute("error.type", &span.error));
        fields.insert("status".to_owned(), json!({ "code": 2 }));
    }
    fields.insert("attributes".to_owned(), attributes.into());
    shown
}
