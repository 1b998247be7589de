//! One request, one answer: what a service is shown and what a client gets.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod common;

use bytes::Bytes;
use common::{Client, door, exchange, ok, respond, whole};
use mayfly_exchange::{Body, Failure, FailureKind, body_channel};
use mayfly_gateway::{BindError, Gateway, Options};

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: w.test\r\nconnection: close\r\n\r\n")
}

#[tokio::test]
async fn a_kept_alive_connection_carries_requests_with_url_headers_and_cf() {
    let door = door(|request| async move {
        let head = request.head;
        let client = head
            .headers
            .iter()
            .find(|(name, _)| name == "cf-connecting-ip");
        assert!(head.cf.contains("\"httpProtocol\":\"HTTP/1.1\""));
        ok(format!(
            "{} {} {}",
            head.method,
            head.url,
            client.unwrap().1
        ))
    });
    let mut client = Client::connect(&door).await;
    for path in ["/a?b=c", "/second"] {
        client
            .send(&format!("GET {path} HTTP/1.1\r\nhost: w.test:99\r\n\r\n"))
            .await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        let expect = format!("GET http://w.test:99{path} 127.0.0.1");
        assert!(
            head.contains(&format!("content-length: {}\r\n", expect.len())),
            "{head}"
        );
        client.until(&expect).await;
    }
}

#[tokio::test]
async fn header_values_are_bytes_and_set_cookie_stays_apart() {
    let door = door(|request| async move {
        let sent: Vec<_> = request
            .head
            .headers
            .iter()
            .filter(|(n, _)| n == "x-raw")
            .collect();
        assert_eq!(sent[0].1, "caf\u{e9}");
        let headers = [
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2, c"),
            ("x-raw", "\u{fc}"),
        ];
        respond(200, &headers, Body::Empty)
    });
    let mut client = Client::connect(&door).await;
    use tokio::io::AsyncWriteExt;
    let request = b"GET / HTTP/1.1\r\nhost: x\r\nx-raw: caf\xe9\r\nconnection: close\r\n\r\n";
    client.0.write_all(request).await.unwrap();
    let answer = client.rest().await;
    for line in [
        "set-cookie: a=1\r\n",
        "set-cookie: b=2, c\r\n",
        "x-raw: \u{fc}\r\n",
    ] {
        assert!(answer.contains(line), "{answer}");
    }
}

#[tokio::test]
async fn head_has_the_length_of_get_and_no_body() {
    let door = door(|request| async move {
        match request.head.url.as_str() {
            "http://w.test/full" => ok("12345"),
            "http://w.test/own" => respond(200, &[("content-length", "77")], Body::Empty),
            _ => {
                let (_, reader) = body_channel();
                respond(
                    200,
                    &[],
                    Body::Stream {
                        reader,
                        length: None,
                    },
                )
            }
        }
    });
    for (path, length) in [("/full", Some(5)), ("/own", Some(77)), ("/stream", None)] {
        let answer = exchange(&door, &get(path).replace("GET", "HEAD")).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let sent = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        assert_eq!(
            sent,
            length.map(|n: u32| n.to_string()).as_deref(),
            "{path}: {head}"
        );
        assert_eq!(body, "");
    }
}

#[tokio::test]
async fn statuses_without_a_body_have_none() {
    let door = door(|request| async move {
        let status = request
            .head
            .url
            .rsplit('/')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        respond(status, &[], Body::Full(Bytes::from_static(b"no")))
    });
    for status in [204, 304] {
        let answer = exchange(&door, &get(&format!("/{status}"))).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        assert!(
            answer.ends_with("\r\n\r\n") && !answer.contains("content-length"),
            "{answer}"
        );
    }
    for status in [100, 101, 199, 600, 999, 0] {
        let answer = exchange(&door, &get(&format!("/{status}"))).await;
        assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
        assert!(answer.contains(&format!("status {status}")), "{answer}");
    }
}

