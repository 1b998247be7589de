// D1, a case each; `tests/d1.rs` adds what needs a second host or the command line.

import { equal, fails, matches, same, suite } from "../kit/suite.js";

/** An empty table of this name. */
async function table(db, name, columns) {
  await db.exec(`DROP TABLE IF EXISTS ${name}\nCREATE TABLE ${name} (${columns})`);
}

const one = (db, sql, ...values) => db.prepare(sql).bind(...values).first("v");

export default suite({
  async rows_come_in_every_form({ DB }) {
    await table(DB, "forms", "id INTEGER PRIMARY KEY, name TEXT");
    const made = await DB.prepare("INSERT INTO forms (name) VALUES (?), (?)").bind("Ann", "Bo").run();
    same([made.success, made.results], [true, []]);
    const rows = DB.prepare("SELECT id, name FROM forms ORDER BY id");
    const objects = [{ id: 1, name: "Ann" }, { id: 2, name: "Bo" }];
    const all = await rows.all();
    same(Object.keys(all), ["success", "meta", "results"]);
    same(all.results, objects);
    same((await rows.run()).results, objects);
    same(await rows.first(), { id: 1, name: "Ann" });
    equal(await rows.first("name"), "Ann");
    same(await rows.raw(), [[1, "Ann"], [2, "Bo"]]);
    same(await rows.raw({ columnNames: true }), [["id", "name"], [1, "Ann"], [2, "Bo"]]);
    const none = DB.prepare("SELECT id, name FROM forms WHERE id = 9");
    same([(await none.all()).results, await none.first(), await none.first("name"), await none.raw()], [[], null, null, []]);
    same(await none.raw({ columnNames: true }), [["id", "name"]]);
    equal(await DB.prepare("SELECT NULL AS v").first("v"), null);
    same((await DB.prepare("SELECT 1 AS a, 2 AS a, 3 AS \"__proto__\"").raw()), [[1, 2, 3]]);
    equal(JSON.stringify(await DB.prepare('SELECT 1 AS "__proto__"').first()), '{"__proto__":1}');
    same(await DB.prepare("INSERT INTO forms (name) VALUES (?1) RETURNING id, upper(?1) AS v").bind("Cy").first(), { id: 3, v: "CY" });
  },

  async values_are_bound_by_type({ DB }) {
    const bytes = new Uint8Array([0, 1, 254, 255]);
    await table(DB, "types", "n REAL, i INTEGER, t TEXT, b BLOB, z, ok");
    const insert = DB.prepare("INSERT INTO types VALUES (?, ?, ?, ?, ?, ?)");
    await insert.bind(1.5, 2 ** 53 - 1, "ü🎉\0\"'", bytes.buffer, null, true).run();
    same(await DB.prepare("SELECT * FROM types").first(), {
      n: 1.5, i: 2 ** 53 - 1, t: "ü🎉\0\"'", b: [0, 1, 254, 255], z: null, ok: 1,
    });
    same(await DB.prepare("SELECT typeof(n) AS n, typeof(i) AS i, typeof(t) AS t, typeof(b) AS b, typeof(z) AS z FROM types").first(), {
      n: "real", i: "integer", t: "text", b: "blob", z: "null",
    });
    same(await one(DB, "SELECT ? AS v", bytes.subarray(1, 3)), [1, 254]);
    same(await one(DB, "SELECT ? AS v", [7, 8]), [7, 8]);
    same(await one(DB, "SELECT hex(?) AS v", new Uint16Array([0x0201])), "0102");
    equal(await one(DB, "SELECT ? AS v", false), 0);
    equal(await one(DB, "SELECT length(?) AS v", new Uint8Array(0)), 0);
    equal(await one(DB, "SELECT ?2 || ?1 AS v", "a", "b"), "ba");
    equal(await one(DB, "SELECT ? AS v", "\ud800"), "\ufffd");
    equal(await one(DB, "SELECT 9007199254740993 AS v"), 2 ** 53);
    equal(await one(DB, "SELECT 9e999 AS v"), null);
    const large = new Uint8Array(1_000_000).map((_, i) => i);
    await DB.prepare("UPDATE types SET b = ?").bind(large).run();
    const back = await DB.prepare("SELECT b FROM types").first("b");
    same([back.length, back[255], back[999_999]], [1_000_000, 255, 999_999 % 256]);
  },

  async what_cannot_be_bound_is_an_error({ DB }) {
    const select = DB.prepare("SELECT ?");
    for (const [value, said] of [
      [undefined, "Type 'undefined' not supported for value 'undefined'"],
      [1n, "Type 'bigint' not supported for value '1'"],
      [{}, "Type 'object' not supported for value '[object Object]'"],
      [["a"], "Type 'object' not supported for value 'a'"],
      [Symbol("s"), "Type 'symbol' not supported for value 'Symbol(s)'"],
    ]) {
      const error = await fails(() => select.bind(value), { name: "Error" });
      equal(error.message, `D1_TYPE_ERROR: ${said}`);
      equal(error.cause.message, said);
    }
    const few = { message: /^D1_ERROR: Wrong number of parameter bindings for SQL query\.$/ };
    await fails(() => select.all(), few);
    await fails(() => select.bind(1, 2).all(), few);
  },

  async a_statement_can_be_used_again({ DB }) {
    const select = DB.prepare("SELECT ? AS v");
    const [a, b] = [select.bind("a"), select.bind("b")];
    same([await a.first("v"), await b.first("v"), await a.first("v")], ["a", "b", "a"]);
    same([select.params, a.params, a.statement], [[], ["a"], "SELECT ? AS v"]);
    equal(Object.getPrototypeOf(a).constructor.name, "D1PreparedStatement");
    equal(DB.constructor.name, "D1Database");
    await fails(() => new DB.constructor(), { name: "TypeError", message: /Illegal constructor/ });
  },

  async meta_tells_what_happened({ DB }) {
    await table(DB, "told", "a");
    const wrote = (await DB.prepare("INSERT INTO told VALUES (1), (2), (3)").run()).meta;
    same([wrote.changes, wrote.last_row_id, wrote.changed_db, wrote.rows_written], [3, 3, true, 3]);
    same([wrote.served_by, wrote.served_by_primary, wrote.total_attempts], ["mayfly", true, 1]);
    equal(wrote.size_after % 4096, 0);
    equal(wrote.duration >= 0 && wrote.timings.sql_duration_ms === wrote.duration, true);
    const read = (await DB.prepare("SELECT * FROM told WHERE a > 1").all()).meta;
    same([read.changes, read.changed_db, read.rows_written, read.rows_read >= 2], [0, false, 0, true]);
    equal((await DB.prepare("DELETE FROM told").run()).meta.changes, 3);
  },

  async errors_have_the_words_of_d1({ DB }) {
    await table(DB, "unique_ones", "a UNIQUE NOT NULL");
    const check = async (sql, said) => {
      const error = await fails(() => DB.prepare(sql).run(), { name: "Error" });
      equal(error.message, `D1_ERROR: ${said}`);
      equal(error.cause.message, said);
    };
    await check("SELECT * FROM missing", "no such table: missing: SQLITE_ERROR");
    await check("SELEC 1", 'near "SELEC": syntax error at offset 0: SQLITE_ERROR');
    await check("INSERT INTO unique_ones VALUES (NULL)", "NOT NULL constraint failed: unique_ones.a: SQLITE_CONSTRAINT");
    await DB.prepare("INSERT INTO unique_ones VALUES (1)").run();
    await check("INSERT INTO unique_ones VALUES (1)", "UNIQUE constraint failed: unique_ones.a: SQLITE_CONSTRAINT");
    await check("-- nothing", "No SQL statements detected.");
    const column = await fails(() => DB.prepare("SELECT 1 AS a").first("b"), { message: /^D1_COLUMN_NOTFOUND: Column not found \(b\)$/ });
    equal(column.cause.message, "Column not found");
    await fails(() => DB.dump(), { message: /^D1_DUMP_ERROR: / });
  },

  async a_batch_happens_whole_or_not_at_all({ DB }) {
    await table(DB, "batched", "a UNIQUE");
    const insert = DB.prepare("INSERT INTO batched VALUES (?)");
    const count = () => DB.prepare("SELECT count(*) AS v FROM batched").first("v");
    const done = await DB.batch([insert.bind(1), DB.prepare("SELECT a FROM batched"), insert.bind(2)]);
    same(done.map(({ success, results, meta }) => [success, results, meta.changes]), [[true, [], 1], [true, [{ a: 1 }], 0], [true, [], 1]]);
    await fails(() => DB.batch([insert.bind(3), insert.bind(4), insert.bind(1), insert.bind(5)]), {
      message: /^D1_ERROR: UNIQUE constraint failed: batched\.a: SQLITE_CONSTRAINT$/,
    });
    equal(await count(), 2);
    await fails(() => DB.batch([DB.prepare("DELETE FROM batched"), DB.prepare("nonsense")]), { message: /syntax error/ });
    equal(await count(), 2);
    await fails(() => DB.batch([]), { message: /^D1_ERROR: No SQL statements detected\.$/ });
    await fails(() => DB.batch([{}]), { name: "TypeError" });
    // All at once: each a transaction of its own, one after the other.
    await Promise.all(Array.from({ length: 200 }, (_, i) => insert.bind(100 + i).run()));
    equal(await count(), 202);
  },

  async exec_runs_line_by_line({ DB }) {
    const { count, duration } = await DB.exec("DROP TABLE IF EXISTS lines\nCREATE TABLE lines (a);\n\n-- two more\nINSERT INTO lines VALUES (1); INSERT INTO lines VALUES (2)\n");
    equal(count, 3);
    equal(typeof duration, "number");
    equal(await DB.prepare("SELECT count(*) AS v FROM lines").first("v"), 2);
    const error = await fails(() => DB.exec("INSERT INTO lines VALUES (3)\nINSERTZ INTO lines VALUES (4)"));
    equal(error.message, 'D1_EXEC_ERROR: Error in line 2: INSERTZ INTO lines VALUES (4): near "INSERTZ": syntax error at offset 0: SQLITE_ERROR');
    equal(await DB.prepare("SELECT count(*) AS v FROM lines").first("v"), 2);
    await fails(() => DB.exec("CREATE TABLE over (\na)"), { message: /^D1_EXEC_ERROR: Error in line 1: CREATE TABLE over \(: incomplete input: SQLITE_ERROR$/ });
    await fails(() => DB.exec(""), { message: /^D1_EXEC_ERROR: Error in line 1: : No SQL statements detected\.$/ });
  },

  async foreign_keys_hold_and_may_be_deferred({ DB }) {
    await DB.exec("DROP TABLE IF EXISTS child\nDROP TABLE IF EXISTS parent");
    await DB.exec("CREATE TABLE parent (id INTEGER PRIMARY KEY)\nCREATE TABLE child (p REFERENCES parent)");
    const child = DB.prepare("INSERT INTO child VALUES (1)");
    await fails(() => child.run(), { message: /^D1_ERROR: FOREIGN KEY constraint failed: SQLITE_CONSTRAINT$/ });
    await DB.prepare("PRAGMA foreign_keys = OFF").run();
    await fails(() => child.run(), { message: /FOREIGN KEY/ });
    const defer = DB.prepare("PRAGMA defer_foreign_keys = ON");
    await fails(() => DB.batch([defer, child]), { message: /FOREIGN KEY/ });
    await DB.batch([defer, child, DB.prepare("INSERT INTO parent VALUES (1)")]);
    equal(await DB.prepare("SELECT count(*) AS v FROM child").first("v"), 1);
  },

  async the_schema_can_be_looked_at_and_changed({ DB }) {
    await DB.exec("DROP TABLE IF EXISTS posts\nDROP TABLE IF EXISTS people\nDROP TABLE IF EXISTS readers\nDROP TABLE IF EXISTS words");
    await DB.batch([
      DB.prepare("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL DEFAULT 'x')"),
      DB.prepare("CREATE TABLE posts (id INTEGER PRIMARY KEY, author INTEGER REFERENCES people (id), data TEXT)"),
      DB.prepare("CREATE INDEX by_author ON posts (author)"),
    ]);
    const names = async (sql, column) => (await DB.prepare(sql).all()).results.map((row) => row[column]);
    same(await names("PRAGMA table_info(people)", "name"), ["id", "name"]);
    same(await names("SELECT name FROM pragma_table_xinfo('posts')", "name"), ["id", "author", "data"]);
    same(await names("PRAGMA foreign_key_list(posts)", "table"), ["people"]);
    same(await names("PRAGMA index_list('posts')", "name"), ["by_author"]);
    same(await names("PRAGMA index_info(by_author)", "name"), ["author"]);
    same(await names("PRAGMA quick_check", "quick_check"), ["ok"]);
    same(await names("PRAGMA foreign_key_check", "table"), []);
    equal((await names("PRAGMA table_list", "name")).includes("people"), true);
    await DB.exec("PRAGMA optimize");
    await DB.exec("ALTER TABLE people RENAME TO readers\nALTER TABLE readers ADD COLUMN age INTEGER\nALTER TABLE readers DROP COLUMN name");
    same(await names("SELECT name FROM sqlite_schema WHERE name = 'readers'", "name"), ["readers"]);
    await DB.prepare("INSERT INTO readers (id, age) VALUES (1, 2) ON CONFLICT (id) DO UPDATE SET age = excluded.age").run();
    await DB.prepare("INSERT INTO posts (author, data) VALUES (1, json(?))").bind('{"tags": ["a", "b"]}').run();
    same(await names("SELECT value FROM posts, json_each(posts.data, '$.tags')", "value"), ["a", "b"]);
    same(await names("SELECT data ->> '$.tags[1]' AS tag FROM posts", "tag"), ["b"]);
    await DB.exec("CREATE VIRTUAL TABLE words USING fts5(text)\nINSERT INTO words VALUES ('the quick fox'), ('a slow dog')");
    same(await names("SELECT text FROM words WHERE words MATCH 'quick'", "text"), ["the quick fox"]);
  },

  async sessions_have_bookmarks({ DB }) {
    await table(DB, "marked", "a");
    const session = DB.withSession();
    equal(session.getBookmark(), null);
    await session.prepare("SELECT 1").run();
    const first = session.getBookmark();
    equal(typeof first, "string");
    await session.batch([session.prepare("INSERT INTO marked VALUES (1)")]);
    const second = session.getBookmark();
    equal(first < second, true);
    const later = DB.withSession(second);
    equal(later.getBookmark(), second);
    equal(await later.prepare("SELECT count(*) AS v FROM marked").first("v"), 1);
    for (const constraint of ["first-primary", "first-unconstrained", " ", null]) {
      equal(DB.withSession(constraint).getBookmark(), null);
    }
  },

  async many_rows_come_whole({ DB }) {
    const numbers = "WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < ?) SELECT v, 'row ' || v AS text FROM n";
    const { results, meta } = await DB.prepare(numbers).bind(50_000).all();
    equal(results.length, 50_000);
    same(results[49_999], { v: 50_000, text: "row 50000" });
    equal(meta.rows_read >= 50_000, true);
  },

  async databases_of_one_id_are_one_and_others_apart({ DB, SAME, APART, OTHER }) {
    await table(DB, "shared", "a");
    await DB.exec("INSERT INTO shared VALUES ('yes')");
    same((await SAME.prepare("SELECT a FROM shared").all()).results, [{ a: "yes" }]);
    same(await (await OTHER.fetch("https://other/shared")).json(), [{ a: "yes" }]);
    const apart = { message: /no such table: shared/ };
    await fails(() => APART.prepare("SELECT a FROM shared").all(), apart);
    same(await (await OTHER.fetch("https://other/own")).json(), ["only_here"]);
    await fails(() => DB.prepare("SELECT * FROM only_here").all(), { message: /no such table/ });
  },

  async a_question_is_a_subrequest({ OTHER }) {
    matches(await (await OTHER.fetch("https://other/spend")).text(), /^Too many subrequests by single Worker invocation/);
  },

  async a_dynamic_worker_reaches_a_database_only_through_its_parent({ DB, LOADER }) {
    const code = (body) => ({
      compatibilityDate: "2026-08-01",
      mainModule: "a.js",
      modules: { "a.js": `export default { async fetch(request, env) { return new Response(${body}) } }` },
    });
    await fails(() => LOADER.load({ ...code("''"), env: { DB } }).getEntrypoint().fetch("http://x/"));
    await fails(() => LOADER.load({ ...code("''"), env: { s: DB.prepare("SELECT 1") } }).getEntrypoint().fetch("http://x/"));
    const child = LOADER.load({ ...code("`${typeof env.DB} ${typeof D1Database}`"), env: {} });
    equal(await (await child.getEntrypoint().fetch("http://x/")).text(), "undefined undefined");
    equal(await DB.prepare("SELECT 1 AS v").first("v"), 1);
  },

  async hostile_sql_goes_nowhere({ DB, APART }) {
    await table(DB, "prey", "a");
    const refused = /^D1_ERROR: .*(not authorized|prohibited|To execute a transaction|no such function|too many attached|cannot VACUUM|unrecognized|incomplete input|no such table)/;
    for (const sql of [
      "ATTACH '/tmp/x.sqlite' AS x",
      "ATTACH 'file:apart?mode=rw' AS x",
      "DETACH main",
      "VACUUM",
      "VACUUM INTO '/tmp/x.sqlite'",
      "SELECT load_extension('/tmp/x.so')",
      "SELECT readfile('/etc/passwd')",
      "SELECT writefile('/tmp/x', 'x')",
      "SELECT fts3_tokenizer('x')",
      "SELECT * FROM dbstat",
      "SELECT * FROM pragma_database_list",
      "PRAGMA database_list",
      "PRAGMA journal_mode = OFF",
      "PRAGMA synchronous = OFF",
      "PRAGMA writable_schema = ON",
      "PRAGMA max_page_count = 1",
      "PRAGMA hard_heap_limit = 1",
      "PRAGMA temp_store_directory = '/tmp'",
      "PRAGMA wal_checkpoint(TRUNCATE)",
      "UPDATE sqlite_schema SET sql = ''",
      "CREATE TEMP TABLE x (a)",
      "CREATE VIRTUAL TABLE x USING csv(filename = '/etc/passwd')",
      "CREATE TABLE _cf_KV (a)",
      "BEGIN",
      "COMMIT",
      "ROLLBACK",
      "SAVEPOINT x",
      "INSERT INTO prey VALUES (1); COMMIT; INSERT INTO prey VALUES (2)",
    ]) {
      const { message } = await fails(() => DB.prepare(sql).run());
      if (sql.startsWith("UPDATE")) matches(message, /may not be modified|not authorized/);
      else if (sql.startsWith("CREATE VIRTUAL")) matches(message, /no such module|not authorized/);
      else matches(message, refused, sql);
    }
    equal(await DB.prepare("SELECT count(*) AS v FROM prey").first("v"), 0);
    // What a PRAGMA sets ends with its question.
    await DB.batch([DB.prepare("PRAGMA case_sensitive_like = ON"), DB.prepare("SELECT 1")]);
    equal(await DB.prepare("SELECT 'A' LIKE 'a' AS v").first("v"), 1);
    equal(await APART.prepare("SELECT 1 AS v").first("v"), 1);
  },

  async limits_are_errors_that_name_them({ DB }) {
    await table(DB, "narrow", "a");
    const long = `SELECT '${"x".repeat(100_000)}'`;
    await fails(() => DB.prepare(long).run(), { message: /^D1_ERROR: statement too long: 100009 bytes, limit 100000: SQLITE_TOOBIG$/ });
    const values = Array(101).fill(1);
    await fails(() => DB.prepare(`SELECT ${values.map(() => "?").join()}`).bind(...values).run(), { message: /too many SQL variables/ });
    await fails(() => DB.prepare("INSERT INTO narrow VALUES (zeroblob(3000000))").run(), { message: /string or blob too big: SQLITE_TOOBIG/ });
    await fails(() => DB.prepare("INSERT INTO narrow VALUES (?)").bind("x".repeat(3_000_000)).run(), { message: /too big: SQLITE_TOOBIG/ });
    const columns = Array.from({ length: 101 }, (_, i) => `c${i}`).join();
    await fails(() => DB.prepare(`CREATE TABLE wide (${columns})`).run(), { message: /too many columns/ });
    await fails(() => DB.prepare(`SELECT 'a' LIKE '${"%a".repeat(26)}'`).run(), { message: /LIKE or GLOB pattern too complex/ });
    await fails(() => DB.batch(Array(10_001).fill(DB.prepare("SELECT 1"))), { message: /too many statements in one batch: 10001, limit 10000/ });
    const endless = "WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n) SELECT hex(zeroblob(500000)) FROM n";
    await fails(() => DB.prepare(endless).all(), { message: /the result of the SQL query is larger than 50000000 bytes: add a LIMIT/ });
    equal(await DB.prepare("SELECT count(*) AS v FROM narrow").first("v"), 0);
  },

  async a_long_query_is_in_nobody_elses_way({ DB, SLOW, OTHER }) {
    const endless = "WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n) SELECT max(v) FROM n";
    let ended = false;
    void SLOW.prepare(endless).run().catch(() => {}).finally(() => (ended = true));
    const began = Date.now();
    for (let i = 0; i < 20; i++) equal(await DB.prepare("SELECT ? AS v").bind(i).first("v"), i);
    equal((await OTHER.fetch("https://other/own")).status, 200);
    equal(ended, false);
    equal(Date.now() - began < 10_000, true);
  },
});
