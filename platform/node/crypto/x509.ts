// X509Certificate: what node:crypto shows of a certificate, and the checks it offers.
//
// Invariant: values are computed when they are asked for, and kept.

import { ops } from "../../ops.ts";
import { checkBoolean, checkObject, checkText, invalidValue } from "../checks.ts";
import { invalidArgType } from "../errors.ts";
import { bigOf, bytesOf, toBuffer } from "./bytes.ts";
import type { Bytes } from "./bytes.ts";
import { PrivateKeyObject, PublicKeyObject, materialOf, newPublicKey } from "./keys.ts";
import { curveOf, publicHalf, readPublicInfo, rsaNumbers, writePublicInfo } from "./material.ts";
import type { Material } from "./material.ts";
import { writePem } from "./pem.ts";
import { PLAIN_OPTIONS, verifyWith } from "./sign.ts";
import { alternativeNames, extendedKeyUsage, infoAccess, isAuthority, keyIdentifiers, parseCertificate } from "./x509-read.ts";
import type { Certificate, GeneralName, NamePart } from "./x509-read.ts";

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** As OpenSSL prints a time: `Nov  6 12:00:00 2026 GMT`. */
function timeText(time: Date): string {
  const two = (value: number): string => String(value).padStart(2, "0");
  const clock = `${two(time.getUTCHours())}:${two(time.getUTCMinutes())}:${two(time.getUTCSeconds())}`;
  return `${MONTHS[time.getUTCMonth()]} ${String(time.getUTCDate()).padStart(2)} ${clock} ${time.getUTCFullYear()} GMT`;
}

