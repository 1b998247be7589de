// Every line of the loader's contract as a case: module kinds, fields and their errors, caching,
// capabilities, nesting.

import { WorkerEntrypoint } from "cloudflare:workers";
import { equal, fails, matches, same, sleep, suite } from "../kit/suite.js";

export class Greeter extends WorkerEntrypoint {
  async greet(name) {
    return `${this.ctx.props?.greeting ?? "Hello"}, ${name}!`;
  }
  async fetch(request) {
    return new Response(`greeter saw ${new URL(request.url).pathname} as ${this.ctx.props?.greeting}`);
  }
}

export class Outbound extends WorkerEntrypoint {
  async fetch(request) {
    return new Response(`outbound saw ${request.method} ${request.url}`);
  }
}

const DATE = "2026-08-01";
const EMPTY_WASM = new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
// (module (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))
const ADD_WASM = new Uint8Array([
  0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 7, 1, 0x60, 2, 0x7f, 0x7f, 1, 0x7f, 3, 2, 1, 0, 7, 7, 1, 3,
  0x61, 0x64, 0x64, 0, 0, 10, 9, 1, 7, 0, 0x20, 0, 0x20, 1, 0x6a, 0x0b,
]);

function code(main, more = {}) {
  const { modules, ...rest } = more;
  return {
    compatibilityDate: DATE,
    mainModule: "main.js",
    modules: { "main.js": main, ...modules },
    ...rest,
  };
}

function answering(text) {
  return code(`export default { fetch() { return new Response(${JSON.stringify(text)}); } };`);
}

async function answer(stub, init) {
  const response = await stub.getEntrypoint().fetch("https://child.test/path", init);
  return response.text();
}

/** Runs `expression` (with `imports` in front) in a dynamic Worker and gives what it answers. */
function evaluate(env, imports, expression, more) {
  const main = `${imports}
    export default { async fetch(request, env, ctx) { return new Response(String(${expression})); } };`;
  return answer(env.LOADER.load(code(main, more)));
}

