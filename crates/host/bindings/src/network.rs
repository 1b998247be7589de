//! The internet as a service: what global `fetch()` reaches.
//!
//! One pool of connections for all Workers of a host, no cookies, no cache. A request goes out as
//! its Worker wrote it but for the headers that belong to the connection; redirects, encodings,
//! WebSockets, plain connections and addresses are the affair of the files beside this one.
//!
//! Invariant: dropping the future or the answer's body ends the exchange with the other end.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use http::{
    HeaderValue, Method, Request as HttpRequest, Response as HttpResponse, StatusCode, Uri, header,
};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use mayfly_exchange::http::{OutgoingBody, header_list, header_map, latin1_text, receive};
use mayfly_exchange::{
    Body, BoxFuture, Connect, Connected, Failure, FailureKind, Request, RequestHead, Response,
    ResponseHead, Service,
};
use mayfly_wire::Redirect;
use mayfly_wire::bounds::HEAD_BYTES_MAX;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Url;

use crate::connect::{ConnectError, Connector, Resolve, TlsError, tls_config, with_tls};
use crate::decode::{ACCEPT_ENCODING, applied, decode, keeps_header};
use crate::egress::Egress;
use crate::redirect::{REDIRECTS_MAX, RedirectError, is_redirect, rewrite, target};
use crate::{socket, websocket};

/// Time for an answer's head to arrive, connecting included; Cloudflare's proxy waits as long.
const HEAD_WAIT: Duration = Duration::from_secs(100);

/// How long an unused connection is kept.
const POOL_IDLE: Duration = Duration::from_secs(60);

/// WebSockets and plain connections open at once, of all Workers together.
pub const SOCKETS_MAX: usize = 4096;

/// Unused connections kept for one origin.
const POOL_IDLE_PER_ORIGIN_MAX: usize = 64;

/// Header lines of one answer.
pub(crate) const HEADERS_MAX: usize = 1024;

/// Bytes of one HTTP/2 answer that may wait unread.
const H2_WINDOW_BYTES: u32 = 256 * 1024;

/// How a network behaves.
#[derive(Debug, Clone, Default)]
pub struct NetworkOptions {
    /// Where it may go.
    pub egress: Egress,
    /// Certificates trusted besides the system's and Mozilla's.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// In the place of the system's resolver.
    pub resolver: Option<Arc<dyn Resolve>>,
    /// Connections open at once; [`OPEN_MAX`](crate::OPEN_MAX) where nothing is said.
    pub open_max: Option<usize>,
}

/// The internet.
#[derive(Debug, Clone)]
pub struct Network {
    client: Client<HttpsConnector<Connector>, OutgoingBody>,
    pub(crate) connector: Connector,
    /// For connections that speak something else, or HTTP/1.1 only.
    tls: Arc<ClientConfig>,
    http1_tls: Arc<ClientConfig>,
    pub(crate) sockets: Arc<Semaphore>,
}

impl Network {
    /// Loads certificates; opens nothing yet.
    pub fn new(options: NetworkOptions) -> Result<Self, TlsError> {
        let tls = tls_config(&options.extra_roots)?;
        let mut connector = Connector::new(options.egress);
        if let Some(resolver) = options.resolver {
            connector = connector.with_resolver(resolver);
        }
        if let Some(open_max) = options.open_max {
            connector = connector.with_open_max(open_max);
        }
        let mut http1 = tls.clone();
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL_IDLE_PER_ORIGIN_MAX)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .http1_max_headers(HEADERS_MAX)
            .http2_max_header_list_size(HEAD_BYTES_MAX as u32)
            .http2_initial_stream_window_size(H2_WINDOW_BYTES)
            .http2_initial_connection_window_size(4 * H2_WINDOW_BYTES)
            .build(with_tls(connector.clone(), tls.clone()));
        Ok(Self {
            client,
            connector,
            tls: Arc::new(tls),
            http1_tls: Arc::new(http1),
            sockets: Arc::new(Semaphore::new(SOCKETS_MAX)),
        })
    }

    /// TLS for a connection that speaks anything.
    pub(crate) fn tls(&self) -> TlsConnector {
        self.tls.clone().into()
    }

    /// TLS for a connection that speaks HTTP/1.1.
    pub(crate) fn http1_tls(&self) -> TlsConnector {
        self.http1_tls.clone().into()
    }

    async fn follow(self, request: Request) -> Result<Response, Failure> {
        let Request { mut head, mut body } = request;
        let mut url = parse(&head.url)?;
        for redirects in 0.. {
            let replay = match &body {
                Body::Empty => Some(Body::Empty),
                Body::Full(bytes) => Some(Body::Full(bytes.clone())),
                Body::Stream { .. } | Body::Socket(_) => None,
            };
            let answer = self.exchange(&head, &url, body).await?;
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                let answer_head = response_head(&url, redirects > 0, &answer);
                let socket = websocket::switch(&self, answer).map_err(network)?;
                return Ok(Response {
                    head: answer_head,
                    body: Body::Socket(socket),
                });
            }
            let Some(location) = redirection(&head, &answer)? else {
                return Ok(finish(&head, &url, redirects > 0, answer).await);
            };
            if redirects == REDIRECTS_MAX {
                return Err(refuse(&RedirectError::TooMany));
            }
            let next = target(&url, &location).map_err(|error| refuse(&error))?;
            body = rewrite(&mut head, answer.status(), &url, &next, replay)
                .map_err(|error| refuse(&error))?;
            url = next;
        }
        Err(refuse(&RedirectError::TooMany))
    }

    /// One leg: one request, one answer.
    async fn exchange(
        &self,
        head: &RequestHead,
        url: &Url,
        body: Body,
    ) -> Result<HttpResponse<Incoming>, Failure> {
        let request = outgoing(head, url, body)?;
        let lost = |what: String| {
            network(format!(
                "{what} ({} {})",
                head.method,
                url.origin().ascii_serialization()
            ))
        };
        let answer = async {
            match websocket::is_asked_for(head) {
                true => websocket::request(self, url, request).await,
                false => Ok(self.client.request(request).await?),
            }
        };
        match timeout(HEAD_WAIT, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(lost(explain(&*error))),
            Err(_) => Err(lost(format!("no answer within {} s", HEAD_WAIT.as_secs()))),
        }
    }
}

