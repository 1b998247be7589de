// Calls one after another, without a pause: guests that call like that share a core or stay awake, and
// what they say goes through a mailbox where it fits. None of that may be seen in what is said.

import { WorkerEntrypoint } from "cloudflare:workers";
import { equal, fails, matches, sleep, suite } from "../kit/suite.js";

const CHILD = `
  import { WorkerEntrypoint, RpcTarget } from "cloudflare:workers";
  let late = 0;
  class Counter extends RpcTarget {
    #count = 0;
    next() { return ++this.#count; }
  }
  export default class extends WorkerEntrypoint {
    add(a, b) { return a + b; }
    echo(value) { return value; }
    fail(text) { throw new RangeError(text); }
    counter() { return new Counter(); }
    stream(text) { return new Response(text).body; }
    say(text) { console.log(text); return text.length; }
    async callBack(callback, n) {
      let sum = 0;
      for (let i = 0; i < n; i++) sum += await callback(i);
      return sum;
    }
    later(ms) { this.ctx.waitUntil(new Promise((done) => setTimeout(() => done(late++), ms))); }
    late() { return late; }
    work(rounds) { let x = 1; for (let i = 0; i < rounds; i++) x = Math.imul(x, 1664525) + 1 | 0; return x; }
    hang() { for (;;); }
  }`;

let made = 0;
function child(env, limits) {
  const code = { compatibilityDate: "2026-08-01", mainModule: "main.js", modules: { "main.js": CHILD }, ...limits };
  return env.LOADER.get(`child-${made++}`, () => code).getEntrypoint();
}

async function streak(stub, n = 200) {
  let sum = 0;
  for (let i = 0; i < n; i++) sum = await stub.add(sum, i);
  equal(sum, (n * (n - 1)) / 2, "sum");
}

export class Self extends WorkerEntrypoint {
  add(a, b) {
    return a + b;
  }
}

export default suite({
  async thousands_of_calls(env) {
    await streak(child(env), 5000);
  },

  /** Beyond a mailbox, beyond the socket's buffer, and back. */
  async messages_of_every_size(env) {
    const stub = child(env);
    await streak(stub);
    for (const length of [0, 1, 3900, 3990, 4000, 4010, 4032, 4100, 70_000, 1_500_000]) {
      for (const text of ["x".repeat(length), "\u{20ac}".repeat(length)]) {
        equal(await stub.echo(text), text, `text of ${length}`);
        const bytes = new Uint8Array(length).fill(7);
        equal((await stub.echo(bytes)).length, length);
        await streak(stub, 30);
      }
    }
  },

  async errors_and_stubs_and_streams(env) {
    const stub = child(env);
    const counter = await stub.counter();
    for (let i = 1; i <= 100; i++) {
      await streak(stub, 10);
      await fails(() => stub.fail(`number ${i}`), { name: "RangeError", message: new RegExp(`^number ${i}$`) });
      equal(await counter.next(), i);
      equal(await new Response(await stub.stream(`text ${i}`)).text(), `text ${i}`);
      equal(await stub.say("something"), 9);
    }
  },

  async callbacks_in_a_streak(env) {
    const stub = child(env);
    for (let i = 0; i < 20; i++) {
      await streak(stub, 40);
      equal(await stub.callBack((n) => n * 2, 60), 60 * 59);
    }
  },

  async results_called_before_they_come(env) {
    const stub = child(env);
    for (let i = 0; i < 300; i++) equal(await stub.counter().next(), 1);
    const many = await Promise.all(Array.from({ length: 50 }, (_, i) => stub.add(i, 1)));
    equal(many.length, 50);
    await streak(stub);
  },

  /** Whoever is called all the time has time for its timers. */
  async timers_of_the_callee(env) {
    const stub = child(env);
    await stub.later(5);
    const until = Date.now() + 20_000;
    while ((await stub.late()) === 0) {
      if (Date.now() > until) throw new Error("the timer never ran");
    }
  },

  async pauses_and_long_calls(env) {
    const stub = child(env);
    for (let round = 0; round < 6; round++) {
      await streak(stub, 60);
      await sleep(round);
      for (let i = 0; i < 20; i++) await stub.work(round * 50_000);
    }
  },

  async two_callees_at_once(env) {
    const [one, other] = [child(env), child(env)];
    for (let i = 0; i < 5; i++) {
      await streak(one, 60);
      await streak(other, 60);
      await Promise.all([streak(one, 100), streak(other, 100)]);
    }
  },

  async calls_into_oneself(env, ctx) {
    const own = ctx.exports.Self();
    await streak(own, 500);
  },

  async a_callee_that_hangs_in_a_streak(env) {
    const stub = child(env, { limits: { cpuMs: 50 } });
    await streak(stub, 100);
    const error = await fails(() => stub.hang());
    matches(error.message, /CPU/);
    await streak(child(env), 100);
  },

  /** Enough for those who call to be a pair. */
  async a_little_of_all(env) {
    const stub = child(env);
    await streak(stub, 40);
    const counter = await stub.counter();
    for (let i = 1; i <= 3; i++) {
      await fails(() => stub.fail("no"), { name: "RangeError" });
      equal(await counter.next(), i);
      equal(await new Response(await stub.stream("text")).text(), "text");
      equal(await stub.callBack((n) => n * 2, 10), 10 * 9);
      await streak(stub, 10);
    }
  },
});
