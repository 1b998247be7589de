//! What the admin listener answers: `/healthz`, `/metrics`, `/tail`.
//!
//! A service like a Worker's, so that the gateway serves it. It only reads; nothing here changes what
//! the host does. A page in a browser cannot read it: a name in `Host` other than `localhost` is
//! refused, or a name that is made to point at the loopback address would get it past the
//! browser's rules.

use crate::filter::Filter;
use crate::watch::Watch;
use mayfly_exchange::{Body, BoxFuture, Failure, Request, Response, ResponseHead, Service};
use mayfly_supervisor::Supervisor;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// See the file's head.
pub struct Admin {
    supervisor: Arc<Supervisor>,
    watch: Arc<Watch>,
}

impl Admin {
    /// Answers about `supervisor`, whose observer is `watch`.
    pub fn new(supervisor: Arc<Supervisor>, watch: Arc<Watch>) -> Self {
        Self { supervisor, watch }
    }

    fn answer(&self, request: &Request) -> Response {
        let url = &request.head.url;
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        let (host, target) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        if !is_local_name(host) {
            let text = format!("{host:?} is no address of this listener; use an IP or localhost\n");
            return text_response(421, "text/plain; charset=utf-8", text);
        }
        if !matches!(request.head.method.as_str(), "GET" | "HEAD") {
            return text_response(405, "text/plain; charset=utf-8", "only GET\n".to_owned());
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        match path {
            "/healthz" => self.health(),
            "/metrics" => {
                let text = self.watch.metrics.text(&self.supervisor.metrics());
                text_response(200, "text/plain; version=0.0.4; charset=utf-8", text)
            }
            "/tail" => self.tail(query),
            _ => {
                let text = "there are /healthz, /metrics and /tail\n".to_owned();
                text_response(404, "text/plain; charset=utf-8", text)
            }
        }
    }

    fn health(&self) -> Response {
        let (status, text) = match self.supervisor.is_open() {
            true => (200, "ok\n"),
            false => (503, "stopping\n"),
        };
        text_response(status, "text/plain; charset=utf-8", text.to_owned())
    }

    fn tail(&self, query: &str) -> Response {
        let filter = match Filter::parse(query) {
            Ok(filter) => filter,
            Err(error) => {
                return text_response(400, "text/plain; charset=utf-8", format!("{error}\n"));
            }
        };
        match self.watch.live.follow(filter) {
            Some(reader) => Response {
                head: head(200, "application/x-ndjson"),
                body: Body::Stream {
                    reader,
                    length: None,
                },
            },
            None => {
                let text = format!("{} follow already\n", crate::live::FOLLOWERS_MAX);
                text_response(503, "text/plain; charset=utf-8", text)
            }
        }
    }
}

/// An address, or `localhost`, each with or without a port.
fn is_local_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => host.split(':').next().unwrap_or(""),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

fn text_response(status: u16, kind: &str, text: String) -> Response {
    Response {
        head: head(status, kind),
        body: Body::Full(text.into()),
    }
}

fn head(status: u16, kind: &str) -> ResponseHead {
    ResponseHead {
        status,
        status_text: String::new(),
        headers: vec![
            ("content-type".to_owned(), kind.to_owned()),
            ("cache-control".to_owned(), "no-store".to_owned()),
            ("x-content-type-options".to_owned(), "nosniff".to_owned()),
        ],
        url: String::new(),
        redirected: false,
        encoded: false,
    }
}

impl Service for Admin {
    fn fetch(&self, request: Request) -> BoxFuture<Result<Response, Failure>> {
        let response = self.answer(&request);
        Box::pin(async move { Ok(response) })
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admin")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_are_answered() {
        for host in [
            "127.0.0.1:9000",
            "[::1]:9000",
            "localhost",
            "LOCALHOST:1",
            "10.0.0.1",
        ] {
            assert!(is_local_name(host), "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example:80", "", "[evil]"] {
            assert!(!is_local_name(host), "{host}");
        }
    }
}
