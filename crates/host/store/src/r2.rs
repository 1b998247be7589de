//! R2: one index per bucket, a database that knows each object and the blobs its bytes are in.
//!
//! Bytes are not here: a blob is a file of its own that `bindings` writes and reads, and here it is only a
//! name, 32 hexadecimal digits. Keys are kept as bytes and compared as bytes. What an object says of itself
//! (metadata, checksums) is text that this file does not read.
//!
//! Invariant: a blob that exists is either in an object's or an upload's row, or in `doomed`. It is entered
//! there before its first byte is written and again, in the same transaction, when its object is replaced or
//! deleted; so a crash at any point leaves whole objects and a list of what may go.

use std::sync::MutexGuard;

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use crate::error::StoreError;
use crate::lock::Mutex;
use crate::place::Store;

/// How long an upload that nobody completes is kept, and the memory of one that was.
const UPLOAD_AGE_MAX_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// The index of a bucket.
#[derive(Debug)]
pub struct Bucket {
    connection: Mutex<Connection>,
}

/// What is known of an object besides its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Of this put and no other.
    pub version: String,
    /// Bytes.
    pub size: u64,
    /// Without quotes.
    pub etag: String,
    /// Milliseconds since the epoch.
    pub uploaded: i64,
    /// `Standard` or `InfrequentAccess`.
    pub storage_class: String,
    /// JSON.
    pub checksums: String,
    /// JSON.
    pub http: String,
    /// JSON.
    pub custom: String,
}

/// Some of an object's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The blob's name.
    pub blob: String,
    /// Its bytes.
    pub size: u64,
}

/// An entry of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// An object.
    Object(String, Box<Meta>),
    /// What keys have in common up to a delimiter.
    Prefix(String),
}

/// Which keys to list.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// They begin with it.
    pub prefix: &'a str,
    /// Where this stands after the prefix, keys are one entry up to it.
    pub delimiter: Option<&'a str>,
    /// The first bytes that may be listed.
    pub from: &'a [u8],
    /// Entries at most.
    pub limit: usize,
    /// Bytes of keys and metadata at most, but for the first entry.
    pub bytes: usize,
    /// With HTTP metadata.
    pub http: bool,
    /// With custom metadata.
    pub custom: bool,
}

/// A page of a list, and the bytes that the next one begins at.
pub type Page = (Vec<Entry>, Option<Vec<u8>>);

/// What comes of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// It is there; these blobs may go.
    Done(Vec<String>),
    /// The object that is there now did not pass.
    Refused,
}

/// An upload in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// `false` after it was completed or aborted.
    pub open: bool,
    /// JSON, as the object will have it.
    pub http: String,
    /// JSON, as the object will have it.
    pub custom: String,
    /// As the object will have it.
    pub storage_class: String,
    /// By number.
    pub parts: Vec<Part>,
}

/// A part of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// From 1 to 10,000.
    pub number: u32,
    /// The MD5 of its bytes, in hexadecimal digits.
    pub etag: String,
    /// Where its bytes are.
    pub segment: Segment,
}

