// The attacks, by name: what the hostile Worker does and what its caller must get.
//
// `body` runs in its `fetch`, `top` in its main module. An attack that the Worker survives answers
// "unharmed" or what it found, and then `expect` says what it may have found. It has 60 ms of CPU,
// 20 subrequests, no network and an empty `env`.

const CPU = /CPU time limit/;
const MEMORY = /memory limit|out of memory|allocation size overflow|invalid array length|CPU time limit/i;
const STACK = /recursion|call stack/;
const HARMLESS = /answered: unharmed/;

export const attacks = {
  // ---- CPU
  "endless-loop": { body: "for (;;);", expect: CPU },
  "loop-in-finally": { body: "try { for (;;); } finally { for (;;); }", expect: CPU },
  "loop-that-catches": { body: "for (;;) { try { throw new Error('x'); } catch {} }", expect: CPU },
  "top-level-loop": { top: "for (;;);", expect: CPU },
  "top-level-await-loop": { top: "const spin = () => Promise.resolve().then(spin); await spin();", expect: MEMORY },
  "promise-loop": { body: "const spin = () => Promise.resolve().then(spin); await spin();", expect: CPU },
  "microtask-loop": { body: "const spin = () => queueMicrotask(spin); spin(); await new Promise(() => {});", expect: CPU },
  "timer-loop": { body: "await new Promise(() => { const spin = () => { for (let i = 0; i < 1e5; i++); setTimeout(spin, 0); }; spin(); });", expect: CPU },
  "generator-loop": { body: "function* all() { for (let i = 0; ; i++) yield i; } for (const _ of all());", expect: CPU },
  "proxy-loop": { body: "const p = new Proxy({}, { get: (t, k, r) => r }); let x = p; for (;;) x = x.y;", expect: CPU },
  "getter-loop": { body: "const o = { get x() { return this; } }; let y = o; for (;;) y = y.x;", expect: CPU },
  "iterator-of-itself": { body: "const i = { [Symbol.iterator]() { return this; }, next: () => ({ done: false }) }; for (const _ of i);", expect: CPU },
  "regular-expression": { body: "/(a+)+$/.test('a'.repeat(40) + '!');", expect: CPU },
  "regular-expression-of-words": { body: "/^(\\w+\\s?)*$/.test('word '.repeat(30) + '!');", expect: CPU },
  "replace-catastrophe": { body: "'a'.repeat(50000).replace(/(?:a|a)*b/g, '');", expect: CPU },
  "bigint-power": { body: "3n ** 100000000n;", expect: /CPU time limit|BigInt|memory/ },
  "sort-of-millions": { body: "const a = Array.from({ length: 2e6 }, (_, i) => (i * 7919) % 1e6); for (;;) a.sort().reverse();", expect: MEMORY },
  "json-parse": { body: "const text = '[' + '1,'.repeat(2e7) + '1]'; for (;;) JSON.parse(text);", expect: MEMORY },
  "json-stringify": { body: "const a = Array.from({ length: 1e6 }, (_, i) => ({ i })); for (;;) JSON.stringify(a);", expect: MEMORY },
  "structured-clone": { body: "const a = Array.from({ length: 1e5 }, (_, i) => ({ i })); for (;;) structuredClone(a);", expect: MEMORY },
  "wasm-loop": {
    body: "new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array([0,97,115,109,1,0,0,0,1,4,1,96,0,0,3,2,1,0,7,5,1,1,102,0,0,10,9,1,7,0,3,64,12,0,11,11]))).exports.f();",
    expect: CPU,
  },
  "native-key-derivation": {
    body: "const k = await crypto.subtle.importKey('raw', new Uint8Array(8), 'PBKDF2', false, ['deriveBits']); for (;;) await crypto.subtle.deriveBits({ name: 'PBKDF2', hash: 'SHA-512', salt: new Uint8Array(8), iterations: 100000 }, k, 512);",
    expect: CPU,
  },
  "native-digest": { body: "const b = new Uint8Array(32 << 20); for (;;) await crypto.subtle.digest('SHA-512', b);", expect: CPU },
  "native-url-parse": { body: "for (;;) new URL('http://' + 'a.'.repeat(20000) + 'com/');", expect: CPU },
  "native-compression": {
    body: "const s = new CompressionStream('gzip'); const w = s.writable.getWriter(); new Response(s.readable).arrayBuffer(); for (;;) await w.write(new Uint8Array(1 << 20));",
    expect: CPU,
  },
  "work-after-the-answer": { body: "ctx.waitUntil((async () => { for (;;); })());", expect: /CPU time limit|answered/ },

  // ---- memory
  "allocation-bomb": { body: "const keep = []; for (;;) keep.push(new Array(1e5).fill(keep.length));", expect: MEMORY, limits: { cpuMs: 3000 } },
  "one-byte-at-a-time": { body: "const keep = []; for (;;) keep.push(new Uint8Array(1));", expect: MEMORY, limits: { cpuMs: 1000 } },
  "linked-cells": { body: "let all = null; for (;;) all = { all };", expect: MEMORY, limits: { cpuMs: 3000 } },
  "closures": { body: "let f = () => 0; for (;;) { const g = f; f = () => g; }", expect: MEMORY, limits: { cpuMs: 3000 } },
  "map-of-everything": { body: "const m = new Map(); for (let i = 0; ; i++) m.set(i, 'v' + i);", expect: MEMORY, limits: { cpuMs: 500 } },
  "buffer-bomb": { body: "const keep = []; for (;;) keep.push(new Uint8Array(8 << 20).fill(1));", expect: MEMORY, limits: { cpuMs: 3000 } },
  "buffer-of-a-terabyte": { body: "new ArrayBuffer(1e12);", expect: /RangeError|invalid array length|out of memory/ },
  "resizable-buffer": { body: "const b = new ArrayBuffer(1, { maxByteLength: 2 ** 31 }); for (let n = 1; ; n += 1 << 22) { b.resize(n); new Uint8Array(b, n - 1).fill(1); }", expect: MEMORY, limits: { cpuMs: 3000 } },
  "huge-strings": { body: "let s = 'x'; const keep = []; for (;;) { s = s + s; if (s.length > 1e8) keep.push(s.split('')); }", expect: MEMORY, limits: { cpuMs: 3000 } },
  "array-of-a-billion": { body: "new Array(1e9).fill();", expect: MEMORY },
  "wasm-memory": { body: "const m = new WebAssembly.Memory({ initial: 1, maximum: 65536 }); for (;;) { m.grow(160); new Uint8Array(m.buffer).fill(1); }", expect: /memory/i, limits: { cpuMs: 3000 } },
  // The engine gives up where it cannot allocate a table's mirror, which is a crash of this guest alone.
  "wasm-tables": { body: "const keep = []; for (;;) keep.push(new WebAssembly.Table({ initial: 1e6, element: 'externref' }));", expect: /memory limit|out of memory|CPU time limit|crashed/, limits: { cpuMs: 300 } },
  "bigint-growth": { body: "let n = 2n; for (;;) n *= n;", expect: /CPU time limit|BigInt|memory/ },
  "symbols": { body: "for (let i = 0; ; i++) Symbol.for('s'.repeat(100) + i);", expect: MEMORY, limits: { cpuMs: 300 } },
  "decompression-bomb": {
    body: `const zip = new CompressionStream("gzip"); const w = zip.writable.getWriter();
      const packed = new Response(zip.readable).arrayBuffer();
      for (let i = 0; i < 30; i++) await w.write(new Uint8Array(1 << 20)); await w.close();
      let data = await packed; const keep = [];
      for (;;) keep.push(await new Response(new Response(data).body.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());`,
    expect: MEMORY,
    limits: { cpuMs: 3000 },
  },
  "timers-by-the-million": { body: "for (let i = 0; i < 1e6; i++) setTimeout(() => {}, 1e9);", expect: /CPU time limit|memory|timers|answered/i },
  "promises-by-the-million": { body: "const keep = []; for (;;) keep.push(new Promise(() => {}));", expect: MEMORY },
  "listeners-by-the-million": { body: "const t = new EventTarget(); for (;;) t.addEventListener('x', () => {});", expect: MEMORY },

  // ---- stack
  "deep-recursion": { body: "const f = (n) => f(n + 1) + 1; f(0);", expect: STACK },
  "deep-recursion-through-proxies": { body: "let p = {}; for (let i = 0; i < 1e5; i++) p = new Proxy(p, {}); p.x;", expect: STACK },
  "deep-recursion-through-to-string": { body: "const o = { toString() { return `${this}`; } }; `${o}`;", expect: STACK },
  "deep-json": { body: "let x = []; for (let i = 0; i < 1e5; i++) x = [x]; JSON.stringify(x);", expect: STACK },
  "deep-json-text": { body: "JSON.parse('['.repeat(5e5));", expect: /recursion|call stack|JSON|CPU time/ },
  "deep-regular-expression": { body: "new RegExp('('.repeat(1e5) + ')'.repeat(1e5));", expect: /regexp|regular expression|recursion|too big|complex|CPU time/i },
  "deep-code": { body: "Function('['.repeat(1e5));", expect: /disallowed/ },
  "deep-clone": { body: "let x = []; for (let i = 0; i < 1e5; i++) x = [x]; structuredClone(x);", expect: /recursion|call stack|deep|answered/i },
  "deep-promises": { body: "let p = Promise.resolve(); for (let i = 0; i < 1e5; i++) { const q = p; p = (async () => q)(); } await p;", expect: /answered|CPU time limit|memory/ },

  // ---- floods
  "log-flood": { body: "for (;;) console.log('x'.repeat(100));", expect: CPU },
  "log-of-a-huge-line": { body: "console.log('x'.repeat(1e8));", expect: /answered|CPU time limit|memory/i },
  "rejection-flood": { body: "for (;;) { Promise.reject(new Error('x')); await null; }", expect: CPU },
  "subrequest-flood": { body: "const own = ctx.exports.default; for (;;) { try { await own.nothing(); } catch (e) { if (e.budget) throw e; } }", expect: /subrequests/ },
  "call-flood": { body: "const own = ctx.exports.default; for (;;) own.nothing().catch(() => {});", expect: /CPU time limit|memory|calls/ },
  "network-flood": { body: "for (let i = 0; i < 50; i++) await fetch('http://example.com/');", expect: /not permitted to access the internet/ },
  "loader-flood": {
    loader: true,
    body: "for (let i = 0; ; i++) env.LOADER.load({ compatibilityDate: '2026-08-01', mainModule: 'm.js', modules: { 'm.js': 'export default {}' } });",
    expect: /CPU time limit|memory/,
  },
  "fork-bomb-of-workers": {
    loader: true,
    body: `const code = { compatibilityDate: "2026-08-01", mainModule: "m.js", env: { LOADER: env.LOADER },
      modules: { "m.js": "export default { async fetch(r, env) { const c = await r.json(); return env.LOADER.load({ ...c, env: { LOADER: env.LOADER } }).getEntrypoint().fetch('http://x/', { method: 'POST', body: JSON.stringify(c) }); } }" } };
      const { env: _, ...plain } = code;
      return env.LOADER.load(code).getEntrypoint().fetch("http://x/", { method: "POST", body: JSON.stringify(plain) });`,
    expect: /deep at most|subrequests|CPU time limit/,
  },
  "stream-hoard": {
    body: "const keep = []; for (;;) { const { readable, writable } = new IdentityTransformStream(); keep.push(readable, writable.getWriter().write(new Uint8Array(65536))); }",
    expect: MEMORY,
    limits: { cpuMs: 1000 },
  },
  "endless-answer": { body: "return new Response(new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(65536)); } }));", expect: /CPU time limit|aborted|ended/ },
  "huge-headers": { body: "const h = new Headers(); for (let i = 0; i < 5000; i++) h.append('x-' + i, 'y'.repeat(1000)); return new Response('', { headers: h });", expect: /bytes|headers|limit|CPU time/i },
  "answer-that-never-comes": { body: "await new Promise(() => {});", expect: /hung|never|will never/i },
  "threads-by-atomics": { body: "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);", expect: /TypeError|Atomics.wait|cannot/i },
  "compile-flood": {
    body: "const b = [0,97,115,109,1,0,0,0,1,4,1,96,0,0,3,2,1,0,10,4,1,2,0,11]; for (;;) WebAssembly.compile(new Uint8Array(b)).catch(() => {});",
    expect: MEMORY,
  },

  // ---- reaching out
  "eval": { body: "eval('1');", expect: /disallowed/ },
  "function-constructor": { body: "fetch.constructor('return this')();", expect: /disallowed/ },
  "async-function-constructor": { body: "(async () => {}).constructor('return this')();", expect: /disallowed/ },
  "import-of-a-file": { body: "await import('file:///etc/passwd');", expect: /etc\/passwd/ },
  "import-of-a-path": { body: "await import('/proc/self/environ');", expect: /environ/ },
  "import-of-data": { body: "await import('data:text/javascript,export default 1');", expect: /data:/ },
  "import-of-the-platform": { body: "await import('mayfly:boot.ts').catch(() => import('./ops.ts'));", expect: /ops\.ts/ },
  "node-filesystem": { body: "const fs = await import('node:fs'); return new Response(fs.readFileSync('/etc/passwd', 'utf8'));", expect: /node:fs|no such|ENOENT|not implemented|not supported|EACCES/i },
  "node-child-process": { body: "const c = await import('node:child_process'); return new Response(String(c.execSync('id')));", expect: /child_process|not implemented|not supported/i },
  "process-binding": { body: "process.binding('fs');", expect: /binding|not a function|No such module|not (implemented|supported)/i },
  "exit": { body: "process.exit(0);", expect: /exit/i },
  "sweep-of-the-globals": {
    body: `const seen = new Set(); const queue = [globalThis]; const found = [];
      const suspicious = /__mayfly|setHandlers|importModule|requireModule|moduleBytes|timeWake|wireCall|startFailed|dupCap|releaseCap|getSelf/;
      const look = (value, path) => { if ((typeof value === "object" || typeof value === "function") && value !== null && !seen.has(value)) { seen.add(value); queue.push(value); } };
      while (queue.length > 0 && seen.size < 20000) {
        const object = queue.pop();
        for (const key of Reflect.ownKeys(object)) {
          if (suspicious.test(String(key))) found.push(String(key));
          let d; try { d = Reflect.getOwnPropertyDescriptor(object, key); } catch { continue; }
          if (!d) continue;
          look(d.get); look(d.set);
          if ("value" in d) look(d.value); else { try { look(object[key]); } catch {} }
          if (typeof d.value === "string" && /\\/work\\/|\\/home\\/|\\.cargo|\\/root\\//.test(d.value)) found.push(key + "=" + d.value);
        }
        look(Object.getPrototypeOf(object));
      }
      return new Response(found.length === 0 && seen.size > 500 ? "unharmed" : "found " + found.join() + " of " + seen.size);`,
    expect: HARMLESS,
    limits: { cpuMs: 2000 },
  },
  "stack-of-an-error": {
    body: "const s = new Error('x').stack + (() => { try { new Response('', { status: 1 }); } catch (e) { return e.stack; } })(); return new Response(/\\/work|\\/home|\\/root|boot\\.ts|ops\\.ts/.test(s) ? s : 'unharmed');",
    expect: HARMLESS,
  },
  "caller-of-a-function": { body: "const f = new Function.prototype.constructor.constructor; f;", expect: /disallowed/ },
  "forged-stub": { body: "const S = Object.getPrototypeOf(ctx.exports.default).constructor; const made = Reflect.construct(S, [7]); await made.fetch('http://x/');", expect: /Illegal|constructor|TypeError|not a/i },
  "forged-context": { body: "new ctx.constructor({ call: 1 }, {}).waitUntil(Promise.resolve());", expect: /Illegal|constructor|TypeError/i },
  "handler-by-name": { body: "return new Response(typeof globalThis.start + typeof globalThis.invoke + typeof globalThis.__mayfly === 'undefinedundefinedundefined' ? 'unharmed' : 'found');", expect: HARMLESS },
  "secrets-of-the-parent": { body: "return new Response(Object.keys(env).length === 0 && Object.keys(ctx.props).length === 0 ? 'unharmed' : 'found');", expect: HARMLESS },
  "poisoned-prototypes": {
    body: "Object.prototype.then = function (r) { r('poison'); }; Array.prototype.push = () => { throw new Error('poisoned'); }; Map.prototype.get = () => ({}); return new Response('unharmed');",
    expect: /answered|Error|poison|CPU time/,
  },
  "poisoned-promise": { body: "Promise.prototype.then = () => { for (;;); }; await null; return new Response('unharmed');", expect: /answered|CPU time limit/ },
  "shared-memory-clock": { body: "const s = new SharedArrayBuffer(8); new Worker('x');", expect: /Worker/ },
};
