//! Queues: one database per queue, messages in the order in which they are due.
//!
//! A message stays until its consumer has said what became of it. Who has it at the moment is known in
//! memory only, so a host that ends gives every message that was not settled to a consumer again: at least
//! once, never lost.
//!
//! Invariant: a message is given to one batch at a time.

use std::collections::HashSet;

use rusqlite::{Connection, params};

use crate::error::StoreError;
use crate::lock::Mutex;
use crate::place::Store;

/// How long a message waits for a consumer: four days, as documented.
pub const RETENTION_MS: i64 = 4 * 24 * 60 * 60 * 1000;

/// A queue.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    connection: Connection,
    /// Messages that a batch has.
    taken: HashSet<i64>,
}

/// A message to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct New {
    /// What the bytes are: `json`, `text`, `bytes` or `v8`.
    pub kind: String,
    /// The body.
    pub body: Vec<u8>,
    /// Milliseconds until it may be given to a consumer.
    pub delay_ms: i64,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its place in the queue's life.
    pub number: i64,
    /// Its name: 32 hexadecimal digits.
    pub id: String,
    /// As in [`New`].
    pub kind: String,
    /// The body.
    pub body: Vec<u8>,
    /// When it was sent, in milliseconds since the epoch.
    pub sent_ms: i64,
    /// How often it was given to a consumer that did not acknowledge it.
    pub failed: u32,
}

/// What waits in a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Messages.
    pub count: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// When the oldest was sent.
    pub oldest_ms: Option<i64>,
}

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled {
    /// Messages that are gone.
    pub done: Vec<i64>,
    /// Messages to be given again, and when.
    pub again: Vec<(i64, i64)>,
}

