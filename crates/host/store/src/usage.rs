//! What Workers used, by day: one SQLite file, `usage.sqlite` in the folder of the state.
//!
//! The host adds to it twice a second in one transaction; `mayfly usage` reads it, also while a host
//! writes. Days are UTC's, as numbers since the epoch. A day has a row for each configured Worker
//! and for each id of its dynamic ones, up to a bound; which (id, code) has been counted on a day is
//! kept for that day only; rows of single ids are rolled up after a while.
//!
//! Deliberately absent: prices (the command's business) and when to write.
//!
//! Invariant: what one [`Usage::add`] was given is in the file wholly or not at all.

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, params};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file's name in the folder of the state.
pub const FILE: &str = "usage.sqlite";

/// Rows of single ids that one day may have; what exceeds it goes to one row of the Worker's.
pub const ID_ROWS_PER_DAY_MAX: u64 = 250_000;

/// Days for which rows of single ids are kept: a whole month, and time to look at it.
pub const ID_DAYS: i64 = 62;

/// Prefixes of ids that one day may have.
const PREFIX_ROWS_PER_DAY_MAX: u64 = 10_000;

/// The id of what exceeds a bound, and of what was rolled up.
pub const OTHER: &str = "(other)";

/// Bytes of an id that are kept.
const ID_BYTES_MAX: usize = 256;

/// How long a reader and a writer wait for each other.
const BUSY: Duration = Duration::from_secs(5);

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS usage (
  day INTEGER NOT NULL, worker TEXT NOT NULL, id TEXT NOT NULL,
  requests INTEGER NOT NULL, cpu_us INTEGER NOT NULL, wall_us INTEGER NOT NULL,
  bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL, memory_peak INTEGER NOT NULL,
  worker_days INTEGER NOT NULL, egress_requests INTEGER NOT NULL DEFAULT 0,
  egress_sent INTEGER NOT NULL DEFAULT 0, egress_received INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (day, worker, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counted (
  day INTEGER NOT NULL, worker TEXT NOT NULL, id TEXT NOT NULL, code INTEGER NOT NULL,
  PRIMARY KEY (day, worker, id, code)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS prefixes (
  day INTEGER NOT NULL, worker TEXT NOT NULL, prefix TEXT NOT NULL, ids INTEGER NOT NULL,
  PRIMARY KEY (day, worker, prefix)
) WITHOUT ROWID;
PRAGMA user_version = 2;
";

/// What the file of a version lacks, and so is done to it on opening.
const UPGRADES: [(i64, &str); 1] = [(
    1,
    "ALTER TABLE usage ADD COLUMN egress_requests INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE usage ADD COLUMN egress_sent INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE usage ADD COLUMN egress_received INTEGER NOT NULL DEFAULT 0;
     PRAGMA user_version = 2;",
)];

/// The version that this program writes.
const VERSION: i64 = 2;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// It cannot be opened or is none of ours.
    #[error("open {path}: {source}")]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// It is of a later version of Mayfly.
    #[error(
        "{path} was written by a later version of Mayfly (format {version}, this one knows {VERSION})"
    )]
    Version {
        /// Which.
        path: PathBuf,
        /// Its format.
        version: i64,
    },
    /// A statement failed.
    #[error("usage: {0}")]
    Sql(#[from] rusqlite::Error),
}

/// Numbers of one Worker or id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Events for entrypoints.
    pub requests: u64,
    /// CPU time.
    pub cpu_us: u64,
    /// Wall time.
    pub wall_us: u64,
    /// Bytes to its processes.
    pub bytes_in: u64,
    /// Bytes from them.
    pub bytes_out: u64,
    /// The most memory of one of its processes.
    pub memory_peak: u64,
    /// Unique dynamic Workers, each counted once a day.
    pub worker_days: u64,
    /// What was asked of the internet.
    pub egress_requests: u64,
    /// Bytes sent there.
    pub egress_sent: u64,
    /// Bytes that came back.
    pub egress_received: u64,
}

/// What was used since the last time.
#[derive(Debug, Clone, Default)]
pub struct Added {
    /// The configured Worker.
    pub worker: String,
    /// The id of a dynamic one; empty for the configured one itself.
    pub id: String,
    /// What is to be added; `worker_days` are those that count each.
    pub numbers: Numbers,
    /// Code that the id had, each of which counts once a day.
    pub codes: Vec<u64>,
}

/// A row of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What it is grouped by: a day, a Worker, `worker/id`.
    pub key: String,
    /// Sums; the peak is the largest.
    pub numbers: Numbers,
}

