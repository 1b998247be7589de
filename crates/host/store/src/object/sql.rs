//! `sql.exec()` and `sql.ingest()`.
//!
//! A statement runs to its end at once and its rows wait here, cut into batches: what the guest does
//! meanwhile, writes to the same table included, changes nothing about them. Both the rows of one
//! result and the results that wait are bounded.

use super::complete::first_statement;
use super::{Answer, Database, Failed, Open, SQL_BYTES_MAX};
use mayfly_wire::{Blob, SqlValue, StorageResult};
use rusqlite::types::ValueRef;
use rusqlite::{Rows, Statement, StatementStatus};
use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Bytes and values of one batch: large enough that a batch costs more than its round trip.
const BATCH_BYTES: usize = 128 * 1024;
const BATCH_VALUES: usize = 8192;

/// Bytes of one result, and of all that wait: half of what a guest's heap may take.
const RESULT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Results that wait to be read. The oldest is given up for a further one.
const CURSORS_MAX: usize = 64;

/// Texts of which it is remembered that they were compiled.
const RECENT_MAX: usize = 64;

/// Rows that wait to be read.
#[derive(Debug, Default)]
pub struct Cursors {
    waiting: HashMap<u32, VecDeque<Batch>>,
    next: u32,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Batch {
    values: Vec<SqlValue>,
    count: u32,
    bytes: usize,
}

/// Hashes of texts that were run lately.
#[derive(Debug, Default)]
pub struct Recent(VecDeque<u64>);

impl Recent {
    /// Whether `sql` was here before.
    fn met(&mut self, sql: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        sql.hash(&mut hasher);
        let hash = hasher.finish();
        if self.0.contains(&hash) {
            return true;
        }
        if self.0.len() >= RECENT_MAX {
            self.0.pop_front();
        }
        self.0.push_back(hash);
        false
    }
}

impl Cursors {
    pub fn are_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub fn clear(&mut self) {
        self.waiting.clear();
        self.bytes = 0;
    }

    fn add(&mut self, batches: VecDeque<Batch>) -> u32 {
        let bytes: usize = batches.iter().map(|batch| batch.bytes).sum();
        while self.waiting.len() >= CURSORS_MAX || self.bytes + bytes > RESULT_BYTES_MAX {
            let Some(oldest) = self.waiting.keys().min().copied() else {
                break;
            };
            self.remove(oldest);
        }
        self.bytes += bytes;
        self.next = self.next.wrapping_add(1);
        self.waiting.insert(self.next, batches);
        self.next
    }

    fn remove(&mut self, cursor: u32) {
        if let Some(batches) = self.waiting.remove(&cursor) {
            let bytes: usize = batches.iter().map(|batch| batch.bytes).sum();
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }
}

/// Counts of one statement or several.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    read: u64,
    written: u64,
}

impl Database {
    pub(super) fn exec(&mut self, sql: &str, bindings: &[SqlValue]) -> Answer {
        check_length(sql)?;
        let mut rest = sql;
        let mut counts = Counts::default();
        // All but the last statement, of which only the effects count.
        while let Some(length) = first_statement(rest) {
            let (one, after) = rest.split_at(length);
            if after.trim_matches(is_space).is_empty() {
                break;
            }
            self.run_aside(one, &mut counts)?;
            rest = after;
        }
        self.run_last(rest, bindings, counts)
    }

    fn run_aside(&mut self, sql: &str, counts: &mut Counts) -> Result<(), Failed> {
        self.run_checked(sql, |database| {
            database.run_once(sql, counts, |statement| {
                if statement.parameter_count() > 0 {
                    return Err(Failed::error(
                        "When executing multiple SQL statements in a single call, only the last \
                         statement can have parameters.",
                    ));
                }
                Ok(())
            })
        })
    }

