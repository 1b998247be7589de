// R2, a case each; `tests/r2.rs` adds what needs a second host, a second Worker or a client.

import { equal, fails, matches, same, suite } from "../kit/suite.js";

const MIB = 1024 * 1024;
const HELLO_MD5 = "5d41402abc4b2a76b9719d911017c592";
const bytes = (...list) => new Uint8Array(list);

/** `length` bytes that no piece repeats at a round offset. */
function pattern(length, seed = 0) {
  const all = new Uint8Array(length);
  for (let i = 0; i < length; i++) all[i] = (i * 31 + (i >> 8) + seed) & 255;
  return all;
}

function sameBytes(actual, expected, what) {
  equal(actual.byteLength, expected.byteLength, `length of ${what}`);
  const [a, b] = [new Uint8Array(actual), new Uint8Array(expected)];
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) throw new Error(`${what}: byte ${i} is ${a[i]}, not ${b[i]}`);
}

/** A stream of known length that is never whole in memory here. */
function stream(length, seed = 0) {
  const { readable, writable } = new FixedLengthStream(length);
  const piece = pattern(64 * 1024, seed);
  (async () => {
    const writer = writable.getWriter();
    for (let left = length; left > 0; left -= piece.length) await writer.write(piece.subarray(0, Math.min(left, piece.length)));
    await writer.close();
  })();
  return readable;
}

