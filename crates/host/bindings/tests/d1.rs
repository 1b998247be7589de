//! Bounds of D1: what one Worker does to a database is in nobody else's way.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{PATIENCE, bytes, request};
use mayfly_bindings::d1::{D1Service, Line, QUEUE_MAX};
use mayfly_exchange::{Body, Request, Response, Service};
use mayfly_store::Store;
use mayfly_store::d1::D1;
use serde_json::{Value, json};
use tokio::time::timeout;

fn line() -> Arc<Line> {
    let store = Store::ephemeral().unwrap();
    Line::new(D1::open(&store, "shared").unwrap())
}

fn question(sql: &str) -> Request {
    let body = json!([{ "sql": sql }]).to_string();
    request(
        "POST",
        "https://binding/query",
        Body::Full(Bytes::from(body)),
    )
}

async fn ask(service: &D1Service, sql: &str) -> Response {
    timeout(PATIENCE, service.fetch(question(sql)))
        .await
        .unwrap()
        .unwrap()
}

async fn read(response: Response) -> Value {
    serde_json::from_slice(&bytes(response.body).await.unwrap()).unwrap()
}

/// Twenty million bytes.
const LARGE: &str = "WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < 20)
    SELECT hex(zeroblob(500000)) FROM n";

#[tokio::test]
async fn what_one_binding_leaves_unread_is_in_no_other_bindings_way() {
    let line = line();
    let (greedy, other) = (D1Service::new(line.clone()), D1Service::new(line));
    let mut unread = Vec::new();
    for _ in 0..3 {
        unread.push(ask(&greedy, LARGE).await);
    }
    let waits = greedy.fetch(question("SELECT 1 AS a"));
    let mut waits = Box::pin(timeout(PATIENCE, waits));
    let soon = timeout(Duration::from_millis(300), &mut waits).await;
    assert!(soon.is_err(), "it had room");
    let answer = read(ask(&other, "SELECT 1 AS a").await).await;
    assert_eq!(answer["results"][0]["rows"], json!([[1]]));
    // One that is read and one that nobody wants give their room back.
    let whole = read(unread.pop().unwrap()).await;
    let rows = whole["results"][0]["rows"].as_array().unwrap();
    assert_eq!(
        (rows.len(), rows[19][0].as_str().unwrap().len()),
        (20, 1_000_000)
    );
    drop(unread);
    let answer = read(waits.await.unwrap().unwrap()).await;
    assert_eq!(answer["results"][0]["columns"], json!(["a"]));
}

#[tokio::test]
async fn a_crowd_is_refused_and_hears_why() {
    let service = Arc::new(D1Service::new(line()));
    let busy = "WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < 5000000)
        SELECT max(v) FROM n";
    let asked = |sql: &'static str| {
        let service = service.clone();
        tokio::spawn(async move { read(ask(&service, sql).await).await })
    };
    let first = asked(busy);
    let mut crowd: Vec<_> = (0..QUEUE_MAX + 10).map(|_| asked("SELECT 1")).collect();
    let last = crowd.pop().unwrap().await.unwrap();
    assert_eq!(
        last["error"],
        "D1 DB is overloaded. Too many requests queued."
    );
    assert_eq!(
        first.await.unwrap()["results"][0]["rows"],
        json!([[5_000_000]])
    );
    let mut answered = 0;
    for one in crowd {
        let one = one.await.unwrap();
        answered += usize::from(one["results"][0]["rows"] == json!([[1]]));
    }
    assert!(
        (QUEUE_MAX - 1..=QUEUE_MAX + 1).contains(&answered),
        "{answered}"
    );
}

#[tokio::test]
async fn what_nobody_of_ours_would_ask_is_an_answer_too() {
    let service = D1Service::new(line());
    let mut wrong = question("SELECT 1");
    wrong.head.method = "GET".to_owned();
    assert_eq!(service.fetch(wrong).await.unwrap().head.status, 405);
    let mut wrong = question("SELECT 1");
    wrong.body = Body::Full(Bytes::from_static(b"[{]"));
    let answer = read(service.fetch(wrong).await.unwrap()).await;
    assert!(
        answer["error"]
            .as_str()
            .unwrap()
            .starts_with("malformed request"),
        "{answer}"
    );
    let answer = read(ask(&service, "SELECT missing").await).await;
    assert_eq!(
        (&answer["at"], &answer["error"]),
        (
            &json!(0),
            &json!("no such column: missing at offset 7: SQLITE_ERROR")
        )
    );
}
