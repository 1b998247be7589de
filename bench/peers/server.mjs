// The peers that are libraries for Node.js, behind the paths of `worker/index.js` that they can
// serve: `node server.mjs <peer> <port> <packages>`. The child's code is the same text, with
// `export default` made an assignment and a `Response` of four lines, as none of them is a
// Workers runtime. The parent is this file, plain Node.js.

import { fork } from "node:child_process";
import { readFileSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import vm from "node:vm";

const [peer, port, packages] = process.argv.slice(2);
const require = createRequire(`${packages}/`);

const PRELUDE = `
globalThis.Response = class { constructor(body) { this.body = body; } };
globalThis.answer = () => String(main.fetch().body);
globalThis.add = (a, b) => a + b;
globalThis.fib = (n) => (n < 2 ? n : fib(n - 1) + fib(n - 2));
`;
const HELLO = `globalThis.main = { fetch() { return new Response("hello"); } };`;
const CPU = readFileSync(new URL("../worker/cpu.js", import.meta.url), "utf8").replace(
  "export const cases =",
  "globalThis.cases =",
);

let nonce = 0;
const fresh = () => `// ${nonce++} ${Math.random()}\n${HELLO}`;

/** One sandbox: `run(expression)` gives a string. */
const makers = {
  // V8 isolates as objects of one process.
  "isolated-vm": () => {
    const ivm = require("isolated-vm");
    return async (code) => {
      const isolate = new ivm.Isolate({ memoryLimit: 128 });
      const context = await isolate.createContext();
      await context.eval(PRELUDE + code);
      return {
        run: async (expression) => String(await context.eval(expression)),
        end: () => isolate.dispose(),
      };
    };
  },
  // An interpreter compiled to WebAssembly.
  quickjs: async () => {
    const quick = await require("quickjs-emscripten").getQuickJS();
    return async (code) => {
      const runtime = quick.newRuntime();
      const context = runtime.newContext();
      const run = (text) => {
        const result = context.unwrapResult(context.evalCode(text));
        const value = context.dump(result);
        result.dispose();
        return String(value);
      };
      run(`${PRELUDE}${code};0`);
      return {
        run: async (expression) => run(expression),
        end: () => {
          context.dispose();
          runtime.dispose();
        },
      };
    };
  },
  // A process for each Worker, without a sandbox around it.
  "node-vm": () => async (code) => {
    const child = fork(new URL(import.meta.url).pathname, ["child", "0", packages], { serialization: "advanced" });
    const waiting = [];
    child.on("message", (text) => waiting.shift()(text));
    const run = (expression) =>
      new Promise((resolve) => {
        waiting.push(resolve);
        child.send(expression);
      });
    await run(`${PRELUDE}${code};0`);
    return { run, end: () => child.kill("SIGKILL") };
  },
};

if (peer === "child") {
  const context = vm.createContext({});
  process.on("message", (text) => process.send(String(vm.runInContext(text, context))));
} else {
  const make = await makers[peer]();
  const kept = new Map();
  const keep = (id, code) => {
    if (!kept.has(id)) kept.set(id, make(code));
    return kept.get(id);
  };
  const answer = async (url) => {
    const n = Number(url.searchParams.get("n") ?? 0);
    switch (url.pathname) {
      case "/hello":
        return "hello";
      case "/load": {
        const worker = await make(fresh());
        const text = await worker.run("answer()");
        worker.end();
        return text;
      }
      case "/get":
        return (await keep(`id-${n}`, fresh())).run("answer()");
      case "/rpc": {
        const worker = await keep("adder", HELLO);
        let sum = 0;
        for (let i = 0; i < n; i++) sum = Number(await worker.run(`add(${i}, 1)`));
        return String(sum);
      }
      case "/cpu": {
        const worker = await keep("cpu", CPU);
        const name = url.searchParams.get("case");
        if (name === "fib") return worker.run(`fib(${n})`);
        if (name === "wasm") return undefined;
        return worker.run(`cases.${name}[0](Math.ceil(cases.${name}[1] * ${n} / 100))`);
      }
      default:
        return undefined;
    }
  };
  http
    .createServer(async (request, response) => {
      try {
        const text = await answer(new URL(request.url, "http://bench.test"));
        if (text === undefined) response.writeHead(404).end("unknown path");
        else response.end(text);
      } catch (error) {
        response.writeHead(500).end(String(error));
      }
    })
    .listen(Number(port), "127.0.0.1");
}
