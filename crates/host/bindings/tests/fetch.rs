//! One fetch: what a site is sent and what a Worker gets.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_compression::tokio::write::{BrotliEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
use bytes::Bytes;
use common::{PATIENCE, bytes, get, network, reply, request, site, text};
use http_body_util::BodyExt;
use mayfly_bindings::{Egress, Network, NetworkOptions};
use mayfly_exchange::{Body, Service, body_channel};
use mayfly_wire::Redirect;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

const LOOPBACK: &[&str] = &["127.0.0.0/8"];

#[tokio::test]
async fn a_request_arrives_as_it_was_written_without_connection_headers() {
    let site = site(|request| async move {
        let method = request.method().to_string();
        let path = request.uri().to_string();
        let headers = format!("{:?}", request.headers());
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        reply(
            201,
            &[("set-cookie", "a=1"), ("set-cookie", "b=2")],
            [method, path, headers, body].join("\n"),
        )
    })
    .await;
    let network = network(LOOPBACK);
    let mut sent = request(
        "PATCH",
        &site.url("/p?q#fragment"),
        Body::Full("payload".into()),
    );
    for (name, value) in [
        ("X-Own", "1"),
        ("host", "forged"),
        ("connection", "upgrade"),
        ("content-length", "1"),
    ] {
        sent.head.headers.push((name.to_owned(), value.to_owned()));
    }
    let response = network.fetch(sent).await.unwrap();
    assert_eq!(
        (response.head.status, response.head.status_text.as_str()),
        (201, "Created")
    );
    assert_eq!(response.head.url, site.url("/p?q"));
    assert!(!response.head.redirected);
    let cookies = response
        .head
        .headers
        .iter()
        .filter(|(name, _)| name == "set-cookie");
    assert_eq!(cookies.count(), 2);
    let echoed = text(response.body).await;
    let lines: Vec<_> = echoed.lines().collect();
    assert_eq!((lines[0], lines[1], lines[3]), ("PATCH", "/p?q", "payload"));
    for part in [
        "\"x-own\": \"1\"",
        "\"accept-encoding\": \"gzip, br\"",
        "\"content-length\": \"7\"",
        &site.addr.to_string(),
    ] {
        assert!(lines[2].contains(part), "{part}: {}", lines[2]);
    }
    assert!(
        !lines[2].contains("forged") && !lines[2].contains("upgrade"),
        "{}",
        lines[2]
    );
    let again = text(get(&network, &site.url("/")).await.unwrap().body).await;
    assert!(
        !again.contains("cookie"),
        "cookies are not remembered: {again}"
    );
    assert_eq!(
        site.connections.load(Ordering::Relaxed),
        1,
        "connections are pooled"
    );
}

#[tokio::test]
async fn redirects_are_followed_shown_or_refused_as_asked() {
    let site = site(|request| async move {
        match request.uri().path() {
            "/loop" => reply(302, &[("location", "/loop")], ""),
            "/nowhere" => reply(302, &[], "kept"),
            "/a" => reply(301, &[("location", "b?x")], ""),
            "/b" => reply(307, &[("location", "/c")], "ignored"),
            "/c" => {
                let method = request.method().clone();
                let auth = request.headers().contains_key("authorization");
                reply(200, &[], format!("{method} {auth}"))
            }
            path => reply(404, &[], path.to_owned()),
        }
    })
    .await;
    let network = network(LOOPBACK);
    let mut followed = request("POST", &site.url("/a"), Body::Full("x".into()));
    followed
        .head
        .headers
        .push(("authorization".to_owned(), "secret".to_owned()));
    let response = network.fetch(followed).await.unwrap();
    assert!(response.head.redirected);
    assert_eq!(response.head.url, site.url("/c"));
    assert_eq!(text(response.body).await, "GET true");

    let mut shown = request("GET", &site.url("/a"), Body::Empty);
    shown.head.redirect = Redirect::Manual {};
    let response = network.fetch(shown).await.unwrap();
    assert_eq!(
        (response.head.status, response.head.redirected),
        (301, false)
    );
    assert!(
        response
            .head
            .headers
            .contains(&("location".to_owned(), "b?x".to_owned()))
    );

    let mut refused = request("GET", &site.url("/a"), Body::Empty);
    refused.head.redirect = Redirect::Error {};
    assert!(
        network
            .fetch(refused)
            .await
            .unwrap_err()
            .message
            .contains("redirect")
    );

    let error = get(&network, &site.url("/loop")).await.unwrap_err();
    assert!(
        error.message.contains("too many redirects"),
        "{}",
        error.message
    );
    let response = get(&network, &site.url("/nowhere")).await.unwrap();
    assert_eq!(
        (response.head.status, text(response.body).await.as_str()),
        (302, "kept")
    );

    let (writer, reader) = body_channel();
    tokio::spawn(async move {
        let _ = writer.write(Bytes::from_static(b"once")).await;
        writer.finish().await;
    });
    let stream = Body::Stream {
        reader,
        length: None,
    };
    let error = network
        .fetch(request("POST", &site.url("/b"), stream))
        .await
        .unwrap_err();
    assert!(error.message.contains("used up"), "{}", error.message);
}

