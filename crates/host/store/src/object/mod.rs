//! One object's database and what an instance may ask of it.
//!
//! Writes open an *implicit* transaction, which `settle` ends when the guest's turn does: what was
//! written without an `await` in between is there whole or not at all. `Begin` and its partners make
//! *explicit* transactions inside it, over as many turns as JavaScript likes.
//!
//! A commit writes the log (`-wal`) and does not wait for the disk: it survives the end of this
//! process but not of the machine. [`Syncer::sync`] makes what was committed durable; whoever lets an
//! answer out calls it before, on a thread of its own, once for many commits.
//!
//! Invariant: after an error that made SQLite roll back by itself nothing is answered any more until
//! `rollback`: no instance goes on without what it believes it wrote.

mod alarm;
pub(crate) mod complete;
pub(crate) mod guard;
pub(crate) mod history;
mod kv;
mod math;
mod recovery;
mod sql;
pub(crate) mod words;

use crate::StoreError;
use crate::place::{Place, Store};
use guard::Guard;
use history::History;
use mayfly_wire::{StorageReply, StorageRequest, StorageResult};
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthContext, Authorization};
use rusqlite::limits::Limit;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Bytes of a string, a BLOB or a row: Cloudflare's documented 2 MB, and room for the key.
pub const VALUE_BYTES_MAX: usize = 2 * 1024 * 1024 + 4096;

/// Bytes of one SQL text, as documented.
pub const SQL_BYTES_MAX: usize = 100_000;

/// Bytes of one key, as documented.
pub const KEY_BYTES_MAX: usize = 2048;

/// Keys of one `get`, `put` or `delete`, as documented.
pub const KEYS_MAX: usize = 128;

/// Bytes of a database, as documented: 10 GB.
const DATABASE_BYTES_MAX: u64 = 10_000_000_000;

/// SQLite's own default.
const PAGE_BYTES: u64 = 4096;

/// Transactions inside each other.
const DEPTH_MAX: u32 = 64;

/// Statements that stay compiled.
const STATEMENTS_CACHED: usize = 64;

/// Columns, parameters and the like: what Cloudflare documents or enforces.
const LIMITS: [(Limit, i32); 11] = [
    (Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX as i32),
    (Limit::SQLITE_LIMIT_SQL_LENGTH, SQL_BYTES_MAX as i32),
    (Limit::SQLITE_LIMIT_COLUMN, 100),
    (Limit::SQLITE_LIMIT_EXPR_DEPTH, 100),
    (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 5),
    (Limit::SQLITE_LIMIT_VDBE_OP, 25_000),
    (Limit::SQLITE_LIMIT_FUNCTION_ARG, 127),
    (Limit::SQLITE_LIMIT_ATTACHED, 0),
    (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 50),
    (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 100),
    (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 10),
];

/// See the file's head.
#[derive(Debug)]
pub struct Database {
    file: Where,
    /// Absent until something asks for it: an object that stores nothing has no file.
    open: Option<Open>,
    /// Explicit transactions inside each other.
    depth: u32,
    /// Why nothing is answered any more.
    broken: Option<Failed>,
    /// The alarm whose handler runs.
    ringing: Option<u64>,
    /// The alarm was set or deleted since the last `settle`.
    alarm_changed: bool,
    /// See [`Database::limit_cpu`].
    query_cpu_max: Option<Duration>,
}

#[derive(Debug)]
enum Where {
    Disk {
        path: PathBuf,
        syncer: Option<Syncer>,
    },
    Memory {
        store: Arc<Store>,
        place: Place,
    },
}

#[derive(Debug)]
struct Open {
    /// Of its turns, from the first write on; on disk only. Goes before the connection, whose end moves
    /// SQLite's log into the database.
    history: Option<History>,
    connection: Connection,
    guard: Arc<Guard>,
    cursors: sql::Cursors,
    recent: sql::Recent,
    /// `_cf_KV` and `_cf_METADATA` are known to exist.
    has_kv: bool,
    has_metadata: bool,
}

