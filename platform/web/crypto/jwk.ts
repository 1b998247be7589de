// JSON Web Keys: the dictionary, base64url, and the checks that all families share.
//
// Invariant: every wrong key is a DataError; what JSON Web Keys do not say is left to the families.

import { ops } from "../../ops.ts";
import { DOMString, boolean, dictionary, optional, sequence } from "../webidl.ts";
import type { Converter } from "../webidl.ts";
import { dataError } from "./errors.ts";
import type { KeyUsage } from "./key.ts";

/** A prime of an RSA key beyond the second; recognised only to be refused. */
export interface RsaOtherPrimesInfo {
  r?: string | undefined;
  d?: string | undefined;
  t?: string | undefined;
}

export interface JsonWebKey {
  kty?: string | undefined;
  use?: string | undefined;
  key_ops?: string[] | undefined;
  alg?: string | undefined;
  ext?: boolean | undefined;
  crv?: string | undefined;
  x?: string | undefined;
  y?: string | undefined;
  d?: string | undefined;
  n?: string | undefined;
  e?: string | undefined;
  p?: string | undefined;
  q?: string | undefined;
  dp?: string | undefined;
  dq?: string | undefined;
  qi?: string | undefined;
  oth?: RsaOtherPrimesInfo[] | undefined;
  k?: string | undefined;
}

const text = optional(DOMString);
const otherPrimes = dictionary("RsaOtherPrimesInfo", { r: text, d: text, t: text });

export const jsonWebKey: Converter<JsonWebKey> = dictionary("JsonWebKey", {
  kty: text,
  use: text,
  key_ops: optional(sequence(DOMString)),
  alg: text,
  ext: optional(boolean),
  crv: text,
  x: text,
  y: text,
  d: text,
  n: text,
  e: text,
  p: text,
  q: text,
  dp: text,
  dq: text,
  qi: text,
  oth: optional(sequence(otherPrimes)),
  k: text,
});

const BASE64URL = /^[A-Za-z0-9_-]*$/;

export function fromBase64Url(value: string | undefined, member: string): Uint8Array {
    if (value === undefined) throw dataError(`The JSON Web Key has no "${member}"`);
  const standard = value.replaceAll("-", "+").replaceAll("_", "/");
  const bytes = BASE64URL.test(value) ? ops.base64Decode(standard) : undefined;
  if (bytes === undefined && member === "k") {
    throw dataError('Symmetric "jwk" key import requires a base64Url encoding of the key.');
  }
  if (bytes === undefined) throw dataError(`"${member}" of the JSON Web Key is not base64url`);
  return bytes;
}

export function toBase64Url(bytes: Uint8Array): string {
  return ops.base64Encode(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** What a family expects of a key before it looks at the key itself. */
export interface Expected {
  /** The algorithm. */
  name: string;
  kty: string;
  use: "sig" | "enc";
  extractable: boolean;
  usages: readonly KeyUsage[];
}

export function checkJwk(jwk: JsonWebKey, { name, kty, use, extractable, usages }: Expected): void {
  if (jwk.kty !== kty) {
    const whose = kty === "oct" ? "Symmetric" : kty;
    throw dataError(
      `${whose} "jwk" key import requires a JSON Web Key with Key Type parameter "kty" equal to "${kty}" (encountered ` +
        `"${jwk.kty}").`,
    );
  }
  if (usages.length > 0 && jwk.use !== undefined && jwk.use !== use) {
    throw dataError(
      kty === "oct"
        ? `Symmetric "jwk" key must have a "use" of "${use}", not "${jwk.use}".`
        : `Asymmetric "jwk" key import with usages requires a JSON Web Key with Public Key Use parameter "use" ("${jwk.use}") equal to "${use}".`,
    );
  }
  if (jwk.key_ops !== undefined) checkKeyOps(jwk.key_ops, usages, kty === "oct");
  if (jwk.ext === false && extractable) {
    throw dataError(`JWK ext field for "${name}" is set to false but extractable is true`);
  }
}

/** RFC 7517, 4.3: values must be there once each. */
function checkKeyOps(operations: readonly string[], usages: readonly KeyUsage[], symmetric: boolean): void {
  if (new Set(operations).size !== operations.length) {
    throw dataError('A JSON Web Key\'s Key Operations parameter ("key_ops") must not contain duplicates.');
  }
  for (const usage of usages) {
    if (operations.includes(usage)) continue;
    throw dataError(
      symmetric
        ? `"jwk" key missing usage "${usage}", in "key_ops".`
        : 'All specified key usages must be present in the JSON Web Key\'s Key Operations parameter ("key_ops").',
    );
  }
}

/** Throws unless `alg` is absent or one of `expected`. */
export function checkJwkAlgorithm(jwk: JsonWebKey, ...expected: (string | undefined)[]): void {
  if (jwk.alg !== undefined && !expected.includes(jwk.alg)) {
    const whose = jwk.kty === "oct" ? "Symmetric" : (jwk.kty ?? "");
    throw dataError(`${whose} "jwk" key contains invalid "alg" value "${jwk.alg}", expected "${expected[0]}".`);
  }
}
