// jose: signed and encrypted tokens, keys in every form, over Web Cryptography alone.

import * as lib from "jose";
import { equal, fails, same } from "../../kit/suite.js";

async function signed(algorithm) {
  const { publicKey, privateKey } = await lib.generateKeyPair(algorithm, { extractable: true });
  const token = await new lib.SignJWT({ scope: "all" })
    .setProtectedHeader({ alg: algorithm })
    .setIssuedAt()
    .setIssuer("https://issuer.test")
    .setAudience("here")
    .setExpirationTime("2h")
    .sign(privateKey);
  const { payload, protectedHeader } = await lib.jwtVerify(token, publicKey, { issuer: "https://issuer.test", audience: "here" });
  same([payload.scope, protectedHeader.alg], ["all", algorithm]);
  await fails(() => lib.jwtVerify(token, publicKey, { audience: "there" }), { name: "JWTClaimValidationFailed" });
  const forged = `${token.slice(0, -8)}${token.at(-8) === "A" ? "B" : "A"}${token.slice(-7)}`;
  await fails(() => lib.jwtVerify(forged, publicKey), { name: "JWSSignatureVerificationFailed" });

  // Out to text and back, in each form a key has.
  const imported = await lib.importPKCS8(await lib.exportPKCS8(privateKey), algorithm);
  const known = await lib.importSPKI(await lib.exportSPKI(publicKey), algorithm);
  const again = await new lib.CompactSign(new TextEncoder().encode("payload")).setProtectedHeader({ alg: algorithm }).sign(imported);
  equal(new TextDecoder().decode((await lib.compactVerify(again, known)).payload), "payload");
  const jwk = await lib.exportJWK(publicKey);
  const print = await lib.calculateJwkThumbprint(jwk);
  const set = lib.createLocalJWKSet({ keys: [{ ...jwk, kid: print, alg: algorithm }] });
  equal((await lib.jwtVerify(token, set)).payload.iss, "https://issuer.test");
}

async function encrypted(algorithm, encryption) {
  const { publicKey, privateKey } = await lib.generateKeyPair(algorithm);
  const token = await new lib.EncryptJWT({ secret: 42 }).setProtectedHeader({ alg: algorithm, enc: encryption }).encrypt(publicKey);
  equal((await lib.jwtDecrypt(token, privateKey)).payload.secret, 42);
}

export const jose = {
  async jose_hmac() {
    const secret = new TextEncoder().encode("a secret of at least thirty-two bytes");
    const token = await new lib.SignJWT({ n: 1 }).setProtectedHeader({ alg: "HS256" }).setExpirationTime("1s").sign(secret);
    equal((await lib.jwtVerify(token, secret)).payload.n, 1);
    same(lib.decodeProtectedHeader(token), { alg: "HS256" });
    const later = new Date(Date.now() + 60_000);
    const expired = await fails(() => lib.jwtVerify(token, secret, { currentDate: later }), { name: "JWTExpired" });
    equal(expired.code, "ERR_JWT_EXPIRED");
    await fails(() => lib.jwtVerify(token, new TextEncoder().encode("x".repeat(32))), { name: "JWSSignatureVerificationFailed" });
  },

  async jose_es256() {
    await signed("ES256");
  },

  async jose_es384() {
    await signed("ES384");
  },

  async jose_eddsa() {
    await signed("EdDSA");
  },

  async jose_rs256() {
    await signed("RS256");
  },

  async jose_ps256() {
    await signed("PS256");
  },

  async jose_encrypts_to_keys() {
    await encrypted("ECDH-ES", "A256GCM");
    await encrypted("ECDH-ES+A128KW", "A128CBC-HS256");
    await encrypted("RSA-OAEP-256", "A256GCM");
  },

  async jose_encrypts_with_secrets() {
    const secret = await lib.generateSecret("A256GCM");
    const token = await new lib.EncryptJWT({ a: 1 }).setProtectedHeader({ alg: "dir", enc: "A256GCM" }).encrypt(secret);
    equal((await lib.jwtDecrypt(token, secret)).payload.a, 1);
    const words = new TextEncoder().encode("correct horse");
    const header = { alg: "PBES2-HS256+A128KW", enc: "A128GCM" };
    const sealed = await new lib.CompactEncrypt(new Uint8Array([1, 2])).setProtectedHeader(header).encrypt(words);
    const { plaintext } = await lib.compactDecrypt(sealed, words, { keyManagementAlgorithms: [header.alg] });
    same([...plaintext], [1, 2]);
  },
};