const handlers = suite({
  async a_put_tells_what_head_and_get_tell({ BUCKET }) {
    const before = Date.now();
    const put = await BUCKET.put("hello", "hello", {
      httpMetadata: { contentType: "text/plain", cacheExpiry: new Date(5_000_000_000_000) },
      customMetadata: { b: "1", a: "ü" },
    });
    equal(put.key, "hello");
    equal(put.size, 5);
    equal(put.etag, HELLO_MD5);
    equal(put.httpEtag, `"${HELLO_MD5}"`);
    matches(put.version, /^[0-9a-f]{32}$/, "version");
    equal(put.uploaded instanceof Date && put.uploaded >= before && put.uploaded <= Date.now(), true, "uploaded");
    same(put.customMetadata, { b: "1", a: "ü" });
    equal(put.httpMetadata.cacheExpiry.getTime(), 5_000_000_000_000);
    equal(put.storageClass, "Standard");
    equal(put.range, undefined);
    same(put.checksums, { md5: HELLO_MD5 });
    equal(put.checksums.md5.byteLength, 16);
    const head = await BUCKET.head("hello");
    const got = await BUCKET.get("hello");
    same(head, put, "head");
    equal("body" in head, false);
    same(got, { ...put, range: { offset: 0, length: 5 } }, "get");
    equal(await got.text(), "hello");
    equal(got.bodyUsed, true);
    await fails(() => got.text(), { name: "TypeError", message: /already been used/ });
    equal(await BUCKET.head("never"), null);
    equal(await BUCKET.get("never"), null);
  },
  async values_go_and_come_in_every_form({ BUCKET }) {
    const forms = {
      text: ["ü", "ü"],
      buffer: [bytes(0, 255, 7).buffer, "\0\xff\x07"],
      view: [bytes(1, 2, 3).subarray(1), "\x02\x03"],
      blob: [new Blob(["ab", "c"]), "abc"],
      stream: [new Response("x".repeat(300_000)).body, "x".repeat(300_000)],
      null: [null, ""],
      empty: ["", ""],
    };
    for (const [key, [value, expected]] of Object.entries(forms)) {
      const put = await BUCKET.put(key, value, { httpMetadata: { contentType: "text/x" } });
      const latin = key === "text" ? new TextEncoder().encode(expected) : Uint8Array.from(expected, (c) => c.charCodeAt(0));
      equal(put.size, latin.length, key);
      const get = async () => BUCKET.get(key);
      sameBytes(await (await get()).arrayBuffer(), latin, `${key} as a buffer`);
      sameBytes(await (await get()).bytes(), latin, `${key} as bytes`);
      sameBytes(await new Response((await get()).body).bytes(), latin, `${key} as a stream`);
      const blob = await (await get()).blob();
      same([blob.size, blob.type], [latin.length, "text/x"]);
    }
    await BUCKET.put("json", '{"a":[1]}');
    same(await (await BUCKET.get("json")).json(), { a: [1] });
    await fails(() => BUCKET.put("k", 5), { name: "TypeError", message: /parameter 2 is not of type/ });
    await fails(() => BUCKET.put("k", new ReadableStream({})), { name: "TypeError", message: /must have a known length/ });
  },
  async a_large_object_streams_both_ways({ BUCKET }) {
    const length = 24 * MIB + 17;
    const put = await BUCKET.put("large", stream(length));
    equal(put.size, length);
    const piece = pattern(64 * 1024);
    let at = 0;
    for await (const chunk of (await BUCKET.get("large")).body) {
      for (let i = 0; i < chunk.length; i += 997) {
        if (chunk[i] !== piece[(at + i) % piece.length]) throw new Error(`byte ${at + i} is wrong`);
      }
      at += chunk.length;
    }
    equal(at, length);
    const middle = await BUCKET.get("large", { range: { offset: 20 * MIB - 3, length: 70_000 } });
    const expected = new Uint8Array(70_000).map((_, i) => piece[(20 * MIB - 3 + i) % piece.length]);
    sameBytes(await middle.bytes(), expected, "a range");
  },
  async a_body_that_breaks_off_leaves_what_was_there({ BUCKET }) {
    await BUCKET.put("broken", "before");
    const { readable, writable } = new FixedLengthStream(3 * MIB);
    const writer = writable.getWriter();
    const write = writer.write(pattern(2 * MIB)).then(() => writer.abort(new Error("no more")));
    await fails(() => BUCKET.put("broken", readable));
    await write.catch(() => {});
    equal(await (await BUCKET.get("broken")).text(), "before");
  },
  async a_reader_reads_to_the_end_what_is_replaced_meanwhile({ BUCKET }) {
    const length = 8 * MIB;
    await BUCKET.put("replaced", stream(length));
    const got = await BUCKET.get("replaced");
    const reader = got.body.getReader();
    let count = (await reader.read()).value.length;
    await BUCKET.put("replaced", "new");
    await BUCKET.delete("replaced");
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      count += value.length;
    }
    equal(count, length);
    equal(await BUCKET.get("replaced"), null);
  },
  async ranges_are_parts_of_the_object({ BUCKET }) {
    await BUCKET.put("digits", "0123456789");
    const get = async (range) => {
      const object = await BUCKET.get("digits", { range });
      equal(object.size, 10);
      return [await object.text(), object.range.offset, object.range.length];
    };
    same(await get({ offset: 2 }), ["23456789", 2, 8]);
    same(await get({ length: 3 }), ["012", 0, 3]);
    same(await get({ offset: 8, length: 10 }), ["89", 8, 2]);
    same(await get({ suffix: 4 }), ["6789", 6, 4]);
    same(await get({ suffix: 40 }), ["0123456789", 0, 10]);
    same(await get(new Headers({ range: "bytes=3-5" })), ["345", 3, 3]);
    same(await get(new Headers({ range: "bytes=-2" })), ["89", 8, 2]);
    same(await get(new Headers({ range: "bytes=1-2,4-5" })), ["0123456789", 0, 10]);
    same(await get(new Headers()), ["0123456789", 0, 10]);
    await fails(() => get({ offset: 11 }), { message: /^get: The requested range is not satisfiable \(10039\)$/ });
    await fails(() => get({ suffix: 0 }), { message: /\(10039\)$/ });
    await fails(() => get({ offset: -1 }), { name: "RangeError", message: /Starting offset \(-1\) must be greater/ });
    await fails(() => get({ length: 1.5 }), { name: "RangeError", message: /Length \(1.5\) must be an integer/ });
    await fails(() => get({ suffix: 1, offset: 1 }), { name: "TypeError", message: /Suffix is incompatible with offset/ });
  },
  async a_get_whose_condition_fails_has_no_body({ BUCKET }) {
    const { etag, uploaded } = await BUCKET.put("cond", "v");
    const passes = async (onlyIf) => {
      const object = await BUCKET.get("cond", { onlyIf });
      equal(object.etag, etag);
      return "body" in object && object.body !== undefined;
    };
    const [earlier, later] = [new Date(+uploaded - 5000), new Date(+uploaded + 5000)];
    equal(await passes({ etagMatches: etag }), true);
    equal(await passes({ etagMatches: "*" }), true);
    equal(await passes({ etagMatches: "other" }), false);
    equal(await passes({ etagDoesNotMatch: etag }), false);
    equal(await passes({ etagDoesNotMatch: "other" }), true);
    equal(await passes({ uploadedBefore: later }), true);
    equal(await passes({ uploadedBefore: earlier }), false);
    equal(await passes({ uploadedAfter: earlier }), true);
    equal(await passes({ uploadedAfter: later }), false);
    equal(await passes({ uploadedAfter: new Date(+uploaded), secondsGranularity: true }), false);
    equal(await passes(new Headers({ "if-none-match": `W/"x", "${etag}"` })), false);
    equal(await passes(new Headers({ "if-match": `"x", "${etag}"` })), true);
    equal(await passes(new Headers({ "if-modified-since": later.toUTCString() })), false);
    equal(await passes(new Headers({ "if-unmodified-since": later.toUTCString() })), true);
    equal(await BUCKET.get("never", { onlyIf: { etagMatches: etag } }), null);
    await fails(() => passes({ etagMatches: `"${etag}"` }), { name: "TypeError", message: /should not be wrapped in quotes/ });
    await fails(() => passes(new Headers({ "if-match": '"open' })), { message: /Unclosed double quote/ });
    await fails(() => passes(new Headers({ "if-match": "bare" })), { message: /Invalid ETag/ });
  },
  async a_put_whose_condition_fails_gives_null_and_changes_nothing({ BUCKET }) {
    await BUCKET.delete("once");
    const first = await BUCKET.put("once", "1", { onlyIf: { etagDoesNotMatch: "*" } });
    equal(await BUCKET.put("once", "2", { onlyIf: { etagDoesNotMatch: "*" } }), null);
    equal(await BUCKET.put("once", stream(2 * MIB), { onlyIf: new Headers({ "if-match": '"x"' }) }), null);
    equal(await (await BUCKET.get("once")).text(), "1");
    const second = await BUCKET.put("once", "2", { onlyIf: { etagMatches: first.etag } });
    equal(second.version === first.version, false);
    const tries = Array.from({ length: 10 }, (_, i) => BUCKET.put("race", `${i}`, { onlyIf: { etagDoesNotMatch: "*" } }));
    const won = (await Promise.all(tries)).filter((object) => object !== null);
    equal(won.length, 1, "puts that won");
    equal((await BUCKET.head("race")).etag, won[0].etag);
  },
  async checksums_are_verified_and_kept({ BUCKET }) {
    const sums = {};
    for (const [field, name] of [["sha1", "SHA-1"], ["sha256", "SHA-256"], ["sha384", "SHA-384"], ["sha512", "SHA-512"]]) {
      sums[field] = await crypto.subtle.digest(name, new TextEncoder().encode("hello"));
    }
    for (const [field, sum] of Object.entries(sums)) {
      const hex = [...new Uint8Array(sum)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
      await BUCKET.put("sum", "hello", { [field]: sum });
      same(await (await BUCKET.head("sum")).checksums, { md5: HELLO_MD5, [field]: hex }, field);
      await BUCKET.put("sum", "hello", { [field]: hex.toUpperCase() });
      await fails(() => BUCKET.put("sum", "other", { [field]: hex }), {
        message: new RegExp(`^put: The SHA-\\d+ checksum you specified did not match[^]*: ${hex}\n[^]*\\(10037\\)$`),
      });
    }
    equal(await (await BUCKET.get("sum")).text(), "hello");
    await BUCKET.put("sum", "hello", { md5: HELLO_MD5 });
    await fails(() => BUCKET.put("sum", "x", { md5: HELLO_MD5 }), { message: /MD5 checksum you specified/ });
    await fails(() => BUCKET.put("sum", "x", { md5: "00" }), { name: "TypeError", message: /MD5 is 32 hex characters, not 2/ });
    await fails(() => BUCKET.put("sum", "x", { sha1: bytes(1) }), { name: "TypeError", message: /SHA-1 is 20 bytes, not 1/ });
    await fails(() => BUCKET.put("sum", "x", { md5: "g".repeat(32) }), { name: "TypeError", message: /valid hex string/ });
    await fails(() => BUCKET.put("sum", "x", { md5: HELLO_MD5, sha1: sums.sha1 }), { name: "TypeError", message: /multiple hashing/ });
  },
  async metadata_goes_to_headers_and_comes_from_them({ BUCKET }) {
    const headers = new Headers({
      "content-type": "text/html",
      "content-language": "de",
      "content-disposition": "inline",
      "content-encoding": "gzip",
      "cache-control": "no-store",
      expires: "Wed, 01 Jan 2031 00:00:00 GMT",
      "x-other": "1",
    });
    await BUCKET.put("meta", "v", { httpMetadata: headers });
    const object = await BUCKET.head("meta");
    same(Object.keys(object.httpMetadata).sort(), [
      "cacheControl", "cacheExpiry", "contentDisposition", "contentEncoding", "contentLanguage", "contentType",
    ]);
    const written = new Headers();
    object.writeHttpMetadata(written);
    headers.delete("x-other");
    same([...written], [...headers]);
    await BUCKET.put("plain", "v");
    const plain = await BUCKET.head("plain");
    same([plain.httpMetadata, plain.customMetadata], [{}, {}]);
    await fails(() => plain.writeHttpMetadata({}), { name: "TypeError", message: /not of type 'Headers'/ });
  },
  async keys_are_any_text({ BUCKET, OTHER }) {
    const keys = ["../x", "..", "/", "//a//", "a/b?c#d", "%2e%2E", " ", "emoji 🎉", "nul \0 end", "con", "a\\b", "x".repeat(1024), "é".repeat(512)];
    for (const key of keys) await BUCKET.put(key, `value of ${key}`);
    for (const key of keys) {
      const object = await BUCKET.get(key);
      equal(object.key, key);
      equal(await object.text(), `value of ${key}`, JSON.stringify(key));
      equal(await OTHER.get(key), null);
    }
    for (const key of ["", "x".repeat(1025)]) {
      await fails(() => BUCKET.put(key, ""), { message: /^put: The specified object name is not valid. \(10020\)$/ });
      await fails(() => BUCKET.get(key), { message: /^get: .* \(10020\)$/ });
    }
  },
  async limits_are_errors_with_their_code({ BUCKET }) {
    const large = { customMetadata: { k: "x".repeat(8192) } };
    await fails(() => BUCKET.put("k", "", large), { message: /^put: Your metadata headers exceed .* \(10012\)$/ });
    await fails(() => BUCKET.createMultipartUpload("k", large), { message: /^createMultipartUpload: .* \(10012\)$/ });
    await BUCKET.put("full", "", { customMetadata: { "": "\u0001".repeat(8192) } });
    equal((await BUCKET.get("full")).customMetadata[""].length, 8192);
    await fails(() => BUCKET.list({ limit: 1001 }), { message: /^list: MaxKeys params must be positive integer <= 1000. \(10022\)$/ });
    await fails(() => BUCKET.list({ limit: 0 }), { message: /\(10022\)$/ });
    await fails(() => BUCKET.list({ cursor: "not one!" }), { message: /^list: .*cursor/ });
    await fails(() => BUCKET.delete(Array.from({ length: 1001 }, (_, i) => `${i}`)), { message: /^delete: At most 1000 keys/ });
    await fails(() => BUCKET.put("k", "", { storageClass: "Cold" }), { message: /storage class must be/ });
    await fails(() => BUCKET.put("k", "", { ssecKey: "00".repeat(32) }), { message: /not supported here/ });
    equal((await BUCKET.put("cold", "", { storageClass: "InfrequentAccess" })).storageClass, "InfrequentAccess");
  },
  async deletes_take_one_key_or_many({ BUCKET }) {
    for (const key of ["del1", "del2", "del3"]) await BUCKET.put(key, "v");
    equal(await BUCKET.delete("del1"), undefined);
    await BUCKET.delete("del1");
    await BUCKET.delete(["del2", "del3", "never"]);
    await BUCKET.delete([]);
    same((await BUCKET.list({ prefix: "del" })).objects, []);
  },
  async lists_go_by_prefix_delimiter_and_cursor({ OTHER }) {
    const keys = ["a", "photos/1", "photos/2", "photos/old/1", "photos/old/2", "photos2", "z\0", "z🎉", "é"];
    for (const key of [...keys].reverse()) await OTHER.put(key, key);
    const names = async (options) => {
      const list = await OTHER.list(options);
      return [list.objects.map((object) => object.key), list.delimitedPrefixes, list.truncated];
    };
    same(await names(), [["a", "photos/1", "photos/2", "photos/old/1", "photos/old/2", "photos2", "z\0", "z🎉", "é"], [], false]);
    same(await names({ prefix: "photos/" }), [keys.slice(1, 5), [], false]);
    same(await names({ delimiter: "/" }), [["a", "photos2", "z\0", "z🎉", "é"], ["photos/"], false]);
    same(await names({ prefix: "photos/", delimiter: "/" }), [["photos/1", "photos/2"], ["photos/old/"], false]);
    same(await names({ startAfter: "photos/old/1" }), [["photos/old/2", "photos2", "z\0", "z🎉", "é"], [], false]);
    same(await names({ startAfter: "a", limit: 2 }), [["photos/1", "photos/2"], [], true]);
    for (const delimiter of [undefined, "/"]) {
      const seen = [];
      let cursor;
      for (let rounds = 0; ; rounds++) {
        equal(rounds < 20, true, "rounds");
        const list = await OTHER.list({ limit: 2, cursor, delimiter });
        seen.push(...list.objects.map((object) => object.key), ...list.delimitedPrefixes);
        equal(list.objects.length + list.delimitedPrefixes.length <= 2, true, "entries of a page");
        equal("cursor" in list, list.truncated);
        if (!list.truncated) break;
        cursor = list.cursor;
      }
      same(seen.sort(), (delimiter ? ["a", "photos/", "photos2", "z\0", "z🎉", "é"] : [...keys]).sort());
    }
    await OTHER.delete(keys);
  },
  async lists_tell_metadata_where_it_is_asked_for({ OTHER }) {
    await OTHER.put("m", "v", { httpMetadata: { contentType: "a/b" }, customMetadata: { c: "1" } });
    const [bare] = (await OTHER.list()).objects;
    same([bare.httpMetadata, bare.customMetadata, bare.size, bare.checksums], [undefined, undefined, 1, { md5: "9e3669d19b675bd57058fd4664205d2a" }]);
    await fails(() => bare.writeHttpMetadata(new Headers()), { name: "TypeError", message: /HTTP metadata unknown for key `m`/ });
    const [both] = (await OTHER.list({ include: ["httpMetadata", "customMetadata"] })).objects;
    same([both.httpMetadata, both.customMetadata], [{ contentType: "a/b" }, { c: "1" }]);
    await fails(() => OTHER.list({ include: ["etag"] }), { name: "RangeError", message: /Unsupported include value etag/ });
    // What does not fit into an answer comes with the next one.
    const heavy = { customMetadata: { k: "x".repeat(8000) } };
    await Promise.all(Array.from({ length: 150 }, (_, i) => OTHER.put(`h${i}`, "", heavy)));
    const page = await OTHER.list({ prefix: "h", include: ["customMetadata"] });
    equal(page.truncated && page.objects.length > 100, true, "a page of much metadata");
    const rest = await OTHER.list({ prefix: "h", include: ["customMetadata"], cursor: page.cursor });
    equal(page.objects.length + rest.objects.length, 150);
    await OTHER.delete(["m", ...Array.from({ length: 150 }, (_, i) => `h${i}`)]);
  },
  async parts_become_one_object({ BUCKET }) {
    const upload = await BUCKET.createMultipartUpload("parts", {
      httpMetadata: { contentType: "a/b" },
      customMetadata: { c: "1" },
      storageClass: "InfrequentAccess",
    });
    equal(upload.key, "parts");
    const again = BUCKET.resumeMultipartUpload("parts", upload.uploadId);
    const second = await again.uploadPart(2, stream(5 * MIB, 2));
    const first = await upload.uploadPart(1, pattern(5 * MIB, 1));
    const lost = await upload.uploadPart(3, "x".repeat(5 * MIB));
    const last = await upload.uploadPart(3, "the end");
    same([first.partNumber, second.partNumber], [1, 2]);
    equal(await BUCKET.head("parts"), null);
    await fails(() => upload.complete([first, second, lost]), { message: /^completeMultipartUpload: One or more of the specified parts could not be found. \(10025\)$/ });
    const whole = await upload.complete([last, first, second]);
    equal(whole.size, 10 * MIB + 7);
    matches(whole.etag, /^[0-9a-f]{32}-3$/, "etag");
    same(whole.checksums, {});
    const got = await BUCKET.get("parts", { range: { offset: 5 * MIB - 2, length: 5 * MIB + 5 } });
    same([got.httpMetadata, got.customMetadata, got.storageClass], [{ contentType: "a/b" }, { c: "1" }, "InfrequentAccess"]);
    const body = await got.bytes();
    sameBytes(body.subarray(0, 2), pattern(5 * MIB, 1).subarray(-2), "the end of part 1");
    sameBytes(body.subarray(2, 1002), pattern(1000, 2), "the beginning of part 2");
    equal(new TextDecoder().decode(body.subarray(-3)), "the");
    await fails(() => upload.uploadPart(4, "x"), { message: /^uploadPart: The specified multipart upload does not exist. \(10024\)$/ });
    await upload.abort();
    equal((await BUCKET.head("parts")).etag, whole.etag);
  },
  async uploads_are_checked_when_they_end({ BUCKET }) {
    const upload = await BUCKET.createMultipartUpload("checked");
    const small = await upload.uploadPart(1, "small");
    const large = await upload.uploadPart(2, pattern(6 * MIB));
    const middle = await upload.uploadPart(3, pattern(5 * MIB));
    await fails(() => upload.complete([small, large]), { message: /^completeMultipartUpload: .*smaller than the minimum.* \(10011\)$/ });
    await fails(() => upload.complete([middle, { ...large, partNumber: 4 }]), { message: /\(10025\)$/ });
    await fails(() => upload.complete([large, { ...large, partNumber: 2 }]), { message: /\(10025\)$/ });
    await fails(() => upload.complete([]), { message: /\(10025\)$/ });
    const four = await upload.uploadPart(4, pattern(5 * MIB));
    await fails(() => upload.complete([large, middle, four]), { message: /same length. \(10048\)$/ });
    await fails(() => upload.uploadPart(0, ""), { name: "TypeError", message: /between 1 and 10000 \(inclusive\). Actual value was: 0/ });
    await fails(() => upload.uploadPart(10_001, ""), { name: "TypeError" });
    await upload.abort();
    await upload.abort();
    await fails(() => upload.complete([small]), { message: /\(10024\)$/ });
    const unknown = BUCKET.resumeMultipartUpload("checked", "no such id");
    await fails(() => unknown.uploadPart(1, ""), { message: /\(10024\)$/ });
    await fails(() => unknown.abort(), { message: /^abortMultipartUpload: .* \(10024\)$/ });
    const stolen = BUCKET.resumeMultipartUpload("other key", upload.uploadId);
    await fails(() => stolen.abort(), { message: /\(10024\)$/ });
    equal(await BUCKET.head("checked"), null);
  },
  async bindings_of_one_bucket_share_and_others_do_not({ BUCKET, SAME, OTHER }) {
    await BUCKET.put("where", "here");
    equal(await (await SAME.get("where")).text(), "here");
    equal(await OTHER.get("where"), null);
    await OTHER.delete("where");
    equal(await (await SAME.get("where")).text(), "here");
  },
  async a_dynamic_worker_reaches_a_bucket_only_through_its_parent({ BUCKET, LOADER }) {
    await BUCKET.put("mine", "v");
    const code = (body) => ({
      compatibilityDate: "2026-08-01",
      mainModule: "a.js",
      modules: { "a.js": `export default { async fetch(request, env) { return new Response(${body}) } }` },
    });
    await fails(() => LOADER.load({ ...code("''"), env: { BUCKET } }).getEntrypoint().fetch("http://x/"));
    const child = LOADER.load({ ...code("`${typeof env.BUCKET} ${typeof R2Bucket}`"), env: {} });
    equal(await (await child.getEntrypoint().fetch("http://x/")).text(), "undefined undefined");
    equal(await (await BUCKET.get("mine")).text(), "v");
  },
});

export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url);
    if (url.pathname === "/put") {
      const object = await env.BUCKET.put(url.searchParams.get("key"), request.body);
      return Response.json({ size: object.size, etag: object.etag });
    }
    if (url.pathname === "/get") {
      const object = await env.BUCKET.get(url.searchParams.get("key"));
      return object === null ? new Response("none", { status: 404 }) : new Response(object.body);
    }
    if (url.pathname === "/length") {
      let length = 0;
      for await (const chunk of (await env.BUCKET.get(url.searchParams.get("key"))).body) length += chunk.length;
      return new Response(String(length));
    }
    if (url.pathname === "/metadata") {
      await env.BUCKET.put("old", "v", { customMetadata: { c: "1" } });
      return Response.json((await env.BUCKET.list({ prefix: "old" })).objects[0].customMetadata ?? null);
    }
    return handlers.fetch(request, env, ctx);
  },
};
