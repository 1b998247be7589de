//! A database by behaviour, mostly in memory.

use super::*;

/// What came, as text.
#[derive(Default)]
struct Told {
    text: String,
    metas: Vec<Meta>,
    rows_max: Option<usize>,
}

impl Taker for Told {
    fn columns(&mut self, names: &[&str]) -> Result<(), String> {
        self.text.push_str(&format!("[{}]", names.join(",")));
        Ok(())
    }

    fn row(&mut self, cells: &mut dyn Iterator<Item = Cell<'_>>) -> Result<(), String> {
        if let Some(left) = &mut self.rows_max {
            *left = left.checked_sub(1).ok_or("too much")?;
        }
        for cell in cells {
            self.text.push_str(&format!("{cell:?} "));
        }
        Ok(())
    }

    fn done(&mut self, meta: &Meta) -> Result<(), String> {
        self.metas.push(*meta);
        Ok(())
    }
}

fn queries(texts: &[&str]) -> Vec<Query> {
    let query = |sql: &&str| Query {
        sql: (*sql).to_owned(),
        params: Vec::new(),
    };
    texts.iter().map(query).collect()
}

fn database() -> D1 {
    D1::open(&Store::ephemeral().unwrap(), "a").unwrap()
}

fn run(database: &D1, texts: &[&str]) -> Result<Told, Refused> {
    let mut told = Told::default();
    database.run(&queries(texts), Blank::Refused, &mut told)?;
    Ok(told)
}

fn refused(database: &D1, sql: &str) -> String {
    run(database, &[sql])
        .map(|told| told.text)
        .expect_err(sql)
        .message
}

#[test]
fn values_come_as_they_are_and_parameters_go_in() {
    let database = database();
    let query = Query {
        sql: "SELECT ?, ?2 AS b, ?, ?4, 1 AS i, 9e999 AS f".to_owned(),
        params: vec![
            Param::Null,
            Param::Number(1.5),
            Param::Text("ü".to_owned()),
            Param::Blob(vec![0, 255]),
        ],
    };
    let mut told = Told::default();
    database.run(&[query], Blank::Refused, &mut told).unwrap();
    assert_eq!(
        told.text,
        "[?,b,?,?4,i,f]Null Real(1.5) Text([195, 188]) Blob([0, 255]) Integer(1) Real(inf) "
    );
}

#[test]
fn a_question_happens_whole_or_not_at_all() {
    let database = database();
    run(&database, &["CREATE TABLE t (a UNIQUE)"]).unwrap();
    let error = run(
        &database,
        &[
            "INSERT INTO t VALUES (1)",
            "INSERT INTO t VALUES (2)",
            "INSERT INTO t VALUES (1)",
        ],
    );
    let error = error.map(|told| told.text).unwrap_err();
    assert_eq!(
        (error.at, error.message.as_str()),
        (2, "UNIQUE constraint failed: t.a: SQLITE_CONSTRAINT")
    );
    assert_eq!(
        run(&database, &["SELECT count(*) FROM t"]).unwrap().text,
        "[count(*)]Integer(0) "
    );
    // What is deferred is found at the end, and the next question is in no transaction of its.
    run(
        &database,
        &["CREATE TABLE u (a REFERENCES t (a) DEFERRABLE INITIALLY DEFERRED)"],
    )
    .unwrap();
    let error = refused(&database, "INSERT INTO u VALUES (9)");
    assert_eq!(error, "FOREIGN KEY constraint failed: SQLITE_CONSTRAINT");
    assert_eq!(
        run(&database, &["SELECT count(*) AS n FROM u"])
            .unwrap()
            .text,
        "[n]Integer(0) "
    );
}

#[test]
fn a_taker_that_has_had_enough_undoes_the_question() {
    let database = database();
    run(&database, &["CREATE TABLE t (a)"]).unwrap();
    let mut told = Told {
        rows_max: Some(1),
        ..Told::default()
    };
    let asked = queries(&["INSERT INTO t VALUES (1), (2) RETURNING a"]);
    let error = database.run(&asked, Blank::Refused, &mut told).unwrap_err();
    assert_eq!(error.message, "too much");
    assert_empty(&database);
}

#[test]
fn what_a_query_did_is_told() {
    let database = database();
    let made = run(&database, &["CREATE TABLE t (a)"]).unwrap().metas[0];
    assert!(
        made.changed_db && made.changes == 0 && made.size_after == 2 * PAGE_BYTES,
        "{made:?}"
    );
    let wrote = run(&database, &["INSERT INTO t VALUES (1), (2), (3)"])
        .unwrap()
        .metas[0];
    assert_eq!(
        (wrote.changes, wrote.last_row_id, wrote.changed_db),
        (3, 3, true)
    );
    assert_eq!(wrote.rows_written, 3);
    let read = run(&database, &["SELECT * FROM t WHERE a > 2"])
        .unwrap()
        .metas[0];
    assert_eq!((read.changes, read.changed_db), (0, false));
    assert!(read.rows_read >= 2, "{read:?}");
}

#[test]
fn of_several_statements_the_last_gives_the_rows() {
    let database = database();
    let sql = "CREATE TABLE t (a); INSERT INTO t VALUES (1); -- two\nSELECT a FROM t; -- done";
    let told = run(&database, &[sql]).unwrap();
    assert_eq!(told.text, "[a]Integer(1) ");
    assert_eq!((told.metas.len(), told.metas[0].changes), (1, 1));
    let trigger = "CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM t; SELECT 1; END; SELECT 2";
    assert_eq!(run(&database, &[trigger]).unwrap().text, "[2]Integer(2) ");
    assert_eq!(
        refused(&database, "SELECT ?; SELECT 1"),
        "When executing multiple SQL statements in a single call, only the last statement can have \
         parameters."
    );
}

