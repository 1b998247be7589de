//! One object's database by behaviour, in memory.

use super::*;
use crate::Store;
use crate::id::ObjectId;
use mayfly_wire::{Blob, SqlValue};

fn database() -> Database {
    let store = Store::ephemeral().unwrap();
    let place = Place::object("f", &ObjectId::of_name("a", &[1; 32]));
    store.database(&place).unwrap()
}

fn exec(database: &mut Database, sql: &str) -> StorageResult {
    let request = StorageRequest::Exec {
        sql: sql.to_owned(),
        bindings: vec![],
    };
    database.answer(request).reply.result
}

fn refused(database: &mut Database, sql: &str) -> String {
    match exec(database, sql) {
        StorageResult::Failed { message, .. } => message,
        other => panic!("{sql}: {other:?}"),
    }
}

fn number(database: &mut Database, sql: &str) -> f64 {
    match exec(database, sql) {
        StorageResult::Rows { values, .. } => match values.as_slice() {
            [SqlValue::Number { number }] => *number,
            other => panic!("{sql}: {other:?}"),
        },
        other => panic!("{sql}: {other:?}"),
    }
}

#[test]
fn what_could_leave_the_database_is_refused() {
    let mut database = database();
    exec(&mut database, "CREATE TABLE t (a)");
    let put = StorageRequest::Put {
        entries: vec![("k".to_owned(), Blob(vec![1]))],
    };
    database.answer(put);
    for sql in [
        "ATTACH '/tmp/x.sqlite' AS x",
        "ATTACH ':memory:' AS x",
        "DETACH main",
        "VACUUM INTO '/tmp/x.sqlite'",
        "SELECT load_extension('x')",
        "SELECT readfile('/etc/passwd')",
        "SELECT sqlite_version()",
        "SELECT fts3_tokenizer('x')",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA writable_schema = ON",
        "PRAGMA temp_store_directory = '/tmp'",
        "PRAGMA page_size = 8192",
        "CREATE TEMP TABLE x (a)",
        "CREATE VIRTUAL TABLE x USING fts3(a)",
        "CREATE VIRTUAL TABLE x USING dbstat",
        "SELECT * FROM dbstat",
        "CREATE TABLE _cf_x (a)",
        "CREATE TABLE _CF_X (a)",
        "CREATE VIEW _cf_x AS SELECT 1",
        "CREATE INDEX _cf_x ON t (a)",
        "SELECT * FROM _cf_KV",
        "SELECT * FROM t, \"_cf_KV\"",
        "UPDATE _cf_KV SET value = 1",
        "DELETE FROM _cf_KV",
        "DROP TABLE _cf_KV",
        "PRAGMA table_info(_cf_KV)",
        "BEGIN",
        "COMMIT",
        "SAVEPOINT x",
        "ALTER TABLE t RENAME TO _cf_x",
        "ALTER TABLE t RENAME TO _cf_METADATA",
        "ALTER TABLE _cf_KV RENAME TO x",
        "SELECT 1; ATTACH 'x' AS y; SELECT 2",
    ] {
        let message = refused(&mut database, sql);
        assert!(!message.is_empty(), "{sql}");
    }
    assert_eq!(number(&mut database, "SELECT count(*) FROM t"), 0.0);
    // A view that looks at ours is no way around.
    exec(&mut database, "CREATE VIEW v AS SELECT * FROM _cf_KV");
    refused(&mut database, "SELECT * FROM v");
}

#[test]
fn a_query_without_end_is_interrupted_by_its_size() {
    let mut database = database();
    let sql = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n FROM r";
    assert!(refused(&mut database, sql).contains("LIMIT"));
}

#[test]
fn a_turn_is_there_whole_or_not_at_all() {
    let mut database = database();
    exec(
        &mut database,
        "CREATE TABLE t (a); INSERT INTO t VALUES (1)",
    );
    assert!(database.is_open());
    database.settle().unwrap();
    assert!(!database.is_open());
    exec(&mut database, "INSERT INTO t VALUES (2)");
    exec(&mut database, "INSERT INTO t VALUES (3)");
    database.rollback();
    assert_eq!(number(&mut database, "SELECT count(*) FROM t"), 1.0);
    assert!(!database.is_open());
}

