// Keys as node:crypto holds them, and the formats they are read from and written to: PKCS #1, PKCS #8,
// SEC 1, SPKI, in DER.
//
// Every number is big endian. The formats of RSA-PSS, X448, Ed448, secp256k1 and Diffie-Hellman are
// absent, as they are in Workers.
//
// Invariant: material that was read has been checked by the op that will use it.

import { ops } from "../../ops.ts";
import { CONTEXT_0, CONTEXT_1, DerReader, INTEGER, OCTET_STRING, SEQUENCE, der, derBits, derNull, derOid, derSmall, derUnsigned, noParametersDer, pkcs8, readPkcs8, readSpki, spki } from "../../web/crypto/der.ts";
import { concat, padded, trimmed } from "./bytes.ts";

export type CurveName = "P-224" | "P-256" | "P-384" | "P-521";

export interface RsaMaterial {
  readonly kind: "rsa";
  /** PKCS #1, both. */
  readonly open: Uint8Array;
  readonly secret?: Uint8Array;
}

export interface EcMaterial {
  readonly kind: "ec";
  readonly curve: CurveName;
  readonly point: Uint8Array;
  readonly secret?: Uint8Array;
}

export interface OctetMaterial {
  readonly kind: "ed25519" | "x25519";
  readonly point: Uint8Array;
  readonly secret?: Uint8Array;
}

export interface DsaMaterial {
  readonly kind: "dsa";
  readonly p: Uint8Array;
  readonly q: Uint8Array;
  readonly g: Uint8Array;
  readonly y: Uint8Array;
  readonly secret?: Uint8Array;
}

export interface DhMaterial {
  readonly kind: "dh";
  readonly p: Uint8Array;
  readonly g: Uint8Array;
  readonly y: Uint8Array;
  readonly secret?: Uint8Array;
}

export type Material = RsaMaterial | EcMaterial | OctetMaterial | DsaMaterial | DhMaterial;

interface Curve {
  readonly name: CurveName;
  readonly oid: string;
  /** As OpenSSL calls it. */
  readonly short: string;
  readonly bytes: number;
}

export const CURVES: readonly Curve[] = [
  { name: "P-224", oid: "2b81040021", short: "secp224r1", bytes: 28 },
  { name: "P-256", oid: "2a8648ce3d030107", short: "prime256v1", bytes: 32 },
  { name: "P-384", oid: "2b81040022", short: "secp384r1", bytes: 48 },
  { name: "P-521", oid: "2b81040023", short: "secp521r1", bytes: 66 },
];

export function findCurve(name: string): Curve | undefined {
  const wanted = name === "secp256r1" ? "prime256v1" : name;
  return CURVES.find((curve) => curve.name === wanted || curve.short === wanted);
}

export function curveOf(name: CurveName): Curve {
  return CURVES.find((curve) => curve.name === name) as Curve;
}

const RSA = "2a864886f70d010101";
const EC = "2a8648ce3d0201";
const DSA = "2a8648ce380401";
const OCTETS: ReadonlyMap<string, "ed25519" | "x25519"> = new Map([["2b6570", "ed25519"], ["2b656e", "x25519"]]);
const octetOid = (kind: "ed25519" | "x25519"): string => (kind === "ed25519" ? "2b6570" : "2b656e");

export function opCurve(kind: "ed25519" | "x25519"): string {
  return kind === "ed25519" ? "Ed25519" : "X25519";
}

// ---- Making ----------------------------------------------------------------------------------

export function rsaFromPrivate(bytes: Uint8Array): RsaMaterial {
  const secret = ops.cryptoRsaPrivate(bytes);
  const { n, e } = rsaNumbers(secret);
  return { kind: "rsa", open: rsaOpen(n, e), secret };
}

export function rsaOpen(n: Uint8Array, e: Uint8Array): Uint8Array {
  return der(SEQUENCE, derUnsigned(n), derUnsigned(e));
}

export function rsaFromPublic(bytes: Uint8Array): RsaMaterial {
  return { kind: "rsa", open: ops.cryptoRsaPublic(bytes) };
}

export function ecFromSecret(curve: CurveName, given: Uint8Array): EcMaterial {
  const secret = padded(given, curveOf(curve).bytes);
  return { kind: "ec", curve, point: ops.cryptoCurvePublic(curve, secret), secret };
}

export function ecFromPoint(curve: CurveName, given: Uint8Array): EcMaterial {
  const point = ops.cryptoCurvePoint(curve, given);
  if (point === undefined) throw new Error("The point is not on the curve");
  return { kind: "ec", curve, point };
}

export function octetFromSecret(kind: "ed25519" | "x25519", secret: Uint8Array): OctetMaterial {
  return { kind, point: ops.cryptoCurvePublic(opCurve(kind), secret), secret };
}

export function octetFromPoint(kind: "ed25519" | "x25519", given: Uint8Array): OctetMaterial {
  const point = ops.cryptoCurvePoint(opCurve(kind), given);
  if (point === undefined) throw new Error("The key has not 32 bytes");
  return { kind, point };
}