impl Bucket {
    /// Opens or makes the bucket `name`, a plain file name.
    pub fn open(store: &Store, name: &str, now: i64) -> Result<Self, StoreError> {
        let mut connection = store.connection(&["r2", name])?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS objects (
                key BLOB PRIMARY KEY NOT NULL,
                version TEXT NOT NULL,
                size INTEGER NOT NULL,
                etag TEXT NOT NULL,
                uploaded INTEGER NOT NULL,
                storage_class TEXT NOT NULL,
                checksums TEXT NOT NULL,
                http TEXT NOT NULL,
                custom TEXT NOT NULL
            ) STRICT;
            CREATE TABLE IF NOT EXISTS segments (
                key BLOB NOT NULL,
                place INTEGER NOT NULL,
                blob TEXT NOT NULL,
                size INTEGER NOT NULL,
                PRIMARY KEY (key, place)
            ) STRICT, WITHOUT ROWID;
            CREATE TABLE IF NOT EXISTS uploads (
                id TEXT PRIMARY KEY NOT NULL,
                key BLOB NOT NULL,
                began INTEGER NOT NULL,
                open INTEGER NOT NULL,
                storage_class TEXT NOT NULL,
                http TEXT NOT NULL,
                custom TEXT NOT NULL
            ) STRICT, WITHOUT ROWID;
            CREATE TABLE IF NOT EXISTS parts (
                upload TEXT NOT NULL,
                number INTEGER NOT NULL,
                etag TEXT NOT NULL,
                blob TEXT NOT NULL,
                size INTEGER NOT NULL,
                PRIMARY KEY (upload, number)
            ) STRICT, WITHOUT ROWID;
            CREATE TABLE IF NOT EXISTS doomed (blob TEXT PRIMARY KEY NOT NULL) STRICT, WITHOUT ROWID;
            CREATE TABLE IF NOT EXISTS origin (place TEXT NOT NULL) STRICT;",
        )?;
        let transaction = connection.transaction()?;
        let old = now.saturating_sub(UPLOAD_AGE_MAX_MS);
        transaction.execute(
            "INSERT OR IGNORE INTO doomed SELECT blob FROM parts
             WHERE upload IN (SELECT id FROM uploads WHERE began < ?1)",
            [old],
        )?;
        transaction.execute(
            "DELETE FROM parts WHERE upload IN (SELECT id FROM uploads WHERE began < ?1)",
            [old],
        )?;
        transaction.execute("DELETE FROM uploads WHERE began < ?1", [old])?;
        transaction.commit()?;
        Ok(Self {
            connection: Mutex::new(connection),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock()
    }

    /// Says where the blobs are; gives where they were until now if that is elsewhere and there are some.
    pub fn settle_in(&self, place: &str) -> Result<Option<String>, StoreError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        let before: Option<String> = transaction
            .query_row("SELECT place FROM origin", [], |row| row.get(0))
            .optional()?;
        let used: bool = transaction.query_row(
            "SELECT EXISTS (SELECT 1 FROM objects) OR EXISTS (SELECT 1 FROM parts)",
            [],
            |row| row.get(0),
        )?;
        if used && before.as_deref().is_some_and(|before| before != place) {
            return Ok(before);
        }
        transaction.execute("DELETE FROM origin", [])?;
        transaction.execute("INSERT INTO origin (place) VALUES (?1)", [place])?;
        transaction.commit()?;
        Ok(None)
    }

