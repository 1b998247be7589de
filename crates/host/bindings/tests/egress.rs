//! Where a fetch, a WebSocket and a connection may go: every way to write an address of this machine,
//! redirects included.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod common;

use std::sync::atomic::Ordering;

use common::{connect, get, network, reply, site, text, upgrade};

#[tokio::test]
async fn every_way_to_write_loopback_is_refused() {
    let site = site(|_| async { reply(200, &[], "reached") }).await;
    let port = site.addr.port();
    let network = network(&[]);
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "\u{ff11}27.0.0.1",
        "localhost",
        "LOCALHOST",
        "0.0.0.0",
        "0",
        "[::1]",
        "[::]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
    ] {
        let url = format!("http://{host}:{port}/");
        let errors = [
            get(&network, &url).await.unwrap_err(),
            upgrade(&network, &url).await.unwrap_err(),
            connect(&network, &format!("{host}:{port}"))
                .await
                .unwrap_err(),
        ];
        for error in errors {
            assert!(
                error.message.contains("is refused"),
                "{host}: {}",
                error.message
            );
        }
    }
    assert_eq!(site.connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn private_metadata_and_multicast_addresses_are_refused_by_name() {
    let network = network(&["127.0.0.0/8"]);
    for (host, range) in [
        ("10.0.0.1", "private"),
        ("192.168.0.1", "private"),
        ("169.254.169.254", "cloud metadata"),
        ("[fd00:ec2::254]", "private"),
        ("224.0.0.1", "multicast"),
        ("[fe80::1]", "link-local"),
    ] {
        for scheme in ["http", "https"] {
            let error = get(&network, &format!("{scheme}://{host}/"))
                .await
                .unwrap_err();
            let bare = host.trim_matches(['[', ']']);
            let expect = format!("egress to {bare} is refused: {bare} is a {range} address");
            assert!(error.message.contains(&expect), "{}", error.message);
            let url = format!("{scheme}://{host}/");
            let error = upgrade(&network, &url).await.unwrap_err();
            assert!(error.message.contains(&expect), "{}", error.message);
            let error = connect(&network, &format!("{host}:22")).await.unwrap_err();
            assert!(error.message.contains(&expect), "{}", error.message);
        }
    }
}

#[tokio::test]
async fn an_address_that_is_none_is_refused() {
    let network = network(&["*"]);
    for authority in [
        "",
        "localhost",
        "localhost:",
        "localhost:x",
        "localhost:0",
        "localhost:65536",
        ":80",
        "::1:80",
        "a b:80",
        "user@localhost:80",
    ] {
        let error = connect(&network, authority).await.unwrap_err();
        assert!(
            error.message.contains("is no address"),
            "{authority}: {}",
            error.message
        );
    }
}

#[tokio::test]
async fn a_redirect_is_judged_like_a_request() {
    let site = site(|request| async move {
        let port = request.headers()["host"]
            .to_str()
            .unwrap()
            .split_once(':')
            .unwrap()
            .1
            .to_owned();
        let to = format!("http://127.0.0.2:{port}/");
        reply(302, &[("location", &to)], "")
    })
    .await;
    let network = network(&["127.0.0.1"]);
    for redirected in [
        get(&network, &site.url("/")).await,
        upgrade(&network, &site.url("/")).await,
    ] {
        let error = redirected.unwrap_err();
        assert!(
            error.message.contains("egress to 127.0.0.2 is refused"),
            "{}",
            error.message
        );
    }
}

#[tokio::test]
async fn rules_open_what_they_name_and_nothing_else() {
    let site = site(|_| async { reply(200, &[], "reached") }).await;
    let port = site.addr.port();
    for (rule, open) in [
        ("127.0.0.0/8".to_owned(), true),
        (format!("127.0.0.1:{port}"), true),
        (format!("localhost:{port}"), true),
        ("localhost".to_owned(), true),
        ("127.0.0.1:1".to_owned(), false),
        ("10.0.0.0/8".to_owned(), false),
        ("elsewhere.test".to_owned(), false),
    ] {
        let fetched = get(&network(&[&rule]), &format!("http://localhost:{port}/")).await;
        match fetched {
            Ok(response) => assert_eq!(text(response.body).await, "reached"),
            Err(error) => assert!(
                !open && error.message.contains("localhost"),
                "{rule}: {}",
                error.message
            ),
        }
        let connected = connect(&network(&[&rule]), &format!("localhost:{port}")).await;
        assert_eq!(connected.is_ok(), open, "{rule}");
    }
}
