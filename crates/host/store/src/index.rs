//! What a host must know without opening every object: its namespaces, and who has an alarm when.
//!
//! A namespace is a class of a Worker's. Its folder and its key are made once and stay when the class
//! is renamed or moved to another Worker, so that ids stay what they were.
//!
//! An alarm's time stands in the object's own database; the index is told before that is committed and
//! keeps the earlier of the two until it has been. So it may wake an object for nothing, and never
//! sleeps through an alarm.

use crate::error::StoreError;
use crate::id::{KEY_BYTES, ObjectId, digest, hex};
use crate::lock::Mutex;
use crate::object::Syncer;
use crate::place::Store;
use crate::seal::Sealer;
use rusqlite::{Connection, OptionalExtension, params};
use std::path::Path;

/// A class's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// Its folder's name.
    pub folder: String,
    /// What its ids are made with.
    pub key: [u8; KEY_BYTES],
    /// `storage.sql` may be used.
    pub sql: bool,
}

/// A namespace and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceInfo {
    /// The Worker's name.
    pub worker: String,
    /// The class's export name.
    pub class: String,
    /// The namespace.
    pub namespace: Namespace,
}

/// An object that wants to be woken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// Folder of its namespace.
    pub folder: String,
    /// Which.
    pub id: ObjectId,
    /// When, in milliseconds since the epoch.
    pub time_ms: u64,
}

/// One step of a migration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each name says it")]
pub enum ClassChange {
    New {
        class: String,
        sql: bool,
    },
    Renamed {
        from: String,
        to: String,
    },
    Deleted {
        class: String,
    },
    Transferred {
        worker: String,
        from: String,
        to: String,
    },
}

/// What [`Store::migrate`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// All of it.
    Now,
    /// Nothing: it had been applied before.
    Before,
}