#[test]
fn transactions_nest_and_outlive_turns() {
    let mut database = database();
    exec(&mut database, "CREATE TABLE t (a)");
    database.settle().unwrap();
    database.answer(StorageRequest::Begin {});
    exec(&mut database, "INSERT INTO t VALUES (1)");
    database.settle().unwrap();
    database.answer(StorageRequest::Begin {});
    exec(&mut database, "INSERT INTO t VALUES (2)");
    database.answer(StorageRequest::Rollback {});
    assert_eq!(number(&mut database, "SELECT count(*) FROM t"), 1.0);
    database.answer(StorageRequest::Rollback {});
    database.settle().unwrap();
    assert_eq!(number(&mut database, "SELECT count(*) FROM t"), 0.0);
}

#[test]
fn violated_constraints_break_the_turn() {
    let mut database = database();
    exec(
        &mut database,
        "CREATE TABLE a (id INTEGER PRIMARY KEY);
         CREATE TABLE b (a INTEGER REFERENCES a(id) DEFERRABLE INITIALLY DEFERRED)",
    );
    database.settle().unwrap();
    exec(&mut database, "INSERT INTO b VALUES (1)");
    let failed = database.settle().unwrap_err();
    assert!(
        failed.message.contains("FOREIGN KEY constraint failed"),
        "{failed:?}"
    );
    assert_eq!(number(&mut database, "SELECT count(*) FROM b"), 0.0);
}

#[test]
fn a_full_database_answers_nothing_more() {
    let mut database = database();
    exec(&mut database, "CREATE TABLE t (a)");
    database.settle().unwrap();
    database.answer(StorageRequest::LimitPages { pages: 10 });
    exec(&mut database, "INSERT INTO t VALUES (1)");
    let full = "INSERT INTO t VALUES (zeroblob(1000000))";
    assert!(refused(&mut database, full).ends_with("SQLITE_FULL"));
    assert!(refused(&mut database, "SELECT 1").ends_with("SQLITE_FULL"));
    assert!(database.settle().is_err());
    database.rollback();
    assert_eq!(number(&mut database, "SELECT count(*) FROM t"), 0.0);
}