const cases = {
  async load_answers(env) {
    equal(await answer(env.LOADER.load(answering("hi"))), "hi");
  },

  async a_configured_worker_has_its_vars(env) {
    equal(env.TEXT, "a var");
    same(env.OBJECT, { deep: [1, 2] });
  },

  // ---- module kinds

  async module_js_by_extension(env) {
    equal(await evaluate(env, `import { a } from "./a.js";`, "a", { modules: { "a.js": "export const a = 1;" } }), "1");
  },

  async module_js(env) {
    equal(await evaluate(env, `import { a } from "lib";`, "a", { modules: { lib: { js: "export const a = 2;" } } }), "2");
  },

  async module_cjs(env) {
    const modules = {
      "a.cjs": { cjs: `const b = require("./b.cjs"); module.exports = { sum: b.one + require("./c.json").two, text: require("./t.txt") };` },
      "b.cjs": { cjs: "exports.one = 1;" },
      "c.json": { json: { two: 2 } },
      "t.txt": { text: "t" },
    };
    equal(await evaluate(env, `import a from "./a.cjs";`, "a.sum + a.text", { modules }), "3t");
  },

  async module_cjs_requires_an_es_module(env) {
    const modules = { "a.cjs": { cjs: `module.exports = require("./b.js").b;` }, "b.js": "export const b = 7;" };
    equal(await evaluate(env, `import a from "./a.cjs";`, "a", { modules }), "7");
  },

  async module_cjs_cycle(env) {
    const modules = {
      "a.cjs": { cjs: `exports.early = 1; const b = require("./b.cjs"); exports.seen = b.seen;` },
      "b.cjs": { cjs: `exports.seen = require("./a.cjs").early;` },
    };
    equal(await evaluate(env, `import a from "./a.cjs";`, "a.seen", { modules }), "1");
  },

  async module_text(env) {
    equal(await evaluate(env, `import t from "./t.html";`, "t", { modules: { "t.html": { text: "<p>é" } } }), "<p>é");
  },

  async module_data(env) {
    const data = new Uint8Array([1, 2, 255]);
    const expression = "`${d instanceof ArrayBuffer} ${new Uint8Array(d)}`";
    equal(await evaluate(env, `import d from "./d.bin";`, expression, { modules: { "d.bin": { data } } }), "true 1,2,255");
  },

  async module_data_from_an_array_buffer(env) {
    const data = new Uint8Array([9, 1, 2, 9]).subarray(1, 3);
    equal(await evaluate(env, `import d from "./d.bin";`, "new Uint8Array(d)", { modules: { "d.bin": { data } } }), "1,2");
    const whole = new Uint8Array([5]).buffer;
    equal(await evaluate(env, `import d from "./d.bin";`, "new Uint8Array(d)", { modules: { "d.bin": { data: whole } } }), "5");
  },

  async module_json(env) {
    const modules = { "j.json": { json: { a: [1, "x"], n: null } } };
    equal(await evaluate(env, `import j from "./j.json";`, "JSON.stringify(j)", { modules }), '{"a":[1,"x"],"n":null}');
  },

  async module_wasm_bytes(env) {
    const modules = { "add.wasm": { wasm: ADD_WASM } };
    equal(
      await evaluate(env, `import m from "./add.wasm"; const i = new WebAssembly.Instance(m);`, "i.exports.add(2, 3)", { modules }),
      "5",
    );
  },

  async module_wasm_compiled(env) {
    const compiled = new WebAssembly.Module(ADD_WASM);
    for (const content of [{ wasm: compiled }, compiled]) {
      const modules = { "add.wasm": content };
      equal(
        await evaluate(env, `import m from "./add.wasm"; const i = new WebAssembly.Instance(m);`, "i.exports.add(20, 3)", { modules }),
        "23",
      );
    }
  },

  async module_import_source(env) {
    const modules = { "add.wasm": { wasm: ADD_WASM } };
    equal(
      await evaluate(
        env,
        `import source m from "./add.wasm"; const i = new WebAssembly.Instance(m);`,
        "`${m instanceof WebAssembly.Module} ${i.exports.add(1, 3)}`",
        { modules },
      ),
      "true 4",
    );
  },

  async module_dynamic_import(env) {
    const modules = { "dir/late.js": `export { up } from "../up.js";`, "up.js": "export const up = 'up';" };
    equal(await evaluate(env, "", `(await import("./dir/late.js")).up`, { modules }), "up");
  },

  async module_top_level_await(env) {
    const modules = { "slow.js": "await new Promise((r) => setTimeout(r, 5)); export const slow = 'done';" };
    equal(await evaluate(env, `import { slow } from "./slow.js"; const x = await slow;`, "x", { modules }), "done");
  },

  async module_cycle(env) {
    const modules = {
      "a.js": `import { b } from "./b.js"; export const a = "a"; export const ab = () => a + b;`,
      "b.js": `import { a } from "./a.js"; export const b = "b"; export const ba = () => b + a;`,
    };
    equal(await evaluate(env, `import { ab } from "./a.js"; import { ba } from "./b.js";`, "ab() + ba()", { modules }), "abba");
  },

  async module_import_meta_url(env) {
    matches(await evaluate(env, "", "import.meta.url", {}), /main\.js$/);
  },

  async module_missing_names_itself_its_importer_and_close_matches(env) {
    const stub = env.LOADER.load(code(`import "./helpers.js"; export default {};`, { modules: { "helper.js": "" } }));
    const error = await fails(() => answer(stub));
    matches(error.message, /helpers\.js/);
    matches(error.message, /main\.js/);
    matches(error.message, /helper\.js"?\?/);
  },

  async module_syntax_error_names_its_place(env) {
    const stub = env.LOADER.load(code("export default {};\nlet x = ;\n"));
    const error = await fails(() => answer(stub));
    matches(`${error.message} ${error.stack}`, /main\.js:2/);
  },

  // ---- fields of WorkerCode and their errors

  async field_compatibility_date(env) {
    for (const compatibilityDate of [undefined, 20260101, "yesterday", "2026-13-01", "2999-01-01"]) {
      const error = await fails(() => answer(env.LOADER.load({ ...answering("x"), compatibilityDate })));
      matches(error.message, /compatib/i, `message for ${compatibilityDate}`);
    }
  },

  async field_compatibility_flags(env) {
    const with_flag = (flags) => answer(env.LOADER.load({ ...answering("x"), compatibilityFlags: flags }));
    equal(await with_flag(["nodejs_compat"]), "x");
    equal(await with_flag([]), "x");
    matches((await fails(() => with_flag(["nodejs_compatt"]))).message, /nodejs_compatt.*nodejs_compat/s);
    matches((await fails(() => with_flag("nodejs_compat"))).message, /compatibilityFlags/);
    matches((await fails(() => with_flag([1n]))).message, /compatibilityFlags/);
  },

  async field_allow_experimental(env) {
    equal(await answer(env.LOADER.load({ ...answering("x"), allowExperimental: true, compatibilityFlags: ["experimental"] })), "x");
    matches((await fails(() => answer(env.LOADER.load({ ...answering("x"), compatibilityFlags: ["experimental"] })))).message, /experimental/);
  },

  async field_main_module(env) {
    matches((await fails(() => answer(env.LOADER.load({ ...answering("x"), mainModule: "gone.js" })))).message, /gone\.js/);
    const error = await fails(() => answer(env.LOADER.load({ ...answering("x"), mainModule: undefined })));
    equal(error.name, "TypeError");
    matches(error.message, /mainModule/);
  },

  async field_modules(env) {
    const load = (modules) => answer(env.LOADER.load({ compatibilityDate: DATE, mainModule: "main.js", modules }));
    for (const modules of [undefined, null, "x", 1]) {
      const error = await fails(() => load(modules));
      equal(error.name, "TypeError", `name for ${modules}`);
      matches(error.message, /modules/, `message for ${modules}`);
    }
    await fails(() => load({}));
    const two = await fails(() => load({ "main.js": { js: "", cjs: "" } }));
    equal(two.name, "TypeError");
    matches(two.message, /main\.js/);
    const none = await fails(() => load({ "main.js": {} }));
    matches(none.message, /main\.js/);
    const extension = await fails(() => load({ "main.js": "export default {}", "a.txt": "text" }));
    matches(extension.message, /a\.txt/);
    const kind = await fails(() => load({ "main.js": { data: "not bytes" } }));
    matches(kind.message, /data/);
  },

  async field_env(env) {
    const show = code("export default { fetch(r, env) { return Response.json([env.n, env.s, env.list, env.map?.get('k'), env.when?.getTime()]); } };");
    const values = { n: 1, s: "é", list: [1, [2]], map: new Map([["k", "v"]]), when: new Date(5) };
    equal(await answer(env.LOADER.load({ ...show, env: values })), '[1,"é",[1,[2]],"v",5]');
    equal(await answer(env.LOADER.load(show)), "[null,null,null,null,null]");
  },

  async field_env_names_the_path_of_what_cannot_be_cloned(env) {
    class Connection {}
    const bad = { ...answering("x"), env: { db: { list: [0, new Connection()] } } };
    const error = await fails(() => answer(env.LOADER.load(bad)));
    equal(error.name, "DataCloneError");
    matches(error.message, /Connection/);
    matches(error.message, /env\.db\.list\[1\]/);
  },

  async field_env_size(env) {
    const error = await fails(() => answer(env.LOADER.load({ ...answering("x"), env: { big: "x".repeat(1_100_000) } })));
    matches(error.message, /env/);
    matches(error.message, /1 MiB|1048576/);
  },

  async field_modules_size(env) {
    const data = new Uint8Array(65 * 1024 * 1024);
    const error = await fails(() => answer(env.LOADER.load({ ...code("export default {}", { modules: { "big.bin": { data } } }) })));
    matches(error.message, /64 MiB|67108864/);
  },

  async field_global_outbound(env) {
    const error = await fails(() => answer(env.LOADER.load({ ...answering("x"), globalOutbound: "http://x" })));
    equal(error.name, "TypeError");
    matches(error.message, /globalOutbound/);
  },

  async field_tails(env) {
    for (const field of ["tails", "streamingTails"]) {
      const error = await fails(() => answer(env.LOADER.load({ ...answering("x"), [field]: [1] })));
      equal(error.name, "TypeError");
      matches(error.message, new RegExp(field));
    }
  },

  async field_limits(env) {
    equal(await answer(env.LOADER.load({ ...answering("x"), limits: { cpuMs: 1000, subRequests: 5 } })), "x");
    for (const limits of [5, { cpuMs: -1 }, { cpuMs: "1" }, { subRequests: 1.5 }]) {
      const error = await fails(() => answer(env.LOADER.load({ ...answering("x"), limits })));
      matches(error.message, /limits|cpuMs|subRequests/);
    }
  },

  async limits_sub_requests_stop_the_next_one(env, ctx) {
    const child = code(`export default { async fetch(r, env) {
      const seen = [];
      for (let i = 0; i < 4; i++) {
        try { await env.S.fetch("https://x/"); seen.push("ok"); } catch (e) { seen.push(e.message); }
      }
      return Response.json(seen);
    } };`);
    const text = await answer(env.LOADER.load({ ...child, env: { S: ctx.exports.Outbound({}) }, limits: { subRequests: 2 } }));
    const seen = JSON.parse(text);
    same(seen.slice(0, 2), ["ok", "ok"]);
    matches(seen[2], /subrequest/i);
  },

  async limits_cpu_ends_an_endless_loop(env) {
    const child = code("export default { fetch() { for (;;); } };");
    const error = await fails(() => answer(env.LOADER.load({ ...child, limits: { cpuMs: 50 } })));
    matches(error.message, /CPU/);
  },

  async limits_of_an_entrypoint(env) {
    const child = env.LOADER.load(code("export default { fetch() { for (;;); } };"));
    const error = await fails(() => child.getEntrypoint(null, { limits: { cpuMs: 50 } }).fetch("https://x/"));
    matches(error.message, /CPU/);
  },

  // ---- get and its cache

  async get_calls_its_callback_once_under_100_concurrent_callers(env) {
    let calls = 0;
    const callback = async () => {
      calls++;
      await sleep(20);
      return answering("shared");
    };
    const texts = await Promise.all(Array.from({ length: 100 }, () => answer(env.LOADER.get("crowd", callback))));
    equal(texts.filter((text) => text === "shared").length, 100);
    equal(calls, 1);
  },

  async get_returns_synchronously_and_keeps_state(env) {
    const callback = () => code("let n = 0; export default { fetch() { return new Response(String(++n)); } };");
    const stub = env.LOADER.get("counter", callback);
    equal(typeof stub.then, "undefined");
    equal(await answer(stub), "1");
    equal(await answer(env.LOADER.get("counter", () => { throw new Error("called again"); })), "2");
  },

  async get_null_never_shares(env) {
    const callback = () => code("let n = 0; export default { fetch() { return new Response(String(++n)); } };");
    equal(await answer(env.LOADER.get(null, callback)), "1");
    equal(await answer(env.LOADER.get(undefined, callback)), "1");
  },

  async get_with_bad_arguments(env) {
    equal((await fails(() => env.LOADER.get("id"))).name, "TypeError");
    equal((await fails(() => env.LOADER.get("id", "code"))).name, "TypeError");
  },

  async failed_load_is_not_cached(env) {
    let calls = 0;
    const failing = () => { calls++; throw new Error("no code today"); };
    matches((await fails(() => answer(env.LOADER.get("flaky", failing)))).message, /no code today/);
    matches((await fails(() => answer(env.LOADER.get("flaky", failing)))).message, /no code today/);
    equal(calls, 2);
    equal(await answer(env.LOADER.get("flaky", () => answering("now"))), "now");
  },

  async get_asks_for_the_code_before_any_call(env) {
    const { promise, resolve } = Promise.withResolvers();
    env.LOADER.get("asked-at-once", () => { resolve("asked"); return answering("unused"); });
    equal(await Promise.race([promise, sleep(5000)]), "asked");
  },

  async a_hung_child_is_told_so(env) {
    const stub = env.LOADER.load(code("export default { fetch() { return new Promise(() => {}); } };"));
    matches((await fails(() => answer(stub))).message, /had hung and would never generate a response/);
  },

  async a_child_that_waits_for_its_parent_is_not_hung(env) {
    const stub = env.LOADER.load(code(`import { WorkerEntrypoint } from "cloudflare:workers";
      export default class extends WorkerEntrypoint {
        whenTold(hear) { return new Promise((resolve) => { this.ctx.waitUntil(hear((text) => resolve(text))); }); }
      }`));
    const heard = Promise.withResolvers();
    const told = stub.getEntrypoint().whenTold((tell) => heard.resolve(tell.dup()));
    const tell = await heard.promise;
    await sleep(500);
    await tell("now");
    equal(await told, "now");
  },

  async abort_isolate_ends_the_child_and_the_next_call_starts_it_afresh(env) {
    let loads = 0;
    const stub = () => env.LOADER.get("aborts", () => {
      loads++;
      return code(`import { abortIsolate } from "cloudflare:workers";
        let n = 0;
        export default { fetch(request) {
          if (request.method === "DELETE") abortIsolate("on purpose");
          return new Response(String(++n));
        } };`);
    });
    equal(await answer(stub()), "1");
    equal(await answer(stub()), "2");
    matches((await fails(() => answer(stub(), { method: "DELETE" }))).message, /^internal error; reference = [0-9a-f]{16}$/);
    equal(await answer(stub()), "1");
    equal(loads, 2);
  },

  async batches_and_cron_reach_their_handlers(env) {
    const child = env.LOADER.load(code(`export default {
      queue(batch) {
        const [first, second, third] = batch.messages;
        first.ack();
        first.retry();
        second.retry({ delaySeconds: 5 });
        if (third.body === "bad") throw new Error("cannot take it");
      },
      scheduled(controller) { if (controller.cron === "once") controller.noRetry(); },
    };`)).getEntrypoint();
    const message = (id, body) => ({ id, body, timestamp: new Date(0), attempts: 1 });
    const send = (body) => child.queue("q", [message("1", { a: new Map() }), message("2", "x"), message("3", body)]);
    const answered = {
      ackAll: false,
      retryBatch: { retry: false },
      explicitAcks: ["1"],
      retryMessages: [{ msgId: "2", delaySeconds: 5 }],
    };
    same(await send("good"), { outcome: "ok", ...answered });
    same(await send("bad"), { outcome: "exception", ...answered });
    same(await child.scheduled({ scheduledTime: new Date(0), cron: "once" }), { outcome: "ok", noRetry: true });
    equal((await env.LOADER.load(answering("no handler")).getEntrypoint().queue("q", [])).outcome, "exception");
  },

  async failed_start_rejects_with_its_error(env) {
    const stub = env.LOADER.load(code(`throw new RangeError("at the top");`));
    matches((await fails(() => answer(stub))).message, /at the top/);
  },

  async loaders_do_not_share_ids(env) {
    const counter = () => code("let n = 0; export default { fetch() { return new Response(String(++n)); } };");
    equal(await answer(env.LOADER.get("same-id", counter)), "1");
    equal(await answer(env.OTHER.get("same-id", counter)), "1");
    equal(await answer(env.SHARED_A.get("same-id", counter)), "1");
    equal(await answer(env.SHARED_B.get("same-id", counter)), "2");
  },

  // ---- entrypoints

  async entrypoint_by_name_with_props(env) {
    const stub = env.LOADER.load(code(`
      import { WorkerEntrypoint } from "cloudflare:workers";
      export class Named extends WorkerEntrypoint { fetch() { return new Response("named " + this.ctx.props.who + " " + this.env.v); } }
      export const plain = { fetch(r, env, ctx) { return new Response("plain " + ctx.props.who); } };
      export default class extends WorkerEntrypoint { fetch() { return new Response("default class"); } }
    `, { env: { v: "V" } }));
    const ask = async (name, who) => (await stub.getEntrypoint(name, { props: { who } }).fetch("https://x/")).text();
    equal(await ask("Named", "a"), "named a V");
    equal(await ask("plain", "b"), "plain b");
    equal(await ask(undefined, "c"), "default class");
  },

  async entrypoint_that_is_missing(env) {
    const error = await fails(() => env.LOADER.load(answering("x")).getEntrypoint("Nope").fetch("https://x/"));
    matches(error.message, /Nope/);
  },

  async handler_that_is_missing(env) {
    const error = await fails(() => answer(env.LOADER.load(code("export default { scheduled() {} };"))));
    matches(error.message, /fetch/);
  },

  async wait_until_outlives_the_response(env) {
    const stub = env.LOADER.load(code(`let done = false; export default { fetch(r, env, ctx) {
      if (r.url.endsWith("/done")) return new Response(String(done));
      ctx.waitUntil(new Promise((f) => setTimeout(() => { done = true; f(); }, 20)));
      return new Response("started");
    } };`));
    equal(await answer(stub), "started");
    await sleep(60);
    equal(await (await stub.getEntrypoint().fetch("https://x/done")).text(), "true");
  },

  async exceptions_reach_the_caller(env) {
    const error = await fails(() => answer(env.LOADER.load(code("export default { fetch() { throw new RangeError('boom'); } };"))));
    equal(error.message, "boom");
    equal(error.name, "RangeError");
  },

  // ---- capabilities

  async loopback_service_with_props(env, ctx) {
    const child = code("export default { async fetch(r, env) { return new Response(await (await env.G.fetch('https://x/p')).text()); } };");
    const text = await answer(env.LOADER.load({ ...child, env: { G: ctx.exports.Greeter({ props: { greeting: "Salut" } }) } }));
    equal(text, "greeter saw /p as Salut");
  },

  async configured_service_in_env(env) {
    const child = code("export default { async fetch(r, env) { return new Response(await (await env.G.fetch('https://x/q')).text()); } };");
    equal(await answer(env.LOADER.load({ ...child, env: { G: env.SELF_NAMED } })), "greeter saw /q as undefined");
  },

  async outbound_null_blocks(env) {
    const child = code("export default { fetch(r) { return fetch('https://example.com/'); } };");
    const error = await fails(() => answer(env.LOADER.load({ ...child, globalOutbound: null })));
    matches(error.message, /not permitted to access the internet/);
  },

  async outbound_stub_receives_everything(env, ctx) {
    const child = code("export default { fetch(r) { return fetch('https://example.com/x', { method: 'POST', body: 'b' }); } };");
    const text = await answer(env.LOADER.load({ ...child, globalOutbound: ctx.exports.Outbound({}) }));
    equal(text, "outbound saw POST https://example.com/x");
  },

  async outbound_absent_is_the_parents(env, ctx) {
    // The middle Worker's outbound is ours; its own child inherits that.
    const middle = code(`export default { async fetch(r, env) {
      const child = env.L.load({ compatibilityDate: "${DATE}", mainModule: "m.js", modules: { "m.js":
        "export default { fetch() { return fetch('https://inherited.test/'); } };" } });
      return child.getEntrypoint().fetch(r);
    } };`);
    const parent = env.LOADER.load({ ...middle, globalOutbound: ctx.exports.Outbound({}), env: { L: env.LOADER } });
    equal(await answer(parent), "outbound saw GET https://inherited.test/");
  },

  async nested_loaders_go_three_deep(env) {
    const leaf = `{ compatibilityDate: "${DATE}", mainModule: "m.js", modules: { "m.js": "export default { fetch() { return new Response('leaf'); } };" } }`;
    const branch = `{ compatibilityDate: "${DATE}", mainModule: "m.js", env: { L: env.L }, modules: { "m.js":
      ${JSON.stringify(`export default { fetch(r, env) { return env.L.load(${leaf}).getEntrypoint().fetch(r); } };`)} } }`;
    const root = code(`export default { fetch(r, env) { return env.L.load(${branch}).getEntrypoint().fetch(r); } };`);
    equal(await answer(env.LOADER.load({ ...root, env: { L: env.LOADER } })), "leaf");
  },

  async dynamic_entrypoint_cannot_be_made_persistent(env) {
    const child = env.LOADER.load(answering("x")).getEntrypoint();
    const error = await fails(() => answer(env.LOADER.load({ ...answering("y"), env: { child } })));
    equal(error.name, "DataCloneError");
    matches(error.message, /dynamically-loaded workers cannot be transferred/);
  },

  // ---- lifetimes

  async chained_temporary_survives_collection(env) {
    const slow = code("export default { async fetch() { await new Promise((r) => setTimeout(r, 30)); return new Response('alive'); } };");
    const pending = env.LOADER.load(slow).getEntrypoint().fetch("https://x/");
    for (let i = 0; i < 50; i++) {
      globalThis.garbage = Array.from({ length: 10_000 }, () => ({}));
      await sleep(1);
    }
    equal(await (await pending).text(), "alive");
  },

  async bodies_stream_through_a_child(env) {
    const child = env.LOADER.load(code("export default { fetch(r) { return new Response(r.body); } };"));
    const chunk = new Uint8Array(64 * 1024).fill(7);
    let sent = 0;
    const body = new ReadableStream({
      pull(controller) {
        if (sent === 64) controller.close();
        else { controller.enqueue(chunk); sent++; }
      },
    });
    const response = await child.getEntrypoint().fetch("https://x/", { method: "POST", body });
    let received = 0;
    for await (const part of response.body) received += part.byteLength;
    equal(received, 64 * 64 * 1024);
  },

  async a_hundred_children_at_once(env) {
    const texts = await Promise.all(Array.from({ length: 100 }, (_, i) => answer(env.LOADER.load(answering(`n${i}`)))));
    same(texts, Array.from({ length: 100 }, (_, i) => `n${i}`));
  },

  async two_children_never_share_randomness(env) {
    const child = () => evaluate(env, "", "[Math.random(), Math.random(), crypto.randomUUID()]");
    const seen = await Promise.all(Array.from({ length: 20 }, child));
    equal(new Set(seen).size, 20);
  },

  async an_empty_wasm_module_is_a_module(env) {
    const modules = { "e.wasm": { wasm: EMPTY_WASM } };
    equal(await evaluate(env, `import m from "./e.wasm";`, "m instanceof WebAssembly.Module", { modules }), "true");
  },
};

export default suite(cases);
