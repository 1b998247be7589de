//! The producing end of a queue as a service: `platform/cloudflare/queue-binding.ts` asks, `mayfly-store`
//! keeps. Who consumes it is `mayfly`'s affair.
//!
//! `POST /send` takes a list of messages as JSON, `POST /metrics` says what waits. Limits are those of the
//! Queues documentation.
//!
//! Invariant: the messages of one request are all in the queue or none is, and have reached the disk when it
//! is answered.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mayfly_exchange::{BoxFuture, Failure, Request, Response, Service};
use mayfly_store::StoreError;
use mayfly_store::queue::{Backlog, New, Queue};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::answer::{BodyError, Refusal, internal, json, read_body};

/// Bytes of a message's body.
pub const MESSAGE_BYTES_MAX: usize = 128 * 1000;
/// Messages of one batch that is sent.
pub const BATCH_MAX: usize = 100;
/// Bytes of all bodies of one batch that is sent.
pub const BATCH_BYTES_MAX: usize = 256 * 1000;
/// Seconds that a message may be delayed.
pub const DELAY_SECONDS_MAX: u32 = 86_400;
/// Bytes of all messages that wait in a queue.
pub const BACKLOG_BYTES_MAX: u64 = 25 * 1000 * 1000 * 1000;
/// Bytes of a request: bodies in base64, and what is said of each.
const QUESTION_BYTES_MAX: usize = BATCH_BYTES_MAX * 4 / 3 + BATCH_MAX * 256;

/// A queue that its two ends share.
#[derive(Debug)]
pub struct Line {
    /// What waits.
    pub queue: Queue,
    /// Told when something was sent.
    pub sent: Notify,
}

/// See the file's head.
#[derive(Debug)]
pub struct QueueService {
    line: Arc<Line>,
    delay_seconds: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Sent {
    messages: Vec<SentMessage>,
    delay_seconds: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SentMessage {
    kind: String,
    body: String,
    delay_seconds: Option<u32>,
}

enum Wrong {
    Refused(Refusal),
    Failed(Failure),
}

impl From<StoreError> for Wrong {
    fn from(error: StoreError) -> Self {
        Self::Failed(internal("the queue cannot be used", &error))
    }
}

impl Line {
    /// The queue with nobody waiting.
    pub fn new(queue: Queue) -> Arc<Self> {
        Arc::new(Self {
            queue,
            sent: Notify::new(),
        })
    }
}

impl QueueService {
    /// Sends to `line`; a message that says nothing else waits `delay_seconds`.
    pub fn new(line: Arc<Line>, delay_seconds: u32) -> Self {
        Self {
            line,
            delay_seconds,
        }
    }
}

impl Service for QueueService {
    fn fetch(&self, request: Request) -> BoxFuture<Result<Response, Failure>> {
        let (line, delay) = (self.line.clone(), self.delay_seconds);
        Box::pin(async move {
            match answer(line, delay, request).await {
                Ok(value) => Ok(json(&value)),
                Err(Wrong::Refused(refusal)) => Ok(refusal.response()),
                Err(Wrong::Failed(failure)) => Err(failure),
            }
        })
    }
}

async fn answer(line: Arc<Line>, delay: u32, request: Request) -> Result<Value, Wrong> {
    let refuse = |status, why: String| Wrong::Refused(Refusal::new(status, why));
    let url =
        url::Url::parse(&request.head.url).map_err(|_| refuse(400, "Invalid URL".to_owned()))?;
    let messages = match (request.head.method.as_str(), url.path()) {
        ("POST", "/metrics") => Vec::new(),
        ("POST", "/send") => match read_body(request.body, QUESTION_BYTES_MAX).await {
            Ok(body) => checked(&body, delay).map_err(Wrong::Refused)?,
            Err(BodyError::TooLong) => return Err(Wrong::Refused(too_large())),
            Err(BodyError::Failed(failure)) => return Err(Wrong::Failed(failure)),
        },
        _ => return Err(refuse(405, "Method Not Allowed".to_owned())),
    };
    let sends = !messages.is_empty();
    let at = line.clone();
    let done = tokio::task::spawn_blocking(move || {
        let before = at.queue.backlog()?;
        if sends && before.bytes > BACKLOG_BYTES_MAX {
            return Ok(None);
        }
        if sends {
            at.queue.send(&messages, now_ms())?;
        }
        at.queue.backlog().map(Some)
    });
    let done = done
        .await
        .map_err(|error| Wrong::Failed(internal("a request to a queue broke off", &error)))?;
    let backlog = done?.ok_or_else(|| {
        let why = format!("The queue is full: {BACKLOG_BYTES_MAX} bytes wait in it");
        refuse(429, why)
    })?;
    if sends {
        line.sent.notify_waiters();
    }
    Ok(metrics(&backlog))
}

/// What waits, as JSON.
pub fn metrics(backlog: &Backlog) -> Value {
    let mut metrics = json!({
        "backlogCount": backlog.count,
        "backlogBytes": backlog.bytes,
    });
    if let Some(oldest) = backlog.oldest_ms {
        metrics["oldestMessageTimestamp"] = oldest.into();
    }
    metrics
}

fn too_large() -> Refusal {
    let why = format!("A batch of messages exceeds {BATCH_BYTES_MAX} bytes");
    Refusal::new(413, why)
}

fn checked(body: &[u8], delay: u32) -> Result<Vec<New>, Refusal> {
    let sent: Sent = serde_json::from_slice(body)
        .map_err(|error| Refusal::new(400, format!("Invalid messages: {error}")))?;
    if sent.messages.is_empty() || sent.messages.len() > BATCH_MAX {
        let why = format!(
            "A batch has 1 to {BATCH_MAX} messages, not {}",
            sent.messages.len()
        );
        return Err(Refusal::new(413, why));
    }
    let mut all = 0;
    let mut messages = Vec::with_capacity(sent.messages.len());
    for message in sent.messages {
        let body = BASE64_STANDARD
            .decode(&message.body)
            .map_err(|_| Refusal::new(400, "Invalid base64"))?;
        if body.len() > MESSAGE_BYTES_MAX {
            let why = format!(
                "A message of {} bytes exceeds the limit of {MESSAGE_BYTES_MAX}",
                body.len()
            );
            return Err(Refusal::new(413, why));
        }
        all += body.len();
        let seconds = message
            .delay_seconds
            .or(sent.delay_seconds)
            .unwrap_or(delay);
        if seconds > DELAY_SECONDS_MAX {
            let why =
                format!("A delay of {seconds} seconds exceeds the limit of {DELAY_SECONDS_MAX}");
            return Err(Refusal::new(400, why));
        }
        if !["json", "text", "bytes", "v8"].contains(&message.kind.as_str()) {
            return Err(Refusal::new(400, "Unsupported queue message content type"));
        }
        messages.push(New {
            kind: message.kind,
            body,
            delay_ms: i64::from(seconds) * 1000,
        });
    }
    if all > BATCH_BYTES_MAX {
        return Err(too_large());
    }
    Ok(messages)
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}
