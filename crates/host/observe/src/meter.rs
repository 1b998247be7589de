//! From the supervisor's accounts to the store: twice a second, in a thread of its own.
//!
//! A host that is killed loses what was used since the last write, less than a second. A write that
//! fails is tried again with what came meanwhile; the numbers wait in memory, up to a bound.

use mayfly_store::usage::{Added, Numbers, Usage};
use mayfly_supervisor::{Supervisor, Used};
use std::fmt;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often what was used is written.
const TICK: Duration = Duration::from_millis(500);

/// Rows that wait while nothing can be written; above this the oldest are lost, and it is said.
const WAITING_MAX: usize = 200_000;

/// See the file's head. Ends, with a last write, when it is dropped.
pub struct Meter {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Meter {
    /// Begins to write.
    pub fn start(supervisor: Arc<Supervisor>, usage: Usage) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("usage".to_owned())
            .spawn(move || run(&supervisor, usage, &stopped))?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It panicked only if there is a bug; there is nothing to do about it here.
            let _ = thread.join();
        }
    }
}

fn run(supervisor: &Supervisor, mut usage: Usage, stopped: &mpsc::Receiver<()>) {
    let mut waiting: Vec<(i64, Vec<Added>)> = Vec::new();
    loop {
        let last = stopped.recv_timeout(TICK) != Err(mpsc::RecvTimeoutError::Timeout);
        let used = supervisor.drain_usage();
        if !used.is_empty() {
            waiting.push((today(), used.into_iter().map(added).collect()));
        }
        while let Some((day, added)) = waiting.first() {
            if let Err(error) = usage.add(*day, added) {
                tracing::error!(%error, "what Workers used cannot be written; it is tried again");
                break;
            }
            waiting.remove(0);
        }
        bound(&mut waiting);
        if last {
            return;
        }
    }
}

fn bound(waiting: &mut Vec<(i64, Vec<Added>)>) {
    let mut rows: usize = waiting.iter().map(|(_, added)| added.len()).sum();
    while rows > WAITING_MAX && !waiting.is_empty() {
        let (_, lost) = waiting.remove(0);
        rows -= lost.len();
        tracing::error!(
            rows = lost.len(),
            "what Workers used is lost: it could not be written"
        );
    }
}

fn added(used: Used) -> Added {
    let us = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    Added {
        worker: used.worker,
        id: used.id,
        numbers: Numbers {
            requests: used.requests,
            cpu_us: us(used.cpu),
            wall_us: us(used.wall),
            bytes_in: used.bytes_in,
            bytes_out: used.bytes_out,
            memory_peak: used.memory_peak,
            worker_days: used.loads,
            egress_requests: used.egress_requests,
            egress_sent: used.egress_sent,
            egress_received: used.egress_received,
        },
        codes: used.codes,
    }
}

/// The day of UTC that it is now, counted from the epoch.
pub fn today() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_secs() / 86_400).unwrap_or(0)
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meter")
    }
}
