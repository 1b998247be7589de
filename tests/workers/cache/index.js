// The Cache API, a case each; `tests/cache.rs` adds what needs a second host.

import { equal, fails, same, sleep, suite } from "../kit/suite.js";

const url = (path) => `https://cache.test/${path}`;
const cached = (body, headers = {}, init = {}) =>
  new Response(body, { ...init, headers: { "cache-control": "max-age=100", ...headers } });
const store = caches.default;

const CHILD = `
  export default {
    async fetch(request) {
      const cache = caches.default;
      const found = await cache.match("https://cache.test/child");
      const before = found === undefined ? "nothing" : await found.text();
      await cache.put("https://cache.test/child", new Response(await request.text(), { headers: { "cache-control": "max-age=100" } }));
      return new Response(before);
    },
  };
`;
const code = () => ({ compatibilityDate: "2026-08-01", mainModule: "main.js", modules: { "main.js": CHILD } });
const ask = async (worker, body) =>
  (await worker.getEntrypoint().fetch("https://child/", { method: "POST", body })).text();

const cases = suite({
  async what_was_put_is_matched_with_status_age_and_headers() {
    const put = cached("hello", { "x-own": "ü", "content-type": "text/x-own" }, { status: 201, statusText: "Made" });
    equal(await store.put(url("a"), put), undefined);
    equal(put.bodyUsed, true);
    const found = await store.match(url("a"));
    equal(found.status, 201);
    equal(found.statusText, "Made");
    equal(found.headers.get("x-own"), "ü");
    equal(found.headers.get("content-type"), "text/x-own");
    equal(found.headers.get("cf-cache-status"), "HIT");
    equal(found.headers.get("age"), "0");
    equal(await found.text(), "hello");
    equal(await store.match(url("never")), undefined);
    equal(await store.match(url("a?query")), undefined);
    equal(await (await store.match(new Request(url("a#fragment")))).text(), "hello");
  },
  async a_put_replaces_and_a_delete_says_what_it_found() {
    await store.put(url("b"), cached("1"));
    await store.put(url("b"), cached("2"));
    equal(await (await store.match(url("b"))).text(), "2");
    equal(await store.delete(url("b")), true);
    equal(await store.delete(url("b")), false);
    equal(await store.match(url("b")), undefined);
  },
  async only_get_unless_the_method_is_ignored() {
    await store.put(url("m"), cached("m"));
    const post = new Request(url("m"), { method: "POST", body: "x" });
    equal(await store.match(post), undefined);
    equal(await (await store.match(post, { ignoreMethod: true })).text(), "m");
    equal(await store.delete(post), false);
    equal(await store.delete(new Request(url("m"), { method: "HEAD" }), { ignoreMethod: true }), true);
    await fails(() => store.put(new Request(url("m"), { method: "POST", body: "x" }), cached("m")), {
      name: "TypeError",
      message: /^Cannot cache response to non-GET request\.$/,
    });
  },
  async caches_by_name_are_apart() {
    const one = await caches.open("one");
    const nameless = await caches.open("");
    await one.put(url("n"), cached("one"));
    equal(await (await (await caches.open("one")).match(url("n"))).text(), "one");
    equal(await store.match(url("n")), undefined);
    equal(await nameless.match(url("n")), undefined);
    equal(await (await caches.open("One")).match(url("n")), undefined);
    await fails(() => caches.open("x".repeat(1024)), { name: "TypeError", message: /^Cache name is too long\.$/ });
    equal(caches.default, caches.default);
    equal(Object.prototype.toString.call(caches), "[object CacheStorage]");
    equal(one instanceof Cache, true);
    await fails(() => new Cache(), { name: "TypeError", message: /Illegal constructor/ });
  },
  async what_may_not_be_put_is_an_error() {
    const refused = (response, message) => fails(() => store.put(url("e"), response), { name: "TypeError", message });
    await refused(cached("x", {}, { status: 206 }), /^Cannot cache response to a range request \(206 Partial Content\)\.$/);
    await refused(cached("x", { vary: "accept, *" }), /^Cannot cache response with 'Vary: \*' header\.$/);
    await refused(Response.error(), /^Cache is unable to store an error response$/);
    await refused({}, /Response/);
    const used = cached("x");
    await used.text();
    await refused(used, /used/);
    await fails(() => store.match("ftp://cache.test/"), { name: "TypeError", message: /must be fully-qualified, valid URLs/ });
    await fails(() => store.match("/path"), { name: "TypeError", message: /Invalid URL/ });
    await fails(() => store.add(url("e")), { message: /'add' on 'Cache': the method is not implemented/ });
    await fails(() => caches.match(url("e")), { message: /'match' on 'CacheStorage': the method is not implemented/ });
    equal(await store.match(url("e")), undefined);
  },
  async what_its_headers_forbid_is_not_kept() {
    const forbidden = [
      { "cache-control": "no-store" },
      { "cache-control": "private" },
      { "cache-control": "max-age=0" },
      { "cache-control": "max-age=100, s-maxage=0" },
      { "cache-control": "no-cache, max-age=100" },
      { "cache-control": "", expires: "Thu, 01 Jan 1970 00:00:00 GMT" },
      { "set-cookie": "a=b" },
    ];
    for (const headers of forbidden) {
      await store.put(url("f"), cached("f", headers));
      equal(await store.match(url("f")), undefined, JSON.stringify(headers));
    }
    await store.put(url("f"), new Response("x", { status: 500 }));
    equal(await store.match(url("f")), undefined, "a status that nobody keeps unasked");
    await store.put(url("f"), new Response(null, { status: 304, headers: { "cache-control": "max-age=100" } }));
    equal(await store.match(url("f")), undefined, "304");
  },
  async a_cookie_may_be_private() {
    await store.put(url("p"), cached("p", { "cache-control": "max-age=100, private=Set-Cookie", "set-cookie": "a=b" }));
    const found = await store.match(url("p"));
    equal(await found.text(), "p");
    equal(found.headers.get("set-cookie"), null);
  },
  async entries_end_with_their_time() {
    await store.put(url("t"), cached("t", { "cache-control": "max-age=1" }));
    await store.put(url("s"), cached("s", { "cache-control": "max-age=1, s-maxage=100" }));
    await store.put(url("x"), cached("x", { "cache-control": "", expires: new Date(Date.now() + 100_000).toUTCString() }));
    await store.put(url("d"), new Response("d"));
    await sleep(2100);
    equal(await store.match(url("t")), undefined);
    equal(await store.delete(url("t")), false);
    for (const key of ["s", "x", "d"]) {
      const found = await store.match(url(key));
      equal(await found.text(), key);
      const age = Number(found.headers.get("age"));
      equal(age >= 2 && age < 60, true, `age ${age}`);
    }
  },
  async ranges_are_parts() {
    const body = Array.from({ length: 600_000 }, (_, i) => String.fromCharCode(97 + (i % 26))).join("");
    await store.put(url("r"), cached(body));
    const part = async (range) => {
      const found = await store.match(new Request(url("r"), { headers: { range } }));
      return { found, text: await found.text() };
    };
    for (const [range, from, to] of [["bytes=0-3", 0, 4], ["bytes=262143-262145", 262143, 262146], ["bytes=100-", 100, 600_000], ["bytes=-5", 599_995, 600_000]]) {
      const { found, text } = await part(range);
      equal(found.status, 206, range);
      equal(found.headers.get("content-range"), `bytes ${from}-${to - 1}/600000`);
      equal(found.headers.get("content-length"), `${to - from}`);
      equal(text === body.slice(from, to), true, range);
    }
    const outside = await part("bytes=600000-");
    equal(outside.found.status, 416);
    equal(outside.found.headers.get("content-range"), "bytes */600000");
    const several = await part("bytes=0-1,4-5");
    equal(several.found.status, 200);
    equal(several.text === body, true);
  },
  async conditions_are_answered_with_304() {
    const modified = "Tue, 01 Sep 2026 00:00:00 GMT";
    await store.put(url("c"), cached("c", { etag: '"v1"', "last-modified": modified }));
    const status = async (headers) => {
      const found = await store.match(new Request(url("c"), { headers }));
      equal(await found.text(), found.status === 304 ? "" : "c");
      return found.status;
    };
    equal(await status({ "if-none-match": '"v1"' }), 304);
    equal(await status({ "if-none-match": '"v0", W/"v1"' }), 304);
    equal(await status({ "if-none-match": "*" }), 304);
    equal(await status({ "if-none-match": '"v2"' }), 200);
    equal(await status({ "if-modified-since": modified }), 304);
    equal(await status({ "if-modified-since": "Mon, 31 Aug 2026 00:00:00 GMT" }), 200);
    equal(await status({ "if-none-match": '"v2"', "if-modified-since": modified }), 200);
  },
  async bodies_stream_both_ways() {
    const bytes = 20 * 1024 * 1024;
    const chunk = new Uint8Array(64 * 1024).fill(7);
    let sent = 0;
    const body = new ReadableStream({
      pull(controller) {
        if (sent === bytes) return controller.close();
        sent += chunk.length;
        controller.enqueue(chunk);
      },
    });
    const put = store.put(url("large"), cached(body));
    equal(body.locked, true);
    await put;
    let read = 0;
    for await (const piece of (await store.match(url("large"))).body) {
      read += piece.length;
      equal(piece[0], 7);
    }
    equal(read, bytes);
    // Half of one, the rest of which nobody wants.
    const reader = (await store.match(url("large"))).body.getReader();
    await reader.read();
    await reader.cancel();
    equal(await store.delete(url("large")), true);
  },
  async a_body_that_fails_leaves_the_entry_as_it_was() {
    await store.put(url("broken"), cached("whole"));
    let pulls = 0;
    const body = new ReadableStream({
      pull(controller) {
        if (pulls++ > 8) throw new Error("no more");
        controller.enqueue(new Uint8Array(100_000));
      },
    });
    await store.put(url("broken"), cached(body)).catch(() => {});
    equal(await (await store.match(url("broken"))).text(), "whole");
  },
  async what_is_encoded_comes_back_as_it_went() {
    await store.put(url("z"), cached("plain", { "content-encoding": "gzip" }));
    const found = await store.match(url("z"));
    equal(found.headers.get("content-encoding"), "gzip");
    equal(await found.text(), "plain");
    await store.put(url("empty"), cached(null));
    equal(await (await store.match(url("empty"))).text(), "");
    await store.put(url("404"), new Response("none", { status: 404 }));
    equal((await store.match(url("404"))).status, 404);
  },
  async a_matched_response_is_an_ordinary_one() {
    await store.put(url("o"), cached("o"));
    const found = await store.match(url("o"));
    await fails(() => found.headers.set("a", "b"), { name: "TypeError" });
    await store.put(url("o2"), new Response(found.clone().body, found));
    equal(await (await store.match(url("o2"))).text(), "o");
    equal(await found.text(), "o");
  },
  async dynamic_workers_have_caches_of_their_own({ LOADER, OTHER }) {
    await store.put(url("child"), cached("the parent's"));
    const one = LOADER.get("one", code);
    equal(await ask(one, "1"), "nothing");
    equal(await ask(one, "2"), "1");
    equal(await ask(LOADER.get("two", code), "3"), "nothing");
    equal(await ask(OTHER.get("one", code), "4"), "nothing");
    equal(await ask(LOADER.load(code()), "5"), "nothing");
    equal(await ask(LOADER.load(code()), "6"), "nothing");
    equal(await ask(LOADER.get("one", code), "7"), "2");
    equal(await (await store.match(url("child"))).text(), "the parent's");
  },
});

export default {
  async fetch(request, env, ctx) {
    if (new URL(request.url).pathname !== "/kept") return cases.fetch(request, env, ctx);
    const found = await store.match(url("kept"));
    const before = found === undefined ? "nothing" : await found.text();
    await store.put(url("kept"), cached("kept"));
    return new Response(`${before}, ${await ask(env.LOADER.get("kept", code), await request.text())}`);
  },
};
