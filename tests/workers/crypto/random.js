// Random values, digests in one go and in pieces, comparison, the shape of the interfaces.

import { equal, fails, same } from "../kit/suite.js";
import { hex, sameBytes, utf8 } from "./bytes.js";

const { subtle } = crypto;

const DIGESTS = {
  MD5: "900150983cd24fb0d6963f7d28e17f72",
  "SHA-1": "a9993e364706816aba3e25717850c26c9cd0d89d",
  "SHA-256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
  "SHA-384":
    "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
  "SHA-512":
    "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
};

export const random = {
  async digests_of_abc() {
    for (const [name, expected] of Object.entries(DIGESTS)) {
      sameBytes(await subtle.digest(name, utf8("abc")), expected, name);
      sameBytes(await subtle.digest({ name: name.toLowerCase() }, utf8("abc").buffer), expected, name);
    }
    await fails(() => subtle.digest("SHA-3", utf8("")), { name: "NotSupportedError" });
    await fails(() => subtle.digest("\u017fHA-1", utf8("")), { name: "NotSupportedError" });
    await fails(() => subtle.digest("SHA-1", "abc"), { name: "TypeError" });
    await fails(() => subtle.digest({}, utf8("")), { name: "TypeError" });
  },

  async digest_stream_digests_as_it_goes() {
    for (const [name, expected] of Object.entries(DIGESTS)) {
      const stream = new crypto.DigestStream(name);
      const writer = stream.getWriter();
      writer.write(utf8("a"));
      writer.write("b");
      writer.write(new DataView(utf8("xc").buffer, 1));
      await writer.close();
      sameBytes(await stream.digest, expected, name);
      equal(stream.bytesWritten, 3n);
    }
    const piped = new crypto.DigestStream({ name: "SHA-256" });
    await new Response("abc").body.pipeTo(piped);
    sameBytes(await piped.digest, DIGESTS["SHA-256"]);
  },

  async digest_stream_fails_with_its_stream() {
    await fails(() => new crypto.DigestStream("nothing"), { name: "NotSupportedError" });
    const aborted = new crypto.DigestStream("SHA-1");
    aborted.abort(new RangeError("enough"));
    await fails(() => aborted.digest, { name: "RangeError" });
    const wrong = new crypto.DigestStream("SHA-1");
    await fails(() => wrong.getWriter().write(1), { name: "TypeError" });
    await fails(() => wrong.digest, { name: "TypeError" });
  },

  async random_values_have_their_rules() {
    const filled = new BigUint64Array(4);
    equal(crypto.getRandomValues(filled), filled);
    equal(filled.some((item) => item !== 0n), true);
    const part = new Uint8Array(64);
    crypto.getRandomValues(part.subarray(32));
    equal(part.subarray(0, 32).every((byte) => byte === 0), true);
    crypto.getRandomValues(new Uint8Array(65_536));
    await fails(() => crypto.getRandomValues(new Uint8Array(65_537)), { name: "QuotaExceededError" });
    await fails(() => crypto.getRandomValues(new Float64Array(1)), { name: "TypeMismatchError" });
    await fails(() => crypto.getRandomValues(new DataView(new ArrayBuffer(1))), { name: "TypeMismatchError" });
    await fails(() => crypto.getRandomValues(new ArrayBuffer(1)), { name: "TypeError" });
    equal(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(crypto.randomUUID()), true);
  },

  async timing_safe_equal() {
    equal(subtle.timingSafeEqual(hex("0102"), hex("0102").buffer), true);
    equal(subtle.timingSafeEqual(hex("0102"), hex("0103")), false);
    await fails(() => subtle.timingSafeEqual(hex("01"), hex("0102")), { name: "TypeError" });
  },

  async interfaces_have_their_shape() {
    await fails(() => new CryptoKey(), { name: "TypeError" });
    await fails(() => new SubtleCrypto(), { name: "TypeError" });
    equal(Object.prototype.toString.call(subtle), "[object SubtleCrypto]");
    const lengths = { encrypt: 3, verify: 4, digest: 2, generateKey: 3, deriveKey: 5, deriveBits: 2, importKey: 5 };
    for (const [name, length] of Object.entries({ ...lengths, exportKey: 2, wrapKey: 4, unwrapKey: 7 })) {
      equal(subtle[name].length, length, name);
    }
    const pending = SubtleCrypto.prototype.digest.call({}, "SHA-1", utf8(""));
    equal(pending instanceof Promise, true);
    await fails(() => pending, { name: "TypeError" });
    await fails(() => subtle.digest(), { name: "TypeError" });
  },

  async a_key_tells_what_it_is_and_cannot_be_changed() {
    const usages = ["verify", "sign", "sign"];
    const key = await subtle.generateKey({ name: "hmac", hash: "sha-256" }, false, usages);
    equal(key instanceof CryptoKey, true);
    equal(Object.prototype.toString.call(key), "[object CryptoKey]");
    equal(key.type, "secret");
    equal(key.extractable, false);
    same(key.usages, ["sign", "verify"]);
    same(key.algorithm, { name: "HMAC", length: 512, hash: { name: "SHA-256" } });
    equal(key.algorithm, key.algorithm);
    equal(key.usages, key.usages);
    key.algorithm.name = "AES-GCM";
    key.usages.length = 0;
    equal((await subtle.sign("HMAC", key, utf8(""))).byteLength, 32);
    await fails(() => subtle.exportKey("raw", key), { name: "InvalidAccessError" });
  },

  async results_come_later_and_data_is_read_at_once() {
    const data = utf8("abc");
    let settled = false;
    const promise = subtle.digest("SHA-1", data).then((digest) => {
      settled = true;
      return digest;
    });
    equal(settled, false);
    data.fill(0);
    sameBytes(await promise, DIGESTS["SHA-1"]);
  },
};
