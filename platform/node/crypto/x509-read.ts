// Certificates (RFC 5280), read into what X509Certificate shows of them.
//
// No chain is built and no time is compared: whether a certificate is to be trusted is not decided
// here.
//
// Invariant: what is not DER, or not a certificate, is an error; an extension that is not understood is
// left alone.

import { ops } from "../../ops.ts";
import { BIT_STRING, DerReader, OCTET_STRING, OID, SEQUENCE, der } from "../../web/crypto/der.ts";
import { bigOf } from "./bytes.ts";
import { readPublicInfo } from "./material.ts";
import type { Material } from "./material.ts";
import { readPem } from "./pem.ts";

const SET = 0x31;
const BOOLEAN = 0x01;
const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;
const CONTEXT_3 = 0xa3;

export type NamePart = readonly [type: string, value: string];

export interface GeneralName {
  readonly kind: "email" | "DNS" | "URI" | "IP Address" | "DirName" | "Registered ID" | "othername";
  readonly text: string;
  readonly bytes: Uint8Array;
}

export interface Certificate {
  readonly raw: Uint8Array;
  /** What was signed, and how. */
  readonly body: Uint8Array;
  readonly algorithm: string;
  readonly signature: Uint8Array;
  readonly serial: bigint;
  readonly issuer: readonly NamePart[];
  readonly subject: readonly NamePart[];
  readonly issuerBytes: Uint8Array;
  readonly subjectBytes: Uint8Array;
  readonly from: Date;
  readonly to: Date;
  readonly keyBytes: Uint8Array;
  readonly extensions: ReadonlyMap<string, Uint8Array>;
}

const NAMES: ReadonlyMap<string, string> = new Map([
  ["2.5.4.3", "CN"], ["2.5.4.4", "SN"], ["2.5.4.5", "serialNumber"], ["2.5.4.6", "C"], ["2.5.4.7", "L"],
  ["2.5.4.8", "ST"], ["2.5.4.9", "street"], ["2.5.4.10", "O"], ["2.5.4.11", "OU"], ["2.5.4.12", "title"],
  ["2.5.4.15", "businessCategory"], ["2.5.4.17", "postalCode"], ["2.5.4.42", "GN"], ["2.5.4.46", "dnQualifier"],
  ["1.2.840.113549.1.9.1", "emailAddress"], ["0.9.2342.19200300.100.1.1", "UID"], ["0.9.2342.19200300.100.1.25", "DC"],
  ["1.3.6.1.4.1.311.60.2.1.1", "jurisdictionL"], ["1.3.6.1.4.1.311.60.2.1.2", "jurisdictionST"],
  ["1.3.6.1.4.1.311.60.2.1.3", "jurisdictionC"],
]);

/** `1.2.840...` of the bytes of an object identifier. */
export function dotted(bytes: Uint8Array): string {
  const parts: bigint[] = [];
  let value = 0n;
  for (const byte of bytes) {
    value = (value << 7n) | BigInt(byte & 0x7f);
    if (byte >= 0x80) continue;
    if (parts.length === 0) {
      const first = value < 80n ? value / 40n : 2n;
      parts.push(first, value - first * 40n);
    } else {
      parts.push(value);
    }
    value = 0n;
  }
  return parts.join(".");
}

/** The next value whatever its tag is: the tag and the content. */
function any(reader: DerReader): [tag: number, content: Uint8Array] {
  for (let tag = 0; tag < 256; tag++) {
    const content = reader.readIf(tag);
    if (content !== undefined) return [tag, content];
  }
  throw new Error("There is nothing left to read");
}

function textOf(tag: number, bytes: Uint8Array): string {
  // BMPString is UTF-16, UniversalString UTF-32; the others are UTF-8 or narrower.
  if (tag === 0x1e) return String.fromCharCode(...Array.from({ length: bytes.length >> 1 }, (_, at) => ((bytes[2 * at] as number) << 8) | (bytes[2 * at + 1] as number)));
  return tag === 0x0c ? ops.textDecodeUtf8(bytes, false, true) : ops.textLatin1Decode(bytes);
}

function readName(content: Uint8Array): NamePart[] {
  const parts: NamePart[] = [];
  const reader = new DerReader(content);
  while (!reader.done) {
    const set = new DerReader(reader.read(SET));
    while (!set.done) {
      const pair = set.sequence();
      const oid = dotted(pair.read(OID));
      parts.push([NAMES.get(oid) ?? oid, textOf(...any(pair))]);
    }
  }
  return parts;
}

