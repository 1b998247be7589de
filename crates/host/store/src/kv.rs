//! Workers KV: one database per namespace, keys in the order of their UTF-8 bytes.
//!
//! An entry that has expired is gone for every reader at that moment, and leaves the file at a later
//! write. Limits are checked by `bindings`; here a key is any string and a value any bytes.

use std::sync::MutexGuard;

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::StoreError;
use crate::lock::Mutex;
use crate::place::Store;

/// Expired entries that one write removes at most.
const EXPIRED_PER_WRITE_MAX: u32 = 100;

/// A namespace.
#[derive(Debug)]
pub struct Kv {
    connection: Mutex<Connection>,
}

/// What a key has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Vec<u8>,
    /// JSON, as it was given.
    pub metadata: Option<String>,
    /// Seconds since the epoch.
    pub expires: Option<i64>,
}

/// A key in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The key.
    pub name: String,
    /// JSON, as it was given.
    pub metadata: Option<String>,
    /// Seconds since the epoch.
    pub expires: Option<i64>,
}

impl Kv {
    /// Opens or makes the namespace `id`, a plain file name.
    pub fn open(store: &Store, id: &str) -> Result<Self, StoreError> {
        let connection = store.connection(&["kv", id])?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS entries (
                key TEXT PRIMARY KEY NOT NULL,
                value BLOB NOT NULL,
                metadata TEXT,
                expires INTEGER
            ) STRICT;
            CREATE INDEX IF NOT EXISTS expiring ON entries (expires) WHERE expires IS NOT NULL;",
        )?;
        Ok(Self {
            connection: Mutex::new(connection),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock()
    }

    /// What `key` has at `now` (seconds since the epoch).
    pub fn get(&self, key: &str, now: i64) -> Result<Option<Entry>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT value, metadata, expires FROM entries
             WHERE key = ?1 AND (expires IS NULL OR expires > ?2)",
        )?;
        let entry = statement
            .query_row(params![key, now], |row| {
                Ok(Entry {
                    value: row.get(0)?,
                    metadata: row.get(1)?,
                    expires: row.get(2)?,
                })
            })
            .optional()?;
        Ok(entry)
    }

    /// Writes one entry.
    pub fn put(&self, key: &str, entry: &Entry, now: i64) -> Result<(), StoreError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        transaction
            .prepare_cached(
                "DELETE FROM entries WHERE key IN
                 (SELECT key FROM entries WHERE expires <= ?1 LIMIT ?2)",
            )?
            .execute(params![now, EXPIRED_PER_WRITE_MAX])?;
        transaction
            .prepare_cached(
                "INSERT INTO entries (key, value, metadata, expires) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (key) DO UPDATE SET
                 value = excluded.value, metadata = excluded.metadata, expires = excluded.expires",
            )?
            .execute(params![key, entry.value, entry.metadata, entry.expires])?;
        transaction.commit()?;
        Ok(())
    }

    /// Removes keys, whether or not they are there.
    pub fn delete<'a>(&self, keys: impl IntoIterator<Item = &'a str>) -> Result<(), StoreError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        {
            let mut statement = transaction.prepare_cached("DELETE FROM entries WHERE key = ?1")?;
            for key in keys {
                statement.execute([key])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// At most `count` keys that begin with `prefix` and come after `after`.
    pub fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        count: usize,
        now: i64,
    ) -> Result<Vec<Listed>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT key, metadata, expires FROM entries
             WHERE key >= ?1 AND (?2 IS NULL OR key > ?2) AND (expires IS NULL OR expires > ?3)
             ORDER BY key LIMIT ?4",
        )?;
        let limit = i64::try_from(count).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![prefix, after, now, limit], |row| {
            Ok(Listed {
                name: row.get(0)?,
                metadata: row.get(1)?,
                expires: row.get(2)?,
            })
        })?;
        let mut listed = Vec::new();
        for row in rows {
            let row = row?;
            // In the order of bytes, all keys of a prefix stand together.
            if !row.name.starts_with(prefix) {
                break;
            }
            listed.push(row);
        }
        Ok(listed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(value: &str, expires: Option<i64>) -> Entry {
        Entry {
            value: value.as_bytes().to_vec(),
            metadata: None,
            expires,
        }
    }

    fn names(kv: &Kv, prefix: &str, after: Option<&str>, count: usize) -> Vec<String> {
        let listed = kv.list(prefix, after, count, 100).unwrap();
        listed.into_iter().map(|key| key.name).collect()
    }

    #[test]
    fn entries_expire_for_readers_at_once_and_leave_at_a_write() {
        let kv = Kv::open(&Store::ephemeral().unwrap(), "n").unwrap();
        kv.put("a", &entry("1", Some(50)), 0).unwrap();
        assert_eq!(kv.get("a", 49).unwrap(), Some(entry("1", Some(50))));
        assert_eq!(kv.get("a", 50).unwrap(), None);
        assert!(names(&kv, "", None, 10).is_empty());
        kv.put("b", &entry("2", None), 60).unwrap();
        let rows = |kv: &Kv| -> i64 {
            let count = "SELECT count(*) FROM entries";
            kv.lock().query_row(count, [], |row| row.get(0)).unwrap()
        };
        assert_eq!(rows(&kv), 1);
    }

    #[test]
    fn lists_go_by_bytes_prefix_and_place() {
        let kv = Kv::open(&Store::ephemeral().unwrap(), "n").unwrap();
        for key in ["a", "ab", "ab\u{10ffff}", "b", "%", "é", "A"] {
            kv.put(key, &entry(key, None), 0).unwrap();
        }
        assert_eq!(names(&kv, "ab", None, 10), ["ab", "ab\u{10ffff}"]);
        assert_eq!(names(&kv, "", None, 3), ["%", "A", "a"]);
        assert_eq!(names(&kv, "", Some("a"), 2), ["ab", "ab\u{10ffff}"]);
        assert_eq!(names(&kv, "é", None, 10), ["é"]);
        assert!(names(&kv, "zz", None, 10).is_empty());
    }

    #[test]
    fn what_was_put_is_there_in_the_next_process_until_it_is_deleted() {
        let folder = std::env::temp_dir().join(format!("mayfly-kv-{}", std::process::id()));
        let store = Store::open(&folder).unwrap();
        let kept = Entry {
            value: vec![0, 255],
            metadata: Some("{\"a\":1}".to_owned()),
            expires: Some(1 << 40),
        };
        Kv::open(&store, "n").unwrap().put("k", &kept, 0).unwrap();
        let again = Kv::open(&store, "n").unwrap();
        assert_eq!(again.get("k", 0).unwrap(), Some(kept));
        again.delete(["k", "never there"]).unwrap();
        assert_eq!(Kv::open(&store, "n").unwrap().get("k", 0).unwrap(), None);
        drop(store);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