/// What came of a question.
#[derive(Debug)]
pub struct Outcome {
    /// For the guest.
    pub reply: StorageReply,
    /// The time that the alarm was set to, if it was.
    pub alarm: Option<Option<u64>>,
}

/// An error for JavaScript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// Its class.
    pub name: &'static str,
    /// For the person who wrote the Worker.
    pub message: String,
}

/// What became durable, or will.
#[derive(Debug, Default)]
pub struct Settled {
    /// Must run before an answer leaves; absent where nothing was written, or in memory.
    pub syncer: Option<Syncer>,
    /// The alarm as it now is, where it may have changed.
    pub alarm: Option<Option<u64>>,
}

/// Makes the commits of one database durable.
#[derive(Debug, Clone)]
pub struct Syncer(Arc<Log>);

#[derive(Debug)]
struct Log {
    path: PathBuf,
    file: OnceLock<File>,
}

impl Syncer {
    /// For the database at `path`.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let mut name = path.as_os_str().to_owned();
        name.push("-wal");
        Some(Self(Arc::new(Log {
            path: PathBuf::from(name),
            file: OnceLock::new(),
        })))
    }

    /// Waits for the disk.
    pub fn sync(&self) -> io::Result<()> {
        let file = match self.0.file.get() {
            Some(file) => file,
            None => {
                let file = match File::open(&self.0.path) {
                    Ok(file) => file,
                    // The database was closed meanwhile, and with that moved into its file and synced.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                    Err(error) => return Err(error),
                };
                crate::place::sync_folder(&self.0.path);
                self.0.file.get_or_init(|| file)
            }
        };
        file.sync_data()
    }

    /// Whether both are of one database.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Failed {
    fn error(message: impl Into<String>) -> Self {
        Self {
            name: "Error",
            message: message.into(),
        }
    }

    fn type_error(message: impl Into<String>) -> Self {
        Self {
            name: "TypeError",
            message: message.into(),
        }
    }
}

type Answer = Result<StorageResult, Failed>;

impl Database {
    pub(crate) fn on_disk(path: &Path) -> rusqlite::Result<Self> {
        Ok(Self::new(Where::Disk {
            path: path.to_owned(),
            syncer: None,
        }))
    }

    pub(crate) fn in_memory(
        kept: Option<Connection>,
        store: &Arc<Store>,
        place: &Place,
    ) -> rusqlite::Result<Self> {
        let mut database = Self::new(Where::Memory {
            store: store.clone(),
            place: place.clone(),
        });
        if let Some(connection) = kept {
            database.open = Some(Open::new(connection)?);
        }
        Ok(database)
    }

    fn new(file: Where) -> Self {
        Self {
            file,
            open: None,
            depth: 0,
            broken: None,
            ringing: None,
            alarm_changed: false,
            query_cpu_max: None,
        }
    }

    /// Bounds the next questions by what whoever asks may still compute; `None` is no such bound. What was
    /// used is charged by who asks, and a little more than was left ends it.
    pub fn limit_cpu(&mut self, left: Option<Duration>) {
        const BEYOND: Duration = Duration::from_millis(5);
        self.query_cpu_max = left.map(|left| left.saturating_add(BEYOND));
    }

    /// Answers a question.
    pub fn answer(&mut self, request: StorageRequest) -> Outcome {
        let result = match &self.broken {
            Some(failed) => Err(failed.clone()),
            None => self.try_answer(request),
        };
        let alarm = match &result {
            Ok((_, alarm)) => *alarm,
            Err(_) => None,
        };
        let result = match result {
            Ok((result, _)) => result,
            Err(Failed { name, message }) => StorageResult::Failed {
                name: name.to_owned(),
                message,
            },
        };
        let reply = StorageReply {
            open: self.is_open(),
            result,
        };
        Outcome { reply, alarm }
    }