#[tokio::test]
async fn a_status_text_is_kept_and_an_impossible_one_left_out() {
    let door = door(|request| async move {
        let bad = request.head.url.ends_with("bad");
        let mut response = respond(299, &[], Body::Empty)?;
        response.head.status_text = if bad { "a\r\nb: c" } else { "Fine by me" }.to_owned();
        Ok(response)
    });
    assert!(
        exchange(&door, &get("/"))
            .await
            .starts_with("HTTP/1.1 299 Fine by me\r\n")
    );
    let answer = exchange(&door, &get("/bad")).await;
    assert!(
        answer.starts_with("HTTP/1.1 299 ") && !answer.contains("b: c"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_header_that_would_split_the_answer_is_a_failure() {
    let door = door(|_| async { respond(200, &[("x", "a\r\nset-cookie: stolen")], Body::Empty) });
    let answer = exchange(&door, &get("/")).await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    assert!(!answer.contains("stolen"));
}

#[tokio::test]
async fn framing_headers_of_a_worker_are_replaced_by_true_ones() {
    let headers = [
        ("content-length", "3"),
        ("transfer-encoding", "chunked"),
        ("connection", "upgrade"),
    ];
    let door = door(move |_| async move {
        respond(200, &headers, Body::Full(Bytes::from_static(b"12345")))
    });
    let answer = exchange(&door, &get("/")).await;
    assert!(
        answer.contains("content-length: 5\r\n") && !answer.contains("chunked"),
        "{answer}"
    );
    assert!(!answer.contains("upgrade"), "{answer}");
}

#[tokio::test]
async fn small_bodies_come_whole_and_empty_ones_are_told_from_none() {
    let door = door(|request| async move {
        let shape = match &request.body {
            Body::Empty => "empty".to_owned(),
            Body::Full(bytes) => format!("full {}", bytes.len()),
            Body::Stream { length, .. } => format!("stream {length:?}"),
            Body::Socket(_) => "socket".to_owned(),
        };
        whole(request.body).await;
        ok(shape)
    });
    let post = |headers: &str, body: &str| {
        format!("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n{body}")
    };
    let large = "x".repeat(200_000);
    for (request, expect) in [
        (post("", ""), "empty"),
        (post("content-length: 0\r\n", ""), "full 0"),
        (post("content-length: 4\r\n", "abcd"), "full 4"),
        (
            post("content-length: 200000\r\n", &large),
            "stream Some(200000)",
        ),
        (
            post("transfer-encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
            "full 3",
        ),
    ] {
        let answer = exchange(&door, &request).await;
        assert!(
            answer.ends_with(&format!("\r\n\r\n{expect}")),
            "{expect}: {answer}"
        );
    }
}

#[tokio::test]
async fn expect_100_continue_is_answered_when_the_body_is_wanted() {
    let door = door(|request| async move { ok(whole(request.body).await) });
    let mut client = Client::connect(&door).await;
    let head = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n";
    client.send(head).await;
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("abc").await;
    client.until("\r\n\r\nabc").await;
}

#[tokio::test]
async fn a_content_encoding_that_a_worker_names_is_applied() {
    use tokio::io::AsyncReadExt;
    let door = door(|request| async move {
        let encoding = if request.head.url.ends_with("gzip") {
            "gzip"
        } else {
            "br"
        };
        let headers = [("content-encoding", encoding), ("content-length", "7")];
        let mut response = respond(200, &headers, Body::Full("plain ".repeat(100).into()))?;
        response.head.encoded = request.head.url.contains("manual");
        Ok(response)
    });
    let mut client = Client::connect(&door).await;
    client.send(&get("/gzip").replace("1.1", "1.0")).await;
    let head = client.head().await;
    assert!(!head.contains("content-length"), "{head}");
    let mut encoded = Vec::new();
    client.0.read_to_end(&mut encoded).await.unwrap();
    assert!(
        encoded.starts_with(&[0x1f, 0x8b]) && encoded.len() < 100,
        "{}",
        encoded.len()
    );
    let manual = exchange(&door, &get("/manual/br")).await;
    assert!(manual.ends_with(&"plain ".repeat(100)) && manual.contains("content-encoding: br"));
    let br = exchange(&door, &get("/br")).await;
    assert!(!br.contains("plain plain"));
}

#[tokio::test]
async fn failures_name_what_happened() {
    let door = door(|request| async move {
        let kind = match request.head.url.rsplit('/').next().unwrap() {
            "exception" => FailureKind::Exception {},
            "cpu" => FailureKind::ExceededCpu {},
            "memory" => FailureKind::ExceededMemory {},
            "overloaded" => FailureKind::Overloaded {},
            "lost" => FailureKind::Lost {},
            _ => FailureKind::Internal {},
        };
        let mut failure = Failure::new(kind, "RangeError", "too far");
        failure.stack = "    at main.js:3:7".to_owned();
        Err(failure)
    });
    for (path, status, words) in [
        ("/exception", 500, "threw an exception"),
        ("/cpu", 503, "CPU"),
        ("/memory", 503, "memory"),
        ("/overloaded", 503, "overloaded"),
        ("/lost", 502, "ended"),
        ("/internal", 500, "Internal"),
    ] {
        let answer = exchange(&door, &get(path)).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{path}: {answer}"
        );
        assert!(answer.contains(words), "{path}: {answer}");
        assert!(
            answer.contains("RangeError: too far\n    at main.js:3:7"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn hostile_heads_are_refused_by_number() {
    let door = door(|request| async move { ok(request.head.headers.len().to_string()) });
    let many = |count| {
        let lines: String = (0..count).map(|i| format!("x-{i}: v\r\n")).collect();
        format!("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{lines}\r\n")
    };
    let long = |bytes: usize| {
        let lines: String = (0..bytes / 4096)
            .map(|i| format!("x-{i}: {}\r\n", "v".repeat(4088)))
            .collect();
        format!("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{lines}\r\n")
    };
    for (what, request, status) in [
        ("many headers", many(1000), 200),
        ("too many headers", many(1100), 431),
        ("a long head", long(200_000), 200),
        ("too long a head", long(400_000), 431),
        (
            "a long target",
            get(&format!("/{}", "a".repeat(70_000))),
            414,
        ),
        (
            "no host",
            "GET / HTTP/1.1\r\nconnection: close\r\n\r\n".to_owned(),
            400,
        ),
        (
            "two hosts",
            "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n".to_owned(),
            400,
        ),
        ("no HTTP", "hello there\r\n\r\n".to_owned(), 400),
        (
            "a proxy's wish",
            "CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\nconnection: close\r\n\r\n".to_owned(),
            405,
        ),
        (
            "two lengths",
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n"
                .to_owned(),
            400,
        ),
    ] {
        let mut client = Client::connect(&door).await;
        use tokio::io::AsyncWriteExt;
        // The server may answer and close before it has read all of it.
        let _ = client.0.write_all(request.as_bytes()).await;
        let answer = client.rest().await;
        let line = answer.lines().next().unwrap_or("nothing");
        assert!(
            line.starts_with(&format!("HTTP/1.1 {status} ")),
            "{what}: {line}"
        );
    }
}

#[tokio::test]
async fn a_port_in_use_is_said_so() {
    let door = door(|_| async { ok("") });
    let error = Gateway::bind(door.addr, Options::default()).unwrap_err();
    assert!(matches!(error, BindError::InUse { .. }));
    assert!(error.to_string().contains(&door.addr.port().to_string()));
}
