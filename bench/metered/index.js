// What `mayfly-bench metering` asks: each path is a known number of requests, of Workers and of CPU.

const CHILD = `
  import { WorkerEntrypoint, RpcTarget } from "cloudflare:workers";
  class Counter extends RpcTarget { #n = 0; add(n) { return this.#n += n; } }
  export default class extends WorkerEntrypoint {
    fetch() { return new Response("child"); }
    twice(n) { return 2 * n; }
    counter() { return new Counter(); }
    burn(ms) { const end = performance.now() + ms; let n = 0; while (performance.now() < end) n++; return n; }
  }`;

const code = () => ({ compatibilityDate: "2026-08-01", mainModule: "main.js", modules: { "main.js": CHILD }, globalOutbound: null });

const routes = {
  // One request.
  "/hello": () => new Response("hello"),
  // Two, and a Worker of load().
  "/load": async (url, { LOADER }) => LOADER.load(code()).getEntrypoint().fetch("https://child/"),
  // Two; one Worker an id.
  "/get": async (url, { LOADER }) => LOADER.get(url.searchParams.get("n"), code).getEntrypoint().fetch("https://child/"),
  // Three: calls on an entrypoint count, calls on what it returned do not.
  "/rpc": async (url, { LOADER }) => {
    const child = LOADER.get(url.searchParams.get("n"), code).getEntrypoint();
    const four = await child.twice(2);
    using counter = await child.counter();
    await counter.add(1);
    return new Response(String(four + (await counter.add(1))));
  },
  "/burn": async (url, { LOADER }) => {
    const child = LOADER.get(url.searchParams.get("n"), code).getEntrypoint();
    await child.burn(Number(url.searchParams.get("ms")));
    return new Response("burnt");
  },
};

export default {
  fetch(request, env) {
    const url = new URL(request.url);
    return routes[url.pathname](url, env);
  },
};
