//! Tells others that a call waits for a person. No call waits for it, and no argument's value goes out.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Uri};
use http_body_util::{BodyExt, Limited};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::{Instant, sleep, timeout_at};

use crate::approvals::Approval;
use crate::console::{argument_keys, shown_time};
use crate::document::escaped;
use crate::proxy::{Access, Upstream};
use crate::record::{ConsoleMetrics, Metrics};
use crate::settings::{Secret, Server, Settings, Webhook, WebhookFormat};

/// Messages that wait for one receiver; what comes then is dropped.
const QUEUE: usize = 256;
/// How long a receiver may take for each step of one try.
const WITHIN: Duration = Duration::from_secs(5);
/// After this time a message is given up.
const DEADLINE: Duration = Duration::from_secs(120);
/// The pause after the first try; each next one is twice as long.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// Of an answer no more is read.
const ANSWER_BYTES: usize = 64 << 10;

const TIMESTAMP: HeaderName = HeaderName::from_static("toolgate-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("toolgate-signature");
/// The same for each try of one message.
const DELIVERY: HeaderName = HeaderName::from_static("toolgate-delivery");

/// One message.
struct Message {
    id: String,
    body: Bytes,
}

/// Takes messages for all receivers. Never waits.
#[derive(Clone)]
pub(super) struct Webhooks {
    queues: Arc<Vec<(WebhookFormat, Sender<Message>)>>,
    metrics: ConsoleMetrics,
    url: Option<Uri>,
    replica: String,
}

/// Brings the messages of one receiver there, one after the other.
pub(super) struct Courier {
    messages: Receiver<Message>,
    receiver: Arc<Upstream>,
    secret: Option<Secret<String>>,
    metrics: ConsoleMetrics,
    /// The place in the settings: its URL may be a secret.
    key: String,
}

/// `None` where nobody is to be told.
///
/// # Errors
/// Where a URL's host cannot be a TLS server name.
pub(super) fn webhooks(
    settings: &Settings,
    metrics: &Metrics,
    replica: &str,
) -> anyhow::Result<Option<(Webhooks, Vec<Courier>)>> {
    if settings.webhooks.is_empty() {
        return Ok(None);
    }
    metrics.console().sends();
    let (mut queues, mut couriers) = (Vec::new(), Vec::new());
    for (index, webhook) in settings.webhooks.iter().enumerate() {
        let (queue, messages) = mpsc::channel(QUEUE);
        queues.push((webhook.format, queue));
        couriers.push(Courier::new(index, webhook, messages, metrics.console())?);
    }
    let webhooks = Webhooks {
        queues: Arc::new(queues),
        metrics: metrics.console().clone(),
        url: settings.console.as_ref().and_then(|console| console.url.clone()),
        replica: replica.to_owned(),
    };
    Ok(Some((webhooks, couriers)))
}

impl Webhooks {
    /// Tells that this waits; `arguments`: their JSON, of which the names at the top are told.
    pub(super) fn waits(&self, approval: &Approval, arguments: Option<&str>) {
        for (format, queue) in self.queues.iter() {
            let message = self.message(approval, arguments);
            let body = match format {
                WebhookFormat::Json => message,
                WebhookFormat::Slack => slack(&message),
            };
            let message = Message {
                id: approval.id.to_string(),
                body: body.to_string().into(),
            };
            if queue.try_send(message).is_err() {
                self.metrics.webhook("dropped", 1);
            }
        }
    }

    fn message(&self, approval: &Approval, arguments: Option<&str>) -> Value {
        let keys = arguments.map(argument_keys).unwrap_or_default();
        let url = self.url.as_ref().map(|url| {
            let url = url.to_string();
            format!("{}/#{}", url.trim_end_matches('/'), approval.id)
        });
        json!({
            "event": "approval_requested",
            "id": approval.id.to_string(),
            "grant": escaped(&approval.grant),
            "grant_key": approval.grant_key,
            "server": escaped(&approval.server),
            "tool": escaped(&approval.tool),
            "argument_keys": keys.iter().map(|key| escaped(key)).collect::<Vec<_>>(),
            "approvals_needed": approval.needed,
            "created": shown_time(approval.created_ms),
            "expires": shown_time(approval.expires_ms),
            "url": url,
            "replica": self.replica,
        })
    }
}

/// The same for people, in a body that Slack shows. Names are plain text there: they cannot mention or link.
fn slack(message: &Value) -> Value {
    let text = |key: &str| message.get(key).and_then(Value::as_str).unwrap_or_default();
    let line = format!(
        "{} on {} waits for a person, asked by {}, until {}",
        text("tool"),
        text("server"),
        text("grant"),
        text("expires")
    );
    let mut blocks = vec![json!({
        "type": "section", "text": { "type": "plain_text", "text": line, "emoji": false } })];
    if let Some(url) = message.get("url").and_then(Value::as_str) {
        blocks.push(json!({
            "type": "section", "text": { "type": "mrkdwn", "text": format!("<{url}|Look at it and decide>") } }));
    }
    let plain = line
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    json!({ "text": plain, "blocks": blocks })
}

/// What a try came to.
enum Tried {
    Delivered,
    /// It may go better later.
    Later(String),
    /// It will not.
    Never(String),
}

fn key(index: usize) -> String {
    format!("approvals.webhooks[{index}]")
}

/// # Errors
/// Where the URL's host cannot be a TLS server name.
pub(super) fn receiver(index: usize, webhook: &Webhook) -> anyhow::Result<Upstream> {
    let server = Server::at(webhook.url.expose().clone(), webhook.egress.clone(), WITHIN);
    let access = Access::of(&server);
    let receiver = access.and_then(|access| Upstream::new("webhook", &server, access));
    receiver.map_err(|error| anyhow!("`{}`: {error}", key(index)))
}

impl Courier {
    fn new(
        index: usize,
        webhook: &Webhook,
        messages: Receiver<Message>,
        metrics: &ConsoleMetrics,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            messages,
            receiver: Arc::new(receiver(index, webhook)?),
            secret: webhook.secret.clone(),
            metrics: metrics.clone(),
            key: key(index),
        })
    }

    /// Never ends while messages can come.
    pub(super) async fn run(mut self) {
        while let Some(message) = self.messages.recv().await {
            let result = match self.deliver(&message).await {
                Ok(()) => "delivered",
                Err(error) => {
                    let (webhook, approval) = (&self.key, &message.id);
                    tracing::warn!(webhook, approval, error, "a webhook was not delivered");
                    "failed"
                }
            };
            self.metrics.webhook(result, 1);
        }
    }

    async fn deliver(&self, message: &Message) -> Result<(), String> {
        let until = Instant::now() + DEADLINE;
        let mut pause = PAUSE;
        loop {
            let tried = timeout_at(until, self.attempt(message)).await;
            let why = match tried.unwrap_or_else(|_| Tried::Never("no answer in time".to_owned())) {
                Tried::Delivered => return Ok(()),
                Tried::Never(why) => return Err(why),
                Tried::Later(why) => why,
            };
            if Instant::now() + pause >= until {
                return Err(why);
            }
            sleep(pause).await;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt(&self, message: &Message) -> Tried {
        let headers = match self.headers(message, now()) {
            Ok(headers) => headers,
            Err(why) => return Tried::Never(why),
        };
        let request = self
            .receiver
            .request(Method::POST, None, headers, message.body.clone());
        let sent = async {
            let connection = self.receiver.connection().await?;
            connection.send(request, &mut None).await
        };
        let answer = match sent.await {
            Ok(answer) => answer,
            Err(error) => return Tried::Later(error.to_string()),
        };
        let status = answer.status().as_u16();
        // read to its end, so that the connection can be used again
        drop(Limited::new(answer.into_body(), ANSWER_BYTES).collect().await);
        match status {
            200..=299 => Tried::Delivered,
            300..=399 => Tried::Never(format!("it redirects ({status}), which is not followed")),
            408 | 425 | 429 | 500.. => Tried::Later(format!("it answered {status}")),
            _ => Tried::Never(format!("it answered {status}")),
        }
    }

    /// Signed over the time too: an old message cannot be sent again as a new one.
    fn headers(&self, message: &Message, now: i64) -> Result<HeaderMap, String> {
        let value = |text: String| HeaderValue::from_str(&text).map_err(|error| error.to_string());
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(DELIVERY, value(message.id.clone())?);
        if let Some(secret) = &self.secret {
            headers.insert(TIMESTAMP, value(now.to_string())?);
            headers.insert(SIGNATURE, value(signature(secret.expose(), now, &message.body)?)?);
        }
        Ok(headers)
    }
}

/// `v1=` and the HMAC-SHA-256 (RFC 2104) of timestamp, full stop and body, in hexadecimal digits.
fn signature(secret: &str, now: i64, body: &[u8]) -> Result<String, String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map_err(|error| error.to_string())?;
    mac.update(format!("{now}.").as_bytes());
    mac.update(body);
    Ok(format!("v1={}", HEXLOWER.encode(&mac.finalize().into_bytes())))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a receiver compares it with its own clock"
)]
fn now() -> i64 {
    Timestamp::now().as_second()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{signature, slack};

    #[test]
    fn the_signature_is_that_of_other_tools() {
        // printf '1700000000.{}' | openssl dgst -sha256 -hmac secret
        let expected = "v1=b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163";
        assert_eq!(signature("secret", 1_700_000_000, b"{}").unwrap(), expected);
    }

    #[test]
    fn names_in_a_message_for_slack_cannot_mention_or_link() {
        let message = json!({ "tool": "<!channel> & <https://evil.example|x>", "server": "s", "grant": "g",
            "expires": "t", "url": "https://c.example/#ab" });
        let body = slack(&message);
        assert!(
            body["text"]
                .as_str()
                .unwrap()
                .starts_with("&lt;!channel&gt; &amp; &lt;https://evil")
        );
        assert_eq!(body["blocks"][0]["text"]["type"], "plain_text");
        assert_eq!(
            body["blocks"][1]["text"]["text"],
            "<https://c.example/#ab|Look at it and decide>"
        );
    }
}
