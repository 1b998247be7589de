//! A D1 database as a service: `platform/cloudflare/d1.ts` asks, `mayfly-store` keeps.
//!
//! `POST /query` and `POST /exec` take a list of statements with what is bound to them, as JSON; each list is
//! one transaction. SQL that fails is an answer like any other (`error`, and `at` which statement), so that
//! its words reach the caller whatever is in them. [`answer`] writes what rows become.
//!
//! Invariants: a database keeps one thread busy at most; what waits for it is bounded in number, in time
//! and in bytes; what one binding's Worker does not read is in no other binding's way.

mod answer;
mod asked;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use mayfly_exchange::{Body, BodyReader, BoxFuture, Failure, Request, Response, Service, Source};
use mayfly_store::d1::{Blank, D1, Query};
use mayfly_wire::bounds::{CHUNK_BYTES_MAX, INLINE_BODY_BYTES_MAX};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::answer::{BodyError, Refusal, head, internal, json, read_body};
pub use answer::described;
use answer::{Counting, Writing};

/// Statements of one batch.
pub const BATCH_MAX: usize = 10_000;
/// Values bound to one statement, as documented.
pub const PARAMS_MAX: usize = 100;
/// Bytes of one answer, as documented of a query's result.
pub const RESULT_BYTES_MAX: usize = 50_000_000;
/// Bytes of one question: a BLOB of 2 MB takes up to 8 MB in it.
pub const QUESTION_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Questions of a database that wait their turn.
pub const QUEUE_MAX: usize = 1000;
/// How long one waits.
pub const QUEUE_WAIT: Duration = Duration::from_secs(30);
/// Questions of one binding that arrive in pieces, until they are answered; further ones wait.
pub const ARRIVING_MAX: usize = 8;
/// Time for a question to arrive.
const BODY_WAIT: Duration = Duration::from_secs(30);
/// Answers of the largest size that a binding's Worker may leave unread; one under way counts as that.
const UNREAD_MAX: usize = 2;
/// A semaphore counts 32 bits, so room for answers is counted in these.
const ROOM_BYTES: usize = 1024;
/// What the largest answer takes.
const ROOM_OF_ONE: u32 = (RESULT_BYTES_MAX / ROOM_BYTES + 1) as u32;

const TOO_MANY: &str = "D1 DB is overloaded. Too many requests queued.";
const TOO_LONG: &str = "D1 DB is overloaded. Requests queued for too long.";

/// A database that all its bindings share.
#[derive(Debug)]
pub struct Line {
    database: D1,
    /// One question runs at a time.
    turn: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

/// See the file's head. Each binding has its own.
#[derive(Debug)]
pub struct D1Service {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    line: Arc<Line>,
    arriving: Semaphore,
    room: Arc<Semaphore>,
}

/// Why there is no answer from the database.
enum Wrong {
    /// For the caller, as if SQLite had said it.
    Said(String),
    Refused(Refusal),
    Failed(Failure),
}

/// What is wanted of rows.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    Rows,
    Counts,
}

impl Line {
    /// The database with nobody waiting.
    pub fn new(database: D1) -> Arc<Self> {
        Arc::new(Self {
            database,
            turn: Arc::new(Semaphore::new(1)),
            places: Arc::new(Semaphore::new(QUEUE_MAX)),
        })
    }
}

impl D1Service {
    /// A binding to the database of `line`.
    pub fn new(line: Arc<Line>) -> Self {
        Self {
            inner: Arc::new(Inner {
                line,
                arriving: Semaphore::new(ARRIVING_MAX),
                room: Arc::new(Semaphore::new(UNREAD_MAX * ROOM_OF_ONE as usize)),
            }),
        }
    }
}

impl Service for D1Service {
    fn fetch(&self, request: Request) -> BoxFuture<Result<Response, Failure>> {
        let inner = self.inner.clone();
        Box::pin(async move {
            match inner.answer(request).await {
                Ok(response) => Ok(response),
                Err(Wrong::Said(error)) => Ok(json(&json!({ "error": error }))),
                Err(Wrong::Refused(refusal)) => Ok(refusal.response()),
                Err(Wrong::Failed(failure)) => Err(failure),
            }
        })
    }
}