    /// A name that nothing has, for a blob, a version or an upload.
    pub fn fresh_name(&self) -> Result<String, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached("SELECT lower(hex(randomblob(16)))")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    /// Blobs that belong to nothing.
    pub fn doomed(&self) -> Result<Vec<String>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached("SELECT blob FROM doomed")?;
        let names = statement.query_map([], |row| row.get(0))?;
        Ok(names.collect::<Result<_, _>>()?)
    }

    /// Says that a blob is about to be written.
    pub fn begin(&self, blob: &str) -> Result<(), StoreError> {
        let connection = self.lock();
        let mut statement =
            connection.prepare_cached("INSERT OR IGNORE INTO doomed (blob) VALUES (?1)")?;
        statement.execute([blob])?;
        Ok(())
    }

    /// Says that blobs which belonged to nothing are gone.
    pub fn forget(&self, blobs: &[String]) -> Result<(), StoreError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        for blob in blobs {
            settle(&transaction, blob)?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// What is known of an object.
    pub fn head(&self, key: &str) -> Result<Option<Meta>, StoreError> {
        Ok(head(&self.lock(), key.as_bytes())?)
    }

    /// An object and where its bytes are.
    pub fn get(&self, key: &str) -> Result<Option<(Meta, Vec<Segment>)>, StoreError> {
        let mut connection = self.lock();
        // One moment for both questions.
        let transaction = connection.transaction()?;
        let Some(meta) = head(&transaction, key.as_bytes())? else {
            return Ok(None);
        };
        let mut statement = transaction
            .prepare_cached("SELECT blob, size FROM segments WHERE key = ?1 ORDER BY place")?;
        let segments = statement
            .query_map([key.as_bytes()], |row| {
                Ok(Segment {
                    blob: row.get(0)?,
                    size: unsigned(row, 1)?,
                })
            })?
            .collect::<Result<_, _>>()?;
        Ok(Some((meta, segments)))
    }

    /// Puts an object in the place of what is there, if `passes` likes that.
    pub fn put(
        &self,
        key: &str,
        meta: &Meta,
        segments: &[Segment],
        passes: impl FnOnce(Option<&Meta>) -> bool,
    ) -> Result<Written, StoreError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        if !passes(head(&transaction, key.as_bytes())?.as_ref()) {
            return Ok(Written::Refused);
        }
        let old = place(&transaction, key.as_bytes(), meta, segments)?;
        transaction.commit()?;
        Ok(Written::Done(old))
    }

    /// Removes objects, whether or not they are there. The blobs may go.
    pub fn delete<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a str>,
    ) -> Result<Vec<String>, StoreError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        let mut old = Vec::new();
        for key in keys {
            remove(&transaction, key.as_bytes(), &mut old)?;
        }
        transaction.commit()?;
        Ok(old)
    }

    /// A page of a list, in the order of the keys' bytes.
    pub fn list(&self, question: &Question<'_>) -> Result<Page, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT version, size, etag, uploaded, storage_class, checksums, http, custom, key
             FROM objects WHERE key >= ?1 ORDER BY key",
        )?;
        let prefix = question.prefix.as_bytes();
        let mut from = question.from.max(prefix).to_vec();
        let mut entries = Vec::new();
        let mut bytes = 0_usize;
        // Each round lists up to the next group of keys, which it leaps over.
        'rounds: loop {
            let mut rows = statement.query([&from])?;
            while let Some(row) = rows.next()? {
                let key: Vec<u8> = row.get(8)?;
                if !key.starts_with(prefix) {
                    break 'rounds;
                }
                let group = question
                    .delimiter
                    .and_then(|delimiter| group(&key, prefix.len(), delimiter.as_bytes()));
                let (entry, weight) = match group {
                    Some(group) => (Entry::Prefix(text(group)), group.len()),
                    None => {
                        let mut meta = meta(row)?;
                        if !question.http {
                            meta.http = String::new();
                        }
                        if !question.custom {
                            meta.custom = String::new();
                        }
                        let weight = meta.http.len() + meta.custom.len() + key.len();
                        (Entry::Object(text(&key), Box::new(meta)), weight)
                    }
                };
                bytes = bytes.saturating_add(weight);
                let full = entries.len() >= question.limit || bytes > question.bytes;
                if full && !entries.is_empty() {
                    return Ok((entries, Some(key)));
                }
                entries.push(entry);
                if let Some(group) = group {
                    let Some(next) = successor(group) else {
                        break 'rounds;
                    };
                    from = next;
                    continue 'rounds;
                }
            }
            break;
        }
        Ok((entries, None))
    }

    /// Begins an upload in parts.
    pub fn create_upload(
        &self,
        id: &str,
        key: &str,
        upload: &Upload,
        now: i64,
    ) -> Result<(), StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "INSERT INTO uploads (id, key, began, open, storage_class, http, custom)
             VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6)",
        )?;
        statement.execute(params![
            id,
            key.as_bytes(),
            now,
            upload.storage_class,
            upload.http,
            upload.custom
        ])?;
        Ok(())
    }

    /// An upload of `key` and its parts.
    pub fn upload(&self, id: &str, key: &str) -> Result<Option<Upload>, StoreError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        Ok(find_upload(&transaction, id, key)?)
    }

    /// Adds a part, or puts it in the place of one; `Refused` where there is no such upload.
    pub fn add_part(&self, id: &str, key: &str, part: &Part) -> Result<Written, StoreError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        let open = transaction
            .prepare_cached("SELECT open FROM uploads WHERE id = ?1 AND key = ?2")?
            .query_row(params![id, key.as_bytes()], |row| row.get::<_, bool>(0))
            .optional()?;
        if open != Some(true) {
            return Ok(Written::Refused);
        }
        let before: Option<String> = transaction
            .prepare_cached("SELECT blob FROM parts WHERE upload = ?1 AND number = ?2")?
            .query_row(params![id, part.number], |row| row.get(0))
            .optional()?;
        transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO parts (upload, number, etag, blob, size)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                id,
                part.number,
                part.etag,
                part.segment.blob,
                signed(part.segment.size)
            ])?;
        settle(&transaction, &part.segment.blob)?;
        let mut old = Vec::new();
        if let Some(blob) = before {
            doom(&transaction, blob, &mut old)?;
        }
        transaction.commit()?;
        Ok(Written::Done(old))
    }

    /// Makes an object of what `choose` takes of an upload's parts.
    pub fn complete<E>(
        &self,
        id: &str,
        key: &str,
        choose: impl FnOnce(Option<&Upload>) -> Result<(Meta, Vec<Segment>), E>,
    ) -> Result<Result<(Meta, Vec<String>), E>, StoreError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        let upload = find_upload(&transaction, id, key)?;
        let (meta, segments) = match choose(upload.as_ref()) {
            Ok(chosen) => chosen,
            Err(error) => return Ok(Err(error)),
        };
        let mut old = place(&transaction, key.as_bytes(), &meta, &segments)?;
        for part in upload.into_iter().flat_map(|upload| upload.parts) {
            if !segments.contains(&part.segment) {
                doom(&transaction, part.segment.blob, &mut old)?;
            }
        }
        close(&transaction, id)?;
        transaction.commit()?;
        Ok(Ok((meta, old)))
    }

    /// Ends an upload; `Refused` where it never was. One that has ended stays ended.
    pub fn abort(&self, id: &str, key: &str) -> Result<Written, StoreError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        let Some(upload) = find_upload(&transaction, id, key)? else {
            return Ok(Written::Refused);
        };
        let mut old = Vec::new();
        for part in upload.parts {
            doom(&transaction, part.segment.blob, &mut old)?;
        }
        close(&transaction, id)?;
        transaction.commit()?;
        Ok(Written::Done(old))
    }
}

