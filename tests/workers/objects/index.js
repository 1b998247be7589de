// Durable Objects by behaviour, a case for each line of their contract. Cases use objects of their own
// by name, so that they may run against one server, in any order, again and again.

import { DurableObject, RpcTarget } from "cloudflare:workers";
import { equal, fails, matches, same, sleep, suite } from "../kit/suite.js";

let constructed = 0;

export class Room extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.serial = ++constructed;
    this.inMemory = 0;
    this.log = [];
  }
  fetch(request) {
    return new Response(`${request.method} ${new URL(request.url).pathname} in ${this.ctx.id.name}`);
  }
  add(a, b) {
    return a + b;
  }
  whoami() {
    return { id: String(this.ctx.id), name: this.ctx.id.name, serial: this.serial };
  }
  remember() {
    return ++this.inMemory;
  }
  counter() {
    return new Counter();
  }
  async increment(key = "count") {
    const before = (await this.ctx.storage.get(key)) ?? 0;
    await this.ctx.storage.put(key, before + 1);
    return before + 1;
  }
  sqlIncrement() {
    const { sql } = this.ctx.storage;
    sql.exec("CREATE TABLE IF NOT EXISTS counts (id INTEGER PRIMARY KEY, n INTEGER)");
    sql.exec("INSERT INTO counts VALUES (1, 1) ON CONFLICT DO UPDATE SET n = n + 1");
    return sql.exec("SELECT n FROM counts").one().n;
  }
  async use(source, ...args) {
    const name = /^(?:async )?([a-zA-Z]+)/.exec(source)[1];
    return bodies[name].call(this, this.ctx, ...args);
  }
  /** A number that grows with each call, and who says it. */
  async serve() {
    this.token ??= crypto.randomUUID();
    const { sql } = this.ctx.storage;
    sql.exec("CREATE TABLE IF NOT EXISTS served (n INTEGER)");
    sql.exec("INSERT INTO served SELECT count(*) FROM served");
    const { n } = sql.exec("SELECT count(*) AS n FROM served").one();
    return [n, this.token];
  }
  throws() {
    throw new RangeError("thrown inside");
  }
  abort(reason) {
    this.ctx.storage.put("unsaved", true);
    this.ctx.abort(reason);
  }
  async slow(what, ms) {
    this.log.push(`begin ${what}`);
    await sleep(ms);
    this.log.push(`end ${what}`);
    return this.log;
  }
  async block(ms) {
    this.log.push("blocking");
    await this.ctx.blockConcurrencyWhile(async () => {
      await sleep(ms);
      this.log.push("blocked");
    });
  }
  async alarm(info) {
    const { storage } = this.ctx;
    const rings = (await storage.get("rings")) ?? [];
    rings.push({ at: info.scheduledTime, retry: info.retryCount, seen: await storage.getAlarm() });
    await storage.put("rings", rings.slice(-100));
    if (await storage.get("again")) {
      await storage.delete("again");
      await storage.setAlarm(Date.now() + 20);
    }
    const failures = (await storage.get("failures")) ?? 0;
    if (failures > 0) {
      await storage.put("failures", failures - 1);
      throw new Error("the alarm failed");
    }
  }
}

class Counter extends RpcTarget {
  #n = 0;
  up() {
    return ++this.#n;
  }
}

export class Twin extends DurableObject {
  async get(key) {
    return (await this.ctx.storage.get(key)) ?? null;
  }
  async put(key, value) {
    await this.ctx.storage.put(key, value);
  }
  async alarmed() {
    await this.ctx.storage.setAlarm(Date.now() + 1000);
  }
  tables() {
    return this.ctx.storage.sql.exec("SELECT name FROM sqlite_master").toArray().map((row) => row.name);
  }
}

/** A class as they were before `extends DurableObject`. */
export class Old {
  constructor(state, env) {
    this.state = state;
    this.hasEnv = env.ROOM !== undefined;
  }
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/sql") {
      try {
        return new Response(String(this.state.storage.sql));
      } catch (error) {
        return new Response(error.message);
      }
    }
    const n = ((await this.state.storage.get("n")) ?? 0) + 1;
    await this.state.storage.put("n", n);
    return Response.json({ n, env: this.hasEnv, name: this.state.id.name });
  }
}

let constructorFails = 0;
export class Fragile extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    if (constructorFails-- > 0) throw new TypeError("not today");
  }
  hello() {
    return "hello";
  }
}

export class Greeter extends DurableObject {
  greet() {
    return `${this.ctx.props.greeting} from ${this.ctx.id}`;
  }
  async count() {
    const n = ((await this.ctx.storage.get("n")) ?? 0) + 1;
    await this.ctx.storage.put("n", n);
    return n;
  }
  peek(key) {
    return this.ctx.storage.get(key);
  }
  async alarmed() {
    await this.ctx.storage.setAlarm(Date.now() + 1000);
  }
  alarm() {}
  async nested(depth) {
    if (depth === 0) return "bottom";
    const below = this.ctx.facets.get("below", () => ({ class: this.ctx.exports.Greeter }));
    return await below.nested(depth - 1);
  }
  countBelow() {
    return this.ctx.facets.get("below", () => ({ class: this.ctx.exports.Greeter })).count();
  }
  boom() {
    this.ctx.abort("facet went away");
  }
}

