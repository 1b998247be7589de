// ECDSA and ECDH on P-256, P-384 and P-521.
//
// Points go in compressed or not and come out uncompressed.
//
// Invariant: a point that is in a key is on its curve.

import { ops } from "../../ops.ts";
import { DOMString, required } from "../webidl.ts";
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
import {
  CONTEXT_0,
  CONTEXT_1,
  DerReader,
  OCTET_STRING,
  SEQUENCE,
  der,
  derBits,
  derOid,
  derSmall,
  pkcs8,
  readPkcs8,
  readSpki,
  spki,
} from "./der.ts";
import type { Identifier } from "./der.ts";
import { hashIdentifier } from "./digest.ts";
import { dataError, invalidAccess, notSupported } from "./errors.ts";
import { checkJwk, checkJwkAlgorithm, fromBase64Url, toBase64Url } from "./jwk.ts";
import type { JsonWebKey } from "./jwk.ts";
import { checkUsages, checkUseful } from "./key.ts";
import type { KeyFormat, KeyMaterial, KeySlots, KeyUsage } from "./key.ts";
import { secretOf } from "./secret.ts";

interface Curve {
  readonly name: string;
  /** Of a coordinate and of a scalar. */
  readonly bytes: number;
  readonly oid: string;
  readonly jwa: string;
}

const EC_PUBLIC_KEY = "2a8648ce3d0201"; // 1.2.840.10045.2.1

const CURVES: ReadonlyMap<string, Curve> = new Map([
  ["P-256", { name: "P-256", bytes: 32, oid: "2a8648ce3d030107", jwa: "ES256" }], // 1.2.840.10045.3.1.7
  ["P-384", { name: "P-384", bytes: 48, oid: "2b81040022", jwa: "ES384" }], // 1.3.132.0.34
  ["P-521", { name: "P-521", bytes: 66, oid: "2b81040023", jwa: "ES512" }], // 1.3.132.0.35
]);

/** `EcKeyGenParams`, and `EcKeyImportParams`, which says the same. */
const curveParameters = parameterDictionary("EcKeyGenParams", { namedCurve: required(DOMString) }, noParameters);
const ecdsaParameters = parameterDictionary("EcdsaParams", { hash: required(hashIdentifier) }, noParameters);

function curveOf(key: KeySlots): string {
  return key.algorithm.namedCurve ?? "";
}

function elliptic(
  name: string,
  usage: { allowed: PairUsages; jwkUse: "sig" | "enc" },
  operations: Partial<Operations>,
): Algorithm {
  const { allowed, jwkUse } = usage;
  return {
    name,
    ...operations,
    generateKey: operation(curveParameters, ({ namedCurve }, extractable, usages) => {
      checkUsages(`generate ${name}`, usages, allUsages(allowed));
      if (!CURVES.has(namedCurve)) throw notSupported(unknownCurve(namedCurve));
      const pair = generatePair(namedCurve, { name, namedCurve }, allowed, extractable, usages);
      checkUseful(pair.privateKey);
      return pair;
    }),
    importKey: operation(curveParameters, ({ namedCurve }, format, data, extractable, usages) => {
      const curve = CURVES.get(namedCurve);
      const isPrivate = format === "pkcs8" || (format === "jwk" && (data as JsonWebKey).d !== undefined);
      checkUsages(`import ${isPrivate ? "private" : "public"} ${name}`, usages, isPrivate ? allowed.private : allowed.public);
      if (curve === undefined) throw notSupported(unknownCurve(namedCurve));
      const material =
        format === "jwk"
          ? fromJwk(curve, data as JsonWebKey, jwkUse, extractable, usages)
          : fromBytes(curve, format, data as Uint8Array);
      return halfKey({ name, namedCurve }, material, extractable, usages);
    }),
    exportKey(format, key) {
      const curve = CURVES.get(curveOf(key)) as Curve;
      return format === "jwk" ? toJwk(curve, key) : toBytes(curve, format, key);
    },
  };
}

function unknownCurve(name: string): string {
  return `Unrecognized or unimplemented EC curve "${name}" requested.`;
}

// ---- Import

function fromBytes(curve: Curve, format: Exclude<KeyFormat, "jwk">, data: Uint8Array): KeyMaterial {
  switch (format) {
    case "raw":
      return { point: pointOn(curve, data) };
    case "spki": {
      const info = readSpki(data);
      checkIdentifier(curve, info);
      return { point: pointOn(curve, info.key) };
    }
    case "pkcs8": {
      const info = readPkcs8(data);
      checkIdentifier(curve, info);
      return fromSec1(curve, info.key);
    }
  }
}

