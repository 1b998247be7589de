// PEM (RFC 7468), with the older encryption of its own that OpenSSL still reads and writes.
//
// Invariant: a passphrase is asked for only where the text says that it is encrypted.

import { ops } from "../../ops.ts";
import { concat } from "./bytes.ts";
import { SEALERS, cbc } from "./material.ts";
import type { Sealer } from "./material.ts";

export interface Pem {
  readonly label: string;
  readonly bytes: Uint8Array;
  /** Of the older encryption; `bytes` are sealed with it. */
  readonly sealer: Sealer | undefined;
  readonly iv: Uint8Array | undefined;
}

const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----\s*?\n([\s\S]*?)-----END \1-----/g;
const LINE_CHARS = 64;

function readBlock(label: string, body: string): Pem | undefined {
  const end = body.search(/\r?\n[ \t]*\r?\n/);
  const hasHeaders = end >= 0 && body.slice(0, end).includes(":");
  const text = hasHeaders ? body.slice(end) : body;
  const bytes = ops.base64Decode(text.replace(/\s+/g, ""));
  if (bytes === undefined) return undefined;
  const info = hasHeaders ? /DEK-Info:\s*([A-Za-z0-9-]+),([0-9A-Fa-f]+)/.exec(body) : null;
  if (info === null) return { label, bytes, sealer: undefined, iv: undefined };
  const sealer = SEALERS.get((info[1] as string).toLowerCase());
  if (sealer === undefined) return undefined;
  return { label, bytes, sealer, iv: Uint8Array.fromHex(info[2] as string) };
}

/** The first block whose label is one of these. */
export function readPem(text: string, labels: (label: string) => boolean): Pem | undefined {
  for (const [, label = "", body = ""] of text.matchAll(BLOCK)) {
    if (!labels(label)) continue;
    const found = readBlock(label, body);
    if (found !== undefined) return found;
  }
  return undefined;
}

export function writePem(label: string, bytes: Uint8Array, headers = ""): string {
  const body = ops.base64Encode(bytes);
  const lines: string[] = [];
  for (let at = 0; at < body.length; at += LINE_CHARS) lines.push(body.slice(at, at + LINE_CHARS));
  return `-----BEGIN ${label}-----\n${headers}${lines.join("\n")}\n-----END ${label}-----\n`;
}

/** OpenSSL's `EVP_BytesToKey` with MD5 and one round. */
export function keyOfPassphrase(passphrase: Uint8Array, salt: Uint8Array, count: number): Uint8Array {
  const parts: Uint8Array[] = [];
  let last = new Uint8Array(0);
  for (let have = 0; have < count; have += last.length) {
    last = ops.cryptoDigest("MD5", concat([last, passphrase, salt])) as Uint8Array<ArrayBuffer>;
    parts.push(last);
  }
  return concat(parts).subarray(0, count);
}

export function openPem({ bytes, sealer, iv }: Pem, passphrase: Uint8Array | undefined): Uint8Array {
  if (sealer === undefined || iv === undefined) return bytes;
  if (passphrase === undefined) throw new Error("A passphrase is needed");
  return cbc(false, sealer, keyOfPassphrase(passphrase, iv.subarray(0, 8), sealer.keyBytes), iv, bytes);
}

export function sealPem(label: string, bytes: Uint8Array, cipher: string, sealer: Sealer, passphrase: Uint8Array): string {
  const iv = ops.randomBytes(sealer.blockBytes);
  const key = keyOfPassphrase(passphrase, iv.subarray(0, 8), sealer.keyBytes);
  const headers = `Proc-Type: 4,ENCRYPTED\nDEK-Info: ${cipher.toUpperCase()},${iv.toHex().toUpperCase()}\n\n`;
  return writePem(label, cbc(true, sealer, key, iv, bytes), headers);
}