const CHILD = `
  import { DurableObject } from "cloudflare:workers";
  export class App extends DurableObject {
    #n = 0;
    inMemory() { return ++this.#n; }
    add(value) {
      this.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS t (v)");
      this.ctx.storage.sql.exec("INSERT INTO t VALUES (?)", value);
      return this.ctx.storage.sql.exec("SELECT count(*) AS n FROM t").one().n;
    }
    props() { return this.ctx.props; }
    id() { return String(this.ctx.id); }
    fetch(request) { return new Response("child " + new URL(request.url).pathname); }
  }
  export default { fetch() { return new Response("plain"); } }
`;

export class Parent extends DurableObject {
  worker() {
    return this.env.LOADER.get("app", () => ({
      compatibilityDate: "2026-08-01",
      mainModule: "main.js",
      modules: { "main.js": CHILD },
      globalOutbound: null,
    }));
  }
  child(name, options) {
    return this.ctx.facets.get(name, () => ({ class: this.worker().getDurableObjectClass("App", options) }));
  }
  async run(what, ...args) {
    return parentBodies[what].call(this, ...args);
  }
}

const parentBodies = {
  async dynamic() {
    // Classes of before `extends DurableObject` take calls where a flag of that time says so.
    const old = (flags) => {
      const worker = this.env.LOADER.load({
        compatibilityDate: "2026-08-01",
        compatibilityFlags: flags,
        allowExperimental: true,
        mainModule: "main.js",
        modules: { "main.js": "export class Old { add(a, b) { return a + b; } } export default {}" },
      });
      return this.ctx.facets.get(`old ${flags.length}`, () => ({ class: worker.getDurableObjectClass("Old") }));
    };
    equal(await old(["experimental", "js_rpc"]).add(1, 2), 3);
    await fails(() => old([]).add(1, 2), { name: "TypeError", message: /does not support RPC/ });
    const facet = this.child("a", { props: { color: "red" } });
    equal(await facet.add(1), 1);
    equal(await facet.add(2), 2);
    same(await facet.props(), { color: "red" });
    equal(await facet.id(), String(this.ctx.id), "ctx.id");
    equal(await (await facet.fetch("http://x/path")).text(), "child /path");
    const other = this.child("b");
    equal(await other.add(1), 1, "another facet");
    same(this.ctx.storage.sql.exec("SELECT count(*) AS n FROM sqlite_master WHERE name = 't'").one(), { n: 0 });
  },
  async own() {
    const greeter = this.ctx.facets.get("g", () => ({
      class: this.ctx.exports.Greeter({ props: { greeting: "Hi" } }),
      id: "chosen",
    }));
    equal(await greeter.greet(), "Hi from chosen");
    await this.ctx.storage.put("n", 77);
    equal(await greeter.count(), 1);
    equal(await greeter.count(), 2);
    equal(await greeter.peek("secret"), undefined);
    equal(await this.ctx.storage.get("n"), 77);
    await fails(() => greeter.alarmed(), { message: /Facets currently cannot set alarms/ });
  },
  async abort() {
    const start = () => ({ class: this.ctx.exports.Greeter({ props: { greeting: "Hi" } }) });
    const facet = this.ctx.facets.get("aborted", start);
    equal(await facet.count(), 1);
    this.ctx.facets.abort("aborted", new Error("enough"));
    await fails(() => facet.count(), { message: /enough/ });
    equal(await this.ctx.facets.get("aborted", start).count(), 2, "a fresh stub");
    await fails(() => this.ctx.facets.get("aborted", start).boom(), { message: /facet went away/ });
    equal(await this.ctx.facets.get("aborted", start).count(), 3, "after it aborted itself");
  },
  async delete() {
    const start = () => ({ class: this.ctx.exports.Greeter({ props: { greeting: "Hi" } }) });
    for (const name of ["deleted", "../x", "a\0b", "\u{1f41d}", ""]) {
      equal(await this.ctx.facets.get(name, start).count(), 1, name);
      equal(await this.ctx.facets.get(name, start).count(), 2, name);
    }
    this.ctx.facets.delete("deleted");
    equal(await this.ctx.facets.get("deleted", start).count(), 1, "after delete()");
    equal(await this.ctx.facets.get("../x", start).count(), 3, "its sibling");
    await fails(() => this.ctx.facets.get("x".repeat(257), start), { name: "TypeError", message: /too long/ });
  },
  async nested() {
    const start = () => ({ class: this.ctx.exports.Greeter({ props: {} }) });
    equal(await this.ctx.facets.get("deep", start).nested(2), "bottom");
    await fails(() => this.ctx.facets.get("deep", start).nested(3), { message: /depth limit/ });
  },
  /** A number for a facet and one for a facet of that. */
  async counts() {
    const start = () => ({ class: this.ctx.exports.Greeter({ props: { greeting: "Hi" } }) });
    const facet = this.ctx.facets.get("kept", start);
    return [await facet.count(), await facet.countBelow(), await this.child("kept child").add(1)];
  },
  /** A loaded Worker's object makes facets of classes that came to it, through env and through props. */
  async given() {
    const load = (given) =>
      this.env.LOADER.load({
        compatibilityDate: "2026-08-01",
        mainModule: "main.js",
        modules: {
          "main.js": `
            import { DurableObject } from "cloudflare:workers";
            export class Outer extends DurableObject {
              use(where, what) {
                const given = where === "env" ? this.env.CLASS : this.ctx.props.CLASS;
                return this.ctx.facets.get(where, () => ({ class: given }))[what]();
              }
            }
            export default {}`,
        },
        env: { CLASS: given },
        globalOutbound: null,
      });
    const given = this.ctx.exports.Greeter({ props: { greeting: "Hi" } });
    const outer = this.ctx.facets.get("outer", () => ({
      class: load(given).getDurableObjectClass("Outer", { props: { CLASS: given } }),
      id: "outer",
    }));
    same([await outer.use("env", "count"), await outer.use("env", "count"), await outer.use("props", "count")], [1, 2, 1]);
    equal(await outer.use("props", "greet"), "Hi from outer");
    await fails(() => load(this.worker().getDurableObjectClass("App")), { name: "DataCloneError", message: /dynamically-loaded/ });
  },
  async endsWithItsParent() {
    const start = () => ({ class: this.ctx.exports.Greeter({ props: { greeting: "Hi" } }) });
    const facet = this.ctx.facets.get("above", start);
    equal(await facet.countBelow(), 1);
    this.ctx.facets.abort("above", new Error("with all below"));
    await fails(() => facet.countBelow(), { message: /with all below/ });
    equal(await this.ctx.facets.get("above", start).countBelow(), 2);
    this.ctx.facets.delete("above");
    equal(await this.ctx.facets.get("above", start).countBelow(), 1, "a deleted facet takes its own along");
  },
  async wrong() {
    await fails(() => this.ctx.facets.get("wrong", () => ({ class: 5 })).count(), { name: "TypeError", message: /class/ });
    await fails(() => this.ctx.facets.get("wrong", () => { throw new Error("no class today"); }).count(), {
      message: /no class today/,
    });
  },
};

