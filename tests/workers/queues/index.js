// Queues: what is sent arrives, is tried again, and is given up. `tests/queues.rs` adds what needs a second host.

import { equal, fails, same, sleep, suite } from "../kit/suite.js";

/** What consumers got, for the cases of this very process. */
const got = [];
/** By the `case` of a body: what its consumer does. */
const plans = new Map();

async function arrived(name, count = 1) {
  for (let i = 0; i < 200; i++) {
    const found = got.filter((message) => message.body?.case === name);
    if (found.length >= count) return found;
    await sleep(50);
  }
  throw new Error(`${name}: ${JSON.stringify(got)} is all that arrived`);
}

const handlers = suite({
  async a_message_arrives_with_what_is_known_of_it({ QUEUE }) {
    const before = Date.now();
    const sent = await QUEUE.send({ case: "one", value: [1, "ü"] });
    equal(sent.metadata.metrics.backlogCount >= 1, true, "backlog");
    const [message] = await arrived("one");
    same(message.body, { case: "one", value: [1, "ü"] });
    equal(message.queue, "work");
    equal(message.attempts, 1);
    equal(message.timestamp instanceof Date && message.timestamp >= before, true, "timestamp");
    equal(/^[0-9a-f]{32}$/.test(message.id), true, "id");
  },
  async bodies_come_in_every_form({ QUEUE }) {
    await QUEUE.send("plain", { contentType: "text" });
    await QUEUE.send(new Uint8Array([0, 255]), { contentType: "bytes" });
    await QUEUE.send({ case: "v8", map: new Map([[1, new Date(5)]]) }, { contentType: "v8" });
    const [{ body }] = await arrived("v8");
    equal(body.map.get(1).getTime(), 5);
    for (let i = 0; i < 100 && !got.some((message) => message.body instanceof Uint8Array); i++) await sleep(50);
    equal(got.some((message) => message.body === "plain"), true, "text");
    same([...got.find((message) => message.body instanceof Uint8Array).body], [0, 255]);
    await fails(() => QUEUE.send(5, { contentType: "text" }), { name: "TypeError", message: /requires a value of type string/ });
    await fails(() => QUEUE.send("x", { contentType: "bytes" }), { name: "TypeError", message: /ArrayBufferView/ });
    await fails(() => QUEUE.send("x", { contentType: "xml" }), { name: "TypeError", message: /Unsupported queue message content type: xml/ });
    await fails(() => QUEUE.send(undefined), { name: "TypeError", message: /cannot be undefined/ });
  },
  async batches_are_filled_up_to_their_size({ QUEUE }) {
    const messages = Array.from({ length: 12 }, (_, n) => ({ body: { case: "batch", n } }));
    await QUEUE.sendBatch(messages);
    const found = await arrived("batch", 12);
    same(found.map(({ body }) => body.n).sort((a, b) => a - b), messages.map((_, n) => n));
    equal(Math.max(...found.map(({ size }) => size)) <= 5, true, "size of a batch");
  },
  async what_is_retried_comes_again_and_the_rest_does_not({ QUEUE }) {
    plans.set("retry", (message) => (message.attempts === 1 && message.body.n === 1 ? message.retry() : undefined));
    await QUEUE.sendBatch([0, 1, 2].map((n) => ({ body: { case: "retry", n } })));
    const found = await arrived("retry", 4);
    same(found.map(({ body, attempts }) => [body.n, attempts]).sort(), [[0, 1], [1, 1], [1, 2], [2, 1]]);
    await sleep(300);
    equal((await arrived("retry", 4)).length, 4);
  },
  async a_handler_that_throws_has_acknowledged_what_it_said({ QUEUE }) {
    plans.set("throw", (message) => {
      if (message.attempts > 1) return;
      if (message.body.n === 0) message.ack();
      else throw new Error("no");
    });
    await QUEUE.sendBatch([0, 1].map((n) => ({ body: { case: "throw", n } })));
    const found = await arrived("throw", 3);
    same(found.map(({ body, attempts }) => [body.n, attempts]).sort(), [[0, 1], [1, 1], [1, 2]]);
  },
  async what_fails_too_often_goes_to_the_dead_letter_queue({ QUEUE }) {
    plans.set("dies", (message) => (message.queue === "work" ? message.retry() : undefined));
    await QUEUE.send({ case: "dies" });
    const found = await arrived("dies", 4);
    same(found.map(({ queue, attempts }) => [queue, attempts]), [["work", 1], ["work", 2], ["work", 3], ["dead", 1]]);
  },
  async delays_are_kept({ QUEUE, SLOW }) {
    const before = Date.now();
    await SLOW.send({ case: "slow" });
    await QUEUE.send({ case: "delayed" }, { delaySeconds: 1 });
    const [slow] = await arrived("slow");
    const [delayed] = await arrived("delayed");
    equal(slow.at - before >= 990 && delayed.at - before >= 990, true, `${slow.at - before} and ${delayed.at - before} ms`);
    await SLOW.send({ case: "hasty" }, { delaySeconds: 0 });
    const sent = Date.now();
    equal((await arrived("hasty"))[0].at - sent < 900, true, "a delay of its own");
    plans.set("again", (message) => (message.attempts === 1 ? message.retry({ delaySeconds: 1 }) : undefined));
    await SLOW.send({ case: "again" }, { delaySeconds: 0 });
    const [first, second] = await arrived("again", 2);
    equal(second.at - first.at >= 990, true, "a delay of a retry");
  },
  async limits_are_errors_that_say_so({ LATER }) {
    await fails(() => LATER.send("x".repeat(128_001)), { message: /^Queue send failed: A message of 128003 bytes exceeds the limit of 128000/ });
    await fails(() => LATER.sendBatch(Array(101).fill({ body: 1 })), { message: /^Queue sendBatch failed: A batch has 1 to 100 messages, not 101/ });
    await fails(() => LATER.sendBatch(Array(3).fill({ body: "x".repeat(100_000) })), { message: /exceeds 256000 bytes/ });
    await fails(() => LATER.sendBatch([]), { name: "TypeError" });
    await fails(() => LATER.send(1, { delaySeconds: 86_401 }), { message: /exceeds the limit of 86400/ });
    await fails(() => LATER.send(1, { delaySeconds: -1 }), { name: "TypeError" });
    same(await LATER.metrics(), { backlogCount: 0, backlogBytes: 0 });
    const { metadata } = await LATER.send("ab", { contentType: "text" });
    same([metadata.metrics.backlogCount, metadata.metrics.backlogBytes], [1, 2]);
    equal(metadata.metrics.oldestMessageTimestamp instanceof Date, true);
  },
});

export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url);
    if (url.pathname === "/send") {
      await env.QUEUE.send({ case: "kept", n: Number(url.searchParams.get("n")) }, { delaySeconds: Number(url.searchParams.get("delay")) });
      return new Response("sent");
    }
    if (url.pathname === "/kept") return Response.json([...new Set(got.filter(({ body }) => body?.case === "kept").map(({ body }) => body.n))].sort());
    return handlers.fetch(request, env, ctx);
  },
  async queue(batch) {
    for (const { id, timestamp, body, attempts } of batch.messages) {
      got.push({ id, timestamp, body, attempts, queue: batch.queue, size: batch.messages.length, at: Date.now() });
    }
    for (const message of batch.messages) {
      const { id, body, attempts } = message;
      plans.get(body?.case)?.({ id, body, attempts, queue: batch.queue, ack: () => message.ack(), retry: (options) => message.retry(options) });
    }
  },
};
