// What nodejs_compat adds to the global object, and the modules behind it: Buffer, process, timers.

import * as bufferModule from "node:buffer";
import path from "node:path";
import processModule, { env as processEnv } from "node:process";
import * as timers from "node:timers";
import { setInterval as ticks, setTimeout as wait } from "node:timers/promises";
import { equal, fails, matches, same, suite } from "../kit/suite.js";
import { files } from "./files.js";
import { modules } from "./modules.js";
import { packing } from "./packing.js";
import { streams } from "./streams.js";

const cases = {
  // ---- Buffer

  async buffer_text() {
    const text = "héllo ☕ 𝄞";
    for (const encoding of ["utf8", "ucs2", "base64", "base64url", "hex"]) {
      const encoded = Buffer.from(text).toString(encoding);
      equal(Buffer.from(encoded, encoding).toString(encoding), encoded, encoding);
    }
    equal(Buffer.byteLength(text), new TextEncoder().encode(text).length);
    equal(Buffer.from("aGk=\n!", "base64").toString(), "hi");
    equal(Buffer.from("_-8", "base64").toString("hex"), "ffef");
    equal(Buffer.from("abcdxyz", "hex").toString("hex"), "abcd");
    equal(Buffer.from([0xe9, 0x80]).toString("latin1"), "é\x80");
    equal(Buffer.from([0xff, 0xfe]).toString(), "\ufffd\ufffd");
    equal(Buffer.from("\ufeffa").toString(), "\ufeffa");
    equal(Buffer.alloc(4).write("a☕☕"), 4);
    equal((await fails(() => Buffer.from("x").toString("utf9"))).code, "ERR_UNKNOWN_ENCODING");
  },

  async buffer_is_a_uint8array() {
    const buffer = Buffer.from("abc");
    equal(buffer instanceof Uint8Array && Buffer.isBuffer(buffer) && !Buffer.isBuffer(new Uint8Array()), true);
    equal(buffer.subarray(1).constructor, Buffer);
    buffer.slice(1)[0] = 0x7a;
    equal(buffer.toString(), "azc", "a slice is the same memory");
    equal(Buffer("old style").length, 9);
    equal(await new Response(buffer).text(), "azc");
    equal(structuredClone(buffer).constructor, Uint8Array);
    same([buffer.buffer.byteLength, buffer.byteOffset], [3, 0], "memory of its own");
    equal(Buffer.concat([buffer, new Uint8Array([33])]).toString(), "azc!");
    equal(JSON.stringify(buffer), '{"type":"Buffer","data":[97,122,99]}');
    same([buffer.indexOf("c"), buffer.includes("zz"), buffer.lastIndexOf(0x61), buffer.equals(Buffer.from("azc"))], [2, false, 0, true]);
    same([3, 1, 2].map((n) => Buffer.from([n])).sort(Buffer.compare).map((one) => one[0]), [1, 2, 3]);
    equal(bufferModule.Buffer, Buffer);
  },

  async buffer_numbers() {
    const buffer = Buffer.alloc(16);
    equal(buffer.writeUInt32BE(0xdeadbeef, 0), 4);
    same([buffer.readUInt32BE(0), buffer.readInt32LE(0), buffer.readUint16BE(2)], [0xdeadbeef, -272716322, 0xbeef]);
    buffer.writeIntLE(-5, 4, 6);
    same([buffer.readIntLE(4, 6), buffer.readUIntBE(4, 3)], [-5, 0xfbffff]);
    buffer.writeDoubleLE(Math.PI, 8);
    equal(buffer.readDoubleLE(8), Math.PI);
    buffer.writeBigInt64BE(-2n, 8);
    equal(buffer.readBigUInt64BE(8), 2n ** 64n - 2n);
    equal((await fails(() => buffer.writeUInt8(256))).message, 'The value of "value" is out of range. It must be >= 0 and <= 255. Received 256');
    equal((await fails(() => buffer.readInt16LE(15))).code, "ERR_OUT_OF_RANGE");
  },

  async buffer_too_large_is_a_range_error() {
    equal((await fails(() => Buffer.alloc(2 ** 31))).code, "ERR_OUT_OF_RANGE");
    equal((await fails(() => Buffer.alloc(2 ** 31 - 1))).name, "RangeError");
  },

  // ---- process

  async process_has_the_variables() {
    equal(processModule, process);
    same({ ...process.env }, { TEXT: "a var", OBJECT: '{"deep":[1,2]}' });
    equal(processEnv.TEXT, "a var");
    process.env.NEW = 5;
    equal(process.env.NEW, "5");
    delete process.env.NEW;
    equal("NEW" in process.env, false);
  },

  async process_says_what_it_is() {
    matches(process.version, /^v\d+\.\d+\.\d+$/);
    same([process.platform, process.cwd(), String(process)], ["linux", "/bundle", "[object process]"]);
    equal(process.getBuiltinModule("buffer").Buffer, Buffer);
    equal(process.getBuiltinModule("nothing"), undefined);
    const [seconds, nanoseconds] = process.hrtime(process.hrtime());
    equal(seconds === 0 && nanoseconds >= 0, true);
    process.chdir("/tmp/../tmp");
    same([process.cwd(), path.resolve("a")], ["/tmp", "/a"], "path knows no working directory");
    equal((await fails(() => process.chdir("nowhere"))).code, "ENOENT");
  },

  async process_next_tick_comes_before_timers() {
    const order = [];
    setTimeout(() => order.push("timer"), 0);
    process.nextTick((word) => order.push(word), "tick");
    await wait(5);
    same(order, ["tick", "timer"]);
  },

  async process_warnings_are_events() {
    const heard = new Promise((resolve) => process.once("warning", resolve));
    process.emitWarning("careful", { type: "Deprecation", code: "D1" });
    const warning = await heard;
    same([warning.name, warning.message, warning.code], ["Deprecation", "careful", "D1"]);
  },

  async process_exit_ends_the_request(env) {
    const child = env.LOADER.load({
      compatibilityDate: "2026-08-01",
      compatibilityFlags: ["nodejs_compat"],
      mainModule: "main.js",
      modules: { "main.js": "export default { fetch() { try { process.exit(3); } finally { console.log('went on'); } } };" },
    });
    const error = await fails(() => child.getEntrypoint().fetch("https://child.test/"));
    matches(error.message, /^The Node\.js process\.exit\(3\)/);
  },

  // ---- timers

  async timers_are_objects() {
    const timer = setTimeout(() => {}, 1000);
    same([timer.hasRef(), timer.unref().hasRef(), typeof +timer], [true, false, "number"]);
    clearTimeout(timer);
    const calls = [];
    clearTimeout(+setTimeout(() => calls.push("by number"), 1));
    const again = setTimeout(() => calls.push("again"), 2);
    const interval = setInterval(() => calls.push("interval"), 1);
    clearInterval(interval);
    clearImmediate(setImmediate(() => calls.push("cleared")));
    setImmediate((word) => calls.push(word), "immediate");
    await wait(20);
    again.refresh();
    await wait(20);
    same(calls, ["immediate", "again", "again"]);
    equal(timers.setTimeout, setTimeout);
  },

  async timers_as_promises() {
    equal(await wait(1, "value"), "value");
    let count = 0;
    for await (const step of ticks(1, 2)) if ((count += step) >= 6) break;
    equal(count, 6);
    const controller = new AbortController();
    setTimeout(() => controller.abort("why"), 1);
    const error = await fails(() => wait(10_000, undefined, { signal: controller.signal }));
    same([error.name, error.code, error.cause], ["AbortError", "ABORT_ERR", "why"]);
    for (const work of [
      () => wait("1"),
      () => wait(1, 0, []),
      () => wait(1, 0, { ref: 1 }),
      () => wait(1, 0, { signal: null }),
      () => ticks("1").next(),
      () => ticks(1, 0, { signal: {} }).next(),
    ]) equal((await fails(work)).code, "ERR_INVALID_ARG_TYPE", String(work));
    equal((await fails(() => ticks(1, 0, { signal: controller.signal }).next())).code, "ABORT_ERR");
  },
};

export default suite({ ...cases, ...files, ...modules, ...packing, ...streams });
