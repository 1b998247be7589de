// node:zlib.

import { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { buffer } from "node:stream/consumers";
import { promisify } from "node:util";
import zlib from "node:zlib";
import { equal, fails, matches, same } from "../kit/suite.js";

const TEXT = "the quick brown fox jumps over the lazy dog. ".repeat(5000);

const PAIRS = [
  ["deflate", "inflate"], ["gzip", "gunzip"], ["deflateRaw", "inflateRaw"], ["gzip", "unzip"], ["deflate", "unzip"],
  ["brotliCompress", "brotliDecompress"], ["zstdCompress", "zstdDecompress"],
];

export const packing = {
  async zlib_round_trips() {
    for (const [pack, unpack] of PAIRS) {
      const packed = zlib[`${pack}Sync`](TEXT);
      equal(packed.length < TEXT.length / 20, true, pack);
      equal(zlib[`${unpack}Sync`](packed).toString() === TEXT, true, unpack);
      const promised = await promisify(zlib[unpack])(await promisify(zlib[pack])(TEXT));
      equal(promised.toString() === TEXT, true, `${pack} promised`);
    }
    equal(zlib.gunzipSync(Buffer.concat([zlib.gzipSync("a"), zlib.gzipSync("b")])).toString(), "ab");
    equal(await new Response(new Response(zlib.gzipSync("to the web")).body.pipeThrough(new DecompressionStream("gzip"))).text(), "to the web");
  },

  async zlib_streams() {
    const create = (name) => zlib[`create${name[0].toUpperCase()}${name.slice(1)}`]({ chunkSize: 1000 });
    for (const [pack, unpack] of PAIRS) {
      const text = await buffer(Readable.from([TEXT.slice(0, 100_001), TEXT.slice(100_001)]).pipe(create(pack)).pipe(create(unpack)));
      equal(text.toString() === TEXT, true, `${pack} ${unpack}`);
    }
  },

  async zlib_holds_what_nobody_reads() {
    const bomb = zlib.gzipSync(Buffer.alloc(20_000_000));
    const unpack = zlib.createGunzip();
    unpack.end(bomb);
    await new Promise((done) => setTimeout(done, 20));
    equal(unpack.readableLength <= 2 * 64 * 1024, true, `held ${unpack.readableLength} bytes`);
    let total = 0;
    await pipeline(unpack, new Writable({ write: (chunk, _encoding, done) => ((total += chunk.length), done()) }));
    equal(total, 20_000_000);
    equal((await fails(() => zlib.gunzipSync(bomb, { maxOutputLength: 1000 }))).code, "ERR_BUFFER_TOO_LARGE");
  },

  async zlib_flushes_and_levels() {
    const deflate = zlib.createDeflate({ level: 1 });
    const parts = [];
    deflate.on("data", (part) => parts.push(part));
    deflate.write("so far");
    await new Promise((done) => deflate.flush(done));
    equal(zlib.inflateSync(Buffer.concat(parts), { finishFlush: zlib.constants.Z_SYNC_FLUSH }).toString(), "so far");
    await new Promise((done) => deflate.params(9, zlib.constants.Z_DEFAULT_STRATEGY, done));
    deflate.end(" and on");
    await new Promise((done) => deflate.on("end", done));
    equal(zlib.inflateSync(Buffer.concat(parts)).toString(), "so far and on");
    equal(zlib.deflateSync(TEXT, { level: 0 }).length > TEXT.length, true);
    const dictionary = Buffer.from("quick brown fox");
    const packed = zlib.deflateSync("the quick brown fox", { dictionary });
    equal(zlib.inflateSync(packed, { dictionary }).toString(), "the quick brown fox");
  },

  async zlib_errors_are_zlibs() {
    for (const [work, code, message] of [
      [() => zlib.inflateSync(Buffer.from("nonsense")), "Z_DATA_ERROR", /incorrect header check/],
      [() => zlib.gunzipSync(zlib.gzipSync("x").subarray(0, 15)), "Z_BUF_ERROR", /unexpected end of file/],
      [() => zlib.inflateSync(zlib.deflateSync("x", { dictionary: Buffer.from("d") })), "Z_NEED_DICT", /Missing dictionary/],
      [() => zlib.inflateSync(zlib.deflateSync("x", { dictionary: Buffer.from("d") }), { dictionary: Buffer.from("e") }), "Z_NEED_DICT", /Bad dictionary/],
      [() => zlib.deflateSync("x", { level: 10 }), "ERR_OUT_OF_RANGE", /options\.level/],
      [() => zlib.deflateSync("x", { chunkSize: 1 }), "ERR_OUT_OF_RANGE", /chunkSize/],
      [() => zlib.inflateSync("x", { chunkSize: 2 ** 31 }), "ERR_OUT_OF_RANGE", /chunkSize/],
      [() => zlib.deflateSync(1), "ERR_INVALID_ARG_TYPE", /buffer/],
      [() => zlib.brotliCompressSync("x", { params: { 99: 1 } }), "ERR_BROTLI_INVALID_PARAM", /99/],
      [() => zlib.brotliDecompressSync(Buffer.from([255, 255, 255])), "ERR__ERROR_FORMAT_PADDING_2", /Decompression failed/],
      [() => zlib.zstdDecompressSync(Buffer.from("nonsense")), "ERR_ZSTD_DECOMPRESSION_FAILED", /Unknown frame descriptor/],
    ]) {
      const error = await fails(work);
      equal(error.code, code, String(work));
      matches(error.message, message);
    }
    const broken = zlib.createInflate();
    broken.end("nonsense");
    equal((await new Promise((done) => broken.on("error", done))).errno, zlib.constants.Z_DATA_ERROR);
  },

  async zlib_sums_and_names() {
    same([zlib.crc32("hello world"), zlib.crc32(" world", zlib.crc32("hello"))], [0x0d4a1185, 0x0d4a1185]);
    same([zlib.codes.Z_OK, zlib.codes[-3], zlib.constants.Z_BEST_COMPRESSION], [0, "Z_DATA_ERROR", 9]);
  },
};
