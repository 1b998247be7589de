//! What the host's rooms hand each other: requests, responses, bodies, failures, services.
//!
//! The gateway turns HTTP into a [`Request`] and gives it to a [`Service`]; the supervisor is a
//! service (a Worker's entrypoint), the network binding is another (the internet). Neither knows
//! which of them the other is. This crate holds no policy, no sockets and no tables.
//!
//! Invariant: a body is bounded by the window of its channel, never by its length.

#![forbid(unsafe_code)]

mod body;
pub mod http;
pub mod websocket;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub use body::{Body, BodyReader, BodyWriter, Duplex, ReaderGone, Source, body_channel, duplex};
pub use mayfly_wire::{Failure, FailureKind, RequestHead, ResponseHead, Secure};

/// An HTTP request on its way to a service.
#[derive(Debug)]
pub struct Request {
    /// Method, absolute URL, headers.
    pub head: RequestHead,
    /// Its body.
    pub body: Body,
}

/// A service's answer.
#[derive(Debug)]
pub struct Response {
    /// Status and headers.
    pub head: ResponseHead,
    /// Its body.
    pub body: Body,
}

impl Response {
    /// A short answer of the host's own.
    pub fn text(status: u16, text: &'static str) -> Self {
        let kind = (
            "content-type".to_owned(),
            "text/plain;charset=utf-8".to_owned(),
        );
        Self {
            head: ResponseHead {
                status,
                status_text: String::new(),
                headers: vec![kind],
                url: String::new(),
                redirected: false,
                encoded: false,
            },
            body: Body::Full(bytes::Bytes::from_static(text.as_bytes())),
        }
    }
}

/// A byte connection that somebody asks for.
#[derive(Debug)]
pub struct Connect {
    /// `host:port`, or for a service that `Connected::upgrade` gave, the name to be certified.
    pub authority: String,
    /// Whether it speaks TLS.
    pub secure: Secure,
    /// The caller's bytes, and where the caller hears.
    pub socket: Duplex,
}

/// An open connection.
#[derive(Default)]
pub struct Connected {
    /// Takes one `Connect`, by which the connection goes on under TLS.
    pub upgrade: Option<SharedService>,
}

impl std::fmt::Debug for Connected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let upgrade = self.upgrade.is_some();
        f.debug_struct("Connected")
            .field("upgrade", &upgrade)
            .finish()
    }
}

/// A future on the heap, as trait objects need it.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Something that answers requests. Dropping the returned future cancels the request.
pub trait Service: Send + Sync {
    /// Answers one request.
    fn fetch(&self, request: Request) -> BoxFuture<Result<Response, Failure>>;

    /// Opens a connection. Once it is open it lives until both of its directions have ended, or
    /// one of them broke.
    fn connect(&self, _connect: Connect) -> BoxFuture<Result<Connected, Failure>> {
        let message = "this service takes no connections";
        let failure = Failure::new(FailureKind::Exception {}, "TypeError", message);
        Box::pin(std::future::ready(Err(failure)))
    }

    /// Whether what it is asked leaves the host, and so is metered.
    fn reaches_out(&self) -> bool {
        false
    }
}

/// A service that many hold.
pub type SharedService = Arc<dyn Service>;
