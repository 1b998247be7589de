// Tails: what they hear of dynamic Workers (`tails`, `streamingTails`) and of configured ones
// (`tail_consumers`, `streaming_tail_consumers`), whatever the outcome.
//
// This Worker tails its own children: `Collector` keeps what it hears by the `key` in its props.

import { WorkerEntrypoint, tracing } from "cloudflare:workers";
import { equal, matches, same, suite } from "../kit/suite.js";

/** Keys of slow streams that may go on. */
const released = new Set();

/** Key -> items of `tail()`; key -> events of `tailStream()`. */
const items = new Map();
const events = new Map();

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function keep(map, key, value) {
  if (!map.has(key)) map.set(key, []);
  map.get(key).push(value);
}

export class Collector extends WorkerEntrypoint {
  tail(got) {
    for (const item of got) keep(items, this.ctx.props.key, item);
  }
  heard() {
    const { key } = this.ctx.props;
    return `${items.get(key)?.length} items, ${events.get(key)?.filter(({ event }) => event.type === "outcome").length} outcomes`;
  }
  tailStream(onset) {
    const { key, how } = this.ctx.props;
    keep(events, key, onset);
    if (how === "onset only") return undefined;
    if (how === "slow") return async (event) => {
      while (!released.has(key)) await sleep(10);
      keep(events, key, event);
    };
    if (how === "object") return { log: (event) => keep(events, key, event), outcome: (event) => keep(events, key, event) };
    return (event) => keep(events, key, event);
  }
}

async function arrived(map, key, wanted = () => true) {
  // That it comes is what is asked, not how soon: a machine with much else to do has time.
  const until = Date.now() + 30_000;
  while (Date.now() < until) {
    if (map.has(key) && wanted(map.get(key))) return map.get(key);
    await sleep(10);
  }
  throw new Error(`nothing arrived for ${key}: ${JSON.stringify(map.get(key) ?? null)}`);
}

const ended = (list) => list.some((one) => one.event.type === "outcome");

function code(main, more = {}) {
  return {
    compatibilityDate: "2026-08-01", compatibilityFlags: ["nodejs_compat"], allowExperimental: true, mainModule: "main.js",
    modules: { "main.js": main }, globalOutbound: null, ...more,
  };
}

/** A child with a buffered and a streaming tail of the name `key`. */
function followed(env, ctx, key, main, more, how, loader = env.LOADER) {
  const tail = ctx.exports.Collector({ props: { key, how } });
  return loader.load(code(main, { tails: [tail], streamingTails: [tail], ...more }));
}

async function outcomeOf(key) {
  const [item] = await arrived(items, key);
  const told = await arrived(events, key, ended);
  const last = told.at(-1).event;
  equal(last.type, "outcome");
  equal(last.outcome, item.outcome, "both tails agree");
  told.forEach((one, index) => equal(one.sequence, index));
  equal(new Set(told.map((one) => one.invocationId)).size, 1);
  return item;
}

const types = (told) => told.map((one) => one.event.type);

