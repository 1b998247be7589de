//! A request as it arrived becomes a request as a Worker sees it.
//!
//! The URL is built from `Host` or `:authority`; forwarding headers are passed on but not
//! believed. Methods and headers are not judged here: the platform does.
//!
//! Invariant: what leaves here has an absolute `http:` URL with a valid authority.

use std::net::IpAddr;
use std::sync::Arc;

use http::uri::Authority;
use http::{HeaderMap, Method, Uri, Version, header};
use hyper::body::Incoming;
use mayfly_exchange::http::{header_list, receive};
use mayfly_exchange::{Failure, FailureKind, Request, RequestHead};
use mayfly_wire::Redirect;
use tokio::sync::Notify;

use crate::UNREAD_BYTES_MAX;
use crate::cf::{CONNECTING_IP, cf_json};

/// Why a request is answered without asking any Worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// HTTP/1.1 requires a `Host` header and allows one.
    Host,
    /// The gateway is no proxy.
    Connect,
}

/// A request without its body.
pub fn head(request: &http::request::Parts, peer: IpAddr) -> Result<RequestHead, Refusal> {
    if request.method == Method::CONNECT {
        return Err(Refusal::Connect);
    }
    let mut headers = header_list(&request.headers);
    headers.retain(|(name, _)| name != CONNECTING_IP);
    headers.push((CONNECTING_IP.to_owned(), peer.to_canonical().to_string()));
    let authority = authority(&request.uri, &request.headers)?;
    if request.version == Version::HTTP_2 && !request.headers.contains_key(header::HOST) {
        headers.push((header::HOST.as_str().to_owned(), authority.to_string()));
    }
    Ok(RequestHead {
        method: request.method.as_str().to_owned(),
        url: absolute(&authority, &request.uri),
        headers,
        redirect: Redirect::Manual {},
        cf: cf_json(request.version).to_owned(),
        encoded: false,
    })
}

fn authority(uri: &Uri, headers: &HeaderMap) -> Result<Authority, Refusal> {
    let authority = match uri.authority() {
        Some(authority) => authority.clone(),
        None => {
            let mut hosts = headers.get_all(header::HOST).iter();
            let (Some(host), None) = (hosts.next(), hosts.next()) else {
                return Err(Refusal::Host);
            };
            Authority::try_from(host.as_bytes()).map_err(|_| Refusal::Host)?
        }
    };
    // `user@host` is an authority in a URL, never in a Host header.
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return Err(Refusal::Host);
    }
    Ok(authority)
}

fn absolute(authority: &Authority, uri: &Uri) -> String {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!("http://{authority}{slash}{path}")
}

/// The announced length of a body.
fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// The whole request. Waits for a small body, never for a large one. `departed` is told when
/// the client breaks off its upload: hyper reports that to the body's reader alone, and a service
/// that waits for something else would go on for nobody.
pub async fn take(
    head: RequestHead,
    headers: &HeaderMap,
    incoming: Incoming,
    departed: Arc<Notify>,
) -> Request {
    let client_gone = move |error: hyper::Error| {
        departed.notify_one();
        let message = format!("the client stopped sending the request's body: {error}");
        Failure::new(FailureKind::Network {}, "Error", message)
    };
    let length = content_length(headers);
    let body = receive(incoming, length, UNREAD_BYTES_MAX, client_gone).await;
    Request { head, body }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request as HttpRequest;

    fn url(uri: &str, hosts: &[&str]) -> Result<String, Refusal> {
        let mut request = HttpRequest::builder().uri(uri);
        for host in hosts {
            request = request.header("host", *host);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        head(&parts, IpAddr::from([127, 0, 0, 1])).map(|head| head.url)
    }

    #[test]
    fn urls_come_from_the_host_or_the_authority() {
        for (uri, hosts, expect) in [
            ("/a?b", &["x.test:81"][..], Ok("http://x.test:81/a?b")),
            ("http://y.test/a", &["x.test"], Ok("http://y.test/a")),
            ("/", &["[::1]:8787"], Ok("http://[::1]:8787/")),
            ("*", &["x.test"], Ok("http://x.test/*")),
            ("/", &[], Err(Refusal::Host)),
            ("/", &["a", "b"], Err(Refusal::Host)),
            ("/", &[""], Err(Refusal::Host)),
            ("/", &["a/b"], Err(Refusal::Host)),
            ("/", &["user@a"], Err(Refusal::Host)),
        ] {
            assert_eq!(
                url(uri, hosts),
                expect.map(str::to_owned),
                "{uri} {hosts:?}"
            );
        }
    }

    #[test]
    fn a_claimed_client_address_is_overwritten() {
        let request = HttpRequest::builder()
            .uri("/")
            .header("host", "x")
            .header("cf-connecting-ip", "8.8.8.8");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let head = head(&parts, "::ffff:10.0.0.7".parse().unwrap()).unwrap();
        let claims: Vec<_> = head
            .headers
            .iter()
            .filter(|(name, _)| name == CONNECTING_IP)
            .collect();
        assert_eq!(claims, [&(CONNECTING_IP.to_owned(), "10.0.0.7".to_owned())]);
    }
}
