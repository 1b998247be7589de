//! The front door: HTTP/1.1 and HTTP/2 (prior knowledge, no TLS) on one address.
//!
//! `accept` owns the listener and the connections' lives, `request` turns what arrived into an
//! exchange request, `response` turns an answer or a failure into what leaves, `encode` applies a
//! content encoding that a Worker asked for, `upgrade` makes a connection a WebSocket, `cf` says what
//! `request.cf` holds. Which Worker
//! serves which request is the router's affair, given by the caller; TLS belongs to a proxy in
//! front.
//!
//! Invariant: a client that leaves drops the service's future or the body's reader, and nothing
//! else tells a Worker that its client is gone.

#![forbid(unsafe_code)]

mod accept;
mod cf;
mod encode;
mod request;
mod response;
mod upgrade;

use std::sync::Arc;
use std::time::Duration;

pub use accept::{BindError, Gateway, Stop};
use mayfly_exchange::{RequestHead, SharedService};
use mayfly_wire::bounds::HEAD_BYTES_MAX;

/// Connections open at once; more wait in the kernel's queue. Each costs a descriptor and some
/// 20 KiB while idle.
pub const CONNECTIONS_MAX: usize = 16_384;

/// Connections that the kernel holds until they are accepted.
pub const BACKLOG: u32 = 4096;

/// Time for a request's head to arrive, counted from the connection or the previous answer; an
/// idle kept-alive connection ends after it too.
pub const HEAD_WAIT: Duration = Duration::from_secs(60);

/// Header lines of one request; more are answered with 431, as is a head of over
/// [`HEAD_BYTES_MAX`].
pub const HEADERS_MAX: usize = 1024;

/// Requests at once on one HTTP/2 connection.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 250;

/// Bytes of one HTTP/2 request body that may wait unread.
pub const H2_WINDOW_BYTES: u32 = 256 * 1024;

/// Bytes of a request body that are read after its Worker has stopped reading, so that the client
/// gets to see the answer; a longer rest ends the connection.
pub const UNREAD_BYTES_MAX: u64 = 1024 * 1024;

/// Once stopping, how long kept-alive connections are still served with `connection: close`
/// before idle ones are closed: a request that was already on its way finds its connection open.
pub const LINGER: Duration = Duration::from_millis(300);

const _: () = assert!(HEAD_BYTES_MAX >= 8192, "hyper's smallest buffer");

/// Chooses the service for a request; `None` is answered with 404.
pub type Router = Arc<dyn Fn(&RequestHead) -> Option<SharedService> + Send + Sync>;

/// What a client sees of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FailureDetail {
    /// What kind of failure it was.
    #[default]
    Brief,
    /// The error's message and stack too: for development.
    Full,
}

/// How a gateway behaves.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// What a client sees of a failure.
    pub failure_detail: FailureDetail,
}
