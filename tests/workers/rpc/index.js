// Runs the RPC cases in each direction: `/down/<case>` from this Worker into a dynamic one,
// `/up/<case>` from a dynamic Worker into this one, `/across/<case>` into another configured one.

import casesText from "./cases.txt";
import peerText from "./peer.txt";
import suiteText from "./suite.txt";
import { cases, run } from "./cases.js";
import { fails, matches, sleep } from "../kit/suite.js";

export { Counter, Peer } from "./peer.js";

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
          await lost[name](env);
          return new Response("ok");
        } catch (error) {
          return new Response(`${error?.name}: ${error?.message}\n${error?.stack}`, { status: 500 });
        }
      default:
        return Response.json(Object.keys(cases));
    }
  },
};
