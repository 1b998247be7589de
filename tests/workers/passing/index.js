// Bodies and streams that a Worker passes on without reading them. This Worker is at both ends: it asks
// `middle`, a dynamic Worker, which asks `Source` here. What passes through the middle in between is as
// if it had not been there.

import { WorkerEntrypoint } from "cloudflare:workers";
import { equal, fails, matches, sleep } from "../kit/suite.js";

const CHUNK = 50_000;

/** What the source heard of cancels, by the name of the stream. */
const canceled = new Map();

/** Each byte follows from where it stands. */
function patternAt(start, end) {
  const bytes = new Uint8Array(end - start);
  for (let i = start; i < end; i++) bytes[i - start] = (i * 7 + (i >> 8)) & 0xff;
  return bytes;
}

/** A stream of `length` bytes of the pattern that fails after `failAfter`, and ends otherwise. */
function streamOf(length, { failAfter = Infinity, name = "", chunk = CHUNK } = {}) {
  let at = 0;
  return new ReadableStream({
    async pull(controller) {
      if (at >= failAfter) return controller.error(new Error("the stream broke"));
      if (at >= length) return controller.close();
      const end = Math.min(at + chunk, length);
      controller.enqueue(patternAt(at, end));
      at = end;
    },
    cancel(reason) {
      canceled.set(name, String(reason));
    },
  });
}

async function sameBytes(stream, length) {
  let at = 0;
  for await (const part of stream) {
    const wanted = patternAt(at, at + part.byteLength);
    const wrong = part.findIndex((byte, i) => byte !== wanted[i]);
    if (wrong >= 0) throw new Error(`byte ${at + wrong} is ${part[wrong]}`);
    at += part.byteLength;
  }
  equal(at, length);
}

async function heardCancel(name) {
  for (let i = 0; i < 100 && !canceled.has(name); i++) await sleep(10);
  if (!canceled.has(name)) throw new Error("the source was not cancelled");
}

export class Source extends WorkerEntrypoint {
  async fetch(request) {
    const url = new URL(request.url);
    if (url.pathname === "/echo") return new Response(request.body, { headers: { "x-from": "source" } });
    if (url.pathname === "/count") {
      let count = 0;
      for await (const part of request.body) count += part.byteLength;
      return new Response(String(count));
    }
    const number = (name) => Number(url.searchParams.get(name) ?? Infinity);
    const name = url.searchParams.get("name") ?? "";
    return new Response(streamOf(number("n"), { failAfter: number("fail"), name, chunk: Math.min(number("chunk"), CHUNK) }));
  }

  stream(length, options) {
    return streamOf(length, options);
  }
}

const MIDDLE = `
  import { WorkerEntrypoint } from "cloudflare:workers";
  export default class extends WorkerEntrypoint {
    async fetch(request) {
      const { SOURCE } = this.env;
      switch (request.headers.get("x-how")) {
        case "headers": {
          const response = await SOURCE.fetch(request);
          return new Response(response.body, { headers: { "x-by": "middle" } });
        }
        case "rebuilt":
          return SOURCE.fetch(new Request(request.url, request));
        case "late": {
          const response = await SOURCE.fetch(request);
          await new Promise((resolve) => setTimeout(resolve, 30));
          return new Response(String((await response.arrayBuffer()).byteLength));
        }
        case "locked": {
          const response = await SOURCE.fetch(request);
          response.body.getReader().releaseLock();
          return response;
        }
        case "half": {
          const response = await SOURCE.fetch(request);
          const reader = response.body.getReader();
          const { value } = await reader.read();
          reader.releaseLock();
          return new Response(response.body, { headers: { "x-read": String(value.byteLength) } });
        }
        case "doomed": {
          const response = await SOURCE.fetch(request);
          this.ctx.waitUntil(new Promise((resolve) => setTimeout(resolve, 20)).then(() => { for (;;); }));
          return response;
        }
        default:
          return SOURCE.fetch(request);
      }
    }
    stream(length, options) {
      return this.env.SOURCE.stream(length, options);
    }
  }`;

