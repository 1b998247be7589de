// Certificate: the signed public keys (SPKAC) that browsers' <keygen> made.
//
// Invariant: what is no SPKAC verifies as false and exports as nothing; only wrong types throw.

import { ops } from "../../ops.ts";
import { BIT_STRING, DerReader, SEQUENCE, der } from "../../web/crypto/der.ts";
import { Buffer } from "../buffer.ts";
import { isBytes, bytesOf, toBuffer } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
import { invalidArgType } from "../errors.ts";
import { readPublicInfo, writePublicInfo } from "./material.ts";
import { writePem } from "./pem.ts";
import { PLAIN_OPTIONS, verifyWith } from "./sign.ts";

const IA5_STRING = 0x16;

interface Signed {
  readonly body: Uint8Array;
  readonly key: Uint8Array;
  readonly challenge: Uint8Array;
  readonly algorithm: string;
  readonly signature: Uint8Array;
}

function read(given: Uint8Array): Signed | undefined {
  const bytes = ops.base64Decode(ops.textLatin1Decode(given).trim());
  if (bytes === undefined) return undefined;
  try {
    const reader = new DerReader(bytes).sequence();
    const body = reader.read(SEQUENCE);
    const algorithm = reader.sequence().oid();
    const signature = reader.read(BIT_STRING).subarray(1);
    const inner = new DerReader(body);
    const key = der(SEQUENCE, inner.read(SEQUENCE));
    return { body: der(SEQUENCE, body), key, challenge: inner.read(IA5_STRING), algorithm, signature };
  } catch {
    return undefined;
  }
}

const DIGESTS: ReadonlyMap<string, string> = new Map([
  ["2a864886f70d010104", "md5"], ["2a864886f70d010105", "sha1"], ["2a864886f70d01010b", "sha256"],
  ["2a864886f70d01010c", "sha384"], ["2a864886f70d01010d", "sha512"],
]);

const KINDS = ["string", "ArrayBuffer", "Buffer", "TypedArray", "DataView"];

function argument(spkac: unknown, encoding: unknown): Uint8Array {
  if (typeof spkac !== "string" && !isBytes(spkac)) throw invalidArgType("spkac", KINDS, spkac);
  return bytesOf(spkac, "spkac", encoding);
}

function verifySpkac(spkac: unknown, encoding?: unknown): boolean {
  const signed = read(argument(spkac, encoding));
  const digest = signed === undefined ? undefined : DIGESTS.get(signed.algorithm);
  if (signed === undefined || digest === undefined) return false;
  try {
    return verifyWith(readPublicInfo(signed.key), digest, PLAIN_OPTIONS, signed.signature, signed.body);
  } catch {
    return false;
  }
}

function exportPublicKey(spkac: unknown, encoding?: unknown): Bytes {
  const signed = read(argument(spkac, encoding));
  if (signed === undefined) return Buffer.alloc(0);
  try {
    return Buffer.from(writePem("PUBLIC KEY", writePublicInfo(readPublicInfo(signed.key)) ?? signed.key));
  } catch {
    return Buffer.alloc(0);
  }
}

function exportChallenge(spkac: unknown, encoding?: unknown): Bytes {
  const signed = read(argument(spkac, encoding));
  return signed === undefined ? Buffer.alloc(0) : toBuffer(signed.challenge.slice());
}

const methods = { verifySpkac, exportPublicKey, exportChallenge };

type CertificateClass = { new (): typeof methods; (): typeof methods } & typeof methods;

/** Callable without `new`; its functions are there on the class and on instances. */
export const Certificate = function (this: unknown): unknown {
  if (!(this instanceof (Certificate as unknown as { new (): object }))) return new Certificate();
  return this;
} as unknown as CertificateClass;
Object.defineProperty(Certificate, "name", { value: "Certificate", configurable: true });
Object.assign(Certificate, methods);
Object.assign((Certificate as unknown as { prototype: object }).prototype, methods);
