//! A real client on `rmcp`: 2026-07-28 where the server has it, sessions elsewhere. Specification and answer are those
//! of `../node/spec.mjs`; it speaks Streamable HTTP and stdio.

#![allow(
    deprecated,
    reason = "sampling is deprecated, and servers ask for it all the same"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, ClientCapabilities, ClientConfig, CreateMessageRequestParams, CreateMessageResult,
    ElicitRequestParams, ElicitResult, ElicitationAction, Implementation, ProgressNotificationParam,
    ProtocolVersion, SamplingMessage,
};
use rmcp::service::{
    ClientLifecycleMode, NotificationContext, RequestContext, RunningService, ServiceError,
    serve_client_with_lifecycle,
};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use rmcp::{ClientHandler, ErrorData, RoleClient};
use serde_json::{Value, json};

/// What the server asked and told.
#[derive(Clone, Default)]
struct Handler {
    asks: bool,
    asked: Arc<Mutex<Vec<&'static str>>>,
    progress: Arc<Mutex<Vec<f64>>>,
}

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        let declared = if self.asks {
            json!({ "sampling": {}, "elicitation": {} })
        } else {
            json!({})
        };
        let capabilities = serde_json::from_value::<ClientCapabilities>(declared).unwrap();
        ClientConfig::new(capabilities, Implementation::new("toolgate-test", "1.0.0"))
    }

    async fn create_message(
        &self,
        _: CreateMessageRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        self.asked.lock().unwrap().push("sampling/createMessage");
        Ok(CreateMessageResult::new(
            SamplingMessage::assistant_text("sampled"),
            "test".to_owned(),
        ))
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        self.asked.lock().unwrap().push("elicitation/create");
        let request = serde_json::to_value(request).unwrap();
        let asked = request["requestedSchema"]["properties"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        let content: Value = asked.keys().map(|name| (name.clone(), json!("ada"))).collect();
        Ok(ElicitResult::new(ElicitationAction::Accept).with_content(content))
    }

    async fn on_progress(&self, told: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        self.progress.lock().unwrap().push(told.progress);
    }
}

#[tokio::main]
async fn main() {
    let spec: Value = serde_json::from_str(&std::env::args().nth(1).expect("a specification")).unwrap();
    let mut answer = run(&spec)
        .await
        .unwrap_or_else(|error| json!({ "failed": error }));
    answer["client"] = json!("rmcp");
    println!("{answer}");
}

async fn run(spec: &Value) -> Result<Value, String> {
    let handler = Handler {
        asks: spec["asked"] == true,
        ..Handler::default()
    };
    let client = connect(spec, handler.clone()).await?;
    let version = client.peer_info().map(|info| info.protocol_version.to_string());
    let tools = client.list_all_tools().await.map_err(|error| error.to_string())?;
    let tools: Vec<&str> = tools.iter().map(|tool| &*tool.name).collect();
    let mut calls = Vec::new();
    for wanted in spec["calls"].as_array().unwrap() {
        for _ in 0..wanted["times"].as_u64().unwrap_or(1) {
            calls.push(call(&client, &handler, wanted).await);
        }
    }
    let asked = handler.asked.lock().unwrap().clone();
    let answer = json!({ "protocolVersion": version, "tools": tools, "asked": asked, "calls": calls });
    client.cancel().await.map_err(|error| error.to_string())?;
    Ok(answer)
}

async fn connect(spec: &Value, handler: Handler) -> Result<RunningService<RoleClient, Handler>, String> {
    let lifecycle = if spec["era"] == "legacy" {
        ClientLifecycleMode::Initialize
    } else {
        ClientLifecycleMode::Auto {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
            legacy_version: Some(ProtocolVersion::V_2025_11_25),
        }
    };
    let connected = match spec["command"].as_array() {
        Some(words) => {
            let mut words = words.iter().map(|word| word.as_str().unwrap());
            let mut command = tokio::process::Command::new(words.next().unwrap());
            command.args(words);
            for (name, value) in spec["env"].as_object().unwrap() {
                command.env(name, value.as_str().unwrap());
            }
            let child = TokioChildProcess::new(command).map_err(|error| error.to_string())?;
            serve_client_with_lifecycle(handler, child, lifecycle).await
        }
        None => {
            let config = StreamableHttpClientTransportConfig::with_uri(spec["url"].as_str().unwrap())
                .auth_header(spec["token"].as_str().unwrap());
            let transport = StreamableHttpClientTransport::from_config(config);
            serve_client_with_lifecycle(handler, transport, lifecycle).await
        }
    };
    connected.map_err(|error| error.to_string())
}

async fn call(client: &RunningService<RoleClient, Handler>, handler: &Handler, wanted: &Value) -> Value {
    let tool = wanted["tool"].as_str().unwrap().to_owned();
    let mut params = CallToolRequestParams::new(tool.clone());
    params.arguments = wanted["arguments"].as_object().cloned();
    handler.progress.lock().unwrap().clear();
    let called = tokio::time::timeout(Duration::from_secs(20), client.call_tool(params)).await;
    let progress = handler.progress.lock().unwrap().clone();
    match called {
        Ok(Ok(result)) => {
            let result = serde_json::to_value(result).unwrap();
            let kind = if result["isError"] == true {
                "tool_error"
            } else {
                "ok"
            };
            let parts = result["content"].as_array().cloned().unwrap_or_default();
            let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
            json!({ "tool": tool, "kind": kind, "text": texts.join("\n"), "meta": result["_meta"], "progress": progress })
        }
        Ok(Err(ServiceError::McpError(error))) => json!({ "tool": tool, "kind": "protocol_error",
            "text": error.message, "code": error.code.0, "data": error.data }),
        Ok(Err(error)) => json!({ "tool": tool, "kind": "transport_error", "text": error.to_string() }),
        Err(_) => json!({ "tool": tool, "kind": "transport_error", "text": "timed out" }),
    }
}
