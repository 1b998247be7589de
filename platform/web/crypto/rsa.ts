// RSASSA-PKCS1-v1_5, RSA-PSS and RSA-OAEP.
//
// A key is kept as its PKCS #1 DER, which PKCS #8 and SPKI wrap and JSON Web Keys spell out.
//
// Deliberately absent are keys of more than two primes, as in the standard.
//
// Invariant: the native side has checked every key that is kept.

import { ops } from "../../ops.ts";
import { optional, required, uint8Array, unsignedLongEnforceRange } from "../webidl.ts";
import { bufferCopy, noParameters, operation, parameterDictionary } from "./algorithm.ts";
import type { Algorithm, Operations } from "./algorithm.ts";
import { SIGNING, allUsages, halfKey, keyPair, pointOf, requireType } from "./curve-keys.ts";
import type { PairUsages } from "./curve-keys.ts";
import { DerReader, SEQUENCE, der, derNull, derSmall, derUnsigned, pkcs8, readPkcs8, readSpki, spki } from "./der.ts";
import type { Identifier } from "./der.ts";
import { hashIdentifier, hashSizes } from "./digest.ts";
import type { HashName } from "./digest.ts";
import { dataError, invalidAccess, notSupported, unsupportedFormat } from "./errors.ts";
import { checkJwk, checkJwkAlgorithm, fromBase64Url, toBase64Url } from "./jwk.ts";
import type { JsonWebKey } from "./jwk.ts";
import { checkUsages, checkUseful } from "./key.ts";
import type { KeyAlgorithm, KeyFormat, KeyMaterial, KeySlots, KeyUsage } from "./key.ts";
import { secretOf } from "./secret.ts";

const RSA_ENCRYPTION = "2a864886f70d010101"; // 1.2.840.113549.1.1.1

const NO_BYTES = new Uint8Array(0);

const ENCRYPTING: PairUsages = { public: ["encrypt", "wrapKey"], private: ["decrypt", "unwrapKey"] };

const generateParameters = parameterDictionary(
  "RsaHashedKeyGenParams",
  {
    modulusLength: required(unsignedLongEnforceRange),
    publicExponent: required(uint8Array),
    hash: required(hashIdentifier),
  },
  noParameters,
);
const importParameters = parameterDictionary("RsaHashedImportParams", { hash: required(hashIdentifier) }, noParameters);
const pssParameters = parameterDictionary("RsaPssParams", { saltLength: required(unsignedLongEnforceRange) }, noParameters);
const oaepParameters = parameterDictionary("RsaOaepParams", { label: optional(bufferCopy) }, noParameters);

interface Scheme {
  readonly name: string;
  readonly allowed: PairUsages;
  readonly jwkUse: "sig" | "enc";
  /** What `alg` of a JSON Web Key is with this hash. */
  jwa(hash: HashName): string;
}

function rsa(scheme: Scheme, operations: Partial<Operations>): Algorithm {
  const { name, allowed } = scheme;
  return {
    name,
    ...operations,
    generateKey: operation(generateParameters, ({ modulusLength, publicExponent, hash }, extractable, usages) => {
      checkUsages(`generate ${name}`, usages, allUsages(allowed));
      const secret = ops.cryptoRsaGenerate(modulusLength, publicExponent);
      const point = publicHalf(secret);
      const pair = keyPair(keyAlgorithm(name, hash, point), secret, point, allowed, extractable, usages);
      checkUseful(pair.privateKey);
      return pair;
    }),
    importKey: operation(importParameters, ({ hash }, format, data, extractable, usages) => {
      if (format === "raw") throw notSupported(`Unrecognized key import format "${format}".`);
      const isPrivate = format === "pkcs8" || (format === "jwk" && (data as JsonWebKey).d !== undefined);
      checkUsages(`import ${isPrivate ? "private" : "public"} ${name}`, usages, isPrivate ? allowed.private : allowed.public);
      const material =
        format === "jwk"
          ? fromJwk(scheme, hash, data as JsonWebKey, extractable, usages)
          : fromBytes(format, data as Uint8Array);
      return halfKey(keyAlgorithm(name, hash, material.point ?? NO_BYTES), material, extractable, usages);
    }),
    exportKey(format, key) {
      return format === "jwk" ? toJwk(scheme, key) : toBytes(format, key);
    },
  };
}

function keyAlgorithm(name: string, hash: HashName, point: Uint8Array): KeyAlgorithm {
  const reader = new DerReader(point).sequence();
  const n = reader.unsigned();
  const modulusLength = n.length * 8 - Math.clz32(n[0] as number) + 24;
  return { name, modulusLength, publicExponent: reader.unsigned().slice(), hash: { name: hash } };
}

function publicKey(n: Uint8Array, e: Uint8Array): Uint8Array {
  return der(SEQUENCE, derUnsigned(n), derUnsigned(e));
}

/** The public key inside a private one. */
function publicHalf(secret: Uint8Array): Uint8Array {
  const reader = new DerReader(secret).sequence();
  reader.version(0);
  return publicKey(reader.unsigned(), reader.unsigned());
}

// ---- Import

function fromBytes(format: KeyFormat, data: Uint8Array): KeyMaterial {
  if (format === "spki") {
    const info = readSpki(data);
    checkIdentifier(info);
    return { point: ops.cryptoRsaPublic(info.key) };
  }
  const info = readPkcs8(data);
  checkIdentifier(info);
  return privateMaterial(ops.cryptoRsaPrivate(info.key));
}

