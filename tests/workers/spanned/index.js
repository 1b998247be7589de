// A Worker that does a little of everything, one path each; `spans` follows it.

import { DurableObject, WorkerEntrypoint, tracing } from "cloudflare:workers";

const doings = {
  async kv({ KV }) {
    await KV.put("a", "é!", { expirationTtl: 600, metadata: { m: 1 } });
    await KV.get("a");
    await KV.getWithMetadata("a", { type: "text", cacheTtl: 60 });
    await KV.get(["a", "b"]);
    await KV.list({ prefix: "a", limit: 10 });
    await KV.delete("a");
    await KV.get("a");
  },

  async failing({ KV, BUCKET }) {
    await KV.get("k".repeat(600)).catch(() => {});
    await KV.put("x", new Map()).catch(() => {});
    await BUCKET.get("x", { range: { offset: -1 } }).catch(() => {});
  },

  async r2({ BUCKET }) {
    const { etag } = await BUCKET.put("o/1", "0123456789", {
      httpMetadata: { contentType: "text/x", cacheControl: "no-store" }, customMetadata: { c: "1" },
    });
    await BUCKET.head("o/1");
    await (await BUCKET.get("o/1", { range: { offset: 2, length: 3 }, onlyIf: { etagMatches: etag } })).text();
    await BUCKET.get("missing");
    await BUCKET.list({ prefix: "o/", limit: 5, include: ["httpMetadata"] });
    await BUCKET.delete(["o/1", "o/2"]);
  },

  async upload({ BUCKET }) {
    const upload = await BUCKET.createMultipartUpload("big", { customMetadata: { c: "1" } });
    const part = await upload.uploadPart(1, new Uint8Array(7));
    await upload.complete([part]);
    await (await BUCKET.createMultipartUpload("none")).abort();
  },

  async d1({ DB }) {
    await DB.exec("CREATE TABLE IF NOT EXISTS t (a)");
    await DB.prepare("INSERT INTO t VALUES (?)").bind("x").run();
    const session = DB.withSession();
    await session.batch([session.prepare("SELECT 1"), session.prepare("INSERT INTO t VALUES (2), (3)")]);
    await session.prepare("SELECT a FROM t LIMIT 1").first("a");
    await DB.prepare("SELECT a FROM t").raw();
    await DB.prepare("SELECT a FROM t").all();
    await DB.prepare("SELECT 1 AS a").first("b").catch(() => {});
    await DB.prepare("nonsense").all().catch(() => {});
    await DB.exec("\nnonsense").catch(() => {});
  },

  async cache() {
    const request = new Request("https://cache.example/x", { headers: { "if-none-match": '"other"' } });
    await caches.default.match(request);
    await caches.default.put(request, new Response("four", { headers: { "cache-control": "max-age=60", etag: '"e"' } }));
    await (await caches.default.match("https://cache.example/x")).text();
    await caches.default.delete("https://cache.example/x", { ignoreMethod: true });
    await caches.default.match(new Request("https://cache.example/x", { method: "POST" }));
  },

  async queue({ QUEUE }) {
    await QUEUE.sendBatch([{ body: 1 }, { body: 2 }]);
    await QUEUE.metrics();
    await QUEUE.send(3);
  },

  async object({ OBJECT }) {
    const stub = OBJECT.getByName("one");
    await stub.ping();
    await (await stub.fetch("https://object/")).text();
    return OBJECT.idFromName("one").toString();
  },

  storage: ({ OBJECT }) => OBJECT.getByName("storage").storage(),
  sql: ({ OBJECT }) => OBJECT.getByName("sql").sql(),
  facet: ({ OBJECT }) => OBJECT.getByName("facet").facet(),

  async nested({ KV, BUCKET }) {
    await tracing.enterSpan("outer", async () => {
      await Promise.resolve();
      await Promise.all([KV.get("x"), BUCKET.head("x")]);
    });
    await KV.get("x");
  },

  async services({ SELF }) {
    await (await SELF.fetch("https://other/p", { method: "POST", body: "12345", headers: { "content-type": "t/x" } })).text();
    await SELF.scheduled({ cron: "* * * * *" });
    await SELF.queue("by hand", [{ id: "1", timestamp: new Date(), attempts: 1, body: 1 }, { id: "2", timestamp: new Date(), attempts: 1, body: 2 }]);
    await SELF.named();
    await SELF.fetch("https://other/throws").catch(() => {});
  },

  async open() {
    const span = tracing.startSpan("never ended");
    span.setAttribute("lost", true);
  },
};

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/socket") return env.OBJECT.getByName("socket").fetch(request);
    return new Response((await doings[pathname.slice(1)](env)) ?? "done");
  },
  queue() {},
};

export class Other extends WorkerEntrypoint {
  fetch(request) {
    if (request.url.endsWith("/throws")) throw new Error("thrown");
    return new Response("abc", { status: 202, headers: { "cf-ray": "ray" } });
  }
  scheduled() {}
  queue() {}
  named() {}
}

export class Part extends DurableObject {
  ping() {}
}

export class Keeper extends DurableObject {
  ping() {}

  fetch(request) {
    if (request.headers.get("upgrade") !== "websocket") return new Response("x");
    const [client, server] = Object.values(new WebSocketPair());
    this.ctx.acceptWebSocket(server);
    return new Response(null, { status: 101, webSocket: client });
  }
  webSocketMessage(socket, message) {
    socket.send(message);
  }
  webSocketClose() {}
  alarm() {}

  async storage() {
    const { storage } = this.ctx;
    await storage.put("a", 1);
    await storage.get(["a", "b"]);
    await storage.list({ limit: 1 });
    await storage.transaction(async (txn) => txn.delete("a"));
    await storage.setAlarm(Date.now() + 60_000);
    await storage.getAlarm();
    await storage.deleteAlarm();
    await storage.sync();
    await storage.getCurrentBookmark();
    await storage.put("a", undefined).catch(() => {});
    await storage.deleteAll();
  }

  sql() {
    const { sql, kv } = this.ctx.storage;
    sql.exec("CREATE TABLE t (n)");
    sql.exec("INSERT INTO t VALUES (?), (?)", 1, 2);
    sql.exec("SELECT n FROM t");
    try {
      sql.exec("SELECT nothing FROM nowhere");
    } catch {
      // Told all the same.
    }
    sql.ingest("INSERT INTO t VALUES (3); INSERT INTO t VALUES (4);");
    sql.databaseSize;
    kv.put("k", 1);
    kv.get("k");
    [...kv.list({ prefix: "k", limit: 2, reverse: true })];
    kv.delete("k");
    kv.delete("k");
  }

  async facet() {
    const part = this.ctx.facets.get("part", () => ({ class: this.ctx.exports.Part }));
    await part.ping();
  }
}
