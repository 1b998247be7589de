//! From a URL's authority to an open connection.
//!
//! Resolves, lets `egress` judge each address, and connects to the judged ones in turn. TLS is
//! rustls with the system's certificates and Mozilla's, HTTP/2 by ALPN. Pooling is the HTTP
//! client's.
//!
//! Invariant: a socket is connected to an address that was judged in the same call.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::rt::TokioIo;
use mayfly_exchange::BoxFuture;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tower_service::Service;

use crate::counted::CountedStream;
use crate::egress::{Egress, Refused};

/// Time for a name to be resolved.
const RESOLVE_WAIT: Duration = Duration::from_secs(10);

/// Time for one address to answer; the next address is tried after it.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

/// Connections being opened at once; further ones wait. Resolving takes a thread each.
const OPENING_MAX: usize = 256;

/// Connections open at once, of all Workers together, where nothing else is said. Each is a descriptor
/// of the host's, and those it needs for itself must stay free.
pub const OPEN_MAX: usize = 8192;

/// Why a connection was not opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The policy says no.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The name has no address.
    #[error("{host} could not be resolved: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        #[source]
        source: io::Error,
    },
    /// As many are open as may be.
    #[error("too many connections are open: the limit is {max}")]
    TooMany {
        /// How many may be.
        max: usize,
    },
    /// No address answered.
    #[error("{host} port {port} could not be reached: {source}")]
    Unreachable {
        /// The name.
        host: String,
        /// The port.
        port: u16,
        /// What the last address answered.
        #[source]
        source: io::Error,
    },
}

/// No certificate to trust could be loaded, or the TLS library refused its setup.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up TLS: {0}")]
pub struct TlsError(String);

/// How names become addresses. The system's resolver by default; tests stand in for hostile ones.
pub trait Resolve: Send + Sync + std::fmt::Debug {
    /// The addresses of `host`.
    fn resolve(&self, host: &str, port: u16) -> BoxFuture<io::Result<Vec<SocketAddr>>>;
}

/// The system's resolver.
#[derive(Debug)]
struct System;

impl Resolve for System {
    fn resolve(&self, host: &str, port: u16) -> BoxFuture<io::Result<Vec<SocketAddr>>> {
        let host = host.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), port)).await?;
            Ok(found.collect())
        })
    }
}

/// Opens checked TCP connections.
#[derive(Debug, Clone)]
pub struct Connector {
    egress: Arc<Egress>,
    resolver: Arc<dyn Resolve>,
    opening: Arc<Semaphore>,
    open: Arc<Semaphore>,
    open_max: usize,
}

impl Connector {
    /// A connector under `egress`.
    pub fn new(egress: Egress) -> Self {
        Self {
            egress: Arc::new(egress),
            resolver: Arc::new(System),
            opening: Arc::new(Semaphore::new(OPENING_MAX)),
            open: Arc::new(Semaphore::new(OPEN_MAX)),
            open_max: OPEN_MAX,
        }
    }

    /// The same with another bound on connections open at once.
    pub fn with_open_max(mut self, open_max: usize) -> Self {
        self.open = Arc::new(Semaphore::new(open_max));
        self.open_max = open_max;
        self
    }

    /// The same with another resolver.
    pub fn with_resolver(mut self, resolver: Arc<dyn Resolve>) -> Self {
        self.resolver = resolver;
        self
    }

    async fn open(self, uri: Uri) -> Result<TokioIo<CountedStream>, ConnectError> {
        let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
            Some("https") => 443,
            _ => 80,
        });
        let stream = self.dial(uri.host().unwrap_or_default(), port).await?;
        Ok(TokioIo::new(stream))
    }

    /// A connection to `host`, a name or an address (of IPv6 with or without brackets).
    pub async fn dial(&self, host: &str, port: u16) -> Result<CountedStream, ConnectError> {
        let _turn = self.opening.acquire().await;
        let Ok(place) = self.open.clone().try_acquire_owned() else {
            return Err(ConnectError::TooMany { max: self.open_max });
        };
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let addresses = resolve(&*self.resolver, &host, port).await?;
        let allowed = self.allowed(&host, port, &addresses)?;
        let stream = reach(host, port, &allowed).await?;
        Ok(CountedStream::new(stream, place))
    }

    /// The addresses that may be connected to; a refusal only where none is left.
    fn allowed(
        &self,
        host: &str,
        port: u16,
        addresses: &[SocketAddr],
    ) -> Result<Vec<SocketAddr>, ConnectError> {
        let mut allowed = Vec::new();
        let mut refusal = None;
        for address in addresses {
            match self.egress.judge(host, address.ip(), port) {
                Ok(()) => allowed.push(*address),
                Err(refused) => refusal = refusal.or(Some(refused)),
            }
        }
        match refusal {
            Some(refused) if allowed.is_empty() => Err(refused.into()),
            _ => Ok(allowed),
        }
    }
}

async fn resolve(
    resolver: &dyn Resolve,
    host: &str,
    port: u16,
) -> Result<Vec<SocketAddr>, ConnectError> {
    if let Ok(addr) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(addr, port)]);
    }
    let failed = |source| ConnectError::Resolve {
        host: host.to_owned(),
        source,
    };
    let mut addresses = timeout(RESOLVE_WAIT, resolver.resolve(host, port))
        .await
        .map_err(|_| failed(io::ErrorKind::TimedOut.into()))?
        .map_err(failed)?;
    addresses.truncate(ADDRESSES_MAX);
    if addresses.is_empty() {
        return Err(failed(io::Error::other("the name has no address")));
    }
    Ok(addresses)
}

async fn reach(
    host: String,
    port: u16,
    addresses: &[SocketAddr],
) -> Result<TcpStream, ConnectError> {
    let mut last = io::Error::other("no address");
    for address in addresses {
        match timeout(CONNECT_WAIT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(ConnectError::Unreachable {
        host,
        port,
        source: last,
    })
}

impl Service<Uri> for Connector {
    type Response = TokioIo<CountedStream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().open(uri))
    }
}

/// How TLS is spoken: `extra_roots` are trusted besides the usual ones.
pub fn tls_config(extra_roots: &[CertificateDer<'static>]) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for root in extra_roots {
        roots
            .add(root.clone())
            .map_err(|error| TlsError(error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// A connector for `http:` and `https:`.
pub fn with_tls(connector: Connector, tls: ClientConfig) -> HttpsConnector<Connector> {
    HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(connector)
}