export function publicHalf(material: Material): Material {
  const { secret: _, ...open } = material;
  return open as Material;
}

// ---- Reading ---------------------------------------------------------------------------------

/** Numbers of PKCS #1 keys, private (with a version in front) or public. */
export function rsaNumbers(bytes: Uint8Array): Record<"n" | "e" | "d" | "p" | "q" | "dp" | "dq" | "qi", Uint8Array> {
  const reader = new DerReader(bytes).sequence();
  const all: Uint8Array[] = [];
  while (!reader.done) all.push(trimmed(reader.read(INTEGER)));
  if (all.length > 2) all.shift();
  const [n, e, d, p, q, dp, dq, qi] = all as [Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array, Uint8Array];
  return { n, e, d, p, q, dp, dq, qi };
}

function curveByOid(oid: string): CurveName {
  const found = CURVES.find((curve) => curve.oid === oid);
  if (found === undefined) throw new Error("The curve is unknown");
  return found.name;
}

/** `ECPrivateKey` of RFC 5915. */
export function readSec1(bytes: Uint8Array, outer?: CurveName): EcMaterial {
  const whole = new DerReader(bytes);
  const reader = whole.sequence();
  whole.end();
  reader.version(1);
  const secret = reader.read(OCTET_STRING);
  const parameters = reader.readIf(CONTEXT_0);
  const inner = parameters === undefined ? undefined : curveByOid(new DerReader(parameters).oid());
  reader.readIf(CONTEXT_1);
  reader.end();
  const curve = outer ?? inner;
  if (curve === undefined) throw new Error("The curve is not named");
  return ecFromSecret(curve, secret);
}

function dsaParameters(parameters: DerReader): Pick<DsaMaterial, "p" | "q" | "g"> {
  const reader = parameters.sequence();
  const [p, q, g] = [reader.unsigned(), reader.unsigned(), reader.unsigned()];
  reader.end();
  return { p, q, g };
}

/** `0, p, q, g, y, x`: what OpenSSL writes as "DSA PRIVATE KEY". */
export function readDsa(bytes: Uint8Array): DsaMaterial {
  const reader = new DerReader(bytes).sequence();
  reader.version(0);
  const [p, q, g, y, secret] = [reader.unsigned(), reader.unsigned(), reader.unsigned(), reader.unsigned(), reader.unsigned()];
  reader.end();
  return { kind: "dsa", p, q, g, y, secret };
}

export function readPrivateInfo(bytes: Uint8Array): Material {
  const { oid, parameters, key } = readPkcs8(bytes);
  if (oid === RSA) return rsaFromPrivate(key);
  if (oid === EC) return readSec1(key, curveByOid(parameters.oid()));
  const octets = OCTETS.get(oid);
  if (octets !== undefined) return octetFromSecret(octets, new DerReader(key).read(OCTET_STRING));
  if (oid !== DSA) throw new Error("The algorithm is unknown");
  const { p, q, g } = dsaParameters(parameters);
  const secret = new DerReader(key).unsigned();
  return { kind: "dsa", p, q, g, y: trimmed(ops.cryptoPower(g, secret, p)), secret };
}

export function readPublicInfo(bytes: Uint8Array): Material {
  const { oid, parameters, key } = readSpki(bytes);
  if (oid === RSA) return rsaFromPublic(key);
  if (oid === EC) return ecFromPoint(curveByOid(parameters.oid()), key);
  const octets = OCTETS.get(oid);
  if (octets !== undefined) return octetFromPoint(octets, key);
  if (oid !== DSA) throw new Error("The algorithm is unknown");
  return { kind: "dsa", ...dsaParameters(parameters), y: new DerReader(key).unsigned() };
}

/** A private key in whatever form it has. */
export function readAnyPrivate(bytes: Uint8Array): Material {
  for (const read of [readPrivateInfo, rsaFromPrivate, readSec1, readDsa]) {
    try {
      return read(bytes);
    } catch {
      // It has another form.
    }
  }
  throw new Error("The private key has no form that is known");
}

// ---- Writing ---------------------------------------------------------------------------------

export function writePublicInfo(material: Material): Uint8Array | undefined {
  switch (material.kind) {
    case "rsa":
      return spki(RSA, derNull(), material.open);
    case "ec":
      return spki(EC, derOid(curveOf(material.curve).oid), material.point);
    case "dsa":
      return spki(DSA, der(SEQUENCE, derUnsigned(material.p), derUnsigned(material.q), derUnsigned(material.g)), derUnsigned(material.y));
    case "dh":
      return undefined;
    default:
      return spki(octetOid(material.kind), noParametersDer, material.point);
  }
}

export function writeSec1(material: EcMaterial, withCurve: boolean): Uint8Array {
  const curve = withCurve ? der(CONTEXT_0, derOid(curveOf(material.curve).oid)) : noParametersDer;
  const secret = material.secret as Uint8Array;
  return der(SEQUENCE, derSmall(1), der(OCTET_STRING, secret), curve, der(CONTEXT_1, derBits(material.point)));
}

