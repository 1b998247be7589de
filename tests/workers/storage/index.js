// The storage of a Durable Object, phrase by phrase of its documentation: each case runs inside an object
// of its own. What is about objects, instances and facets is in `../objects`.

import { DurableObject } from "cloudflare:workers";
import { equal, fails, matches, same, sleep, suite } from "../kit/suite.js";

export class Box extends DurableObject {
  run(name, ...args) {
    return inside[name](this.ctx, ...args);
  }
  async alarm() {
    await this.ctx.storage.put("rang", ((await this.ctx.storage.get("rang")) ?? 0) + 1);
  }
}

/** A class of `new_classes`: keys and values, without SQL. */
export class Plain extends DurableObject {
  run(name) {
    return inside[name](this.ctx);
  }
  alarm() {}
}

const table = (sql, rows) => {
  sql.exec("CREATE TABLE t (n INTEGER PRIMARY KEY, word TEXT)");
  for (let n = 1; n <= rows; n++) sql.exec("INSERT INTO t VALUES (?, ?)", n, `word ${n}`);
};
const numbers = (sql) => sql.exec("SELECT n FROM t ORDER BY n").toArray().map(({ n }) => n);
const throws = (work, message) => {
  try {
    work();
  } catch (error) {
    matches(error.message, message);
    return;
  }
  throw new Error(`expected a failure like ${message} of ${work}`);
};
const NEVER = 4_000_000_000_000;

