//! The listener, its connections, and how they end.
//!
//! A connection is one task that hyper drives; its requests' futures live inside it, so a
//! connection that breaks drops them. Stopping has three steps: no new connections; for
//! [`LINGER`] every answer says `connection: close`; then idle connections are closed and busy
//! ones finish, until the caller says [`Stop::Now`].
//!
//! Invariant: a request whose head was read is answered, unless its client leaves or the caller
//! says `Now`.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::{HeaderValue, Request as HttpRequest, Response as HttpResponse};
use http::{StatusCode, Version, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use mayfly_exchange::{Body, Failure, FailureKind, Response};
use mayfly_wire::bounds::HEAD_BYTES_MAX;
use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::response::{Reply, answer, failed, refused, unrouted};
use crate::upgrade::{Asked, Becoming, switch};
use crate::{
    BACKLOG, CONNECTIONS_MAX, H2_WINDOW_BYTES, HEAD_WAIT, HEADERS_MAX, LINGER, Options, Router,
    STREAMS_PER_CONNECTION_MAX, request,
};

/// Wait after the system refused to accept (no descriptors left): some connection must end first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Time for handshakes under way to end once no more may begin: a round trip.
const SETTLE: Duration = Duration::from_millis(50);

/// A socket filter that drops what opens a connection (SYN without ACK, in byte 13 of the TCP
/// header) and passes the rest. A dropped client tries again a second later and finds the address
/// closed, or its next owner.
const REFUSE_NEW: [SockFilter; 5] = [
    SockFilter::new(0x30, 0, 0, 13),   // load byte 13
    SockFilter::new(0x54, 0, 0, 0x12), // keep SYN and ACK
    SockFilter::new(0x15, 0, 1, 0x02), // SYN alone?
    SockFilter::new(0x06, 0, 0, 0),    // then drop
    SockFilter::new(0x06, 0, 0, u32::MAX),
];

/// Why no gateway opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Something else listens there.
    #[error("cannot listen on {addr}: the port is in use")]
    InUse {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// Ports below 1024 take a privilege.
    #[error("cannot listen on {addr}: permission denied")]
    Denied {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// Anything else, such as an address that is not this machine's.
    #[error("cannot listen on {addr}: {source}")]
    Other {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// How far stopping has got; the caller moves it forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Serving.
    No,
    /// Accept nothing more, finish what is under way.
    Graceful,
    /// Close everything.
    Now,
}

/// A listener that is not served yet.
#[derive(Debug)]
pub struct Gateway {
    listener: TcpListener,
    addr: SocketAddr,
    options: Options,
}

impl Gateway {
    /// Listens on `addr`. Must be called inside a tokio runtime.
    pub fn bind(addr: SocketAddr, options: Options) -> Result<Self, BindError> {
        listen(addr)
            .and_then(|listener| {
                let addr = listener.local_addr()?;
                Ok(Self {
                    listener,
                    addr,
                    options,
                })
            })
            .map_err(|source| match source.kind() {
                io::ErrorKind::AddrInUse => BindError::InUse { addr },
                io::ErrorKind::PermissionDenied => BindError::Denied { addr },
                _ => BindError::Other { addr, source },
            })
    }

    /// Where it listens: the real port where 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `stop` has been followed to its end. Gives the number of connections that
    /// were cut with a request under way.
    pub async fn serve(self, router: Router, mut stop: watch::Receiver<Stop>) -> usize {
        let door = Arc::new(Door {
            router,
            options: self.options,
            closing: AtomicBool::new(false),
        });
        let (drain, drained) = watch::channel(false);
        let mut connections = JoinSet::new();
        accept_until(&self.listener, &mut stop, &mut connections, &door, &drained).await;
        door.closing.store(true, Ordering::Relaxed);
        drop(self.listener);
        let ended = async {
            let linger = tokio::time::sleep(LINGER);
            tokio::select! {
                () = linger => {}
                () = join_all(&mut connections) => {}
            }
            // The receivers are the connections; without any there is nobody to tell.
            let _ = drain.send(true);
            join_all(&mut connections).await;
        };
        tokio::select! {
            () = ended => {}
            () = reached(&mut stop, Stop::Now) => {}
        }
        let cut = connections.len();
        connections.shutdown().await;
        cut
    }
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG as i32)?;
    TcpListener::from_std(socket.into())
}

async fn join_all(connections: &mut JoinSet<()>) {
    while connections.join_next().await.is_some() {}
}

/// Completes when stopping has got to `step`; a caller that went away means at once.
async fn reached(stop: &mut watch::Receiver<Stop>, step: Stop) {
    let _ = stop.wait_for(|now| *now == Stop::Now || *now == step).await;
}

async fn accept_until(
    listener: &TcpListener,
    stop: &mut watch::Receiver<Stop>,
    connections: &mut JoinSet<()>,
    door: &Arc<Door>,
    drained: &watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut stopping = std::pin::pin!(reached(stop, Stop::Graceful));
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stopping => break,
            accepted = accept(listener, &places) => accepted,
            Some(_) = connections.join_next() => continue,
        };
        open(accepted, connections, door, drained);
    }
    take_rest(listener, &places, connections, door, drained).await;
}

