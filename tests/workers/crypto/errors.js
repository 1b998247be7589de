// What is refused, and with which error.

import { equal, fails } from "../kit/suite.js";
import { hex, utf8 } from "./bytes.js";

const { subtle } = crypto;
const KEY = hex("000102030405060708090a0b0c0d0e0f");
const OCT = { kty: "oct", k: "AAECAwQFBgcICQoLDA0ODw" };

const refuses = (work, ...names) => fails(work, { name: names[0] });

export const errors = {
  async keys_of_another_algorithm_or_without_the_usage() {
    const gcm = await subtle.importKey("raw", KEY, "AES-GCM", false, ["encrypt"]);
    const iv = new Uint8Array(16);
    await refuses(() => subtle.encrypt({ name: "AES-CBC", iv }, gcm, KEY), "InvalidAccessError");
    await refuses(() => subtle.decrypt({ name: "AES-GCM", iv }, gcm, KEY), "InvalidAccessError");
    await refuses(() => subtle.encrypt({ name: "HMAC" }, gcm, KEY), "NotSupportedError");
    await refuses(() => subtle.encrypt({ name: "AES-GCM", iv }, {}, KEY), "TypeError");
    await refuses(() => subtle.encrypt({ name: "AES-GCM", iv }, gcm, "text"), "TypeError");
    await refuses(() => subtle.encrypt("AES-GCM", gcm, KEY), "TypeError");
    await refuses(() => subtle.wrapKey("raw", gcm, gcm, { name: "AES-GCM", iv }), "InvalidAccessError");
    await refuses(() => subtle.sign("ECDSA", gcm, KEY), "TypeError");
  },

  async parameters_out_of_range() {
    const importKey = (name) => subtle.importKey("raw", KEY, name, false, ["encrypt"]);
    const encrypt = (key, more) => subtle.encrypt({ name: key.algorithm.name, ...more }, key, KEY);
    const gcm = await importKey("AES-GCM");
    const iv = new Uint8Array(12);
    for (const tagLength of [0, 16, 33, 127, 129, 255]) {
      await refuses(() => encrypt(gcm, { iv, tagLength }), "OperationError");
    }
    await refuses(() => encrypt(gcm, { iv, tagLength: 256 }), "TypeError");
    await refuses(() => encrypt(gcm, { iv: new Uint8Array(0) }), "OperationError");
    const cbc = await importKey("AES-CBC");
    for (const length of [0, 12, 17]) {
      await refuses(() => encrypt(cbc, { iv: new Uint8Array(length) }), "OperationError");
    }
    const ctr = await importKey("AES-CTR");
    const counter = new Uint8Array(16);
    for (const length of [0, 129]) await refuses(() => encrypt(ctr, { counter, length }), "OperationError");
    await refuses(() => encrypt(ctr, { counter: iv, length: 64 }), "OperationError");
  },

  async keys_that_cannot_be_made() {
    const generate = (algorithm, usages) => subtle.generateKey(algorithm, true, usages);
    await refuses(() => generate({ name: "AES-GCM", length: 64 }, ["encrypt"]), "OperationError");
    await refuses(() => generate({ name: "AES-GCM", length: 128 }, ["sign"]), "SyntaxError");
    await refuses(() => generate({ name: "AES-GCM", length: 128 }, []), "SyntaxError");
    await refuses(() => generate({ name: "AES-GCM", length: 128 }, ["nothing"]), "TypeError");
    await refuses(() => generate({ name: "AES-GCM", length: 65_536 }, ["encrypt"]), "TypeError");
    await refuses(() => generate({ name: "AES-KW", length: 128 }, ["encrypt"]), "SyntaxError");
    await refuses(() => generate({ name: "HMAC" }, ["sign"]), "TypeError");
    await refuses(() => generate({ name: "HMAC", hash: "MD5" }, ["sign"]), "NotSupportedError");
    await refuses(() => generate({ name: "ECDSA", namedCurve: "P-512" }, ["sign"]), "NotSupportedError");
    await refuses(() => generate({ name: "ECDSA", namedCurve: "P-256" }, ["verify"]), "SyntaxError");
    await refuses(() => generate({ name: "ECDSA", namedCurve: "P-256" }, ["encrypt"]), "SyntaxError");
    await refuses(() => generate("Ed25519", []), "SyntaxError");
    await refuses(() => generate("X25519", ["sign"]), "SyntaxError");
    await refuses(() => generate("PBKDF2", ["deriveBits"]), "NotSupportedError");
    const rsa = { name: "RSA-PSS", modulusLength: 2048, hash: "SHA-256" };
    for (const publicExponent of [[], [1], [1, 0, 0], [0, 2]].map((bytes) => Uint8Array.from(bytes))) {
      await refuses(() => generate({ ...rsa, publicExponent }, ["sign"]), "OperationError");
    }
    await refuses(() => generate({ ...rsa, publicExponent: [1, 0, 1] }, ["sign"]), "TypeError");
    await refuses(() => generate({ ...rsa, publicExponent: hex("010001"), modulusLength: 99 }, ["sign"]), "OperationError");
  },

  async raw_keys_that_are_none() {
    const raw = (bytes, algorithm, usages) => subtle.importKey("raw", bytes, algorithm, true, usages);
    await refuses(() => raw(KEY.slice(1), "AES-GCM", ["encrypt"]), "DataError");
    await refuses(() => raw(KEY, "AES-GCM", []), "SyntaxError");
    await refuses(() => raw(KEY, "AES-GCM", ["sign"]), "SyntaxError");
    await refuses(() => raw(KEY, { name: "ECDSA", namedCurve: "P-256" }, ["verify"]), "DataError");
    await refuses(() => raw(KEY, { name: "ECDSA", namedCurve: "P-256" }, ["sign"]), "SyntaxError");
    await refuses(() => raw(KEY, "Ed25519", ["verify"]), "DataError");
    await refuses(() => raw(KEY, { name: "RSA-PSS", hash: "SHA-1" }, ["verify"]), "NotSupportedError");
    await refuses(() => subtle.importKey("spki", KEY, "AES-GCM", true, ["encrypt"]), "NotSupportedError");
    await refuses(() => subtle.importKey("text", KEY, "AES-GCM", true, ["encrypt"]), "TypeError");
    await refuses(() => subtle.importKey("raw", OCT, "AES-GCM", true, ["encrypt"]), "TypeError");
    await refuses(() => subtle.importKey("jwk", KEY, "AES-GCM", true, ["encrypt"]), "TypeError");
    await refuses(() => subtle.importKey("raw", KEY, "PBKDF2", true, ["deriveBits"]), "SyntaxError");
    await refuses(() => subtle.importKey("jwk", OCT, "HKDF", false, ["deriveBits"]), "NotSupportedError");
    await refuses(() => subtle.importKey("raw", KEY, "nothing", true, ["encrypt"]), "NotSupportedError");
    const key = await subtle.importKey("raw", KEY, "PBKDF2", false, ["deriveBits"]);
    await refuses(() => subtle.exportKey("raw", key), "NotSupportedError");
  },

  async json_web_keys_that_do_not_fit() {
    const jwk = (more, usages = ["encrypt"], extractable = true) =>
      subtle.importKey("jwk", { ...OCT, ...more }, "AES-GCM", extractable, usages);
    equal((await jwk({ alg: "A128GCM", use: "enc", key_ops: ["encrypt", "odd"], ext: true })).type, "secret");
    const wrong = [
      { kty: "EC" },
      { kty: undefined },
      { k: undefined },
      { k: "AA=" },
      { k: "AAECAwQFBgcICQoLDA0OD+" },
      { k: "AAEC" },
      { alg: "A256GCM" },
      { use: "sig" },
      { key_ops: [] },
      { key_ops: ["encrypt", "encrypt"] },
      { key_ops: ["decrypt"] },
      { ext: false },
    ];
    for (const more of wrong) await refuses(() => jwk(more), "DataError");
    equal((await jwk({ ext: false }, ["encrypt"], false)).extractable, false);
    await refuses(() => jwk({ key_ops: "encrypt" }), "TypeError");
  },

  async der_that_is_none() {
    const spki = (bytes, usages = ["verify"]) =>
      subtle.importKey("spki", bytes, { name: "ECDSA", namedCurve: "P-256" }, true, usages);
    const pair = await subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
    const good = new Uint8Array(await subtle.exportKey("spki", pair.publicKey));
    equal((await spki(good)).type, "public");
    for (let length = 0; length < good.length; length++) {
      await refuses(() => spki(good.slice(0, length)), "DataError");
    }
    await refuses(() => spki(Uint8Array.of(...good, 0)), "DataError");
    for (let at = 0; at < good.length; at++) {
      const changed = good.slice();
      changed[at] ^= 1;
      await refuses(() => spki(changed), "DataError");
    }
    const other = { name: "ECDSA", namedCurve: "P-384" };
    await refuses(() => subtle.importKey("spki", good, other, true, ["verify"]), "DataError");
    await refuses(() => subtle.importKey("spki", good, "Ed25519", true, ["verify"]), "DataError");
    const rsa = { name: "RSA-PSS", hash: "SHA-256" };
    await refuses(() => subtle.importKey("spki", good, rsa, true, ["verify"]), "DataError");
    await refuses(() => subtle.importKey("pkcs8", good, rsa, true, ["sign"]), "DataError");
  },

  async each_half_exports_in_its_formats_alone() {
    const pairs = [
      await subtle.generateKey({ name: "ECDH", namedCurve: "P-256" }, true, ["deriveBits"]),
      await subtle.generateKey("Ed25519", true, ["sign"]),
    ];
    for (const { publicKey, privateKey } of pairs) {
      await refuses(() => subtle.exportKey("pkcs8", publicKey), "InvalidAccessError");
      await refuses(() => subtle.exportKey("spki", privateKey), "InvalidAccessError");
      await refuses(() => subtle.exportKey("raw", privateKey), "InvalidAccessError");
    }
    const closed = await subtle.generateKey("Ed25519", false, ["sign"]);
    equal(closed.publicKey.extractable, true);
    await refuses(() => subtle.exportKey("pkcs8", closed.privateKey), "InvalidAccessError");
  },

  async agreement_needs_keys_of_one_curve() {
    const make = (namedCurve) => subtle.generateKey({ name: "ECDH", namedCurve }, true, ["deriveBits"]);
    const [ours, theirs, other] = [await make("P-256"), await make("P-256"), await make("P-384")];
    const derive = (key, from, length) => subtle.deriveBits({ name: "ECDH", public: key }, from, length);
    await refuses(() => derive(other.publicKey, ours.privateKey, 8), "InvalidAccessError");
    await refuses(() => derive(theirs.privateKey, ours.privateKey, 8), "InvalidAccessError");
    await refuses(() => derive(theirs.publicKey, ours.publicKey, 8), "InvalidAccessError");
    await refuses(() => derive(theirs.publicKey, ours.privateKey, 257), "OperationError");
    await refuses(() => derive(utf8("key"), ours.privateKey, 8), "TypeError");
    equal((await derive(theirs.publicKey, ours.privateKey)).byteLength, 32);
    const part = new Uint8Array(await derive(theirs.publicKey, ours.privateKey, 11));
    equal(part.length, 2);
    equal(part[1] & 0x1f, 0);
  },
};
