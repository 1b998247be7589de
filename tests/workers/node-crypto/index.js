// node:crypto: vectors of RFCs and NIST, and what Node.js and OpenSSL made (`vectors.js`).

import * as crypto from "node:crypto";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { equal, fails, matches, same, suite } from "../kit/suite.js";
import vectors from "./vectors.js";

const data = Buffer.from("what was signed");
const hex = (text) => Buffer.from(text.replace(/\s+/g, ""), "hex");
const base64 = (text) => Buffer.from(text, "base64");
const privateRsa = () => crypto.createPrivateKey({ key: vectors.rsaNew, passphrase: "secret" });

const cases = {
  // ---- Digests

  async hashes_are_those_of_their_standards() {
    const of = (name) => crypto.createHash(name).update("ab").update(Buffer.from("c")).digest("hex");
    equal(of("md4"), "a448017aaf21d8525fc10ae87aa6729d");
    equal(of("MD5"), "900150983cd24fb0d6963f7d28e17f72");
    equal(of("sha1"), "a9993e364706816aba3e25717850c26c9cd0d89d");
    equal(of("RSA-SHA224"), "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7");
    equal(of("sha-256"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    equal(of("md5-sha1"), "900150983cd24fb0d6963f7d28e17f72a9993e364706816aba3e25717850c26c9cd0d89d");
    matches(of("sha512"), /^ddaf35a193617abacc417349ae204131/);
    equal(crypto.hash("sha1", "abc"), of("sha1"));
    equal(crypto.hash("sha1", "abc", "buffer").length, 20);
    equal((await fails(() => crypto.createHash("sha0"))).message, "Digest method not supported");
  },

  async a_hash_is_a_stream_and_ends_once() {
    const hash = crypto.createHash("sha256");
    Readable.from([Buffer.from("a"), Buffer.from("bc")]).pipe(hash);
    hash.setEncoding("hex");
    equal(await text(hash), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    const once = crypto.createHash("sha1").update("a");
    const copy = once.copy();
    equal(once.digest("hex"), crypto.hash("sha1", "a"));
    equal(copy.update("b").digest("hex"), crypto.hash("sha1", "ab"));
    equal((await fails(() => once.digest())).code, "ERR_CRYPTO_HASH_FINALIZED");
    equal((await fails(() => once.update("x"))).code, "ERR_CRYPTO_HASH_FINALIZED");
    const code = crypto.createHmac("sha256", "key");
    code.digest();
    equal((await fails(() => code.update("x"))).code, "ERR_CRYPTO_HASH_FINALIZED");
    equal((await fails(() => crypto.createHash("sha1").update("x", "nope"))).code, "ERR_UNKNOWN_ENCODING");
    equal((await fails(() => crypto.hash("nope", "x", {}))).code, "ERR_OSSL_EVP_UNSUPPORTED");
  },

  /** RFC 4231, cases 1, 2 and 6 (a key longer than a block); RFC 2202, case 2. */
  async codes_are_those_of_their_rfcs() {
    const of = (name, key, value) => crypto.createHmac(name, key).update(value).digest("hex");
    equal(of("sha256", hex("0b".repeat(20)), "Hi There"), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    equal(of("sha224", "Jefe", "what do ya want for nothing?"), "a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44");
    equal(
      of("sha256", hex("aa".repeat(131)), "Test Using Larger Than Block-Size Key - Hash Key First"),
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    );
    equal(of("md5", crypto.createSecretKey("Jefe"), "what do ya want for nothing?"), "750c783e6ab0b503eaa86e310a5db738");
  },

  /** RFC 6070, RFC 5869 case 1, RFC 7914 section 12. */
  async derivations_are_those_of_their_rfcs() {
    equal(crypto.pbkdf2Sync("password", "salt", 2, 20, "sha1").toString("hex"), "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957");
    equal(crypto.pbkdf2Sync("password", "salt", 4096, 20, "sha1").toString("hex"), "4b007901b765489abead49d926f721d065a429c1");
    const okm = crypto.hkdfSync("sha256", hex("0b".repeat(22)), hex("000102030405060708090a0b0c"), hex("f0f1f2f3f4f5f6f7f8f9"), 42);
    equal(
      Buffer.from(okm).toString("hex"),
      "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    );
    equal(
      crypto.scryptSync("password", "NaCl", 64, { N: 1024, r: 8, p: 16 }).toString("hex").slice(0, 32),
      "fdbabe1c9d3472007856e7190d01e9fe",
    );
    const derived = await new Promise((resolve, reject) =>
      crypto.scrypt("", "", 64, { N: 16, r: 1, p: 1 }, (error, key) => (error ? reject(error) : resolve(key))));
    equal(derived.toString("hex").slice(0, 32), "77d6576238657b203b19ca42c18a0497");
    equal((await fails(() => crypto.scryptSync("a", "b", 8, { N: 3 }))).code, "ERR_CRYPTO_INVALID_SCRYPT_PARAMS");
    equal((await fails(() => crypto.hkdfSync("sha256", "a", "", "", 255 * 32 + 1))).code, "ERR_CRYPTO_INVALID_KEYLEN");
  },

  // ---- Random

  async random_values_have_their_shape() {
    equal(crypto.randomBytes(33).length, 33);
    equal(crypto.randomBytes(8).equals(crypto.randomBytes(8)), false);
    const filled = crypto.randomFillSync(new Uint16Array(70_000), 1);
    equal(filled[0], 0);
    equal(filled.some((value) => value > 255), true);
    for (let i = 0; i < 100; i++) equal([3, 4].includes(crypto.randomInt(3, 5)), true);
    matches(crypto.randomUUID(), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    equal((await fails(() => crypto.randomInt(5, 5))).code, "ERR_OUT_OF_RANGE");
    equal((await fails(() => crypto.randomInt(1.5))).code, "ERR_OUT_OF_RANGE");
    equal((await fails(() => crypto.randomInt("1"))).code, "ERR_INVALID_ARG_TYPE");
    equal(crypto.timingSafeEqual(Buffer.from("a"), Buffer.from("a")), true);
    equal((await fails(() => crypto.timingSafeEqual(Buffer.from("a"), Buffer.alloc(2)))).code, "ERR_CRYPTO_TIMING_SAFE_EQUAL_LENGTH");
  },

  async primes_are_made_and_told() {
    const prime = crypto.generatePrimeSync(128, { bigint: true });
    equal(prime.toString(2).length, 128);
    equal(crypto.checkPrimeSync(prime), true);
    equal(crypto.checkPrimeSync(prime - 1n), false);
    const safe = crypto.generatePrimeSync(64, { safe: true, bigint: true });
    equal(crypto.checkPrimeSync((safe - 1n) / 2n), true);
    const dh = crypto.generatePrimeSync(64, { add: 12n, rem: 11n, bigint: true });
    equal(dh % 12n, 11n);
    equal((await fails(() => crypto.generatePrimeSync(64, { add: 7n, rem: 3n }))).name, "RangeError");
  },

  // ---- Ciphers

  /** NIST SP 800-38A, F.2.1; SP 800-38D test case 4. */
  async ciphers_are_those_of_their_standards() {
    const key = hex("2b7e151628aed2a6abf7158809cf4f3c");
    const cbc = crypto.createCipheriv("aes-128-cbc", key, hex("000102030405060708090a0b0c0d0e0f"));
    cbc.setAutoPadding(false);
    const sealed = cbc.update("6bc1bee22e409f96e93d7e117393172a", "hex", "hex") + cbc.final("hex");
    equal(sealed, "7649abac8119b246cee98e9b12e9197d");
    const gcm = crypto.createCipheriv("aes-128-gcm", hex("feffe9928665731c6d6a8f9467308308"), hex("cafebabefacedbaddecaf888"));
    gcm.setAAD(hex("feedfacedeadbeeffeedfacedeadbeefabaddad2"));
    const plain = hex(`d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72
      1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39`);
    gcm.update(plain);
    gcm.final();
    equal(gcm.getAuthTag().toString("hex"), "5bc94fbc3221a5db94fae95ae7121a47");
  },

  async what_was_sealed_opens_with_its_key_and_tag_alone() {
    for (const name of crypto.getCiphers()) {
      const { keyLength, ivLength } = crypto.getCipherInfo(name);
      const [key, iv] = [crypto.randomBytes(keyLength), crypto.randomBytes(ivLength)];
      const options = name.endsWith("ccm") ? { authTagLength: 16 } : undefined;
      const cipher = crypto.createCipheriv(name, key, iv, options);
      const sealed = Buffer.concat([cipher.update("some text of no length in particular"), cipher.final()]);
      const open = (tag) => {
        const decipher = crypto.createDecipheriv(name, key, iv, options);
        if (tag !== undefined) decipher.setAuthTag(tag);
        return Buffer.concat([decipher.update(sealed), decipher.final()]).toString();
      };
      const isAuthenticated = /gcm|ccm|poly1305/.test(name);
      const tag = isAuthenticated ? cipher.getAuthTag() : undefined;
      equal(open(tag), "some text of no length in particular", name);
      if (!isAuthenticated) continue;
      tag[0] ^= 1;
      await fails(() => open(tag));
    }
    equal((await fails(() => crypto.createCipheriv("aes-128-cbc", Buffer.alloc(3), Buffer.alloc(16)))).message, "Invalid key length");
    equal((await fails(() => crypto.createCipheriv("aes-128-cbc", Buffer.alloc(16), Buffer.alloc(3)))).code, "ERR_CRYPTO_INVALID_IV");
    equal((await fails(() => crypto.createCipheriv("rot13", "a", "b"))).code, "ERR_CRYPTO_UNKNOWN_CIPHER");
  },

  async nothing_is_ciphered_after_the_end() {
    const cipher = crypto.createCipheriv("aes-256-ctr", Buffer.alloc(32), Buffer.alloc(16));
    cipher.final();
    await fails(() => cipher.update("a"), { message: /finalized/ });
    await fails(() => cipher.final(), { message: /finalized/ });
  },

  // ---- Keys

  async encrypted_keys_of_openssl_are_read() {
    const fresh = privateRsa();
    const old = crypto.createPrivateKey({ key: vectors.rsaOld, passphrase: "secret" });
    equal(fresh.equals(old), true);
    same({ ...fresh.asymmetricKeyDetails, publicExponent: 65537 }, { modulusLength: 2048, publicExponent: 65537 });
    equal(crypto.createPublicKey(vectors.rsaPublic).equals(crypto.createPublicKey(fresh)), true);
    await fails(() => crypto.createPrivateKey({ key: vectors.rsaNew, passphrase: "wrong" }), { message: /Failed to parse/ });
    await fails(() => crypto.createPrivateKey(vectors.rsaOld), { message: /Failed to parse/ });
  },

  async keys_go_out_and_in_in_every_format() {
    const pairs = [
      crypto.generateKeyPairSync("ec", { namedCurve: "P-384" }),
      crypto.generateKeyPairSync("ec", { namedCurve: "secp224r1" }),
      crypto.generateKeyPairSync("ed25519"),
      crypto.generateKeyPairSync("x25519"),
      { privateKey: privateRsa(), publicKey: crypto.createPublicKey(vectors.rsaPublic) },
    ];
    for (const { privateKey, publicKey } of pairs) {
      const kind = privateKey.asymmetricKeyType;
      const pem = privateKey.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "p" });
      equal(crypto.createPrivateKey({ key: pem, passphrase: "p" }).equals(privateKey), true, kind);
      const der = publicKey.export({ type: "spki", format: "der" });
      equal(crypto.createPublicKey({ key: der, format: "der", type: "spki" }).equals(publicKey), true, kind);
      if (privateKey.asymmetricKeyDetails.namedCurve === "secp224r1") continue;
      const jwk = privateKey.export({ format: "jwk" });
      equal(crypto.createPrivateKey({ key: jwk, format: "jwk" }).equals(privateKey), true, kind);
    }
    const traditional = privateRsa().export({ type: "pkcs1", format: "pem", cipher: "aes-128-cbc", passphrase: "q" });
    matches(traditional, /^-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED/);
    equal(crypto.createPrivateKey({ key: traditional, passphrase: "q" }).equals(privateRsa()), true);
  },

  async secret_keys_are_copies() {
    const bytes = Buffer.from("secret");
    const key = crypto.createSecretKey(bytes);
    bytes.fill(0);
    equal(key.export().toString(), "secret");
    equal(key.symmetricKeySize, 6);
    equal(String(key), "[object KeyObject]");
    same(key.export({ format: "jwk" }), { kty: "oct", k: "c2VjcmV0", ext: true });
    await fails(() => new crypto.KeyObject(), { message: /Illegal constructor/ });
  },

  async keys_of_webcrypto_become_key_objects() {
    const { privateKey } = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
    const key = crypto.KeyObject.from(privateKey);
    same([key.type, key.asymmetricKeyType, key.asymmetricKeyDetails.namedCurve], ["private", "ec", "prime256v1"]);
    const signature = crypto.sign("sha256", data, key);
    equal(crypto.verify("sha256", data, crypto.createPublicKey(key), signature), true);
  },

  // ---- Signatures

  async signatures_of_node_hold() {
    const rsa = crypto.createPublicKey(vectors.rsaPublic);
    equal(crypto.verify("sha256", data, rsa, base64(vectors.rsaPkcs1)), true);
    const pss = (saltLength) => crypto.verify("sha384", data, { key: rsa, padding: crypto.constants.RSA_PKCS1_PSS_PADDING, saltLength }, base64(vectors.rsaPss));
    same([pss(20), pss(undefined), pss(21)], [true, true, false]);
    const ec = new crypto.X509Certificate(vectors.ecCert).publicKey;
    equal(crypto.verify("sha256", data, ec, base64(vectors.ecDer)), true);
    equal(crypto.verify("sha512", data, { key: ec, dsaEncoding: "ieee-p1363" }, base64(vectors.ecPlain)), true);
    equal(crypto.verify("sha512", data, ec, base64(vectors.ecPlain)), false);
    const dsa = crypto.createPrivateKey(vectors.dsaPrivate);
    equal(crypto.verify("sha1", data, crypto.createPublicKey(dsa), base64(vectors.dsaSig)), true);
    equal(crypto.verify("sha1", Buffer.from("other"), crypto.createPublicKey(dsa), base64(vectors.dsaSig)), false);
  },

  async signatures_hold_for_their_data_alone() {
    const keys = [privateRsa(), crypto.createPrivateKey(vectors.ecPrivate), crypto.createPrivateKey(vectors.dsaPrivate)];
    for (const key of keys) {
      const signature = crypto.createSign("sha256").update("what was ").update("signed").sign(key, "hex");
      const verify = (text) => crypto.createVerify("sha256").update(text).verify(crypto.createPublicKey(key), signature, "hex");
      same([verify("what was signed"), verify("what was not")], [true, false], key.asymmetricKeyType);
    }
    const { privateKey, publicKey } = crypto.generateKeyPairSync("ed25519");
    const signature = crypto.sign(null, data, privateKey);
    same([signature.length, crypto.verify(null, data, publicKey, signature)], [64, true]);
    await fails(() => crypto.sign("sha256", data, privateKey));
    equal((await fails(() => crypto.sign("sha256", data, undefined))).code, "ERR_CRYPTO_SIGN_KEY_REQUIRED");
  },

  async rsa_opens_what_node_sealed() {
    const key = privateRsa();
    const oaep = crypto.privateDecrypt({ key, oaepHash: "sha256", oaepLabel: "l" }, base64(vectors.rsaOaep));
    equal(oaep.toString(), data.toString());
    const old = crypto.privateDecrypt({ key, padding: crypto.constants.RSA_PKCS1_PADDING }, base64(vectors.rsaV15));
    equal(old.toString(), data.toString());
    equal(crypto.publicDecrypt(vectors.rsaPublic, base64(vectors.rsaPrivateEnc)).toString(), data.toString());
    equal(crypto.publicDecrypt(vectors.rsaPublic, crypto.privateEncrypt(key, data)).toString(), data.toString());
    const whole = Buffer.concat([Buffer.alloc(1), crypto.randomBytes(255)]);
    const raw = crypto.constants.RSA_NO_PADDING;
    equal(crypto.privateDecrypt({ key, padding: raw }, crypto.publicEncrypt({ key: vectors.rsaPublic, padding: raw }, whole)).equals(whole), true);
    await fails(() => crypto.privateDecrypt({ key, oaepHash: "sha1" }, base64(vectors.rsaOaep)));
  },

  // ---- Agreement

  async both_sides_agree() {
    const group = crypto.getDiffieHellman("modp14");
    matches(group.getPrime("hex"), /^ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd1.*15728e5a8aacaa68ffffffffffffffff$/);
    for (const name of ["modp15", "modp16", "modp17", "modp18"]) matches(crypto.getDiffieHellman(name).getPrime("hex"), /^f{16}c90fdaa22168.*f{16}$/);
    const [a, b] = [crypto.createDiffieHellman(group.getPrime()), crypto.createDiffieHellman(group.getPrime())];
    a.generateKeys();
    b.generateKeys();
    equal(a.computeSecret(b.getPublicKey(), null, "hex"), b.computeSecret(a.getPublicKey(), null, "hex"));
    for (const curve of crypto.getCurves()) {
      const [c, d] = [crypto.createECDH(curve), crypto.createECDH(curve)];
      c.generateKeys();
      d.generateKeys("hex", "compressed");
      equal(c.computeSecret(d.getPublicKey("hex", "hybrid"), "hex", "hex"), d.computeSecret(c.getPublicKey(), null, "hex"), curve);
    }
    const [e, f] = [crypto.generateKeyPairSync("dh", { group: "modp14" }), crypto.generateKeyPairSync("dh", { group: "modp14" })];
    const secret = crypto.diffieHellman({ publicKey: e.publicKey, privateKey: f.privateKey });
    equal(secret.equals(crypto.diffieHellman({ publicKey: f.publicKey, privateKey: e.privateKey })), true);
    const [g, h] = [crypto.generateKeyPairSync("ec", { namedCurve: "P-384" }), crypto.generateKeyPairSync("ec", { namedCurve: "P-384" })];
    const shared = crypto.diffieHellman({ publicKey: g.publicKey, privateKey: h.privateKey });
    same([shared.length, shared.equals(crypto.diffieHellman({ publicKey: h.publicKey, privateKey: g.privateKey }))], [48, true]);
  },

  // ---- Certificates

  async certificates_say_what_openssl_says() {
    const certificate = new crypto.X509Certificate(vectors.ecCert);
    equal(certificate.subject, vectors.subject);
    equal(certificate.issuer, vectors.subject);
    equal(certificate.subjectAltName, vectors.san);
    equal(certificate.serialNumber, vectors.serial);
    equal(certificate.fingerprint256, vectors.fingerprint256);
    equal(certificate.validFrom, vectors.from);
    equal(certificate.ca, true);
    same(certificate.keyUsage, ["1.3.6.1.5.5.7.3.1"]);
    equal(certificate.toString(), vectors.ecCert);
  },

  async certificates_are_checked() {
    const certificate = new crypto.X509Certificate(vectors.ecCert);
    const { publicKey } = certificate;
    equal(certificate.verify(publicKey), true);
    equal(certificate.verify(crypto.createPublicKey(vectors.rsaPublic)), false);
    equal(certificate.checkIssued(certificate), true);
    equal(certificate.checkPrivateKey(crypto.createPrivateKey(vectors.ecPrivate)), true);
    equal(certificate.checkPrivateKey(privateRsa()), false);
    equal(certificate.checkHost("www.example.com"), "*.example.com");
    equal(certificate.checkHost("www.example.com", { wildcards: false }), undefined);
    equal(certificate.checkHost("a.b.example.com"), undefined);
    equal(certificate.checkIP("127.0.0.1"), "127.0.0.1");
    equal(certificate.checkIP("127.0.0.2"), undefined);
    equal(certificate.checkEmail("a@EXAMPLE.com"), "a@EXAMPLE.com");
    const legacy = certificate.toLegacyObject();
    same([legacy.subject.CN, legacy.asn1Curve, legacy.bits], ["*.example.com", "prime256v1", 256]);
    equal((await fails(() => new crypto.X509Certificate("no certificate"))).code, "ERR_INVALID_ARG_VALUE");
  },
};

export default suite(cases);
