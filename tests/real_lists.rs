//! `toolgate check --against`: the tools of real servers of both eras, and of servers that misbehave.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test and its helpers a failed unwrap is a failed test"
)]

mod support;

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use support::canned::Canned;
use support::servers::{Era, Everything, Fixture};
use tokio::net::TcpListener;
use toolgate::client::{ClientError, Listed, Target, list_tools};
use toolgate::settings::Egress;

const SECRET: &str = "tg_test_a_secret_of_the_server";

async fn list(url: &str, within: Duration) -> Result<Listed, ClientError> {
    let target = Target::new(url, Vec::new(), Egress::direct(), within).unwrap();
    list_tools(&target, within).await
}

async fn names(url: &str) -> (Vec<String>, String) {
    let listed = list(url, Duration::from_secs(20)).await.unwrap();
    let names = listed.tools.into_iter().map(|tool| tool.name).collect();
    (names, listed.revision)
}

async fn fault(url: &str) -> String {
    list(url, Duration::from_secs(20)).await.unwrap_err().to_string()
}

struct Ran {
    code: Option<i32>,
    out: String,
    all: String,
}

/// Runs `toolgate` in a folder of its own that holds `policy.yaml`; the server's secret is in its environment.
fn toolgate(policy: &str, arguments: &[&str]) -> Ran {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("toolgate-lists-{}-{run}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("policy.yaml"), policy).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_toolgate"))
        .args(arguments)
        .current_dir(&folder)
        .env("SERVER_TOKEN", format!("Bearer {SECRET}"))
        .output()
        .unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let (out, err) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    Ran {
        code: output.status.code(),
        all: format!("{out}{err}"),
        out,
    }
}

const POLICY: &str = "version: \"1\"
default: deny
hide: [secret-*, admin_delete_users]
tools:
  start_runs: {}
  stop_run:
    require: [{ conditions: [{ path: args.run, op: regex, value: ^1$ }] }]
    limits: [{ counter: c, window: hour, max: 9, increment_from: args.rum }]
  echo: {}
";

#[tokio::test]
async fn the_tools_of_both_eras_are_read_from_json_and_from_event_streams() {
    let mut lists = Vec::new();
    for (era, revision) in [(Era::Session, "2025-11-25"), (Era::Current, "2026-07-28")] {
        for json in [true, false] {
            let fixture = Fixture::start_with(era, json!({ "json": json }));
            let (names, spoken) = names(&fixture.url).await;
            assert_eq!(spoken, revision, "{era:?}");
            lists.push(names);
        }
    }
    assert!(
        lists[0].len() > 10 && lists[0].contains(&"start_run".to_owned()),
        "{lists:?}"
    );
    assert!(lists.iter().all(|names| *names == lists[0]), "{lists:#?}");
}

#[tokio::test]
async fn the_reference_server_is_read_too() {
    let server = Everything::start();
    let (names, _) = names(&server.url).await;
    assert!(names.contains(&"echo".to_owned()), "{names:?}");
}