const cases = {
  async a_large_body_passes(middle) {
    const response = await middle.fetch("http://x/?n=3000001");
    await sameBytes(response.body, 3_000_001);
  },

  async a_short_body_that_has_ended_passes(middle) {
    for (const length of [0, 1, 1000, 100_000]) {
      const response = await middle.fetch(`http://x/?n=${length}&chunk=300`);
      await sameBytes(response.body, length);
    }
  },

  async a_body_passes_with_other_headers(middle) {
    const response = await middle.fetch("http://x/?n=1500000", { headers: { "x-how": "headers" } });
    equal(response.headers.get("x-by"), "middle");
    await sameBytes(response.body, 1_500_000);
  },

  async a_request_body_passes(middle) {
    const response = await middle.fetch("http://x/count", { method: "POST", body: streamOf(2_000_000) });
    equal(await response.text(), "2000000");
  },

  async bodies_pass_both_ways_at_once(middle) {
    for (const how of ["plain", "rebuilt", "headers"]) {
      const response = await middle.fetch("http://x/echo", {
        method: "POST",
        body: streamOf(2_500_000),
        headers: { "x-how": how },
      });
      equal(response.headers.get("x-from"), how === "headers" ? null : "source");
      await sameBytes(response.body, 2_500_000);
    }
  },

  async many_pass_at_once(middle) {
    const one = async (length) => sameBytes((await middle.fetch(`http://x/?n=${length}`)).body, length);
    await Promise.all(Array.from({ length: 12 }, (_, i) => one(700_000 + i)));
  },

  async what_is_read_late_is_whole(middle) {
    const response = await middle.fetch("http://x/?n=1234567", { headers: { "x-how": "late" } });
    equal(await response.text(), "1234567");
  },

  async what_was_locked_and_let_go_passes(middle) {
    const response = await middle.fetch("http://x/?n=1000000", { headers: { "x-how": "locked" } });
    await sameBytes(response.body, 1_000_000);
  },

  async what_was_read_in_part_is_no_body(middle) {
    // As a body it is refused.
    const error = await fails(() => middle.fetch("http://x/?n=1000000", { headers: { "x-how": "half" } }));
    matches(error.message, /disturbed/);
  },

  async a_failure_passes(middle) {
    const response = await middle.fetch("http://x/?n=5000000&fail=1000000");
    matches((await fails(() => response.arrayBuffer())).message, /the stream broke/);
  },

  async a_cancel_passes(middle) {
    const response = await middle.fetch("http://x/?n=50000000&name=cancel");
    const reader = response.body.getReader();
    await reader.read();
    await reader.cancel("enough");
    await heardCancel("cancel");
  },

  async an_abort_passes(middle) {
    const controller = new AbortController();
    const response = await middle.fetch("http://x/?n=50000000&name=abort", { signal: controller.signal });
    const reader = response.body.getReader();
    await reader.read();
    controller.abort();
    await fails(async () => {
      for (;;) if ((await reader.read()).done) break;
    });
    await heardCancel("abort");
  },

  async an_end_is_heard_without_reading(middle) {
    const response = await middle.fetch("http://x/?n=0");
    const reader = response.body.getReader();
    await reader.closed;
    const broken = await middle.fetch("http://x/?n=100&fail=0");
    matches((await fails(() => broken.body.getReader().closed)).message, /the stream broke/);
  },

  async streams_pass_as_values(middle) {
    await sameBytes(await middle.stream(2_000_000), 2_000_000);
    matches((await fails(async () => sameBytes(await middle.stream(900_000, { failAfter: 600_000 }), 1))).message, /broke|byte/);
    const stream = await middle.stream(90_000_000, { name: "value" });
    await stream.cancel();
    await heardCancel("value");
  },

  async a_body_breaks_when_the_worker_that_passed_it_on_ends(_, load) {
    const middle = load({ cpuMs: 3000 });
    const response = await middle.fetch("http://x/?n=900000000&name=doomed", { headers: { "x-how": "doomed" } });
    const error = await fails(async () => {
      for await (const part of response.body) await sleep(part.byteLength > 0 ? 2 : 0);
    });
    matches(error.message, /CPU|limit|process/i);
    await heardCancel("doomed");
  },
};

export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url);
    const load = (limits = {}) =>
      env.LOADER.load({
        compatibilityDate: "2026-08-01",
        mainModule: "main.js",
        modules: { "main.js": MIDDLE },
        env: { SOURCE: ctx.exports.Source({}) },
        limits,
      }).getEntrypoint();
    if (url.pathname.startsWith("/through/")) {
      // Out to the client, or in from it.
      return load().fetch(new Request(`http://x/${url.pathname.slice("/through/".length)}${url.search}`, request));
    }
    const name = url.pathname.slice(1);
    if (name === "") return Response.json(Object.keys(cases));
    try {
      await cases[name](load(), load);
      return new Response("ok");
    } catch (error) {
      return new Response(`${error?.name}: ${error?.message}\n${error?.stack}`, { status: 500 });
    }
  },
};