function checkIdentifier({ oid, parameters }: Identifier): void {
  if (oid !== RSA_ENCRYPTION) throw dataError("The key is not an RSA key");
  // RFC 3279 wants NULL there; keys without are around, and mean the same.
  parameters.readNull();
  parameters.end();
}

function privateMaterial(secret: Uint8Array): KeyMaterial {
  return { secret, point: publicHalf(secret) };
}

function fromJwk(
  scheme: Scheme,
  hash: HashName,
  jwk: JsonWebKey,
  extractable: boolean,
  usages: readonly KeyUsage[],
): KeyMaterial {
  checkJwk(jwk, { name: scheme.name, kty: "RSA", use: scheme.jwkUse, extractable, usages });
  checkJwkAlgorithm(jwk, scheme.jwa(hash));
  const n = fromBase64Url(jwk.n, "n");
  const e = fromBase64Url(jwk.e, "e");
  if (jwk.d === undefined) return { point: ops.cryptoRsaPublic(publicKey(n, e)) };
  if (jwk.oth !== undefined) throw notSupported("RSA keys of more than two primes are not supported");
  const d = fromBase64Url(jwk.d, "d");
  const factors = [jwk.p, jwk.q, jwk.dp, jwk.dq, jwk.qi];
  if (factors.every((factor) => factor === undefined)) return privateMaterial(ops.cryptoRsaRecover(n, e, d));
  const rest = factors.map((factor, i) => fromBase64Url(factor, ["p", "q", "dp", "dq", "qi"][i] ?? ""));
  const numbers = [n, e, d, ...rest].map(derUnsigned);
  return privateMaterial(ops.cryptoRsaPrivate(der(SEQUENCE, derSmall(0), ...numbers)));
}

// ---- Export

function toBytes(format: KeyFormat, key: KeySlots): Uint8Array {
  if (format === "spki") {
    if (key.type !== "public") throw invalidAccess('A private key has no format "spki"');
    return spki(RSA_ENCRYPTION, derNull(), pointOf(key));
  }
  if (format !== "pkcs8") throw unsupportedFormat(key.algorithm.name, format);
  if (key.type !== "private") throw invalidAccess('A public key has no format "pkcs8"');
  return pkcs8(RSA_ENCRYPTION, derNull(), secretOf(key));
}

function toJwk(scheme: Scheme, key: KeySlots): JsonWebKey {
  const jwk: JsonWebKey = { kty: "RSA", alg: scheme.jwa(hashOf(key)), key_ops: [...key.usages], ext: key.extractable };
  const isPrivate = key.type === "private";
  const reader = new DerReader(isPrivate ? secretOf(key) : pointOf(key)).sequence();
  if (isPrivate) reader.version(0);
  const next = (): string => toBase64Url(reader.unsigned());
  const shared = { ...jwk, n: next(), e: next() };
  if (!isPrivate) return shared;
  return { ...shared, d: next(), p: next(), q: next(), dp: next(), dq: next(), qi: next() };
}

function hashOf(key: KeySlots): HashName {
  return key.algorithm.hash?.name as HashName;
}

// ---- Operations

/** `saltLength` is PSS's alone. */
function sign(scheme: "pkcs1" | "pss", saltLength: number, key: KeySlots, data: Uint8Array): Uint8Array {
  requireType(key, "private", "sign");
  return ops.cryptoRsaSign(scheme, hashOf(key), saltLength, secretOf(key), data);
}

function verify(
  scheme: "pkcs1" | "pss",
  saltLength: number,
  key: KeySlots,
  signature: Uint8Array,
  data: Uint8Array,
): boolean {
  requireType(key, "public", "verify");
  return ops.cryptoRsaVerify(scheme, hashOf(key), saltLength, pointOf(key), signature, data);
}

const encrypt: Operations["encrypt"] = operation(oaepParameters, ({ label }, key, data) => {
  requireType(key, "public", "encrypt");
  return ops.cryptoRsaEncrypt(hashOf(key), label ?? NO_BYTES, pointOf(key), data);
});

const decrypt: Operations["decrypt"] = operation(oaepParameters, ({ label }, key, data) => {
  requireType(key, "private", "decrypt");
  return ops.cryptoRsaDecrypt(hashOf(key), label ?? NO_BYTES, secretOf(key), data);
});

function oaepAlgorithm(hash: HashName): string {
  return hash === "SHA-1" ? "RSA-OAEP" : `RSA-OAEP-${hashSizes(hash).jwa}`;
}

export const rsaFamily: readonly Algorithm[] = [
  rsa(
    { name: "RSASSA-PKCS1-v1_5", allowed: SIGNING, jwkUse: "sig", jwa: (hash) => `RS${hashSizes(hash).jwa}` },
    {
      sign: operation(noParameters, (_, key, data) => sign("pkcs1", 0, key, data)),
      verify: operation(noParameters, (_, key, signature, data) => verify("pkcs1", 0, key, signature, data)),
    },
  ),
  rsa(
    { name: "RSA-PSS", allowed: SIGNING, jwkUse: "sig", jwa: (hash) => `PS${hashSizes(hash).jwa}` },
    {
      sign: operation(pssParameters, ({ saltLength }, key, data) => sign("pss", saltLength, key, data)),
      verify: operation(pssParameters, ({ saltLength }, key, signature, data) =>
        verify("pss", saltLength, key, signature, data),
      ),
    },
  ),
  rsa({ name: "RSA-OAEP", allowed: ENCRYPTING, jwkUse: "enc", jwa: oaepAlgorithm }, { encrypt, decrypt }),
];
