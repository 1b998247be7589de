//! WebSockets that the host holds for Durable Objects: between Workers (the cases of
//! `workers/hibernation/index.js`), and with clients of the network while instances and guests go.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

use mayfly_tests::{Server, signal, wait_until};
use serde_json::Value;
use std::net::TcpStream;
use std::time::Duration;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};

const WORKERS: [&str; 1] = ["hibernation"];

/// Nothing here takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

struct Client(WebSocket<TcpStream>);

impl Client {
    fn new(server: &Server, path: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let url = format!("ws://127.0.0.1:{}{path}", server.port());
        Self(tungstenite::client(url, stream).unwrap().0)
    }

    fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).unwrap();
    }

    fn hear(&mut self) -> String {
        self.0.read().unwrap().into_text().unwrap().to_string()
    }

    fn ask(&mut self, text: &str) -> String {
        self.say(text);
        self.hear()
    }

    fn who(&mut self) -> Value {
        serde_json::from_str(&self.ask("who")).unwrap()
    }
}

fn seen(server: &Server, name: &str) -> Value {
    serde_json::from_str(&server.get(&format!("/seen/{name}")).body).unwrap()
}

#[test]
fn every_case() {
    Server::start_with(&WORKERS, &["--ephemeral"]).every_case("/");
}

#[test]
fn every_case_collecting_always() {
    Server::start_with(&WORKERS, &["--ephemeral", "--collect-always"]).every_case("/");
}

#[test]
fn sockets_outlive_an_idle_instance() {
    let server = Server::start_with(&WORKERS, &["--ephemeral", "--object-idle-seconds", "1"]);
    let mut one = Client::new(&server, "/room/sleepy?tag=one");
    let mut two = Client::new(&server, "/room/sleepy?tag=two");
    one.say("keep this text");
    assert_eq!(one.ask("auto ping pong"), "set");
    assert_eq!(two.ask("echo awake"), "awake");
    assert_eq!(two.who()["heard"], 4);
    // The answer to a ping comes from the host and keeps nobody awake.
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(one.ask("ping"), "pong");
    }
    let who = one.who();
    assert_eq!(who["heard"], 1, "a fresh instance: {who}");
    assert_eq!(who["attachment"]["kept"], "this text");
    assert_eq!(who["tags"], serde_json::json!(["one"]));
    assert_eq!(who["sockets"], 2);
    assert_eq!(who["same"], true);
    one.say("tell two woken");
    assert_eq!(two.hear(), "woken");
}

#[test]
fn sockets_outlive_their_guest() {
    let server = Server::start_observed(&WORKERS, &["--ephemeral"]);
    let mut client = Client::new(&server, "/room/killed");
    for round in 0..3 {
        client.say(&format!("keep {round}"));
        assert_eq!(client.ask("echo before"), "before");
        let pid = server.guests_of("hibernation").last().copied().unwrap();
        signal(pid, "KILL");
        // The guest's end may reach the host after the message does: it is lost with the guest then.
        std::thread::sleep(Duration::from_millis(300));
        let who = client.who();
        assert_eq!(who["heard"], 1, "a fresh instance: {who}");
        assert_eq!(who["attachment"]["kept"], round.to_string());
    }
}

#[test]
fn closes_and_losses_are_told() {
    let server = Server::start_with(&WORKERS, &["--ephemeral"]);
    let mut closing = Client::new(&server, "/room/ends");
    assert_eq!(closing.ask("echo x"), "x");
    let frame = CloseFrame {
        code: CloseCode::from(4001),
        reason: "bye".into(),
    };
    closing.0.close(Some(frame)).unwrap();
    let answer = loop {
        match closing.0.read() {
            Ok(Message::Close(Some(frame))) => break u16::from(frame.code),
            Ok(_) => {}
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(answer, 4001);
    let mut vanishing = Client::new(&server, "/room/ends");
    assert_eq!(vanishing.ask("echo y"), "y");
    drop(vanishing);
    wait_until("both ends were told", || {
        let seen = seen(&server, "ends");
        seen["closes"].as_array().map_or(0, Vec::len) == 2 && seen["sockets"] == 0
    });
    let closes = &seen(&server, "ends")["closes"];
    assert_eq!(closes[0]["code"], 4001);
    assert_eq!(closes[0]["clean"], true);
    assert_eq!(closes[1]["code"], 1006);
    assert_eq!(closes[1]["clean"], false);
}

#[test]
fn messages_of_one_socket_come_in_order_and_many_sockets_at_once() {
    let server = Server::start_with(&WORKERS, &["--ephemeral"]);
    let mut clients: Vec<_> = (0..50)
        .map(|n| Client::new(&server, &format!("/room/crowd?tag=t{n}")))
        .collect();
    for client in &mut clients {
        for n in 0..20 {
            client.say(&format!("echo {n}"));
        }
    }
    for client in &mut clients {
        for n in 0..20 {
            assert_eq!(client.hear(), n.to_string());
        }
    }
    clients[0].say("tell t49 hello");
    assert_eq!(clients[49].hear(), "hello");
    let all: Vec<String> = {
        clients[0].say("count");
        clients[1].say("count");
        vec![clients[0].hear(), clients[1].hear()]
    };
    assert!(
        all.contains(&"1".to_owned()) && all.contains(&"2".to_owned()),
        "{all:?}"
    );
}