#[tokio::test]
async fn encoded_answers_are_decoded() {
    let plain = "some words, ".repeat(10_000);
    async fn encoded<W>(mut encoder: W, plain: &str, out: impl FnOnce(W) -> Vec<u8>) -> Bytes
    where
        W: tokio::io::AsyncWrite + Unpin,
    {
        encoder.write_all(plain.as_bytes()).await.unwrap();
        encoder.shutdown().await.unwrap();
        out(encoder).into()
    }
    let bodies = Arc::new([
        (
            "gzip",
            encoded(GzipEncoder::new(Vec::new()), &plain, |e| e.into_inner()).await,
        ),
        (
            "br",
            encoded(BrotliEncoder::new(Vec::new()), &plain, |e| e.into_inner()).await,
        ),
        (
            "zstd",
            encoded(ZstdEncoder::new(Vec::new()), &plain, |e| e.into_inner()).await,
        ),
        (
            "deflate",
            encoded(ZlibEncoder::new(Vec::new()), &plain, |e| e.into_inner()).await,
        ),
    ]);
    let served = bodies.clone();
    let site = site(move |request| {
        let bodies = served.clone();
        async move {
            let asked = request.uri().path().trim_start_matches('/').to_owned();
            let name = asked.trim_start_matches("cut-");
            let (name, body) = bodies.iter().find(|(known, _)| *known == name).unwrap();
            let body = body.slice(
                ..if asked == *name {
                    body.len()
                } else {
                    body.len() / 2
                },
            );
            reply(200, &[("content-encoding", name)], body)
        }
    })
    .await;
    let network = network(LOOPBACK);
    for (name, encoded) in bodies.iter() {
        let response = get(&network, &site.url(&format!("/{name}"))).await.unwrap();
        let header = response
            .head
            .headers
            .iter()
            .any(|(header, _)| header == "content-encoding");
        assert_eq!(header, matches!(*name, "gzip" | "br"), "{name}");
        assert!(!response.head.encoded);
        assert_eq!(text(response.body).await, plain, "{name}");
        let mut left = request("GET", &site.url(&format!("/{name}")), Body::Empty);
        left.head.encoded = true;
        let left = network.fetch(left).await.unwrap();
        let kept = left
            .head
            .headers
            .iter()
            .any(|(header, value)| header == "content-encoding" && value == name);
        assert!(left.head.encoded && kept, "{name}");
        assert_eq!(bytes(left.body).await.unwrap(), *encoded, "{name}");
        let cut = get(&network, &site.url(&format!("/cut-{name}")))
            .await
            .unwrap();
        assert!(bytes(cut.body).await.is_err(), "{name} cut in half");
    }
}