export function writePrivateInfo(material: Material): Uint8Array | undefined {
  const secret = material.secret as Uint8Array;
  switch (material.kind) {
    case "rsa":
      return pkcs8(RSA, derNull(), secret);
    case "ec":
      return pkcs8(EC, derOid(curveOf(material.curve).oid), writeSec1(material, false));
    case "dsa":
      return pkcs8(DSA, der(SEQUENCE, derUnsigned(material.p), derUnsigned(material.q), derUnsigned(material.g)), derUnsigned(secret));
    case "dh":
      return undefined;
    default:
      return pkcs8(octetOid(material.kind), noParametersDer, der(OCTET_STRING, secret));
  }
}

// ---- Encrypted PKCS #8 (RFC 8018, PBES2) -----------------------------------------------------

const PBES2 = "2a864886f70d01050d";
const PBKDF2 = "2a864886f70d01050c";
const PRFS: ReadonlyMap<string, string> = new Map([
  ["2a864886f70d0207", "SHA-1"],
  ["2a864886f70d0208", "SHA-224"],
  ["2a864886f70d0209", "SHA-256"],
  ["2a864886f70d020a", "SHA-384"],
  ["2a864886f70d020b", "SHA-512"],
]);

export interface Sealer {
  /** As the ops name it. */
  readonly cipher: string;
  readonly keyBytes: number;
  readonly blockBytes: number;
  readonly oid: string;
}

/** Ciphers that keys are encrypted with, all of them CBC. */
export const SEALERS: ReadonlyMap<string, Sealer> = new Map([
  ["aes-128-cbc", { cipher: "aes-128", keyBytes: 16, blockBytes: 16, oid: "608648016503040102" }],
  ["aes-192-cbc", { cipher: "aes-192", keyBytes: 24, blockBytes: 16, oid: "608648016503040116" }],
  ["aes-256-cbc", { cipher: "aes-256", keyBytes: 32, blockBytes: 16, oid: "60864801650304012a" }],
  ["des-ede3-cbc", { cipher: "des-ede3", keyBytes: 24, blockBytes: 8, oid: "2a864886f70d0307" }],
]);

/** Rounds that a key's password goes through when it is written: OpenSSL's. */
const ROUNDS = 2048;

export function cbc(encrypt: boolean, sealer: Sealer, key: Uint8Array, iv: Uint8Array, bytes: Uint8Array): Uint8Array {
  const handle = ops.cryptoCipherNew(encrypt, sealer.cipher, "cbc", key, iv, undefined);
  const first = ops.cryptoCipherUpdate(handle, bytes);
  return concat([first, ops.cryptoCipherFinish(handle)[0]]);
}

export function seal(info: Uint8Array, sealer: Sealer, passphrase: Uint8Array): Uint8Array {
  const [salt, iv] = [ops.randomBytes(16), ops.randomBytes(sealer.blockBytes)];
  const key = ops.cryptoPbkdf2("SHA-256", passphrase, salt, ROUNDS, sealer.keyBytes);
  const prf = der(SEQUENCE, derOid("2a864886f70d0209"), derNull());
  const rounds = der(INTEGER, Uint8Array.of(ROUNDS >> 8, ROUNDS & 0xff));
  const derivation = der(SEQUENCE, derOid(PBKDF2), der(SEQUENCE, der(OCTET_STRING, salt), rounds, prf));
  const cipher = der(SEQUENCE, derOid(sealer.oid), der(OCTET_STRING, iv));
  const scheme = der(SEQUENCE, derOid(PBES2), der(SEQUENCE, derivation, cipher));
  return der(SEQUENCE, scheme, der(OCTET_STRING, cbc(true, sealer, key, iv, info)));
}

export function unseal(bytes: Uint8Array, passphrase: Uint8Array): Uint8Array {
  const outer = new DerReader(bytes).sequence();
  const scheme = outer.sequence();
  const sealed = outer.read(OCTET_STRING);
  if (scheme.oid() !== PBES2) throw new Error("The encryption is unknown");
  const parameters = scheme.sequence();
  const derivation = parameters.sequence();
  if (derivation.oid() !== PBKDF2) throw new Error("The derivation is unknown");
  const settings = derivation.sequence();
  const salt = settings.read(OCTET_STRING);
  const rounds = settings.read(INTEGER).reduce((value, byte) => value * 256 + byte, 0);
  settings.readIf(INTEGER);
  const prf = settings.done ? "SHA-1" : PRFS.get(settings.sequence().oid());
  const cipher = parameters.sequence();
  const oid = cipher.oid();
  const sealer = [...SEALERS.values()].find((each) => each.oid === oid);
  if (sealer === undefined || prf === undefined) throw new Error("The encryption is unknown");
  const key = ops.cryptoPbkdf2(prf, passphrase, salt, rounds, sealer.keyBytes);
  return cbc(false, sealer, key, cipher.read(OCTET_STRING), sealed);
}
