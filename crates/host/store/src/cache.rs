//! What Workers put into `caches`: one database for each family of them, entries in pieces.
//!
//! A family is a configured Worker with all that it loads; each of them is an owner, whose entries no
//! other finds. An entry is written piece by piece beside the one that it replaces and takes its place
//! in one transaction at its end; a crash leaves the old one. Which entries go when room is short is
//! decided here: those of the same owner, or of the same family's dynamic Workers, that nobody has
//! asked for longest. What may be kept, and for how long, is decided by `bindings`.
//!
//! Invariant: a reader gets the whole entry that it began with, also where that is replaced or
//! removed meanwhile; its pieces leave the file with the last reader.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard};

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::StoreError;
use crate::id::{digest, hex};
use crate::lock::Mutex;
use crate::place::Store;

/// Bytes of one piece of a body; all but the last have as many.
pub const PIECE_BYTES: usize = 256 * 1024;

/// Entries that have expired and that one write removes at most.
const EXPIRED_PER_WRITE_MAX: u32 = 100;

/// Seconds within which a second use of an entry is not written down.
const USE_SECONDS: i64 = 60;

/// Bytes that an entry counts beside its head, URL and body: rows and their indices.
const ENTRY_OVERHEAD: u64 = 512;

/// `state` of an entry: it is being written.
const WRITTEN: i64 = 0;
/// It may be found.
const LIVE: i64 = 1;
/// It was replaced or removed and is still being read.
const DEAD: i64 = 2;

/// How much a family may keep.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Bytes of the configured Worker's own entries.
    pub own: u64,
    /// Bytes of the entries of all its dynamic Workers together.
    pub dynamic: u64,
    /// Bytes of the entries of one dynamic Worker.
    pub dynamic_each: u64,
}

/// Where an entry belongs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Who put it; empty for the configured Worker itself.
    pub owner: String,
    /// Whether the owner cannot come back after this process.
    pub passing: bool,
    /// The cache's name; `None` is `caches.default`.
    pub name: Option<String>,
    /// The request's URL.
    pub url: String,
}

/// What is known of an entry beside its body. Times are seconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Whatever the caller wants back.
    pub text: String,
    /// When it was put.
    pub stored: i64,
    /// When it is to be found no longer.
    pub expires: i64,
}

/// A family's entries.
#[derive(Debug)]
pub struct Cache {
    inner: Mutex<Inner>,
    room: Room,
}

#[derive(Debug)]
struct Inner {
    connection: Connection,
    /// Bytes by owner, of every state.
    sums: HashMap<String, u64>,
    /// Of all owners.
    total: u64,
    /// What `sums` had before the transaction under way changed it.
    undo: Vec<(String, u64)>,
    /// Readers by entry.
    readers: HashMap<i64, usize>,
}

/// An entry that was found.
#[derive(Debug)]
pub struct Found {
    /// As it was put.
    pub head: Head,
    /// Of the body.
    pub bytes: u64,
    /// The body.
    pub reader: Reader,
}

/// Holds an entry's pieces.
#[derive(Debug)]
pub struct Reader {
    cache: Arc<Cache>,
    entry: i64,
}

/// An entry that is being written; dropped without [`Writer::finish`], it never was.
#[derive(Debug)]
pub struct Writer {
    cache: Arc<Cache>,
    key: Key,
    head: Head,
    entry: Option<i64>,
    pieces: i64,
    bytes: u64,
    rest: Vec<u8>,
}

