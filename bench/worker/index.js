// The parent Worker that every system under test runs unchanged. One path, one measurement; the
// clock is the client's, outside.

import { web } from "./web.js";

const DATE = "2026-01-01";
const HELLO = `export default { fetch() { return new Response("hello"); } };`;
const ADDER = `
  import { WorkerEntrypoint } from "cloudflare:workers";
  export default class extends WorkerEntrypoint {
    add(a, b) { return a + b; }
    size(bytes) { return bytes.byteLength; }
  }`;

let nonce = 0;

function code(main, padding) {
  // Every load is new code, so that no cache of compiled code answers for the work.
  const unique = `// ${nonce++} ${Math.random()}\n`;
  const rest = padding > 0 ? filler(padding) : "";
  return { compatibilityDate: DATE, mainModule: "main.js", modules: { "main.js": unique + main + rest } };
}

const fillers = new Map();
function filler(bytes) {
  if (!fillers.has(bytes)) {
    let text = "";
    for (let i = 0; text.length < bytes; i++) {
      text += `export function unused${i}(a, b) { const list = [a, b, ${i}]; return list.map((x) => x * 2).join("-"); }\n`;
    }
    fillers.set(bytes, text);
  }
  return fillers.get(bytes);
}

function fib(n) {
  return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    const n = Number(url.searchParams.get("n") ?? 0);
    switch (url.pathname) {
      case "/hello":
        return new Response("hello");
      case "/load":
        return env.LOADER.load(code(HELLO, n)).getEntrypoint().fetch(request);
      case "/get":
        return env.LOADER.get(`id-${n}`, () => code(HELLO, 0)).getEntrypoint().fetch(request);
      case "/rpc": {
        const child = env.LOADER.get("adder", () => code(ADDER, 0)).getEntrypoint();
        let sum = 0;
        for (let i = 0; i < n; i++) sum = await child.add(i, 1);
        return new Response(String(sum));
      }
      case "/rpc-concurrent": {
        const child = env.LOADER.get("adder", () => code(ADDER, 0)).getEntrypoint();
        const sums = await Promise.all(Array.from({ length: n }, (_, i) => child.add(i, 1)));
        return new Response(String(sums.length));
      }
      case "/rpc-payload": {
        const child = env.LOADER.get("adder", () => code(ADDER, 0)).getEntrypoint();
        return new Response(String(await child.size(new Uint8Array(n))));
      }
      case "/fib":
        return new Response(String(fib(n)));
      default:
        return web(request, url.pathname);
    }
  },
};
