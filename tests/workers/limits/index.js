// Every limit that there is, one case each: `GET /` lists them, `GET /<case>` runs one and answers
// with what the caller got, how long it took, and the outcome that the tail was told.

import { WorkerEntrypoint } from "cloudflare:workers";

const DATE = "2026-08-01";

/** Outcomes by the Worker's name and event, as the tail hears them. */
const heard = [];

export class Tail extends WorkerEntrypoint {
  tail(items) {
    heard.push(...items);
  }
}

function worker(body, more = {}) {
  return {
    compatibilityDate: DATE,
    compatibilityFlags: ["nodejs_compat"],
    mainModule: "main.js",
    modules: { "main.js": `${more.top ?? ""}\nexport default { async fetch(request, env, ctx) { ${body}\nreturn new Response("unharmed"); } };` },
    ...more.code,
  };
}

/** `(module (func (export "f") (loop (br 0))))`. */
const WASM_LOOP = [
  0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 7, 5, 1, 1, 0x66, 0, 0, 10, 9, 1, 7, 0, 3, 0x40, 0x0c, 0, 0x0b, 0x0b,
];

/** What burns CPU without ever coming up for air; each gets 50 ms. */
const LOOPS = {
  "while-true": "while (true);",
  "wasm-loop": `new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(${JSON.stringify(WASM_LOOP)}))).exports.f();`,
  "regular-expression": "/(a+)+$/.test('a'.repeat(40) + '!');",
  "json-parse-50mb": "const text = '[' + '1,'.repeat(25e6) + '1]'; JSON.parse(text);",
  "structured-clone-50mb": "const rows = Array.from({ length: 1e5 }, (_, i) => ({ i })); for (;;) structuredClone({ big: new Uint8Array(50e6), rows });",
  "array-fill-1e9": "new Array(1e9).fill();",
  "sort-without-callback": "const a = Array.from({ length: 3e6 }, (_, i) => (i * 7919) % 1e6); for (;;) { a.sort(); a.reverse(); }",
  "promise-loop": "const spin = () => Promise.resolve().then(spin); await spin();",
};

const cpu = Object.fromEntries(
  Object.entries(LOOPS).map(([name, body]) => [
    `cpu/${name}`,
    (env) => call(env, env.LOADER, worker(body, { code: { limits: { cpuMs: 50 } } })),
  ]),
);

const cases = {
  ...cpu,
  "cpu/entrypoint-lowers-it": (env) =>
    call(env, env.LOADER, worker("for (;;);", { code: { limits: { cpuMs: 5000 } } }), { limits: { cpuMs: 50 } }),
  "cpu/loader-caps-it": (env) => call(env, env.BOUNDED, worker("for (;;);", { code: { limits: { cpuMs: 5000 } } })),
  "startup/top-level-loop": (env) => call(env, env.BOUNDED, worker("", { top: "for (;;);" })),
  "startup/default": (env) => call(env, env.LOADER, worker("", { top: "for (;;);" })),
  "wall/never-answers": (env) => call(env, env.BOUNDED, worker("await new Promise((done) => setTimeout(done, 60_000));")),
  "wall/never-done": (env) =>
    call(env, env.BOUNDED, worker("ctx.waitUntil(new Promise((done) => setTimeout(done, 60_000))); return new Response('early');")),
  "memory/heap": (env) => call(env, env.LOADER, worker("const all = []; for (;;) all.push({ n: all.length, o: {} });")),
  "memory/buffers": (env) => call(env, env.LOADER, worker("const all = []; for (;;) all.push(new Uint8Array(1 << 20).fill(1));")),
  "memory/strings": (env) =>
    call(env, env.LOADER, worker("const all = []; for (;;) { const s = ('x' + all.length).repeat(1 << 19); s.charCodeAt(1 << 18); all.push(s); }")),
  "memory/wasm": (env) =>
    call(
      env,
      env.LOADER,
      worker("const m = new WebAssembly.Memory({ initial: 1, maximum: 65536 }); for (;;) { m.grow(160); new Uint8Array(m.buffer).fill(1); }"),
    ),
  // The engine can throw, and what it throws arrives as an error with a class.
  "memory/one-allocation-too-large": (env) => call(env, env.LOADER, worker("new ArrayBuffer(2 ** 33);")),
  "memory/loader-caps-it": (env) =>
    call(env, env.SMALL, worker("const all = []; for (;;) all.push(new Uint8Array(1 << 20).fill(1));")),
  "subrequests/worker": (env) =>
    call(env, env.LOADER, worker(ASK, { code: { limits: { subRequests: 5 }, env: { SERVICE: env.TAIL } } })),
  "subrequests/loader-caps-it": (env) => call(env, env.BOUNDED, worker(ASK, { code: { env: { SERVICE: env.TAIL } } })),
  "code-size/65-mib": (env) =>
    call(env, env.LOADER, { ...worker(""), modules: { "main.js": "export default {}", "big.txt": { text: "x".repeat(65 << 20) } } }),
  "env-size/2-mib": (env) => call(env, env.LOADER, worker("", { code: { env: { BIG: "x".repeat(2 << 20) } } })),
  "concurrency/dynamic-workers-waiting": overcrowd,
  "message-size/33-mib": (env) =>
    call(env, env.LOADER, worker("", { top: MIRROR }), {}, (stub) => stub.mirror(new Uint8Array(33 << 20)), "Mirror"),
};

