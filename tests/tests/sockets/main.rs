//! WebSockets, EventSource and byte connections: between Workers, from clients, to servers of the
//! network. The cases are in `workers/sockets/index.js`; `servers` has the other ends. Clients and
//! WebSocket servers are tungstenite's, which shares nothing with the code under test but the reading
//! of a frame's header.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod servers;

use mayfly_tests::{Server, wait_until};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::{Message, WebSocket};

/// Nothing here takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

const LOOPBACK: [&str; 4] = ["--allow-egress", "127.0.0.1", "--allow-egress", "localhost"];

fn server() -> Server {
    Server::start_with(&["sockets"], &LOOPBACK)
}

fn dial(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn client(server: &Server, path: &str) -> WebSocket<TcpStream> {
    let url = format!("ws://127.0.0.1:{}{path}", server.port());
    tungstenite::client(url, dial(server)).unwrap().0
}

fn close_frame(code: u16, reason: &str) -> CloseFrame {
    CloseFrame {
        code: CloseCode::from(code),
        reason: reason.to_owned().into(),
    }
}

fn next_close(socket: &mut WebSocket<TcpStream>) -> Option<(u16, String)> {
    loop {
        match socket.read() {
            Ok(Message::Close(Some(frame))) => {
                return Some((frame.code.into(), frame.reason.to_string()));
            }
            Ok(Message::Close(None)) => return Some((1005, String::new())),
            Ok(_) => {}
            Err(_) => return None,
        }
    }
}

#[test]
fn workers_talk_among_themselves() {
    server().every_case("/");
}

#[test]
fn workers_talk_among_themselves_collecting_always() {
    let arguments = [&LOOPBACK[..], &["--collect-always"]].concat();
    Server::start_with(&["sockets"], &arguments).every_case("/");
}

#[test]
fn clients_are_echoed() {
    let server = server();
    for path in ["/echo", "/child"] {
        let mut socket = client(&server, path);
        for message in [
            Message::text("hello \u{1f980}"),
            Message::binary(vec![1, 2, 255]),
            Message::text(""),
            Message::binary(vec![9; 5_000_000]),
            Message::text("\u{e9}".repeat(1_000_000)),
        ] {
            socket.send(message.clone()).unwrap();
            assert!(socket.read().unwrap() == message);
        }
        socket.send(Message::Ping(vec![7].into())).unwrap();
        assert_eq!(socket.read().unwrap(), Message::Pong(vec![7].into()));
        socket.close(Some(close_frame(4001, "done"))).unwrap();
        assert_eq!(next_close(&mut socket), Some((4001, "done".to_owned())));
    }
}

#[test]
fn a_message_in_pieces_with_a_ping_between_is_one_message() {
    let server = server();
    let mut socket = client(&server, "/echo");
    let text = "a\u{1f980}b".as_bytes();
    // Cut within a character.
    let first = Frame::message(text[..3].to_vec(), OpCode::Data(Data::Text), false);
    let second = Frame::message(text[3..].to_vec(), OpCode::Data(Data::Continue), true);
    socket.send(Message::Frame(first)).unwrap();
    socket.send(Message::Ping(vec![1].into())).unwrap();
    socket.send(Message::Frame(second)).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong(vec![1].into()));
    assert_eq!(socket.read().unwrap(), Message::text("a\u{1f980}b"));
}

#[test]
fn a_worker_closes_and_speaks_at_length() {
    let server = server();
    let mut socket = client(&server, "/echo");
    socket.send(Message::text("!text 700000")).unwrap();
    assert_eq!(
        socket.read().unwrap(),
        Message::text("\u{e9}".repeat(700_000))
    );
    socket.send(Message::text("!bytes 3000000")).unwrap();
    assert!(socket.read().unwrap() == Message::binary(vec![7; 3_000_000]));
    socket.send(Message::text("!many 3000")).unwrap();
    for number in 0..3000 {
        assert_eq!(socket.read().unwrap(), Message::text(number.to_string()));
    }
    socket.send(Message::text("!close 3005 enough")).unwrap();
    assert_eq!(next_close(&mut socket), Some((3005, "enough".to_owned())));
    let mut socket = client(&server, "/echo");
    socket.send(Message::text("!close")).unwrap();
    assert_eq!(next_close(&mut socket), Some((1005, String::new())));
}

#[test]
fn a_client_that_vanishes_is_a_close_with_1006() {
    let server = server();
    let mut socket = client(&server, "/echo");
    socket.send(Message::text("here")).unwrap();
    socket.read().unwrap();
    drop(socket);
    server.wait_for_output("echo closed 1006 false");
}

#[test]
fn a_worker_that_dies_cuts_its_clients() {
    let server = server();
    let mut socket = client(&server, "/mortal");
    socket.send(Message::text("spin")).unwrap();
    assert_eq!(next_close(&mut socket), None);
    // Only that one.
    let mut socket = client(&server, "/echo");
    socket.send(Message::text("alive")).unwrap();
    assert_eq!(socket.read().unwrap(), Message::text("alive"));
}