function readTime(reader: DerReader): Date {
  const short = reader.readIf(UTC_TIME);
  const text = ops.textLatin1Decode(short ?? reader.read(GENERALIZED_TIME));
  const found = /^(\d{2,4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?Z$/.exec(short === undefined ? text : `${Number(text.slice(0, 2)) < 50 ? "20" : "19"}${text}`);
  if (found === null) throw new Error("A time is malformed");
  const [year, month, day, hour, minute, second] = found.slice(1).map((part) => Number(part ?? 0)) as [number, number, number, number, number, number];
  return new Date(Date.UTC(year, month - 1, day, hour, minute, second));
}

function readExtensions(content: Uint8Array): Map<string, Uint8Array> {
  const found = new Map<string, Uint8Array>();
  const reader = new DerReader(content).sequence();
  while (!reader.done) {
    const extension = reader.sequence();
    const oid = dotted(extension.read(OID));
    extension.readIf(BOOLEAN);
    found.set(oid, extension.read(OCTET_STRING));
  }
  return found;
}

/** A value with its head again. */
function whole(content: Uint8Array): Uint8Array {
  return der(SEQUENCE, content);
}

export function readCertificate(given: Uint8Array): Certificate {
  const outer = new DerReader(given);
  const content = outer.read(SEQUENCE);
  const reader = new DerReader(content);
  const inner = reader.read(SEQUENCE);
  const algorithm = reader.sequence().oid();
  const signature = reader.read(BIT_STRING).subarray(1);
  const body = new DerReader(inner);
  body.readIf(0xa0);
  const serial = bigOf(body.read(0x02));
  body.sequence();
  const issuer = body.read(SEQUENCE);
  const validity = body.sequence();
  const [from, to] = [readTime(validity), readTime(validity)];
  const subject = body.read(SEQUENCE);
  const keyBytes = whole(body.read(SEQUENCE));
  body.readIf(0x81);
  body.readIf(0x82);
  const extensions = body.readIf(CONTEXT_3);
  return {
    raw: whole(content),
    body: whole(inner),
    algorithm,
    signature,
    serial,
    issuer: readName(issuer),
    subject: readName(subject),
    issuerBytes: issuer,
    subjectBytes: subject,
    from,
    to,
    keyBytes,
    extensions: extensions === undefined ? new Map() : readExtensions(extensions),
  };
}

/** A certificate as PEM or DER. */
export function parseCertificate(given: Uint8Array): Certificate {
  const text = ops.textLatin1Decode(given);
  const pem = readPem(text, (label) => /^(?:X509 |TRUSTED )?CERTIFICATE$/.test(label));
  return readCertificate(pem === undefined ? given : pem.bytes);
}

export function certificateKey(bytes: Uint8Array): Material {
  return readPublicInfo(readCertificate(bytes).keyBytes);
}

// ---- Names of other kinds --------------------------------------------------------------------

const GENERAL_KINDS: ReadonlyMap<number, GeneralName["kind"]> = new Map([
  [0xa0, "othername"], [0x81, "email"], [0x82, "DNS"], [0xa4, "DirName"], [0x86, "URI"], [0x87, "IP Address"], [0x88, "Registered ID"],
]);

export function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  if (bytes.length !== 16) return "<invalid>";
  const words = Array.from({ length: 8 }, (_, at) => (((bytes[2 * at] as number) << 8) | (bytes[2 * at + 1] as number)).toString(16).toUpperCase());
  return words.join(":");
}

function general(tag: number, content: Uint8Array): GeneralName | undefined {
  const kind = GENERAL_KINDS.get(tag);
  switch (kind) {
    case undefined:
      return undefined;
    case "IP Address":
      return { kind, bytes: content, text: addressText(content) };
    case "Registered ID":
      return { kind, bytes: content, text: dotted(content) };
    case "DirName":
      return { kind, bytes: content, text: readName(new DerReader(content).read(SEQUENCE)).map(([type, value]) => `${type}=${value}`).join(",") };
    case "othername":
      return { kind, bytes: content, text: "<unsupported>" };
    default:
      return { kind, bytes: content, text: ops.textLatin1Decode(content) };
  }
}

const SUBJECT_ALT_NAME = "2.5.29.17";
const INFO_ACCESS = "1.3.6.1.5.5.7.1.1";

export function alternativeNames(certificate: Certificate): GeneralName[] | undefined {
  const extension = certificate.extensions.get(SUBJECT_ALT_NAME);
  if (extension === undefined) return undefined;
  const reader = new DerReader(extension).sequence();
  const names: GeneralName[] = [];
  while (!reader.done) {
    const name = general(...any(reader));
    if (name !== undefined) names.push(name);
  }
  return names;
}

const METHODS: ReadonlyMap<string, string> = new Map([["1.3.6.1.5.5.7.48.1", "OCSP"], ["1.3.6.1.5.5.7.48.2", "CA Issuers"]]);

export function infoAccess(certificate: Certificate): [method: string, name: GeneralName][] | undefined {
  const extension = certificate.extensions.get(INFO_ACCESS);
  if (extension === undefined) return undefined;
  const reader = new DerReader(extension).sequence();
  const found: [string, GeneralName][] = [];
  while (!reader.done) {
    const description = reader.sequence();
    const oid = dotted(description.read(OID));
    const name = general(...any(description));
    if (name !== undefined) found.push([METHODS.get(oid) ?? oid, name]);
  }
  return found;
}

export function extendedKeyUsage(certificate: Certificate): string[] | undefined {
  const extension = certificate.extensions.get("2.5.29.37");
  if (extension === undefined) return undefined;
  const reader = new DerReader(extension).sequence();
  const found: string[] = [];
  while (!reader.done) found.push(dotted(reader.read(OID)));
  return found;
}

export function isAuthority(certificate: Certificate): boolean {
  const constraints = certificate.extensions.get("2.5.29.19");
  if (constraints === undefined) return false;
  const usage = certificate.extensions.get("2.5.29.15");
  // keyCertSign is the sixth bit.
  if (usage !== undefined && ((new DerReader(usage).read(BIT_STRING)[1] ?? 0) & 0x04) === 0) return false;
  return new DerReader(constraints).sequence().readIf(BOOLEAN)?.[0] === 0xff;
}

export function keyIdentifiers(certificate: Certificate): { own: Uint8Array | undefined; issuers: Uint8Array | undefined } {
  const own = certificate.extensions.get("2.5.29.14");
  const issuers = certificate.extensions.get("2.5.29.35");
  return {
    own: own === undefined ? undefined : new DerReader(own).read(OCTET_STRING),
    issuers: issuers === undefined ? undefined : new DerReader(issuers).sequence().readIf(0x80),
  };
}
