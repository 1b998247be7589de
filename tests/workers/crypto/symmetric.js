// AES, HMAC, HKDF, PBKDF2: vectors, then round trips.

import { equal, fails, same } from "../kit/suite.js";
import { hex, sameBytes, utf8 } from "./bytes.js";

const { subtle } = crypto;

const importRaw = (name, bytes, usages, more = {}) => subtle.importKey("raw", bytes, { name, ...more }, true, usages);

/** NIST SP 800-38A, appendix F. */
const BLOCK = hex("6bc1bee22e409f96e93d7e117393172a");
const KEY_128 = hex("2b7e151628aed2a6abf7158809cf4f3c");
const KEY_192 = hex("8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b");
const KEY_256 = hex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4");

/** McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 4 to 6 and 16. */
const GCM_PLAIN = hex(`d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525
  b16aedf5aa0de657ba637b39`);
const GCM_DATA = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
const GCM_KEY = hex("feffe9928665731c6d6a8f9467308308");
const GCM_CASES = [
  {
    key: GCM_KEY,
    iv: "cafebabefacedbaddecaf888",
    sealed: `42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa05
      1ba30b396a0aac973d58e0915bc94fbc3221a5db94fae95ae7121a47`,
  },
  {
    key: GCM_KEY,
    iv: "cafebabefacedbad",
    sealed: `61353b4c2806934a777ff51fa22a4755699b2a714fcdc6f83766e5f97b6c742373806900e49f24b22b097544d4896b42
      4989b5e1ebac0f07c23f45983612d2e79e3b0785561be14aaca2fccb`,
  },
  {
    key: GCM_KEY,
    iv: `9313225df88406e555909c5aff5269aa6a7a9538534f7da1e4c303d2a318a728c3c0c95156809539fcf0e2429a6b5254
      16aedbf5a0de6a57a637b39b`,
    sealed: `8ce24998625615b603a033aca13fb894be9112a5c3a211a8ba262a3cca7e2ca701e4a9a4fba43c90ccdcb281d48c7c6f
      d62875d2aca417034c34aee5619cc5aefffe0bfa462af43c1699d050`,
  },
  {
    key: hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"),
    iv: "cafebabefacedbaddecaf888",
    sealed: `522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838
      c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b`,
  },
];

const HMAC_DATA = utf8("what do ya want for nothing?");
/** RFC 2202 and RFC 4231, test case 2 (key "Jefe"). */
const HMACS = {
  "SHA-1": "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
  "SHA-256": "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
  "SHA-384":
    "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
  "SHA-512":
    "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
};

const AES_PARAMETERS = {
  "AES-CBC": () => ({ name: "AES-CBC", iv: crypto.getRandomValues(new Uint8Array(16)) }),
  "AES-CTR": () => ({ name: "AES-CTR", counter: crypto.getRandomValues(new Uint8Array(16)), length: 64 }),
  "AES-GCM": () => ({ name: "AES-GCM", iv: crypto.getRandomValues(new Uint8Array(12)) }),
};

