//! Those who follow live: `mayfly tail`.
//!
//! A follower gets one line of JSON for each trace that its filter passes, through a queue of its
//! own. A follower that does not keep up loses lines and is told how many. While nobody follows,
//! no trace is made.

use crate::filter::Filter;
use crate::redact;
use bytes::Bytes;
use mayfly_exchange::{BodyReader, BodyWriter, body_channel};
use mayfly_supervisor::TraceReport;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// Followers at once.
pub const FOLLOWERS_MAX: usize = 16;

/// Lines that wait for one follower.
const QUEUE_MAX: usize = 512;

/// How often a follower that hears nothing is sent an empty line, by which both ends know that the
/// other is there.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// See the file's head.
#[derive(Default)]
pub struct Live {
    followers: Mutex<Vec<Arc<Follower>>>,
    count: AtomicUsize,
}

struct Follower {
    filter: Filter,
    lines: mpsc::Sender<Bytes>,
    dropped: AtomicU64,
}

impl Live {
    /// Whether anybody follows.
    pub fn is_followed(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// A stream of lines; `None` where there are too many followers.
    pub fn follow(self: &Arc<Self>, filter: Filter) -> Option<BodyReader> {
        let (lines, queue) = mpsc::channel(QUEUE_MAX);
        let follower = Arc::new(Follower {
            filter,
            lines,
            dropped: AtomicU64::new(0),
        });
        let mut followers = self.lock();
        if followers.len() >= FOLLOWERS_MAX {
            return None;
        }
        followers.push(follower.clone());
        self.count.store(followers.len(), Ordering::Relaxed);
        drop(followers);
        let (writer, reader) = body_channel();
        tokio::spawn(pump(self.clone(), follower, queue, writer));
        Some(reader)
    }

    /// Something happened.
    pub fn tell(&self, report: &TraceReport<'_>) {
        if !self.is_followed() {
            return;
        }
        let followers = self.lock().clone();
        let mut line = None;
        for follower in followers {
            if follower.filter.passes(report) {
                let line = line.get_or_insert_with(|| line_of(report));
                follower.give(line.clone());
            }
        }
    }

    fn leave(&self, follower: &Arc<Follower>) {
        let mut followers = self.lock();
        followers.retain(|one| !Arc::ptr_eq(one, follower));
        self.count.store(followers.len(), Ordering::Relaxed);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Follower>>> {
        self.followers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower {
    fn give(&self, line: Bytes) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let note = format!("{{\"dropped\":{dropped}}}\n");
            if self.lines.try_send(Bytes::from(note)).is_err() {
                self.dropped.fetch_add(dropped + 1, Ordering::Relaxed);
                return;
            }
        }
        if self.lines.try_send(line).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The item with what is known beside it, on one line.
fn line_of(report: &TraceReport<'_>) -> Bytes {
    let mut item: serde_json::Value = serde_json::from_str(report.item).unwrap_or_default();
    redact::item(&mut item);
    item["traceId"] = format!("{:032x}", report.context.trace_id).into();
    item["spanId"] = format!("{:016x}", report.context.span_id).into();
    item["root"] = report.invocation.root.to_string().into();
    item["cpuTimeUs"] = u64::try_from(report.invocation.cpu.as_micros())
        .unwrap_or(0)
        .into();
    Bytes::from(format!("{item}\n"))
}

async fn pump(
    live: Arc<Live>,
    follower: Arc<Follower>,
    mut queue: mpsc::Receiver<Bytes>,
    writer: BodyWriter,
) {
    loop {
        let line = tokio::select! {
            line = queue.recv() => line,
            () = tokio::time::sleep(HEARTBEAT) => Some(Bytes::from_static(b"\n")),
            () = writer.closed() => None,
        };
        let Some(line) = line else { break };
        if writer.write(line).await.is_err() {
            break;
        }
    }
    live.leave(&follower);
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Live")
    }
}
