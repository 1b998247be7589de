// What an operator looks at from outside: see `tests/observe.rs`.

const CHILD = `
  import { WorkerEntrypoint, RpcTarget } from "cloudflare:workers";
  class Counter extends RpcTarget { #n = 0; add(n) { return this.#n += n; } }
  export default class extends WorkerEntrypoint {
    fetch() { console.log("in the child"); return new Response("child"); }
    counter() { return new Counter(); }
  }`;

const code = (more = "") => () => ({
  compatibilityDate: "2026-08-01", mainModule: "main.js", modules: { "main.js": CHILD + more }, globalOutbound: null,
});

const routes = {
  "/hello": () => new Response("hello"),
  "/load": (url, env) => env.LOADER.load(code()()).getEntrypoint().fetch("https://child/"),
  "/get": (url, env) => env.LOADER.get(url.searchParams.get("id"), code(url.searchParams.get("more") ?? "")).getEntrypoint().fetch("https://child/"),
  "/rpc": async (url, env) => {
    using counter = await env.LOADER.get(url.searchParams.get("id"), code()).getEntrypoint().counter();
    await counter.add(1);
    return new Response(String(await counter.add(1)));
  },
  "/log": (url) => {
    console.log("said", url.searchParams.get("text"));
    return new Response("logged");
  },
  "/throw": () => {
    throw new TypeError("thrown on purpose");
  },
  "/span": async (url, env, ctx) => {
    await ctx.tracing.enterSpan("outer", async (span) => {
      span.setAttribute("count", 3);
      await (await routes["/load"](url, env)).text();
    });
    return new Response("traced");
  },
  // A child of its own that may reach what its parent may.
  "/out": (url, env) => {
    const child = env.LOADER.get("outgoing", () => ({
      compatibilityDate: "2026-08-01",
      mainModule: "main.js",
      modules: {
        "main.js": `export default { async fetch(request) {
          const to = new URL(request.url).searchParams.get("to");
          const answer = await fetch(to, { method: "POST", body: "x".repeat(1000) });
          return new Response("child got " + await answer.text());
        } }`,
      },
    }));
    return child.getEntrypoint().fetch(url);
  },
  // Work, not time: a busy machine takes longer for the same CPU.
  "/burn": () => {
    let n = 0;
    for (let i = 0; i < 50_000_000; i++) n = (n * 31 + i) | 0;
    return new Response(String(n));
  },
};

export default {
  fetch(request, env, ctx) {
    const url = new URL(request.url);
    return routes[url.pathname](url, env, ctx);
  },
};
