//! WebSockets that Workers open: a request with `upgrade: websocket`.
//!
//! A connection of its own, HTTP/1.1, never from the pool. The handshake's headers are written here,
//! whatever the Worker gave; an answer that is no upgrade is an answer like any other.
//!
//! Deliberately absent: extensions, of which none is offered; frames (`mayfly_exchange::websocket`).
//!
//! Invariant: a connection that switched has answered the key that this handshake drew.

use std::error::Error;

use http::{HeaderValue, Request, Response, Uri, header};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use mayfly_exchange::http::OutgoingBody;
use mayfly_exchange::websocket::{Role, converse, handshake};
use mayfly_exchange::{Duplex, RequestHead, duplex};
use mayfly_wire::bounds::HEAD_BYTES_MAX;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use url::Url;

use crate::network::{HEADERS_MAX, Network, SOCKETS_MAX};

/// The `sec-websocket-accept` that the answer must have.
#[derive(Clone)]
struct Expected(String);

/// Whether the request wants to become a WebSocket.
pub fn is_asked_for(head: &RequestHead) -> bool {
    head.method == "GET"
        && head.headers.iter().any(|(name, value)| {
            name.eq_ignore_ascii_case("upgrade") && value.trim().eq_ignore_ascii_case("websocket")
        })
}

/// Sends the handshake over a connection of its own.
pub async fn request(
    network: &Network,
    url: &Url,
    mut request: Request<OutgoingBody>,
) -> Result<Response<Incoming>, Box<dyn Error + Send + Sync>> {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(80);
    let key = handshake::key();
    address(&mut request, url, &key)?;
    let stream = network.connector.dial(host, port).await?;
    let mut answer = if url.scheme() == "https" {
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
        exchange(network.http1_tls().connect(name, stream).await?, request).await?
    } else {
        exchange(stream, request).await?
    };
    let expected = Expected(handshake::accept(key.as_bytes()));
    answer.extensions_mut().insert(expected);
    Ok(answer)
}

fn address(
    request: &mut Request<OutgoingBody>,
    url: &Url,
    key: &str,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    *request.uri_mut() =
        url[url::Position::BeforePath..url::Position::AfterQuery].parse::<Uri>()?;
    let host = url[url::Position::BeforeHost..url::Position::AfterPort].parse()?;
    let headers = request.headers_mut();
    for own in handshake::OWN_HEADERS {
        headers.remove(own);
    }
    headers.remove(header::ACCEPT_ENCODING);
    headers.insert(header::HOST, host);
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let version = HeaderValue::from_static(handshake::VERSION);
    headers.insert(header::SEC_WEBSOCKET_VERSION, version);
    headers.insert(header::SEC_WEBSOCKET_KEY, key.parse()?);
    Ok(())
}

async fn exchange<S>(
    stream: S,
    request: Request<OutgoingBody>,
) -> Result<Response<Incoming>, Box<dyn Error + Send + Sync>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .handshake(TokioIo::new(stream))
        .await?;
    // Ends with the answer's body, or with the switch, which takes the stream out of it.
    tokio::spawn(connection.with_upgrades());
    Ok(sender.send_request(request).await?)
}

/// The socket that an answer with status 101 gives.
pub fn switch(network: &Network, mut answer: Response<Incoming>) -> Result<Duplex, String> {
    let Some(Expected(expected)) = answer.extensions_mut().remove::<Expected>() else {
        return Err("the answer switches protocols, which the request did not ask for".to_owned());
    };
    let is_websocket = handshake::is_asked_for(answer.headers());
    let accepted = answer.headers().get(header::SEC_WEBSOCKET_ACCEPT);
    if !is_websocket || accepted.is_none_or(|accepted| accepted != expected.as_str()) {
        return Err("the answer's WebSocket handshake is wrong".to_owned());
    }
    if answer
        .headers()
        .contains_key(header::SEC_WEBSOCKET_EXTENSIONS)
    {
        return Err("the answer agrees on an extension that was not offered".to_owned());
    }
    let Ok(place) = network.sockets.clone().try_acquire_owned() else {
        return Err(format!(
            "too many sockets are open: the limit is {SOCKETS_MAX}"
        ));
    };
    let (ours, theirs) = duplex();
    tokio::spawn(async move {
        // A connection that breaks before it has switched drops the socket, of which its holder hears.
        if let Ok(upgraded) = hyper::upgrade::on(answer).await {
            let stream = TokioIo::new(upgraded);
            converse(stream, Role::Client, ours, std::future::pending()).await;
        }
        drop(place);
    });
    Ok(theirs)
}
