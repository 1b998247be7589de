//! D1: one database each, which any number of Workers share by its id.
//!
//! A question is a list of statements and one transaction: all of them happened or none did, and what they
//! wrote has reached the disk when the answer is there. What SQL may do is judged by the guard of Durable
//! Objects (`object/guard`). Rows go to whoever asks as they come ([`Taker`]), who also says when it is too
//! much; nothing here knows what an answer looks like.
//!
//! Invariant: one question runs at a time, and leaves the connection as it would find a fresh one.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rusqlite::types::{Null, ValueRef};
use rusqlite::{Connection, ErrorCode, Rows, StatementStatus};

use crate::error::StoreError;
use crate::lock::Mutex;
use crate::object::complete::statements;
use crate::object::guard::Guard;
use crate::object::{SQL_BYTES_MAX, fence, words};
use crate::place::Store;

/// How long one question may keep SQLite busy, as documented.
pub const QUERY_TIME_MAX: Duration = Duration::from_secs(30);

/// SQLite's own default.
const PAGE_BYTES: u64 = 4096;

/// What the documentation says of a question without SQL.
const NOTHING: &str = "No SQL statements detected.";

/// Begins as the documentation has it. SQLite does not say which of the two it is.
const FULL: &str = "Exceeded maximum DB size: database or disk is full: SQLITE_FULL";

/// Puts back what a PRAGMA of a Worker's may have set for as long as the connection lives.
const FRESH: &str = "PRAGMA case_sensitive_like = OFF; PRAGMA ignore_check_constraints = OFF;
    PRAGMA legacy_alter_table = OFF; PRAGMA recursive_triggers = OFF;
    PRAGMA reverse_unordered_selects = OFF; PRAGMA foreign_keys = ON;";

/// See the file's head.
#[derive(Debug)]
pub struct D1 {
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    connection: Connection,
    guard: Arc<Guard>,
    /// Milliseconds since the epoch when it was opened.
    opened: u128,
    /// Questions since then that may have written.
    writes: u64,
}

/// One prepared statement and what is bound to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// Mostly one statement. Of several the last one has the parameters and gives the rows.
    pub sql: String,
    /// In their order.
    pub params: Vec<Param>,
}

