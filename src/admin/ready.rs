//! `/readyz`: whether the gate takes calls, and how what it depends on is.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use super::{Admin, text};

/// What comes later.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;
/// Asks the server of this name; `None`: there is no such server.
pub type ServerProbe = Arc<dyn Fn(&str) -> Option<Later<Answers>> + Send + Sync>;

/// What the gate is asked for `/readyz`. Each answer comes within a bound.
#[derive(Clone)]
pub struct Probes {
    /// How the store is, in one word.
    pub store: Arc<dyn Fn() -> Later<&'static str> + Send + Sync>,
    /// Whether calls wait for every node of the store: none was found not to answer.
    pub store_is_asked: Arc<dyn Fn() -> bool + Send + Sync>,
    pub server: ServerProbe,
    /// The names of the servers.
    pub servers: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// Whether policies and grants in force are those in the files.
    pub policies: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// How what the gate depends on is, each in a word.
#[derive(Clone, Debug)]
pub struct Health {
    pub store: &'static str,
    pub policies: &'static str,
    /// By name.
    pub servers: Vec<(String, &'static str)>,
}

impl Probes {
    /// Asks everything at the same time, so that the bounds do not add up.
    pub async fn health(&self) -> Health {
        let asked = (self.servers)().into_iter().filter_map(|name| {
            let answers = tokio::spawn((self.server)(&name)?);
            Some((name, answers))
        });
        let asked: Vec<_> = asked.collect();
        let store = (self.store)().await;
        let mut servers = Vec::with_capacity(asked.len());
        for (name, answers) in asked {
            servers.push((name, answers.await.map_or("unreachable", Answers::as_str)));
        }
        Health {
            store,
            policies: if (self.policies)() { "current" } else { "stale" },
            servers,
        }
    }
}

/// How a server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    Up,
    /// It does not take the gate's credential.
    Unauthorized,
    /// It answers with an error of its own.
    Failing,
    Unreachable,
    /// It is a command, which is started when a client needs it and is not asked.
    OnDemand,
}

impl Answers {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Unauthorized => "unauthorized",
            Self::Failing => "failing",
            Self::Unreachable => "unreachable",
            Self::OnDemand => "on_demand",
        }
    }

    /// Whether nothing is known that keeps calls from it.
    const fn is_good(self) -> bool {
        matches!(self, Self::Up | Self::OnDemand)
    }
}

/// Ready until the end begins. A store or an upstream that is down does not make the gate unready: all replicas would
/// drop out at once, and calls without limits, or to other servers, still pass. Who asks for more is told.
pub(super) async fn ready(admin: &Admin, query: Option<&str>) -> Response<Full<Bytes>> {
    let stopping = *admin.stopping.borrow();
    let word = if stopping { "stopping" } else { "ready" };
    let mut body = json!({ "status": word });
    let mut good = !stopping;
    for part in query
        .unwrap_or_default()
        .split('&')
        .filter(|part| !part.is_empty())
    {
        match part.split_once('=').unwrap_or((part, "")) {
            ("verbose", "" | "1" | "true") => verbose(admin, &mut body).await,
            ("server", name) => {
                let Some(asked) = (admin.probes.server)(name) else {
                    return text(StatusCode::NOT_FOUND, "text/plain", "no such server\n");
                };
                let answers = asked.await;
                good &= answers.is_good();
                set(&mut body, "server", json!({ name: answers.as_str() }));
            }
            _ => {
                let hint = "use /readyz, /readyz?verbose or /readyz?server=NAME\n";
                return text(StatusCode::BAD_REQUEST, "text/plain", hint);
            }
        }
    }
    if body.get("store").is_none() {
        set(&mut body, "store", (admin.probes.store)().await.into());
    }
    let status = if good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    text(status, "application/json", format!("{body}\n"))
}

async fn verbose(admin: &Admin, body: &mut Value) {
    let health = admin.probes.health().await;
    let mut servers = json!({});
    for (name, word) in health.servers {
        set(&mut servers, &name, word.into());
    }
    set(body, "store", health.store.into());
    let breaker = if (admin.probes.store_is_asked)() {
        "closed"
    } else {
        "open"
    };
    set(body, "breaker", breaker.into());
    set(body, "servers", servers);
    set(body, "policies", health.policies.into());
}

fn set(object: &mut Value, key: &str, value: Value) {
    if let Value::Object(fields) = object {
        fields.insert(key.to_owned(), value);
    }
}
