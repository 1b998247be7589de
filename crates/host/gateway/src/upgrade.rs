//! A request that asks for a WebSocket, and what its connection becomes.
//!
//! Only HTTP/1.1 has this upgrade. Whether it happens is the Worker's to say: it answers with a socket
//! or with a response like any other. The connection's own task carries the messages from then on, so
//! that a socket counts as the connection it is.
//!
//! Deliberately absent: frames and messages, see `mayfly_exchange::websocket`.

use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, HeaderValue, Method, Request as HttpRequest, Response as HttpResponse};
use http::{StatusCode, Version, header};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use mayfly_exchange::http::header_map;
use mayfly_exchange::websocket::{Role, converse, handshake};
use mayfly_exchange::{Body, Duplex, Failure, FailureKind, ResponseHead};

use crate::response::Reply;

/// A handshake that the Worker has not answered.
pub struct Asked {
    upgraded: OnUpgrade,
    accept: String,
}

/// A connection that speaks WebSocket once its answer is sent.
pub struct Switched {
    upgraded: OnUpgrade,
    socket: Duplex,
}

/// Where a request leaves what its connection becomes.
#[derive(Clone, Default)]
pub struct Becoming(Arc<Mutex<Option<Switched>>>);

impl Becoming {
    /// What it becomes, if anything.
    pub fn take(&self) -> Option<Switched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, switched: Switched) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(switched);
    }
}

impl Asked {
    /// The handshake in `incoming`, if it is a whole one.
    pub fn of(incoming: &mut HttpRequest<Incoming>) -> Option<Self> {
        let is_whole = incoming.version() == Version::HTTP_11
            && incoming.method() == Method::GET
            && handshake::is_asked_for(incoming.headers())
            && incoming
                .headers()
                .get(header::SEC_WEBSOCKET_VERSION)
                .is_some_and(|version| version == handshake::VERSION);
        let key = incoming.headers().get(header::SEC_WEBSOCKET_KEY);
        let accept = key
            .filter(|_| is_whole)
            .map(|key| handshake::accept(key.as_bytes()))?;
        Some(Self {
            upgraded: hyper::upgrade::on(incoming),
            accept,
        })
    }

    /// The answer that makes the connection a socket.
    fn answer(&self, head: &ResponseHead) -> Result<HttpResponse<Reply>, String> {
        let mut headers: HeaderMap =
            header_map(&head.headers).map_err(|error| error.to_string())?;
        for own in handshake::OWN_HEADERS {
            headers.remove(own);
        }
        let accept = HeaderValue::from_str(&self.accept).map_err(|error| error.to_string())?;
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        let mut reply = HttpResponse::new(Reply::Plain(Body::Empty.into()));
        *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *reply.headers_mut() = headers;
        Ok(reply)
    }
}

/// Answers with a Worker's socket.
pub fn switch(
    asked: Option<Asked>,
    head: &ResponseHead,
    socket: Duplex,
    becoming: &Becoming,
) -> Result<HttpResponse<Reply>, Failure> {
    let wrong = |message: String| Failure::new(FailureKind::Exception {}, "TypeError", message);
    let Some(asked) = asked else {
        let message = "Worker tried to return a WebSocket in a response to a request which did \
                       not contain the header \"Upgrade: websocket\".";
        return Err(wrong(message.to_owned()));
    };
    let reply = asked.answer(head).map_err(wrong)?;
    becoming.put(Switched {
        upgraded: asked.upgraded,
        socket,
    });
    Ok(reply)
}

impl Switched {
    /// Carries messages until both ends are done; when `leave` completes the client is asked to go.
    pub async fn carry(self, leave: impl Future<Output = ()>) {
        // A client that left before the answer drops the socket, of which its Worker hears.
        if let Ok(upgraded) = self.upgraded.await {
            let stream = TokioIo::new(upgraded);
            converse(stream, Role::Server, self.socket, leave).await;
        }
    }
}
