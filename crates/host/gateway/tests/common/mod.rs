//! A gateway on loopback in front of a service written as a closure, and raw connections to it:
//! the tests look at bytes, so that no client library hides what was sent.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mayfly_exchange::{Body, BoxFuture, Failure, Request, Response, ResponseHead, Service};
use mayfly_gateway::{FailureDetail, Gateway, Options, Stop};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Nothing here takes this long unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(20);

struct Closure<F>(F);

impl<F, R> Service for Closure<F>
where
    F: Fn(Request) -> R + Send + Sync,
    R: Future<Output = Result<Response, Failure>> + Send + 'static,
{
    fn fetch(&self, request: Request) -> BoxFuture<Result<Response, Failure>> {
        Box::pin((self.0)(request))
    }
}

pub struct Door {
    pub addr: SocketAddr,
    pub stop: watch::Sender<Stop>,
    pub served: JoinHandle<usize>,
}

pub fn door<F, R>(serve: F) -> Door
where
    F: Fn(Request) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Response, Failure>> + Send + 'static,
{
    let options = Options {
        failure_detail: FailureDetail::Full,
    };
    let gateway = Gateway::bind(SocketAddr::from(([127, 0, 0, 1], 0)), options).unwrap();
    let addr = gateway.local_addr();
    let (stop, stopping) = watch::channel(Stop::No);
    let service: Arc<dyn Service> = Arc::new(Closure(serve));
    let router = Arc::new(move |_: &_| Some(service.clone()));
    let served = tokio::spawn(gateway.serve(router, stopping));
    Door { addr, stop, served }
}

pub fn ok(body: impl Into<Bytes>) -> Result<Response, Failure> {
    respond(200, &[], Body::Full(body.into()))
}

pub fn respond(status: u16, headers: &[(&str, &str)], body: Body) -> Result<Response, Failure> {
    let head = ResponseHead {
        status,
        status_text: String::new(),
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        url: String::new(),
        redirected: false,
        encoded: false,
    };
    Ok(Response { head, body })
}

pub struct Client(pub TcpStream);

impl Client {
    pub async fn connect(door: &Door) -> Self {
        Self(TcpStream::connect(door.addr).await.unwrap())
    }

    pub async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Everything until the server closes.
    pub async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        let read = timeout(PATIENCE, self.0.read_to_end(&mut bytes)).await;
        // A reset after the answer is how a refused upload ends.
        let _ = read.expect("the server closes in time");
        bytes.iter().map(|byte| char::from(*byte)).collect()
    }

    /// Reads until `end` has come.
    pub async fn until(&mut self, end: &str) -> String {
        let mut text = String::new();
        while !text.ends_with(end) {
            let byte = timeout(PATIENCE, self.0.read_u8()).await.expect("in time");
            text.push(char::from(
                byte.unwrap_or_else(|e| panic!("{e} after {text:?}")),
            ));
        }
        text
    }

    /// One answer's head.
    pub async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }
}

/// One exchange on a connection of its own.
pub async fn exchange(door: &Door, request: &str) -> String {
    let mut client = Client::connect(door).await;
    client.send(request).await;
    client.rest().await
}

pub async fn whole(body: Body) -> Vec<u8> {
    match body {
        Body::Empty | Body::Socket(_) => Vec::new(),
        Body::Full(bytes) => bytes.to_vec(),
        Body::Stream { mut reader, .. } => {
            let mut all = Vec::new();
            while let Some(piece) = reader.next().await {
                all.extend_from_slice(&piece.unwrap());
            }
            all
        }
    }
}
