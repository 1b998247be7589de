// Globals of Workers that are neither fetch nor streams.

import { equal, fails, same, sleep } from "../kit/suite.js";

export const globals = {
  async observers_are_told_of_marks_and_measures() {
    const seen = [];
    const observer = new PerformanceObserver((list, self) => {
      equal(self, observer);
      seen.push(...list.getEntries().map((entry) => entry.name));
    });
    performance.mark("before");
    observer.observe({ type: "mark", buffered: true });
    observer.observe({ type: "measure" });
    performance.mark("one");
    performance.measure("two", "one");
    await sleep(1);
    same(seen, ["before", "one", "two"]);
    observer.disconnect();
    performance.mark("three");
    await sleep(1);
    equal(seen.length, 3);
    performance.clearMarks();
    performance.clearMeasures();
    same(PerformanceObserver.supportedEntryTypes, ["mark", "measure"]);
    await fails(() => observer.observe({}), { name: "TypeError" });
  },

  flags_are_there_to_be_read() {
    const { compatibilityFlags } = Cloudflare;
    equal(compatibilityFlags.nodejs_compat, true);
    equal(compatibilityFlags.url_original, undefined);
    equal(compatibilityFlags.durable_object_rename, false);
    equal(Object.isFrozen(compatibilityFlags), true);
  },

  names_of_the_scope() {
    equal(globalThis instanceof ServiceWorkerGlobalScope, true);
    equal(globalThis instanceof WorkerGlobalScope, true);
    equal({} instanceof WorkerGlobalScope, false);
    equal(origin, "null");
    equal(Object.prototype.toString.call(new Headers()), "[object Headers]");
  },

  async fetch_checks_integrity() {
    const url = "data:text/plain,hello";
    const digest = async (name) => {
      const bytes = new Uint8Array(await crypto.subtle.digest(name, new TextEncoder().encode("hello")));
      return btoa(String.fromCharCode(...bytes));
    };
    const [short, long] = [`sha256-${await digest("SHA-256")}`, `sha512-${await digest("SHA-512")}`];
    const wrong = "sha384-AAAA";
    for (const integrity of [short, `sha1-x ${short}`, `${wrong} ${long}`, `${short}?note`, "md5-x", ""]) {
      const response = await fetch(url, { integrity });
      equal(await response.text(), "hello", integrity);
      equal(response.headers.get("content-type"), "text/plain");
    }
    for (const integrity of [wrong, `${short} ${wrong}`, `${short.slice(0, -3)}A==`]) {
      await fails(() => fetch(url, { integrity }), { name: "TypeError", message: /does not have the integrity/ });
    }
    const request = new Request(url, { integrity: wrong });
    equal(request.clone().integrity, wrong);
    await fails(() => fetch(new Request(request)), { message: /integrity/ });
    equal((await fetch(request, { integrity: "" })).status, 200);
  },

  async object_prototype_then_does_not_see_bodies() {
    // Chunks of a body stay the platform's until it is read whole.
    const response = new Response(new ReadableStream({ start: (c) => (c.enqueue(new TextEncoder().encode("text")), c.close()) }));
    equal(await response.clone().text(), "text");
    equal(await response.text(), "text");
  },
};
