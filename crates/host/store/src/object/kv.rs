//! Keys and values: `storage.get()` and its kind, in the table `_cf_KV` beside the Worker's own.
//!
//! Values are bytes of the platform's codec, which the host never reads. Keys are ordered by their
//! UTF-8, as SQLite compares text.

use super::{Answer, Database, Failed, KEY_BYTES_MAX, KEYS_MAX, VALUE_BYTES_MAX, run};
use mayfly_wire::{Blob, StorageResult};
use rusqlite::{OptionalExtension, ToSql, params};

/// Bytes of one `list`: what does not fit into a Worker's heap several times over is an error.
const LIST_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Entries of one `list`; a list of the wire holds no more.
const LIST_ENTRIES_MAX: usize = 60_000;

/// Which entries `list` gives.
#[derive(Debug)]
pub struct Range {
    pub start: Option<String>,
    pub start_after: bool,
    pub end: Option<String>,
    pub prefix: String,
    pub reverse: bool,
    pub limit: Option<u32>,
}

impl Database {
    pub(super) fn get(&mut self, keys: &[String]) -> Answer {
        check_keys(keys.iter())?;
        if !self.has_kv()? {
            let values = vec![None; keys.len()];
            return Ok(StorageResult::Values { values });
        }
        let open = self.open()?;
        let found = open.trusted("get", |connection| {
            let mut statement =
                connection.prepare_cached("SELECT value FROM _cf_KV WHERE key = ?")?;
            keys.iter()
                .map(|key| {
                    let value = statement.query_row([key], |row| row.get::<_, Vec<u8>>(0));
                    value.optional().map(|value| value.map(Blob))
                })
                .collect::<rusqlite::Result<Vec<_>>>()
        });
        let values = found.map_err(|error| self.explain(&error))?;
        Ok(StorageResult::Values { values })
    }

    pub(super) fn put(&mut self, entries: &[(String, Blob)]) -> Answer {
        check_keys(entries.iter().map(|(key, _)| key))?;
        for (key, value) in entries {
            if key.len() + value.0.len() > VALUE_BYTES_MAX {
                return Err(Failed::error(format!(
                    "Values cannot be larger than {VALUE_BYTES_MAX} bytes, key included; this one \
                     has {} bytes: SQLITE_TOOBIG",
                    key.len() + value.0.len()
                )));
            }
        }
        let open = self.writing()?;
        let has_kv = open.has_kv;
        let put = open.trusted("put", |connection| {
            if !has_kv {
                run(
                    connection,
                    "CREATE TABLE IF NOT EXISTS _cf_KV (key TEXT PRIMARY KEY, value BLOB) \
                     WITHOUT ROWID",
                )?;
            }
            let mut statement = connection.prepare_cached(
                "INSERT INTO _cf_KV (key, value) VALUES (?, ?)
                 ON CONFLICT DO UPDATE SET value = excluded.value",
            )?;
            for (key, value) in entries {
                statement.execute(params![key, value.0])?;
            }
            Ok(())
        });
        match put {
            Ok(()) => {
                open.has_kv = true;
                Ok(StorageResult::Done {})
            }
            Err(error) => Err(self.explain(&error)),
        }
    }

    pub(super) fn delete(&mut self, keys: &[String]) -> Answer {
        check_keys(keys.iter())?;
        if !self.has_kv()? {
            return Ok(StorageResult::Count { count: 0 });
        }
        let open = self.writing()?;
        let deleted = open.trusted("delete", |connection| {
            let mut statement = connection.prepare_cached("DELETE FROM _cf_KV WHERE key = ?")?;
            let mut count = 0;
            for key in keys {
                count += statement.execute([key])?;
            }
            Ok(count)
        });
        let count = deleted.map_err(|error| self.explain(&error))?;
        Ok(StorageResult::Count {
            count: count as u64,
        })
    }

