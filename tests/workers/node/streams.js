// node:stream, and the adapters to the web's streams.

import { Buffer } from "node:buffer";
import stream, { Duplex, PassThrough, Readable, Transform, Writable, addAbortSignal, compose, duplexPair, finished, pipeline, promises } from "node:stream";
import { buffer, json, text } from "node:stream/consumers";
import { ReadableStream as WebReadable } from "node:stream/web";
import { equal, fails, same } from "../kit/suite.js";

const upper = () =>
  new Transform({
    transform(chunk, _encoding, done) {
      done(null, chunk.toString().toUpperCase());
    },
  });

function collector() {
  const seen = [];
  const sink = new Writable({
    write(chunk, _encoding, done) {
      seen.push(chunk.toString());
      queueMicrotask(done);
    },
  });
  return { seen, sink };
}

export const streams = {
  async stream_readable_reads() {
    const readable = new Readable({ read() {}, highWaterMark: 4 });
    same([readable.push("abc"), readable.push("defg"), readable.readableLength], [true, false, 7]);
    equal(readable.read(2).toString(), "ab");
    readable.unshift("AB");
    readable.push(null);
    readable.setEncoding("utf8");
    const parts = [];
    for await (const part of readable) parts.push(part);
    equal(parts.join(""), "ABcdefg");
    same([readable.readableEnded, readable.destroyed], [true, true]);
    equal((await fails(() => Readable.from(5))).code, "ERR_INVALID_ARG_TYPE");
  },

  async stream_writable_writes_in_order() {
    const { seen, sink } = collector();
    same([sink.write("a"), sink.write("b"), sink.writableLength], [true, true, 2]);
    sink.cork();
    sink.write("c");
    sink.uncork();
    await new Promise((done) => sink.end("d", done));
    same([seen, sink.writableFinished], [["a", "b", "c", "d"], true]);
    const late = new Promise((done) => sink.write("e", done));
    equal((await late).code, "ERR_STREAM_WRITE_AFTER_END");
    equal((await fails(() => new Writable().write(null))).code, "ERR_STREAM_NULL_VALUES");
  },

  async stream_writable_says_when_it_is_full() {
    let release;
    const slow = new Writable({ highWaterMark: 3, write: (_chunk, _encoding, done) => (release = done) });
    equal(slow.write("abcd"), false);
    equal(slow.writableNeedDrain, true);
    const drained = new Promise((done) => slow.once("drain", done));
    release();
    await drained;
    equal(slow.writableNeedDrain, false);
  },

  async stream_pipeline_joins_and_fails_together() {
    const { seen, sink } = collector();
    await promises.pipeline(Readable.from(["a", "b"]), upper(), async function* (source) {
      for await (const part of source) yield `<${part}>`;
    }, sink);
    equal(seen.join("").replaceAll("><", ""), "<AB>");
    const source = new PassThrough();
    const broken = new Transform({ transform: (_chunk, _encoding, done) => done(new Error("broken")) });
    source.write("x");
    equal((await fails(() => promises.pipeline(source, broken, collector().sink))).message, "broken");
    same([source.destroyed, broken.destroyed], [true, true]);
    const controller = new AbortController();
    const stuck = promises.pipeline(new Readable({ read() {} }), new PassThrough(), { signal: controller.signal });
    controller.abort();
    equal((await fails(() => stuck)).name, "AbortError");
    equal((await fails(() => pipeline(new PassThrough(), () => {}))).code, "ERR_MISSING_ARGS");
  },

  async stream_pipes_hold_their_source() {
    const source = new PassThrough({ highWaterMark: 2 });
    const target = new PassThrough({ highWaterMark: 2 });
    source.pipe(target);
    source.end("abcdef");
    await new Promise((done) => setTimeout(done, 5));
    equal(source.isPaused(), true, "nobody reads the target");
    equal(await text(target), "abcdef");
  },

  async stream_finished_tells_the_end() {
    const readable = Readable.from(["x"]);
    readable.resume();
    await promises.finished(readable);
    const torn = new Readable({ read() {} });
    const heard = new Promise((done) => finished(torn, done));
    torn.destroy();
    equal((await heard).code, "ERR_STREAM_PREMATURE_CLOSE");
    const controller = new AbortController();
    const signalled = addAbortSignal(controller.signal, new Readable({ read() {} }));
    const failed = new Promise((done) => signalled.on("error", done));
    controller.abort();
    equal((await failed).code, "ABORT_ERR");
  },

  async stream_helpers() {
    const numbers = () => Readable.from([1, 2, 3, 4]);
    same(await numbers().filter((n) => n % 2).map(async (n) => n * 10, { concurrency: 2 }).toArray(), [10, 30]);
    same([await numbers().reduce((a, b) => a + b), await numbers().some((n) => n > 3), await numbers().every((n) => n > 3), await numbers().find((n) => n > 2)], [10, true, false, 3]);
    same(await numbers().flatMap((n) => [n, n]).drop(1).take(3).toArray(), [1, 2, 2]);
    let sum = 0;
    await numbers().forEach((n) => void (sum += n));
    equal(sum, 10);
    equal(await text(Readable.from(["a", "b"]).compose(upper())), "AB");
  },

  async stream_duplex_from_parts() {
    const { seen, sink } = collector();
    const joined = Duplex.from({ readable: Readable.from(["r"]), writable: sink });
    joined.end("w");
    same([await text(joined), seen], ["r", ["w"]]);
    equal(await text(Duplex.from(async function* () {
      yield "made";
    })), "made");
    const [a, b] = duplexPair();
    a.end("over");
    equal(await text(b), "over");
    const both = compose(upper(), new PassThrough());
    both.end("x");
    equal(await text(both), "X");
    equal(new Duplex() instanceof Writable, true);
  },

  async stream_to_the_web_and_back() {
    const response = new Response(Readable.toWeb(Readable.from([Buffer.from("to "), Buffer.from("web")])));
    equal(await response.text(), "to web");
    equal(await text(Readable.fromWeb(new Response("from web").body)), "from web");
    const { readable, writable } = new TransformStream();
    const sink = Writable.fromWeb(writable);
    sink.end(Buffer.from("through"));
    equal(await new Response(readable).text(), "through");
    const pair = Duplex.toWeb(new PassThrough());
    const writer = pair.writable.getWriter();
    void writer.write(new Uint8Array([104, 105])).then(() => writer.close());
    equal(await new Response(pair.readable).text(), "hi");
    equal(WebReadable, ReadableStream);
    same(await json(Readable.from(['{"a":', "1}"])), { a: 1 });
    equal((await buffer(Readable.from([Buffer.from([1]), Buffer.from([2])]))).toString("hex"), "0102");
  },

  async stream_failures_have_their_words() {
    for (const [make, code] of [
      [() => Readable.prototype._read(), "ERR_METHOD_NOT_IMPLEMENTED"],
      [() => new PassThrough({ highWaterMark: -1 }), "ERR_INVALID_ARG_VALUE"],
      [() => addAbortSignal("no", new PassThrough()), "ERR_INVALID_ARG_TYPE"],
      [() => finished({}, () => {}), "ERR_INVALID_ARG_TYPE"],
    ]) {
      const made = await failure(make);
      equal(made.code, code);
    }
    equal(stream.Stream, stream);
  },
};

/** What a call throws, or what its stream fails with. */
async function failure(make) {
  try {
    return make();
  } catch (error) {
    return error;
  }
}
