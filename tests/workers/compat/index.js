// What there is of the types of Workers: `scripts/compat.mjs` sends the names of globals and of their
// members, and gets back those that are here.

import * as workers from "cloudflare:workers";
import * as sockets from "cloudflare:sockets";

const CHILD = { compatibilityDate: "2026-11-01", mainModule: "a.js", modules: { "a.js": "export default {}" } };

/** The tokens that handlers of HTMLRewriter get. */
async function tokens() {
  const found = {};
  const rewriter = new HTMLRewriter()
    .on("p", {
      element(element) {
        found.Element = names(element);
        element.onEndTag((tag) => void (found.EndTag = names(tag)));
      },
      comments: (comment) => void (found.Comment = names(comment)),
      text: (text) => void (found.Text ??= names(text)),
    })
    .onDocument({ doctype: (doctype) => void (found.Doctype = names(doctype)), end: (end) => void (found.DocumentEnd = names(end)) });
  await rewriter.transform(new Response("<!doctype html><p>a<!--b--></p>")).text();
  return found;
}

/** Everything that can be read from an object. */
function names(object) {
  const all = new Set();
  for (let level = object; level !== null && level !== Object.prototype; level = Object.getPrototypeOf(level)) {
    for (const key of Reflect.ownKeys(level)) all.add(typeof key === "symbol" ? `[${key.description}]` : key);
  }
  return [...all];
}

/** Each kind of checksum is there where it was asked for. */
async function checksums({ BUCKET }) {
  const all = [];
  for (const [field, name] of [["sha1", "SHA-1"], ["sha256", "SHA-256"], ["sha384", "SHA-384"], ["sha512", "SHA-512"]]) {
    const sum = await crypto.subtle.digest(name, new Uint8Array(0));
    all.push((await BUCKET.put("a", "", { [field]: sum })).checksums);
  }
  return Object.assign(Object.create(Object.getPrototypeOf(all[0])), ...all);
}

/** Objects of types that are no globals, or whose members are on the object itself. */
function instances(request, env, ctx) {
  const loader = env.LOADER;
  return {
    WorkerGlobalScope: () => globalThis,
    Console: () => console,
    Scheduler: () => scheduler,
    Cloudflare: () => Cloudflare,
    Cache: () => caches.default,
    CacheStorage: () => caches,
    ExecutionContext: () => ctx,
    WorkerLoader: () => loader,
    WorkerStub: () => loader.load(CHILD),
    URLPattern: () => new URLPattern(),
    AbortSignal: () => new AbortController().signal,
    MessagePort: () => new MessageChannel().port1,
    MessageChannel: () => new MessageChannel(),
    Response: () => new Response(""),
    Request: () => request,
    Event: () => new Event("a"),
    DOMException: () => new DOMException(""),
    CryptoKey: () => CryptoKey.prototype,
    DigestStream: () => new crypto.DigestStream("SHA-256"),
    WebSocket: () => new WebSocketPair()[0],
    WebSocketPair: () => new WebSocketPair(),
    Socket: () => sockets.connect("127.0.0.1:1"),
    EventSource: () => EventSource.prototype,
    PerformanceNodeTiming: () => performance.nodeTiming,
    EventCounts: () => performance.eventCounts,
    D1Database: () => env.DB,
    D1DatabaseSession: () => env.DB.withSession(),
    D1PreparedStatement: () => env.DB.prepare("SELECT 1"),
    KVNamespace: () => env.KV,
    R2Bucket: () => env.BUCKET,
    R2Object: () => env.BUCKET.put("a", ""),
    R2ObjectBody: async () => (await env.BUCKET.put("a", "")) && env.BUCKET.get("a"),
    R2MultipartUpload: () => env.BUCKET.createMultipartUpload("b"),
    R2Checksums: () => checksums(env),
  };
}

export default {
  async fetch(request, env, ctx) {
    if (request.method !== "POST") return new Response("compat");
    const { globals } = await request.json();
    const made = instances(request, env, ctx);
    const found = { globals: {}, instances: await tokens(), statics: {}, modules: {} };
    for (const name of globals) {
      const path = name.split(".");
      let value = globalThis;
      for (const part of path) value = value?.[part];
      const there = path.length === 1 ? name in globalThis : value !== undefined;
      found.globals[name] = there;
      if (typeof value === "function") {
        found.statics[name] = names(value);
        if (value.prototype) found.instances[name] = names(value.prototype);
      } else if (value !== null && typeof value === "object") {
        found.instances[`typeof ${name}`] = names(value);
      }
    }
    for (const [name, make] of Object.entries(made)) {
      try {
        const object = await make();
        found.instances[name] = [...new Set([...(found.instances[name] ?? []), ...names(object)])];
      } catch {
        // Its members are absent.
      }
    }
    found.modules["cloudflare:workers"] = Object.keys(workers);
    found.modules["cloudflare:sockets"] = Object.keys(sockets);
    return Response.json(found);
  },
};
