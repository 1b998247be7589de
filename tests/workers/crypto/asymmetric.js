// RSA, ECDSA, ECDH, Ed25519, X25519: vectors, keys that OpenSSL made, then round trips in every format.

import { equal, fails, same } from "../kit/suite.js";
import { hex, sameBytes, toHex, utf8 } from "./bytes.js";
import { ECDSA, RSA_2048 } from "./openssl.js";

const { subtle } = crypto;
const DATA = utf8("data");
const HASHES = ["SHA-1", "SHA-256", "SHA-384", "SHA-512"];
const CURVES = { "P-256": 32, "P-384": 48, "P-521": 66 };
const F4 = hex("010001");

/** RFC 6979, A.2.5 and A.2.6: "sample" with the curve's own hash. */
const RFC_6979 = [
  {
    namedCurve: "P-256",
    hash: "SHA-256",
    point: `0460FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6
      7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299`,
    signature: `EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716
      F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8`,
  },
  {
    namedCurve: "P-384",
    hash: "SHA-384",
    point: `04EC3A4E415B4E19A4568618029F427FA5DA9A8BC4AE92E02E06AAE5286B300C64DEF8F0EA9055866064A254515480BC13
      8015D9B72D7D57244EA8EF9AC0C621896708A59367F9DFB9F54CA84B3F1C9DB1288B231C3AE0D4FE7344FD2533264720`,
    signature: `94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C81A648152E44ACF96E36DD1E80FABE46
      99EF4AEB15F178CEA1FE40DB2603138F130E740A19624526203B6351D0A3A94FA329C145786E679E7B82C71A38628AC8`,
  },
];

/** RFC 8037, appendix A. */
const ED25519_JWK = {
  kty: "OKP",
  crv: "Ed25519",
  d: "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
  x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
};
const ED25519_DATA = utf8("eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc");
const ED25519_SIGNATURE = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

/** Every format of both halves, there and back; `use` shows that a pair still works. */
async function thereAndBack(algorithm, pair, formats, use) {
  const back = async (key, format) => {
    const data = await subtle.exportKey(format, key);
    const again = await subtle.importKey(format, data, algorithm, true, key.usages);
    equal(again.type, key.type, format);
    same(again.algorithm, key.algorithm, format);
    same(again.usages, key.usages, format);
    const second = await subtle.exportKey(format, again);
    if (format === "jwk") same(second, data);
    else sameBytes(second, data, format);
    return again;
  };
  for (const format of formats.public) {
    await use({ publicKey: await back(pair.publicKey, format), privateKey: pair.privateKey });
  }
  for (const format of formats.private) {
    await use({ publicKey: pair.publicKey, privateKey: await back(pair.privateKey, format) });
  }
}

const CURVE_FORMATS = { public: ["raw", "spki", "jwk"], private: ["pkcs8", "jwk"] };
const RSA_FORMATS = { public: ["spki", "jwk"], private: ["pkcs8", "jwk"] };

async function signs(algorithm, { publicKey, privateKey }) {
  const signature = await subtle.sign(algorithm, privateKey, DATA);
  equal(await subtle.verify(algorithm, publicKey, signature, DATA), true);
  equal(await subtle.verify(algorithm, publicKey, signature, utf8("date")), false);
  const wrong = new Uint8Array(signature);
  wrong[wrong.length - 1] ^= 1;
  equal(await subtle.verify(algorithm, publicKey, wrong, DATA), false);
  equal(await subtle.verify(algorithm, publicKey, wrong.slice(1), DATA), false);
  equal(await subtle.verify(algorithm, publicKey, new Uint8Array(0), DATA), false);
  return signature;
}

const generateRsa = (name, hash, usages, modulusLength = 1024) =>
  subtle.generateKey({ name, modulusLength, publicExponent: F4, hash }, true, usages);