/// How rows are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// One a configured Worker, its dynamic ones included.
    Worker,
    /// One an id.
    Id,
    /// One a day.
    Day,
}

/// Ids that begin alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    /// The configured Worker.
    pub worker: String,
    /// What they begin with.
    pub prefix: String,
    /// How many were new, summed over the days.
    pub ids: u64,
}

/// See the file's head.
pub struct Usage {
    db: Connection,
    /// The day whose rows are counted below.
    day: i64,
    id_rows: u64,
    prefix_rows: u64,
}

impl Usage {
    /// Opens the file in `folder` to add to it; makes it where there is none.
    pub fn open(folder: &Path) -> Result<Self, UsageError> {
        let path = folder.join(FILE);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let db = open(&path, flags)?;
        let prepared = db
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")
            .and_then(|()| db.execute_batch(SCHEMA));
        prepared.map_err(|source| UsageError::Open { path, source })?;
        Ok(Self {
            db,
            day: i64::MIN,
            id_rows: 0,
            prefix_rows: 0,
        })
    }

    /// Opens the file in `folder` to read it.
    pub fn read(folder: &Path) -> Result<Self, UsageError> {
        // A log that a dead host left is played back by whoever reads, so it has to be writable.
        let db = open(&folder.join(FILE), OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        Ok(Self {
            db,
            day: i64::MIN,
            id_rows: 0,
            prefix_rows: 0,
        })
    }

    /// Adds what was used on `day`, in one transaction.
    pub fn add(&mut self, day: i64, added: &[Added]) -> Result<(), UsageError> {
        if day != self.day {
            self.turn_to(day)?;
        }
        let transaction = self.db.transaction()?;
        let mut rows = Rows {
            day,
            id_rows: self.id_rows,
            prefix_rows: self.prefix_rows,
        };
        for one in added {
            rows.add(&transaction, one)?;
        }
        transaction.commit()?;
        (self.id_rows, self.prefix_rows) = (rows.id_rows, rows.prefix_rows);
        Ok(())
    }

    /// Begins a day: what is only needed for a day, or for some weeks, goes.
    fn turn_to(&mut self, day: i64) -> Result<(), UsageError> {
        let transaction = self.db.transaction()?;
        // Two hosts may disagree about midnight by some seconds.
        transaction.execute("DELETE FROM counted WHERE day < ?1", [day - 1])?;
        transaction.execute("DELETE FROM prefixes WHERE day < ?1", [day - ID_DAYS])?;
        roll_up(&transaction, day - ID_DAYS)?;
        let count = |sql: &str| -> rusqlite::Result<u64> {
            transaction.query_row(sql, [day], |row| number(row, 0))
        };
        let id_rows = count("SELECT count(*) FROM usage WHERE day = ?1 AND id <> ''")?;
        let prefix_rows = count("SELECT count(*) FROM prefixes WHERE day = ?1")?;
        transaction.commit()?;
        (self.day, self.id_rows, self.prefix_rows) = (day, id_rows, prefix_rows);
        Ok(())
    }

    /// Sums of the days from `first` up to and without `end`, the most CPU first (by day: in order).
    pub fn report(&self, first: i64, end: i64, by: By) -> Result<Vec<Row>, UsageError> {
        let (key, order) = match by {
            By::Worker => ("worker", "cpu DESC, key"),
            By::Id => (
                "CASE id WHEN '' THEN worker ELSE worker || '/' || id END",
                "cpu DESC, key",
            ),
            By::Day => ("date(day * 86400, 'unixepoch')", "key"),
        };
        let sql = format!(
            "SELECT {key} AS key, sum(requests), sum(cpu_us) AS cpu, sum(wall_us), sum(bytes_in), \
             sum(bytes_out), max(memory_peak), sum(worker_days), sum(egress_requests), \
             sum(egress_sent), sum(egress_received) FROM usage \
             WHERE day >= ?1 AND day < ?2 GROUP BY key ORDER BY {order}"
        );
        let mut statement = self.db.prepare(&sql)?;
        let rows = statement.query_map([first, end], |row| {
            Ok(Row {
                key: row.get(0)?,
                numbers: Numbers {
                    requests: number(row, 1)?,
                    cpu_us: number(row, 2)?,
                    wall_us: number(row, 3)?,
                    bytes_in: number(row, 4)?,
                    bytes_out: number(row, 5)?,
                    memory_peak: number(row, 6)?,
                    worker_days: number(row, 7)?,
                    egress_requests: number(row, 8)?,
                    egress_sent: number(row, 9)?,
                    egress_received: number(row, 10)?,
                },
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The prefixes with the most ids, of the same days.
    pub fn prefixes(&self, first: i64, end: i64, count: u32) -> Result<Vec<Prefix>, UsageError> {
        let mut statement = self.db.prepare(
            "SELECT worker, prefix, sum(ids) AS all_ids FROM prefixes WHERE day >= ?1 AND day < ?2 \
             GROUP BY worker, prefix ORDER BY all_ids DESC, worker, prefix LIMIT ?3",
        )?;
        let rows = statement.query_map(params![first, end, count], |row| {
            Ok(Prefix {
                worker: row.get(0)?,
                prefix: row.get(1)?,
                ids: number(row, 2)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection, UsageError> {
    let failed = |source| UsageError::Open {
        path: path.to_owned(),
        source,
    };
    let mut db = Connection::open_with_flags(path, flags).map_err(failed)?;
    db.busy_timeout(BUSY).map_err(failed)?;
    let version = version_of(&db).map_err(failed)?;
    if version > VERSION {
        return Err(UsageError::Version {
            path: path.to_owned(),
            version,
        });
    }
    if UPGRADES.iter().any(|(of, _)| *of == version) {
        upgrade(&mut db).map_err(failed)?;
    }
    Ok(db)
}

fn version_of(db: &Connection) -> rusqlite::Result<i64> {
    db.query_row("PRAGMA user_version", [], |row| row.get(0))
}

fn upgrade(db: &mut Connection) -> rusqlite::Result<()> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have done it meanwhile.
    for (of, upgrade) in UPGRADES {
        if version_of(&transaction)? == of {
            transaction.execute_batch(upgrade)?;
        }
    }
    transaction.commit()
}

fn roll_up(transaction: &Transaction<'_>, before: i64) -> rusqlite::Result<()> {
    transaction.execute(
        &format!(
            "INSERT INTO usage SELECT day, worker, '{OTHER}', sum(requests), sum(cpu_us), \
             sum(wall_us), sum(bytes_in), sum(bytes_out), max(memory_peak), sum(worker_days), \
             sum(egress_requests), sum(egress_sent), sum(egress_received) \
             FROM usage WHERE day < ?1 AND id NOT IN ('', '{OTHER}') GROUP BY day, worker \
             {ON_CONFLICT}"
        ),
        [before],
    )?;
    transaction.execute(
        &format!("DELETE FROM usage WHERE day < ?1 AND id NOT IN ('', '{OTHER}')"),
        [before],
    )?;
    Ok(())
}

const ON_CONFLICT: &str = "ON CONFLICT (day, worker, id) DO UPDATE SET \
    requests = requests + excluded.requests, cpu_us = cpu_us + excluded.cpu_us, \
    wall_us = wall_us + excluded.wall_us, bytes_in = bytes_in + excluded.bytes_in, \
    bytes_out = bytes_out + excluded.bytes_out, \
    memory_peak = max(memory_peak, excluded.memory_peak), \
    worker_days = worker_days + excluded.worker_days, \
    egress_requests = egress_requests + excluded.egress_requests, \
    egress_sent = egress_sent + excluded.egress_sent, \
    egress_received = egress_received + excluded.egress_received";

/// The rows of a day, while they are added to.
struct Rows {
    day: i64,
    id_rows: u64,
    prefix_rows: u64,
}

impl Rows {
    fn add(&mut self, transaction: &Transaction<'_>, one: &Added) -> rusqlite::Result<()> {
        let id = cut(&one.id);
        let mut worker_days = one.numbers.worker_days;
        for code in &one.codes {
            worker_days += self.count(transaction, &one.worker, id, *code)?;
        }
        let id = self.row_of(transaction, &one.worker, id)?;
        let sql = format!(
            "INSERT INTO usage VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13) {ON_CONFLICT}"
        );
        let numbers = &one.numbers;
        transaction.prepare_cached(&sql)?.execute(params![
            self.day,
            one.worker,
            id,
            whole(numbers.requests),
            whole(numbers.cpu_us),
            whole(numbers.wall_us),
            whole(numbers.bytes_in),
            whole(numbers.bytes_out),
            whole(numbers.memory_peak),
            whole(worker_days),
            whole(numbers.egress_requests),
            whole(numbers.egress_sent),
            whole(numbers.egress_received),
        ])?;
        Ok(())
    }

    /// 1 if this id has not had this code today.
    fn count(
        &mut self,
        transaction: &Transaction<'_>,
        worker: &str,
        id: &str,
        code: u64,
    ) -> rusqlite::Result<u64> {
        let known: bool = transaction
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM counted WHERE day = ?1 AND worker = ?2 AND id = ?3)",
            )?
            .query_row(params![self.day, worker, id], |row| row.get(0))?;
        let new = transaction
            .prepare_cached("INSERT OR IGNORE INTO counted VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![self.day, worker, id, code.cast_signed()])?;
        if !known {
            self.count_prefix(transaction, worker, id)?;
        }
        Ok(new as u64)
    }

    fn count_prefix(
        &mut self,
        transaction: &Transaction<'_>,
        worker: &str,
        id: &str,
    ) -> rusqlite::Result<()> {
        let prefix = prefix_of(id);
        let known = transaction
            .prepare_cached(
                "UPDATE prefixes SET ids = ids + 1 WHERE day = ?1 AND worker = ?2 AND prefix = ?3",
            )?
            .execute(params![self.day, worker, prefix])?;
        if known > 0 {
            return Ok(());
        }
        let prefix = match self.prefix_rows < PREFIX_ROWS_PER_DAY_MAX {
            true => prefix,
            false => OTHER,
        };
        self.prefix_rows += transaction
            .prepare_cached(
                "INSERT INTO prefixes VALUES (?1, ?2, ?3, 1) \
                 ON CONFLICT (day, worker, prefix) DO UPDATE SET ids = ids + 1",
            )?
            .execute(params![self.day, worker, prefix])? as u64;
        Ok(())
    }

    /// The id under which it is added: its own where there is one already, or room for one.
    fn row_of<'a>(
        &mut self,
        transaction: &Transaction<'_>,
        worker: &str,
        id: &'a str,
    ) -> rusqlite::Result<&'a str> {
        if id.is_empty() {
            return Ok(id);
        }
        let known: bool = transaction
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM usage WHERE day = ?1 AND worker = ?2 AND id = ?3)",
            )?
            .query_row(params![self.day, worker, id], |row| row.get(0))?;
        if known {
            return Ok(id);
        }
        if self.id_rows >= ID_ROWS_PER_DAY_MAX {
            return Ok(OTHER);
        }
        self.id_rows += 1;
        Ok(id)
    }
}

/// SQLite's integers have a sign; ours are never below 0.
fn number(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    Ok(u64::try_from(number).unwrap_or(0))
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn cut(id: &str) -> &str {
    &id[..id.floor_char_boundary(ID_BYTES_MAX)]
}

/// What ids of one kind have in common: everything up to the first delimiter, or some characters
/// where there is none.
fn prefix_of(id: &str) -> &str {
    const CHARS: usize = 8;
    let delimiter = id.find([':', '/', '-', '_', '.', '|', '#']);
    match delimiter {
        Some(at) if at > 0 => &id[..=at],
        _ => id.char_indices().nth(CHARS).map_or(id, |(at, _)| &id[..at]),
    }
}

impl fmt::Debug for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Usage")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(worker: &str, id: &str, requests: u64, codes: &[u64]) -> Added {
        Added {
            worker: worker.to_owned(),
            id: id.to_owned(),
            numbers: Numbers {
                requests,
                cpu_us: requests * 10,
                memory_peak: requests,
                ..Numbers::default()
            },
            codes: codes.to_vec(),
        }
    }

    fn folder(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("mayfly-usage-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn days_are_summed_and_kept() {
        let folder = folder("sums");
        let mut usage = Usage::open(&folder).unwrap();
        usage
            .add(20_000, &[added("a", "", 1, &[]), added("a", "x", 2, &[7])])
            .unwrap();
        usage
            .add(20_000, &[added("a", "x", 3, &[7]), added("b", "", 4, &[])])
            .unwrap();
        usage.add(20_001, &[added("a", "x", 1, &[7, 8])]).unwrap();
        drop(usage);
        let usage = Usage::read(&folder).unwrap();
        let rows = usage.report(20_000, 20_002, By::Worker).unwrap();
        let seen: Vec<_> = rows
            .iter()
            .map(|row| {
                (
                    row.key.as_str(),
                    row.numbers.requests,
                    row.numbers.worker_days,
                )
            })
            .collect();
        assert_eq!(seen, [("a", 7, 3), ("b", 4, 0)]);
        let rows = usage.report(20_000, 20_001, By::Id).unwrap();
        let seen: Vec<_> = rows
            .iter()
            .map(|row| {
                (
                    row.key.as_str(),
                    row.numbers.cpu_us,
                    row.numbers.memory_peak,
                )
            })
            .collect();
        assert_eq!(seen, [("a/x", 50, 3), ("b", 40, 4), ("a", 10, 1)]);
        let days = usage.report(0, 30_000, By::Day).unwrap();
        let days: Vec<_> = days.iter().map(|row| row.key.as_str()).collect();
        assert_eq!(days, ["2024-10-04", "2024-10-05"]);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn an_id_counts_once_a_day_for_each_code() {
        let folder = folder("unique");
        let mut usage = Usage::open(&folder).unwrap();
        for _ in 0..3 {
            usage.add(1, &[added("a", "x", 1, &[1])]).unwrap();
            usage
                .add(1, &[added("a", "x", 1, &[2]), added("a", "y", 1, &[1])])
                .unwrap();
        }
        // The file is opened again: nothing is counted twice.
        let mut usage = Usage::open(&folder).unwrap();
        usage.add(1, &[added("a", "x", 1, &[1, 2])]).unwrap();
        let rows = usage.report(1, 2, By::Worker).unwrap();
        assert_eq!(rows[0].numbers.worker_days, 3);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn prefixes_tell_which_ids_run_away() {
        let folder = folder("prefixes");
        let mut usage = Usage::open(&folder).unwrap();
        let ids: Vec<_> = (0..20)
            .map(|n| added("a", &format!("user-{n}"), 1, &[1]))
            .collect();
        usage.add(1, &ids).unwrap();
        usage.add(1, &ids).unwrap();
        usage
            .add(1, &[added("a", "0123456789abcdef", 1, &[1])])
            .unwrap();
        let seen: Vec<_> = usage
            .prefixes(1, 2, 5)
            .unwrap()
            .into_iter()
            .map(|prefix| (prefix.prefix, prefix.ids))
            .collect();
        assert_eq!(seen, [("user-".to_owned(), 20), ("01234567".to_owned(), 1)]);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn old_ids_are_rolled_up_and_lose_nothing() {
        let folder = folder("roll-up");
        let mut usage = Usage::open(&folder).unwrap();
        usage
            .add(100, &[added("a", "x", 1, &[1]), added("a", "y", 2, &[1])])
            .unwrap();
        usage
            .add(100 + ID_DAYS + 1, &[added("a", "x", 5, &[1])])
            .unwrap();
        let rows = usage.report(100, 101, By::Id).unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].key, "a/(other)");
        assert_eq!(
            (rows[0].numbers.requests, rows[0].numbers.worker_days),
            (3, 2)
        );
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_of_the_first_version_gets_what_it_lacks() {
        let folder = folder("upgrade");
        let db = Connection::open(folder.join(FILE)).unwrap();
        db.execute_batch(
            "CREATE TABLE usage (
               day INTEGER NOT NULL, worker TEXT NOT NULL, id TEXT NOT NULL,
               requests INTEGER NOT NULL, cpu_us INTEGER NOT NULL, wall_us INTEGER NOT NULL,
               bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL, memory_peak INTEGER NOT NULL,
               worker_days INTEGER NOT NULL, PRIMARY KEY (day, worker, id)) WITHOUT ROWID;
             INSERT INTO usage VALUES (1, 'a', '', 5, 0, 0, 0, 0, 0, 0);
             PRAGMA user_version = 1;",
        )
        .unwrap();
        drop(db);
        let mut out = added("a", "", 1, &[]);
        (out.numbers.egress_requests, out.numbers.egress_sent) = (2, 30);
        Usage::open(&folder).unwrap().add(1, &[out]).unwrap();
        let rows = Usage::read(&folder)
            .unwrap()
            .report(1, 2, By::Worker)
            .unwrap();
        let numbers = &rows[0].numbers;
        assert_eq!(
            (
                numbers.requests,
                numbers.egress_requests,
                numbers.egress_sent
            ),
            (6, 2, 30)
        );
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_of_a_later_version_is_left_alone() {
        let folder = folder("version");
        drop(Usage::open(&folder).unwrap());
        let db = Connection::open(folder.join(FILE)).unwrap();
        db.execute_batch("PRAGMA user_version = 9").unwrap();
        assert!(matches!(
            Usage::open(&folder),
            Err(UsageError::Version { version: 9, .. })
        ));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
