// fflate: compression in JavaScript. What it makes is also read with the platform's own streams.

import {
  Gzip, Unzip, UnzipInflate, Zip, ZipDeflate, decompressSync, gunzipSync, gzip, gzipSync, strFromU8, strToU8, unzipSync,
  unzlibSync, zipSync, zlibSync,
} from "fflate";
import { equal, fails, same } from "../../kit/suite.js";

const TEXT = "the quick brown fox jumps over the lazy dog; ".repeat(400);

async function through(bytes, transform) {
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(transform)).arrayBuffer());
}

export const fflate = {
  async fflate() {
    const bytes = strToU8(TEXT);
    const packed = gzipSync(bytes, { level: 9, mtime: 0 });
    equal(packed.length < bytes.length / 20, true);
    equal(strFromU8(gunzipSync(packed)), TEXT);
    equal(strFromU8(await through(packed, new DecompressionStream("gzip"))), TEXT);
    equal(strFromU8(gunzipSync(await through(bytes, new CompressionStream("gzip")))), TEXT);
    equal(strFromU8(unzlibSync(await through(bytes, new CompressionStream("deflate")))), TEXT);
    equal(strFromU8(decompressSync(zlibSync(bytes))), TEXT);
    // Not with gzip, whose last bytes say how much room to take: cut off, they may ask for gigabytes.
    await fails(() => unzlibSync(zlibSync(bytes).subarray(0, 40)), { name: "Error", message: /unexpected EOF/ });

    const parts = [];
    const stream = new Gzip((chunk) => parts.push(chunk));
    for (let at = 0; at < bytes.length; at += 1000) stream.push(bytes.subarray(at, at + 1000), at + 1000 >= bytes.length);
    equal(await new Response(new Blob(parts).stream().pipeThrough(new DecompressionStream("gzip"))).text(), TEXT);
  },

  async fflate_archives() {
    const archive = zipSync({ "a.txt": strToU8(TEXT), dir: { "é.bin": [new Uint8Array([0, 255]), { level: 0 }] } });
    const files = unzipSync(archive);
    same(Object.keys(files), ["a.txt", "dir/", "dir/é.bin"]);
    equal(strFromU8(files["a.txt"]), TEXT);
    same([...files["dir/é.bin"]], [0, 255]);

    const parts = [];
    const zip = new Zip((error, chunk) => { if (error) throw error; parts.push(chunk); });
    const entry = new ZipDeflate("streamed.txt");
    zip.add(entry);
    entry.push(strToU8("one "));
    entry.push(strToU8("two"), true);
    zip.end();
    let text = "";
    const unzip = new Unzip((file) => {
      file.ondata = (error, chunk) => { if (error) throw error; text += strFromU8(chunk); };
      file.start();
    });
    unzip.register(UnzipInflate);
    parts.forEach((part, index) => unzip.push(part, index === parts.length - 1));
    equal(text, "one two");
  },

  /** Its asynchronous forms start a thread, which a Worker has not: they must say so, not hang. */
  async fflate_asynchronous_forms_need_threads() {
    const outcome = await new Promise((resolve) => {
      try {
        gzip(strToU8(TEXT), (error) => resolve(error ?? "made"));
      } catch (error) {
        resolve(error);
      }
    });
    equal(outcome instanceof Error, true, `${outcome}`);
  },
};