#[tokio::test]
async fn answers_without_a_body_have_none() {
    let site = site(|request| async move {
        match request.uri().path() {
            "/204" => reply(204, &[], ""),
            "/304" => reply(304, &[("content-encoding", "gzip")], ""),
            _ => reply(200, &[("content-encoding", "gzip")], "not looked at"),
        }
    })
    .await;
    let network = network(LOOPBACK);
    for (method, path) in [("GET", "/204"), ("GET", "/304"), ("HEAD", "/")] {
        let response = network
            .fetch(request(method, &site.url(path), Body::Empty))
            .await
            .unwrap();
        assert!(matches!(response.body, Body::Empty), "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gibibyte_passes_both_ways_in_bounded_memory() {
    const GIB: usize = 1 << 30;
    const PIECE: usize = 64 * 1024;
    fn peak() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmHWM"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<usize>()
            .unwrap()
            * 1024
    }
    let site = site(|request| async move {
        http::Response::new(
            request
                .into_body()
                .map_err(|error| panic!("{error}"))
                .boxed(),
        )
    })
    .await;
    let network = network(LOOPBACK);
    let before = peak();
    let (writer, reader) = body_channel();
    tokio::spawn(async move {
        let piece = Bytes::from(vec![7; PIECE]);
        for _ in 0..GIB / PIECE {
            writer.write(piece.clone()).await.unwrap();
        }
        writer.finish().await;
    });
    let body = Body::Stream {
        reader,
        length: Some(GIB as u64),
    };
    let response = network
        .fetch(request("POST", &site.url("/"), body))
        .await
        .unwrap();
    let Body::Stream { mut reader, .. } = response.body else {
        panic!("a large answer is a stream");
    };
    let mut total = 0;
    while let Some(piece) = timeout(PATIENCE, reader.next()).await.unwrap() {
        total += piece.unwrap().len();
    }
    assert_eq!(total, GIB);
    let grown = peak().saturating_sub(before);
    assert!(grown < 32 << 20, "the process grew by {grown} bytes");
}

/// A site that answers with `answer`, then tells when its client has gone.
async fn watching(answer: &'static str) -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let gone = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 4096];
        assert!(stream.read(&mut buffer).await.unwrap() > 0);
        stream.write_all(answer.as_bytes()).await.unwrap();
        while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    });
    (url, gone)
}

#[tokio::test]
async fn dropping_a_fetch_ends_its_exchange() {
    let (url, gone) = watching("").await;
    let network = network(LOOPBACK);
    let fetch = tokio::spawn(network.fetch(request("GET", &url, Body::Empty)));
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    fetch.abort();
    timeout(PATIENCE, gone).await.unwrap().unwrap();
}

#[tokio::test]
async fn dropping_a_body_ends_its_exchange() {
    let (url, gone) = watching("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\npart").await;
    let response = get(&network(LOOPBACK), &url).await.unwrap();
    drop(response.body);
    timeout(PATIENCE, gone).await.unwrap().unwrap();
}

#[tokio::test]
async fn failures_say_what_failed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let network = network(LOOPBACK);
    for (url, words) in [
        (format!("http://{closed}/"), "could not be reached"),
        (
            "http://name.invalid/".to_owned(),
            "name.invalid could not be resolved",
        ),
        ("ftp://a/".to_owned(), "ftp: is not HTTP"),
        ("http://user:secret@a/".to_owned(), "credentials"),
        ("no url".to_owned(), "is no URL"),
    ] {
        let error = get(&network, &url).await.unwrap_err();
        assert_eq!(error.name, "TypeError");
        assert!(error.message.contains(words), "{url}: {}", error.message);
    }
    let (url, _gone) = watching("nonsense\r\n\r\n").await;
    assert!(get(&network, &url).await.is_err());
}

#[tokio::test]
async fn https_speaks_http2_and_checks_certificates() {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = key.cert.der().clone();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.clone()],
            rustls::pki_types::PrivateKeyDer::Pkcs8(key.signing_key.serialize_der().into()),
        )
        .unwrap();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let service = hyper::service::service_fn(
                    |request: http::Request<hyper::body::Incoming>| async move {
                        let version = format!("{:?}", request.version());
                        Ok::<_, std::convert::Infallible>(reply(200, &[], version))
                    },
                );
                let stream = hyper_util::rt::TokioIo::new(stream);
                let executor = hyper_util::rt::TokioExecutor::new();
                let builder = hyper_util::server::conn::auto::Builder::new(executor);
                let _ = builder.serve_connection(stream, service).await;
            });
        }
    });
    let url = format!("https://localhost:{port}/");
    let trusting = Network::new(NetworkOptions {
        egress: Egress::new(vec!["localhost".parse().unwrap()]),
        extra_roots: vec![certificate],
        ..NetworkOptions::default()
    })
    .unwrap();
    let response = get(&trusting, &url).await.unwrap();
    assert_eq!(text(response.body).await, "HTTP/2.0");
    let error = get(&network(&["localhost"]), &url).await.unwrap_err();
    assert!(
        error.message.to_lowercase().contains("certificate"),
        "{}",
        error.message
    );
}
