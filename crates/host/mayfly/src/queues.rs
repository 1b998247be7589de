//! Consumers of queues: batches of what waits to a Worker's `queue()`.
//!
//! A batch is full, or its first message has waited as long as the configuration says. What the handler said
//! of each message decides; a handler that throws, or a Worker that ends, has said that all are to be
//! tried again. A message that failed too often goes to the dead letter queue, or is dropped with a warning.
//!
//! Invariant: a message leaves its queue only after its handler has returned, so a host that ends in between
//! gives it again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mayfly_bindings::queue::{Line, metrics};
use mayfly_config::QueueConsumer;
use mayfly_store::StoreError;
use mayfly_store::queue::{Message, New, Settled};
use mayfly_supervisor::{Observer as _, Supervisor};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::logs::Printer;
use crate::props;

/// Batches of one consumer at work at once, where the configuration says nothing.
const CONCURRENCY: u32 = 10;
/// How long a consumer sleeps at most before it looks again: the clock may have been set.
const LOOK: Duration = Duration::from_secs(30);
/// How long it waits after the disk has failed.
const FAILED: Duration = Duration::from_secs(1);

/// A configured consumer and its queues.
#[derive(Debug, Clone)]
pub struct Consumer {
    /// The Worker.
    pub worker: String,
    /// What the configuration says.
    pub config: QueueConsumer,
    /// What it consumes.
    pub line: Arc<Line>,
    /// Where messages go that failed too often.
    pub dead: Option<Arc<Line>>,
}

/// Delivers for as long as the set lives.
pub fn run(
    consumers: Vec<Consumer>,
    supervisor: &Arc<Supervisor>,
    printer: &Arc<Printer>,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for consumer in consumers {
        tasks.spawn(follow(consumer, supervisor.clone(), printer.clone()));
    }
    tasks
}

async fn follow(consumer: Consumer, supervisor: Arc<Supervisor>, printer: Arc<Printer>) {
    let at_once = consumer.config.max_concurrency.unwrap_or(CONCURRENCY);
    let places = Arc::new(Semaphore::new(at_once as usize));
    let mut batches = JoinSet::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let batch = match gather(&consumer).await {
            Ok(batch) => batch,
            Err(error) => {
                tracing::error!(%error, queue = consumer.config.queue, "a queue cannot be read");
                tokio::time::sleep(FAILED).await;
                continue;
            }
        };
        let (consumer, supervisor, printer) =
            (consumer.clone(), supervisor.clone(), printer.clone());
        batches.spawn(async move {
            deliver(&consumer, batch, &supervisor, &printer).await;
            drop(place);
        });
        while batches.try_join_next().is_some() {}
    }
}