impl Service for Network {
    fn fetch(&self, request: Request) -> BoxFuture<Result<Response, Failure>> {
        Box::pin(self.clone().follow(request))
    }

    fn connect(&self, connect: Connect) -> BoxFuture<Result<Connected, Failure>> {
        Box::pin(socket::open(self.clone(), connect))
    }

    fn reaches_out(&self) -> bool {
        true
    }
}

fn network(message: String) -> Failure {
    Failure::new(
        FailureKind::Network {},
        "TypeError",
        format!("fetch failed: {message}"),
    )
}

fn refuse(error: &RedirectError) -> Failure {
    network(error.to_string())
}

fn parse(text: &str) -> Result<Url, Failure> {
    let url = Url::parse(text).map_err(|error| network(format!("{text:?} is no URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(network(format!("{}: is not HTTP", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(network(
            "a URL with credentials in it is not fetched".to_owned(),
        ));
    }
    Ok(url)
}

fn outgoing(
    head: &RequestHead,
    url: &Url,
    body: Body,
) -> Result<HttpRequest<OutgoingBody>, Failure> {
    let invalid = |error: &dyn std::fmt::Display| network(error.to_string());
    let mut request = HttpRequest::new(OutgoingBody::from(body));
    *request.method_mut() = Method::from_bytes(head.method.as_bytes()).map_err(|e| invalid(&e))?;
    *request.uri_mut() = url[..url::Position::AfterQuery]
        .parse::<Uri>()
        .map_err(|e| invalid(&e))?;
    let mut headers = header_map(&head.headers).map_err(|e| invalid(&e))?;
    // The client writes it from the URL; another one would reach a site the policy did not see.
    headers.remove(header::HOST);
    if !headers.contains_key(header::ACCEPT_ENCODING) {
        let accept = HeaderValue::from_static(ACCEPT_ENCODING);
        headers.insert(header::ACCEPT_ENCODING, accept);
    }
    *request.headers_mut() = headers;
    Ok(request)
}

/// The location to go on to, if this answer is a redirect that the request follows.
fn redirection(
    head: &RequestHead,
    answer: &HttpResponse<Incoming>,
) -> Result<Option<String>, Failure> {
    if !is_redirect(answer.status()) {
        return Ok(None);
    }
    match head.redirect {
        Redirect::Manual {} => Ok(None),
        Redirect::Error {} => Err(network(format!(
            "the answer is a redirect ({}) and the request allows none",
            answer.status().as_u16()
        ))),
        Redirect::Follow {} => Ok(answer
            .headers()
            .get(header::LOCATION)
            .map(|location| location_text(location.as_bytes()))),
    }
}

/// Fetch reads a location as bytes that are usually UTF-8.
fn location_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => latin1_text(bytes),
    }
}

async fn finish(
    head: &RequestHead,
    url: &Url,
    redirected: bool,
    answer: HttpResponse<Incoming>,
) -> Response {
    let mut answer_head = response_head(url, redirected, &answer);
    let (mut parts, incoming) = answer.into_parts();
    let length = incoming.size_hint().exact();
    let body = if has_body(head, parts.status) {
        receive(incoming, length, 0, cut).await
    } else {
        Body::Empty
    };
    let encoding = match body {
        Body::Empty => None,
        _ => applied(&parts.headers),
    };
    answer_head.encoded = head.encoded && encoding.is_some();
    let encoding = encoding.filter(|_| !head.encoded);
    let body = match encoding {
        Some(encoding) => {
            if !keeps_header(encoding) {
                parts.headers.remove(header::CONTENT_ENCODING);
                parts.headers.remove(header::CONTENT_LENGTH);
            }
            decode(encoding, body).await
        }
        None => body,
    };
    answer_head.headers = header_list(&parts.headers);
    Response {
        head: answer_head,
        body,
    }
}

fn response_head(url: &Url, redirected: bool, answer: &HttpResponse<Incoming>) -> ResponseHead {
    ResponseHead {
        status: answer.status().as_u16(),
        status_text: status_text(answer),
        headers: header_list(answer.headers()),
        url: url[..url::Position::AfterQuery].to_owned(),
        redirected,
        encoded: false,
    }
}

fn has_body(head: &RequestHead, status: StatusCode) -> bool {
    head.method != "HEAD" && !matches!(status.as_u16(), 204 | 205 | 304)
}

fn status_text(answer: &HttpResponse<Incoming>) -> String {
    match answer.extensions().get::<ReasonPhrase>() {
        Some(phrase) => latin1_text(phrase.as_bytes()),
        None => answer
            .status()
            .canonical_reason()
            .unwrap_or_default()
            .to_owned(),
    }
}

fn cut(error: hyper::Error) -> Failure {
    network(format!("the answer's body broke off: {}", explain(&error)))
}

/// The deepest cause that says something, since the outer ones only say where it happened.
pub(crate) fn explain(error: &(dyn StdError + 'static)) -> String {
    let mut cause = Some(error);
    let mut deepest = error.to_string();
    while let Some(error) = cause {
        if let Some(own) = error.downcast_ref::<ConnectError>() {
            return own.to_string();
        }
        deepest = error.to_string();
        cause = error.source();
    }
    deepest
}
