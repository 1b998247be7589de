// Ed25519 and X25519 (RFC 8032, 7748, 8037, 8410), and Ed25519 under the name that Workers gave it
// before there was a standard, NODE-ED25519.
//
// Any 32 bytes import as a public key: one that is no point shows itself when it is used, as the
// standard has it.

import { ops } from "../../ops.ts";
import { DOMString, optional } from "../webidl.ts";
import { noParameters, operation, parameterDictionary } from "./algorithm.ts";
import type { Algorithm, Operations } from "./algorithm.ts";
import {
  AGREEING,
  SIGNING,
  agreement,
  allUsages,
  generatePair,
  halfKey,
  pointOf,
  privateMaterial,
  requireType,
} from "./curve-keys.ts";
import type { PairUsages } from "./curve-keys.ts";
import { DerReader, OCTET_STRING, der, noParametersDer, pkcs8, readPkcs8, readSpki, spki } from "./der.ts";
import type { Identifier } from "./der.ts";
import { dataError, invalidAccess, notSupported } from "./errors.ts";
import { checkJwk, checkJwkAlgorithm, fromBase64Url, toBase64Url } from "./jwk.ts";
import type { JsonWebKey } from "./jwk.ts";
import { checkUsages, checkUseful } from "./key.ts";
import type { KeyAlgorithm, KeyFormat, KeyMaterial, KeySlots, KeyUsage } from "./key.ts";
import { secretOf } from "./secret.ts";

const KEY_BYTES = 32;

interface Curve {
  readonly name: string;
  readonly oid: string;
  readonly jwkUse: "sig" | "enc";
  readonly usages: PairUsages;
  /** What `alg` of a JSON Web Key may be; empty for anything. */
  readonly jwa: readonly string[];
}

const ED25519: Curve = {
  name: "Ed25519",
  oid: "2b6570", // 1.3.101.112
  jwkUse: "sig",
  usages: SIGNING,
  jwa: ["Ed25519", "EdDSA"],
};
const X25519: Curve = {
  name: "X25519",
  oid: "2b656e", // 1.3.101.110
  jwkUse: "enc",
  usages: AGREEING,
  jwa: [],
};

/** `namedCurve` is what the old name is given with, and what its keys say. */
const oldName = "NODE-ED25519";
const parameters = parameterDictionary("OkpParams", { namedCurve: optional(DOMString) }, noParameters);

function octetPair(name: string, curve: Curve, operations: Partial<Operations>): Algorithm {
  const algorithm: KeyAlgorithm = name === oldName ? { name, namedCurve: oldName } : { name };
  const checkCurve = (namedCurve: string | undefined): void => {
    if (name === oldName && namedCurve !== oldName) throw notSupported(`${name} has no curve "${namedCurve}"`);
  };
  return {
    name,
    ...operations,
    generateKey: operation(parameters, ({ namedCurve }, extractable, usages) => {
      checkCurve(namedCurve);
      checkUsages(`generate ${name}`, usages, allUsages(curve.usages));
      const pair = generatePair(curve.name, algorithm, curve.usages, extractable, usages);
      checkUseful(pair.privateKey);
      return pair;
    }),
    importKey: operation(parameters, ({ namedCurve }, format, data, extractable, usages) => {
      checkCurve(namedCurve);
      const isPrivate = format === "pkcs8" || (format === "jwk" && (data as JsonWebKey).d !== undefined);
      checkUsages(`import ${isPrivate ? "private" : "public"} ${name}`, usages, isPrivate ? curve.usages.private : curve.usages.public);
      const material =
        format === "jwk"
          ? fromJwk(curve, data as JsonWebKey, extractable, usages)
          : fromBytes(curve, format, data as Uint8Array);
      return halfKey(algorithm, material, extractable, usages);
    }),
    exportKey(format, key) {
      return format === "jwk" ? toJwk(curve, key) : toBytes(curve, format, key);
    },
  };
}

// ---- Import

function fromBytes(curve: Curve, format: Exclude<KeyFormat, "jwk">, data: Uint8Array): KeyMaterial {
  switch (format) {
    case "raw":
      return { point: keyBytes(curve.name, data, "raw") };
    case "spki": {
      const info = readSpki(data);
      checkIdentifier(curve, info);
      return { point: keyBytes(curve.name, info.key, "public").slice() };
    }
    case "pkcs8": {
      const info = readPkcs8(data);
      checkIdentifier(curve, info);
      const inner = new DerReader(info.key);
      const secret = keyBytes(curve.name, inner.read(OCTET_STRING), "private").slice();
      inner.end();
      return privateMaterial(curve.name, secret, info.point);
    }
  }
}

function checkIdentifier(curve: Curve, { oid, parameters }: Identifier): void {
  if (oid !== curve.oid) throw dataError(`The key is not one of ${curve.name}`);
  parameters.end();
}

function keyBytes(name: string, bytes: Uint8Array, half: string): Uint8Array {
  if (bytes.length !== KEY_BYTES) throw dataError(`${name} ${half} keys must be exactly ${KEY_BYTES}-bytes (provided ${bytes.length}).`);
  return bytes;
}

function fromJwk(curve: Curve, jwk: JsonWebKey, extractable: boolean, usages: readonly KeyUsage[]): KeyMaterial {
  checkJwk(jwk, { name: curve.name, kty: "OKP", use: curve.jwkUse, extractable, usages });
  if (jwk.crv !== curve.name) throw dataError(`"crv" of the JSON Web Key is not "${curve.name}"`);
  if (curve.jwa.length > 0) checkJwkAlgorithm(jwk, ...curve.jwa);
  const point = keyBytes(curve.name, fromBase64Url(jwk.x, "x"), "public");
  if (jwk.d === undefined) return { point };
  return privateMaterial(curve.name, keyBytes(curve.name, fromBase64Url(jwk.d, "d"), "private"), point);
}

// ---- Export

function toBytes(curve: Curve, format: Exclude<KeyFormat, "jwk">, key: KeySlots): Uint8Array {
  if (format !== "pkcs8") {
    if (key.type !== "public") throw invalidAccess(`A private key has no format "${format}"`);
    return format === "raw" ? pointOf(key) : spki(curve.oid, noParametersDer, pointOf(key));
  }
  if (key.type !== "private") throw invalidAccess('A public key has no format "pkcs8"');
  return pkcs8(curve.oid, noParametersDer, der(OCTET_STRING, secretOf(key)));
}

function toJwk(curve: Curve, key: KeySlots): JsonWebKey {
  const jwk: JsonWebKey = { kty: "OKP", crv: curve.name, x: toBase64Url(pointOf(key)) };
  const [alg] = curve.jwa;
  if (alg !== undefined) jwk.alg = alg;
  if (key.type === "private") jwk.d = toBase64Url(secretOf(key));
  return { ...jwk, key_ops: [...key.usages], ext: key.extractable };
}

/** Pure Ed25519 takes no hash. */
const NO_HASH = "";

const signing: Partial<Operations> = {
  sign: operation(noParameters, (_, key, data) => {
    requireType(key, "private", "sign");
    return ops.cryptoCurveSign(ED25519.name, NO_HASH, secretOf(key), data);
  }),
  verify: operation(noParameters, (_, key, signature, data) => {
    requireType(key, "public", "verify");
    return ops.cryptoCurveVerify(ED25519.name, NO_HASH, pointOf(key), signature, data);
  }),
};

export const octetFamily: readonly Algorithm[] = [
  octetPair("Ed25519", ED25519, signing),
  octetPair(oldName, ED25519, signing),
  octetPair("X25519", X25519, { deriveBits: agreement(() => X25519.name) }),
];