/// Waits until a batch is full or its first message has waited long enough.
async fn gather(consumer: &Consumer) -> Result<Vec<Message>, StoreError> {
    let most = consumer.config.max_batch_size as usize;
    let patience = Duration::from_secs(u64::from(consumer.config.max_batch_timeout));
    let mut since = None;
    loop {
        // Before the look, so that nothing that is sent meanwhile goes unheard.
        let sent = consumer.line.sent.notified();
        let now = now_ms();
        let (count, next) = blocking(consumer, move |line| line.queue.due(most, now)).await?;
        let first = match count {
            0 => None,
            _ => Some(*since.get_or_insert_with(tokio::time::Instant::now)),
        };
        if count == 0 {
            since = None;
        }
        if first.is_some_and(|first| count >= most || first.elapsed() >= patience) {
            let batch = blocking(consumer, move |line| line.queue.take(most, now_ms())).await?;
            if !batch.is_empty() {
                return Ok(batch);
            }
            since = None;
            continue;
        }
        let due = next.map(|next| u64::try_from(next.saturating_sub(now)).unwrap_or(0));
        let mut wait = due.map_or(LOOK, |ms| LOOK.min(Duration::from_millis(ms.max(1))));
        if let Some(first) = first {
            wait = wait.min(patience.saturating_sub(first.elapsed()));
        }
        tokio::select! {
            () = sent => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn deliver(
    consumer: &Consumer,
    batch: Vec<Message>,
    supervisor: &Supervisor,
    printer: &Printer,
) {
    let backlog = blocking(consumer, |line| line.queue.backlog()).await;
    let question = batch_json(&batch, backlog.map(|backlog| metrics(&backlog)).ok());
    let payload = props::text(&question.to_string());
    let queue = &consumer.config.queue;
    let messages = u32::try_from(batch.len()).unwrap_or(u32::MAX);
    let answer = supervisor
        .queue(&consumer.worker, queue, messages, payload)
        .await;
    let answer = match answer {
        Ok(bytes) => props::read_text(&bytes)
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or(Value::Null),
        Err(failure) => {
            printer.exception(&consumer.worker, &failure);
            Value::Null
        }
    };
    let verdict = judge(&consumer.config, &batch, &answer, now_ms());
    settle(consumer, batch, verdict).await;
}

/// What becomes of each message.
#[derive(Debug, Default, PartialEq, Eq)]
struct Verdict {
    settled: Settled,
    /// Places in the batch of those that failed too often.
    dead: Vec<usize>,
}

/// An answer that says nothing is one of a handler that failed.
fn judge(config: &QueueConsumer, batch: &[Message], answer: &Value, now: i64) -> Verdict {
    let ok = answer["outcome"] == "ok";
    let acked: Vec<&str> = answer["explicitAcks"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let retried: HashMap<&str, Option<u64>> = answer["retryMessages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|entry| Some((entry["msgId"].as_str()?, entry["delaySeconds"].as_u64())))
        .collect();
    let all = &answer["retryBatch"];
    let retry_all = all["retry"] == true || !ok;
    let ack_all = answer["ackAll"] == true;
    let mut verdict = Verdict::default();
    for (place, message) in batch.iter().enumerate() {
        let id = message.id.as_str();
        let retry = match retried.get(id) {
            Some(delay) => Some(*delay),
            None if acked.contains(&id) || ack_all => None,
            None if retry_all => Some(all["delaySeconds"].as_u64()),
            None => None,
        };
        let Some(delay) = retry else {
            verdict.settled.done.push(message.number);
            continue;
        };
        if message.failed >= config.max_retries {
            verdict.settled.done.push(message.number);
            verdict.dead.push(place);
            continue;
        }
        let seconds = delay.unwrap_or(u64::from(config.retry_delay));
        let seconds = i64::try_from(seconds.min(DELAY_SECONDS_MAX)).unwrap_or(0);
        verdict
            .settled
            .again
            .push((message.number, now.saturating_add(seconds * 1000)));
    }
    verdict
}

/// As for messages that are sent.
const DELAY_SECONDS_MAX: u64 = mayfly_bindings::queue::DELAY_SECONDS_MAX as u64;

async fn settle(consumer: &Consumer, batch: Vec<Message>, verdict: Verdict) {
    let queue = consumer.config.queue.clone();
    let dead = consumer.dead.clone();
    let line = consumer.line.clone();
    let done = tokio::task::spawn_blocking(move || {
        let lost: Vec<New> = verdict
            .dead
            .iter()
            .filter_map(|place| batch.get(*place))
            .map(|message| New {
                kind: message.kind.clone(),
                body: message.body.clone(),
                delay_ms: 0,
            })
            .collect();
        match &dead {
            _ if lost.is_empty() => {}
            // Before they leave their own queue: twice is better than never.
            Some(dead) => {
                dead.queue.send(&lost, now_ms())?;
                dead.sent.notify_waiters();
            }
            None => tracing::warn!(
                queue,
                messages = lost.len(),
                "messages that failed too often are dropped: the consumer has no dead_letter_queue"
            ),
        }
        line.queue.settle(&batch, &verdict.settled)?;
        line.sent.notify_waiters();
        Ok::<_, StoreError>(())
    });
    match done.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "a batch of a queue cannot be settled"),
        Err(error) => tracing::error!(%error, "settling a batch of a queue broke off"),
    }
}

/// SQLite waits for the disk, which is not for the threads that serve sockets.
async fn blocking<T: Send + 'static>(
    consumer: &Consumer,
    work: impl FnOnce(&Line) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let line = consumer.line.clone();
    match tokio::task::spawn_blocking(move || work(&line)).await {
        Ok(done) => done,
        Err(error) => Err(StoreError::NotFound(format!(
            "a look at a queue broke off: {error}"
        ))),
    }
}

fn batch_json(batch: &[Message], metrics: Option<Value>) -> Value {
    let messages: Vec<Value> = batch
        .iter()
        .map(|message| {
            json!({
                "id": message.id,
                "timestamp": message.sent_ms,
                "attempts": message.failed + 1,
                "kind": message.kind,
                "body": BASE64_STANDARD.encode(&message.body),
            })
        })
        .collect();
    json!({ "messages": messages, "metrics": metrics })
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> Vec<Message> {
        let message = |number: i64, failed: u32| Message {
            number,
            id: format!("m{number}"),
            kind: "json".to_owned(),
            body: Vec::new(),
            sent_ms: 0,
            failed,
        };
        vec![message(1, 0), message(2, 0), message(3, 3)]
    }

    fn config() -> QueueConsumer {
        QueueConsumer {
            queue: "q".to_owned(),
            max_batch_size: 10,
            max_batch_timeout: 5,
            max_retries: 3,
            dead_letter_queue: None,
            max_concurrency: None,
            retry_delay: 7,
        }
    }

    fn check(answer: &Value, done: &[i64], again: &[(i64, i64)], dead: &[usize]) {
        let verdict = judge(&config(), &batch(), answer, 1000);
        let settled = Settled {
            done: done.to_vec(),
            again: again.to_vec(),
        };
        let expect = Verdict {
            settled,
            dead: dead.to_vec(),
        };
        assert_eq!(verdict, expect, "{answer}");
    }

    #[test]
    fn the_handlers_words_decide_and_silence_after_a_failure_means_again() {
        check(&json!({ "outcome": "ok" }), &[1, 2, 3], &[], &[]);
        check(&Value::Null, &[3], &[(1, 8000), (2, 8000)], &[2]);
        let partly = json!({ "outcome": "exception", "explicitAcks": ["m1", "m3"] });
        check(&partly, &[1, 3], &[(2, 8000)], &[]);
        let one =
            json!({ "outcome": "ok", "retryMessages": [{ "msgId": "m2", "delaySeconds": 2 }] });
        check(&one, &[1, 3], &[(2, 3000)], &[]);
        let all = json!({ "outcome": "ok", "retryBatch": { "retry": true, "delaySeconds": 1 },
            "explicitAcks": ["m2"] });
        check(&all, &[2, 3], &[(1, 2000)], &[2]);
        let acked = json!({ "outcome": "exception", "ackAll": true });
        check(&acked, &[1, 2, 3], &[], &[]);
    }
}