/// Why an entry cannot be written.
#[derive(Debug)]
pub enum WriteError {
    /// It does not fit, whatever goes.
    NoRoom,
    /// The disk or the database.
    Failed(StoreError),
}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl From<rusqlite::Error> for WriteError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl Cache {
    /// Opens or makes the entries of `family`, and clears what the last process left unfinished.
    pub fn open(store: &Store, family: &str, room: Room) -> Result<Arc<Self>, StoreError> {
        let file = hex(&digest(&[family.as_bytes()])[..16]);
        let connection = store.connection(&["cache", &file])?;
        // What a cache forgets in a power cut, it may forget.
        connection.execute_batch(
            "PRAGMA synchronous = NORMAL;
            CREATE TABLE IF NOT EXISTS entries (
                id INTEGER PRIMARY KEY,
                owner TEXT NOT NULL,
                passing INTEGER NOT NULL,
                name TEXT NOT NULL,
                url TEXT NOT NULL,
                head TEXT NOT NULL,
                stored INTEGER NOT NULL,
                expires INTEGER NOT NULL,
                used INTEGER NOT NULL,
                bytes INTEGER NOT NULL,
                weight INTEGER NOT NULL,
                state INTEGER NOT NULL
            ) STRICT;
            CREATE UNIQUE INDEX IF NOT EXISTS live ON entries (owner, name, url) WHERE state = 1;
            CREATE INDEX IF NOT EXISTS oldest ON entries (owner, used) WHERE state = 1;
            CREATE INDEX IF NOT EXISTS oldest_of_all ON entries (used) WHERE state = 1;
            CREATE INDEX IF NOT EXISTS expiring ON entries (expires) WHERE state = 1;
            CREATE TABLE IF NOT EXISTS pieces (
                entry INTEGER NOT NULL,
                number INTEGER NOT NULL,
                bytes BLOB NOT NULL
            ) STRICT;
            CREATE UNIQUE INDEX IF NOT EXISTS piece ON pieces (entry, number);
            BEGIN;
            DELETE FROM entries WHERE state <> 1 OR passing;
            DELETE FROM pieces WHERE entry NOT IN (SELECT id FROM entries);
            COMMIT;",
        )?;
        let mut sums = HashMap::new();
        {
            let mut statement =
                connection.prepare("SELECT owner, sum(weight) FROM entries GROUP BY owner")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))?;
            for row in rows {
                let (owner, weight) = row?;
                sums.insert(owner, u64::try_from(weight).unwrap_or_default());
            }
        }
        let total = sums.values().sum();
        Ok(Arc::new(Self {
            inner: Mutex::new(Inner {
                connection,
                sums,
                total,
                undo: Vec::new(),
                readers: HashMap::new(),
            }),
            room,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// What `key` has at `now`.
    pub fn get(self: &Arc<Self>, key: &Key, now: i64) -> Result<Option<Found>, StoreError> {
        let mut inner = self.lock();
        let found = inner
            .connection
            .prepare_cached(
                "SELECT id, head, stored, expires, bytes, used FROM entries
                 WHERE owner = ?1 AND name = ?2 AND url = ?3 AND state = 1 AND expires > ?4",
            )?
            .query_row(params![key.owner, key.stored_name(), key.url, now], |row| {
                let head = Head {
                    text: row.get(1)?,
                    stored: row.get(2)?,
                    expires: row.get(3)?,
                };
                let bytes: i64 = row.get(4)?;
                Ok((row.get::<_, i64>(0)?, head, bytes, row.get::<_, i64>(5)?))
            })
            .optional()?;
        let Some((entry, head, bytes, used)) = found else {
            return Ok(None);
        };
        if now.saturating_sub(used) >= USE_SECONDS {
            inner
                .connection
                .prepare_cached("UPDATE entries SET used = ?2 WHERE id = ?1")?
                .execute(params![entry, now])?;
        }
        *inner.readers.entry(entry).or_default() += 1;
        Ok(Some(Found {
            head,
            bytes: u64::try_from(bytes).unwrap_or_default(),
            reader: Reader {
                cache: self.clone(),
                entry,
            },
        }))
    }

    /// Removes what `key` has; says whether that could have been found at `now`.
    pub fn delete(&self, key: &Key, now: i64) -> Result<bool, StoreError> {
        let mut inner = self.lock();
        let found: Option<(i64, i64)> = inner
            .connection
            .prepare_cached(
                "SELECT id, expires FROM entries
                 WHERE owner = ?1 AND name = ?2 AND url = ?3 AND state = 1",
            )?
            .query_row(params![key.owner, key.stored_name(), key.url], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        let Some((entry, expires)) = found else {
            return Ok(false);
        };
        inner.remove(entry)?;
        inner.undo.clear();
        Ok(expires > now)
    }

    /// Begins an entry.
    pub fn put(self: &Arc<Self>, key: Key, head: Head) -> Writer {
        Writer {
            cache: self.clone(),
            key,
            head,
            entry: None,
            pieces: 0,
            bytes: 0,
            rest: Vec::new(),
        }
    }
}

impl Inner {
    /// Takes an entry away now, or with its last reader.
    fn remove(&mut self, entry: i64) -> Result<(), StoreError> {
        if self.readers.contains_key(&entry) {
            self.connection
                .prepare_cached("UPDATE entries SET state = ?2 WHERE id = ?1")?
                .execute(params![entry, DEAD])?;
            return Ok(());
        }
        self.erase(entry)
    }

    fn erase(&mut self, entry: i64) -> Result<(), StoreError> {
        let erased: Option<(String, i64)> = self
            .connection
            .prepare_cached("DELETE FROM entries WHERE id = ?1 RETURNING owner, weight")?
            .query_row([entry], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        self.connection
            .prepare_cached("DELETE FROM pieces WHERE entry = ?1")?
            .execute([entry])?;
        if let Some((owner, weight)) = erased {
            let weight = u64::try_from(weight).unwrap_or_default();
            let left = self.sum(&owner).saturating_sub(weight);
            self.set_sum(owner, left);
        }
        Ok(())
    }

    fn sum(&self, owner: &str) -> u64 {
        self.sums.get(owner).copied().unwrap_or_default()
    }

    fn set_sum(&mut self, owner: String, bytes: u64) {
        let before = self.sum(&owner);
        self.total = self.total.saturating_sub(before).saturating_add(bytes);
        match bytes {
            0 => drop(self.sums.remove(&owner)),
            bytes => drop(self.sums.insert(owner.clone(), bytes)),
        }
        self.undo.push((owner, before));
    }

    fn dynamic(&self) -> u64 {
        self.total.saturating_sub(self.sum(""))
    }

    /// Lets entries go until `owner` may have `more` bytes.
    fn make_room(&mut self, room: &Room, owner: &str, more: u64) -> Result<(), WriteError> {
        let each = if owner.is_empty() {
            room.own
        } else {
            room.dynamic_each
        };
        while self.sum(owner).saturating_add(more) > each {
            let oldest = "SELECT id FROM entries WHERE owner = ?1 AND state = 1
                          ORDER BY used, id LIMIT 1";
            self.remove_oldest(oldest, owner)?;
        }
        while !owner.is_empty() && self.dynamic().saturating_add(more) > room.dynamic {
            let oldest = "SELECT id FROM entries WHERE owner <> '' AND ?1 <> '' AND state = 1
                          ORDER BY used, id LIMIT 1";
            self.remove_oldest(oldest, owner)?;
        }
        Ok(())
    }

    fn remove_oldest(&mut self, query: &str, owner: &str) -> Result<(), WriteError> {
        let oldest = self
            .connection
            .prepare_cached(query)?
            .query_row([owner], |row| row.get(0))
            .optional()?;
        Ok(self.remove(oldest.ok_or(WriteError::NoRoom)?)?)
    }

    fn remove_expired(&mut self, now: i64) -> Result<(), StoreError> {
        let expired: Vec<i64> = self
            .connection
            .prepare_cached("SELECT id FROM entries WHERE state = 1 AND expires <= ?1 LIMIT ?2")?
            .query_map(params![now, EXPIRED_PER_WRITE_MAX], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        expired.into_iter().try_for_each(|entry| self.remove(entry))
    }
}

impl Key {
    /// As a column: `caches.default` is nobody's name.
    fn stored_name(&self) -> String {
        self.name
            .as_ref()
            .map_or_else(String::new, |name| format!("={name}"))
    }
}

impl Reader {
    /// The piece with this number; `None` after the last.
    pub fn piece(&self, number: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        let inner = self.cache.lock();
        let mut statement = inner
            .connection
            .prepare_cached("SELECT bytes FROM pieces WHERE entry = ?1 AND number = ?2")?;
        Ok(statement
            .query_row([self.entry, number], |row| row.get(0))
            .optional()?)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut inner = self.cache.lock();
        match inner.readers.get_mut(&self.entry) {
            Some(count) if *count > 1 => {
                *count -= 1;
                return;
            }
            _ => drop(inner.readers.remove(&self.entry)),
        }
        let dead = inner
            .connection
            .prepare_cached("SELECT 1 FROM entries WHERE id = ?1 AND state = ?2")
            .and_then(|mut statement| statement.exists([self.entry, DEAD]));
        if matches!(dead, Ok(true))
            && let Err(error) = inner.erase(self.entry)
        {
            // The next process clears it.
            tracing::warn!(%error, "an entry of a cache could not be removed");
        }
    }
}

impl Writer {
    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds to the body. What is written goes to the disk by whole pieces.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), WriteError> {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        while !bytes.is_empty() {
            let take = bytes.len().min(PIECE_BYTES - self.rest.len());
            let (now, later) = bytes.split_at(take);
            self.rest.extend_from_slice(now);
            bytes = later;
            if self.rest.len() == PIECE_BYTES {
                let cache = self.cache.clone();
                let mut inner = cache.lock();
                self.in_transaction(&mut inner, |writer, inner| writer.flush(inner))?;
            }
        }
        Ok(())
    }

    /// The body is whole: from now on this is what the key has.
    pub fn finish(mut self, now: i64) -> Result<(), WriteError> {
        let cache = self.cache.clone();
        let mut inner = cache.lock();
        self.in_transaction(&mut inner, |writer, inner| {
            inner.remove_expired(now)?;
            writer.flush(inner)?;
            let Key { owner, url, .. } = &writer.key;
            let replaced = inner
                .connection
                .prepare_cached(
                    "SELECT id FROM entries WHERE owner = ?1 AND name = ?2 AND url = ?3 AND state = 1",
                )?
                .query_row(params![owner, writer.key.stored_name(), url], |row| row.get(0))
                .optional()?;
            if let Some(replaced) = replaced {
                inner.remove(replaced)?;
            }
            inner
                .connection
                .prepare_cached(
                    "UPDATE entries SET state = ?2, bytes = ?3, used = ?4 WHERE id = ?1",
                )?
                .execute(params![
                    writer.entry,
                    LIVE,
                    i64::try_from(writer.bytes).unwrap_or(i64::MAX),
                    now
                ])?;
            Ok(())
        })?;
        self.entry = None;
        Ok(())
    }

    /// Runs `work` as a whole or not at all; the sums are those of the file either way.
    fn in_transaction(
        &mut self,
        inner: &mut Inner,
        work: impl FnOnce(&mut Self, &mut Inner) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        let entry = self.entry;
        inner.connection.execute_batch("BEGIN IMMEDIATE")?;
        inner.undo.clear();
        let done = work(self, inner).and_then(|()| Ok(inner.connection.execute_batch("COMMIT")?));
        if done.is_err() {
            let _ = inner.connection.execute_batch("ROLLBACK");
            for (owner, bytes) in std::mem::take(&mut inner.undo).into_iter().rev() {
                inner.set_sum(owner, bytes);
            }
            self.entry = entry;
        }
        inner.undo.clear();
        done
    }

    /// Writes `rest` as a piece.
    fn flush(&mut self, inner: &mut Inner) -> Result<(), WriteError> {
        let head = match self.entry {
            Some(_) => 0,
            None => (self.head.text.len() + self.key.url.len()) as u64 + ENTRY_OVERHEAD,
        };
        let more = head + self.rest.len() as u64;
        inner.make_room(&self.cache.room, &self.key.owner, more)?;
        let weight = i64::try_from(more).unwrap_or(i64::MAX);
        let entry = match self.entry {
            Some(entry) => {
                inner
                    .connection
                    .prepare_cached("UPDATE entries SET weight = weight + ?2 WHERE id = ?1")?
                    .execute([entry, weight])?;
                entry
            }
            None => {
                let Head {
                    text,
                    stored,
                    expires,
                } = &self.head;
                inner
                    .connection
                    .prepare_cached(
                        "INSERT INTO entries (owner, passing, name, url, head, stored, expires, used,
                         bytes, weight, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?6, 0, ?8, ?9)",
                    )?
                    .execute(params![
                        self.key.owner,
                        self.key.passing,
                        self.key.stored_name(),
                        self.key.url,
                        text,
                        stored,
                        expires,
                        weight,
                        WRITTEN
                    ])?;
                let entry = inner.connection.last_insert_rowid();
                self.entry = Some(entry);
                entry
            }
        };
        let sum = inner.sum(&self.key.owner).saturating_add(more);
        inner.set_sum(self.key.owner.clone(), sum);
        inner
            .connection
            .prepare_cached("INSERT INTO pieces (entry, number, bytes) VALUES (?1, ?2, ?3)")?
            .execute(params![entry, self.pieces, self.rest])?;
        self.pieces += 1;
        self.rest.clear();
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(entry) = self.entry
            && let Err(error) = self.cache.lock().erase(entry)
        {
            // The next process clears it.
            tracing::warn!(%error, "an unfinished entry of a cache could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room {
        own: 4 * 1024 * 1024,
        dynamic: 3 * 1024 * 1024,
        dynamic_each: 2 * 1024 * 1024,
    };

    fn memory() -> Arc<Cache> {
        Cache::open(&Store::ephemeral().unwrap(), "w", ROOM).unwrap()
    }

    fn key(owner: &str, url: &str) -> Key {
        Key {
            owner: owner.to_owned(),
            passing: false,
            name: None,
            url: url.to_owned(),
        }
    }

    fn head(stored: i64) -> Head {
        Head {
            text: "{}".to_owned(),
            stored,
            expires: stored + 100,
        }
    }

    fn put(cache: &Arc<Cache>, key: &Key, body: &[u8], now: i64) -> Result<(), WriteError> {
        let mut writer = cache.put(key.clone(), head(now));
        writer.write(body)?;
        writer.finish(now)
    }

    fn body(found: &Found) -> Vec<u8> {
        let mut all = Vec::new();
        for number in 0.. {
            match found.reader.piece(number).unwrap() {
                Some(piece) => all.extend(piece),
                None => break,
            }
        }
        assert_eq!(all.len() as u64, found.bytes);
        all
    }

    fn there(cache: &Arc<Cache>, key: &Key, now: i64) -> bool {
        cache.get(key, now).unwrap().is_some()
    }

    fn counts(cache: &Cache) -> (i64, i64) {
        let inner = cache.lock();
        let count = |table: &str| {
            let query = format!("SELECT count(*) FROM {table}");
            inner
                .connection
                .query_row(&query, [], |row| row.get(0))
                .unwrap()
        };
        (count("entries"), count("pieces"))
    }

    #[test]
    fn entries_are_found_by_owner_name_and_url_until_they_expire() {
        let cache = memory();
        let large: Vec<u8> = (0..PIECE_BYTES * 2 + 5).map(|i| i as u8).collect();
        put(&cache, &key("", "u"), &large, 10).unwrap();
        assert_eq!(body(&cache.get(&key("", "u"), 11).unwrap().unwrap()), large);
        assert!(!there(&cache, &key("other", "u"), 11));
        let named = Key {
            name: Some(String::new()),
            ..key("", "u")
        };
        assert!(!there(&cache, &named, 11));
        assert!(!there(&cache, &key("", "u"), 110));
        put(&cache, &key("", "v"), b"", 110).unwrap();
        assert_eq!(counts(&cache), (1, 1));
    }

    #[test]
    fn a_reader_keeps_what_is_replaced_meanwhile() {
        let cache = memory();
        let old = vec![1; PIECE_BYTES + 1];
        put(&cache, &key("", "u"), &old, 10).unwrap();
        let reading = cache.get(&key("", "u"), 10).unwrap().unwrap();
        put(&cache, &key("", "u"), b"new", 10).unwrap();
        assert_eq!(
            body(&cache.get(&key("", "u"), 10).unwrap().unwrap()),
            b"new"
        );
        assert_eq!(body(&reading), old);
        assert_eq!(counts(&cache), (2, 3));
        drop(reading);
        assert_eq!(counts(&cache), (1, 1));
        assert!(cache.delete(&key("", "u"), 10).unwrap());
        assert!(!cache.delete(&key("", "u"), 10).unwrap());
        assert_eq!(counts(&cache), (0, 0));
        assert_eq!(cache.lock().sums.len(), 0);
    }

    #[test]
    fn what_is_not_finished_never_was() {
        let cache = memory();
        put(&cache, &key("", "u"), b"old", 10).unwrap();
        let mut writer = cache.put(key("", "u"), head(10));
        writer.write(&vec![0; PIECE_BYTES * 2]).unwrap();
        assert_eq!(counts(&cache), (2, 3));
        drop(writer);
        assert_eq!(
            body(&cache.get(&key("", "u"), 10).unwrap().unwrap()),
            b"old"
        );
        assert_eq!(counts(&cache), (1, 1));
    }

    #[test]
    fn what_nobody_asked_for_longest_makes_room_within_its_owner_or_family() {
        let cache = memory();
        let part = vec![0; 900 * 1024];
        for (url, now) in [("1", 10), ("2", 11), ("3", 12), ("4", 13)] {
            put(&cache, &key("", url), &part, now).unwrap();
        }
        // A use counts once it is a minute old.
        assert!(there(&cache, &key("", "1"), 80));
        put(&cache, &key("", "5"), &part, 81).unwrap();
        assert!(there(&cache, &key("", "1"), 81));
        assert!(!there(&cache, &key("", "2"), 81));

        for (owner, url, now) in [("a", "1", 20), ("a", "2", 21), ("b", "1", 22)] {
            put(&cache, &key(owner, url), &part, now).unwrap();
        }
        // The third of `a` takes its own oldest, the second of `b` the oldest of the family's.
        put(&cache, &key("a", "3"), &part, 23).unwrap();
        assert!(!there(&cache, &key("a", "1"), 23));
        put(&cache, &key("b", "2"), &part, 24).unwrap();
        assert!(!there(&cache, &key("a", "2"), 24));
        assert!(there(&cache, &key("b", "1"), 24));
        assert!(there(&cache, &key("", "5"), 82));
        assert!(matches!(
            put(&cache, &key("b", "3"), &vec![0; 2 * 1024 * 1024], 25),
            Err(WriteError::NoRoom)
        ));
        let inner = cache.lock();
        assert!(inner.sum("") <= ROOM.own && inner.dynamic() <= ROOM.dynamic);
    }

    #[test]
    fn the_next_process_finds_what_was_finished_and_lasts() {
        let folder = std::env::temp_dir().join(format!("mayfly-cache-{}", std::process::id()));
        let store = Store::open(&folder).unwrap();
        let cache = Cache::open(&store, "w", ROOM).unwrap();
        put(&cache, &key("", "u"), b"kept", 10).unwrap();
        let passing = Key {
            passing: true,
            ..key("load/1", "u")
        };
        put(&cache, &passing, b"gone", 10).unwrap();
        let mut unfinished = cache.put(key("", "v"), head(10));
        unfinished.write(&vec![0; PIECE_BYTES]).unwrap();
        // As if this process had been killed here.
        std::mem::forget(unfinished);
        let again = Cache::open(&store, "w", ROOM).unwrap();
        assert_eq!(
            body(&again.get(&key("", "u"), 10).unwrap().unwrap()),
            b"kept"
        );
        assert_eq!(counts(&again), (1, 1));
        assert_eq!(again.lock().sums.len(), 1);
        let other = Cache::open(&store, "x", ROOM).unwrap();
        assert!(!there(&other, &key("", "u"), 10));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
