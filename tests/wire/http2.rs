//! HTTP/2 with prior knowledge is judged like HTTP/1.1.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::wire::client::call_body;
use crate::wire::gate::{Gate, Setup, open};
use crate::wire::upstream::{Latch, Step, chunk};
use crate::wire::{CI, until, within};

pub type H2Body = BoxBody<Bytes, Infallible>;

pub async fn h2(gate: &Gate) -> SendRequest<H2Body> {
    let stream = TcpStream::connect(gate.proxy).await.unwrap();
    let (sender, connection) = within(hyper::client::conn::http2::handshake(
        TokioExecutor::new(),
        TokioIo::new(stream),
    ))
    .await
    .unwrap();
    tokio::spawn(connection);
    sender
}

pub fn h2_request(method: Method, gate: &Gate, body: H2Body) -> Request<H2Body> {
    Request::builder()
        .method(method)
        .uri(format!("http://{}/mcp/s", gate.proxy))
        .header("authorization", format!("Bearer {CI}"))
        .header("content-type", "application/json")
        .body(body)
        .unwrap()
}

pub fn whole(body: &str) -> H2Body {
    Full::new(Bytes::copy_from_slice(body.as_bytes())).boxed()
}

async fn h2_ask(
    sender: &mut SendRequest<H2Body>,
    request: Request<H2Body>,
) -> (StatusCode, String, Response<()>) {
    let answer = within(sender.send_request(request)).await.unwrap();
    let (head, body) = answer.into_parts();
    let body = within(body.collect()).await.unwrap().to_bytes();
    (
        head.status,
        String::from_utf8(body.to_vec()).unwrap(),
        Response::from_parts(head, ()),
    )
}

#[tokio::test]
async fn http_2_with_prior_knowledge_is_judged_alike() {
    let policy = r#"{"version":"1","default":"allow","tools":{"drop":{"action":"deny"},"run":{"limits":[{"counter":"runs","window":"hour","max":1}]}}}"#;
    let (gate, upstream) = open(
        Setup::policy(policy)
            .server(", host: pass")
            .settings("limits: { body_bytes: 2000 }"),
    )
    .await;
    let mut sender = h2(&gate).await;
    let body = call_body("run");
    let (status, text, head) = h2_ask(&mut sender, h2_request(Method::POST, &gate, whole(&body))).await;
    assert_eq!((status, text.contains("ran")), (StatusCode::OK, true));
    assert!(head.headers().contains_key("ratelimit"));
    let seen = upstream.last();
    assert_eq!(
        (seen.text(), seen.header("host")),
        (body.clone(), Some(gate.proxy.to_string().as_str()))
    );
    let (_, text, _) = h2_ask(&mut sender, h2_request(Method::POST, &gate, whole(&body))).await;
    assert!(text.contains("used up"), "{text}");
    let (_, text, _) = h2_ask(
        &mut sender,
        h2_request(Method::POST, &gate, whole(&call_body("drop"))),
    )
    .await;
    assert!(text.contains("POLICY DENIED"), "{text}");

    let large = " ".repeat(2001);
    let (status, ..) = h2_ask(&mut sender, h2_request(Method::POST, &gate, whole(&large))).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    // without a content-length
    let frames = unannounced(&call_body("drop"));
    let (status, ..) = h2_ask(&mut sender, h2_request(Method::GET, &gate, frames)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let mut foreign = h2_request(Method::POST, &gate, whole(&body));
    *foreign.uri_mut() = "http://evil.example/mcp/s".parse().unwrap();
    assert_eq!(h2_ask(&mut sender, foreign).await.0, StatusCode::FORBIDDEN);
    let mut two_hosts = h2_request(Method::POST, &gate, whole(&body));
    two_hosts
        .headers_mut()
        .insert("host", "localhost".parse().unwrap());
    assert_eq!(h2_ask(&mut sender, two_hosts).await.0, StatusCode::BAD_REQUEST);
    let mut stranger = h2_request(Method::POST, &gate, whole(&body));
    stranger.headers_mut().remove("authorization");
    assert_eq!(h2_ask(&mut sender, stranger).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(upstream.count(), 1);
}

/// A body of no announced length.
fn unannounced(text: &str) -> H2Body {
    Unannounced(Some(Bytes::copy_from_slice(text.as_bytes()))).boxed()
}

struct Unannounced(Option<Bytes>);

impl Body for Unannounced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|data| Ok(Frame::data(data))))
    }
}

#[tokio::test]
async fn a_stream_that_an_http_2_client_resets_aborts_the_upstream_and_the_others_live_on() {
    let (gate, upstream) = open(Setup::default()).await;
    let mut sender = h2(&gate).await;
    upstream.next(vec![Step::Wait(Latch::new())]);
    let open = tokio::spawn(sender.send_request(h2_request(Method::POST, &gate, whole(&call_body("run")))));
    upstream.request(1).await;
    open.abort();
    until(|| upstream.aborted() == 1).await;
    assert!(
        h2_ask(
            &mut sender,
            h2_request(Method::POST, &gate, whole(&call_body("run")))
        )
        .await
        .1
        .contains("ran")
    );
    let records = gate.ended().await;
    assert_eq!(records.len(), 2);
    assert_eq!(
        records
            .iter()
            .filter(|record| record["upstream"]["ended"] == "aborted")
            .count(),
        1
    );
}

#[tokio::test]
async fn trailers_of_an_upstream_are_dropped_over_http_2_too() {
    let (gate, upstream) = open(Setup::default()).await;
    let mut bytes = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTrailer: X-Late\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    bytes.extend(chunk("{\"a\":1}"));
    bytes.extend_from_slice(b"0\r\nX-Late: secret\r\n\r\n");
    upstream.next(vec![Step::Send(bytes)]);
    let asked = h2_request(Method::POST, &gate, whole(&call_body("run")));
    let answer = within(h2(&gate).await.send_request(asked)).await.unwrap();
    let collected = within(answer.into_body().collect()).await.unwrap();
    assert!(collected.trailers().is_none());
    assert_eq!(collected.to_bytes(), "{\"a\":1}");
}
