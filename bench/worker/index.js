// The parent Worker that every system under test runs unchanged. One path, one measurement; the
// clock is the client's, outside.

import { cases } from "./cpu.js";
import wasm from "./sum.wasm";
import { web } from "./web.js";

const DATE = "2026-01-01";
const HELLO = `export default { fetch() { return new Response("hello"); } };`;
const SPINNER = `export default { fetch(request) {
  const rounds = Number(new URL(request.url).searchParams.get("n")) * 1e6;
  let x = 1;
  for (let i = 0; i < rounds; i++) x = (Math.imul(x, 1664525) + 1013904223) | 0;
  return new Response(String(x));
} };`;
const STREAMER = `export default { fetch(request) {
  let left = Number(new URL(request.url).searchParams.get("n"));
  const chunk = new Uint8Array(65536).fill(97);
  return new Response(new ReadableStream({
    pull(controller) {
      if (left <= 0) return controller.close();
      controller.enqueue(chunk.slice(0, Math.min(left, chunk.length)));
      left -= chunk.length;
    },
  }));
} };`;
const ADDER = `
  import { WorkerEntrypoint, RpcTarget } from "cloudflare:workers";
  class Step extends RpcTarget {
    #sum;
    constructor(sum) { super(); this.#sum = sum; }
    add(n) { return new Step(this.#sum + n); }
    value() { return this.#sum; }
  }
  export default class extends WorkerEntrypoint {
    add(a, b) { return a + b; }
    size(bytes) { return bytes.byteLength; }
    begin(n) { return new Step(n); }
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

/** The same code each time: a cache of compiled code may answer. */
function sameCode(padding) {
  return { compatibilityDate: DATE, mainModule: "main.js", modules: { "main.js": HELLO + filler(padding) } };
}

function fib(n) {
  return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

let instance;
function compute(name, n) {
  if (name === "fib") return fib(n);
  if (name === "wasm") {
    instance ??= new WebAssembly.Instance(wasm);
    return instance.exports.run(n);
  }
  const [work, rounds] = cases[name];
  return work(Math.ceil((rounds * n) / 100));
}

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    const n = Number(url.searchParams.get("n") ?? 0);
    const adder = () => env.LOADER.get("adder", () => code(ADDER, 0)).getEntrypoint();
    switch (url.pathname) {
      case "/hello":
        return new Response("hello");
      case "/load":
        return env.LOADER.load(code(HELLO, n)).getEntrypoint().fetch(request);
      case "/load-same":
        return env.LOADER.load(sameCode(n)).getEntrypoint().fetch(request);
      case "/get":
        return env.LOADER.get(`id-${n}`, () => code(HELLO, 0)).getEntrypoint().fetch(request);
      case "/spin":
        return env.LOADER.get("spinner", () => code(SPINNER, 0)).getEntrypoint().fetch(request);
      case "/stream":
        return env.LOADER.get("streamer", () => code(STREAMER, 0)).getEntrypoint().fetch(request);
      case "/rpc": {
        const child = adder();
        let sum = 0;
        for (let i = 0; i < n; i++) sum = await child.add(i, 1);
        return new Response(String(sum));
      }
      case "/rpc-concurrent": {
        const child = adder();
        let count = 0;
        for (let done = 0; done < n; done += 100) {
          const sums = await Promise.all(Array.from({ length: 100 }, (_, i) => child.add(i, 1)));
          count += sums.length;
        }
        return new Response(String(count));
      }
      case "/rpc-chain": {
        const child = adder();
        let sum = 0;
        for (let i = 0; i < n; i++) sum = await child.begin(i).add(1).add(2).value();
        return new Response(String(sum));
      }
      case "/rpc-payload": {
        const child = adder();
        return new Response(String(await child.size(new Uint8Array(n))));
      }
      case "/cpu":
        return new Response(String(compute(url.searchParams.get("case"), n)));
      default:
        return web(request, url.pathname);
    }
  },
};
