//! What a guest, or a server of its own, can make the host hold: connections, windows, bodies that never
//! come whole.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use async_compression::Level;
use async_compression::tokio::write::ZstdEncoder;
use async_compression::zstd::CParameter;
use bytes::Bytes;
use common::{PATIENCE, bytes, get, network, reply, request, site, text};
use mayfly_bindings::kv::{AT_ONCE_MAX, KvService};
use mayfly_bindings::{Egress, Network, NetworkOptions};
use mayfly_exchange::{Body, Connect, Service, body_channel, duplex};
use mayfly_store::Store;
use mayfly_store::kv::Kv;
use mayfly_wire::Secure;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

#[tokio::test]
async fn connections_are_bounded_and_their_places_come_back() {
    let site = site(|_| async { reply(200, &[], "reached") }).await;
    let network = Network::new(NetworkOptions {
        egress: Egress::new(vec!["127.0.0.1".parse().unwrap()]),
        open_max: Some(2),
        ..NetworkOptions::default()
    })
    .unwrap();
    let open = async || {
        let (host, ours) = duplex();
        let asked = network.connect(Connect {
            authority: site.addr.to_string(),
            secure: Secure::Off {},
            socket: host,
        });
        timeout(PATIENCE, asked).await.unwrap().map(|_| ours)
    };
    let first = open().await.unwrap();
    let _second = open().await.unwrap();
    let too_many = "too many connections are open: the limit is 2";
    assert_eq!(open().await.unwrap_err().message, too_many);
    let refused = get(&network, &site.url("/")).await.unwrap_err();
    assert!(refused.message.contains(too_many), "{}", refused.message);
    drop(first);
    let again = async {
        while open().await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, again).await.unwrap();
}

#[tokio::test]
async fn an_answer_may_not_ask_for_more_memory_than_the_standard_lets_it() {
    async fn packed(window_log: u32) -> Bytes {
        let window = [CParameter::window_log(window_log)];
        let mut encoder = ZstdEncoder::with_quality_and_params(Vec::new(), Level::Default, &window);
        encoder.write_all(b"small").await.unwrap();
        encoder.shutdown().await.unwrap();
        encoder.into_inner().into()
    }
    let (fits, asks_too_much) = (packed(23).await, packed(27).await);
    let site = site(move |request| {
        let body = match request.uri().path() {
            "/fits" => fits.clone(),
            _ => asks_too_much.clone(),
        };
        async move { reply(200, &[("content-encoding", "zstd")], body) }
    })
    .await;
    let network = network(&["127.0.0.1"]);
    let answer = get(&network, &site.url("/fits")).await.unwrap();
    assert_eq!(text(answer.body).await, "small");
    let answer = get(&network, &site.url("/more")).await.unwrap();
    let error = bytes(answer.body).await.unwrap_err();
    assert!(
        error.message.contains("cannot be decoded"),
        "{}",
        error.message
    );
}

#[tokio::test]
async fn writers_that_never_end_are_in_no_readers_way() {
    let store = Store::ephemeral().unwrap();
    let kv = Arc::new(KvService::new(Kv::open(&store, "shared").unwrap()));
    let mut writers = Vec::new();
    for n in 0..2 * AT_ONCE_MAX {
        let (writer, reader) = body_channel();
        let body = Body::Stream {
            reader,
            length: None,
        };
        let put = request("PUT", &format!("http://kv/values/{n}"), body);
        let kv = kv.clone();
        writers.push((writer, tokio::spawn(async move { kv.fetch(put).await })));
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let read = kv.fetch(request("GET", "http://kv/values/missing", Body::Empty));
    let answer = timeout(PATIENCE, read).await.unwrap().unwrap();
    assert_eq!(answer.head.status, 404);
    for (writer, _) in &writers {
        writer.write(Bytes::from_static(b"x")).await.unwrap();
    }
    for (writer, put) in writers {
        writer.finish().await;
        assert_eq!(put.await.unwrap().unwrap().head.status, 200);
    }
}