/** More calls to Workers of their own than may wait for their turn. */
async function overcrowd(env) {
  const began = performance.now();
  const stop = new AbortController();
  const code = worker("await new Promise((done) => setTimeout(done, 20_000));");
  let calls = [];
  const refused = await new Promise((tell) => {
    for (let n = 0; n < 1100; n++) {
      const call = env.LOADER.load(code).getEntrypoint().fetch("http://child/", { signal: stop.signal });
      calls.push(call.catch((error) => error.budget !== undefined && tell(error)));
    }
  });
  const ms = performance.now() - began;
  stop.abort();
  await Promise.all(calls);
  calls = [];
  const { name, message, budget, value, limit } = refused;
  return { answer: null, error: { name, message, budget, value, limit }, ms, outcome: null, cpuTime: null };
}

const ASK = "for (let i = 0; ; i++) { try { await env.SERVICE.nothing(); } catch (e) { if (e.budget) throw e; } }";
const MIRROR = `
import { WorkerEntrypoint } from "cloudflare:workers";
export class Mirror extends WorkerEntrypoint { mirror(value) { return value; } }`;

/** Calls a dynamic Worker and tells how that ended, for its caller and for its tail. */
async function call(env, loader, code, options, how = (stub) => stub.fetch("http://child/"), entrypoint = undefined) {
  const before = heard.length;
  const began = performance.now();
  const result = { answer: null, error: null };
  try {
    const stub = loader.load({ ...code, tails: [env.TAIL] }).getEntrypoint(entrypoint, options);
    const answer = await how(stub);
    result.answer = answer instanceof Response ? await answer.text() : String(answer);
  } catch (error) {
    const { name, message, budget, value, limit, remote } = Object(error);
    result.error = { name: name ?? typeof error, message: message ?? String(error), budget, value, limit, remote };
  }
  result.ms = performance.now() - began;
  // The tail is told after the answer, off its path.
  for (let round = 0; heard.length === before && round < 60; round++) await sleep(20);
  const item = heard.slice(before).find((one) => one.scriptName.endsWith("/load"));
  result.outcome = item?.outcome ?? null;
  result.cpuTime = item?.cpuTime ?? null;
  return result;
}

function sleep(ms) {
  return new Promise((done) => setTimeout(done, ms));
}

// ---- questions that are not limits of one call

