//! What the gate tells others, and what commands ask, through an egress proxy. Processes of their own: the proxy, and the
//! authorities, stand in their environment.

use std::process::Output;

use serde_json::json;
use tokio::process::Command;

use crate::egress::named;
use crate::egress_proxy::{Does, HOST, Proxy, REFUSES};
use crate::pki::{Authority, Terminator};
use crate::support::gate::{Folder, Setup};
use crate::wire::until;
use crate::wire::upstream::{Step, Upstream, json as whole};

const TOKEN: &str = "tg_agent-token-of-the-test";

/// A server elsewhere that says this to everybody, over TLS.
struct Elsewhere {
    server: Upstream,
    tls: Terminator,
    proxy: Proxy,
    folder: Folder,
}

impl Elsewhere {
    async fn says(body: &str) -> Self {
        let server = Upstream::always(vec![Step::Send(whole(body))]).await;
        let authority = Authority::new("ca");
        let folder = Folder::new("egress");
        folder.write("ca.crt", &authority.pem());
        folder.write("p.yaml", "version: \"1\"\ndefault: deny\ntools: { run: {} }\n");
        Self {
            tls: Terminator::before(server.addr, &named(&authority, HOST), None).await,
            proxy: Proxy::start().await,
            server,
            folder,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("https://{HOST}:{}{path}", self.tls.addr.port())
    }

    fn authorities(&self) -> String {
        self.folder.path().join("ca.crt").display().to_string()
    }

    /// Runs `toolgate` with these variables.
    async fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_toolgate"));
        command
            .env_clear()
            .env("SSL_CERT_FILE", self.authorities())
            .env("TOOLGATE_APPROVER_TOKEN", TOKEN)
            .envs(environment.iter().copied())
            .current_dir(self.folder.path())
            .args(arguments);
        command.output().await.unwrap()
    }

    /// Every tunnel that was asked for led here, with the proxy's password and nothing of what passes.
    fn only_tunnels_were_asked_for(&self) {
        let heads = self.proxy.heads();
        let target = format!("connect {HOST}:{} http/1.1\r\n", self.tls.addr.port());
        for head in heads.iter().map(|head| head.to_lowercase()) {
            assert!(head.starts_with(&target), "{head}");
            assert!(
                head.contains("proxy-authorization: basic dxnlcjpwqhnz\r\n"),
                "{head}"
            );
            assert!(!head.contains("/hook") && !head.contains("bearer"), "{head}");
        }
        for seen in self.server.seen() {
            assert_eq!(seen.header("proxy-authorization"), None);
        }
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_waits_for_a_tunnel_and_does_not_go_round_the_proxy() {
    let elsewhere = Elsewhere::says("{}").await;
    elsewhere.proxy.does(REFUSES);
    let hook = json!({ "url": elsewhere.url("/hook?key=k"), "secret": { "env": "HOOK" } });
    let gate = Setup::new()
        .server("s", "http://127.0.0.1:1/mcp")
        .policy(
            "people",
            json!({ "version": "1", "default": "deny", "tools": { "run": { "action": "require_approval" } } }),
        )
        .grant("agent", TOKEN, "s", "people")
        .key("approvals", json!({ "hold_ms": 0, "webhooks": [hook] }))
        .start_with_env(&[
            ("HTTPS_PROXY", &elsewhere.proxy.url()),
            ("SSL_CERT_FILE", &elsewhere.authorities()),
            ("HOOK", "a secret that both sides know"),
        ]);
    let reply = gate.caller("s", TOKEN).call("run", &json!({})).await;
    assert_eq!(reply.outcome(), "needs_approval");
    until(|| elsewhere.proxy.heads().len() >= 2).await;
    assert_eq!(elsewhere.server.count(), 0);
    elsewhere.proxy.does(Does::Tunnel);
    let came = elsewhere.server.request(1).await;
    assert_eq!(came.request_line(), "POST /hook?key=k HTTP/1.1");
    elsewhere.only_tunnels_were_asked_for();
    let said = gate.stdout() + &gate.stderr();
    assert!(!said.contains("p@ss") && !said.contains("p%40ss"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_ask_servers_elsewhere_through_the_proxy_and_do_not_go_round_it() {
    // a console without requests; a list of tools is asked for under the first id
    let elsewhere =
        Elsewhere::says(r#"{"approvals":[],"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"run"}]}}"#)
            .await;
    let (server, console) = (elsewhere.url("/mcp"), elsewhere.url(""));
    let proxy = elsewhere.proxy.url();
    let through = [("HTTPS_PROXY", proxy.as_str())];
    let mut asked = 0;
    for arguments in [
        &["scan", server.as_str()][..],
        &["check", "--against", server.as_str(), "p.yaml"],
        &["approvals", "list", "--console", console.as_str()],
    ] {
        elsewhere.proxy.does(REFUSES);
        let refused = elsewhere.run(arguments, &through).await;
        let said = stderr(&refused) + &String::from_utf8(refused.stdout.clone()).unwrap();
        assert!(!refused.status.success(), "{arguments:?}");
        assert!(said.contains("opens no tunnel: it answered 407"), "{said}");
        assert!(!said.contains("p@ss") && !said.contains("p%40ss"), "{said}");
        assert_eq!(
            elsewhere.server.count(),
            asked,
            "{arguments:?} went round the proxy"
        );
        let tunnels = elsewhere.proxy.heads().len();

        elsewhere.proxy.does(Does::Tunnel);
        let done = elsewhere.run(arguments, &through).await;
        assert!(done.status.success(), "{arguments:?}: {done:?}");
        assert!(elsewhere.proxy.heads().len() > tunnels, "{arguments:?}");

        // which shows too that whoever goes round the proxy gets there
        let tunnels = elsewhere.proxy.heads().len();
        let directly = elsewhere.run(arguments, &[through[0], ("NO_PROXY", HOST)]).await;
        assert!(directly.status.success(), "{arguments:?}: {directly:?}");
        assert_eq!(elsewhere.proxy.heads().len(), tunnels, "{arguments:?}");
        asked = elsewhere.server.count();
    }
    elsewhere.only_tunnels_were_asked_for();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_asks_nobody_where_the_proxy_is_none_that_can_be_asked() {
    let elsewhere = Elsewhere::says("{}").await;
    let (server, console) = (elsewhere.url("/mcp"), elsewhere.url(""));
    for arguments in [
        &["scan", server.as_str()][..],
        &["check", "--against", server.as_str(), "p.yaml"],
        &["approvals", "list", "--console", console.as_str()],
    ] {
        let environment = [("https_proxy", "socks5://u:s3cret@proxy.example")];
        let output = elsewhere.run(arguments, &environment).await;
        let said = stderr(&output) + &String::from_utf8(output.stdout.clone()).unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        assert!(
            said.contains("`HTTPS_PROXY`: no proxy that can be asked"),
            "{said}"
        );
        assert!(!said.contains("s3cret"), "{said}");
    }
    assert_eq!(elsewhere.server.accepted(), 0);
}