// ---- what runs inside a Room

const bodies = {
  async values(ctx) {
    const { storage } = ctx;
    const date = new Date(5);
    await storage.put({ date, map: new Map([["a", 1]]), bytes: new Uint8Array([1, 2]), nothing: null, big: 10n ** 30n });
    equal((await storage.get("date")).getTime(), 5);
    equal((await storage.get("map")).get("a"), 1);
    equal((await storage.get("bytes"))[1], 2);
    equal(await storage.get("nothing"), null);
    equal(await storage.get("big"), 10n ** 30n);
    equal(await storage.get("missing"), undefined);
    same([...(await storage.get(["map", "missing", "date"])).keys()], ["date", "map"]);
    const cyclic = { list: [] };
    cyclic.list.push(cyclic);
    await storage.put("cyclic", cyclic);
    const back = await storage.get("cyclic");
    equal(back.list[0], back);
    await fails(() => storage.put("f", () => {}), { name: "DataCloneError" });
    await fails(() => storage.put("u"), { name: "TypeError", message: /undefined/ });
    await fails(() => storage.put("x".repeat(2049), 1), { name: "RangeError", message: /2048/ });
    await fails(() => storage.put("large", "x".repeat(2 * 1024 * 1024 + 1)), { name: "RangeError", message: /2097152/ });
    await fails(() => storage.get(Array.from({ length: 129 }, (_, i) => String(i))), { message: /128/ });
  },
  async listing(ctx) {
    const { storage } = ctx;
    await storage.deleteAll();
    const names = ["b", "a", "a\u{10ffff}", "ab", "../x", "a\0", "\u{1f41d}", "\uffff", "x".repeat(2048)];
    for (const name of names) await storage.put(name, name);
    const keys = async (options) => [...(await storage.list(options)).keys()];
    same(await keys({ prefix: "a" }), ["a", "a\0", "ab", "a\u{10ffff}"]);
    same(await keys({ start: "a", end: "b" }), ["a", "a\0", "ab", "a\u{10ffff}"]);
    same(await keys({ startAfter: "a", limit: 1 }), ["a\0"]);
    same(await keys({ reverse: true, limit: 2 }), ["\u{1f41d}", "\uffff"]);
    same(await keys({ limit: 1 }), ["../x"]);
    same(await keys({ start: "z", end: "a" }), []);
    for (const name of names) equal(await storage.get(name), name);
    equal(await storage.delete("a"), true);
    equal(await storage.delete("a"), false);
    equal(await storage.delete(["b", "ab", "nope"]), 2);
    await fails(() => storage.list({ limit: 0 }), { name: "TypeError" });
    await storage.deleteAll();
    equal((await storage.list()).size, 0);
  },
  async syncKv(ctx) {
    const { kv } = ctx.storage;
    kv.put("one", { deep: [1] });
    same(kv.get("one"), { deep: [1] });
    await ctx.storage.put("two", 2);
    same([...kv.list({ prefix: "t" })], [["two", 2]]);
    equal(kv.delete("one"), true);
    equal(kv.get("one"), undefined);
  },
  async sqlBasics(ctx) {
    const { sql } = ctx.storage;
    await ctx.storage.deleteAll();
    sql.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, data BLOB, score REAL)");
    const insert = sql.exec("INSERT INTO t VALUES (?, ?, ?, ?)", 1, "bee \u{1f41d}", new Uint8Array([1, 255]), 1.5);
    equal(insert.rowsWritten, 1);
    const row = sql.exec("SELECT * FROM t").one();
    equal(row.name, "bee \u{1f41d}");
    equal(row.data instanceof ArrayBuffer, true);
    same([...new Uint8Array(row.data)], [1, 255]);
    equal(row.score, 1.5);
    const cursor = sql.exec("SELECT id, name FROM t UNION ALL SELECT 2, NULL ORDER BY id");
    same(cursor.columnNames, ["id", "name"]);
    same(cursor.next(), { done: false, value: { id: 1, name: "bee \u{1f41d}" } });
    same([...cursor.raw()], [[2, null]]);
    same(cursor.next(), { done: true });
    same(sql.exec("SELECT ? AS a, ? AS b", null, 7).toArray(), [{ a: null, b: 7 }]);
    await fails(() => sql.exec("SELECT ?"), { message: /Wrong number of parameter bindings/ });
    await fails(() => sql.exec("SELECT * FROM t").one() && sql.exec("SELECT 1 UNION SELECT 2").one(), { message: /multiple results/ });
    await fails(() => sql.exec("SELEC 1"), { message: /syntax error at offset 0: SQLITE_ERROR/ });
    await fails(() => sql.exec("INSERT INTO t (id) VALUES (1)"), { message: /UNIQUE constraint failed: t.id: SQLITE_CONSTRAINT/ });
    equal(sql.databaseSize > 0, true);
  },
  async sqlLarge(ctx) {
    const { sql } = ctx.storage;
    await ctx.storage.deleteAll();
    sql.exec("CREATE TABLE t (n INTEGER)");
    sql.exec("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 30000) INSERT INTO t SELECT n FROM r");
    let sum = 0;
    for (const { n } of sql.exec("SELECT n FROM t ORDER BY n")) {
      sum += n;
      // Written while read: the cursor shows the table as it was.
      if (n <= 100) sql.exec("INSERT INTO t VALUES (?)", 1_000_000);
    }
    equal(sum, (30000 * 30001) / 2);
    equal(sql.exec("SELECT count(*) AS n FROM t").one().n, 30100);
    const cursors = Array.from({ length: 80 }, () => sql.exec("SELECT n FROM t"));
    equal(cursors[79].toArray().length, 30100);
    await fails(() => cursors[0].toArray(), { message: /cursor was closed/ });
  },
  async sqlForbidden(ctx) {
    const { sql } = ctx.storage;
    await ctx.storage.put("secret", 1);
    for (const query of [
      "ATTACH 'other.sqlite' AS other",
      "ATTACH '/etc/passwd' AS other",
      "VACUUM INTO '/tmp/stolen.sqlite'",
      "PRAGMA journal_mode = DELETE",
      "PRAGMA writable_schema = 1",
      "SELECT load_extension('x')",
      "CREATE TABLE _cf_mine (a)",
      "SELECT * FROM _cf_KV",
      "DELETE FROM _cf_KV",
      "BEGIN",
      "COMMIT",
      "CREATE TEMP TABLE x (a)",
    ]) {
      await fails(() => sql.exec(query));
    }
    equal(await ctx.storage.get("secret"), 1);
    await fails(() => sql.exec(`SELECT '${"x".repeat(100_001)}'`), { message: /SQLITE_TOOBIG/ });
    await fails(() => sql.exec(`CREATE TABLE wide (${Array.from({ length: 101 }, (_, i) => `c${i}`).join()})`), { message: /too many columns/ });
    await fails(() => sql.exec("SELECT zeroblob(3000000)"), { message: /SQLITE_TOOBIG/ });
    await fails(() => sql.exec(`SELECT ${Array(101).fill("?").join()}`, ...Array(101).fill(1)), { message: /too many SQL variables/ });
    await fails(() => sql.exec("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n FROM r"), { message: /LIMIT/ });
  },
  async transactions(ctx) {
    const { storage } = ctx;
    const { sql } = storage;
    await storage.deleteAll();
    sql.exec("CREATE TABLE t (n)");
    const count = () => sql.exec("SELECT count(*) AS n FROM t").one().n;
    equal(storage.transactionSync(() => (sql.exec("INSERT INTO t VALUES (1)"), "kept")), "kept");
    await fails(() => storage.transactionSync(() => {
      sql.exec("INSERT INTO t VALUES (2)");
      throw new Error("undo");
    }), { message: /undo/ });
    equal(count(), 1);
    await storage.transaction(async (txn) => {
      await txn.put("a", 1);
      sql.exec("INSERT INTO t VALUES (3)");
      await sleep(5);
      equal(await txn.get("a"), 1);
    });
    equal(count(), 2);
    await fails(() => storage.transaction(async (txn) => {
      await sleep(1);
      await txn.put("a", 2);
      sql.exec("INSERT INTO t VALUES (4)");
      throw new Error("undo");
    }), { message: /undo/ });
    equal(await storage.get("a"), 1);
    let kept;
    await storage.transaction(async (txn) => {
      kept = txn;
      await txn.put("a", 3);
      txn.rollback();
      await fails(() => txn.get("a"), { message: /rolled back/ });
    });
    await fails(() => kept.put("a", 4), { message: /rolled back/ });
    equal(await storage.get("a"), 1);
    equal(count(), 2);
  },
  async bookmarks(ctx) {
    const first = await ctx.storage.getCurrentBookmark();
    const second = await ctx.storage.getCurrentBookmark();
    equal(first < second, true);
    await ctx.storage.waitForBookmark(second);
    await fails(() => ctx.storage.onNextSessionRestoreBookmark("nonsense"), { message: /bookmark|point-in-time recovery/ });
  },
  /** A log of texts, and going back in it; for a server that keeps its state on disk. */
  async note(ctx, text) {
    const { sql } = ctx.storage;
    sql.exec("CREATE TABLE IF NOT EXISTS notes (text)");
    sql.exec("INSERT INTO notes VALUES (?)", text);
    await ctx.storage.put("last", text);
    return ctx.storage.getCurrentBookmark();
  },
  async notes(ctx) {
    const { sql } = ctx.storage;
    const has = sql.exec("SELECT count(*) AS n FROM sqlite_master WHERE name = 'notes'").one().n;
    const notes = has === 0 ? [] : sql.exec("SELECT text FROM notes").toArray().map((row) => row.text);
    return { notes, last: await ctx.storage.get("last"), alarm: await ctx.storage.getAlarm() };
  },
  async restore(ctx, bookmark) {
    return ctx.storage.onNextSessionRestoreBookmark(bookmark);
  },
  async bookmarkAt(ctx, ms) {
    return ctx.storage.getBookmarkForTime(ms);
  },
  async unfinished(ctx) {
    ctx.storage.put("half", 1);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS half (n)");
    ctx.storage.sql.exec("INSERT INTO half VALUES (1)");
    ctx.abort("in the middle of a turn");
  },
  async seen(ctx) {
    const tables = ctx.storage.sql.exec("SELECT count(*) AS n FROM sqlite_master WHERE name = 'half'").one().n;
    return [(await ctx.storage.get("half")) ?? null, tables];
  },
  async pair(ctx, n) {
    const { sql } = ctx.storage;
    sql.exec("CREATE TABLE IF NOT EXISTS a (n INTEGER PRIMARY KEY); CREATE TABLE IF NOT EXISTS b (n INTEGER PRIMARY KEY)");
    sql.exec("INSERT INTO a VALUES (?)", n);
    if (n % 5 === 0) await ctx.storage.setAlarm(Date.now() + 50);
    sql.exec("INSERT INTO b VALUES (?)", n);
  },
  /** Both halves from a number on, and how many there are below it. */
  async pairs(ctx, from) {
    const { sql } = ctx.storage;
    if (sql.exec("SELECT count(*) AS n FROM sqlite_master WHERE name = 'b'").one().n === 0) return [[], [], 0, 0];
    const after = (table) => sql.exec(`SELECT n FROM ${table} WHERE n >= ? ORDER BY n`, from).toArray().map((row) => row.n);
    const below = (table) => sql.exec(`SELECT count(*) AS n FROM ${table} WHERE n < ?`, from).one().n;
    return [after("a"), after("b"), below("a"), below("b")];
  },
  async ring(ctx, ms, options = {}) {
    await ctx.storage.put(options);
    await ctx.storage.setAlarm(Date.now() + ms);
    return ctx.storage.getAlarm();
  },
  async rings(ctx) {
    return { rings: (await ctx.storage.get("rings")) ?? [], alarm: await ctx.storage.getAlarm() };
  },
  async unring(ctx) {
    await ctx.storage.deleteAlarm();
    return ctx.storage.getAlarm();
  },
  async later(ctx, ms) {
    ctx.waitUntil(sleep(ms).then(() => ctx.storage.put("later", true)));
    return (await ctx.storage.get("later")) ?? null;
  },
  async blockAndThrow(ctx) {
    ctx.storage.put("half", 1);
    await ctx.blockConcurrencyWhile(async () => {
      await sleep(1);
      throw new RangeError("blocked for nothing");
    });
  },
  /** Reads and writes with other events between, were it not for the input gate. */
  async readThenWrite(ctx) {
    const n = (await ctx.storage.get("gated")) ?? 0;
    await ctx.storage.get("something else");
    await ctx.storage.put("gated", n + 1);
    return n + 1;
  },
  state(ctx) {
    return [ctx.props, ctx.container, typeof ctx.exports.Room, Object.prototype.toString.call(ctx), Object.keys(ctx.exports).length > 4];
  },
};