/** RFC 2253's escapes, for names over several lines. */
function escaped(value: string): string {
  return value.replace(/[,+"\\<>;]|^[# ]| $/g, "\\$&");
}

function nameText(parts: readonly NamePart[]): string {
  return parts.map(([type, value]) => `${type}=${escaped(value)}`).join("\n");
}

/** Text that could be taken for something else is shown as a JSON string. */
function generalText({ kind, text }: GeneralName): string {
  const isAmbiguous = kind !== "IP Address" && /[",\\'\x00-\x1f\x7f-\uffff]/.test(text);
  return `${kind}:${isAmbiguous ? JSON.stringify(text) : text}`;
}

function fingerprintOf(hash: string, bytes: Uint8Array): string {
  return (ops.cryptoDigest(hash, bytes).toHex().toUpperCase().match(/../g) ?? []).join(":");
}

function nameObject(parts: readonly NamePart[]): Record<string, string | string[]> {
  const found = Object.create(null) as Record<string, string | string[]>;
  for (const [type, value] of parts) {
    const before = found[type];
    if (before === undefined) found[type] = value;
    else if (Array.isArray(before)) before.push(value);
    else found[type] = [before, value];
  }
  return found;
}

// ---- Checks ----------------------------------------------------------------------------------

interface CheckOptions {
  subject: "default" | "always" | "never";
  wildcards: boolean;
  partialWildcards: boolean;
  multiLabelWildcards: boolean;
  singleLabelSubdomains: boolean;
}

function checkOptions(given: unknown): CheckOptions {
  const options = given === undefined || given === null ? {} : checkObject(given, "options");
  const { subject = "default", wildcards = true, partialWildcards = true, multiLabelWildcards = false, singleLabelSubdomains = false } = options;
  checkBoolean(multiLabelWildcards, "options.multiLabelWildcards");
  checkBoolean(partialWildcards, "options.partialWildcards");
  checkBoolean(singleLabelSubdomains, "options.singleLabelSubdomains");
  checkBoolean(wildcards, "options.wildcards");
  checkText(subject, "options.subject");
  if (subject !== "default" && subject !== "always" && subject !== "never") throw new Error("Invalid subject option");
  return { subject, wildcards, partialWildcards, multiLabelWildcards, singleLabelSubdomains } as CheckOptions;
}

/** RFC 6125: a star stands for one label, the first, of a name with at least three. */
function matchesHost(pattern: string, host: string, options: CheckOptions): boolean {
  const [wanted, given] = [pattern.toLowerCase(), host.toLowerCase()];
  if (given.startsWith(".") && given.length > 1) {
    if (!wanted.endsWith(given)) return false;
    return !options.singleLabelSubdomains || !wanted.slice(0, -given.length).includes(".");
  }
  if (wanted === given) return true;
  const star = wanted.indexOf("*");
  if (!options.wildcards || star < 0 || star !== wanted.lastIndexOf("*")) return false;
  const dot = wanted.indexOf(".");
  if (dot < star || wanted.split(".").length < 3 || wanted.slice(0, dot).startsWith("xn--")) return false;
  const [before, after] = [wanted.slice(0, star), wanted.slice(star + 1, dot)];
  if (!options.partialWildcards && (before !== "" || after !== "")) return false;
  const suffix = wanted.slice(dot);
  if (!given.endsWith(suffix)) return false;
  const label = given.slice(0, given.length - suffix.length);
  if (label === "" || (label.includes(".") && !options.multiLabelWildcards)) return false;
  if (before !== "" || after !== "") {
    if (label.startsWith("xn--")) return false;
  }
  return label.length >= before.length + after.length && label.startsWith(before) && label.endsWith(after);
}

/** Mailboxes are compared exactly, domains without regard to case. */
function matchesEmail(pattern: string, email: string): boolean {
  const [at, other] = [pattern.lastIndexOf("@"), email.lastIndexOf("@")];
  return pattern.slice(0, at) === email.slice(0, other) && pattern.slice(at).toLowerCase() === email.slice(other).toLowerCase();
}

export function addressBytes(text: string): Uint8Array | undefined {
  const four = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (four !== null) {
    const parts = four.slice(1).map(Number);
    return parts.every((part) => part < 256) ? Uint8Array.from(parts) : undefined;
  }
  if (!/^[0-9a-fA-F:.]+$/.test(text) || !text.includes(":")) return undefined;
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const words = (half: string): number[] | undefined => {
    if (half === "") return [];
    const out: number[] = [];
    for (const word of half.split(":")) {
      if (word.includes(".")) {
        const tail = addressBytes(word);
        if (tail === undefined || tail.length !== 4) return undefined;
        out.push(((tail[0] as number) << 8) | (tail[1] as number), ((tail[2] as number) << 8) | (tail[3] as number));
      } else if (/^[0-9a-fA-F]{1,4}$/.test(word)) {
        out.push(parseInt(word, 16));
      } else {
        return undefined;
      }
    }
    return out;
  };
  const [head, tail] = [words(halves[0] as string), halves.length === 2 ? words(halves[1] as string) : []];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const all = [...head, ...new Array<number>(Math.max(missing, 0)).fill(0), ...tail];
  return Uint8Array.from(all.flatMap((word) => [word >> 8, word & 0xff]));
}

/** Digests by the identifiers of signature algorithms; an empty one signs the data itself. */
const SIGNATURES: ReadonlyMap<string, string | undefined> = new Map([
  ["2a864886f70d010104", "md5"], ["2a864886f70d010105", "sha1"], ["2a864886f70d01010e", "sha224"],
  ["2a864886f70d01010b", "sha256"], ["2a864886f70d01010c", "sha384"], ["2a864886f70d01010d", "sha512"],
  ["2a8648ce3d0401", "sha1"], ["2a8648ce3d040301", "sha224"], ["2a8648ce3d040302", "sha256"],
  ["2a8648ce3d040303", "sha384"], ["2a8648ce3d040304", "sha512"],
  ["2a8648ce380403", "sha1"], ["608648016503040301", "sha224"], ["608648016503040302", "sha256"], ["2b6570", undefined],
]);

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

function sameKey(a: Material, b: Material): boolean {
  const [left, right] = [writePublicInfo(a), writePublicInfo(b)];
  return left !== undefined && right !== undefined && equal(left, right);
}

// ---- The class -------------------------------------------------------------------------------

export class X509Certificate {
  readonly #certificate: Certificate;
  readonly #kept = new Map<string, unknown>();

  constructor(buffer: unknown) {
    if (typeof buffer !== "string" && !ArrayBuffer.isView(buffer)) {
      throw invalidArgType("buffer", ["string", "Buffer", "TypedArray", "DataView"], buffer);
    }
    try {
      this.#certificate = parseCertificate(bytesOf(buffer, "buffer").slice());
    } catch {
      throw invalidValue("buffer", buffer, "is not a valid certificate");
    }
  }

  #once<T>(name: string, compute: (certificate: Certificate) => T): T {
    if (!this.#kept.has(name)) this.#kept.set(name, compute(this.#certificate));
    return this.#kept.get(name) as T;
  }

  get subject(): string | undefined {
    return this.#once("subject", ({ subject }) => nameText(subject) || undefined);
  }

  get subjectAltName(): string | undefined {
    return this.#once("subjectAltName", (certificate) => alternativeNames(certificate)?.map(generalText).join(", "));
  }

  get issuer(): string | undefined {
    return this.#once("issuer", ({ issuer }) => nameText(issuer) || undefined);
  }

  get issuerCertificate(): undefined {
    this.#certificate;
    return undefined;
  }

  get infoAccess(): string | undefined {
    return this.#once("infoAccess", (certificate) =>
      infoAccess(certificate)?.map(([method, name]) => `${method} - ${generalText(name)}`).join("\n"));
  }

  get validFrom(): string {
    return this.#once("validFrom", ({ from }) => timeText(from));
  }

  get validTo(): string {
    return this.#once("validTo", ({ to }) => timeText(to));
  }

  get validFromDate(): Date {
    return new Date(this.#certificate.from);
  }

  get validToDate(): Date {
    return new Date(this.#certificate.to);
  }

  get fingerprint(): string {
    return this.#once("fingerprint", ({ raw }) => fingerprintOf("SHA-1", raw));
  }

  get fingerprint256(): string {
    return this.#once("fingerprint256", ({ raw }) => fingerprintOf("SHA-256", raw));
  }

  get fingerprint512(): string {
    return this.#once("fingerprint512", ({ raw }) => fingerprintOf("SHA-512", raw));
  }

  get keyUsage(): string[] | undefined {
    return this.#once("keyUsage", extendedKeyUsage);
  }

  get serialNumber(): string {
    return this.#once("serialNumber", ({ serial }) => {
      const hex = serial.toString(16).toUpperCase();
      return hex.length % 2 === 0 ? hex : `0${hex}`;
    });
  }

  get raw(): Bytes {
    return this.#once("raw", ({ raw }) => toBuffer(raw.slice()));
  }

  get publicKey(): PublicKeyObject {
    return this.#once("publicKey", ({ keyBytes }) => newPublicKey(readPublicInfo(keyBytes)));
  }

  get ca(): boolean {
    return this.#once("ca", isAuthority);
  }

  toString(): string {
    return this.#once("pem", ({ raw }) => writePem("CERTIFICATE", raw));
  }

  toJSON(): string {
    return this.toString();
  }

  checkHost(name: unknown, given?: unknown): string | undefined {
    const host = checkText(name, "name");
    const options = checkOptions(given);
    if (host.includes("\0")) throw new Error("Invalid name");
    const names = (alternativeNames(this.#certificate) ?? []).filter(({ kind }) => kind === "DNS");
    const found = names.find(({ text }) => matchesHost(text, host, options));
    if (found !== undefined) return found.text;
    if (options.subject === "never" || (names.length > 0 && options.subject === "default")) return undefined;
    const common = this.#certificate.subject.filter(([type]) => type === "CN").map(([, value]) => value);
    return common.find((value) => matchesHost(value, host, options));
  }

  checkEmail(email: unknown, given?: unknown): string | undefined {
    const address = checkText(email, "email");
    const options = checkOptions(given);
    if (address.includes("\0")) throw new Error("Invalid name");
    const names = (alternativeNames(this.#certificate) ?? []).filter(({ kind }) => kind === "email");
    if (names.some(({ text }) => matchesEmail(text, address))) return address;
    if (options.subject === "never" || (names.length > 0 && options.subject === "default")) return undefined;
    const common = this.#certificate.subject.filter(([type]) => type === "emailAddress");
    return common.some(([, value]) => matchesEmail(value, address)) ? address : undefined;
  }

  checkIP(ip: unknown, given?: unknown): string | undefined {
    const text = checkText(ip, "ip");
    checkOptions(given);
    const bytes = addressBytes(text);
    if (bytes === undefined) throw new Error("Invalid IP");
    const names = alternativeNames(this.#certificate) ?? [];
    return names.some((name) => name.kind === "IP Address" && equal(name.bytes, bytes)) ? text : undefined;
  }

  checkIssued(other: unknown): boolean {
    if (!(other instanceof X509Certificate)) throw invalidArgType("otherCert", ["X509Certificate"], other);
    const issuer = other.#certificate;
    if (!equal(this.#certificate.issuerBytes, issuer.subjectBytes)) return false;
    const { issuers } = keyIdentifiers(this.#certificate);
    const { own } = keyIdentifiers(issuer);
    return issuers === undefined || own === undefined || equal(issuers, own);
  }

  checkPrivateKey(key: unknown): boolean {
    if (!(key instanceof PrivateKeyObject)) throw invalidArgType("pkey", ["KeyObject"], key);
    return sameKey(publicHalf(materialOf(key)), materialOf(this.publicKey));
  }

  verify(key: unknown): boolean {
    if (!(key instanceof PublicKeyObject)) throw invalidArgType("pkey", ["KeyObject"], key);
    const { algorithm, body, signature } = this.#certificate;
    if (!SIGNATURES.has(algorithm)) return false;
    try {
      return verifyWith(materialOf(key), SIGNATURES.get(algorithm), PLAIN_OPTIONS, signature, body);
    } catch {
      // The key is of another kind than the signature.
      return false;
    }
  }

  toLegacyObject(): Record<string, unknown> {
    return this.#once("legacy", (certificate) => {
      const usage = extendedKeyUsage(certificate);
      return {
        subject: nameObject(certificate.subject),
        ...(this.subjectAltName === undefined ? {} : { subjectaltname: this.subjectAltName, subjectAltName: this.subjectAltName }),
        ...(this.infoAccess === undefined ? {} : { infoAccess: infoObject(certificate) }),
        issuer: nameObject(certificate.issuer),
        ca: this.ca,
        ...keyObject(materialOf(this.publicKey)),
        valid_from: this.validFrom,
        valid_to: this.validTo,
        fingerprint: this.fingerprint,
        fingerprint256: this.fingerprint256,
        fingerprint512: this.fingerprint512,
        ...(usage === undefined ? {} : { ext_key_usage: usage }),
        serialNumber: this.serialNumber,
        raw: this.raw,
      };
    });
  }
}

function infoObject(certificate: Certificate): Record<string, string[]> {
  const found = Object.create(null) as Record<string, string[]>;
  for (const [method, { kind, text }] of infoAccess(certificate) ?? []) (found[`${method} - ${kind}`] ??= []).push(text);
  return found;
}

function keyObject(material: Material): Record<string, unknown> {
  if (material.kind === "rsa") {
    const { n, e } = rsaNumbers(material.open);
    return {
      modulus: n.toHex().toUpperCase(),
      bits: bigOf(n).toString(2).length,
      exponent: `0x${bigOf(e).toString(16)}`,
      pubkey: toBuffer(writePublicInfo(material) as Uint8Array),
    };
  }
  if (material.kind !== "ec") return {};
  const { short, name } = curveOf(material.curve);
  const bits = { "P-224": 224, "P-256": 256, "P-384": 384, "P-521": 521 }[name];
  return { bits, pubkey: toBuffer(material.point.slice()), asn1Curve: short, nistCurve: name };
}