#[derive(Debug)]
pub(crate) struct Index {
    connection: Mutex<Connection>,
    syncer: Option<Syncer>,
    /// Of stubs that objects store.
    sealer: Sealer,
}

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS namespaces (
        worker TEXT NOT NULL, class TEXT NOT NULL, folder TEXT NOT NULL UNIQUE,
        key BLOB NOT NULL, sql INTEGER NOT NULL, PRIMARY KEY (worker, class)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS migrations (
        worker TEXT NOT NULL, tag TEXT NOT NULL, PRIMARY KEY (worker, tag)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS doomed (folder TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS alarms (
        folder TEXT NOT NULL, id TEXT NOT NULL, time_ms INTEGER NOT NULL,
        PRIMARY KEY (folder, id)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
    INSERT OR IGNORE INTO secrets (name, value) VALUES ('stubs', randomblob(32));";

impl Index {
    pub fn new(connection: Connection, path: Option<&Path>) -> Result<Self, StoreError> {
        connection.execute_batch(
            "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;",
        )?;
        connection.execute_batch(SCHEMA)?;
        let secret = "SELECT value FROM secrets WHERE name = 'stubs'";
        let secret: Vec<u8> = connection.query_row(secret, [], |row| row.get(0))?;
        Ok(Self {
            sealer: Sealer::new(&secret),
            connection: Mutex::new(connection),
            syncer: path.and_then(Syncer::of),
        })
    }
}

type Found = (String, Vec<u8>, bool);

fn namespace_of((folder, key, sql): Found) -> Option<Namespace> {
    Some(Namespace {
        folder,
        key: key.try_into().ok()?,
        sql,
    })
}

impl Store {
    /// What only this state can make, change or read.
    pub fn seal(&self, said: &[u8]) -> Vec<u8> {
        self.index.sealer.seal(said)
    }

    /// What this state has sealed.
    pub fn open_sealed(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        self.index.sealer.open(sealed)
    }

    /// The namespace of a class, if it has one.
    pub fn namespace(&self, worker: &str, class: &str) -> Result<Option<Namespace>, StoreError> {
        let connection = self.index.connection.lock();
        find(&connection, worker, class)
    }

    /// The namespace of a class, made where it has none.
    pub fn make_namespace(
        &self,
        worker: &str,
        class: &str,
        sql: bool,
    ) -> Result<Namespace, StoreError> {
        let connection = self.index.connection.lock();
        make(&connection, worker, class, sql)
    }

    /// All namespaces.
    pub fn namespaces(&self) -> Result<Vec<NamespaceInfo>, StoreError> {
        let connection = self.index.connection.lock();
        let mut statement = connection
            .prepare("SELECT worker, class, folder, key, sql FROM namespaces ORDER BY 1, 2")?;
        let rows = statement.query_map([], |row| {
            let found = (row.get(2)?, row.get(3)?, row.get(4)?);
            Ok((row.get(0)?, row.get(1)?, found))
        })?;
        let mut all = Vec::new();
        for row in rows {
            let (worker, class, found) = row?;
            if let Some(namespace) = namespace_of(found) {
                all.push(NamespaceInfo {
                    worker,
                    class,
                    namespace,
                });
            }
        }
        Ok(all)
    }

    /// Applies a Worker's migration, unless its tag was applied before. All of it or nothing; data of
    /// deleted classes is deleted at last.
    pub fn migrate(
        &self,
        worker: &str,
        tag: &str,
        changes: &[ClassChange],
    ) -> Result<Applied, StoreError> {
        let mut connection = self.index.connection.lock();
        let transaction = connection.transaction()?;
        let fresh = transaction.execute(
            "INSERT OR IGNORE INTO migrations (worker, tag) VALUES (?, ?)",
            params![worker, tag],
        )?;
        if fresh == 0 {
            return Ok(Applied::Before);
        }
        let migration = Migration {
            store: self,
            connection: &transaction,
            worker,
        };
        for change in changes {
            migration.apply(change)?;
        }
        transaction.commit()?;
        drop(connection);
        self.delete_doomed()?;
        Ok(Applied::Now)
    }

    /// Tags of a Worker's migrations that were applied.
    pub fn migrations(&self, worker: &str) -> Result<Vec<String>, StoreError> {
        let connection = self.index.connection.lock();
        let mut statement =
            connection.prepare("SELECT tag FROM migrations WHERE worker = ? ORDER BY tag")?;
        let tags = statement.query_map(params![worker], |row| row.get(0))?;
        Ok(tags.collect::<Result<_, _>>()?)
    }

    /// Deletes what deleted classes stored, also where a host has ended in the middle of that: their
    /// folders' names are written down by the migration itself.
    pub(crate) fn delete_doomed(&self) -> Result<(), StoreError> {
        let connection = self.index.connection.lock();
        let mut statement = connection.prepare("SELECT folder FROM doomed")?;
        let folders: Vec<String> = statement
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for folder in folders {
            self.delete_namespace(&folder)?;
            connection.execute("DELETE FROM alarms WHERE folder = ?", params![folder])?;
            connection.execute("DELETE FROM doomed WHERE folder = ?", params![folder])?;
        }
        Ok(())
    }

    /// Sets when an object is to be woken: the earlier of this and what is known. Durable once the
    /// syncer has run.
    pub fn hint_alarm(&self, folder: &str, id: &ObjectId, time_ms: u64) -> Result<(), StoreError> {
        let connection = self.index.connection.lock();
        connection
            .prepare_cached(
                "INSERT INTO alarms (folder, id, time_ms) VALUES (?, ?, ?)
                 ON CONFLICT DO UPDATE SET time_ms = min(time_ms, excluded.time_ms)",
            )?
            .execute(params![folder, id.hex(), signed(time_ms)])?;
        Ok(())
    }

    /// Sets when an object is to be woken, or that it is not, as its database now says.
    pub fn set_alarm(
        &self,
        folder: &str,
        id: &ObjectId,
        time_ms: Option<u64>,
    ) -> Result<(), StoreError> {
        let connection = self.index.connection.lock();
        match time_ms {
            Some(time_ms) => connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO alarms (folder, id, time_ms) VALUES (?, ?, ?)",
                )?
                .execute(params![folder, id.hex(), signed(time_ms)])?,
            None => connection
                .prepare_cached("DELETE FROM alarms WHERE folder = ? AND id = ?")?
                .execute(params![folder, id.hex()])?,
        };
        Ok(())
    }

    /// Every alarm.
    pub fn alarms(&self) -> Result<Vec<Alarm>, StoreError> {
        let connection = self.index.connection.lock();
        let mut statement = connection.prepare("SELECT folder, id, time_ms FROM alarms")?;
        let rows = statement.query_map([], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, i64>(2)?,
            ))
        })?;
        let mut alarms = Vec::new();
        for row in rows {
            let (folder, id, time_ms) = row?;
            if let Some(id) = ObjectId::from_hex(&id) {
                let time_ms = u64::try_from(time_ms).unwrap_or(0);
                alarms.push(Alarm {
                    folder,
                    id,
                    time_ms,
                });
            }
        }
        Ok(alarms)
    }

    /// Makes what the index was told durable.
    pub fn index_syncer(&self) -> Option<Syncer> {
        self.index.syncer.clone()
    }
}

