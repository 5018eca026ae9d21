//! The example MCP server: Streamable HTTP with JSON answers, stateless, for session-era clients and for
//! revision 2026-07-28. It starts pretended pipeline runs and counts them.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

const MODERN: &str = "2026-07-28";
/// What this server speaks, newest first.
const VERSIONS: [&str; 4] = [MODERN, "2025-11-25", "2025-06-18", "2025-03-26"];
const BODY_BYTES: usize = 1 << 20;
const CONNECTIONS: usize = 256;

/// Serves until the task is dropped. `runs` counts the runs that were started.
pub async fn serve(listener: TcpListener, runs: Arc<AtomicU64>) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let runs = Arc::clone(&runs);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, Arc::clone(&runs)));
            let mut builder = http1::Builder::new();
            builder
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(30));
            if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!(%error, "a connection of the example server ended");
            }
            drop(seat);
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    runs: Arc<AtomicU64>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() != Method::POST {
        return Ok(reply(StatusCode::METHOD_NOT_ALLOWED, None));
    }
    let Ok(body) = Limited::new(request.into_body(), BODY_BYTES).collect().await else {
        return Ok(reply(StatusCode::PAYLOAD_TOO_LARGE, None));
    };
    let Ok(message) = serde_json::from_slice::<Value>(&body.to_bytes()) else {
        return Ok(reply(
            StatusCode::BAD_REQUEST,
            Some(error(&Value::Null, -32700, "not JSON")),
        ));
    };
    let Some(id) = message.get("id").filter(|_| message.get("method").is_some()) else {
        return Ok(reply(StatusCode::ACCEPTED, None));
    };
    let result = result(&message, &runs);
    Ok(match result {
        Ok(result) => reply(
            StatusCode::OK,
            Some(json!({"jsonrpc": "2.0", "id": id, "result": result})),
        ),
        Err((code, text)) => reply(StatusCode::OK, Some(error(id, code, &text))),
    })
}

fn reply(status: StatusCode, body: Option<Value>) -> Response<Full<Bytes>> {
    let bytes = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
    let mut response = Response::new(Full::new(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    response
}

fn error(id: &Value, code: i64, text: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": text}})
}

fn result(message: &Value, runs: &AtomicU64) -> Result<Value, (i64, String)> {
    let params = message.get("params").unwrap_or(&Value::Null);
    let version = params
        .pointer("/_meta/io.modelcontextprotocol~1protocolVersion")
        .and_then(Value::as_str);
    let modern = version.is_some_and(|version| version >= MODERN);
    let capabilities = json!({"tools": {}});
    let info = json!({"name": "toolgate-example", "version": env!("CARGO_PKG_VERSION")});
    let result = match message.get("method").and_then(Value::as_str).unwrap_or_default() {
        "initialize" => {
            let asked = params
                .get("protocolVersion")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let version = VERSIONS
                .iter()
                .skip(1)
                .find(|known| **known == asked)
                .unwrap_or(&"2025-11-25");
            json!({"protocolVersion": version, "capabilities": capabilities, "serverInfo": info})
        }
        "server/discover" => {
            json!({"supportedVersions": [MODERN], "capabilities": capabilities, "serverInfo": info})
        }
        "ping" => json!({}),
        "tools/list" => json!({"tools": tools()}),
        "tools/call" => call(params, runs)?,
        other => return Err((-32601, format!("Method not found: {other}"))),
    };
    Ok(if modern { modern_result(result) } else { result })
}

/// Results of 2026-07-28 say their type, and lists how long they may be kept.
fn modern_result(mut result: Value) -> Value {
    if let Some(members) = result.as_object_mut() {
        members.insert("resultType".to_owned(), json!("complete"));
        if !members.contains_key("content") {
            members.insert("ttlMs".to_owned(), json!(0));
            members.insert("cacheScope".to_owned(), json!("private"));
        }
    }
    result
}

fn tools() -> Value {
    let object = json!({"type": "object", "properties": {"pipeline": {"type": "string"}}});
    json!([
        {"name": "start_run", "description": "Starts a run of a data pipeline.", "inputSchema": object},
        {"name": "list_runs", "description": "Says how many runs were started.", "inputSchema": {"type": "object"}},
        {"name": "drop_table", "description": "Drops a table. No agent should.", "inputSchema": {"type": "object"}},
    ])
}

fn call(params: &Value, runs: &AtomicU64) -> Result<Value, (i64, String)> {
    let tool = params.get("name").and_then(Value::as_str).unwrap_or_default();
    let text = match tool {
        "start_run" => format!("run {} started", runs.fetch_add(1, Ordering::SeqCst) + 1),
        "list_runs" => format!("{} runs were started", runs.load(Ordering::SeqCst)),
        "drop_table" => "dropped".to_owned(),
        other => return Err((-32602, format!("Unknown tool: {other}"))),
    };
    Ok(json!({"content": [{"type": "text", "text": text}], "isError": false}))
}