const inside = {
  // ---- SQL

  bindings({ storage: { sql } }) {
    const one = (query, ...bindings) => sql.exec(query, ...bindings).one();
    same(one("SELECT ?1 AS a, ?2 AS b, ?1 AS c", 1, "x"), { a: 1, b: "x", c: 1 });
    same(one("SELECT ? AS yes, ? AS no, ? AS none, ? AS absent", true, false, null, undefined), { yes: 1, no: 0, none: null, absent: null });
    same(one("SELECT ? AS i, ? AS f, typeof(?) AS whole, typeof(?) AS half", 2 ** 53 - 1, 0.1, 7, 7.5), { i: 2 ** 53 - 1, f: 0.1, whole: "real", half: "real" }, "numbers are doubles");
    const part = new Uint8Array([9, 1, 2, 9]).subarray(1, 3);
    same([...new Uint8Array(one("SELECT ? AS b", part).b)], [1, 2]);
    same([...new Uint8Array(one("SELECT ? AS b", new Uint16Array([258])).b)], [2, 1]);
    equal(one("SELECT ? AS s", "a\0b \u{1f41d}").s, "a\0b \u{1f41d}");
    equal(one("SELECT 'it''s' AS s, length(?) AS l", "").l, 0);
    throws(() => sql.exec("SELECT ?", {}), /binding 1 must be/);
    throws(() => sql.exec("SELECT ?", Symbol("x")), /binding 1 must be/);
    throws(() => sql.exec("SELECT 1", 2), /Wrong number of parameter bindings/);
    // Several statements: bindings are the last one's, and so is the cursor.
    same(one("CREATE TABLE x (a); INSERT INTO x VALUES (1); SELECT a + ? AS sum FROM x", 2), { sum: 3 });
    throws(() => sql.exec("INSERT INTO x VALUES (2); SELECT nonsense"), /no such column: nonsense/);
  },
  cursors({ storage: { sql } }) {
    table(sql, 5);
    const cursor = sql.exec("SELECT n, word, n * 2 AS n FROM t ORDER BY t.n");
    same(cursor.columnNames, ["n", "word", "n"]);
    same([...cursor.raw()][4], [5, "word 5", 10], "raw() has both columns of one name");
    same(sql.exec("SELECT 1 AS a, 2 AS a").one(), { a: 2 });
    const empty = sql.exec("SELECT word FROM t WHERE n > 5");
    same([empty.columnNames, empty.toArray(), empty.next()], [["word"], [], { done: true }]);
    throws(() => sql.exec("SELECT 1 WHERE 0").one(), /got no results/);
    throws(() => sql.exec("SELECT n FROM t").one(), /got multiple results/);
    // Begun with next(), gone on with a loop, ended with toArray().
    const mixed = sql.exec("SELECT n FROM t ORDER BY n");
    equal(mixed.next().value.n, 1);
    for (const { n } of mixed) {
      equal(n, 2);
      break;
    }
    same(mixed.toArray().map(({ n }) => n), [3, 4, 5], "what a loop left");
    same(sql.exec("SELECT '__proto__' AS a, 1 AS __proto__").columnNames, ["a", "__proto__"]);
  },
  counts({ storage: { sql } }) {
    table(sql, 10);
    const read = sql.exec("SELECT * FROM t");
    equal(read.rowsRead <= 1, true, "before anything is read");
    read.toArray();
    equal(read.rowsRead, 10);
    equal(read.rowsWritten, 0);
    equal(sql.exec("UPDATE t SET word = 'x' WHERE n <= 4").rowsWritten, 4);
    equal(sql.exec("DELETE FROM t WHERE n = 1").rowsWritten, 1);
    same(sql.exec("INSERT INTO t VALUES (20, 'a'), (21, 'b') RETURNING n").toArray(), [{ n: 20 }, { n: 21 }]);
  },
  writing_while_reading({ storage: { sql } }) {
    table(sql, 200);
    const seen = [];
    for (const { n } of sql.exec("SELECT n FROM t ORDER BY n")) {
      seen.push(n);
      sql.exec("UPDATE t SET word = 'seen' WHERE n = ?", n);
      if (n % 2 === 0) sql.exec("DELETE FROM t WHERE n = ?", n);
    }
    equal(seen.length, 200);
    equal(sql.exec("SELECT count(*) AS n FROM t WHERE word = 'seen'").one().n, 100);
  },
  what_sqlite_can({ storage: { sql } }) {
    sql.exec("CREATE TABLE parent (id INTEGER PRIMARY KEY); CREATE TABLE child (p REFERENCES parent(id))");
    throws(() => sql.exec("INSERT INTO child VALUES (7)"), /FOREIGN KEY constraint failed/);
    sql.exec("CREATE VIRTUAL TABLE words USING fts5(text)");
    sql.exec("INSERT INTO words VALUES ('a bee in a garden'), ('no insects')");
    equal(sql.exec("SELECT count(*) AS n FROM words WHERE words MATCH 'bee'").one().n, 1);
    equal(sql.exec("SELECT json_extract(?, '$.a[1]') AS j", '{"a":[1,2]}').one().j, 2);
    same(sql.exec("SELECT value FROM json_each('[3,4]')").toArray(), [{ value: 3 }, { value: 4 }]);
    sql.exec("CREATE INDEX by_p ON child (p); CREATE VIEW v AS SELECT 1 AS one");
    sql.exec("CREATE TRIGGER bump AFTER INSERT ON parent BEGIN INSERT INTO child VALUES (new.id); END");
    sql.exec("INSERT INTO parent VALUES (1)");
    same(sql.exec("SELECT p FROM child").one(), { p: 1 });
    sql.exec("ALTER TABLE parent RENAME TO elder; DROP VIEW v");
    same(sql.exec("PRAGMA table_info(elder)").toArray().map(({ name }) => name), ["id"]);
    same(sql.exec("PRAGMA foreign_key_check").toArray(), []);
    same(sql.exec("PRAGMA index_list(child)").one().name, "by_p");
    sql.exec("PRAGMA defer_foreign_keys = on");
    same(sql.exec("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT sum(n) AS s FROM r").one(), { s: 15 });
  },
  refused({ storage }) {
    const { sql } = storage;
    table(sql, 1);
    for (const query of [
      "ATTACH ':memory:' AS other",
      "ATTACH 'file:/etc/hostname?mode=ro' AS other",
      "DETACH main",
      "VACUUM",
      "PRAGMA journal_mode",
      "PRAGMA database_list",
      "PRAGMA temp_store_directory = '/tmp'",
      "PRAGMA hard_heap_limit = 1",
      "PRAGMA schema_version = 9",
      "PRAGMA writable_schema = on; UPDATE sqlite_master SET sql = ''",
      "UPDATE sqlite_master SET sql = ''",
      "SELECT load_extension('/tmp/x.so')",
      "SELECT readfile('/etc/passwd')",
      "SELECT writefile('/tmp/x', 'y')",
      "SELECT fts3_tokenizer('simple')",
      "SELECT sqlite_compileoption_get(1)",
      "SELECT * FROM pragma_database_list",
      "CREATE VIRTUAL TABLE f USING csv(filename='/etc/passwd')",
      "CREATE TABLE _cf_x (a)",
      'CREATE TABLE "_CF_x" (a)',
      "ALTER TABLE t RENAME TO _cf_t",
      "CREATE INDEX _cf_i ON t (n)",
      // SQLite looks into these when they are used.
      "CREATE VIEW v AS SELECT * FROM _cf_KV; SELECT * FROM v",
      "CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM _cf_KV; END; INSERT INTO t VALUES (2, '')",
      "DROP TABLE _cf_KV",
      "INSERT INTO _cf_METADATA VALUES (1, 2)",
      "SAVEPOINT x",
      "RELEASE x",
      "ROLLBACK",
    ]) {
      let error;
      try {
        sql.exec(query).toArray();
      } catch (caught) {
        error = caught;
      }
      equal(error instanceof Error, true, `what became of ${query}`);
    }
    same(numbers(sql), [1], "the table is what it was");
    sql.exec("DROP TRIGGER IF EXISTS g; DROP VIEW IF EXISTS v");
    equal(sql.exec("SELECT count(*) AS n FROM sqlite_master WHERE name LIKE '!_cf!_%' ESCAPE '!' AND name LIKE '%x'").one().n, 0);
  },
  limits({ storage: { sql } }) {
    const list = (count, make) => Array.from({ length: count }, (_, i) => make(i)).join();
    sql.exec(`CREATE TABLE wide (${list(100, (i) => `c${i}`)})`);
    sql.exec(`INSERT INTO wide VALUES (${list(100, () => "?")})`, ...Array(100).fill(1));
    throws(() => sql.exec("ALTER TABLE wide ADD COLUMN c100"), /too many columns/);
    const padded = (length) => `SELECT 1${" ".repeat(length - 8)}`;
    sql.exec(padded(100_000));
    throws(() => sql.exec(padded(100_001)), /SQLITE_TOOBIG/);
    sql.exec("SELECT 'x' LIKE ?", "%".repeat(50)).toArray();
    throws(() => sql.exec("SELECT 'x' LIKE ?", "%".repeat(51)).toArray(), /LIKE or GLOB pattern too complex/);
    throws(() => sql.exec("SELECT 'x' GLOB ?", "*".repeat(51)).toArray(), /LIKE or GLOB pattern too complex/);
    throws(() => sql.exec(`SELECT max(${list(128, () => "1")})`), /too many arguments on function/);
    sql.exec("CREATE TABLE large (b BLOB)");
    sql.exec("INSERT INTO large VALUES (?)", new Uint8Array(2 * 1024 * 1024 - 100));
    throws(() => sql.exec("INSERT INTO large VALUES (?)", new Uint8Array(2 * 1024 * 1024 + 8192)), /SQLITE_TOOBIG/);
    throws(() => sql.exec("SELECT ?", "x".repeat(2 * 1024 * 1024 + 8192)), /SQLITE_TOOBIG/);
    throws(() => sql.exec("SELECT 1 " + "UNION ALL SELECT 1 ".repeat(5)), /too many terms in compound SELECT/);
  },
  async size({ storage }) {
    const { sql } = storage;
    table(sql, 1);
    const small = sql.databaseSize;
    sql.exec("CREATE TABLE large (b)");
    for (let i = 0; i < 20; i++) sql.exec("INSERT INTO large VALUES (zeroblob(100000))");
    equal(sql.databaseSize > small + 2_000_000, true, "databaseSize grows");
    equal(sql.databaseSize % 4096, 0);
    await storage.deleteAll();
    equal(sql.databaseSize < 100_000, true, `databaseSize after deleteAll() is ${sql.databaseSize}`);
    same(sql.exec("SELECT name FROM sqlite_master WHERE name NOT LIKE '!_cf!_%' ESCAPE '!'").toArray(), []);
  },

  // ---- transactions

  nested({ storage }) {
    const { sql } = storage;
    table(sql, 0);
    storage.transactionSync(() => {
      sql.exec("INSERT INTO t VALUES (1, '')");
      throws(() => storage.transactionSync(() => {
        sql.exec("INSERT INTO t VALUES (2, '')");
        storage.transactionSync(() => sql.exec("INSERT INTO t VALUES (3, '')"));
        throw new Error("inner");
      }), /inner/);
      storage.transactionSync(() => sql.exec("INSERT INTO t VALUES (4, '')"));
      storage.kv.put("kept", 1);
    });
    same(numbers(sql), [1, 4]);
    throws(() => storage.transactionSync(() => {
      storage.transactionSync(() => sql.exec("INSERT INTO t VALUES (5, '')"));
      storage.kv.put("kept", 2);
      throw new Error("outer");
    }), /outer/);
    same([numbers(sql), storage.kv.get("kept")], [[1, 4], 1]);
    // A statement that fails undoes itself, not the transaction around it.
    storage.transactionSync(() => {
      sql.exec("INSERT INTO t VALUES (6, '')");
      throws(() => sql.exec("INSERT INTO t VALUES (7, ''), (6, '')"), /UNIQUE constraint failed/);
    });
    same(numbers(sql), [1, 4, 6]);
  },
  async transactions({ storage }) {
    await storage.setAlarm(NEVER);
    await storage.put({ a: 1, b: 1 });
    await fails(() => storage.transaction(async (txn) => {
      await txn.put("a", 2);
      await txn.delete("b");
      await txn.setAlarm(NEVER + 1000);
      same([...(await txn.list())], [["a", 2]]);
      equal(await txn.getAlarm(), NEVER + 1000);
      await sleep(2);
      throw new Error("undo");
    }), { message: /undo/ });
    same([[...(await storage.list())], await storage.getAlarm()], [[["a", 1], ["b", 1]], NEVER]);
    equal(await storage.transaction(async (txn) => {
      await txn.deleteAlarm();
      await txn.put("a", 3);
      return "result";
    }), "result");
    same([await storage.get("a"), await storage.getAlarm()], [3, null]);
    await storage.transaction((txn) => {
      txn.put("a", 4);
      txn.rollback();
    });
    equal(await storage.get("a"), 3);
    await fails(() => storage.transaction((txn) => txn.deleteAll()), { message: /deleteAll\(\) within a transaction/ });
    let late;
    await storage.transaction((txn) => {
      late = txn;
    });
    await fails(() => late.get("a"), { message: /already committed/ });
  },

  // ---- keys and values

  async keys_and_values({ storage }) {
    equal(await storage.put("a", 1), undefined);
    await storage.put({ b: 2, c: undefined });
    same([...(await storage.list())], [["a", 1], ["b", 2]]);
    await storage.put("k".repeat(2048), "longest");
    equal(await storage.get("k".repeat(2048)), "longest");
    await fails(() => storage.put("\u{1f41d}".repeat(513), 1), { name: "RangeError", message: /2048/ });
    await fails(() => storage.get("k".repeat(2049)), { message: /2048/ });
    await fails(() => storage.put(Object.fromEntries(Array.from({ length: 129 }, (_, i) => [`k${i}`, i]))), { message: /128/ });
    await fails(() => storage.delete(Array.from({ length: 129 }, (_, i) => `k${i}`)), { message: /128/ });
    same((await storage.get(["b", "nothing", "a", "b"])).size, 2);
    await storage.put("half", new Uint8Array(1024 * 1024));
    equal((await storage.get("half")).length, 1024 * 1024);
    const error = new RangeError("kept", { cause: "why" });
    await storage.put("error", error);
    const back = await storage.get("error");
    same([back instanceof RangeError, back.message], [true, "kept"]);
    const value = { set: new Set([1]), regexp: /a+/gi, view: new Float32Array([1.5]), hole: [1, , 3], nan: NaN, minus: -0 };
    await storage.put("value", value);
    value.set.add(2);
    const kept = await storage.get("value");
    same([kept.set.size, String(kept.regexp), kept.view[0], 1 in kept.hole, Object.is(kept.minus, -0)], [1, "/a+/gi", 1.5, false, true]);
    await storage.sync();
    // The last of what is written without waiting is what is there.
    for (let i = 0; i < 50; i++) storage.put("last", i, { allowUnconfirmed: true, noCache: true });
    equal(await storage.get("last", { allowConcurrency: true }), 49);
  },
  async lists({ storage }) {
    for (const key of ["a1", "a2", "a3", "b1", "b2", "c"]) await storage.put(key, key);
    const keys = async (options) => [...(await storage.list(options)).keys()].join();
    equal(await keys(), "a1,a2,a3,b1,b2,c");
    equal(await keys({ start: "a2", end: "b2" }), "a2,a3,b1");
    equal(await keys({ startAfter: "a2", end: "b2" }), "a3,b1");
    equal(await keys({ prefix: "a", start: "a2" }), "a2,a3");
    equal(await keys({ prefix: "a", end: "a3", reverse: true }), "a2,a1");
    equal(await keys({ prefix: "a", startAfter: "a1", limit: 1 }), "a2");
    equal(await keys({ prefix: "b", reverse: true, limit: 1 }), "b2");
    equal(await keys({ start: "b", end: "c", reverse: true }), "b2,b1");
    equal(await keys({ prefix: "x" }), "");
    equal(await keys({ start: "d" }), "");
    equal(await keys({ limit: 100 }), "a1,a2,a3,b1,b2,c");
    await fails(() => storage.list({ start: "a", startAfter: "a" }), { name: "TypeError", message: /both start and startAfter/ });
    await fails(() => storage.list({ limit: -1 }), { name: "TypeError", message: /positive/ });
    equal((await storage.list({ prefix: "a", allowConcurrency: true, noCache: true })) instanceof Map, true);
  },
  sync_kv({ storage: { kv } }) {
    for (const key of ["a1", "a2", "a3", "b1"]) kv.put(key, { key });
    const keys = (options) => [...kv.list(options)].map(([key]) => key).join();
    equal(keys({ prefix: "a", reverse: true, limit: 2 }), "a3,a2");
    equal(keys({ start: "a2", end: "b1" }), "a2,a3");
    equal(keys({ startAfter: "a2" }), "a3,b1");
    same([kv.get("a1"), kv.get("nothing"), kv.delete("nothing"), kv.delete("a1")], [{ key: "a1" }, undefined, false, true]);
    throws(() => kv.put("x"), /undefined/);
    throws(() => kv.put("x".repeat(2049), 1), /2048/);
    throws(() => kv.put("x", "y".repeat(2 * 1024 * 1024 + 1)), /2097152/);
    throws(() => kv.put("x", () => {}), /could not be cloned/);
    const first = kv.list();
    first.next();
    kv.list();
    throws(() => first.next(), /invalidated/);
  },
  async delete_all({ storage }) {
    const { sql, kv } = storage;
    table(sql, 3);
    kv.put("a", 1);
    await storage.setAlarm(NEVER);
    await storage.deleteAll();
    same([await storage.getAlarm(), (await storage.list()).size], [null, 0], "by this date the alarm goes as well");
    throws(() => sql.exec("SELECT * FROM t"), /no such table: t/);
    table(sql, 2);
    await storage.put("a", 2);
    same([numbers(sql), kv.get("a")], [[1, 2], 2], "it can be used again");
  },

  // ---- alarms

  async alarms({ storage }) {
    equal(await storage.getAlarm(), null);
    await storage.setAlarm(new Date(NEVER));
    equal(await storage.getAlarm(), NEVER);
    await storage.setAlarm(NEVER - 5);
    equal(await storage.getAlarm(), NEVER - 5, "the last one counts");
    await storage.deleteAlarm();
    await storage.deleteAlarm();
    equal(await storage.getAlarm(), null);
    for (const wrong of ["tomorrow", NaN, undefined]) await fails(() => storage.setAlarm(wrong), { name: "TypeError" });
    for (const early of [0, -1]) await fails(() => storage.setAlarm(early), { name: "TypeError", message: /<= 0/ });
    // What is past rings at once.
    await storage.setAlarm(1);
  },
  async rang({ storage }) {
    return [(await storage.get("rang")) ?? 0, await storage.getAlarm()];
  },

  // ---- classes without SQL

  async plain({ storage }) {
    await storage.put("a", 1);
    equal(await storage.get("a"), 1);
    throws(() => storage.sql, /SQL|new_sqlite_classes/);
    throws(() => storage.kv, /SQL|new_sqlite_classes/);
    throws(() => storage.transactionSync(() => {}), /not backed by SQL/);
    await storage.put("most", "x".repeat(128 * 1024 - 8));
    await fails(() => storage.put("more", "x".repeat(128 * 1024 + 1)), { name: "RangeError", message: /131072/ });
    await fails(() => storage.getBookmarkForTime(1));
    await fails(() => storage.onNextSessionRestoreBookmark("x"));
    await storage.transaction(async (txn) => {
      await txn.put("a", 2);
      txn.rollback();
    });
    equal(await storage.get("a"), 1);
    await storage.setAlarm(NEVER);
    equal(await storage.getAlarm(), NEVER);
    await storage.deleteAll();
    equal((await storage.list()).size, 0);
  },
};

const START = Date.now();
let boxes = 0;
const fresh = (env, kind = "BOX") => env[kind].getByName(`${START} ${boxes++}`);
const within = Object.keys(inside).filter((name) => name !== "plain" && name !== "rang" && name !== "alarms");

const cases = suite({
  ...Object.fromEntries(within.map((name) => [name, (env) => fresh(env).run(name)])),
  classes_without_sql: (env) => fresh(env, "PLAIN").run("plain"),
  async alarms(env) {
    const box = fresh(env);
    await box.run("alarms");
    for (let i = 0; i < 500; i++) {
      if (JSON.stringify(await box.run("rang")) === "[1,null]") return;
      await sleep(10);
    }
    throw new Error("an alarm in the past never rang");
  },
});

export default cases;
