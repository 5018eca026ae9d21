//! `toolgate demo`.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, anyhow};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::app::{self, App, Loaded};
use crate::console::Approvers;
use crate::demo::{self, Driver};
use crate::grants::{Grant, Grants, TokenHash, new_token};
use crate::policy;
use crate::settings::{Settings, SettingsError, defaults, for_one_server};

const CALLS: usize = 12;
const ADMITTED: usize = 10;

/// Drives the calls; without `once` stays up afterwards.
pub fn run(once: bool, out: &mut dyn Write) -> anyhow::Result<u8> {
    super::start_logging("warn", None);
    super::install_crypto();
    super::runtime()
        .context("the runtime cannot start")?
        .block_on(async {
            let runs = Arc::new(AtomicU64::new(0));
            let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let upstream = format!("http://{}/mcp", server.local_addr()?);
            let example = tokio::spawn(demo::serve(server, Arc::clone(&runs)));
            let (driving, yours) = (token()?, token()?);
            let app = App::bind(settings(&upstream, once)?, files(&driving, &yours)?, None).await?;
            let (proxy, admin) = (app.proxy_addr()?, app.admin_addr()?);
            let (stop, stopped) = if once {
                watch::channel(false)
            } else {
                (watch::channel(false).0, app::signals()?)
            };
            let gate = tokio::spawn(app.run(stopped));

            let right = drive(proxy, &driving, &runs, out).await?;
            if once {
                stop.send_replace(true);
            } else {
                point_a_client(proxy, admin, &yours, out)?;
            }
            gate.await?;
            example.abort();
            Ok(u8::from(!right))
        })
}

/// Runs the example server until SIGTERM or SIGINT.
pub fn example_server(listen: SocketAddr, out: &mut dyn Write) -> anyhow::Result<u8> {
    super::start_logging("info", None);
    super::runtime()
        .context("the runtime cannot start")?
        .block_on(async {
            let server = TcpListener::bind(listen)
                .await
                .with_context(|| format!("cannot listen on {listen}"))?;
            writeln!(out, "http://{}/mcp", server.local_addr()?)?;
            out.flush()?;
            let mut stopped = app::signals()?;
            tokio::select! {
                () = demo::serve(server, Arc::default()) => {}
                _ = stopped.wait_for(|stop| *stop) => {}
            }
            Ok(0)
        })
}

fn token() -> anyhow::Result<String> {
    new_token().map_err(|error| anyhow!("no random bytes for a token: {error}"))
}

/// The usual ports, or free ones where they are taken; `--once` takes free ones always.
fn settings(upstream: &str, once: bool) -> Result<Settings, SettingsError> {
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let or_free = |address: SocketAddr| {
        let usable = !once && StdListener::bind(address).is_ok();
        if usable { address } else { free }
    };
    for_one_server(
        "demo",
        upstream,
        or_free(defaults::LISTEN),
        or_free(defaults::ADMIN),
    )
}

/// Two grants: one for the calls that are driven here, one for the reader's client.
fn files(driving: &str, yours: &str) -> anyhow::Result<Loaded> {
    let loaded = policy::load("demo", "demo policy", demo::POLICY)
        .map_err(|problems| anyhow!("the demo's policy has problems: {problems:?}"))?;
    let policy = Arc::new(loaded.policy);
    let grant = |id: &str, token: &str| {
        let policies = vec![Arc::clone(&policy)];
        let grant = Grant {
            id: id.to_owned(),
            servers: vec!["demo".to_owned()],
            policies,
            ..Grant::default()
        };
        (TokenHash::of(token.as_bytes()), Arc::new(grant))
    };
    Ok(Loaded {
        pins: BTreeMap::new(),
        approvers: Approvers::default(),
        grants: Grants::new([grant("driver", driving), grant("you", yours)]),
        policies: BTreeMap::from([("demo".to_owned(), policy)]),
        warnings: Vec::new(),
    })
}

/// Makes the calls, a line for each. True where exactly ten were admitted and ran.
async fn drive(
    proxy: SocketAddr,
    token: &str,
    runs: &AtomicU64,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    writeln!(out, "The policy:\n{}", demo::POLICY)?;
    writeln!(out, "One grant calls start_run {CALLS} times:")?;
    let mut driver = Driver::connect(proxy, token).await?;
    let mut admitted = 0;
    for number in 1..=CALLS {
        let call = driver.call("start_run", json!({"pipeline": "nightly"})).await?;
        admitted += usize::from(call.admitted);
        let word = if call.admitted { "admitted" } else { "refused " };
        writeln!(out, "  {number:2}/{CALLS}  {word}  {}", call.text)?;
        out.flush()?;
    }
    let ran = runs.load(Ordering::SeqCst);
    let right = admitted == ADMITTED && ran == ADMITTED as u64;
    let verdict = if right {
        "as the policy says"
    } else {
        "NOT as the policy says"
    };
    writeln!(
        out,
        "{admitted} of {CALLS} calls were admitted, {ran} runs were started: {verdict}."
    )?;
    Ok(right)
}

fn point_a_client(
    proxy: SocketAddr,
    admin: SocketAddr,
    token: &str,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let url = format!("http://{proxy}/mcp/demo");
    let call =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"start_run","arguments":{}}}"#;
    writeln!(
        out,
        "\nThe gate stays up. A second grant, yours, has ten calls per minute of its own."
    )?;
    writeln!(
        out,
        "  URL      {url}\n  token    {token}\n  metrics  http://{admin}/metrics"
    )?;
    writeln!(
        out,
        "\nFor an MCP client:\n{{ \"mcpServers\": {{ \"demo\": {{\n    \"type\": \"http\",\n    \"url\": \"{url}\",\n    \"headers\": {{ \"Authorization\": \"Bearer {token}\" }} }} }} }}"
    )?;
    writeln!(
        out,
        "\nOr by hand:\n  curl -s {url} -H 'Authorization: Bearer {token}' \\"
    )?;
    writeln!(
        out,
        "    -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \\"
    )?;
    writeln!(out, "    -d '{call}'")?;
    writeln!(out, "\nCtrl-C ends it.")?;
    out.flush()?;
    Ok(())
}