#[test]
fn a_worker_that_does_not_read_holds_its_client_up() {
    let server = server();
    let socket = client(&server, "/deaf");
    let mut stream = socket.get_ref().try_clone().unwrap();
    stream
        .set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    // One endless message, in frames of 64 KiB with a mask of zero.
    let mut frame = vec![2, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    frame.resize(frame.len() + 65_536, 0);
    let mut written = 0;
    let stopped = loop {
        match stream.write(&frame) {
            Ok(count) => written += count,
            Err(error) => break error,
        }
        frame[0] = 0;
        assert!(written < 32_000_000, "nothing holds the client up");
    };
    assert!(
        matches!(stopped.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        "{stopped}"
    );
}

#[test]
fn a_client_that_breaks_the_protocol_is_told() {
    let server = server();
    let masked = |first: u8, payload: &[u8]| {
        let length = u8::try_from(payload.len()).unwrap();
        [&[first, 0x80 | length, 0, 0, 0, 0][..], payload].concat()
    };
    for (bytes, code) in [
        (vec![0x81, 1, b'x'], 1002),
        (masked(0x80, b"x"), 1002),
        (masked(0xc1, b"x"), 1002),
        (masked(0x83, b"x"), 1002),
        (masked(0x09, b"cut ping"), 1002),
        (masked(0x88, &[3]), 1002),
        (masked(0x88, &[3, 0xed]), 1002),
        (masked(0x81, &[0xff]), 1007),
        (masked(0x81, &[0xc3]), 1007),
        // 32 MiB and a byte.
        (vec![0x82, 0xff, 0, 0, 0, 0, 2, 0, 0, 1, 0, 0, 0, 0], 1009),
    ] {
        let mut socket = client(&server, "/echo");
        socket.get_mut().write_all(&bytes).unwrap();
        let closed = next_close(&mut socket).map(|(code, _)| code);
        assert_eq!(closed, Some(code), "{bytes:02x?}");
    }
}

#[test]
fn only_a_whole_handshake_becomes_a_socket() {
    let server = server();
    let plain = server.get("/echo");
    assert_eq!(plain.status, 500);
    assert!(
        plain.body.contains("did not contain the header"),
        "{}",
        plain.body
    );
    for (missing, status) in [("Upgrade", 500), ("Sec-WebSocket-Key", 500), ("", 101)] {
        let mut stream = dial(&server);
        let headers: String = [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Extensions", "permessage-deflate"),
            ("Sec-WebSocket-Protocol", "b, a"),
        ]
        .iter()
        .filter(|(name, _)| *name != missing)
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
        write!(stream, "GET /echo HTTP/1.1\r\nHost: x\r\n{headers}\r\n").unwrap();
        let mut answer = Vec::new();
        while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
            let mut piece = [0; 512];
            let count = stream.read(&mut piece).unwrap();
            answer.extend_from_slice(&piece[..count]);
        }
        let answer = String::from_utf8_lossy(&answer).to_lowercase();
        assert!(
            answer.starts_with(&format!("http/1.1 {status} ")),
            "{missing}: {answer}"
        );
        if status == 101 {
            // The key and its answer are those of RFC 6455.
            assert!(
                answer.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="),
                "{answer}"
            );
            assert!(answer.contains("sec-websocket-protocol: b\r\n"), "{answer}");
            assert!(!answer.contains("extensions"), "{answer}");
        }
    }
}

#[test]
fn a_host_that_stops_asks_its_clients_to_go() {
    let mut server = server();
    let mut socket = client(&server, "/echo");
    socket.send(Message::text("here")).unwrap();
    socket.read().unwrap();
    server.terminate();
    assert_eq!(next_close(&mut socket), Some((1001, String::new())));
    // The answer leaves with the next look.
    while socket.read().is_ok() {}
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn a_socket_keeps_its_worker_and_lets_it_go() {
    let arguments = [&LOOPBACK[..], &["--idle-seconds", "1"]].concat();
    let server = Server::start_observed(&["sockets"], &arguments);
    let mut socket = client(&server, "/child");
    std::thread::sleep(Duration::from_millis(2500));
    socket.send(Message::text("still here")).unwrap();
    assert_eq!(socket.read().unwrap(), Message::text("still here"));
    let child = *server.guests().iter().map(|(_, pid)| pid).max().unwrap();
    socket.close(None).unwrap();
    while socket.read().is_ok() {}
    wait_until("the dynamic Worker's end", || !mayfly_tests::exists(child));
}

#[test]
fn a_worker_talks_to_servers() {
    let echo = servers::tcp(servers::echo);
    let closed = servers::closed_port();
    let websocket = servers::tcp(servers::websocket);
    let server = server();
    for (case, port) in [
        ("tcp_echo", echo),
        ("tcp_nobody_listens", closed),
        ("egress_is_judged", websocket),
        ("websocket_client", websocket),
        ("websocket_of_a_fetch", websocket),
        ("websocket_refused_by_the_server", websocket),
        ("websocket_cut_by_the_server", websocket),
        ("websocket_message_too_large", websocket),
    ] {
        server.case(&format!("{case}?port={port}"));
    }
}

#[test]
fn a_worker_speaks_tls() {
    let tls = servers::Tls::new();
    let (at_once, later) = (tls.at_once(), tls.later());
    let trusted = [("SSL_CERT_FILE", tls.certificate())];
    let server = Server::start_in(&["sockets"], &LOOPBACK, &trusted);
    for (case, port) in [
        ("tls_echo", at_once),
        ("tls_checks_the_name", at_once),
        ("starttls", later),
        ("starttls_that_never_comes", later),
    ] {
        server.case(&format!("{case}?port={port}"));
    }
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    let port = servers::Tls::new().at_once();
    let reply = server().get(&format!("/tls_echo?port={port}"));
    assert_eq!(reply.status, 500);
    assert!(
        reply.body.contains("TLS with localhost failed"),
        "{}",
        reply.body
    );
}
