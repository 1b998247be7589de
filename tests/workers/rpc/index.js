// Runs the RPC cases in each direction: `/down/<case>` from this Worker into a dynamic one,
// `/up/<case>` from a dynamic Worker into this one, `/across/<case>` into another configured one.

import { WorkerEntrypoint } from "cloudflare:workers";
import casesText from "./cases.txt";
import peerText from "./peer.txt";
import suiteText from "./suite.txt";
import { cases, run } from "./cases.js";
import { equal, fails, matches, sleep } from "../kit/suite.js";

export { Counter, Peer } from "./peer.js";

/** What calls of this Worker into itself reach. */
export class Itself extends WorkerEntrypoint {
  never() {
    return new Promise(() => {});
  }
  fetch() {
    return this.never();
  }
  async caught() {
    const { message } = await fails(() => this.ctx.exports.Itself.never());
    return message;
  }
  asks(code) {
    return child(this.env, code).slow();
  }
  async slow() {
    await sleep(400);
    return "slow";
  }
}

const HUNG = /had hung and would never generate a response/;

const DATE = "2026-08-01";
const FLAGS = ["nodejs_compat"];

function child(env, code) {
  return env.LOADER.load({ compatibilityDate: DATE, compatibilityFlags: FLAGS, ...code }).getEntrypoint();
}

function callee(env, more) {
  return child(env, { mainModule: "peer.js", modules: { "peer.js": peerText }, ...more });
}

/** What needs a callee that may be killed. */
const lost = {
  async a_guest_that_dies_rejects_its_callers(env) {
    const peer = callee(env, { limits: { cpuMs: 50 } });
    const hanging = peer.hang();
    const stub = await peer.makeCounter(1);
    const [first, second] = await Promise.allSettled([hanging, peer.die()]);
    if (first.status !== "rejected" || second.status !== "rejected") throw new Error("a call succeeded");
    matches(second.reason.message, /CPU/);
    await fails(() => stub.increment());
  },

  async on_rpc_broken_is_called(env) {
    const peer = callee(env, { limits: { cpuMs: 50 } });
    const stub = await peer.makeCounter(1);
    let broken;
    stub.onRpcBroken((error) => { broken = error; });
    await peer.die().catch(() => {});
    for (let i = 0; i < 50 && !broken; i++) await sleep(10);
    if (!broken) throw new Error("never told");
  },

  async a_plain_object_gets_env_and_ctx(env) {
    const stub = env.LOADER.load({ compatibilityDate: DATE, compatibilityFlags: FLAGS, mainModule: "peer.js", modules: { "peer.js": peerText } });
    const text = await stub.getEntrypoint("plain").greet("bob");
    if (text !== "plain bob object function") throw new Error(text);
  },

  async a_stub_reaches_a_third_party(env) {
    const a = callee(env);
    const b = callee(env);
    const counter = await a.makeCounter(1);
    if ((await b.incrementTheirs(counter)) !== 11) throw new Error("b did not reach a");
    if ((await counter.value) !== 11) throw new Error("a did not see b");
  },

  async a_call_into_itself_that_hangs_is_failed(env, ctx) {
    matches((await fails(() => ctx.exports.Itself.never())).message, HUNG);
    matches((await fails(() => ctx.exports.Itself.fetch("https://x/"))).message, HUNG);
    matches((await fails(() => ctx.exports.Itself.never().more.again())).message, HUNG);
  },

  async of_calls_into_itself_the_innermost_is_failed(env, ctx) {
    matches(await ctx.exports.Itself.caught(), HUNG);
    const [slow, ...others] = await Promise.allSettled([
      ctx.exports.Itself.slow(), ctx.exports.Itself.never(), ctx.exports.Itself.caught(), ctx.exports.Itself.never(),
    ]);
    if (slow.value !== "slow") throw new Error("what can be answered is");
    matches(others[0].reason.message, HUNG);
    matches(others[1].value, HUNG);
    matches(others[2].reason.message, HUNG);
  },

  async a_call_into_itself_waits_for_others(env, ctx) {
    const main = `import { WorkerEntrypoint } from "cloudflare:workers";
      export default class extends WorkerEntrypoint { async slow() { await scheduler.wait(400); return "other"; } }`;
    const code = { mainModule: "main.js", modules: { "main.js": main } };
    const both = await Promise.all([child(env, code).slow(), ctx.exports.Itself.asks(code)]);
    equal(both.join(), "other,other");
  },
};

export default {
  async fetch(request, env, ctx) {
    const [, direction, name = ""] = new URL(request.url).pathname.split("/");
    switch (direction) {
      case "down":
        return run(name, callee(env));
      case "across":
        return run(name, env.SERVICE);
      case "up": {
        const main = `import { run } from "./dir/cases.js";
          export default { fetch(request, env) { return run(new URL(request.url).pathname.split("/")[2] ?? "", env.PEER); } };`;
        const modules = { "main.js": main, "dir/cases.js": casesText, "kit/suite.js": suiteText };
        return child(env, { mainModule: "main.js", modules, env: { PEER: ctx.exports.Peer({}) } }).fetch(request);
      }
      case "lost":
        if (name === "") return Response.json(Object.keys(lost));
        try {
          await lost[name](env, ctx);
          return new Response("ok");
        } catch (error) {
          return new Response(`${error?.name}: ${error?.message}\n${error?.stack}`, { status: 500 });
        }
      default:
        return Response.json(Object.keys(cases));
    }
  },
};