/// Connections that the kernel has opened hold requests that their clients count as delivered:
/// these are still taken in. So that none is opened between the last of them and the listener's
/// end, which would be reset, no more connections begin from here on.
async fn take_rest(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    connections: &mut JoinSet<()>,
    door: &Arc<Door>,
    drained: &watch::Receiver<bool>,
) {
    if let Err(error) = SockRef::from(listener).attach_filter(&REFUSE_NEW) {
        tracing::debug!(%error, "connections may be reset while the gateway stops");
    }
    let mut settled = std::pin::pin!(tokio::time::sleep(SETTLE));
    while let Ok(place) = places.clone().try_acquire_owned() {
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            () = &mut settled => return,
        };
        match accepted {
            Ok((stream, peer)) => open((stream, peer, place), connections, door, drained),
            Err(_) => return,
        }
    }
}

type Accepted = (TcpStream, SocketAddr, OwnedSemaphorePermit);

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> Accepted {
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return std::future::pending().await;
        };
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, place),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn open(
    (stream, peer, place): Accepted,
    connections: &mut JoinSet<()>,
    door: &Arc<Door>,
    drained: &watch::Receiver<bool>,
) {
    let connection = converse(stream, peer, door.clone(), drained.clone());
    connections.spawn(async move {
        connection.await;
        drop(place);
    });
}

/// One connection, all its requests.
async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    door: Arc<Door>,
    mut drained: watch::Receiver<bool>,
) {
    // Without it an answer in two writes waits for the client's acknowledgement.
    let _ = stream.set_nodelay(true);
    let spoke = Arc::new(AtomicBool::new(false));
    let becoming = Becoming::default();
    let service = service_fn({
        let (spoke, becoming) = (spoke.clone(), becoming.clone());
        move |incoming| {
            spoke.store(true, Ordering::Relaxed);
            let (door, becoming) = (door.clone(), becoming.clone());
            async move { Ok::<_, Infallible>(door.answer(incoming, peer, &becoming).await) }
        }
    });
    let builder = protocol();
    let io = TokioIo::new(stream);
    let mut connection = std::pin::pin!(builder.serve_connection_with_upgrades(io, service));
    // hyper's own clock starts only after it knows the protocol from the first bytes.
    let mut silence = std::pin::pin!(tokio::time::sleep(HEAD_WAIT));
    let mut drain = std::pin::pin!(async move { drained.wait_for(|now| *now).await.is_ok() });
    let mut listening = true;
    let mut draining = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%peer, %error, "connection ended");
                }
                break;
            }
            () = silence.as_mut(), if listening => {
                if !spoke.load(Ordering::Relaxed) {
                    return;
                }
                listening = false;
            }
            _ = drain.as_mut(), if !draining => {
                connection.as_mut().graceful_shutdown();
                draining = true;
            }
        }
    }
    if let Some(socket) = becoming.take() {
        let leave = async {
            if !draining {
                drain.await;
            }
        };
        socket.carry(leave).await;
    }
}

fn protocol() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .initial_stream_window_size(H2_WINDOW_BYTES)
        .initial_connection_window_size(4 * H2_WINDOW_BYTES)
        .keep_alive_interval(HEAD_WAIT);
    builder
}

/// What all connections share.
struct Door {
    router: Router,
    options: Options,
    /// Stopping: every answer asks its client to close.
    closing: AtomicBool,
}

impl Door {
    async fn answer(
        &self,
        incoming: HttpRequest<Incoming>,
        peer: SocketAddr,
        becoming: &Becoming,
    ) -> HttpResponse<Reply> {
        let started = Instant::now();
        let version = incoming.version();
        let method = incoming.method().clone();
        let path = incoming.uri().path().to_owned();
        let mut reply = self.route(incoming, peer, becoming).await;
        let switches = reply.status() == StatusCode::SWITCHING_PROTOCOLS;
        if version != Version::HTTP_2 && !switches && self.closing.load(Ordering::Relaxed) {
            let close = HeaderValue::from_static("close");
            reply.headers_mut().insert(header::CONNECTION, close);
        }
        tracing::debug!(
            target: "mayfly::http",
            %method,
            path,
            status = reply.status().as_u16(),
            ms = started.elapsed().as_secs_f64() * 1e3,
            "request"
        );
        reply
    }

    async fn route(
        &self,
        mut incoming: HttpRequest<Incoming>,
        peer: SocketAddr,
        becoming: &Becoming,
    ) -> HttpResponse<Reply> {
        let asked = Asked::of(&mut incoming);
        let (parts, body) = incoming.into_parts();
        let head = match request::head(&parts, peer.ip()) {
            Ok(head) => head,
            Err(refusal) => return refused(refusal),
        };
        let Some(service) = (self.router)(&head) else {
            return unrouted();
        };
        let method = parts.method.clone();
        let departed = Arc::new(Notify::new());
        let request = request::take(head, &parts.headers, body, departed.clone()).await;
        let outcome = tokio::select! {
            outcome = service.fetch(request) => outcome,
            () = departed.notified() => Err(canceled()),
        };
        let detail = self.options.failure_detail;
        match outcome {
            Ok(Response {
                head,
                body: Body::Socket(socket),
            }) => switch(asked, &head, socket, becoming)
                .unwrap_or_else(|failure| failed(&failure, detail)),
            Ok(response) => answer(&method, response, detail),
            Err(failure) => failed(&failure, detail),
        }
    }
}

fn canceled() -> Failure {
    let message = "the client went away";
    Failure::new(FailureKind::Canceled {}, "AbortError", message)
}