export const symmetric = {
  async aes_cbc_vectors() {
    const iv = hex("000102030405060708090a0b0c0d0e0f");
    const expected = [
      [KEY_128, "7649abac8119b246cee98e9b12e9197d"],
      [KEY_192, "4f021db243bc633d7178183a9fa071e8"],
      [KEY_256, "f58c4c04d6e5f1ba779eabfb5f7bfbd6"],
    ];
    for (const [bytes, block] of expected) {
      const key = await importRaw("AES-CBC", bytes, ["encrypt", "decrypt"]);
      const sealed = await subtle.encrypt({ name: "AES-CBC", iv }, key, BLOCK);
      equal(sealed.byteLength, 32);
      sameBytes(sealed.slice(0, 16), block);
      sameBytes(await subtle.decrypt({ name: "AES-CBC", iv }, key, sealed), BLOCK);
      for (const wrong of [sealed.slice(0, 16), sealed.slice(0, 31), new ArrayBuffer(0)]) {
        await fails(() => subtle.decrypt({ name: "AES-CBC", iv }, key, wrong), { name: "OperationError" });
      }
    }
  },

  async aes_ctr_vectors() {
    const counter = hex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
    const expected = [
      [KEY_128, "874d6191b620e3261bef6864990db6ce"],
      [KEY_192, "1abc932417521ca24f2b0459fe7e6e0b"],
      [KEY_256, "601ec313775789a5b7a7f504bbf3d228"],
    ];
    for (const [bytes, block] of expected) {
      const key = await importRaw("AES-CTR", bytes, ["encrypt", "decrypt"]);
      const algorithm = { name: "AES-CTR", counter, length: 128 };
      sameBytes(await subtle.encrypt(algorithm, key, BLOCK), block);
      sameBytes(await subtle.decrypt(algorithm, key, hex(block)), BLOCK);
    }
  },

  async aes_ctr_counts_in_its_bits_alone() {
    const key = await importRaw("AES-CTR", KEY_128, ["encrypt"]);
    const ctr = (counter, length, bytes) =>
      subtle.encrypt({ name: "AES-CTR", counter: hex(counter), length }, key, new Uint8Array(bytes));
    const both = await ctr("ffffffffffffffffffffffffffffffff", 1, 32);
    sameBytes(both.slice(0, 16), await ctr("ffffffffffffffffffffffffffffffff", 128, 16));
    sameBytes(both.slice(16), await ctr("fffffffffffffffffffffffffffffffe", 128, 16));
    await fails(() => ctr("ffffffffffffffffffffffffffffffff", 1, 33), { name: "OperationError" });
  },

  async aes_gcm_vectors() {
    for (const { key: bytes, iv, sealed } of GCM_CASES) {
      const key = await importRaw("AES-GCM", bytes, ["encrypt", "decrypt"]);
      const algorithm = { name: "AES-GCM", iv: hex(iv), additionalData: GCM_DATA };
      sameBytes(await subtle.encrypt(algorithm, key, GCM_PLAIN), sealed);
      sameBytes(await subtle.decrypt(algorithm, key, hex(sealed)), GCM_PLAIN);
      const wrong = hex(sealed);
      wrong[3] ^= 1;
      await fails(() => subtle.decrypt(algorithm, key, wrong), { name: "OperationError" });
      const other = { ...algorithm, additionalData: hex("00") };
      await fails(() => subtle.decrypt(other, key, hex(sealed)), { name: "OperationError" });
      await fails(() => subtle.decrypt(algorithm, key, hex("00")), { name: "OperationError" });
      for (const tagLength of [32, 64, 96, 104, 112, 120, 128]) {
        const short = await subtle.encrypt({ ...algorithm, tagLength }, key, GCM_PLAIN);
        sameBytes(short, hex(sealed).slice(0, GCM_PLAIN.length + tagLength / 8));
        sameBytes(await subtle.decrypt({ ...algorithm, tagLength }, key, short), GCM_PLAIN);
      }
    }
  },

  /** RFC 3394, 4.1 and 4.6. */
  async aes_kw_vectors() {
    const kek = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const cases = [
      [16, "00112233445566778899aabbccddeeff", "1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5"],
      [
        32,
        "00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f",
        "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21",
      ],
    ];
    for (const [length, plain, wrapped] of cases) {
      const wrapping = await importRaw("AES-KW", hex(kek).slice(0, length), ["wrapKey", "unwrapKey"]);
      const key = await importRaw("AES-CBC", hex(plain), ["encrypt"]);
      sameBytes(await subtle.wrapKey("raw", key, wrapping, "AES-KW"), wrapped);
      const unwrap = (bytes) => subtle.unwrapKey("raw", bytes, wrapping, "AES-KW", "AES-CBC", true, ["encrypt"]);
      sameBytes(await subtle.exportKey("raw", await unwrap(hex(wrapped))), plain);
      const wrong = hex(wrapped);
      wrong[0] ^= 1;
      await fails(() => unwrap(wrong), { name: "OperationError" });
      await fails(() => unwrap(hex("00")), { name: "OperationError" });
    }
  },

  async hmac_vectors() {
    for (const [hash, expected] of Object.entries(HMACS)) {
      const key = await importRaw("HMAC", utf8("Jefe"), ["sign", "verify"], { hash });
      sameBytes(await subtle.sign("HMAC", key, HMAC_DATA), expected, hash);
      equal(await subtle.verify("HMAC", key, hex(expected), HMAC_DATA), true);
      equal(await subtle.verify("HMAC", key, hex(expected), utf8("other")), false);
      equal(await subtle.verify("HMAC", key, hex(expected).slice(1), HMAC_DATA), false);
    }
  },

  async hmac_keys_have_the_length_asked_for() {
    const generate = (more) => subtle.generateKey({ name: "HMAC", hash: "SHA-384", ...more }, true, ["sign"]);
    equal((await generate()).algorithm.length, 1024);
    const odd = await generate({ length: 11 });
    equal(odd.algorithm.length, 11);
    const bytes = new Uint8Array(await subtle.exportKey("raw", odd));
    equal(bytes.length, 2);
    equal(bytes[1] & 0x1f, 0);
    const cut = await importRaw("HMAC", hex("ffff"), ["sign"], { hash: "SHA-1", length: 9 });
    sameBytes(await subtle.exportKey("raw", cut), "ff80");
    await fails(() => generate({ length: 0 }), { name: "OperationError" });
    for (const length of [8, 17]) {
      await fails(() => importRaw("HMAC", hex("ffff"), ["sign"], { hash: "SHA-1", length }), { name: "DataError" });
    }
    await fails(() => importRaw("HMAC", hex(""), ["sign"], { hash: "SHA-1" }), { name: "DataError" });
  },

  /** RFC 5869, A.1. */
  async hkdf_vectors() {
    const key = await subtle.importKey("raw", new Uint8Array(22).fill(0x0b), "HKDF", false, ["deriveBits"]);
    const algorithm = {
      name: "HKDF",
      hash: "SHA-256",
      salt: hex("000102030405060708090a0b0c"),
      info: hex("f0f1f2f3f4f5f6f7f8f9"),
    };
    const expected = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";
    sameBytes(await subtle.deriveBits(algorithm, key, 336), expected);
    equal((await subtle.deriveBits(algorithm, key, 0)).byteLength, 0);
    equal((await subtle.deriveBits(algorithm, key, 255 * 256)).byteLength, 255 * 32);
    for (const length of [null, 7, 255 * 256 + 8]) {
      await fails(() => subtle.deriveBits(algorithm, key, length), { name: "OperationError" });
    }
  },

  /** RFC 6070, and RFC 7914 section 11 for SHA-256. */
  async pbkdf2_vectors() {
    const derive = async (hash, password, salt, iterations, length) => {
      const key = await subtle.importKey("raw", utf8(password), "PBKDF2", false, ["deriveBits"]);
      return subtle.deriveBits({ name: "PBKDF2", hash, salt: utf8(salt), iterations }, key, length);
    };
    sameBytes(await derive("SHA-1", "password", "salt", 2, 160), "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957");
    sameBytes(await derive("SHA-1", "password", "salt", 4096, 160), "4b007901b765489abead49d926f721d065a429c1");
    const long = `55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc
      49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783`;
    sameBytes(await derive("SHA-256", "passwd", "salt", 1, 512), long);
    equal((await derive("SHA-512", "", "", 1, 8)).byteLength, 1);
    await fails(() => derive("SHA-1", "p", "s", 0, 160), { name: "OperationError" });
    await fails(() => derive("SHA-1", "p", "s", 1, 161), { name: "OperationError" });
  },

  async derived_keys_have_their_algorithms_length() {
    const base = await subtle.importKey("raw", utf8("p"), "PBKDF2", false, ["deriveKey"]);
    const algorithm = { name: "PBKDF2", hash: "SHA-256", salt: utf8("s"), iterations: 1 };
    const derive = (type, usages) => subtle.deriveKey(algorithm, base, type, true, usages);
    const aes = await derive({ name: "AES-GCM", length: 192 }, ["encrypt"]);
    same(aes.algorithm, { name: "AES-GCM", length: 192 });
    const hmac = await derive({ name: "HMAC", hash: "SHA-512" }, ["sign"]);
    equal(hmac.algorithm.length, 1024);
    equal((await derive({ name: "HMAC", hash: "SHA-1", length: 16 }, ["sign"])).algorithm.length, 16);
    await fails(() => derive({ name: "AES-GCM", length: 100 }, ["encrypt"]), { name: "OperationError" });
    await fails(() => derive({ name: "HMAC", hash: "SHA-1", length: 0 }, ["sign"]), { name: "TypeError" });
    await fails(() => derive({ name: "HKDF" }, ["deriveBits"]), { name: "OperationError" });
    await fails(() => derive({ name: "AES-GCM", length: 128 }, []), { name: "SyntaxError" });
    await fails(() => subtle.deriveBits(algorithm, base, 8), { name: "InvalidAccessError" });
  },

  async aes_there_and_back_in_every_length_and_format() {
    for (const [name, parameters] of Object.entries(AES_PARAMETERS)) {
      for (const length of [128, 192, 256]) {
        const key = await subtle.generateKey({ name, length }, true, ["encrypt", "decrypt"]);
        const jwk = await subtle.exportKey("jwk", key);
        equal(jwk.alg, `A${length}${name.slice(4)}`);
        equal(jwk.kty, "oct");
        const raw = await subtle.exportKey("raw", key);
        const fromJwk = await subtle.importKey("jwk", jwk, name, true, ["decrypt"]);
        const fromRaw = await subtle.importKey("raw", raw, name, true, ["decrypt"]);
        for (const size of [0, 1, 15, 16, 17, 1000]) {
          const data = crypto.getRandomValues(new Uint8Array(size));
          const algorithm = parameters();
          const sealed = await subtle.encrypt(algorithm, key, data);
          for (const other of [fromJwk, fromRaw]) sameBytes(await subtle.decrypt(algorithm, other, sealed), data);
        }
      }
    }
  },

  async a_megabyte_of_aes_gcm_and_sha_256() {
    const data = new Uint8Array(1 << 20).fill(7);
    const key = await importRaw("AES-GCM", KEY_256, ["encrypt", "decrypt"]);
    const algorithm = { name: "AES-GCM", iv: new Uint8Array(12) };
    const sealed = await subtle.encrypt(algorithm, key, data);
    const opened = await subtle.decrypt(algorithm, key, sealed);
    sameBytes(await subtle.digest("SHA-256", opened), await subtle.digest("SHA-256", data));
  },

  async keys_wrap_in_every_way() {
    const usages = ["wrapKey", "unwrapKey"];
    const wrapped = await subtle.generateKey({ name: "HMAC", hash: "SHA-256", length: 256 }, true, ["sign"]);
    const signature = await subtle.sign("HMAC", wrapped, utf8("data"));
    const ways = [{ name: "AES-KW" }, ...Object.values(AES_PARAMETERS).map((make) => make())];
    for (const way of ways) {
      const key = await subtle.generateKey({ name: way.name, length: 256 }, false, usages);
      for (const format of way.name === "AES-KW" ? ["raw"] : ["raw", "jwk"]) {
        const bytes = await subtle.wrapKey(format, wrapped, key, way);
        const type = { name: "HMAC", hash: "SHA-256" };
        const back = await subtle.unwrapKey(format, bytes, key, way, type, false, ["sign"]);
        sameBytes(await subtle.sign("HMAC", back, utf8("data")), signature, `${way.name} ${format}`);
      }
    }
    const [, way] = ways;
    const key = await importRaw(way.name, KEY_128, ["encrypt", ...usages]);
    for (const text of ["{", "1", "null", "{}", "[]"]) {
      const sealed = await subtle.encrypt(way, key, utf8(text));
      const unwrap = () => subtle.unwrapKey("jwk", sealed, key, way, "AES-CBC", true, ["encrypt"]);
      await fails(unwrap, { name: "DataError" });
    }
  },
};