    pub(super) fn list(&mut self, range: Range) -> Answer {
        if !self.has_kv()? {
            return Ok(StorageResult::Entries {
                entries: Vec::new(),
            });
        }
        let mut sql = "SELECT key, value FROM _cf_KV WHERE 1".to_owned();
        let mut values: Vec<&dyn ToSql> = Vec::new();
        if let Some(start) = &range.start {
            sql.push_str(if range.start_after {
                " AND key > ?"
            } else {
                " AND key >= ?"
            });
            values.push(start);
        }
        if let Some(end) = &range.end {
            sql.push_str(" AND key < ?");
            values.push(end);
        }
        let after_prefix = successor(&range.prefix);
        if !range.prefix.is_empty() {
            sql.push_str(" AND key >= ?");
            values.push(&range.prefix);
            if let Some(after) = &after_prefix {
                sql.push_str(" AND key < ?");
                values.push(after);
            }
        }
        sql.push_str(if range.reverse {
            " ORDER BY key DESC"
        } else {
            " ORDER BY key"
        });
        if let Some(limit) = &range.limit {
            sql.push_str(" LIMIT ?");
            values.push(limit);
        }
        let open = self.open()?;
        let found = open.trusted("list", |connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query(values.as_slice())?;
            let mut entries = Vec::new();
            let mut bytes = 0;
            while let Some(row) = rows.next()? {
                let (key, value): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
                bytes += key.len() + value.len();
                if bytes > LIST_BYTES_MAX || entries.len() >= LIST_ENTRIES_MAX {
                    return Ok(None);
                }
                entries.push((key, Blob(value)));
            }
            Ok(Some(entries))
        });
        match found {
            Ok(Some(entries)) => Ok(StorageResult::Entries { entries }),
            Ok(None) => Err(Failed::error(format!(
                "list() found more than {LIST_ENTRIES_MAX} entries or {LIST_BYTES_MAX} bytes: give \
                 it a limit"
            ))),
            Err(error) => Err(self.explain(&error)),
        }
    }

    /// Whether the table of keys is there.
    fn has_kv(&mut self) -> Result<bool, Failed> {
        if !self.has_file() {
            return Ok(false);
        }
        if self.open()?.has_kv {
            return Ok(true);
        }
        let has = self.has_table("_cf_KV")?;
        self.open()?.has_kv = has;
        Ok(has)
    }

    pub(super) fn has_table(&mut self, name: &str) -> Result<bool, Failed> {
        let open = self.open()?;
        let found = open.trusted("table", |connection| {
            connection
                .prepare_cached("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?")?
                .exists([name])
        });
        found.map_err(|error| self.explain(&error))
    }

    /// Whether there is a table of that name which we have not made.
    pub(super) fn is_table_foreign(&mut self, name: &str) -> Result<bool, Failed> {
        let open = self.open()?;
        let found = open.trusted("table", |connection| {
            connection
                .query_row(
                    "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ? COLLATE NOCASE",
                    [name],
                    |row| row.get::<_, String>(0),
                )
                .optional()
        });
        let sql = found.map_err(|error| self.explain(&error))?;
        let ours = [
            "CREATE TABLE _cf_KV (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID",
            "CREATE TABLE _cf_METADATA (key INTEGER PRIMARY KEY, value BLOB)",
        ];
        Ok(sql.is_some_and(|sql| !ours.contains(&sql.as_str())))
    }
}

fn check_keys<'a>(keys: impl ExactSizeIterator<Item = &'a String>) -> Result<(), Failed> {
    if keys.len() > KEYS_MAX {
        return Err(Failed::error(format!(
            "Maximum number of keys is {KEYS_MAX}."
        )));
    }
    for key in keys {
        if key.len() > KEY_BYTES_MAX {
            return Err(Failed::error(format!(
                "Keys cannot be larger than {KEY_BYTES_MAX} bytes."
            )));
        }
    }
    Ok(())
}

/// The first text behind all that begin with `prefix`; `None` where there is none.
fn successor(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // Surrogates are no characters.
        let next = match u32::from(last) {
            0xd7ff => Some('\u{e000}'),
            code => char::from_u32(code + 1),
        };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}