let names = 0;
const START = Date.now();
const fresh = (env) => env.ROOM.getByName(`room ${START} ${names++}`);
const use = (name, ...args) => (env) => fresh(env).use(name, ...args);

async function until(condition) {
  const began = Date.now();
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() - began > 60_000) throw new Error(`waited a minute for ${condition}`);
    await sleep(10);
  }
}

/** `GET /do/<what>?name=N`: what `tests/objects.rs` asks from outside, one call of one object each. */
const doors = {
  id: (env, { name }) => String(env.ROOM.idFromName(name)),
  increment: (env, { name }) => env.ROOM.getByName(name).increment(),
  remember: (env, { name }) => env.ROOM.getByName(name).remember(),
  ring: (env, { name, ms, failures }) =>
    env.ROOM.getByName(name).use("ring", Number(ms), failures === undefined ? {} : { failures: Number(failures) }),
  rings: async (env, { name }) => (await env.ROOM.getByName(name).use("rings")).rings.length,
  pair: (env, { name, n }) => env.ROOM.getByName(name).use("pair", Number(n)),
  pairs: async (env, { name, from }) => JSON.stringify(await env.ROOM.getByName(name).use("pairs", Number(from))),
  serve: async (env, { name }) => JSON.stringify(await env.ROOM.getByName(name).serve()),
  up: (env, { name }) => env.OTHERS.getByName(name).up(),
  whereabouts: async (env, { name }) => JSON.stringify(await env.OTHERS.getByName(name).whereabouts()),
  spin: (env, { name, ms }) => env.OTHERS.getByName(name).spin(Number(ms)),
  note: (env, { name, text }) => env.ROOM.getByName(name).use("note", text),
  notes: async (env, { name }) => JSON.stringify(await env.ROOM.getByName(name).use("notes")),
  at: (env, { name, ms }) => env.ROOM.getByName(name).use("bookmarkAt", Number(ms)),
  back: async (env, { name, bookmark }) => {
    const undo = await env.ROOM.getByName(name).use("restore", bookmark);
    await fails(() => env.ROOM.getByName(name).abort("to begin a new session"));
    return undo;
  },
  facets: async (env, { name }) => JSON.stringify(await env.PARENT.getByName(name).run("counts")),
  rung: async (env, { name }) => (await env.ROOM.getByName(name).use("rings")).rings.length > 0,
};