export const asymmetric = {
  async ecdsa_vectors() {
    for (const { namedCurve, hash, point, signature } of RFC_6979) {
      const key = await subtle.importKey("raw", hex(point), { name: "ECDSA", namedCurve }, true, ["verify"]);
      equal(await subtle.verify({ name: "ECDSA", hash }, key, hex(signature), utf8("sample")), true, namedCurve);
      equal(await subtle.verify({ name: "ECDSA", hash }, key, hex(signature), utf8("simple")), false, namedCurve);
    }
  },

  async ecdsa_keys_and_signatures_of_openssl() {
    for (const [namedCurve, { pkcs8, spki, ...signatures }] of Object.entries(ECDSA)) {
      const algorithm = { name: "ECDSA", namedCurve };
      const privateKey = await subtle.importKey("pkcs8", pkcs8, algorithm, true, ["sign"]);
      const publicKey = await subtle.importKey("spki", spki, algorithm, true, ["verify"]);
      sameBytes(await subtle.exportKey("pkcs8", privateKey), pkcs8, namedCurve);
      sameBytes(await subtle.exportKey("spki", publicKey), spki, namedCurve);
      for (const [hash, signature] of Object.entries(signatures)) {
        equal(await subtle.verify({ name: "ECDSA", hash }, publicKey, signature, DATA), true, namedCurve);
      }
      await signs({ name: "ECDSA", hash: "SHA-256" }, { publicKey, privateKey });
    }
  },

  async ecdsa_there_and_back() {
    for (const [namedCurve, bytes] of Object.entries(CURVES)) {
      const algorithm = { name: "ECDSA", namedCurve };
      const pair = await subtle.generateKey(algorithm, true, ["sign", "verify"]);
      same(pair.publicKey.usages, ["verify"]);
      same(pair.privateKey.usages, ["sign"]);
      same(pair.privateKey.algorithm, algorithm);
      for (const hash of HASHES) {
        equal((await signs({ name: "ECDSA", hash }, pair)).byteLength, 2 * bytes, `${namedCurve} ${hash}`);
      }
      await thereAndBack(algorithm, pair, CURVE_FORMATS, (halves) => signs({ name: "ECDSA", hash: "SHA-512" }, halves));
    }
  },

  async compressed_points_are_read() {
    for (const [namedCurve, bytes] of Object.entries(CURVES)) {
      const algorithm = { name: "ECDH", namedCurve };
      const { publicKey } = await subtle.generateKey(algorithm, true, ["deriveBits"]);
      const whole = new Uint8Array(await subtle.exportKey("raw", publicKey));
      const short = Uint8Array.of(2 + (whole[2 * bytes] & 1), ...whole.slice(1, 1 + bytes));
      const key = await subtle.importKey("raw", short, algorithm, true, []);
      sameBytes(await subtle.exportKey("raw", key), whole);
    }
  },

  /** RFC 7517, A.1 and A.2. */
  async an_ec_json_web_key_of_its_rfc() {
    const jwk = {
      kty: "EC",
      crv: "P-256",
      x: "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
      y: "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
      d: "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE",
    };
    const algorithm = { name: "ECDSA", namedCurve: "P-256" };
    const importKey = (more) => subtle.importKey("jwk", { ...jwk, ...more }, algorithm, true, ["sign"]);
    const { x, y, d, crv, kty } = await subtle.exportKey("jwk", await importKey({ alg: "ES256", use: "sig" }));
    same({ kty, crv, x, y, d }, jwk);
    for (const more of [{ alg: "ES384" }, { crv: "P-384" }, { y: jwk.x }, { d: jwk.x }, { x: "AA" }, { use: "enc" }]) {
      await fails(() => importKey(more), { name: "DataError" });
    }
  },

  async ecdh_there_and_back() {
    for (const [namedCurve, bytes] of Object.entries(CURVES)) {
      const algorithm = { name: "ECDH", namedCurve };
      const [ours, theirs] = [
        await subtle.generateKey(algorithm, true, ["deriveBits", "deriveKey"]),
        await subtle.generateKey(algorithm, true, ["deriveBits"]),
      ];
      same(ours.publicKey.usages, []);
      const share = (publicKey, privateKey, length = null) =>
        subtle.deriveBits({ name: "ECDH", public: publicKey }, privateKey, length);
      const secret = await share(theirs.publicKey, ours.privateKey);
      equal(secret.byteLength, bytes);
      await thereAndBack(algorithm, theirs, CURVE_FORMATS, async ({ publicKey, privateKey }) => {
        sameBytes(await share(publicKey, ours.privateKey), secret);
        sameBytes(await share(ours.publicKey, privateKey), secret);
      });
      const type = { name: "AES-GCM", length: 256 };
      const from = { name: "ECDH", public: theirs.publicKey };
      const key = await subtle.deriveKey(from, ours.privateKey, type, true, ["encrypt"]);
      sameBytes(await subtle.exportKey("raw", key), secret.slice(0, 32));
    }
  },

  async ed25519_vectors() {
    for (const algorithm of ["Ed25519", { name: "NODE-ED25519", namedCurve: "NODE-ED25519" }]) {
      const { d, ...half } = ED25519_JWK;
      const privateKey = await subtle.importKey("jwk", { ...half, d }, algorithm, true, ["sign"]);
      const publicKey = await subtle.importKey("jwk", half, algorithm, true, ["verify"]);
      const signature = await subtle.sign(algorithm, privateKey, ED25519_DATA);
      const expected = Uint8Array.fromBase64(ED25519_SIGNATURE, { alphabet: "base64url" });
      sameBytes(signature, expected);
      equal(await subtle.verify(algorithm, publicKey, expected, ED25519_DATA), true);
      const wrong = { ...half, d: half.x };
      await fails(() => subtle.importKey("jwk", wrong, algorithm, true, ["sign"]), { name: "DataError" });
    }
  },

  async ed25519_there_and_back() {
    for (const algorithm of [{ name: "Ed25519" }, { name: "NODE-ED25519", namedCurve: "NODE-ED25519" }]) {
      const pair = await subtle.generateKey(algorithm, true, ["sign", "verify"]);
      same(pair.publicKey.algorithm, algorithm);
      equal((await signs(algorithm, pair)).byteLength, 64);
      await thereAndBack(algorithm, pair, CURVE_FORMATS, (halves) => signs(algorithm, halves));
    }
    const other = { name: "NODE-ED25519", namedCurve: "P-256" };
    await fails(() => subtle.generateKey(other, true, ["sign"]), { name: "NotSupportedError" });
  },

  async ed25519_points_of_small_order_verify_nothing() {
    for (const point of ["01" + "00".repeat(31), "00".repeat(32), "ec" + "ff".repeat(30) + "7f"]) {
      const key = await subtle.importKey("raw", hex(point), "Ed25519", true, ["verify"]);
      const signature = hex(`${point}${"00".repeat(32)}`);
      equal(await subtle.verify("Ed25519", key, signature, DATA), false, point);
    }
  },

  /** RFC 7748, 6.1. */
  async x25519_vectors() {
    const secret = hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
    const theirs = hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    const pkcs8 = hex(`302e020100300506032b656e04220420${toHex(secret)}`);
    const privateKey = await subtle.importKey("pkcs8", pkcs8, "X25519", true, ["deriveBits"]);
    const { x } = await subtle.exportKey("jwk", privateKey);
    sameBytes(
      Uint8Array.fromBase64(x, { alphabet: "base64url" }),
      "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
    );
    const share = async (bytes) => {
      const point = await subtle.importKey("raw", bytes, "X25519", true, []);
      return subtle.deriveBits({ name: "X25519", public: point }, privateKey, 256);
    };
    sameBytes(await share(theirs), "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    await fails(() => share(new Uint8Array(32)), { name: "OperationError" });
  },

  async x25519_there_and_back() {
    const [ours, theirs] = [
      await subtle.generateKey("X25519", true, ["deriveBits"]),
      await subtle.generateKey("X25519", true, ["deriveBits"]),
    ];
    const share = (publicKey, privateKey) =>
      subtle.deriveBits({ name: "X25519", public: publicKey }, privateKey, 256);
    const secret = await share(theirs.publicKey, ours.privateKey);
    await thereAndBack("X25519", theirs, CURVE_FORMATS, async ({ publicKey, privateKey }) => {
      sameBytes(await share(publicKey, ours.privateKey), secret);
      sameBytes(await share(ours.publicKey, privateKey), secret);
    });
  },

  async rsa_keys_and_signatures_of_openssl() {
    const { pkcs8, spki } = RSA_2048;
    const importPair = async (name, hash, [open, closed]) => ({
      publicKey: await subtle.importKey("spki", spki, { name, hash }, true, [open]),
      privateKey: await subtle.importKey("pkcs8", pkcs8, { name, hash }, true, [closed]),
    });
    const pkcs1 = await importPair("RSASSA-PKCS1-v1_5", "SHA-256", ["verify", "sign"]);
    sameBytes(await subtle.sign("RSASSA-PKCS1-v1_5", pkcs1.privateKey, DATA), RSA_2048.pkcs1Sha256);
    equal(await subtle.verify("RSASSA-PKCS1-v1_5", pkcs1.publicKey, RSA_2048.pkcs1Sha256, DATA), true);
    sameBytes(await subtle.exportKey("spki", pkcs1.publicKey), spki);
    sameBytes(await subtle.exportKey("pkcs8", pkcs1.privateKey), pkcs8);
    equal(pkcs1.privateKey.algorithm.modulusLength, 2048);
    sameBytes(pkcs1.privateKey.algorithm.publicExponent, F4);
    const pss = await importPair("RSA-PSS", "SHA-384", ["verify", "sign"]);
    const verify = (saltLength) =>
      subtle.verify({ name: "RSA-PSS", saltLength }, pss.publicKey, RSA_2048.pssSha384Salt20, DATA);
    equal(await verify(20), true);
    equal(await verify(48), false);
    const oaep = await importPair("RSA-OAEP", "SHA-1", ["encrypt", "decrypt"]);
    const open = (label) =>
      subtle.decrypt({ name: "RSA-OAEP", label: utf8(label) }, oaep.privateKey, RSA_2048.oaepSha1Label);
    sameBytes(await open("label"), DATA);
    await fails(() => open("other"), { name: "OperationError" });
  },

  async rsa_generates_and_signs() {
    for (const name of ["RSASSA-PKCS1-v1_5", "RSA-PSS"]) {
      const pair = await generateRsa(name, "SHA-256", ["sign", "verify"], 2048);
      equal(pair.publicKey.algorithm.modulusLength, 2048);
      equal(pair.publicKey.extractable, true);
      same(pair.publicKey.usages, ["verify"]);
      same(pair.privateKey.usages, ["sign"]);
      for (const saltLength of name === "RSA-PSS" ? [0, 32, 100] : [0]) await signs({ name, saltLength }, pair);
      const type = { name, hash: "SHA-256" };
      await thereAndBack(type, pair, RSA_FORMATS, (halves) => signs({ name, saltLength: 8 }, halves));
    }
  },

  async rsa_signs_with_every_hash() {
    for (const name of ["RSASSA-PKCS1-v1_5", "RSA-PSS"]) {
      const pair = await generateRsa(name, "SHA-1", ["sign", "verify"]);
      const pkcs8 = await subtle.exportKey("pkcs8", pair.privateKey);
      const spki = await subtle.exportKey("spki", pair.publicKey);
      for (const hash of HASHES) {
        const privateKey = await subtle.importKey("pkcs8", pkcs8, { name, hash }, true, ["sign"]);
        const publicKey = await subtle.importKey("spki", spki, { name, hash }, true, ["verify"]);
        await signs({ name, saltLength: 20 }, { publicKey, privateKey });
        const short = hash === "SHA-1" ? "1" : hash.slice(4);
        const { alg } = await subtle.exportKey("jwk", publicKey);
        equal(alg, name === "RSA-PSS" ? `PS${short}` : `RS${short}`);
      }
      const tooLong = { name: "RSA-PSS", saltLength: 4_294_967_295 };
      if (name === "RSA-PSS") {
        await fails(() => subtle.sign(tooLong, pair.privateKey, DATA), { name: "OperationError" });
      }
    }
  },

  async rsa_oaep_encrypts_and_wraps() {
    const name = "RSA-OAEP";
    const usages = ["encrypt", "decrypt", "wrapKey", "unwrapKey"];
    const pair = await generateRsa(name, "SHA-1", usages, 2048);
    const closes = async ({ publicKey, privateKey }) => {
      const sealed = await subtle.encrypt({ name, label: utf8("label") }, publicKey, DATA);
      sameBytes(await subtle.decrypt({ name, label: utf8("label") }, privateKey, sealed), DATA);
      await fails(() => subtle.decrypt({ name }, privateKey, sealed), { name: "OperationError" });
      await fails(() => subtle.decrypt({ name }, privateKey, DATA), { name: "OperationError" });
    };
    await closes(pair);
    await thereAndBack({ name, hash: "SHA-1" }, pair, RSA_FORMATS, closes);
    await fails(() => subtle.encrypt({ name }, pair.publicKey, new Uint8Array(215)), { name: "OperationError" });
    equal((await subtle.encrypt({ name }, pair.publicKey, new Uint8Array(214))).byteLength, 256);
    const aes = await subtle.generateKey({ name: "AES-GCM", length: 256 }, true, ["encrypt"]);
    const wrapped = await subtle.wrapKey("jwk", aes, pair.publicKey, { name });
    const back = await subtle.unwrapKey("jwk", wrapped, pair.privateKey, { name }, "AES-GCM", true, ["encrypt"]);
    sameBytes(await subtle.exportKey("raw", back), await subtle.exportKey("raw", aes));
    equal((await subtle.exportKey("jwk", pair.publicKey)).alg, "RSA-OAEP");
  },

  async rsa_json_web_keys_may_lack_their_factors_but_not_some() {
    const type = { name: "RSA-PSS", hash: "SHA-256" };
    const key = await subtle.importKey("pkcs8", RSA_2048.pkcs8, type, true, ["sign"]);
    const whole = await subtle.exportKey("jwk", key);
    const { p, q, dp, dq, qi, ...bare } = whole;
    const publicKey = await subtle.importKey("spki", RSA_2048.spki, type, true, ["verify"]);
    const privateKey = await subtle.importKey("jwk", bare, type, true, ["sign"]);
    await signs({ name: "RSA-PSS", saltLength: 32 }, { publicKey, privateKey });
    for (const more of [{ p, q }, { p: q, q, dp, dq, qi }, { p, q, dp, dq, qi, d: p }]) {
      await fails(() => subtle.importKey("jwk", { ...bare, ...more }, type, true, ["sign"]), { name: "DataError" });
    }
    await fails(() => subtle.importKey("jwk", { ...whole, oth: [] }, type, true, ["sign"]), { name: "NotSupportedError" });
    await fails(() => subtle.importKey("jwk", { ...whole, alg: "PS384" }, type, true, ["sign"]), { name: "DataError" });
  },

  async private_keys_wrap_too() {
    const pair = await subtle.generateKey({ name: "ECDSA", namedCurve: "P-521" }, true, ["sign", "verify"]);
    const wrapping = await subtle.generateKey({ name: "AES-CBC", length: 128 }, true, ["wrapKey", "unwrapKey"]);
    const way = { name: "AES-CBC", iv: new Uint8Array(16) };
    for (const format of ["pkcs8", "jwk"]) {
      const wrapped = await subtle.wrapKey(format, pair.privateKey, wrapping, way);
      const type = { name: "ECDSA", namedCurve: "P-521" };
      const privateKey = await subtle.unwrapKey(format, wrapped, wrapping, way, type, false, ["sign"]);
      await signs({ name: "ECDSA", hash: "SHA-512" }, { publicKey: pair.publicKey, privateKey });
    }
  },
};