function checkIdentifier(curve: Curve, { oid, parameters }: Identifier): void {
  if (oid !== EC_PUBLIC_KEY) throw dataError("The key is not one on a NIST curve");
  if (parameters.oid() !== curve.oid) throw dataError(`The key is not on ${curve.name}`);
  parameters.end();
}

/** `ECPrivateKey` (RFC 5915). */
function fromSec1(curve: Curve, bytes: Uint8Array): KeyMaterial {
  const outer = new DerReader(bytes);
  const reader = outer.sequence();
  outer.end();
  reader.version(1);
  const secret = reader.read(OCTET_STRING).slice();
  const parameters = reader.readIf(CONTEXT_0);
  if (parameters !== undefined && new DerReader(parameters).oid() !== curve.oid) {
    throw dataError(`The private key is not on ${curve.name}`);
  }
  const point = reader.readIf(CONTEXT_1);
  reader.end();
  const claimed = point === undefined ? undefined : pointOn(curve, new DerReader(point).bits());
  return privateMaterial(curve.name, secret, claimed);
}

function pointOn(curve: Curve, bytes: Uint8Array): Uint8Array {
  const point = ops.cryptoCurvePoint(curve.name, bytes);
  if (point === undefined) throw dataError(`The public key is not a point of ${curve.name}`);
  return point;
}

function fromJwk(
  curve: Curve,
  jwk: JsonWebKey,
  use: "sig" | "enc",
  extractable: boolean,
  usages: readonly KeyUsage[],
): KeyMaterial {
  checkJwk(jwk, { name: use === "sig" ? "ECDSA" : "ECDH", kty: "EC", use, extractable, usages });
  if (jwk.crv !== curve.name) throw dataError(`"crv" of the JSON Web Key is not "${curve.name}"`);
  if (use === "sig") checkJwkAlgorithm(jwk, curve.jwa);
  const encoded = new Uint8Array(1 + 2 * curve.bytes);
  encoded[0] = 4;
  encoded.set(coordinate(curve, jwk.x, "x"), 1);
  encoded.set(coordinate(curve, jwk.y, "y"), 1 + curve.bytes);
  const point = pointOn(curve, encoded);
  return jwk.d === undefined ? { point } : privateMaterial(curve.name, coordinate(curve, jwk.d, "d"), point);
}

/** RFC 7518, 6.2.1.2: always as long as the field, zeros in front included. */
function coordinate(curve: Curve, value: string | undefined, member: string): Uint8Array {
  const bytes = fromBase64Url(value, member);
  if (bytes.length !== curve.bytes) {
    throw dataError(`"${member}" of the JSON Web Key has ${bytes.length} bytes, not the ${curve.bytes} of ${curve.name}`);
  }
  return bytes;
}

// ---- Export

function toBytes(curve: Curve, format: Exclude<KeyFormat, "jwk">, key: KeySlots): Uint8Array {
  const point = pointOf(key);
  if (format !== "pkcs8") {
    if (key.type !== "public") throw invalidAccess(`A private key has no format "${format}"`);
    return format === "raw" ? point : spki(EC_PUBLIC_KEY, derOid(curve.oid), point);
  }
  if (key.type !== "private") throw invalidAccess('A public key has no format "pkcs8"');
  const sec1 = der(SEQUENCE, derSmall(1), der(OCTET_STRING, secretOf(key)), der(CONTEXT_1, derBits(point)));
  return pkcs8(EC_PUBLIC_KEY, derOid(curve.oid), sec1);
}

function toJwk(curve: Curve, key: KeySlots): JsonWebKey {
  const point = pointOf(key);
  const jwk: JsonWebKey = {
    kty: "EC",
    crv: curve.name,
    x: toBase64Url(point.subarray(1, 1 + curve.bytes)),
    y: toBase64Url(point.subarray(1 + curve.bytes)),
  };
  if (key.type === "private") jwk.d = toBase64Url(secretOf(key));
  return { ...jwk, key_ops: [...key.usages], ext: key.extractable };
}

export const ellipticFamily: readonly Algorithm[] = [
  elliptic(
    "ECDSA",
    { allowed: SIGNING, jwkUse: "sig" },
    {
      sign: operation(ecdsaParameters, ({ hash }, key, data) => {
        requireType(key, "private", "sign");
        return ops.cryptoCurveSign(curveOf(key), hash, secretOf(key), data);
      }),
      verify: operation(ecdsaParameters, ({ hash }, key, signature, data) => {
        requireType(key, "public", "verify");
        return ops.cryptoCurveVerify(curveOf(key), hash, pointOf(key), signature, data);
      }),
    },
  ),
  elliptic("ECDH", { allowed: AGREEING, jwkUse: "enc" }, { deriveBits: agreement(curveOf) }),
];