fn head(connection: &Connection, key: &[u8]) -> Result<Option<Meta>, rusqlite::Error> {
    let mut statement = connection.prepare_cached(
        "SELECT version, size, etag, uploaded, storage_class, checksums, http, custom
         FROM objects WHERE key = ?1",
    )?;
    statement.query_row([key], meta).optional()
}

fn meta(row: &Row<'_>) -> Result<Meta, rusqlite::Error> {
    Ok(Meta {
        version: row.get(0)?,
        size: unsigned(row, 1)?,
        etag: row.get(2)?,
        uploaded: row.get(3)?,
        storage_class: row.get(4)?,
        checksums: row.get(5)?,
        http: row.get(6)?,
        custom: row.get(7)?,
    })
}

fn unsigned(row: &Row<'_>, column: usize) -> Result<u64, rusqlite::Error> {
    let number: i64 = row.get(column)?;
    Ok(u64::try_from(number).unwrap_or(0))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Keys come as text and go as text.
fn text(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

/// What `key` has up to the first delimiter after its prefix, that included.
fn group<'a>(key: &'a [u8], prefix: usize, delimiter: &[u8]) -> Option<&'a [u8]> {
    if delimiter.is_empty() {
        return None;
    }
    let rest = key.get(prefix..)?;
    let at = rest
        .windows(delimiter.len())
        .position(|window| window == delimiter)?;
    key.get(..prefix + at + delimiter.len())
}

/// The first bytes after all that begin with these.
fn successor(bytes: &[u8]) -> Option<Vec<u8>> {
    let last = bytes.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut next = bytes.get(..=last)?.to_vec();
    if let Some(byte) = next.last_mut() {
        *byte += 1;
    }
    Some(next)
}

fn doom(
    transaction: &Transaction<'_>,
    blob: String,
    old: &mut Vec<String>,
) -> Result<(), rusqlite::Error> {
    transaction
        .prepare_cached("INSERT OR IGNORE INTO doomed (blob) VALUES (?1)")?
        .execute([&blob])?;
    old.push(blob);
    Ok(())
}

fn settle(transaction: &Transaction<'_>, blob: &str) -> Result<(), rusqlite::Error> {
    transaction
        .prepare_cached("DELETE FROM doomed WHERE blob = ?1")?
        .execute([blob])?;
    Ok(())
}