    fn try_answer(
        &mut self,
        request: StorageRequest,
    ) -> Result<(StorageResult, Option<Option<u64>>), Failed> {
        let depth_before = self.depth;
        let in_transaction = self.is_in_transaction();
        let answer = match request {
            StorageRequest::Exec { sql, bindings } => self.exec(&sql, &bindings),
            StorageRequest::More { cursor } => self.more(cursor),
            StorageRequest::Close { cursor } => self.close_cursor(cursor),
            StorageRequest::Ingest { sql } => self.ingest(&sql),
            StorageRequest::Get { keys } => self.get(&keys),
            StorageRequest::Put { entries } => self.put(&entries),
            StorageRequest::Delete { keys } => self.delete(&keys),
            StorageRequest::List {
                start,
                start_after,
                end,
                prefix,
                reverse,
                limit,
            } => self.list(kv::Range {
                start,
                start_after,
                end,
                prefix,
                reverse,
                limit,
            }),
            StorageRequest::DeleteAll { alarm } => self.delete_all(alarm),
            StorageRequest::Size {} => self.size(),
            StorageRequest::Begin {} => self.begin(),
            StorageRequest::Commit {} => self.commit(),
            StorageRequest::Rollback {} => self.roll_back_one(),
            StorageRequest::GetAlarm {} => self.get_alarm(),
            StorageRequest::SetAlarm { time_ms } => {
                return self
                    .set_alarm(time_ms)
                    .map(|time| (StorageResult::Done {}, Some(time)));
            }
            StorageRequest::Bookmark {} => self.bookmark(),
            StorageRequest::BookmarkAt { time_ms } => self.bookmark_at(time_ms),
            StorageRequest::Restore { bookmark } => self.restore_next(&bookmark),
            StorageRequest::LimitPages { pages } => self.limit_pages(u64::from(pages)),
            // Those about sockets and stubs, which whoever asks keeps to itself.
            _ => Err(Failed::type_error("this is no question for a database")),
        };
        if let Err(failed) = &answer
            && in_transaction
            && !self.is_in_transaction()
            && depth_before == self.depth
        {
            // SQLite rolled back by itself (disk full, say): what the instance wrote is gone.
            self.broken = Some(failed.clone());
        }
        answer.map(|result| (result, None))
    }

    /// Whether writes wait for `settle`.
    pub fn is_open(&self) -> bool {
        self.broken.is_some() || self.is_in_transaction() || self.alarm_changed
    }

    /// Whether nothing is lost when it is closed and opened again.
    pub fn is_quiet(&self) -> bool {
        let needed = self
            .open
            .as_ref()
            .is_some_and(|open| open.cursors.are_waiting() || open.guard.is_configured());
        self.depth == 0 && !needed && !self.is_open() && self.ringing.is_none()
    }

    fn is_in_transaction(&self) -> bool {
        self.open
            .as_ref()
            .is_some_and(|open| !open.connection.is_autocommit())
    }

    /// The turn is over: commits, unless an explicit transaction goes on. An error breaks the
    /// instance; nothing of the turn is there.
    pub fn settle(&mut self) -> Result<Settled, Failed> {
        if let Some(failed) = &self.broken {
            return Err(failed.clone());
        }
        if self.depth > 0 {
            return Ok(Settled::default());
        }
        let mut settled = Settled::default();
        if self.is_in_transaction() {
            let open = self.open()?;
            let committed = open.trusted("COMMIT", |connection| run(connection, "COMMIT"));
            if let Err(error) = committed {
                let text = self.explain(&error).message;
                self.rollback();
                return Err(Failed::error(format!(
                    "Durable Object was reset and rolled back to its last known good state because \
                     the application left the database in a state where constraints were violated: \
                     {text}"
                )));
            }
            self.keep_history();
            settled.syncer = self.syncer();
        }
        if std::mem::take(&mut self.alarm_changed) {
            settled.alarm = Some(self.alarm()?);
        }
        Ok(settled)
    }

