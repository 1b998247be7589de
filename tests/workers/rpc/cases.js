// Workers RPC by behaviour. Each case gets a stub of `Peer` (peer.js), wherever that lives: in a
// dynamic Worker, in the parent of one, or in another configured Worker.

import { RpcStub, RpcTarget } from "cloudflare:workers";
import { equal, fails, matches, same, sleep } from "../kit/suite.js";

class Local extends RpcTarget {
  #value = 0;
  own = "own";
  increment(by) {
    this.#value += by;
    return this.#value;
  }
  get value() {
    return this.#value;
  }
}

export const cases = {
  async calls_a_method(peer) {
    equal(await peer.add(1, 2), 3);
    equal(await peer.addLater(1, 2), 3);
  },

  async many_calls_at_once(peer) {
    const sums = await Promise.all(Array.from({ length: 100 }, (_, i) => peer.add(i, 1)));
    same(sums, Array.from({ length: 100 }, (_, i) => i + 1));
  },

  async reads_a_property(peer) {
    same(await peer.property, { nested: { answer: 42 } });
    equal(await peer.property.nested.answer, 42);
  },

  async missing_methods_are_named(peer) {
    const error = await fails(() => peer.nothing());
    equal(error.name, "TypeError");
    matches(error.message, /nothing/);
  },

  async own_fields_private_members_and_object_prototype_are_out_of_reach(peer) {
    for (const name of ["field", "hasOwnProperty", "constructor", "__proto__", "toString", "valueOf"]) {
      // Some names (constructor, toString...) are the stub's own business; none may answer with
      // what the callee has.
      const value = await Promise.resolve(peer[name]).catch(() => undefined);
      if (typeof value === "string") throw new Error(`${name} leaked ${value}`);
    }
    const counter = await peer.makeCounter(0);
    const error = await fails(async () => await counter.own);
    matches(error.message, /own/);
  },

  async primitives_round_trip(peer) {
    for (const value of [undefined, null, true, false, 0, -0, 1.5, NaN, Infinity, -(2 ** 40), 10n ** 30n, -5n, "", "é\u{1F98B}", "\ud800"]) {
      equal(await peer.echo(value), value);
    }
  },

  /** Where messages stop being short, or being of one kind. */
  async values_at_the_edges_of_the_short_form_round_trip(peer) {
    const numbers = [127, 128, -1, -128, 2 ** 31 - 1, -(2 ** 31), 2 ** 31, 2 ** 53, 5e-324];
    const texts = [31, 32, 127, 128, 255, 256, 257, 4095, 4096, 5000].map((length) => "\u00e9".repeat(length));
    for (const value of [...numbers, ...texts, "a\u0100", "\u0100".repeat(300)]) equal(await peer.echo(value), value);
    for (const count of [0, 1, 20, 127, 128, 300]) {
      same(await peer.list(...Array.from({ length: count }, (_, i) => i)), Array.from({ length: count }, (_, i) => i));
    }
    const long = Array.from({ length: 30 }, (_, i) => `${i}`.padStart(200, "x"));
    same(await peer.list(...long), long);
    same(await peer.list(1, "two", null, undefined, true, -0.5, { three: 3 }), [1, "two", null, undefined, true, -0.5, { three: 3 }]);
    const symbol = await fails(() => peer.list(1, Symbol("s")));
    equal(symbol.name, "DataCloneError");
  },

  async calls_inside_arguments_and_getters_go_their_own_way(peer) {
    const inner = [];
    const value = {
      get now() {
        inner.push(peer.add(20, 22));
        return "got";
      },
    };
    same(await peer.list(1, value, 3), [1, { now: "got" }, 3]);
    same(await Promise.all(inner), [42]);
  },

  async calls_leave_in_order_whatever_else_does(peer) {
    const counter = await peer.makeCounter(0);
    const first = counter.increment(1);
    console.log("a line between");
    const second = counter.increment(10);
    const child = counter.child(5);
    const third = child.increment(1);
    counter[Symbol.dispose]();
    same(await Promise.all([first, second, third]), [1, 11, 6]);
  },

  async what_a_species_sees_is_its_own(peer) {
    const Species = Object.getPrototypeOf(Uint8Array);
    const before = Object.getOwnPropertyDescriptor(Species, Symbol.species);
    let seen = 0;
    Object.defineProperty(Species, Symbol.species, {
      configurable: true,
      get() {
        return class extends Uint8Array {
          constructor(...args) {
            super(...args);
            if (args[0] instanceof ArrayBuffer) seen++;
          }
        };
      },
    });
    try {
      equal(await peer.echo("x".repeat(200)), "x".repeat(200));
      equal(await peer.echo(10n ** 30n), 10n ** 30n);
    } finally {
      Object.defineProperty(Species, Symbol.species, before);
    }
    equal(seen, 0);
  },

  async structured_values_round_trip(peer) {
    const value = {
      date: new Date(1e12),
      regexp: /a+\/b/giu,
      map: new Map([[{ k: 1 }, new Set([1, "2"])]]),
      array: [1, , 3],
      bytes: new Uint8Array([1, 2, 3]),
      floats: new Float64Array([1.5, -0]),
      buffer: new Uint8Array([9]).buffer,
      boxed: [Object(1), Object("s"), Object(true), Object(1n)],
    };
    const back = await peer.echo(value);
    equal(back.date.getTime(), 1e12);
    equal(String(back.regexp), "/a+\\/b/giu");
    const [[key, set]] = [...back.map];
    same([key, [...set]], [{ k: 1 }, [1, "2"]]);
    equal(1 in back.array, false);
    equal(back.array.length, 3);
    same([...back.bytes], [1, 2, 3]);
    equal(back.floats[0], 1.5);
    equal(back.buffer.byteLength, 1);
    same(back.boxed.slice(0, 3).map((b) => typeof b), ["object", "object", "object"]);
  },

  async cycles_and_shared_references_are_kept(peer) {
    const shared = { s: 1 };
    const value = { a: shared, b: shared };
    value.self = value;
    const back = await peer.echo(value);
    equal(back.a, back.b);
    equal(back.self, back);
  },

  async errors_are_values_too(peer) {
    const error = new RangeError("value", { cause: "why" });
    error.extra = [1];
    const back = await peer.echo(error);
    equal(back instanceof RangeError, true);
    equal(back.message, "value");
    equal(back.cause, "why");
  },

  async headers_round_trip(peer) {
    const back = await peer.echo(new Headers([["a", "1"], ["set-cookie", "x"], ["set-cookie", "y"]]));
    equal(back instanceof Headers, true);
    same(back.getSetCookie(), ["x", "y"]);
  },

  async a_request_travels(peer) {
    const request = new Request("https://x.test/p", { method: "POST", body: "hello", headers: { "x-test": "t" } });
    equal(await peer.describeRequest(request), "POST https://x.test/p t hello");
  },

  async a_response_travels(peer) {
    const response = await peer.makeResponse("made there");
    equal(response.status, 201);
    equal(response.headers.get("x-test"), "yes");
    equal(await response.text(), "made there");
  },

  async a_readable_stream_travels_both_ways(peer) {
    const stream = await peer.makeStream(500);
    let bytes = 0;
    for await (const part of stream) bytes += part.byteLength;
    equal(bytes, 500_000);
    const body = new Blob(["one ", "two"]).stream();
    equal(await peer.text(body), "one two");
  },

  async a_broken_stream_breaks_at_its_reader(peer) {
    const stream = await peer.makeFailingStream();
    matches((await fails(() => new Response(stream).text())).message, /the stream broke/);
  },

  async a_writable_stream_travels(peer) {
    const sink = await peer.makeSink();
    const writer = sink.writable.getWriter();
    await writer.write(new TextEncoder().encode("written "));
    await writer.write(new TextEncoder().encode("here"));
    await writer.close();
    equal(await sink.text(), "written here");
  },

  async calls_under_way_at_an_abort_hear_why(peer) {
    const held = await peer.aborting();
    const hanging = held.hang();
    equal(await held.ping(), "pong");
    for (const call of [held.abort(), held.ping(), hanging]) await fails(() => call, { message: /^enough of it$/ });
    await fails(() => held.ping(), { message: /which hosts this callback is no longer running/ });
  },

  async an_abort_signal_travels(peer) {
    const controller = new AbortController();
    const pending = peer.untilAborted(controller.signal);
    await sleep(10);
    controller.abort(new Error("enough"));
    matches(await pending, /aborted: .*enough/);
  },

  async class_instances_are_refused_by_name_and_path(peer) {
    class Database {}
    const error = await fails(() => peer.echo({ env: { list: [new Database()] } }));
    equal(error.name, "DataCloneError");
    matches(error.message, /Database/);
    const theirs = await fails(() => peer.returnNotCloneable());
    equal(theirs.name, "DataCloneError");
    matches(theirs.message, /NotCloneable/);
  },

  async promises_inside_values_are_awaited(peer) {
    same(await peer.echo({ a: Promise.resolve([1, Promise.resolve(2)]) }), { a: [1, 2] });
  },

  async targets_pass_by_reference(peer) {
    const counter = await peer.makeCounter(5);
    equal(await counter.increment(2), 7);
    equal(await counter.increment(), 8);
    equal(await counter.value, 8);
    const { a, list } = await peer.makeCounters();
    equal(await a.value, 1);
    equal(await list[0].increment(), 3);
  },

  async targets_of_the_caller_are_called_back(peer) {
    const local = new Local();
    equal(await peer.incrementTheirs(local), 10);
    equal(local.value, 10);
  },

  async functions_pass_by_reference(peer) {
    const greet = await peer.makeFunction("hi ");
    equal(await greet("bob"), "hi bob");
    equal(await peer.call((a, b) => a * b, 6, 7), 42);
    same(await peer.callTwice(async (n) => n * 10), [10, 20]);
  },

  async a_stub_sent_back_home_still_works(peer) {
    const counter = await peer.makeCounter(1);
    equal(await peer.incrementTheirs(counter), 11);
    const back = await peer.echo(counter);
    equal(await back.value, 11);
  },

  async calls_are_pipelined(peer) {
    equal(await peer.makeCounter(1).increment(4), 5);
    equal(await peer.makeCounter(1).child(7).increment(), 8);
    equal(await peer.makeCounters().list[0].value, 2);
    equal(await peer.makeFunction("p ")("x"), "p x");
  },

  async pipelined_arguments(peer) {
    equal(await peer.add(peer.add(1, 2), peer.add(3, 4)), 10);
  },

  async errors_travel_through_pipelines(peer) {
    const error = await fails(() => peer.makeCounter(1).child(2).fail());
    equal(error.name, "RangeError");
    matches(error.message, /counter failed/);
    const early = await fails(() => peer.fail("first").then_this().and_that());
    matches(early.message, /first/);
  },

  async errors_keep_name_message_and_properties(peer) {
    const error = await fails(() => peer.fail("bad input"));
    equal(error instanceof TypeError, true);
    equal(error.message, "bad input");
    const rich = await fails(() => peer.failWithProperties());
    equal(rich.message, "rich");
    equal(await fails(() => peer.failWithAString()).then((e) => String(e?.message ?? e)), "just a string");
  },

  async parameters_are_disposed_after_the_call(peer) {
    await peer.takeEvents();
    await peer.useAfterTheCall((n) => n);
    await sleep(80);
    const [event] = await peer.takeEvents();
    matches(event, /late failed/);
  },

  async dup_keeps_a_parameter_alive(peer) {
    await peer.keep((n) => n * 3);
    await sleep(10);
    equal(await peer.useKept(5), 15);
  },

  async disposing_a_stub_disposes_its_target(peer) {
    await peer.takeEvents();
    const counter = await peer.makeCounter(77);
    counter[Symbol.dispose]();
    for (let i = 0; i < 50; i++) {
      if ((await peer.takeEvents()).includes("disposed 77")) return;
      await sleep(10);
    }
    throw new Error("the target was never disposed");
  },

  async using_disposes_at_the_end_of_its_block(peer) {
    await peer.takeEvents();
    {
      using counter = await peer.makeCounter(78);
      equal(await counter.value, 78);
    }
    for (let i = 0; i < 50; i++) {
      if ((await peer.takeEvents()).includes("disposed 78")) return;
      await sleep(10);
    }
    throw new Error("the target was never disposed");
  },

  async a_disposed_stub_cannot_be_called(peer) {
    const counter = await peer.makeCounter(1);
    counter[Symbol.dispose]();
    const error = await fails(async () => await counter.increment());
    matches(error.message, /disposed/);
  },

  async rpc_stub_wraps_a_local_target(peer) {
    const stub = new RpcStub(new Local());
    equal(await stub.increment(2), 2);
    equal(await peer.incrementTheirs(stub), 12);
    equal(await stub.value, 12);
  },

  async fetch_over_the_same_stub(peer) {
    const response = await peer.fetch("https://x.test/path", { method: "POST", body: "b" });
    equal(await response.text(), "fetched POST /path b");
  },

  async a_message_above_32_mib_is_refused_by_name(peer) {
    const error = await fails(() => peer.echo(new Uint8Array(33 * 1024 * 1024)));
    matches(error.message, /32 ?MiB|33554432/);
    equal(await peer.add(1, 1), 2);
  },

  async depth_is_bounded(peer) {
    let deep = {};
    for (let i = 0; i < 100_000; i++) deep = { deep };
    await fails(() => peer.echo(deep));
    equal(await peer.add(1, 1), 2);
  },

  async ten_megabytes_pass(peer) {
    const bytes = new Uint8Array(10 * 1024 * 1024).fill(5);
    const back = await peer.echo(bytes);
    equal(back.byteLength, bytes.byteLength);
    equal(back[12345], 5);
  },

  async large_buffers_keep_their_kind_their_views_and_their_sharing(peer) {
    const buffer = new ArrayBuffer(300_000);
    const first = new Uint8Array(buffer, 10, 5);
    first.set([1, 2, 3, 4, 5]);
    const doubles = new Float64Array(20_000).fill(1.5);
    const back = await peer.echo({ buffer, first, again: buffer, doubles, small: new Uint8Array(3), text: "x".repeat(100_000) });
    equal(back.buffer.byteLength, 300_000);
    equal(back.first.buffer, back.buffer);
    equal(back.again, back.buffer);
    equal(back.first.byteOffset, 10);
    same([...back.first], [1, 2, 3, 4, 5]);
    equal(back.doubles.constructor, Float64Array);
    equal(back.doubles[19_999], 1.5);
    equal(back.text.length, 100_000);
    // What is sent stays the sender's.
    equal(buffer.byteLength, 300_000);
    equal(first[4], 5);
  },

  async a_large_buffer_is_what_it_was_when_it_was_sent(peer) {
    const bytes = new Uint8Array(200_000).fill(1);
    const call = peer.echo(bytes);
    bytes.fill(2);
    const other = peer.echo([bytes, Promise.resolve(3)]);
    const third = peer.echo(new Uint8Array(100_000).fill(4));
    same([(await call)[199_999], (await other)[0][0], (await other)[1], (await third)[0]], [1, 2, 3, 4]);
  },

  async large_buffers_count_for_the_limit_of_a_message(peer) {
    const half = new Uint8Array(17 * 1024 * 1024);
    const error = await fails(() => peer.echo([half, half.slice()]));
    matches(error.message, /32MiB/);
    equal((await peer.echo([half])).length, 1);
  },
};

/** Runs one case, or lists them. */
export async function run(name, peer) {
  if (name === "") return Response.json(Object.keys(cases));
  try {
    await cases[name](peer);
    return new Response("ok");
  } catch (error) {
    return new Response(`${error?.name}: ${error?.message}\n${error?.stack}`, { status: 500 });
  }
}
