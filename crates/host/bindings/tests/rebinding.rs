//! The egress matrix as a hostile resolver sees it: whatever a name resolves to, and however often
//! that changes, no connection leaves for an address that was not judged.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod common;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use common::{get, reply, site, text};
use mayfly_bindings::{Egress, Network, NetworkOptions, Resolve};
use mayfly_exchange::BoxFuture;

/// Answers by turns, and counts how often it was asked.
#[derive(Debug, Default)]
struct Changing {
    answers: Mutex<Vec<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Resolve for Changing {
    fn resolve(&self, _host: &str, port: u16) -> BoxFuture<io::Result<Vec<SocketAddr>>> {
        let turn = self.asked.fetch_add(1, Ordering::SeqCst);
        let answers = self.answers.lock().unwrap();
        let addresses = answers[turn.min(answers.len() - 1)].clone();
        let with_port = move |address| SocketAddr::new(address, port);
        Box::pin(async move { Ok(addresses.into_iter().map(with_port).collect()) })
    }
}

fn resolver(answers: &[&[&str]]) -> Arc<Changing> {
    let parse = |answer: &&[&str]| answer.iter().map(|text| text.parse().unwrap()).collect();
    Arc::new(Changing {
        answers: Mutex::new(answers.iter().map(parse).collect()),
        asked: AtomicUsize::new(0),
    })
}

fn network(allow: &[&str], resolver: Arc<Changing>) -> Network {
    let allow = allow.iter().map(|rule| rule.parse().unwrap()).collect();
    Network::new(NetworkOptions {
        egress: Egress::new(allow),
        resolver: Some(resolver),
        ..NetworkOptions::default()
    })
    .unwrap()
}

#[tokio::test]
async fn a_name_that_resolves_to_a_special_address_is_refused_in_every_form() {
    let site = site(|_| async { reply(200, &[], "reached") }).await;
    let port = site.addr.port();
    let mut printed = Vec::new();
    for (address, range) in [
        ("127.0.0.1", "loopback"),
        ("127.8.8.8", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("10.0.0.1", "private"),
        ("172.16.0.1", "private"),
        ("192.168.0.1", "private"),
        ("169.254.169.254", "cloud metadata"),
        ("169.254.170.2", "cloud metadata"),
        ("100.100.100.200", "cloud metadata"),
        ("169.254.0.1", "link-local"),
        ("100.64.0.1", "shared address space"),
        ("224.0.0.1", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("240.0.0.1", "reserved"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "IPv4-mapped"),
        ("::ffff:8.8.8.8", "IPv4-mapped"),
        ("::127.0.0.1", "IPv4-compatible"),
        ("64:ff9b::127.0.0.1", "IPv4 translation"),
        ("64:ff9b:1::1", "IPv4 translation"),
        ("2002:7f00:1::", "6to4"),
        ("2001::1", "protocol assignments"),
        ("fc00::1", "private"),
        ("fd00:ec2::254", "private"),
        ("fe80::1", "link-local"),
        ("fec0::1", "site-local"),
        ("ff02::1", "multicast"),
        ("4000::1", "unassigned"),
    ] {
        for scheme in ["http", "https"] {
            let network = network(&[], resolver(&[&[address]]));
            let url = format!("{scheme}://innocent.test:{port}/");
            let error = get(&network, &url).await.unwrap_err();
            let address: IpAddr = address.parse().unwrap();
            let expect =
                format!("egress to innocent.test is refused: {address} is a {range} address");
            assert!(error.message.contains(&expect), "{}", error.message);
        }
        printed.push(address);
    }
    println!("refused: {}", printed.join(", "));
    assert_eq!(site.connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_name_is_resolved_once_for_each_connection_and_judged_each_time() {
    let close = [("connection", "close")];
    let site = site(move |_| async move { reply(200, &close, "reached") }).await;
    let port = site.addr.port();
    // Allowed the first time, something else ever after.
    let changing = resolver(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let network = network(&["127.0.0.1"], changing.clone());
    let url = format!("http://rebinding.test:{port}/");
    let first = get(&network, &url).await.unwrap();
    assert_eq!(text(first.body).await, "reached");
    assert_eq!(changing.asked.load(Ordering::SeqCst), 1);
    for round in 2..5 {
        let error = get(&network, &url).await.unwrap_err();
        let expect = "egress to rebinding.test is refused: 127.0.0.2 is a loopback address";
        assert!(error.message.contains(expect), "{}", error.message);
        assert_eq!(changing.asked.load(Ordering::SeqCst), round);
    }
    assert_eq!(site.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn among_several_addresses_only_the_allowed_are_tried() {
    let site = site(|_| async { reply(200, &[], "reached") }).await;
    let port = site.addr.port();
    let mixed = resolver(&[&["127.0.0.2", "::1", "127.0.0.1", "10.0.0.1"]]);
    let network = network(&["127.0.0.1"], mixed);
    let answer = get(&network, &format!("http://mixed.test:{port}/"))
        .await
        .unwrap();
    assert_eq!(text(answer.body).await, "reached");
    assert_eq!(site.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_redirect_to_a_name_is_resolved_and_judged_anew() {
    let site = site(|request| async move {
        match request.uri().path() {
            "/there" => reply(200, &[], "reached"),
            _ => {
                let port = request.headers()["host"].to_str().unwrap();
                let port = port.rsplit(':').next().unwrap().to_owned();
                let to = format!("http://second.test:{port}/there");
                reply(307, &[("location", &to), ("connection", "close")], "")
            }
        }
    })
    .await;
    let url = format!("http://first.test:{}/", site.addr.port());
    for (second, reached) in [
        ("127.0.0.1", true),
        ("169.254.169.254", false),
        ("::1", false),
    ] {
        let network = network(&["127.0.0.1"], resolver(&[&["127.0.0.1"], &[second]]));
        match get(&network, &url).await {
            Ok(answer) => assert!(reached && text(answer.body).await == "reached", "{second}"),
            Err(error) => assert!(
                !reached && error.message.contains("egress to second.test is refused"),
                "{second}: {}",
                error.message
            ),
        }
    }
}
