//! Alarms: which Durable Object is woken when.
//!
//! The truth stands in each object's database; `mayfly-store`'s index and the clock here are told of
//! it and may be early, never late. So waking an object begins with a look into its database. A handler
//! that fails is tried again, later and later, up to [`ALARM_RETRIES_MAX`] times, as documented.

use crate::actor::{Actor, Namespace};
use crate::bounds::{ALARM_RETRIES_MAX, ALARM_RETRY_FIRST, ALARMS_AT_ONCE_MAX};
use crate::call::Call;
use crate::gate;
use crate::held::{HeldEvent, HeldOutcome};
use crate::hub::Hub;
use crate::lock::Mutex;
use crate::turn::Turn;
use mayfly_store::{ObjectId, StoreError};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, Semaphore};

/// How long to sleep where no alarm is set; a new one wakes the clock.
const NEVER: Duration = Duration::from_secs(3600);

type Key = (String, ObjectId);

/// See the file's head.
#[derive(Debug, Default)]
pub struct Alarms {
    times: Mutex<Times>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Times {
    by_key: HashMap<Key, u64>,
    by_time: BTreeSet<(u64, Key)>,
}

impl Times {
    fn set(&mut self, key: Key, time_ms: Option<u64>) {
        if let Some(before) = self.by_key.remove(&key) {
            self.by_time.remove(&(before, key.clone()));
        }
        if let Some(time_ms) = time_ms {
            self.by_key.insert(key.clone(), time_ms);
            self.by_time.insert((time_ms, key));
        }
    }
}

impl Alarms {
    /// An alarm is about to be set: the index must know of it before it is committed.
    pub(crate) fn hint(&self, hub: &Arc<Hub>, actor: &Actor, time_ms: u64) {
        let Some((folder, id)) = actor.object() else {
            return;
        };
        report(hub.store.hint_alarm(folder, id, time_ms));
    }

    /// An alarm is what `time_ms` says.
    pub(crate) fn set(&self, hub: &Arc<Hub>, actor: &Actor, time_ms: Option<u64>) {
        let Some((folder, id)) = actor.object() else {
            return;
        };
        report(hub.store.set_alarm(folder, id, time_ms));
        self.wake_at((folder.to_owned(), *id), time_ms);
    }

    fn wake_at(&self, key: Key, time_ms: Option<u64>) {
        self.times.lock().set(key, time_ms);
        self.changed.notify_one();
    }

    /// Takes over what was set before this host started.
    pub(crate) fn load(&self, hub: &Hub) -> Result<(), StoreError> {
        let alarms = hub.store.alarms()?;
        let mut times = self.times.lock();
        for alarm in alarms {
            times.set((alarm.folder, alarm.id), Some(alarm.time_ms));
        }
        drop(times);
        self.changed.notify_one();
        Ok(())
    }

    /// Takes what is due off the clock; else how long to sleep.
    fn due(&self, now_ms: u64) -> Result<Key, Duration> {
        let mut times = self.times.lock();
        match times.by_time.first() {
            None => Err(NEVER),
            Some((time_ms, _)) if *time_ms > now_ms => {
                Err(Duration::from_millis(time_ms - now_ms).min(NEVER))
            }
            Some((_, key)) => {
                let key = key.clone();
                times.set(key.clone(), None);
                Ok(key)
            }
        }
    }
}

fn report(result: Result<(), StoreError>) {
    if let Err(error) = result {
        tracing::error!(%error, "cannot write the index of alarms");
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The clock.
pub(crate) async fn run(hub: Arc<Hub>) {
    let room = Arc::new(Semaphore::new(ALARMS_AT_ONCE_MAX));
    loop {
        match hub.alarms.due(now_ms()) {
            Ok((folder, id)) => {
                let Ok(permit) = room.clone().acquire_owned().await else {
                    return;
                };
                let hub = hub.clone();
                tokio::spawn(async move {
                    if let Some(namespace) = hub.namespace(&folder) {
                        wake(&hub, &namespace, id).await;
                    }
                    drop(permit);
                });
            }
            Err(pause) => {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = hub.alarms.changed.notified() => {}
                }
            }
        }
    }
}

async fn wake(hub: &Arc<Hub>, namespace: &Arc<Namespace>, id: ObjectId) {
    let actor = namespace.actor(hub, id, None);
    let mut retries = 0;
    loop {
        let due = actor.with_database(|database| match database.ring(now_ms()) {
            Ok(Some(time)) => Ok((Some(time), None)),
            Ok(None) => database.alarm().map(|later| (None, later)),
            Err(failed) => Err(failed),
        });
        let time = match due {
            Ok(Ok((Some(time), _))) => time,
            // It was moved or deleted meanwhile.
            Ok(Ok((None, later))) => return hub.alarms.set(hub, &actor, later),
            Ok(Err(_)) | Err(_) => return,
        };
        if ring(hub, &actor, time, retries).await {
            return;
        }
        if retries >= ALARM_RETRIES_MAX {
            finish(&actor, Ending::GivenUp);
            return;
        }
        finish(&actor, Ending::Failed);
        tokio::time::sleep(ALARM_RETRY_FIRST * 2_u32.saturating_pow(retries)).await;
        retries += 1;
    }
}

/// Runs the handler once; whether that is the end of it.
async fn ring(hub: &Arc<Hub>, actor: &Arc<Actor>, time: u64, retries: u32) -> bool {
    let (call, outcome) = Call::by_host();
    let event = HeldEvent::Alarm {
        // Milliseconds of any date that JavaScript has are exact.
        scheduled_ms: time as f64,
        retries,
    };
    let _counted = hub.count_host_call();
    actor.dispatch(&mut Turn::new(), &call, event, None);
    match outcome.await {
        Ok(HeldOutcome::Failed(_)) | Err(_) => false,
        Ok(_) => {
            finish(actor, Ending::Well);
            true
        }
    }
}

enum Ending {
    Well,
    Failed,
    GivenUp,
}

fn finish(actor: &Arc<Actor>, ending: Ending) {
    let open_before = actor.with_database(|database| {
        let open = database.is_open();
        let ended = match ending {
            Ending::Well | Ending::GivenUp => database.rung(),
            Ending::Failed => {
                database.ring_failed();
                Ok(())
            }
        };
        ended.map(|()| open)
    });
    // A turn that is open commits this with what it wrote itself.
    if let Ok(Ok(false)) = open_before
        && let Err(error) = gate::settle_alone(actor)
    {
        tracing::error!(%error, "cannot write the end of an alarm");
    }
}