/// A bound value.
#[derive(Debug, Clone, PartialEq)]
pub enum Param {
    /// NULL.
    Null,
    /// A number of JavaScript's.
    Number(f64),
    /// A string.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// A value of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// NULL.
    Null,
    /// INTEGER.
    Integer(i64),
    /// REAL.
    Real(f64),
    /// TEXT, which SQLite does not promise to be UTF-8.
    Text(&'a [u8]),
    /// BLOB.
    Blob(&'a [u8]),
}

/// What a query did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Meta {
    /// From its first statement to its last row.
    pub duration: Duration,
    /// Rows that were inserted, changed or deleted, also by triggers.
    pub changes: u64,
    /// The id of the row inserted last.
    pub last_row_id: i64,
    /// Whether the database is another than before.
    pub changed_db: bool,
    /// Bytes that the database has then.
    pub size_after: u64,
    /// Rows that were given or, as far as SQLite counts them, stepped over.
    pub rows_read: u64,
    /// Rows of tables that were written.
    pub rows_written: u64,
}

/// Takes what queries give, one after the other. An error ends the question.
pub trait Taker {
    /// The next query has these columns.
    fn columns(&mut self, names: &[&str]) -> Result<(), String>;
    /// One more row of it.
    fn row(&mut self, cells: &mut dyn Iterator<Item = Cell<'_>>) -> Result<(), String>;
    /// It is over.
    fn done(&mut self, meta: &Meta) -> Result<(), String>;
}

/// Why nothing of a question happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The query that failed, from 0; the last one where it was the commit.
    pub at: usize,
    /// In the words that Workers know.
    pub message: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Whether a query without any SQL in it is an error, as of `prepare()`, or nothing, as a line of `exec()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blank {
    /// It is refused.
    Refused,
    /// It is passed over and gives no result.
    Skipped,
}

/// The statements of a text, without what is nothing but space and comments.
pub fn split(sql: &str) -> Vec<&str> {
    statements(sql)
}

impl D1 {
    /// Opens or makes the database `id`, a plain file name, for Workers.
    pub fn open(store: &Store, id: &str) -> Result<Self, StoreError> {
        Self::with(store, id, QUERY_TIME_MAX)
    }

    /// The same for the operator, whose SQL may take its time. What it may do is the same.
    pub fn open_unhurried(store: &Store, id: &str) -> Result<Self, StoreError> {
        Self::with(store, id, Duration::MAX)
    }

    fn with(store: &Store, id: &str, time_max: Duration) -> Result<Self, StoreError> {
        let mut connection = store.connection(&["d1", id])?;
        let guard = fence(&mut connection, time_max)?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Ok(Self {
            open: Mutex::new(Open {
                connection,
                guard,
                opened: since.map_or(0, |since| since.as_millis()),
                writes: 0,
            }),
        })
    }

    /// Runs queries as one transaction, and gives the bookmark of what the database is then.
    pub fn run(
        &self,
        queries: &[Query],
        blank: Blank,
        taker: &mut dyn Taker,
    ) -> Result<String, Refused> {
        let mut open = self.open.lock();
        open.guard.begin(None);
        let result = open.transaction(queries, blank, taker);
        if result.is_err() {
            open.roll_back();
        }
        if open.guard.take_configured() {
            let reset = open.trusted(|connection| connection.execute_batch(FRESH));
            if let Err(error) = reset {
                tracing::error!(%error, "a D1 database keeps what a PRAGMA has set");
            }
        }
        result.map(|()| open.bookmark())
    }
}

impl Open {
    fn transaction(
        &mut self,
        queries: &[Query],
        blank: Blank,
        taker: &mut dyn Taker,
    ) -> Result<(), Refused> {
        let refused = |at| move |message| Refused { at, message };
        // What an earlier question could not roll back.
        if !self.connection.is_autocommit() {
            self.roll_back();
        }
        self.statement("BEGIN IMMEDIATE").map_err(refused(0))?;
        let mut ran = 0;
        for (at, query) in queries.iter().enumerate() {
            check_length(&query.sql).map_err(refused(at))?;
            let parts = split(&query.sql);
            if parts.is_empty() && blank == Blank::Skipped {
                continue;
            }
            self.query(&parts, query, taker).map_err(refused(at))?;
            ran += 1;
        }
        if ran == 0 {
            return Err(refused(0)(NOTHING.to_owned()));
        }
        let last = queries.len().saturating_sub(1);
        self.statement("COMMIT").map_err(refused(last))
    }

    fn query(
        &mut self,
        parts: &[&str],
        query: &Query,
        taker: &mut dyn Taker,
    ) -> Result<(), String> {
        let Some((last, others)) = parts.split_last() else {
            return Err(NOTHING.to_owned());
        };
        let began = Instant::now();
        let size_before = self.size()?;
        let changes_before = self.connection.total_changes();
        let row_before = self.connection.last_insert_rowid();
        let mut rows_read = 0;
        for sql in others {
            rows_read += self.aside(sql)?;
        }
        rows_read += self.with_rows(last, &query.params, taker)?;
        let size_after = self.size()?;
        let changes = self.connection.total_changes() - changes_before;
        let last_row_id = self.connection.last_insert_rowid();
        let changed_db = changes > 0 || last_row_id != row_before || size_after != size_before;
        if changed_db {
            self.writes += 1;
        }
        taker.done(&Meta {
            duration: began.elapsed(),
            changes,
            last_row_id,
            changed_db,
            size_after,
            rows_read,
            rows_written: changes,
        })
    }

    /// Runs a statement whose rows nobody gets.
    fn aside(&self, sql: &str) -> Result<u64, String> {
        self.check_time()?;
        let mut statement = self.connection.prepare(sql).map_err(|e| self.explain(&e))?;
        if statement.parameter_count() > 0 {
            return Err(
                "When executing multiple SQL statements in a single call, only the last statement can \
                 have parameters."
                    .to_owned(),
            );
        }
        let mut rows = statement.raw_query();
        let mut seen = 0;
        while rows.next().map_err(|error| self.explain(&error))?.is_some() {
            seen += 1;
        }
        drop(rows);
        Ok(seen.max(scanned(&statement)))
    }

    fn with_rows(&self, sql: &str, params: &[Param], taker: &mut dyn Taker) -> Result<u64, String> {
        self.check_time()?;
        let explain = |error| self.explain(&error);
        // A PRAGMA does its work while it is compiled, and the guard hears of it then: never from the cache.
        let (mut kept, mut fresh);
        let statement = if is_worth_keeping(sql) {
            kept = self.connection.prepare_cached(sql).map_err(explain)?;
            &mut *kept
        } else {
            fresh = self.connection.prepare(sql).map_err(explain)?;
            &mut fresh
        };
        if statement.parameter_count() != params.len() {
            return Err("Wrong number of parameter bindings for SQL query.".to_owned());
        }
        for (index, param) in params.iter().enumerate() {
            let bound = match param {
                Param::Null => statement.raw_bind_parameter(index + 1, Null),
                Param::Number(number) => statement.raw_bind_parameter(index + 1, number),
                Param::Text(text) => statement.raw_bind_parameter(index + 1, text),
                Param::Blob(bytes) => statement.raw_bind_parameter(index + 1, bytes),
            };
            bound.map_err(explain)?;
        }
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        taker.columns(&names)?;
        let seen = self.give(statement.raw_query(), names.len(), taker)?;
        let read = seen.max(scanned(statement));
        statement.clear_bindings();
        Ok(read)
    }

    fn give(&self, mut rows: Rows<'_>, width: usize, taker: &mut dyn Taker) -> Result<u64, String> {
        let mut seen = 0;
        while let Some(row) = rows.next().map_err(|error| self.explain(&error))? {
            seen += 1;
            let cell = |index| row.get_ref(index).map_or(Cell::Null, cell_of);
            taker.row(&mut (0..width).map(cell))?;
        }
        Ok(seen)
    }

    fn size(&self) -> Result<u64, String> {
        let pages = self.trusted(|connection| {
            let count = |sql| {
                let mut statement = connection.prepare_cached(sql)?;
                statement.query_row([], |row| row.get::<_, i64>(0))
            };
            Ok(count("PRAGMA page_count")? - count("PRAGMA freelist_count")?)
        });
        let pages = pages.map_err(|error| self.explain(&error))?;
        Ok(u64::try_from(pages).unwrap_or(0) * PAGE_BYTES)
    }

    /// Runs a statement of ours.
    fn statement(&self, sql: &str) -> Result<(), String> {
        let ran = self.trusted(|connection| connection.prepare_cached(sql)?.raw_execute());
        ran.map(|_| ()).map_err(|error| self.explain(&error))
    }

    /// SQLite may have rolled back by itself, as where the disk is full.
    fn roll_back(&self) {
        if self.connection.is_autocommit() {
            return;
        }
        if let Err(why) = self.statement("ROLLBACK") {
            tracing::error!(why, "a D1 transaction cannot be rolled back");
        }
    }

    fn trusted<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let _trust = self.guard.trust();
        work(&self.connection)
    }

    /// Many statements that are over at once have the time of one that is not.
    fn check_time(&self) -> Result<(), String> {
        match self.guard.is_too_long() {
            true => Err(too_long()),
            false => Ok(()),
        }
    }

    fn explain(&self, error: &rusqlite::Error) -> String {
        match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => too_long(),
            Some(ErrorCode::DiskFull) => FULL.to_owned(),
            _ => words::of(error, Some(&self.guard)),
        }
    }

    /// Later ones are greater, also those of the next process.
    fn bookmark(&self) -> String {
        format!("{:016x}-{:016x}", self.opened, self.writes)
    }
}

fn cell_of(value: ValueRef<'_>) -> Cell<'_> {
    match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Integer(number),
        ValueRef::Real(number) => Cell::Real(number),
        ValueRef::Text(text) => Cell::Text(text),
        ValueRef::Blob(bytes) => Cell::Blob(bytes),
    }
}

/// Rows that a statement stepped over, as far as SQLite counts them.
fn scanned(statement: &rusqlite::Statement<'_>) -> u64 {
    let steps = statement.reset_status(StatementStatus::FullscanStep);
    u64::try_from(steps).unwrap_or(0)
}

/// Begins as the documentation has it.
fn too_long() -> String {
    format!(
        "D1 DB storage operation exceeded timeout: its SQL ran for more than {} seconds and was interrupted: \
         SQLITE_INTERRUPT",
        QUERY_TIME_MAX.as_secs()
    )
}

fn check_length(sql: &str) -> Result<(), String> {
    match sql.len() {
        length if length > SQL_BYTES_MAX => Err(format!(
            "statement too long: {length} bytes, limit {SQL_BYTES_MAX}: SQLITE_TOOBIG"
        )),
        _ => Ok(()),
    }
}

/// Whether a statement is of those that come again and again.
fn is_worth_keeping(sql: &str) -> bool {
    let sql = sql.trim_start();
    let word = sql
        .split(|c: char| !c.is_ascii_alphabetic())
        .next()
        .unwrap_or_default();
    ["select", "insert", "update", "delete", "replace", "with"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests;