fn signed(time_ms: u64) -> i64 {
    i64::try_from(time_ms).unwrap_or(i64::MAX)
}

fn find(
    connection: &Connection,
    worker: &str,
    class: &str,
) -> Result<Option<Namespace>, StoreError> {
    let found = connection
        .query_row(
            "SELECT folder, key, sql FROM namespaces WHERE worker = ? AND class = ?",
            params![worker, class],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .optional()?;
    Ok(found.and_then(namespace_of))
}

fn make(
    connection: &Connection,
    worker: &str,
    class: &str,
    sql: bool,
) -> Result<Namespace, StoreError> {
    if let Some(found) = find(connection, worker, class)? {
        return Ok(found);
    }
    // The first of a name may live on under another.
    for generation in 0_u64.. {
        let seed = [
            worker.as_bytes(),
            class.as_bytes(),
            &generation.to_le_bytes(),
        ];
        let key = digest(&seed);
        let folder = folder_name(class, &key);
        // A folder whose files are still to be deleted is taken by nobody.
        let fresh = connection.execute(
            "INSERT OR IGNORE INTO namespaces (worker, class, folder, key, sql) SELECT ?, ?, ?, ?, ?
             WHERE ?3 NOT IN (SELECT folder FROM doomed)",
            params![worker, class, folder, key, sql],
        )?;
        if fresh > 0 {
            return Ok(Namespace { folder, key, sql });
        }
    }
    Err(StoreError::NotFound(class.to_owned()))
}

/// The class's name for people, as far as it is plain, and the digest for uniqueness.
fn folder_name(class: &str, key: &[u8; KEY_BYTES]) -> String {
    let plain: String = class
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(40)
        .collect();
    format!("{plain}-{}", &hex(key)[..16])
}

/// A migration that is being applied.
struct Migration<'a> {
    store: &'a Store,
    connection: &'a Connection,
    worker: &'a str,
}