fn remove(
    transaction: &Transaction<'_>,
    key: &[u8],
    old: &mut Vec<String>,
) -> Result<(), rusqlite::Error> {
    let blobs: Vec<String> = transaction
        .prepare_cached("DELETE FROM segments WHERE key = ?1 RETURNING blob")?
        .query_map([key], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for blob in blobs {
        doom(transaction, blob, old)?;
    }
    transaction
        .prepare_cached("DELETE FROM objects WHERE key = ?1")?
        .execute([key])?;
    Ok(())
}

/// Puts an object in the place of what is there, and gives the blobs of that.
fn place(
    transaction: &Transaction<'_>,
    key: &[u8],
    meta: &Meta,
    segments: &[Segment],
) -> Result<Vec<String>, rusqlite::Error> {
    let mut old = Vec::new();
    remove(transaction, key, &mut old)?;
    transaction
        .prepare_cached(
            "INSERT INTO objects
             (key, version, size, etag, uploaded, storage_class, checksums, http, custom)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            key,
            meta.version,
            signed(meta.size),
            meta.etag,
            meta.uploaded,
            meta.storage_class,
            meta.checksums,
            meta.http,
            meta.custom
        ])?;
    for (place, segment) in (0_i64..).zip(segments) {
        transaction
            .prepare_cached(
                "INSERT INTO segments (key, place, blob, size) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![key, place, segment.blob, signed(segment.size)])?;
        settle(transaction, &segment.blob)?;
    }
    Ok(old)
}

fn find_upload(
    transaction: &Transaction<'_>,
    id: &str,
    key: &str,
) -> Result<Option<Upload>, rusqlite::Error> {
    let upload = transaction
        .prepare_cached(
            "SELECT open, http, custom, storage_class FROM uploads WHERE id = ?1 AND key = ?2",
        )?
        .query_row(params![id, key.as_bytes()], |row| {
            Ok(Upload {
                open: row.get(0)?,
                http: row.get(1)?,
                custom: row.get(2)?,
                storage_class: row.get(3)?,
                parts: Vec::new(),
            })
        })
        .optional()?;
    let Some(mut upload) = upload else {
        return Ok(None);
    };
    upload.parts = transaction
        .prepare_cached(
            "SELECT number, etag, blob, size FROM parts WHERE upload = ?1 ORDER BY number",
        )?
        .query_map([id], |row| {
            Ok(Part {
                number: row.get(0)?,
                etag: row.get(1)?,
                segment: Segment {
                    blob: row.get(2)?,
                    size: unsigned(row, 3)?,
                },
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(Some(upload))
}

fn close(transaction: &Transaction<'_>, id: &str) -> Result<(), rusqlite::Error> {
    transaction
        .prepare_cached("DELETE FROM parts WHERE upload = ?1")?
        .execute([id])?;
    transaction
        .prepare_cached("UPDATE uploads SET open = 0 WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket() -> Bucket {
        Bucket::open(&Store::ephemeral().unwrap(), "b", 0).unwrap()
    }

    fn meta(etag: &str) -> Meta {
        Meta {
            version: "v".to_owned(),
            size: 1,
            etag: etag.to_owned(),
            uploaded: 5,
            storage_class: "Standard".to_owned(),
            checksums: "{}".to_owned(),
            http: "{}".to_owned(),
            custom: "[]".to_owned(),
        }
    }

    fn segment(blob: &str) -> Segment {
        Segment {
            blob: blob.to_owned(),
            size: 1,
        }
    }

    fn put(bucket: &Bucket, key: &str, blob: &str) -> Written {
        bucket.begin(blob).unwrap();
        let segments = [segment(blob)];
        bucket.put(key, &meta(blob), &segments, |_| true).unwrap()
    }

    fn listed(bucket: &Bucket, prefix: &str, delimiter: Option<&str>, limit: usize) -> Vec<String> {
        let mut from = Vec::new();
        let mut names = Vec::new();
        loop {
            let question = Question {
                prefix,
                delimiter,
                from: &from,
                limit,
                bytes: 1 << 20,
                http: false,
                custom: false,
            };
            let (entries, next) = bucket.list(&question).unwrap();
            assert!(entries.len() <= limit);
            names.extend(entries.into_iter().map(|entry| match entry {
                Entry::Object(key, _) => key,
                Entry::Prefix(prefix) => format!("{prefix}*"),
            }));
            match next {
                Some(next) => from = next,
                None => return names,
            }
        }
    }

    #[test]
    fn a_blob_is_doomed_until_an_object_has_it_and_again_when_none_has() {
        let bucket = bucket();
        bucket.begin("x").unwrap();
        assert_eq!(bucket.doomed().unwrap(), ["x"]);
        assert_eq!(put(&bucket, "k", "x"), Written::Done(vec![]));
        assert!(bucket.doomed().unwrap().is_empty());
        assert_eq!(put(&bucket, "k", "y"), Written::Done(vec!["x".to_owned()]));
        assert_eq!(bucket.doomed().unwrap(), ["x"]);
        bucket.forget(&["x".to_owned()]).unwrap();
        assert_eq!(bucket.delete(["k", "never"]).unwrap(), ["y"]);
        assert_eq!(bucket.doomed().unwrap(), ["y"]);
        assert_eq!(bucket.get("k").unwrap(), None);
    }

    #[test]
    fn blobs_that_are_somewhere_are_not_looked_for_elsewhere() {
        let bucket = bucket();
        assert_eq!(bucket.settle_in("here").unwrap(), None);
        assert_eq!(bucket.settle_in("there").unwrap(), None);
        put(&bucket, "k", "x");
        assert_eq!(bucket.settle_in("there").unwrap(), None);
        assert_eq!(bucket.settle_in("here").unwrap().as_deref(), Some("there"));
    }

    #[test]
    fn what_does_not_pass_changes_nothing() {
        let bucket = bucket();
        put(&bucket, "k", "x");
        bucket.begin("y").unwrap();
        let refused = bucket.put("k", &meta("y"), &[segment("y")], |now| now.is_none());
        assert_eq!(refused.unwrap(), Written::Refused);
        assert_eq!(bucket.doomed().unwrap(), ["y"]);
        let (now, segments) = bucket.get("k").unwrap().unwrap();
        assert_eq!((now.etag.as_str(), segments), ("x", vec![segment("x")]));
    }

    #[test]
    fn lists_leap_over_groups_page_by_page() {
        let bucket = bucket();
        let keys = [
            "a",
            "a/1",
            "a/2",
            "a/2/3",
            "a0",
            "b//",
            "é/1",
            "\0",
            "z\u{10ffff}",
        ];
        for key in keys {
            put(&bucket, key, key);
        }
        let all = [
            "\0",
            "a",
            "a/1",
            "a/2",
            "a/2/3",
            "a0",
            "b//",
            "z\u{10ffff}",
            "é/1",
        ];
        for limit in [1, 2, 3, 100] {
            assert_eq!(listed(&bucket, "", None, limit), all);
            let groups = ["\0", "a", "a/*", "a0", "b/*", "z\u{10ffff}", "é/*"];
            assert_eq!(listed(&bucket, "", Some("/"), limit), groups);
            assert_eq!(
                listed(&bucket, "a/", Some("/"), limit),
                ["a/1", "a/2", "a/2/*"]
            );
        }
        assert_eq!(
            listed(&bucket, "z", Some("\u{10ffff}"), 1),
            ["z\u{10ffff}*"]
        );
        assert!(listed(&bucket, "nothing", None, 5).is_empty());
    }

    #[test]
    fn an_upload_becomes_one_object_and_leaves_no_part() {
        let bucket = bucket();
        let upload = Upload {
            open: true,
            http: "{}".to_owned(),
            custom: "[]".to_owned(),
            storage_class: "Standard".to_owned(),
            parts: Vec::new(),
        };
        bucket.create_upload("u", "k", &upload, 0).unwrap();
        let part = |number: u32, blob: &str| Part {
            number,
            etag: blob.to_owned(),
            segment: segment(blob),
        };
        for (number, blob) in [(2, "p2"), (1, "p1"), (3, "p3")] {
            let added = bucket.add_part("u", "k", &part(number, blob)).unwrap();
            assert_eq!(added, Written::Done(vec![]));
        }
        let again = bucket.add_part("u", "k", &part(2, "p2b")).unwrap();
        assert_eq!(again, Written::Done(vec!["p2".to_owned()]));
        assert_eq!(
            bucket.add_part("u", "other", &part(1, "x")).unwrap(),
            Written::Refused
        );
        let done = bucket.complete("u", "k", |upload| {
            let parts = &upload.unwrap().parts;
            let chosen = parts.iter().take(2).map(|part| part.segment.clone());
            Ok::<_, ()>((meta("whole"), chosen.collect()))
        });
        let (_, old) = done.unwrap().unwrap();
        assert_eq!(old, ["p3"]);
        let (_, segments) = bucket.get("k").unwrap().unwrap();
        assert_eq!(segments, [segment("p1"), segment("p2b")]);
        assert_eq!(bucket.abort("u", "k").unwrap(), Written::Done(vec![]));
        assert_eq!(bucket.abort("v", "k").unwrap(), Written::Refused);
        assert!(!bucket.upload("u", "k").unwrap().unwrap().open);
    }
}