    /// Forgets what was written since the last `settle`, and every open transaction.
    pub fn rollback(&mut self) {
        self.depth = 0;
        self.broken = None;
        self.alarm_changed = false;
        self.ringing = None;
        if let Some(open) = &mut self.open {
            open.cursors.clear();
            open.has_kv = false;
            open.has_metadata = false;
            if !open.connection.is_autocommit() {
                // A failure leaves the transaction open, and then the connection's end rolls it back.
                let rolled = open.trusted("ROLLBACK", |connection| run(connection, "ROLLBACK"));
                if rolled.is_err() {
                    self.open = None;
                }
            }
        }
    }

    fn syncer(&mut self) -> Option<Syncer> {
        match &mut self.file {
            Where::Disk { path, syncer } => {
                if syncer.is_none() {
                    *syncer = Syncer::of(path);
                }
                syncer.clone()
            }
            Where::Memory { .. } => None,
        }
    }

    /// Whether there is anything to read.
    fn has_file(&self) -> bool {
        self.open.is_some()
            || match &self.file {
                Where::Disk { path, .. } => path.exists(),
                Where::Memory { .. } => false,
            }
    }

    fn open(&mut self) -> Result<&mut Open, Failed> {
        if self.open.is_none() {
            let opened = match &self.file {
                Where::Disk { path, .. } => Connection::open(path).and_then(|connection| {
                    connection.execute_batch(
                        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;
                         PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0;",
                    )?;
                    Open::new(connection)
                }),
                Where::Memory { .. } => Connection::open_in_memory().and_then(Open::new),
            };
            match opened {
                Ok(open) => self.open = Some(open),
                Err(error) => {
                    tracing::error!(%error, file = ?self.file, "cannot open a database");
                    return Err(Failed::error(
                        "internal error: the object's database cannot be opened",
                    ));
                }
            }
        }
        self.open
            .as_mut()
            .ok_or_else(|| Failed::error("internal error"))
    }

    /// Opens the implicit transaction where none is under way.
    fn writing(&mut self) -> Result<&mut Open, Failed> {
        if !self.is_in_transaction() {
            self.begin_history()?;
            let open = self.open()?;
            let begun = open.trusted("BEGIN", |connection| run(connection, "BEGIN IMMEDIATE"));
            if let Err(error) = begun {
                return Err(self.explain(&error));
            }
        }
        self.open()
    }

    fn begin(&mut self) -> Answer {
        if self.depth >= DEPTH_MAX {
            return Err(Failed::error(format!(
                "transactions are nested {DEPTH_MAX} deep at most"
            )));
        }
        let depth = self.depth;
        let open = self.writing()?;
        let sql = format!("SAVEPOINT _cf_savepoint_{depth}");
        let begun = open.trusted("SAVEPOINT", |connection| run(connection, &sql));
        begun.map_err(|error| self.explain(&error))?;
        self.depth += 1;
        Ok(StorageResult::Done {})
    }

    fn commit(&mut self) -> Answer {
        self.leave(false)
    }

    fn roll_back_one(&mut self) -> Answer {
        self.leave(true)
    }

    fn leave(&mut self, undo: bool) -> Answer {
        let Some(depth) = self.depth.checked_sub(1) else {
            return Err(Failed::error("no transaction is under way"));
        };
        let open = self.open()?;
        let name = format!("_cf_savepoint_{depth}");
        let left = open.trusted("RELEASE", |connection| {
            if undo {
                run(connection, &format!("ROLLBACK TO {name}"))?;
            }
            run(connection, &format!("RELEASE {name}"))
        });
        if undo {
            open.has_kv = false;
            open.has_metadata = false;
            self.alarm_changed = true;
        }
        if let Err(error) = left {
            return Err(self.explain(&error));
        }
        self.depth = depth;
        Ok(StorageResult::Done {})
    }

    fn size(&mut self) -> Answer {
        if !self.has_file() {
            return Ok(StorageResult::Count { count: 0 });
        }
        let open = self.open()?;
        let pages = open.trusted("size", |connection| {
            let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
            let free: i64 =
                connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
            Ok(pages - free)
        });
        let pages = pages.map_err(|error| self.explain(&error))?;
        let count = u64::try_from(pages).unwrap_or(0) * PAGE_BYTES;
        Ok(StorageResult::Count { count })
    }