impl Queue {
    /// Opens or makes the queue `name`, a plain file name.
    pub fn open(store: &Store, name: &str) -> Result<Self, StoreError> {
        let connection = store.connection(&["queues", name])?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS messages (
                number INTEGER PRIMARY KEY AUTOINCREMENT,
                id TEXT NOT NULL,
                kind TEXT NOT NULL,
                body BLOB NOT NULL,
                sent INTEGER NOT NULL,
                due INTEGER NOT NULL,
                failed INTEGER NOT NULL
            ) STRICT;
            CREATE INDEX IF NOT EXISTS due ON messages (due, number);",
        )?;
        Ok(Self {
            state: Mutex::new(State {
                connection,
                taken: HashSet::new(),
            }),
        })
    }

    /// Adds messages, all of them or none.
    pub fn send(&self, messages: &[New], now: i64) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        let transaction = state.connection.transaction()?;
        for message in messages {
            transaction
                .prepare_cached(
                    "INSERT INTO messages (id, kind, body, sent, due, failed)
                     VALUES (lower(hex(randomblob(16))), ?1, ?2, ?3, ?4, 0)",
                )?
                .execute(params![
                    message.kind,
                    message.body,
                    now,
                    now.saturating_add(message.delay_ms)
                ])?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Messages that are due and that no batch has, at most `count`; they are this batch's now.
    pub fn take(&self, count: usize, now: i64) -> Result<Vec<Message>, StoreError> {
        let mut state = self.state.lock();
        let State { connection, taken } = &mut *state;
        connection
            .prepare_cached("DELETE FROM messages WHERE sent < ?1 AND due <= ?2")?
            .execute([now.saturating_sub(RETENTION_MS), now])?;
        let mut statement = connection.prepare_cached(
            "SELECT number, id, kind, body, sent, failed FROM messages
             WHERE due <= ?1 ORDER BY due, number",
        )?;
        let mut rows = statement.query([now])?;
        let mut messages = Vec::new();
        while messages.len() < count
            && let Some(row) = rows.next()?
        {
            let number = row.get(0)?;
            if !taken.insert(number) {
                continue;
            }
            messages.push(Message {
                number,
                id: row.get(1)?,
                kind: row.get(2)?,
                body: row.get(3)?,
                sent_ms: row.get(4)?,
                failed: row.get(5)?,
            });
        }
        Ok(messages)
    }

    /// How many messages are due that no batch has, counted up to `most`, and when the next one is.
    pub fn due(&self, most: usize, now: i64) -> Result<(usize, Option<i64>), StoreError> {
        let state = self.state.lock();
        let mut statement = state
            .connection
            .prepare_cached("SELECT number, due FROM messages ORDER BY due, number")?;
        let mut rows = statement.query([])?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            let (number, due): (i64, i64) = (row.get(0)?, row.get(1)?);
            if state.taken.contains(&number) {
                continue;
            }
            if due > now {
                return Ok((count, Some(due)));
            }
            count += 1;
            if count >= most {
                break;
            }
        }
        Ok((count, None))
    }

    /// Ends a batch. What it does not name is given to the next one at once.
    pub fn settle(&self, batch: &[Message], settled: &Settled) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        let transaction = state.connection.transaction()?;
        for number in &settled.done {
            transaction
                .prepare_cached("DELETE FROM messages WHERE number = ?1")?
                .execute([number])?;
        }
        for (number, due) in &settled.again {
            transaction
                .prepare_cached(
                    "UPDATE messages SET due = ?2, failed = failed + 1 WHERE number = ?1",
                )?
                .execute([number, due])?;
        }
        transaction.commit()?;
        for message in batch {
            state.taken.remove(&message.number);
        }
        Ok(())
    }

    /// What waits, batches under way included.
    pub fn backlog(&self) -> Result<Backlog, StoreError> {
        let state = self.state.lock();
        let mut statement = state.connection.prepare_cached(
            "SELECT count(*), coalesce(sum(length(body)), 0), min(sent) FROM messages",
        )?;
        let backlog = statement.query_row([], |row| {
            let (count, bytes): (i64, i64) = (row.get(0)?, row.get(1)?);
            Ok(Backlog {
                count: u64::try_from(count).unwrap_or(0),
                bytes: u64::try_from(bytes).unwrap_or(0),
                oldest_ms: row.get(2)?,
            })
        })?;
        Ok(backlog)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(body: &str, delay_ms: i64) -> New {
        New {
            kind: "text".to_owned(),
            body: body.as_bytes().to_vec(),
            delay_ms,
        }
    }

    fn bodies(messages: &[Message]) -> Vec<String> {
        let text = |message: &Message| String::from_utf8(message.body.clone()).unwrap();
        messages.iter().map(text).collect()
    }

    #[test]
    fn a_message_is_one_batchs_until_that_ends() {
        let queue = Queue::open(&Store::ephemeral().unwrap(), "q").unwrap();
        queue
            .send(&[new("a", 0), new("b", 50), new("c", 0)], 0)
            .unwrap();
        assert_eq!(queue.due(10, 0).unwrap(), (2, Some(50)));
        let first = queue.take(1, 0).unwrap();
        assert_eq!(bodies(&first), ["a"]);
        assert_eq!(bodies(&queue.take(9, 0).unwrap()), ["c"]);
        assert_eq!(queue.due(10, 0).unwrap(), (0, Some(50)));
        let again = Settled {
            again: vec![(first[0].number, 70)],
            ..Settled::default()
        };
        queue.settle(&first, &again).unwrap();
        assert_eq!(bodies(&queue.take(9, 60).unwrap()), ["b"]);
        let first = queue.take(9, 70).unwrap();
        assert_eq!((bodies(&first), first[0].failed), (vec!["a".to_owned()], 1));
        let done = Settled {
            done: vec![first[0].number],
            ..Settled::default()
        };
        queue.settle(&first, &done).unwrap();
        let backlog = queue.backlog().unwrap();
        assert_eq!(
            (backlog.count, backlog.bytes, backlog.oldest_ms),
            (2, 2, Some(0))
        );
    }

    #[test]
    fn what_was_taken_comes_again_after_a_restart_and_what_is_too_old_does_not() {
        let folder = std::env::temp_dir().join(format!("mayfly-queue-{}", std::process::id()));
        let store = Store::open(&folder).unwrap();
        let queue = Queue::open(&store, "q").unwrap();
        queue.send(&[new("a", 0)], 10).unwrap();
        assert_eq!(queue.take(9, 10).unwrap().len(), 1);
        drop(queue);
        let queue = Queue::open(&store, "q").unwrap();
        assert_eq!(queue.take(9, 10).unwrap().len(), 1);
        drop(queue);
        let queue = Queue::open(&store, "q").unwrap();
        assert!(queue.take(9, 11 + RETENTION_MS).unwrap().is_empty());
        assert_eq!(queue.backlog().unwrap(), Backlog::default());
        drop((queue, store));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
