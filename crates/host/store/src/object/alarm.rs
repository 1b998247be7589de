//! The alarm of an object and its bookmark, in the table `_cf_METADATA`.
//!
//! While the handler of an alarm runs it reads as none, unless it was set again; when the handler has
//! ended well it is deleted, unless it was set again. A handler that fails leaves it as it was.

use super::{Answer, Database, Failed, run};
use mayfly_wire::StorageResult;
use rusqlite::{Connection, OptionalExtension, params};

const ALARM: i64 = 1;
const BOOKMARK: i64 = 2;

impl Database {
    pub(super) fn get_alarm(&mut self) -> Answer {
        let time = self.alarm()?;
        // Milliseconds of any date that JavaScript has are exact.
        let time_ms = time.map(|time| time as f64);
        Ok(StorageResult::Time { time_ms })
    }

    /// When the object is to be woken.
    pub fn alarm(&mut self) -> Result<Option<u64>, Failed> {
        match self.ringing {
            Some(_) => Ok(None),
            None => self.stored_alarm(),
        }
    }

    /// Its handler is about to run. `None` if there is no alarm that is due.
    pub fn ring(&mut self, now_ms: u64) -> Result<Option<u64>, Failed> {
        let time = self.stored_alarm()?.filter(|time| *time <= now_ms);
        self.ringing = time;
        Ok(time)
    }

    /// The handler ended well: the alarm is over, unless it was set again. Commits with the turn that
    /// is open, or by itself.
    pub fn rung(&mut self) -> Result<(), Failed> {
        if self.ringing.take().is_some() {
            self.store_alarm(None)?;
        }
        Ok(())
    }

    /// The handler failed: the alarm is what it was.
    pub fn ring_failed(&mut self) {
        self.ringing = None;
    }

    pub(super) fn set_alarm(&mut self, time_ms: Option<f64>) -> Result<Option<u64>, Failed> {
        let time = match time_ms {
            None => None,
            // The cast saturates; a guest that sends nonsense wakes early.
            Some(time) if time.is_finite() => Some(time.max(0.0) as u64),
            Some(_) => return Err(Failed::type_error("setAlarm() needs a time")),
        };
        if time.is_none() && !self.has_file() {
            return Ok(None);
        }
        self.ringing = None;
        self.store_alarm(time)?;
        Ok(time)
    }

    pub(super) fn stored_alarm(&mut self) -> Result<Option<u64>, Failed> {
        if !self.has_file() || !self.has_metadata()? {
            return Ok(None);
        }
        let open = self.open()?;
        let found = open.trusted("alarm", |connection| metadata(connection, ALARM));
        let found = found.map_err(|error| self.explain(&error))?;
        Ok(found.and_then(|time| u64::try_from(time).ok()))
    }

    pub(super) fn store_alarm(&mut self, time: Option<u64>) -> Result<(), Failed> {
        let value = time.map(|time| i64::try_from(time).unwrap_or(i64::MAX));
        self.write_metadata(ALARM, value)?;
        self.alarm_changed = true;
        Ok(())
    }

    /// A number that is larger than all that came before.
    pub(super) fn next_bookmark(&mut self) -> Result<u64, Failed> {
        let before = match self.has_file() && self.has_metadata()? {
            true => {
                let open = self.open()?;
                let found = open.trusted("bookmark", |connection| metadata(connection, BOOKMARK));
                found.map_err(|error| self.explain(&error))?.unwrap_or(0)
            }
            false => 0,
        };
        let next = before.saturating_add(1);
        self.write_metadata(BOOKMARK, Some(next))?;
        Ok(u64::try_from(next).unwrap_or(0))
    }

    fn write_metadata(&mut self, key: i64, value: Option<i64>) -> Result<(), Failed> {
        let open = self.writing()?;
        let has_metadata = open.has_metadata;
        let written = open.trusted("metadata", |connection| {
            if !has_metadata {
                run(
                    connection,
                    "CREATE TABLE IF NOT EXISTS _cf_METADATA (key INTEGER PRIMARY KEY, value BLOB)",
                )?;
            }
            match value {
                Some(value) => connection
                    .prepare_cached(
                        "INSERT OR REPLACE INTO _cf_METADATA (key, value) VALUES (?, ?)",
                    )?
                    .execute(params![key, value])?,
                None => connection
                    .prepare_cached("DELETE FROM _cf_METADATA WHERE key = ?")?
                    .execute(params![key])?,
            };
            Ok(())
        });
        match written {
            Ok(()) => {
                open.has_metadata = true;
                Ok(())
            }
            Err(error) => Err(self.explain(&error)),
        }
    }

    fn has_metadata(&mut self) -> Result<bool, Failed> {
        if self.open()?.has_metadata {
            return Ok(true);
        }
        let has = self.has_table("_cf_METADATA")?;
        self.open()?.has_metadata = has;
        Ok(has)
    }
}

fn metadata(connection: &Connection, key: i64) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT value FROM _cf_METADATA WHERE key = ?")?
        .query_row([key], |row| row.get(0))
        .optional()
}