impl Migration<'_> {
    fn apply(&self, change: &ClassChange) -> Result<(), StoreError> {
        match change {
            ClassChange::New { class, sql } => self.make(class, *sql),
            ClassChange::Renamed { from, to } => self.rename(self.worker, from, to),
            ClassChange::Transferred { worker, from, to } => self.rename(worker, from, to),
            ClassChange::Deleted { class } => self.delete(self.worker, class),
        }
    }

    /// A class that was bound before a migration made it is there already, without SQL.
    fn make(&self, class: &str, sql: bool) -> Result<(), StoreError> {
        let found = make(self.connection, self.worker, class, sql)?;
        match (found.sql, sql) {
            (true, false) => Err(StoreError::Migration(format!(
                "new_classes: the class {class:?} of worker {:?} is one of new_sqlite_classes already",
                self.worker
            ))),
            (false, true) => {
                self.connection.execute(
                    "UPDATE namespaces SET sql = 1 WHERE worker = ? AND class = ?",
                    params![self.worker, class],
                )?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Over a class of the new name only where that was bound too early and has no objects yet.
    fn rename(&self, from_worker: &str, from: &str, to: &str) -> Result<(), StoreError> {
        if find(self.connection, from_worker, from)?.is_none() {
            return Err(missing(from_worker, from));
        }
        if let Some(there) = find(self.connection, self.worker, to)? {
            if !self.store.objects(&there.folder)?.is_empty() {
                return Err(StoreError::Migration(format!(
                    "worker {:?} already has a class {to:?} with objects",
                    self.worker
                )));
            }
            self.delete(self.worker, to)?;
        }
        self.connection.execute(
            "UPDATE namespaces SET worker = ?, class = ? WHERE worker = ? AND class = ?",
            params![self.worker, to, from_worker, from],
        )?;
        Ok(())
    }

    fn delete(&self, worker: &str, class: &str) -> Result<(), StoreError> {
        let found = find(self.connection, worker, class)?.ok_or_else(|| missing(worker, class))?;
        self.connection.execute(
            "DELETE FROM namespaces WHERE worker = ? AND class = ?",
            params![worker, class],
        )?;
        self.connection.execute(
            "INSERT OR IGNORE INTO doomed (folder) VALUES (?)",
            params![found.folder],
        )?;
        Ok(())
    }
}

fn missing(worker: &str, class: &str) -> StoreError {
    StoreError::Migration(format!("worker {worker:?} has no class {class:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(class: &str) -> ClassChange {
        ClassChange::New {
            class: class.to_owned(),
            sql: true,
        }
    }

    fn without_sql(class: &str) -> ClassChange {
        ClassChange::New {
            class: class.to_owned(),
            sql: false,
        }
    }

    #[test]
    fn a_migration_is_applied_once_and_names_may_change() {
        let store = Store::ephemeral().unwrap();
        assert_eq!(store.migrate("w", "v1", &[new("A")]).unwrap(), Applied::Now);
        let made = store.namespace("w", "A").unwrap().unwrap();
        assert_eq!(
            store.migrate("w", "v1", &[new("A")]).unwrap(),
            Applied::Before
        );
        let renamed = ClassChange::Renamed {
            from: "A".to_owned(),
            to: "B".to_owned(),
        };
        store.migrate("w", "v2", &[renamed]).unwrap();
        assert_eq!(store.namespace("w", "A").unwrap(), None);
        assert_eq!(store.namespace("w", "B").unwrap(), Some(made.clone()));
        let moved = ClassChange::Transferred {
            worker: "w".to_owned(),
            from: "B".to_owned(),
            to: "C".to_owned(),
        };
        store.migrate("x", "v1", &[moved]).unwrap();
        assert_eq!(store.namespace("x", "C").unwrap(), Some(made.clone()));
        // The name is free again, for another namespace.
        store.migrate("w", "v3", &[new("A")]).unwrap();
        assert_ne!(store.namespace("w", "A").unwrap(), Some(made));
    }

    #[test]
    fn a_class_that_was_bound_too_early_is_no_obstacle() {
        let store = Store::ephemeral().unwrap();
        store.make_namespace("w", "A", false).unwrap();
        store.migrate("w", "v1", &[new("A")]).unwrap();
        let made = store.namespace("w", "A").unwrap().unwrap();
        assert!(made.sql);
        assert!(store.migrate("w", "v2", &[without_sql("A")]).is_err());
        store.make_namespace("w", "B", false).unwrap();
        let renamed = ClassChange::Renamed {
            from: "A".to_owned(),
            to: "B".to_owned(),
        };
        store.migrate("w", "v2", &[renamed]).unwrap();
        assert_eq!(store.namespace("w", "B").unwrap(), Some(made));
        assert_eq!(store.migrations("w").unwrap(), ["v1", "v2"]);
    }

    #[test]
    fn a_migration_that_fails_leaves_nothing() {
        let store = Store::ephemeral().unwrap();
        let missing = ClassChange::Deleted {
            class: "Missing".to_owned(),
        };
        assert!(store.migrate("w", "v1", &[new("A"), missing]).is_err());
        assert_eq!(store.namespace("w", "A").unwrap(), None);
    }

    #[test]
    fn what_a_deleted_class_stored_goes_although_its_host_ended_meanwhile() {
        let folder = std::env::temp_dir().join(format!("mayfly-doomed-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let store = Store::open(&folder).unwrap();
        let doomed = store.make_namespace("w", "A", true).unwrap();
        let objects = folder.join("objects").join(&doomed.folder);
        std::fs::create_dir_all(objects.join("0.facets")).unwrap();
        // As a migration leaves it that has been committed, and nothing after it has been done.
        let connection = store.index.connection.lock();
        connection
            .execute_batch(
                "INSERT INTO doomed SELECT folder FROM namespaces; DELETE FROM namespaces",
            )
            .unwrap();
        drop(connection);
        // Not even a class of that name, made before they are gone, gets the files.
        let next = store.make_namespace("w", "A", true).unwrap();
        assert_ne!(next.folder, doomed.folder);
        drop(store);
        let store = Store::open(&folder).unwrap();
        assert!(!objects.exists());
        assert_eq!(store.namespace("w", "A").unwrap(), Some(next));
        drop(store);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_hint_is_never_later_than_the_alarm() {
        let store = Store::ephemeral().unwrap();
        let id = ObjectId::of_name("a", &[1; 32]);
        store.hint_alarm("f", &id, 50).unwrap();
        store.hint_alarm("f", &id, 90).unwrap();
        assert_eq!(store.alarms().unwrap()[0].time_ms, 50);
        store.set_alarm("f", &id, Some(90)).unwrap();
        assert_eq!(store.alarms().unwrap()[0].time_ms, 90);
        store.set_alarm("f", &id, None).unwrap();
        assert_eq!(store.alarms().unwrap(), []);
    }
}