#[test]
fn what_is_no_statement_is_said() {
    let database = database();
    assert_eq!(
        refused(&database, " -- nothing"),
        "No SQL statements detected."
    );
    let lines = queries(&["", "SELECT 1", "-- two", "SELECT 2"]);
    let mut told = Told::default();
    database.run(&lines, Blank::Skipped, &mut told).unwrap();
    assert_eq!(told.metas.len(), 2);
    let none = database.run(&lines[..1], Blank::Skipped, &mut told);
    assert_eq!(none.unwrap_err().message, "No SQL statements detected.");
    assert_eq!(
        database.run(&[], Blank::Refused, &mut told).unwrap_err().at,
        0
    );
    assert_eq!(
        refused(&database, "SELECT ?"),
        "Wrong number of parameter bindings for SQL query."
    );
    assert_eq!(
        refused(&database, "SELECT * FROM missing"),
        "no such table: missing: SQLITE_ERROR"
    );
    let long = format!("SELECT '{}'", "x".repeat(SQL_BYTES_MAX));
    assert!(refused(&database, &long).starts_with("statement too long: "));
}

#[test]
fn nothing_leads_out_of_the_database_and_no_setting_stays() {
    let database = database();
    for sql in [
        "ATTACH '/tmp/x.sqlite' AS x",
        "VACUUM INTO '/tmp/x.sqlite'",
        "SELECT load_extension('x')",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA max_page_count = 1",
        "PRAGMA hard_heap_limit = 1",
        "PRAGMA temp_store_directory = '/tmp'",
        "CREATE TEMP TABLE x (a)",
        "SELECT * FROM dbstat",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT a",
        "SELECT 1; COMMIT",
    ] {
        let message = refused(&database, sql);
        let known = [
            "not authorized",
            "To execute a transaction",
            "no such function",
            "too many attached",
            "is prohibited",
            "cannot VACUUM from within a transaction",
        ];
        assert!(
            known.iter().any(|words| message.contains(words)),
            "{sql}: {message}"
        );
    }
    run(&database, &["CREATE TABLE t (a CHECK (a > 0))"]).unwrap();
    for _ in 0..2 {
        run(
            &database,
            &[
                "PRAGMA ignore_check_constraints = ON",
                "INSERT INTO t VALUES (0)",
            ],
        )
        .unwrap();
        assert!(refused(&database, "INSERT INTO t VALUES (0)").contains("CHECK constraint failed"));
    }
}

/// The database answers, and its table `t` has no row.
fn assert_empty(database: &D1) {
    let told = run(database, &["SELECT count(*) AS n FROM t"]).unwrap();
    assert_eq!(told.text, "[n]Integer(0) ");
}

#[test]
fn a_database_that_is_full_says_so_and_can_still_be_read() {
    let database = database();
    run(&database, &["CREATE TABLE t (a)"]).unwrap();
    let limit = |connection: &Connection| connection.execute_batch("PRAGMA max_page_count = 8");
    database.open.lock().trusted(limit).unwrap();
    let fill = "INSERT INTO t VALUES (zeroblob(100000))";
    assert_eq!(refused(&database, fill), FULL);
    assert_empty(&database);
}

#[test]
fn what_runs_too_long_is_interrupted_and_undone() {
    let store = Store::ephemeral().unwrap();
    let database = D1::with(&store, "a", Duration::from_millis(50)).unwrap();
    run(&database, &["CREATE TABLE t (a)"]).unwrap();
    let endless =
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT max(x) FROM c";
    let error = run(&database, &["INSERT INTO t VALUES (1)", endless]);
    let error = error.map(|told| told.text).unwrap_err();
    assert!(
        error
            .message
            .starts_with("D1 DB storage operation exceeded timeout"),
        "{error}"
    );
    assert_empty(&database);
}

#[test]
fn many_short_statements_have_the_time_of_one() {
    let store = Store::ephemeral().unwrap();
    let database = D1::with(&store, "a", Duration::from_nanos(1)).unwrap();
    let message = refused(&database, "CREATE TABLE t (a)");
    assert!(
        message.starts_with("D1 DB storage operation exceeded timeout"),
        "{message}"
    );
    let message = refused(&database, "SELECT 1; SELECT 2");
    assert!(
        message.starts_with("D1 DB storage operation exceeded timeout"),
        "{message}"
    );
}

#[test]
fn bookmarks_grow_with_what_is_written_and_data_stays() {
    let folder = std::env::temp_dir().join(format!("mayfly-d1-{}", std::process::id()));
    let store = Store::open(&folder).unwrap();
    let bookmark = |database: &D1, sql: &str| {
        let mut told = Told::default();
        database
            .run(&queries(&[sql]), Blank::Refused, &mut told)
            .unwrap()
    };
    let database = D1::open(&store, "n").unwrap();
    let first = bookmark(&database, "CREATE TABLE t (a)");
    let second = bookmark(&database, "INSERT INTO t VALUES (7)");
    assert!(first < second, "{first} {second}");
    assert_eq!(bookmark(&database, "SELECT 1"), second);
    drop(database);
    std::thread::sleep(Duration::from_millis(2));
    let again = D1::open(&store, "n").unwrap();
    assert!(bookmark(&again, "SELECT 1") > second);
    assert_eq!(
        run(&again, &["SELECT a FROM t"]).unwrap().text,
        "[a]Integer(7) "
    );
    assert!(folder.join("d1/n.sqlite").is_file());
    drop((again, store));
    std::fs::remove_dir_all(&folder).unwrap();
}