#[test]
fn keys_are_listed_in_order_within_their_range() {
    let mut database = database();
    let entries = [
        "b",
        "a\u{10ffff}",
        "a",
        "ab",
        "c",
        "\u{1f41d}",
        "../x",
        "\0",
    ]
    .map(|key| (key.to_owned(), Blob(key.as_bytes().to_vec())));
    database.answer(StorageRequest::Put {
        entries: entries.to_vec(),
    });
    let mut list = |prefix: &str, start: Option<&str>, reverse, limit| {
        let request = StorageRequest::List {
            start: start.map(str::to_owned),
            start_after: false,
            end: None,
            prefix: prefix.to_owned(),
            reverse,
            limit,
        };
        match database.answer(request).reply.result {
            StorageResult::Entries { entries } => {
                entries.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(list("a", None, false, None), ["a", "ab", "a\u{10ffff}"]);
    assert_eq!(list("", Some("b"), false, Some(2)), ["b", "c"]);
    assert_eq!(list("", None, true, Some(1)), ["\u{1f41d}"]);
    assert_eq!(list("", None, false, Some(2)), ["\0", "../x"]);
}

#[test]
fn an_alarm_is_over_when_its_handler_ended_well() {
    let mut database = database();
    let set = |database: &mut Database, time| {
        database.answer(StorageRequest::SetAlarm { time_ms: time });
        database.settle().unwrap();
    };
    set(&mut database, Some(50.0));
    assert_eq!(database.ring(40).unwrap(), None);
    assert_eq!(database.ring(60).unwrap(), Some(50));
    assert_eq!(database.alarm().unwrap(), None);
    database.ring_failed();
    assert_eq!(database.alarm().unwrap(), Some(50));
    assert_eq!(database.ring(60).unwrap(), Some(50));
    set(&mut database, Some(90.0));
    database.rung().unwrap();
    assert_eq!(database.alarm().unwrap(), Some(90));
    assert_eq!(database.ring(90).unwrap(), Some(90));
    database.rung().unwrap();
    database.settle().unwrap();
    assert_eq!(database.alarm().unwrap(), None);
}

#[test]
fn nothing_is_left_by_delete_all() {
    let mut database = database();
    exec(
        &mut database,
        "CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT);
         CREATE TABLE b (a INTEGER REFERENCES a(id));
         CREATE VIEW v AS SELECT * FROM a;
         CREATE VIRTUAL TABLE f USING fts5(x);
         INSERT INTO a VALUES (1); INSERT INTO b VALUES (1)",
    );
    database.settle().unwrap();
    let reply = database
        .answer(StorageRequest::DeleteAll { alarm: true })
        .reply;
    assert_eq!(reply.result, StorageResult::Done {});
    database.settle().unwrap();
    let sql = "SELECT count(*) FROM sqlite_master WHERE name NOT LIKE 'sqlite%'";
    assert_eq!(number(&mut database, sql), 0.0);
}

#[test]
fn large_results_come_in_batches() {
    let mut database = database();
    let sql = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 20000) SELECT n FROM r";
    let StorageResult::Rows {
        count, mut cursor, ..
    } = exec(&mut database, sql)
    else {
        panic!("no rows");
    };
    let mut total = count;
    while let Some(next) = cursor {
        let StorageResult::Rows {
            count,
            cursor: after,
            ..
        } = database
            .answer(StorageRequest::More { cursor: next })
            .reply
            .result
        else {
            panic!("no rows");
        };
        total += count;
        cursor = after;
    }
    assert_eq!(total, 20000);
}

#[test]
fn mathematics_is_as_sqlite_documents_it() {
    let mut database = database();
    for (sql, expect) in [
        ("SELECT cos(0)", 1.0),
        ("SELECT log(100)", 2.0),
        ("SELECT log(2, 8)", 3.0),
        ("SELECT floor(-1.5)", -2.0),
        ("SELECT trunc(7)", 7.0),
        ("SELECT mod(7, 4)", 3.0),
        ("SELECT round(pi(), 1)", 3.1),
        ("SELECT sqrt(-1) IS NULL", 1.0),
        ("SELECT ln('x') IS NULL", 1.0),
        ("SELECT pow('2', 3)", 8.0),
    ] {
        let found = number(&mut database, sql);
        assert!((found - expect).abs() < 1e-9, "{sql}: {found}");
    }
}

// ---- point-in-time recovery

/// A folder that is removed with the value.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("mayfly-store-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    fn place() -> Place {
        Place::object("f", &ObjectId::of_name("a", &[1; 32]))
    }

    fn database(&self) -> (Arc<Store>, Database) {
        let store = Store::open(&self.0).unwrap();
        let database = store.database(&Self::place()).unwrap();
        (store, database)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn ask_text(database: &mut Database, request: StorageRequest) -> String {
    match database.answer(request).reply.result {
        StorageResult::Text { text } => text,
        other => panic!("{other:?}"),
    }
}

/// A turn that adds a number (and a blob, so that pages fill), and its bookmark.
fn add(database: &mut Database, number: u32, blob: usize) -> String {
    exec(database, "CREATE TABLE IF NOT EXISTS t (n, filling)");
    let sql = format!("INSERT INTO t VALUES ({number}, randomblob({blob}))");
    assert!(matches!(exec(database, &sql), StorageResult::Rows { .. }));
    let bookmark = ask_text(database, StorageRequest::Bookmark {});
    database.settle().unwrap();
    bookmark
}

fn go_back(database: &mut Database, bookmark: &str) -> String {
    let bookmark = bookmark.to_owned();
    let undo = ask_text(database, StorageRequest::Restore { bookmark });
    database.rollback();
    database.begin_session().unwrap();
    undo
}

fn total(database: &mut Database) -> f64 {
    number(database, "SELECT count(*) FROM t")
}

#[test]
fn every_turn_can_be_gone_back_to_and_undone() {
    let folder = Folder::new("turns");
    let (_store, mut database) = folder.database();
    let bookmarks: Vec<_> = (1..=20).map(|n| add(&mut database, n, 3000)).collect();
    assert!(bookmarks.is_sorted(), "{bookmarks:?}");
    let undo = go_back(&mut database, &bookmarks[6]);
    assert_eq!(total(&mut database), 7.0);
    assert_eq!(number(&mut database, "SELECT max(n) FROM t"), 7.0);
    add(&mut database, 100, 10);
    assert_eq!(total(&mut database), 8.0);
    go_back(&mut database, &undo);
    assert_eq!(total(&mut database), 20.0);
    for at in [19, 0, 12] {
        go_back(&mut database, &bookmarks[at]);
        assert_eq!(total(&mut database), at as f64 + 1.0);
        let checked = exec(&mut database, "PRAGMA quick_check");
        assert!(format!("{checked:?}").contains("ok"), "{checked:?}");
    }
}

#[test]
fn the_history_outlives_closing_and_checkpoints() {
    let folder = Folder::new("closing");
    let mut bookmarks = Vec::new();
    for round in 0..4 {
        let (_store, mut database) = folder.database();
        for n in 0..5 {
            // More pages than one checkpoint takes, in all.
            bookmarks.push(add(&mut database, round * 5 + n, 900_000));
        }
    }
    let (_store, mut database) = folder.database();
    assert_eq!(total(&mut database), 20.0);
    for at in [3, 11, 17] {
        go_back(&mut database, &bookmarks[at]);
        assert_eq!(total(&mut database), at as f64 + 1.0);
    }
}

#[test]
fn a_history_is_bounded_and_says_where_it_ends() {
    let folder = Folder::new("bounded");
    let (store, mut database) = folder.database();
    let bookmarks: Vec<_> = (0..40)
        .map(|n| {
            exec(&mut database, "DELETE FROM t");
            add(&mut database, n, 1_900_000)
        })
        .collect();
    let bytes: u64 = store
        .files(&Folder::place())
        .unwrap()
        .iter()
        .flat_map(|(_, path)| history::files_of(path))
        .filter_map(|path| std::fs::metadata(path).ok())
        .map(|data| data.len())
        .sum();
    assert!(bytes < 60_000_000, "{bytes}");
    let request = StorageRequest::Restore {
        bookmark: bookmarks[0].clone(),
    };
    let StorageResult::Failed { message, .. } = database.answer(request).reply.result else {
        panic!("the first turn is still there");
    };
    assert!(message.contains("older than what is kept"), "{message}");
    go_back(&mut database, &bookmarks[35]);
    assert_eq!(number(&mut database, "SELECT n FROM t"), 35.0);
}

#[test]
fn what_a_killed_host_had_not_kept_is_caught_up() {
    let folder = Folder::new("killed");
    let (first, last) = {
        let (store, mut database) = folder.database();
        let first = add(&mut database, 1, 10);
        let history = history::files_of(&store.files(&Folder::place()).unwrap()[0].1)[0].clone();
        let before = std::fs::read(&history).unwrap();
        let last = add(&mut database, 2, 10);
        // As if the host had been killed between the commit and the copy, or within it.
        let torn = std::fs::read(&history).unwrap();
        let keep = before.len() + (torn.len() - before.len()) / 2;
        std::fs::write(&history, &torn[..keep]).unwrap();
        std::mem::forget(database);
        std::mem::forget(store);
        (first, last)
    };
    // The first host's lock is still held by this process: its files are looked at as they are.
    let store = Store::ephemeral().unwrap();
    drop(store);
    let path = folder.0.join("objects").join("f");
    let name = std::fs::read_dir(&path)
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .find(|name| name.ends_with(".sqlite"))
        .unwrap();
    let copy = Folder::new("killed-copy");
    let copied = copy.0.join("objects").join("f");
    std::fs::create_dir_all(&copied).unwrap();
    let stem = name.trim_end_matches(".sqlite");
    for suffix in [".sqlite", ".sqlite-wal", ".history"] {
        let from = path.join(format!("{stem}{suffix}"));
        std::fs::copy(from, copied.join(format!("{stem}{suffix}"))).unwrap();
    }
    let (_store, mut database) = copy.database();
    assert_eq!(total(&mut database), 2.0);
    go_back(&mut database, &first);
    assert_eq!(total(&mut database), 1.0);
    go_back(&mut database, &last);
    assert_eq!(total(&mut database), 2.0);
}

#[test]
fn times_have_bookmarks() {
    let folder = Folder::new("times");
    let (_store, mut database) = folder.database();
    add(&mut database, 1, 10);
    let now = || {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.unwrap().as_millis() as f64
    };
    std::thread::sleep(std::time::Duration::from_millis(20));
    let between = now();
    std::thread::sleep(std::time::Duration::from_millis(20));
    add(&mut database, 2, 10);
    let bookmark = ask_text(
        &mut database,
        StorageRequest::BookmarkAt { time_ms: between },
    );
    database.settle().unwrap();
    go_back(&mut database, &bookmark);
    assert_eq!(total(&mut database), 1.0);
}
