// Durable Objects for `objects` of `bench/src/cases.rs`: what one object does with its database, calls to
// one, and many of them.

import { DurableObject } from "cloudflare:workers";

export class Bench extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, text TEXT, n INTEGER)");
  }
  add(a, b) {
    return a + b;
  }
  /** A statement of each kind `n` times; the object's own time is that of the request. */
  sql(kind, n) {
    const { sql } = this.ctx.storage;
    if (kind === "select") {
      sql.exec("INSERT OR IGNORE INTO t VALUES (1, 'a small row', 7)");
      let total = 0;
      for (let i = 0; i < n; i++) total += sql.exec("SELECT text, n FROM t WHERE id = ?", 1).one().n;
      return total;
    }
    sql.exec("DELETE FROM t WHERE id > 1");
    for (let i = 0; i < n; i++) sql.exec("INSERT INTO t (text, n) VALUES (?, ?)", "a small row", i);
    return n;
  }
  /** A turn of its own for each insert: what is acknowledged is durable. */
  insert(i) {
    this.ctx.storage.sql.exec("INSERT INTO t (text, n) VALUES (?, ?)", "a small row", i);
    return i;
  }
}

/** Stores nothing. */
export class Light extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.calls = 0;
  }
  touch() {
    return ++this.calls;
  }
}

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    const n = Number(url.searchParams.get("n"));
    const one = env.BENCH.getByName("one");
    switch (url.pathname) {
      case "/hello":
        return new Response("hello");
      case "/select":
      case "/inserts":
        return new Response(String(await one.sql(url.pathname === "/select" ? "select" : "insert", n)));
      case "/rpc":
        for (let i = 0; i < n; i++) await one.add(i, 1);
        return new Response("done");
      case "/durable":
        for (let i = 0; i < n; i++) await one.insert(i);
        return new Response("done");
      case "/cold":
        return new Response(String(await env.LIGHT.get(env.LIGHT.newUniqueId()).touch()));
      case "/live":
        return new Response(String(await env.LIGHT.getByName(`live ${n}`).touch()));
      default:
        return new Response("no such case", { status: 404 });
    }
  },
};