impl Inner {
    async fn answer(&self, request: Request) -> Result<Response, Wrong> {
        let wanted = wanted(&request)?;
        // The semaphores are never closed.
        let _arriving = match &request.body {
            Body::Stream { .. } => Some(self.arriving.acquire().await),
            _ => None,
        };
        let body = read_body(request.body, QUESTION_BYTES_MAX);
        let body = match timeout(BODY_WAIT, body).await {
            Ok(Ok(body)) => body,
            Ok(Err(BodyError::TooLong)) => return Err(Wrong::Said(too_large())),
            Ok(Err(BodyError::Failed(failure))) => return Err(Wrong::Failed(failure)),
            Err(_) => {
                let why = format!("The body did not arrive within {} s.", BODY_WAIT.as_secs());
                return Err(Wrong::Refused(Refusal::new(408, why)));
            }
        };
        let Ok(place) = self.line.places.clone().try_acquire_owned() else {
            return Err(Wrong::Said(TOO_MANY.to_owned()));
        };
        let queries = asked::queries(&body).map_err(Wrong::Said)?;
        drop(body);
        let waited = timeout(QUEUE_WAIT, async {
            let room = self.room.clone().acquire_many_owned(ROOM_OF_ONE).await;
            (room, self.line.turn.clone().acquire_owned().await)
        });
        let Ok((Ok(room), Ok(turn))) = waited.await else {
            return Err(Wrong::Said(TOO_LONG.to_owned()));
        };
        drop(place);
        let line = self.line.clone();
        // The turn ends with the work, also where nobody waits for it any more.
        let done = tokio::task::spawn_blocking(move || {
            let answered = run(&line.database, &queries, wanted);
            drop(turn);
            answered
        });
        let done = done.await.map_err(|error| {
            Wrong::Failed(internal("a question to a D1 database broke off", &error))
        })?;
        Ok(respond(done.into(), room))
    }
}

fn wanted(request: &Request) -> Result<Wanted, Wrong> {
    let url = url::Url::parse(&request.head.url)
        .map_err(|_| Wrong::Refused(Refusal::new(400, "Invalid URL")))?;
    match (request.head.method.as_str(), url.path()) {
        ("POST", "/query") => Ok(Wanted::Rows),
        ("POST", "/exec") => Ok(Wanted::Counts),
        _ => Err(Wrong::Refused(Refusal::new(405, "Method Not Allowed"))),
    }
}

/// JSON for the platform.
fn run(database: &D1, queries: &[Query], wanted: Wanted) -> Vec<u8> {
    let answered = match wanted {
        Wanted::Rows => {
            let mut writing = Writing::new();
            let ran = database.run(queries, Blank::Refused, &mut writing);
            ran.map(|bookmark| writing.finish(&bookmark))
        }
        Wanted::Counts => {
            let mut counting = Counting::default();
            let ran = database.run(queries, Blank::Skipped, &mut counting);
            ran.map(|_| counting.finish())
        }
    };
    answered.unwrap_or_else(|refused| {
        let error = json!({ "error": refused.message, "at": refused.at });
        error.to_string().into_bytes()
    })
}

fn too_large() -> String {
    format!("the queries of one request are larger than {QUESTION_BYTES_MAX} bytes")
}

/// A short answer goes whole; of a longer one the rest waits here until it is read, in room of its own.
fn respond(bytes: Bytes, mut room: OwnedSemaphorePermit) -> Response {
    let mut head = head(200);
    head.headers
        .push(("content-type".to_owned(), "application/json".to_owned()));
    if bytes.len() <= INLINE_BODY_BYTES_MAX {
        return Response {
            head,
            body: Body::Full(bytes),
        };
    }
    let length = u64::try_from(bytes.len()).ok();
    let needed = bytes.len() / ROOM_BYTES + 1;
    // Whatever it does not need is free again here.
    let room = room.split(needed).unwrap_or(room);
    let unread = Unread { bytes, _room: room };
    Response {
        head,
        body: Body::Stream {
            reader: BodyReader::from_source(unread),
            length,
        },
    }
}

/// An answer that is being read.
#[derive(Debug)]
struct Unread {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl Source for Unread {
    fn poll_piece(&mut self, _cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        if self.bytes.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.bytes.len().min(CHUNK_BYTES_MAX);
        Poll::Ready(Some(Ok(self.bytes.split_to(length))))
    }
}
