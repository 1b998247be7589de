//! A web server on loopback, written as a closure, and a network that may reach it.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request as HttpRequest, Response as HttpResponse};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use mayfly_bindings::{Egress, Network, NetworkOptions};
use mayfly_exchange::{
    Body, Connect, Connected, Failure, Request, RequestHead, Response, Service, duplex,
};
use mayfly_wire::{Redirect, Secure};
use tokio::net::TcpListener;

/// Nothing here takes this long unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub type Reply = HttpResponse<BoxBody<Bytes, Infallible>>;

pub struct Site {
    pub addr: SocketAddr,
    /// Connections accepted so far.
    pub connections: Arc<AtomicUsize>,
}

impl Site {
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }
}

pub async fn site<F, R>(serve: F) -> Site
where
    F: Fn(HttpRequest<Incoming>) -> R + Send + Sync + Clone + 'static,
    R: Future<Output = Reply> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            let serve = serve.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let reply = serve(request);
                    async move { Ok::<_, Infallible>(reply.await) }
                });
                let builder = Builder::new(TokioExecutor::new());
                let _ = builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    Site { addr, connections }
}

pub fn reply(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Reply {
    let mut response = HttpResponse::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Full::new(body.into()).boxed()).unwrap()
}

pub fn network(allow: &[&str]) -> Network {
    let allow = allow.iter().map(|rule| rule.parse().unwrap()).collect();
    Network::new(NetworkOptions {
        egress: Egress::new(allow),
        ..NetworkOptions::default()
    })
    .unwrap()
}

pub fn request(method: &str, url: &str, body: Body) -> Request {
    Request {
        head: RequestHead {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: Vec::new(),
            redirect: Redirect::Follow {},
            cf: String::new(),
            encoded: false,
        },
        body,
    }
}

pub async fn get(network: &Network, url: &str) -> Result<Response, Failure> {
    let fetched = network.fetch(request("GET", url, Body::Empty));
    tokio::time::timeout(PATIENCE, fetched).await.unwrap()
}

/// Asks `url` to become a WebSocket.
pub async fn upgrade(network: &Network, url: &str) -> Result<Response, Failure> {
    let mut asked = request("GET", url, Body::Empty);
    let header = ("Upgrade".to_owned(), "websocket".to_owned());
    asked.head.headers.push(header);
    tokio::time::timeout(PATIENCE, network.fetch(asked))
        .await
        .unwrap()
}

/// Opens a plain connection, of which nobody keeps the other end.
pub async fn connect(network: &Network, authority: &str) -> Result<Connected, Failure> {
    let connect = Connect {
        authority: authority.to_owned(),
        secure: Secure::Off {},
        socket: duplex().0,
    };
    tokio::time::timeout(PATIENCE, network.connect(connect))
        .await
        .unwrap()
}

pub async fn text(body: Body) -> String {
    String::from_utf8(bytes(body).await.unwrap()).unwrap()
}

pub async fn bytes(body: Body) -> Result<Vec<u8>, Failure> {
    match body {
        Body::Empty | Body::Socket(_) => Ok(Vec::new()),
        Body::Full(bytes) => Ok(bytes.to_vec()),
        Body::Stream { mut reader, .. } => {
            let mut all = Vec::new();
            while let Some(piece) = reader.next().await {
                all.extend_from_slice(&piece?);
            }
            Ok(all)
        }
    }
}