    /// Runs a statement whose rows nobody reads.
    fn run_once(
        &mut self,
        sql: &str,
        counts: &mut Counts,
        check: impl FnOnce(&Statement<'_>) -> Result<(), Failed>,
    ) -> Result<(), Failed> {
        self.begin_if_writing(sql)?;
        let open = self.open()?;
        let before = open.connection.total_changes();
        let ran = open
            .connection
            .prepare(sql)
            .map_err(Trouble::Sql)
            .and_then(|mut statement| {
                check(&statement).map_err(Trouble::Ours)?;
                let mut rows = statement.raw_query();
                let mut seen = 0;
                while rows.next().map_err(Trouble::Sql)?.is_some() {
                    seen += 1;
                }
                drop(rows);
                Ok(seen.max(scanned(&statement)))
            });
        let after = open.connection.total_changes();
        match ran {
            Ok(read) => {
                counts.read += read;
                counts.written += after.saturating_sub(before);
                Ok(())
            }
            Err(Trouble::Ours(failed)) => Err(failed),
            Err(Trouble::Sql(error)) => Err(self.explain(&error)),
        }
    }

    /// Opens the implicit transaction before a statement that writes.
    fn begin_if_writing(&mut self, sql: &str) -> Result<(), Failed> {
        if self.is_in_transaction() {
            return Ok(());
        }
        let open = self.open()?;
        let readonly = open
            .connection
            .prepare_cached(sql)
            .map(|statement| statement.readonly());
        match readonly {
            Ok(true) => Ok(()),
            Ok(false) => self.writing().map(|_| ()),
            Err(error) => Err(self.explain(&error)),
        }
    }

    fn run_last(&mut self, sql: &str, bindings: &[SqlValue], counts: Counts) -> Answer {
        self.run_checked(sql, |database| {
            database.run_with_rows(sql, bindings, counts)
        })
    }

    fn run_with_rows(&mut self, sql: &str, bindings: &[SqlValue], counts: Counts) -> Answer {
        self.begin_if_writing(sql)?;
        let open = self.open()?;
        let cached = open.recent.met(sql);
        let before = open.connection.total_changes();
        let ran = query(open, sql, bindings);
        let after = open.connection.total_changes();
        let (columns, mut batches, read) = match ran {
            Ok(found) => found,
            Err(Trouble::Ours(failed)) => return Err(failed),
            Err(Trouble::Sql(error)) => return Err(self.explain(&error)),
        };
        let first = batches.pop_front().unwrap_or_default();
        let cursor = match batches.is_empty() {
            true => None,
            false => Some(self.open()?.cursors.add(batches)),
        };
        Ok(StorageResult::Rows {
            columns,
            values: first.values,
            count: first.count,
            cursor,
            rows_read: counts.read + read,
            rows_written: counts.written + after.saturating_sub(before),
            cached,
        })
    }

    /// Runs a statement of the Worker's under the clock; takes back one that gave a table a name of
    /// ours, which SQLite does not ask about beforehand.
    fn run_checked<T>(
        &mut self,
        sql: &str,
        run: impl FnOnce(&mut Self) -> Result<T, Failed>,
    ) -> Result<T, Failed> {
        let guard = self.open()?.guard.clone();
        guard.begin(self.query_cpu_max);
        let alters = sql
            .split(|c: char| !c.is_ascii_alphabetic())
            .any(|word| word.eq_ignore_ascii_case("alter"));
        if !alters {
            return run(self);
        }
        self.begin()?;
        let result = run(self);
        let stolen = guard.has_altered() && result.is_ok() && self.has_stolen_name()?;
        match (&result, stolen) {
            (Ok(_), false) => self.commit()?,
            _ => self.roll_back_one()?,
        };
        match stolen {
            true => Err(Failed::error("not authorized: SQLITE_AUTH")),
            false => result,
        }
    }

    fn has_stolen_name(&mut self) -> Result<bool, Failed> {
        let open = self.open()?;
        let found = open.trusted("names", |connection| {
            connection.query_row(
                "SELECT count(*) FROM sqlite_master WHERE name LIKE '\\_cf\\_%' ESCAPE '\\'
                 AND tbl_name NOT IN ('_cf_KV', '_cf_METADATA')",
                [],
                |row| row.get::<_, i64>(0),
            )
        });
        let has_kv = open.has_kv;
        let mut stolen = found.map_err(|error| self.explain(&error))? > 0;
        if !has_kv {
            // A table that was renamed to one of ours before ours was made.
            stolen |= self.is_table_foreign("_cf_KV")? || self.is_table_foreign("_cf_METADATA")?;
        }
        Ok(stolen)
    }

    pub(super) fn more(&mut self, cursor: u32) -> Answer {
        let cursors = &mut self.open()?.cursors;
        let Some(batches) = cursors.waiting.get_mut(&cursor) else {
            return Err(Failed::error(
                "the SQL cursor was closed: too many results wait to be read, or its instance was reset",
            ));
        };
        let batch = batches.pop_front().unwrap_or_default();
        let more = !batches.is_empty();
        cursors.bytes = cursors.bytes.saturating_sub(batch.bytes);
        if !more {
            cursors.waiting.remove(&cursor);
        }
        Ok(StorageResult::Rows {
            columns: Vec::new(),
            values: batch.values,
            count: batch.count,
            cursor: more.then_some(cursor),
            rows_read: 0,
            rows_written: 0,
            cached: false,
        })
    }

    pub(super) fn close_cursor(&mut self, cursor: u32) -> Answer {
        if let Some(open) = &mut self.open {
            open.cursors.remove(cursor);
        }
        Ok(StorageResult::Done {})
    }

    pub(super) fn ingest(&mut self, sql: &str) -> Answer {
        let mut rest = sql;
        let mut counts = Counts::default();
        let mut statements = 0;
        while let Some(length) = first_statement(rest) {
            let (one, after) = rest.split_at(length);
            check_length(one)?;
            self.run_checked(one, |database| {
                database.run_once(one, &mut counts, |_| Ok(()))
            })?;
            statements += 1;
            rest = after;
        }
        Ok(StorageResult::Ingested {
            remainder: rest.to_owned(),
            rows_read: counts.read,
            rows_written: counts.written,
            statements,
        })
    }
}

enum Trouble {
    Sql(rusqlite::Error),
    Ours(Failed),
}

type Found = (Vec<String>, VecDeque<Batch>, u64);

fn query(open: &mut Open, sql: &str, bindings: &[SqlValue]) -> Result<Found, Trouble> {
    let mut statement = open.connection.prepare_cached(sql).map_err(Trouble::Sql)?;
    if statement.parameter_count() != bindings.len() {
        return Err(Trouble::Ours(Failed::error(
            "Wrong number of parameter bindings for SQL query.",
        )));
    }
    for (index, binding) in bindings.iter().enumerate() {
        bind(&mut statement, index + 1, binding).map_err(Trouble::Sql)?;
    }
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let width = columns.len();
    let (batches, seen) = gather(statement.raw_query(), width)?;
    let read = seen.max(scanned(&statement));
    statement.clear_bindings();
    Ok((columns, batches, read))
}

fn bind(statement: &mut Statement<'_>, index: usize, value: &SqlValue) -> rusqlite::Result<()> {
    match value {
        SqlValue::Null {} => statement.raw_bind_parameter(index, rusqlite::types::Null),
        SqlValue::Number { number } => statement.raw_bind_parameter(index, number),
        SqlValue::Text { text } => statement.raw_bind_parameter(index, text),
        SqlValue::Blob { bytes } => statement.raw_bind_parameter(index, &bytes.0),
    }
}

fn gather(mut rows: Rows<'_>, width: usize) -> Result<(VecDeque<Batch>, u64), Trouble> {
    let mut batches = VecDeque::new();
    let mut batch = Batch::default();
    let mut total = 0;
    let mut seen = 0;
    while let Some(row) = rows.next().map_err(Trouble::Sql)? {
        seen += 1;
        if batch.bytes >= BATCH_BYTES || batch.values.len() + width > BATCH_VALUES {
            batches.push_back(std::mem::take(&mut batch));
        }
        let mut bytes = 0;
        for index in 0..width {
            let value = value_of(row.get_ref(index).map_err(Trouble::Sql)?);
            bytes += size_of::<SqlValue>() + length_of(&value);
            batch.values.push(value);
        }
        batch.count += 1;
        batch.bytes += bytes;
        total += bytes;
        if total > RESULT_BYTES_MAX {
            return Err(Trouble::Ours(Failed::error(format!(
                "the result of the SQL query is larger than {RESULT_BYTES_MAX} bytes: add a LIMIT"
            ))));
        }
    }
    batches.push_back(batch);
    Ok((batches, seen))
}

fn value_of(value: ValueRef<'_>) -> SqlValue {
    match value {
        ValueRef::Null => SqlValue::Null {},
        // Beyond 2^53 it loses digits, as everything in JavaScript's numbers does.
        ValueRef::Integer(number) => SqlValue::Number {
            number: number as f64,
        },
        ValueRef::Real(number) => SqlValue::Number { number },
        ValueRef::Text(text) => SqlValue::Text {
            text: String::from_utf8_lossy(text).into_owned(),
        },
        ValueRef::Blob(bytes) => SqlValue::Blob {
            bytes: Blob(bytes.to_vec()),
        },
    }
}

fn length_of(value: &SqlValue) -> usize {
    match value {
        SqlValue::Text { text } => text.len(),
        SqlValue::Blob { bytes } => bytes.0.len(),
        SqlValue::Null {} | SqlValue::Number { .. } => 0,
    }
}

/// Rows that a statement stepped over, as far as SQLite counts them.
fn scanned(statement: &Statement<'_>) -> u64 {
    let steps = statement.reset_status(StatementStatus::FullscanStep);
    u64::try_from(steps).unwrap_or(0)
}

fn is_space(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\u{b}'
}

fn check_length(sql: &str) -> Result<(), Failed> {
    if sql.len() > SQL_BYTES_MAX {
        return Err(Failed::error(format!(
            "statement too long: {} bytes, limit {SQL_BYTES_MAX}: SQLITE_TOOBIG",
            sql.len()
        )));
    }
    Ok(())
}