#[tokio::test]
async fn a_session_that_was_opened_is_closed_again_and_no_tool_is_called() {
    let fixture = Fixture::start(Era::Session);
    names(&fixture.url).await;
    let requests = fixture.requests().await;
    let methods: Vec<&str> = requests
        .iter()
        .map(|request| request["method"].as_str().unwrap())
        .collect();
    assert_eq!(methods.last(), Some(&"DELETE"), "{methods:?}");
    let state = fixture
        .until("the session is gone", |state| state["sessions"] == 0)
        .await;
    assert_eq!(state["executions"], json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_policy_says_in_vain_is_told_at_its_line() {
    for era in [Era::Session, Era::Current] {
        let fixture = Fixture::start(era);
        let ran = toolgate(
            POLICY,
            &[
                "check",
                "--format",
                "json",
                "--against",
                &fixture.url,
                "policy.yaml",
            ],
        );
        let report: Value = serde_json::from_str(&ran.out).unwrap();
        let problems = report["files"][0]["problems"].as_array().unwrap();
        let told: Vec<String> = problems
            .iter()
            .map(|problem| {
                let text = |key: &str| problem[key].as_str().unwrap_or("-").to_owned();
                format!(
                    "{}:{} {} {} ({})",
                    problem["line"],
                    problem["column"],
                    text("level"),
                    text("message"),
                    text("help")
                )
            })
            .collect();
        let begins = [
            "3:18 warning the server has no tool `admin_delete_users` (did you mean `admin_delete_user`?)",
            "5:3 warning the server has no tool `start_runs` (did you mean `start_run`?)",
            "7:38 warning `args.run` of `stop_run` is of type number, of which `regex` can say nothing: a call with it is refused (-)",
            "8:66 warning `stop_run` takes no `args.rum`, so every call is refused (did you mean `args.run`?)",
            "2:10 note no rule names 11 tools of the server, so `default` refuses them and leaves them out of tools/list: `start_run`, ",
        ];
        assert_eq!(told.len(), begins.len(), "{told:#?}");
        for (told, begin) in told.iter().zip(begins) {
            assert!(told.starts_with(begin), "{era:?}: {told}\n{begin}");
        }
        assert_eq!(ran.code, Some(0));
        let strict = toolgate(
            POLICY,
            &["check", "--strict", "--against", &fixture.url, "policy.yaml"],
        );
        assert_eq!(strict.code, Some(1), "{}", strict.all);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_nothing_names_is_a_warning_where_it_passes() {
    let list = json!({"tools": [{"name": "a"}, {"name": "b", "inputSchema": {"type": "object"}}]});
    let file = std::env::temp_dir().join(format!("toolgate-list-{}.json", std::process::id()));
    std::fs::write(
        &file,
        json!({"jsonrpc": "2.0", "id": 1, "result": list}).to_string(),
    )
    .unwrap();
    let against = file.to_str().unwrap();
    let check = |policy: &str| {
        toolgate(
            policy,
            &["check", "--strict", "--against", against, "policy.yaml"],
        )
    };
    let open = check("version: \"1\"\ndefault: allow\ntools: { a: {} }\n");
    assert_eq!(open.code, Some(1), "{}", open.all);
    let expected = "policy.yaml:2:10: warning: no rule names 1 tool of the server, so `default` lets it pass without any rule: `b`";
    assert!(open.out.contains(expected), "{}", open.out);
    let said = check("version: \"1\"\ndefault: allow\ntools: { a: {}, \"*\": {} }\n");
    let closed = check("version: \"1\"\ndefault: deny\ntools: { a: {} }\n");
    std::fs::remove_file(Path::new(against)).unwrap();
    assert_eq!(said.code, Some(0), "{}", said.all);
    assert_eq!(closed.code, Some(0), "{}", closed.all);
    assert!(closed.out.contains(":2:10: note: "), "{}", closed.out);
}

/// An answer of the stateless revision, to the request whose id it finds.
fn page(request: &str, result: &Value) -> Vec<u8> {
    let body = request.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let id = serde_json::from_str::<Value>(body).unwrap_or_default()["id"].clone();
    let answer = json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string();
    Canned::answer("200 OK", &["Content-Type: application/json"], answer.as_bytes())
}

#[tokio::test]
async fn all_pages_of_a_list_are_read_and_a_circle_is_left() {
    let server = Canned::start_with(|request| {
        let (name, next) = match () {
            () if request.contains("\"cursor\":\"two\"") => ("b", Some("three")),
            () if request.contains("\"cursor\":\"three\"") => ("c", None),
            () => ("a", Some("two")),
        };
        page(request, &json!({"tools": [{"name": name}], "nextCursor": next}))
    })
    .await;
    assert_eq!(names(&server.url).await.0, ["a", "b", "c"]);
    let circle =
        Canned::start_with(|request| page(request, &json!({"tools": [], "nextCursor": "again"}))).await;
    let said = fault(&circle.url).await;
    assert!(said.contains("does not end"), "{said}");
    assert!(
        circle.requests().len() <= 3,
        "{} requests",
        circle.requests().len()
    );
    let counter = AtomicU32::new(0);
    let endless = Canned::start_with(move |request| {
        let next = counter.fetch_add(1, Ordering::Relaxed).to_string();
        page(request, &json!({"tools": [], "nextCursor": next}))
    })
    .await;
    let said = fault(&endless.url).await;
    assert!(said.contains("more than 100 pages"), "{said}");
}

#[tokio::test]
async fn an_event_stream_is_read_up_to_the_answer_past_what_is_not_it() {
    let server = Canned::start_with(|_| {
        let body = b": hello\n\nevent: ping\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[]}}\n\n\
            data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}\n\n\
            data: {\"jsonrpc\":\"2.0\",\ndata: \"id\":1,\"result\":{\"tools\":[{\"name\":\"x\"}]}}\n\nid: 3\n";
        Canned::answer("200 OK", &["Content-Type: text/event-stream; charset=utf-8"], body)
    })
    .await;
    assert_eq!(names(&server.url).await.0, ["x"]);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Canned::start(b"").await;
    let location = format!("Location: {}", other.url);
    let server = Canned::start(&Canned::answer("307 Temporary Redirect", &[&location], b"")).await;
    let said = fault(&server.url).await;
    assert!(said.contains("redirects (307)"), "{said}");
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn an_answer_beyond_4_mib_is_given_up_in_both_forms() {
    let large = vec![b' '; (4 << 20) + 1];
    for kind in [
        "Content-Type: application/json",
        "Content-Type: text/event-stream",
    ] {
        let server = Canned::start(&Canned::answer("200 OK", &[kind], &large)).await;
        let said = fault(&server.url).await;
        assert!(said.contains("more than 4194304 bytes"), "{kind}: {said}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_waited_for_up_to_the_deadline() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", silent.local_addr().unwrap());
    let began = std::time::Instant::now();
    let said = list(&url, Duration::from_millis(200)).await.unwrap_err();
    assert!(said.to_string().contains("within"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(5));
    // A head and then nothing.
    let stalling =
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let stalled = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = silent.accept().await {
            stream.write_all(&stalling).await.unwrap();
            open.push(stream);
        }
    });
    let said = list(&url, Duration::from_millis(200)).await.unwrap_err();
    assert!(
        matches!(said, ClientError::Deadline(_) | ClientError::Broken(_)),
        "{said}"
    );
    stalled.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_goes_to_the_server_and_nowhere_else() {
    let policy = "version: \"1\"\ndefault: deny\ntools: { a: {} }\n";
    let server = Canned::start(&Canned::answer("401 Unauthorized", &[], SECRET.as_bytes())).await;
    let url = format!("{}?key={SECRET}", server.url);
    let env = ["--header-env", "Authorization=SERVER_TOKEN"];
    let inline = format!("X-Api-Key: {SECRET}");
    for format in ["text", "json", "github"] {
        let arguments = [
            "check",
            "--format",
            format,
            "--against",
            &url,
            env[0],
            env[1],
            "--header",
            &inline,
            "policy.yaml",
        ];
        let ran = toolgate(policy, &arguments);
        assert_eq!(ran.code, Some(2), "{}", ran.all);
        assert!(ran.all.contains("the server answered 401"), "{}", ran.all);
        assert!(!ran.all.contains(SECRET), "{}", ran.all);
    }
    let request = server.requests().remove(0).to_lowercase();
    assert!(
        request.contains(&format!("authorization: bearer {SECRET}")),
        "{request}"
    );
    assert!(request.contains(&format!("x-api-key: {SECRET}")), "{request}");
    let unset = toolgate(
        policy,
        &[
            "check",
            "--against",
            &url,
            "--header-env",
            "A=NOT_SET_ANYWHERE",
            "policy.yaml",
        ],
    );
    assert!(
        unset.all.contains("the environment has no `NOT_SET_ANYWHERE`"),
        "{}",
        unset.all
    );
    assert!(!unset.all.contains(SECRET), "{}", unset.all);
}
