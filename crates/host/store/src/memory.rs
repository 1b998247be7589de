//! What SQLite may take of the host's memory: all databases of the process together.
//!
//! Sorting and what a query materialises are kept in memory, some hundred megabytes a second for a query that means
//! harm. Beyond the bound it fails with `out of memory: SQLITE_NOMEM`, is undone, and gives all of it back; short
//! of the bound pages of files are no longer kept. State in memory has no such bound: it is all there is.

use std::fs;

use rusqlite::Connection;

/// The part of the machine's memory; guests have half of what is free.
const PART: u64 = 4;

/// On a machine that does not say how much it has.
const UNKNOWN: u64 = 1 << 30;

/// Sets the bound, by any connection. It can only be made smaller later.
pub fn bound(connection: &Connection) -> rusqlite::Result<()> {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    bound_to(
        connection,
        total(&info).map_or(UNKNOWN, |total| total / PART),
    )
}

fn bound_to(connection: &Connection, bytes: u64) -> rusqlite::Result<()> {
    connection.execute_batch(&format!("PRAGMA hard_heap_limit = {bytes}"))
}

/// `MemTotal:       24576000 kB`
fn total(info: &str) -> Option<u64> {
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;
    use crate::d1::{Blank, Cell, D1, Meta, Query, Taker};

    struct Nobody;

    impl Taker for Nobody {
        fn columns(&mut self, _names: &[&str]) -> Result<(), String> {
            Ok(())
        }

        fn row(&mut self, _cells: &mut dyn Iterator<Item = Cell<'_>>) -> Result<(), String> {
            Ok(())
        }

        fn done(&mut self, _meta: &Meta) -> Result<(), String> {
            Ok(())
        }
    }

    #[test]
    fn a_query_that_takes_too_much_fails_and_the_next_one_runs() {
        let database = D1::open(&Store::ephemeral().unwrap(), "a").unwrap();
        bound_to(&Connection::open_in_memory().unwrap(), 256 << 20).unwrap();
        let run = |sql: &str| {
            let query = Query {
                sql: sql.to_owned(),
                params: Vec::new(),
            };
            database.run(&[query], Blank::Refused, &mut Nobody)
        };
        run("CREATE TABLE t (a)").unwrap();
        let greedy = "WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n),
            d AS MATERIALIZED (SELECT v, randomblob(1000000) AS b FROM n) SELECT v FROM d ORDER BY b";
        let refused = run(greedy).unwrap_err();
        assert_eq!(refused.message, "out of memory: SQLITE_NOMEM");
        run("INSERT INTO t SELECT randomblob(1000000) FROM t").unwrap();
        run("SELECT * FROM t").unwrap();
    }

    #[test]
    fn the_machine_says_how_much_it_has() {
        assert_eq!(
            total("MemTotal:       2048 kB\nMemFree: 1 kB\n"),
            Some(2 << 20)
        );
        assert_eq!(total("MemFree: 1 kB"), None);
        assert_eq!(total(""), None);
    }
}