    fn limit_pages(&mut self, pages: u64) -> Answer {
        let pages = pages.min(DATABASE_BYTES_MAX / PAGE_BYTES);
        let open = self.open()?;
        let limited = open.trusted("limit", |connection| {
            run(connection, &format!("PRAGMA max_page_count = {pages}"))
        });
        limited.map_err(|error| self.explain(&error))?;
        Ok(StorageResult::Done {})
    }

    /// Everything but, where it is to stay, the alarm.
    fn delete_all(&mut self, alarm: bool) -> Answer {
        if self.depth > 0 {
            return Err(Failed::error(
                "Cannot call deleteAll() within a transaction",
            ));
        }
        if !self.has_file() {
            return Ok(StorageResult::Done {});
        }
        let kept = match alarm {
            true => None,
            false => self.stored_alarm()?,
        };
        let open = self.writing()?;
        open.cursors.clear();
        open.connection.flush_prepared_statement_cache();
        let dropped = open.trusted("deleteAll", drop_everything);
        open.has_kv = false;
        open.has_metadata = false;
        dropped.map_err(|error| self.explain(&error))?;
        match kept {
            Some(time) => self.store_alarm(Some(time))?,
            None => self.alarm_changed = true,
        }
        Ok(StorageResult::Done {})
    }

    /// An error of SQLite's in the words that Workers know.
    fn explain(&self, error: &rusqlite::Error) -> Failed {
        let guard = self.open.as_ref().map(|open| &*open.guard);
        Failed::error(words::of(error, guard))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.rollback();
        if let (Where::Memory { store, place }, Some(open)) = (&self.file, self.open.take()) {
            store.keep(place, open.connection);
        }
    }
}

impl Open {
    fn new(mut connection: Connection) -> rusqlite::Result<Self> {
        // One that was kept in memory still has the guard of its last owner.
        connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>)?;
        let guard = fence(&mut connection, guard::QUERY_TIME_MAX)?;
        Ok(Self {
            history: None,
            connection,
            guard,
            cursors: sql::Cursors::default(),
            recent: sql::Recent::default(),
            has_kv: false,
            has_metadata: false,
        })
    }

    /// Runs SQL of ours, which the guard lets pass.
    fn trusted<T>(
        &mut self,
        _what: &str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let _trust = self.guard.trust();
        work(&self.connection)
    }
}

/// Puts a connection behind everything that holds SQL of a Worker's: its limits, and the guard who decides.
pub(crate) fn fence(
    connection: &mut Connection,
    time_max: Duration,
) -> rusqlite::Result<Arc<Guard>> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.execute_batch(&format!(
        "PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA max_page_count = {};",
        DATABASE_BYTES_MAX / PAGE_BYTES
    ))?;
    for (limit, most) in LIMITS {
        connection.set_limit(limit, most)?;
    }
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    math::install(connection)?;
    Guard::install(connection, time_max)
}

/// Runs one statement of ours, compiled once.
fn run(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

fn drop_everything(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("PRAGMA defer_foreign_keys = ON")?;
    // Virtual tables first: they take their shadow tables along.
    let find = "SELECT type, name FROM sqlite_master
        WHERE type IN ('view', 'table') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
        ORDER BY type = 'view' DESC, sql LIKE 'CREATE VIRTUAL%' DESC LIMIT 1";
    loop {
        let found = connection.query_row(find, [], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        });
        let (kind, name) = match found {
            Ok(found) => found,
            Err(rusqlite::Error::QueryReturnedNoRows) => break,
            Err(error) => return Err(error),
        };
        let name = name.replace('"', "\"\"");
        connection.execute_batch(&format!("DROP {kind} \"{name}\""))?;
    }
    Ok(())
}

impl From<Failed> for StoreError {
    fn from(failed: Failed) -> Self {
        Self::NotFound(failed.message)
    }
}

#[cfg(test)]
mod tests;