const cases = {
  async outcome_ok(env, ctx) {
    const child = followed(env, ctx, "ok", `export default { async fetch() {
      console.log("a", 1, { b: [2] }, undefined, null, new Map(), Symbol.iterator, () => 1, 10n);
      console.error(new TypeError("wrong"), "beside");
      console.warn("w"); console.debug("d"); console.info("i");
      return new Response("x", { status: 418 });
    } };`);
    const request = new Request("https://child/0123456789abcdef0123456789abcdef/x?a=1", {
      method: "POST", headers: { "X-Api-Key": "secret", "x-plain": "1" },
    });
    equal((await child.getEntrypoint().fetch(request)).status, 418);
    const item = await outcomeOf("ok");
    equal(item.outcome, "ok");
    equal(item.scriptName, "LOADER/load");
    equal(item.entrypoint, undefined);
    equal(item.executionModel, "stateless");
    equal(item.truncated, false);
    equal(Math.abs(Date.now() - item.eventTimestamp) < 10_000, true);
    equal(Number.isInteger(item.cpuTime) && Number.isInteger(item.wallTime), true);
    same(item.exceptions, []);
    same(item.diagnosticsChannelEvents, []);
    const { request: told, response } = item.event;
    same([told.method, response.status, told.headers["x-plain"]], ["POST", 418, "1"]);
    same([told.headers["x-api-key"], told.url], ["REDACTED", "https://child/REDACTED/x?a=1"]);
    same([told.getUnredacted().headers["x-api-key"], told.getUnredacted().url], ["secret", request.url]);
    same(item.logs.map((log) => log.level), ["log", "error", "warn", "debug", "info"]);
    same(item.logs[0].message, ["a", 1, { b: [2] }, null, null, "[object Map]", {}, "() => 1", "10"]);
    same(item.logs[0].errorInfo, undefined);
    const [error, nothing] = item.logs[1].errorInfo;
    same([error.name, error.message, nothing, item.logs[1].message], ["TypeError", "wrong", null, ["TypeError: wrong", "beside"]]);
    matches(error.stack, /^\s+at .*main\.js:3/);
    const list = events.get("ok");
    same(types(list), ["onset", "log", "log", "log", "log", "log", "return", "outcome"]);
    const onset = list[0].event;
    same([onset.info.type, onset.info.method, onset.info.url], ["fetch", "POST", request.url]);
    same(onset.info.headers.find(({ name }) => name === "x-plain"), { name: "x-plain", value: "1" });
    same([onset.scriptName, onset.scriptTags], ["LOADER/load", []]);
    equal(list[0].timestamp instanceof Date, true);
    matches(list[0].spanContext.traceId, /^[0-9a-f]{32}$/);
    equal(list[1].spanContext.spanId, onset.spanId);
    same(list.at(-2).event.info, { type: "fetch", statusCode: 418 });
  },

  async outcome_exception(env, ctx) {
    const child = followed(env, ctx, "exception", `export default { async fetch() { throw new RangeError("out"); } };`);
    await child.getEntrypoint().fetch("https://x/").then(() => { throw new Error("no"); }, (error) => equal(error.message, "out"));
    const item = await outcomeOf("exception");
    equal(item.outcome, "exception");
    const [{ name, message, stack, timestamp }] = item.exceptions;
    same([name, message, timestamp > 0], ["RangeError", "out", true]);
    matches(stack, /^\s+at .*main\.js/);
    equal(item.event.response, undefined);
    same(types(events.get("exception")), ["onset", "exception", "outcome"]);
  },

  async outcome_exception_in_wait_until(env, ctx) {
    const child = followed(env, ctx, "late", `export default { async fetch(r, env, ctx) {
      ctx.waitUntil((async () => { await scheduler.wait(5); console.log("late"); throw new Error("too late"); })());
      return new Response("fine");
    } };`);
    equal(await (await child.getEntrypoint().fetch("https://x/")).text(), "fine");
    const item = await outcomeOf("late");
    same([item.outcome, item.logs[0].message[0], item.exceptions[0].message], ["exception", "late", "too late"]);
    same(types(events.get("late")), ["onset", "return", "log", "exception", "outcome"]);
  },

  async outcome_exception_at_the_start(env, ctx) {
    const child = followed(env, ctx, "start", `throw new Error("cannot start"); export default {};`);
    await child.getEntrypoint().fetch("https://x/").catch(() => {});
    const item = await outcomeOf("start");
    same([item.outcome, item.exceptions[0].message], ["exception", "cannot start"]);
  },

  async outcome_exceeded_cpu(env, ctx) {
    const child = followed(env, ctx, "cpu", "export default { fetch() { console.log('in'); for (;;); } };", { limits: { cpuMs: 50 } });
    await child.getEntrypoint().fetch("https://x/").catch(() => {});
    const item = await outcomeOf("cpu");
    equal(item.outcome, "exceededCpu");
    matches(item.exceptions[0].message, /CPU/);
    equal(item.cpuTime >= 50 && item.wallTime >= item.cpuTime - 5, true, `${item.cpuTime} of ${item.wallTime}`);
  },

  async outcome_exceeded_memory(env, ctx) {
    const child = followed(env, ctx, "memory", `export default { fetch() {
      const all = []; for (;;) all.push(new Array(1000).fill(all.length));
    } };`);
    await child.getEntrypoint().fetch("https://x/").catch(() => {});
    const item = await outcomeOf("memory");
    equal(item.outcome, "exceededMemory");
  },

  async outcome_exceeded_cpu_at_the_start(env, ctx) {
    const child = followed(env, ctx, "start cpu", "for (;;); export default {};", {}, undefined, env.HURRIED);
    await child.getEntrypoint().fetch("https://x/").catch(() => {});
    const item = await outcomeOf("start cpu");
    equal(item.outcome, "exceededCpu");
    matches(item.exceptions[0].message, /startup CPU/);
  },

  async outcome_exceeded_wall_time(env, ctx) {
    const child = followed(env, ctx, "wall", `export default { async fetch() {
      console.log("in"); await scheduler.wait(60_000); return new Response();
    } };`, {}, undefined, env.HURRIED);
    await child.getEntrypoint().fetch("https://x/").catch(() => {});
    const item = await outcomeOf("wall");
    equal(item.outcome, "exceededWallTime");
    equal(item.wallTime >= 1500, true, item.wallTime);
    same([item.logs[0].message, item.cpuTime < item.wallTime], [["in"], true]);
  },

  async outcome_of_too_many_subrequests(env, ctx) {
    const child = followed(env, ctx, "subrequests", `export default { async fetch(request, { SERVICE }) {
      for (;;) await SERVICE.fetch("https://x/");
    } };`, { limits: { subRequests: 3 }, env: { SERVICE: ctx.exports.Callee({ props: {} }) } });
    await child.getEntrypoint().fetch("https://x/").catch(() => {});
    const item = await outcomeOf("subrequests");
    equal(item.outcome, "exception");
    matches(item.exceptions[0].message, /Too many subrequests/);
  },

  async outcome_of_memory_that_the_engine_refuses(env, ctx) {
    const child = followed(env, ctx, "refused", `export default { fetch() {
      new WebAssembly.Memory({ initial: 1 }).grow(60_000); } };`);
    await child.getEntrypoint().fetch("https://x/").catch(() => {});
    const item = await outcomeOf("refused");
    same([item.outcome, item.exceptions[0].name], ["exception", "RangeError"]);
  },

  async outcome_internal_error(env, ctx) {
    const child = followed(env, ctx, "lost", `import { abortIsolate } from "cloudflare:workers";
      export default { fetch() { console.log("before"); abortIsolate("enough"); } };`);
    await child.getEntrypoint().fetch("https://x/").catch(() => {});
    const item = await outcomeOf("lost");
    same([item.outcome, item.logs[0].message[0]], ["internalError", "before"]);
  },

  async outcome_canceled(env, ctx) {
    const child = followed(env, ctx, "canceled", `export default { async fetch(request) {
      await new Promise((resolve) => request.signal.addEventListener("abort", resolve));
      return new Response();
    } };`);
    const controller = new AbortController();
    const answer = child.getEntrypoint().fetch("https://x/", { signal: controller.signal });
    await new Promise((resolve) => setTimeout(resolve, 50));
    controller.abort();
    await answer.catch(() => {});
    equal((await outcomeOf("canceled")).outcome, "canceled");
  },

  async outcome_response_stream_disconnected(env, ctx) {
    const child = followed(env, ctx, "left", `export default { fetch() {
      return new Response(new ReadableStream({ async pull(c) { await scheduler.wait(1); c.enqueue(new Uint8Array(1000)); } }));
    } };`);
    const { body } = await child.getEntrypoint().fetch("https://x/");
    const reader = body.getReader();
    await reader.read();
    await reader.cancel();
    equal((await outcomeOf("left")).outcome, "responseStreamDisconnected");
  },

  async rpc_is_told_by_its_method(env, ctx) {
    const child = followed(env, ctx, "rpc", `import { WorkerEntrypoint, RpcTarget } from "cloudflare:workers";
      class Counter extends RpcTarget { #n = 0; add(n) { console.log("counting", n); return this.#n += n; } }
      export class Api extends WorkerEntrypoint { counter() { console.log("made"); return new Counter(); } }`);
    {
      using counter = await child.getEntrypoint("Api").counter();
      equal(await counter.add(2), 2);
      equal(await counter.add(3), 5);
    }
    const item = await outcomeOf("rpc");
    same([item.event.rpcMethod, item.entrypoint, item.outcome], ["counter", "Api", "ok"]);
    // What is called on a result belongs to the call that gave it.
    same(item.logs.map((log) => log.message), [["made"], ["counting", 2], ["counting", 3]]);
    const list = events.get("rpc");
    same(types(list), ["onset", "attributes", "log", "return", "log", "log", "outcome"]);
    same(list[1].event.info, [{ name: "jsrpc.method", value: "counter" }]);
  },

  async spans_of_calls_and_of_the_worker(env, ctx) {
    const child = followed(env, ctx, "spans", `import { tracing } from "cloudflare:workers";
      export default { async fetch(request, env, ctx) {
        const value = await ctx.tracing.enterSpan("outer", async (span, add) => {
          span.setAttribute("count", 1 + add).setAttributes({ text: "t", flag: true, nothing: undefined });
          if (!span.isTraced) throw new Error("not traced");
          return (await env.SERVICE.fetch("https://service/path", { headers: { accept: "x" } })).status;
        }, 1);
        const other = tracing.startSpan("other");
        other.end();
        if (other.isTraced || !(other instanceof tracing.Span)) throw new Error("still traced");
        return new Response(String(value) + (await env.SERVICE.twice(4)));
      } };`, { env: { SERVICE: ctx.exports.Callee({ props: {} }) } });
    equal(await (await child.getEntrypoint().fetch("https://x/")).text(), "2018");
    await outcomeOf("spans");
    const list = events.get("spans");
    same(types(list), [
      "onset", "spanOpen", "spanOpen", "attributes", "spanClose", "attributes", "spanClose", "spanOpen", "spanClose",
      "spanOpen", "spanClose", "return", "outcome",
    ]);
    const [, outer, fetching, fetched, , outerAttributes] = list;
    same([outer.event.name, fetching.event.name, list[7].event.name, list[9].event.name], ["outer", "fetch", "other", "jsRpcSession"]);
    equal(outer.spanContext.spanId, list[0].event.spanId);
    equal(fetching.spanContext.spanId, outer.event.spanId, "a call is inside the span around it");
    const told = new Map(fetched.event.info.map(({ name, value }) => [name, value]));
    same([told.get("http.request.method"), told.get("url.full"), told.get("http.response.status_code") === 201n], ["GET", "https://service/path", true]);
    same(outerAttributes.event.info, [{ name: "count", value: 2 }, { name: "text", value: "t" }, { name: "flag", value: true }]);
  },

  async spans_are_free_where_nobody_follows() {
    let seen;
    equal(tracing.enterSpan("quiet", (span, a) => { seen = span.isTraced; return a; }, 7), 7);
    equal(seen, false);
  },

  async a_stream_may_be_declined_or_taken_by_names(env, ctx) {
    const main = `export default { fetch() { console.log("one"); return new Response("x"); } };`;
    for (const how of ["onset only", "object"]) {
      await (await followed(env, ctx, how, main, {}, how).getEntrypoint().fetch("https://x/")).text();
      await arrived(items, how);
    }
    await arrived(events, "object", ended);
    same(types(events.get("object")), ["onset", "log", "outcome"]);
    same(types(events.get("onset only")), ["onset"]);
  },

  async a_slow_stream_loses_events_and_hears_how_many(env, ctx) {
    const child = followed(env, ctx, "slow", `export default { async fetch() {
      for (let i = 0; i < 400; i++) console.log("x".repeat(15000), i);
      return new Response("x");
    } };`, {}, "slow");
    // It deals with what it got first until all is said, so what may wait for it is less than what is told.
    await (await child.getEntrypoint().fetch("https://x/")).text();
    released.add("slow");
    const list = await arrived(events, "slow", ended);
    const logs = list.filter((one) => one.event.type === "log").length;
    const { diagnosticsType, count } = list.at(-2).event.diagnostic;
    same([diagnosticsType, logs + count], ["droppedEvents", 400]);
    equal(count > 0, true);
    const [item] = await arrived(items, "slow");
    equal(item.truncated, true);
    matches(item.logs.at(-1).message[0], /Log size limit exceeded/);
  },

  async a_large_line_is_cut_and_says_so(env, ctx) {
    const child = followed(env, ctx, "large", `export default { async fetch() {
      console.log("y".repeat(400_000)); return new Response("x"); } };`);
    await (await child.getEntrypoint().fetch("https://x/")).text();
    await outcomeOf("large");
    const { message, truncated } = events.get("large")[1].event;
    same([typeof message, truncated, message.length > 200_000], ["string", true, true]);
  },

  async a_line_is_told_by_its_values(env, ctx) {
    const child = followed(env, ctx, "values", `export default { fetch() {
      const lines = [
        ["a b"], ["a", "b"], ["a b", "", "c "], [" "], [""], [], ["\\u{1f600}", "\\ud83d", "\\ude00", "\\u00e9"],
        ["%s", "x"], ["%o", "\\n"], ["100%", "x"], ["x", "100%"], ["a\\nb", "c"], ["\\"", "\\u0000"], ["a", new String("b")],
      ];
      for (const line of lines) console.log(...line);
      console.group("g");
      console.log("in", "it");
      console.log("on\\ntwo");
      console.groupEnd();
      return Response.json(lines);
    } };`);
    const lines = await (await child.getEntrypoint().fetch("https://x/")).json();
    const item = await outcomeOf("values");
    const replaced = (text) => text.toWellFormed();
    const told = [...lines, ["g"], ["in", "it"], ["on\ntwo"]].map((line) => line.map(replaced));
    same(item.logs.map(({ message }) => message), told);
    same(events.get("values").filter(({ event }) => event.type === "log").map(({ event }) => event.message), told);
  },

  async who_asks_a_tail_hears_of_what_was_over_before(env, ctx) {
    const child = followed(env, ctx, "asked", `export default { fetch() { console.log("in"); return new Response("x"); } };`);
    for (let count = 1; count <= 10; count++) {
      await (await child.getEntrypoint().fetch("https://x/")).text();
      equal(await ctx.exports.Collector({ props: { key: "asked" } }).heard(), `${count} items, ${count} outcomes`);
    }
  },

  async messages_on_diagnostics_channels_are_told(env, ctx) {
    const child = followed(env, ctx, "channels", `import { channel } from "node:diagnostics_channel";
      export default { async fetch() {
        channel("nobody subscribes").publish({ n: 1, when: new Date(0) });
        channel("not plain").publish({ f() {} });
        return new Response("x");
      } };`);
    await (await child.getEntrypoint().fetch("https://x/")).text();
    const { diagnosticsChannelEvents: told } = await outcomeOf("channels");
    same(told.map(({ channel, message }) => [channel, message]), [
      ["nobody subscribes", { n: 1, when: new Date(0) }],
      ["not plain", "[[ Diagnostic event was not serializable ]]"],
    ]);
    same(types(events.get("channels")), ["onset", "diagnosticChannel", "diagnosticChannel", "return", "outcome"]);
  },

  async a_tail_that_throws_is_its_own_affair(env, ctx) {
    const tail = ctx.exports.Throwing({});
    const child = env.LOADER.load(code(`export default { fetch() { return new Response("fine"); } };`, { tails: [tail], streamingTails: [tail] }));
    equal(await (await child.getEntrypoint().fetch("https://x/")).text(), "fine");
  },

  async a_configured_worker_is_followed(env) {
    const before = Number(await (await env.TAILED.fetch("https://tailed/before")).text());
    const answer = await env.TAILED.fetch("https://tailed/path");
    equal(answer.status, 203);
    equal(await env.TAILED_NAMED.add(1, 2), 3);
    await env.TAILED.scheduled({ cron: "* * * * *", scheduledTime: new Date(1000) });
    const own = (list) => list.filter((item) => item.scriptName === "tailed" && item.event.consumedEvents === undefined);
    const [, fetched, called, scheduled] = own(await arrived(items, "configured", (list) => own(list).length >= 4));
    same(fetched.logs[0].message, ["configured", "/path"]);
    same([called.entrypoint, called.event.rpcMethod, called.logs[0].level], ["Named", "add", "info"]);
    same([scheduled.event.scheduledTime, scheduled.event.cron], [1000, "* * * * *"]);
    await arrived(events, "configured", (list) => list.filter((one) => one.event.type === "outcome").length >= 4);
    // It hears of itself, and nobody hears of it hearing of itself hearing.
    for (let tries = 0; tries < 100; tries++) {
      if (Number(await (await env.TAILED.fetch("https://tailed/again")).text()) >= before + 4) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error("the Worker did not hear of itself");
  },

  async an_object_is_followed_by_its_id(env) {
    const id = await env.TAILED_NAMED.ring();
    const of = (list) => list.filter((item) => item.entrypoint === "Bell");
    const [called, rung] = of(await arrived(items, "configured", (list) => of(list).length >= 2));
    same([called.executionModel, called.durableObjectId, called.event.rpcMethod], ["durableObject", id, "ring"]);
    same([rung.executionModel, rung.durableObjectId, rung.outcome], ["durableObject", id, "ok"]);
    equal(rung.event.scheduledTime instanceof Date, true);
    same(rung.logs[0].message, ["ding"]);
    const ofStream = (list) => list.filter((one) => one.event.type === "onset" && one.event.entrypoint === "Bell");
    const [, alarm] = ofStream(await arrived(events, "configured", (list) => ofStream(list).length >= 2));
    const { executionModel, durableObjectId, info } = alarm.event;
    same([executionModel, durableObjectId, info.type, info.scheduledTime instanceof Date], ["durableObject", id, "alarm", true]);
  },
};

export class Callee extends WorkerEntrypoint {
  fetch() {
    return new Response("x", { status: 201 });
  }
  twice(n) {
    return 2 * n;
  }
}

export class Throwing extends WorkerEntrypoint {
  tail() {
    throw new Error("in a tail");
  }
  tailStream() {
    throw new Error("in a stream");
  }
}

const listed = suite(cases);

/** For `tests/tail.rs`, which kills a process meanwhile: what its tails heard. */
async function killed(env, ctx) {
  const child = followed(env, ctx, "killed", `export default { async fetch() {
    console.log("about to be killed"); await scheduler.wait(60_000); } };`);
  const error = await child.getEntrypoint().fetch("https://x/").catch((error) => error);
  const { outcome, logs, exceptions } = await outcomeOf("killed");
  return Response.json({ heard: error.message, outcome, logs: logs.map((log) => log.message), said: exceptions[0].message });
}

export default {
  fetch(request, env, ctx) {
    return new URL(request.url).pathname === "/killed" ? killed(env, ctx) : listed.fetch(request, env, ctx);
  },
  tail(got) {
    for (const item of got) keep(items, "configured", item);
  },
  tailStream(onset) {
    keep(events, "configured", onset);
    return (event) => keep(events, "configured", event);
  },
};