/** Two invocations of one Worker, each with its own five subrequests, at once. */
async function together(env) {
  const code = worker(
    `const n = Number(new URL(request.url).searchParams.get("n"));
     let made = 0;
     for (let i = 0; i < n; i++) {
       try { await env.SERVICE.nothing(); made++; } catch (e) { if (e.budget) return Response.json({ made, budget: e.budget, value: e.value, limit: e.limit }); made++; }
     }
     return Response.json({ made });`,
    { code: { limits: { subRequests: 5 }, env: { SERVICE: env.TAIL } } },
  );
  const stub = env.LOADER.load(code).getEntrypoint();
  const asked = [4, 9, 5, 6].map(async (n) => (await stub.fetch(`http://child/?n=${n}`)).json());
  return await Promise.all(asked);
}

/** Twelve Workers at once where four may be at work. */
async function crowd(env) {
  let now = 0;
  let most = 0;
  const visit = async (n) => {
    const code = worker("await new Promise((done) => setTimeout(done, 40));");
    const answer = env.LOADER.load({ ...code, tails: [] }).getEntrypoint().fetch("http://child/");
    void n;
    return (await answer).text();
  };
  const began = performance.now();
  const all = Array.from({ length: 12 }, async (_, n) => {
    now++;
    most = Math.max(most, now);
    const text = await visit(n);
    now--;
    return text;
  });
  const texts = await Promise.all(all);
  return { texts, ms: performance.now() - began };
}

async function jitless(env, loader, code = {}) {
  const body = `
    const fib = (n) => (n < 2 ? n : fib(n - 1) + fib(n - 2));
    const seen = { fib: fib(15), text: /(\\d+)-(\\d+)/.exec("a 12-34")[2], wasm: typeof WebAssembly };
    try { new WebAssembly.Module(new Uint8Array(${JSON.stringify(WASM_LOOP)})); seen.module = "made"; }
    catch (e) { seen.module = e.name + ": " + e.message; }
    try { await WebAssembly.instantiate(new Uint8Array(8)); } catch (e) { seen.instantiate = e.name; }
    seen.validate = WebAssembly.validate(new Uint8Array(${JSON.stringify(WASM_LOOP)}));
    return Response.json(seen);`;
  const answer = await loader.load(worker(body, { code })).getEntrypoint().fetch("http://child/");
  return answer.json();
}

const questions = {
  together,
  crowd,
  "jitless-loader": (env) => jitless(env, env.JITLESS),
  "jitless-code": (env) => jitless(env, env.LOADER, { jitless: true }),
  compiled: (env) => jitless(env, env.LOADER),
  "jitless-wasm-module": (env) =>
    call(env, env.JITLESS, {
      ...worker(""),
      modules: { "main.js": 'import m from "./m.wasm"; export default {}', "m.wasm": { wasm: new Uint8Array(WASM_LOOP) } },
    }),
  // Nested: what a jitless Worker loads is jitless too, whatever its loader says.
  "jitless-child": async (env) => {
    const body = `const inner = env.LOADER.load({ compatibilityDate: "${DATE}", mainModule: "m.js",
      modules: { "m.js": "export default { fetch() { return new Response(String(WebAssembly.validate(new Uint8Array(${JSON.stringify(WASM_LOOP)})))); } }" } });
      return inner.getEntrypoint().fetch("http://inner/");`;
    const answer = await env.JITLESS.load(worker(body, { code: { env: { LOADER: env.LOADER } } })).getEntrypoint().fetch("http://child/");
    return answer.text();
  },
  // The front Worker itself is at fault, so the HTTP client hears.
  loop: () => {
    for (;;);
  },
};

export default {
  async fetch(request, env) {
    const name = new URL(request.url).pathname.slice(1);
    if (name === "hello") return new Response("hello");
    if (name === "") return Response.json(Object.keys(cases));
    const run = cases[name] ?? questions[name];
    if (run === undefined) return new Response(`no case ${name}`, { status: 404 });
    return Response.json(await run(env));
  },
};