const cases = suite({
  async fetch_and_rpc(env) {
    const room = env.ROOM.get(env.ROOM.idFromName("lobby"));
    const response = await room.fetch("http://object/path", { method: "POST", body: "x" });
    equal(await response.text(), "POST /path in lobby");
    equal(await room.add(2, 3), 5);
    const error = await fails(() => room.throws(), { name: "RangeError", message: /thrown inside/ });
    equal(error.durableObjectId, String(room.id));
    await fails(() => room.missing(), { name: "TypeError", message: /does not implement the method "missing"/ });
  },
  async pipelining(env) {
    const room = fresh(env);
    const counter = room.counter();
    equal(await counter.up(), 1);
    equal(await counter.up(), 2);
    equal(await room.counter().up(), 1);
  },
  async ids(env, ctx) {
    const { ROOM, TWIN } = env;
    const id = ROOM.idFromName("a");
    matches(String(id), /^[0-9a-f]{64}$/);
    equal(id.name, "a");
    equal(id.equals(ROOM.idFromName("a")), true);
    equal(id.equals(ROOM.idFromName("b")), false);
    const again = ROOM.idFromString(String(id));
    equal(again.equals(id), true);
    equal(again.name, undefined);
    const unique = ROOM.newUniqueId();
    equal(unique.equals(ROOM.newUniqueId()), false);
    equal(ROOM.idFromString(String(unique)).equals(unique), true);
    equal(ROOM.get(id).name, "a");
    equal(ROOM.get(id).id.equals(id), true);
    equal(String(ROOM.idFromName("a")) === String(TWIN.idFromName("a")), false);
    await fails(() => ROOM.idFromString("zz"), { name: "TypeError", message: /64 hex digits/ });
    await fails(() => ROOM.idFromString("0".repeat(64)), { name: "TypeError", message: /not valid for this namespace/ });
    await fails(() => TWIN.idFromString(String(id)), { name: "TypeError" });
    await fails(() => TWIN.get(id), { name: "TypeError", message: /does not match this Durable Object class/ });
    await fails(() => ROOM.get("a"), { name: "TypeError" });
    await fails(() => ROOM.idFromName(), { name: "TypeError" });
    same(await ROOM.get(id).whoami().then(({ id, name }) => [id, name]), [String(id), "a"]);
    same(await ROOM.get(unique).whoami().then(({ id, name }) => [id, name]), [String(unique), undefined]);
    const eu = ROOM.jurisdiction("eu");
    const european = eu.newUniqueId();
    equal(european.jurisdiction, "eu");
    equal((await eu.get(european, { locationHint: "weur" }).whoami()).id, String(european));
    await fails(() => eu.get(id), { message: /different jurisdiction/ });
    await fails(() => ROOM.jurisdiction("mars"), { name: "TypeError" });
    equal((await ctx.exports.Room.getByName("a").whoami()).id, String(id), "ctx.exports");
  },
  async hostile_names(env) {
    for (const name of ["../x", "../../etc/passwd", "a/b", "a\\b", "", "\0", "a\0b", "\u{1f41d}", "\ud800", "x".repeat(10_000), "_cf_KV", "CON", "%2e%2e", ".", ".."]) {
      const key = `hostile ${name.slice(0, 20)}`;
      const room = env.ROOM.getByName(name);
      const n = await room.increment(key);
      equal(await env.ROOM.getByName(name).increment(key), n + 1, name.slice(0, 20));
      equal(await env.TWIN.getByName(name).get(key), null, `the other class of ${name.slice(0, 20)}`);
    }
  },
  async one_instance_for_an_id(env) {
    const name = `single ${START}`;
    const answers = await Promise.all(Array.from({ length: 50 }, () => env.ROOM.getByName(name).whoami()));
    same([...new Set(answers.map((answer) => answer.serial))].length, 1);
    equal(await env.ROOM.getByName(name).remember(), 1);
    equal(await env.ROOM.getByName(name).remember(), 2);
  },
  async other_workers_are_apart(env) {
    const key = `apart ${START}`;
    await env.ROOM.getByName("shared name").increment(key);
    equal(await env.OTHERS.getByName("shared name").peek(key), null);
    await fails(() => env.OTHERS.idFromString(String(env.ROOM.idFromName("shared name"))), { name: "TypeError" });
  },
  async legacy_classes(env) {
    const old = env.OLD.getByName(`old ${START}`);
    same(await (await old.fetch("http://x/")).json(), { n: 1, env: true, name: `old ${START}` });
    same((await (await old.fetch("http://x/")).json()).n, 2);
    matches(await (await old.fetch("http://x/sql")).text(), /new_sqlite_classes/);
    await fails(() => old.anything(), { name: "TypeError", message: /extends DurableObject/ });
  },
  values: use("values"),
  listing: use("listing"),
  sync_kv: use("syncKv"),
  sql_basics: use("sqlBasics"),
  sql_large_results: use("sqlLarge"),
  sql_forbidden: use("sqlForbidden"),
  transactions: use("transactions"),
  bookmarks: use("bookmarks"),
  async exact_counts(env) {
    const room = fresh(env);
    const results = await Promise.all(Array.from({ length: 300 }, (_, i) => (i % 2 ? room.increment() : room.sqlIncrement())));
    equal(Math.max(...results), 150);
    equal(new Set(results.filter((_, i) => i % 2)).size, 150);
  },
  async events_in_order(env) {
    const room = fresh(env);
    const seen = await Promise.all([room.slow("a", 900), room.slow("b", 450), room.slow("c", 1)]);
    same(seen[0], ["begin a", "begin b", "begin c", "end c", "end b", "end a"]);
  },
  async block_concurrency_while(env) {
    const room = fresh(env);
    const blocked = room.block(30);
    const log = await room.slow("after", 1);
    await blocked;
    same(log, ["blocking", "blocked", "begin after", "end after"]);
  },
  async what_a_block_throws_resets_the_object(env) {
    const { name } = fresh(env);
    const error = await fails(() => env.ROOM.getByName(name).use("blockAndThrow"), { name: "RangeError", message: /for nothing/ });
    equal(error.durableObjectReset, true);
    equal(await env.ROOM.getByName(name).remember(), 1, "a fresh instance");
  },
  async wait_until_outlives_the_reply(env) {
    const room = fresh(env);
    equal(await room.use("later", 30), null);
    await until(async () => (await room.use("later", 0)) === true);
  },
  async the_input_gate_keeps_events_apart(env) {
    const room = fresh(env);
    const seen = await Promise.all(Array.from({ length: 30 }, () => room.use("readThenWrite")));
    same(seen.sort((a, b) => a - b), Array.from({ length: 30 }, (_, i) => i + 1));
  },
  async what_ctx_has(env) {
    same(await fresh(env).use("state"), [{}, null, "function", "[object DurableObjectState]", true]);
  },
  async hints_are_accepted(env) {
    const { ROOM } = env;
    const id = ROOM.newUniqueId({ jurisdiction: "eu" });
    equal((await ROOM.jurisdiction("eu").get(id, { locationHint: "weur" }).whoami()).id, String(id));
    equal((await ROOM.get(ROOM.idFromName("hinted"), { locationHint: "apac" }).whoami()).name, "hinted");
    equal((await ROOM.getByName("hinted", { locationHint: "wnam" }).whoami()).name, "hinted");
    equal((await ROOM.jurisdiction("fedramp").getByName("hinted").whoami()).name, "hinted");
    equal(String(ROOM.jurisdiction("eu").idFromName("hinted")) === String(ROOM.idFromName("hinted")), false);
    await fails(() => ROOM.newUniqueId({ jurisdiction: "mars" }), { name: "TypeError" });
  },
  async abort_forgets_the_turn(env) {
    const room = fresh(env);
    const name = room.name;
    equal(await room.remember(), 1);
    const error = await fails(() => room.abort("enough"), { message: /enough/ });
    equal(error.durableObjectReset, true);
    await fails(() => room.remember(), { message: /enough/ });
    const again = env.ROOM.getByName(name);
    equal(await again.remember(), 1, "a fresh instance");
    await fails(() => again.use("unfinished"), { message: /middle of a turn/ });
    same(await env.ROOM.getByName(name).use("seen"), [null, 0]);
  },
  async constructor_that_throws(env) {
    // Objects live in the process of their Worker's entrypoints, so this is the same variable.
    constructorFails = 1;
    const name = `fragile ${START}`;
    await fails(() => env.FRAGILE.getByName(name).hello(), { name: "TypeError", message: /not today/ });
    equal(await env.FRAGILE.getByName(name).hello(), "hello");
  },
  async stubs_travel(env) {
    const room = env.ROOM.getByName("travelling");
    const worker = env.LOADER.load({
      compatibilityDate: "2026-08-01",
      mainModule: "main.js",
      modules: {
        "main.js": `
          import { WorkerEntrypoint } from "cloudflare:workers";
          export default class extends WorkerEntrypoint {
            viaEnv() { return this.env.room.add(1, 2); }
            viaProps() { return this.ctx.props.room.add(3, 4); }
            viaParam(room) { return room.add(5, 6); }
          }`,
      },
      env: { room },
    });
    const child = worker.getEntrypoint(undefined, { props: { room } });
    equal(await child.viaEnv(), 3);
    equal(await child.viaProps(), 7);
    equal(await child.viaParam(room), 11);
    await fails(() => env.LOADER.load({ compatibilityDate: "2026-08-01", mainModule: "m.js", modules: { "m.js": "" }, env: { ns: env.ROOM } }));
  },
  async alarms(env) {
    const room = fresh(env);
    const at = await room.use("ring", 30, { again: true });
    equal(at > Date.now() - 1000, true);
    const { rings } = await until(async () => {
      const seen = await room.use("rings");
      return seen.rings.length === 2 && seen.alarm === null && seen;
    });
    equal(rings[0].at, at);
    equal(rings[0].seen, null);
    equal(rings[0].retry, 0);
    const later = fresh(env);
    await later.use("ring", 60_000);
    equal(await later.use("unring"), null);
    await fails(() => env.TWIN.getByName("x").alarmed(), { name: "TypeError", message: /must have an alarm\(\) handler/ });
  },
  async alarms_are_tried_again(env) {
    const room = fresh(env);
    await room.use("ring", 1, { failures: 1 });
    const { rings } = await until(async () => {
      const seen = await room.use("rings");
      return seen.rings.length === 2 && seen.alarm === null && seen;
    });
    same(rings.map((ring) => ring.retry), [0, 1]);
    equal(rings[0].at, rings[1].at);
  },
  facets_of_dynamic_workers: (env) => env.PARENT.getByName(`p ${START}`).run("dynamic"),
  facets_of_own_classes: (env) => env.PARENT.getByName(`p ${START}`).run("own"),
  facets_abort: (env) => env.PARENT.getByName(`p ${START}`).run("abort"),
  facets_delete: (env) => env.PARENT.getByName(`p ${START}`).run("delete"),
  facets_nested: (env) => env.PARENT.getByName(`p ${START}`).run("nested"),
  facets_of_classes_that_were_given: (env) => env.PARENT.getByName(`p ${START}`).run("given"),
  facets_end_with_their_parent: (env) => env.PARENT.getByName(`p ${START}`).run("endsWithItsParent"),
  facets_wrong: (env) => env.PARENT.getByName(`p ${START}`).run("wrong"),
});

export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url);
    const door = url.pathname.startsWith("/do/") ? doors[url.pathname.slice(4)] : undefined;
    if (door === undefined) return cases.fetch(request, env, ctx);
    return new Response(String(await door(env, Object.fromEntries(url.searchParams))));
  },
};
