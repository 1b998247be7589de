//! Bodies under way: size, back-pressure, departure, HTTP/2, and stopping.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::{Client, Door, PATIENCE, door, ok, respond, whole};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mayfly_exchange::{Body, body_channel};
use mayfly_gateway::Stop;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

const GIB: usize = 1 << 30;
const PIECE: usize = 64 * 1024;

fn resident_peak_bytes() -> usize {
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

/// A service that sends back what it receives, as it receives it.
fn echo() -> Door {
    door(|request| async move { respond(200, &[], request.body) })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gibibyte_passes_both_ways_in_bounded_memory() {
    let door = echo();
    let mut client = Client::connect(&door).await.0;
    let before = resident_peak_bytes();
    let head =
        format!("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {GIB}\r\n\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    let (mut incoming, mut outgoing) = client.into_split();
    let upload = tokio::spawn(async move {
        let piece = vec![7; PIECE];
        for _ in 0..GIB / PIECE {
            outgoing.write_all(&piece).await.unwrap();
        }
        outgoing
    });
    let mut buffer = vec![0; PIECE];
    let mut total = 0;
    loop {
        let read = timeout(PATIENCE, incoming.read(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        if read == 0 {
            break;
        }
        total += read;
    }
    upload.await.unwrap();
    assert!(total > GIB && total < GIB + 1024, "{total}");
    let grown = resident_peak_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "the process grew by {grown} bytes");
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_writer() {
    let written = Arc::new(AtomicUsize::new(0));
    let count = written.clone();
    let door = door(move |_| {
        let (writer, reader) = body_channel();
        let count = count.clone();
        tokio::spawn(async move {
            while writer.write(Bytes::from(vec![0; PIECE])).await.is_ok() {
                count.fetch_add(PIECE, Ordering::Relaxed);
            }
        });
        async move {
            respond(
                200,
                &[],
                Body::Stream {
                    reader,
                    length: None,
                },
            )
        }
    });
    let mut client = Client::connect(&door).await;
    client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut last = usize::MAX;
    while last != written.load(Ordering::Relaxed) || last == 0 {
        last = written.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // What the kernel's two socket buffers hold, and little more.
    assert!(last < 16 << 20, "{last} bytes written to nobody");
}

#[tokio::test]
async fn a_service_that_does_not_read_stops_the_client() {
    let door = door(|request| async move {
        let _held = request.body;
        std::future::pending::<()>().await;
        ok("")
    });
    let mut client = Client::connect(&door).await;
    client
        .send(&format!(
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {GIB}\r\n\r\n"
        ))
        .await;
    let mut sent = 0;
    let piece = vec![0; PIECE];
    while let Ok(Ok(())) = timeout(Duration::from_millis(500), client.0.write_all(&piece)).await {
        sent += PIECE;
        assert!(sent < 32 << 20, "{sent} bytes taken by nobody");
    }
}

/// Says when it is dropped.
struct Farewell(Option<oneshot::Sender<()>>);

impl Drop for Farewell {
    fn drop(&mut self) {
        let _ = self.0.take().map(|sender| sender.send(()));
    }
}

/// Sends `request`, waits until the service has it, leaves, and expects the service's future
/// to be dropped.
async fn leaving_drops_the_service(request: &str, read_body: bool) {
    let started = Arc::new(Notify::new());
    let begun = started.clone();
    let (gone, farewell) = oneshot::channel();
    let gone = Arc::new(std::sync::Mutex::new(Some(gone)));
    let door = door(move |request| {
        let farewell = Farewell(gone.lock().unwrap().take());
        let begun = begun.clone();
        async move {
            let _farewell = farewell;
            begun.notify_one();
            if read_body && let Body::Stream { mut reader, .. } = request.body {
                while let Some(Ok(_)) = reader.next().await {}
            }
            std::future::pending::<()>().await;
            ok("")
        }
    });
    let mut client = Client::connect(&door).await;
    client.send(request).await;
    timeout(PATIENCE, started.notified()).await.unwrap();
    drop(client);
    timeout(PATIENCE, farewell)
        .await
        .expect("the service is dropped")
        .unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_drops_the_service() {
    leaving_drops_the_service("GET / HTTP/1.1\r\nhost: x\r\n\r\n", true).await;
}

#[tokio::test]
async fn a_client_that_leaves_during_its_upload_drops_the_service() {
    let half = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\nhalf";
    leaving_drops_the_service(half, true).await;
}

#[tokio::test]
async fn a_client_that_leaves_during_an_upload_nobody_reads_drops_the_service() {
    let half = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\nhalf";
    leaving_drops_the_service(half, false).await;
}

#[tokio::test]
async fn a_client_that_leaves_during_the_answer_drops_its_reader() {
    let (gone, farewell) = oneshot::channel();
    let gone = Arc::new(std::sync::Mutex::new(Some(gone)));
    let door = door(move |_| {
        let (writer, reader) = body_channel();
        let gone = gone.lock().unwrap().take();
        tokio::spawn(async move {
            writer.write(Bytes::from_static(b"first")).await.unwrap();
            writer.closed().await;
            gone.unwrap().send(()).unwrap();
        });
        async move {
            respond(
                200,
                &[],
                Body::Stream {
                    reader,
                    length: None,
                },
            )
        }
    });
    let mut client = Client::connect(&door).await;
    client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    client.until("first\r\n").await;
    drop(client);
    timeout(PATIENCE, farewell)
        .await
        .expect("the reader is dropped")
        .unwrap();
}

#[tokio::test]
async fn an_answer_before_the_end_of_an_upload_reaches_the_client() {
    let door = door(|_| async { respond(413, &[], Body::Full(Bytes::from_static(b"too large"))) });
    let mut client = Client::connect(&door).await;
    client
        .send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n")
        .await;
    client.0.write_all(&vec![0; 1_000_000]).await.unwrap();
    client.until("too large").await;
    client
        .send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
        .await;
    client.until("too large").await;
}

#[tokio::test]
async fn a_body_that_breaks_is_not_taken_for_a_whole_one() {
    let door = door(|_| async {
        let (writer, reader) = body_channel();
        tokio::spawn(async move {
            writer.write(Bytes::from_static(b"part")).await.unwrap();
        });
        respond(
            200,
            &[],
            Body::Stream {
                reader,
                length: None,
            },
        )
    });
    let mut client = Client::connect(&door).await;
    client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let answer = client.rest().await;
    assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn pieces_arrive_while_the_answer_goes_on() {
    let next = Arc::new(Notify::new());
    let go = next.clone();
    let door = door(move |_| {
        let (writer, reader) = body_channel();
        let go = go.clone();
        tokio::spawn(async move {
            for piece in ["one", "two"] {
                writer.write(Bytes::from(piece)).await.unwrap();
                go.notified().await;
            }
            writer.finish().await;
        });
        async move {
            respond(
                200,
                &[("content-encoding", "identity")],
                Body::Stream {
                    reader,
                    length: None,
                },
            )
        }
    });
    let mut client = Client::connect(&door).await;
    client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    client.until("one\r\n").await;
    next.notify_one();
    client.until("two\r\n").await;
    next.notify_one();
    client.until("0\r\n\r\n").await;
}

#[tokio::test]
async fn http2_by_prior_knowledge_carries_many_requests_at_once() {
    let door = door(|request| async move {
        assert!(request.head.cf.contains("HTTP/2"));
        assert!(
            request
                .head
                .headers
                .iter()
                .any(|(name, value)| name == "host" && value == "h.test")
        );
        let url = request.head.url.clone();
        let length = whole(request.body).await.len();
        ok(format!("{url} {length}"))
    });
    let stream = TokioIo::new(TcpStream::connect(door.addr).await.unwrap());
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut calls = Vec::new();
    for i in 0..100 {
        let mut sender = sender.clone();
        let body = Full::new(Bytes::from(vec![1; 50_000]));
        let request = http::Request::post(format!("http://h.test/{i}"))
            .body(body)
            .unwrap();
        calls.push(tokio::spawn(async move {
            let answer = sender.send_request(request).await.unwrap();
            answer.into_body().collect().await.unwrap().to_bytes()
        }));
    }
    for (i, call) in calls.into_iter().enumerate() {
        let body = timeout(PATIENCE, call).await.unwrap().unwrap();
        assert_eq!(body, format!("http://h.test/{i} 50000"));
    }
}

#[tokio::test]
async fn an_http2_client_that_resets_its_stream_drops_the_service() {
    let (gone, farewell) = oneshot::channel();
    let gone = Arc::new(std::sync::Mutex::new(Some(gone)));
    let started = Arc::new(Notify::new());
    let begun = started.clone();
    let door = door(move |_| {
        let farewell = Farewell(gone.lock().unwrap().take());
        begun.notify_one();
        async move {
            let _farewell = farewell;
            std::future::pending::<()>().await;
            ok("")
        }
    });
    let stream = TokioIo::new(TcpStream::connect(door.addr).await.unwrap());
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
            .await
            .unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("http://h.test/")
        .body(Full::new(Bytes::new()))
        .unwrap();
    let call = tokio::spawn(async move { sender.send_request(request).await.map(|_| ()) });
    timeout(PATIENCE, started.notified()).await.unwrap();
    call.abort();
    timeout(PATIENCE, farewell)
        .await
        .expect("the service is dropped")
        .unwrap();
}

#[tokio::test]
async fn stopping_finishes_what_is_under_way_and_accepts_nothing_new() {
    let started = Arc::new(Notify::new());
    let begun = started.clone();
    let door = door(move |_| {
        begun.notify_one();
        async {
            tokio::time::sleep(Duration::from_millis(600)).await;
            ok("finished")
        }
    });
    let mut busy = Client::connect(&door).await;
    busy.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    timeout(PATIENCE, started.notified()).await.unwrap();
    let mut idle = Client::connect(&door).await;
    door.stop.send(Stop::Graceful).unwrap();
    let answer = busy.rest().await;
    assert!(
        answer.ends_with("finished") && answer.contains("connection: close"),
        "{answer}"
    );
    assert_eq!(idle.rest().await, "");
    let cut = timeout(PATIENCE, door.served).await.unwrap().unwrap();
    assert_eq!(cut, 0);
    assert!(TcpStream::connect(door.addr).await.is_err());
}

#[tokio::test]
async fn stopping_under_load_loses_no_request() {
    let door = door(|_| async {
        tokio::time::sleep(Duration::from_millis(2)).await;
        ok("done")
    });
    let addr = door.addr;
    let clients: Vec<_> = (0..32)
        .map(|_| {
            tokio::spawn(async move {
                let mut answered = 0;
                // Connect anew whenever the server asks to close; end when none is accepted.
                while let Ok(stream) = TcpStream::connect(addr).await {
                    let mut client = Client(stream);
                    loop {
                        client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
                        let head = client.head().await;
                        client.until("done").await;
                        answered += 1;
                        if head.contains("connection: close") {
                            break;
                        }
                    }
                }
                answered
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    door.stop.send(Stop::Graceful).unwrap();
    let mut answered = 0;
    for client in clients {
        // A lost request is a panic in its client.
        answered += timeout(PATIENCE, client).await.unwrap().unwrap();
    }
    assert!(answered > 100, "{answered}");
    assert_eq!(timeout(PATIENCE, door.served).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn stopping_at_once_cuts_and_counts() {
    let started = Arc::new(Notify::new());
    let begun = started.clone();
    let door = door(move |_| {
        begun.notify_one();
        async {
            std::future::pending::<()>().await;
            ok("")
        }
    });
    let mut busy = Client::connect(&door).await;
    busy.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    timeout(PATIENCE, started.notified()).await.unwrap();
    door.stop.send(Stop::Graceful).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    door.stop.send(Stop::Now).unwrap();
    assert_eq!(timeout(PATIENCE, door.served).await.unwrap().unwrap(), 1);
}
