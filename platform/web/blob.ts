// Blob and File: bytes in memory with a type and, for a file, a name and a date.
//
// Bytes are never changed after construction, so slices and files made of blobs share them.
//
// Deliberately absent: blobs on disk, object URLs, FileReader.
//
// Invariant: whoever gets `blobBytes` only reads them.

import { ops } from "../ops.ts";
import { setExpectedLength, readableFromPull } from "./streams/internal.ts";
import { wrapReadable } from "./streams/readable.ts";
import type { ReadableStream } from "./streams/readable.ts";
import {
  DOMString,
  USVString,
  bytesView,
  defineInterface,
  dictionary,
  enumeration,
  internalToken,
  isBufferSource,
  isObject,
  longLong,
  longLongClamp,
  optional,
  requireArguments,
  sequence,
  withDefault,
} from "./webidl.ts";
import type { Converter } from "./webidl.ts";

/** What one read of `blob.stream()` gives at most; a frame of the wire carries as much. */
const CHUNK_BYTES = 64 * 1024;

const propertyBag = dictionary("BlobPropertyBag", {
  endings: withDefault(enumeration("EndingType", ["transparent", "native"]), () => "transparent" as const),
  type: withDefault(DOMString, () => ""),
});
const fileBag = dictionary("FilePropertyBag", { lastModified: optional(longLong) }, propertyBag);

type Part = Uint8Array | string;

const blobPart: Converter<Part> = (value, context) => {
  if (isBlob(value)) return blobBytes(value);
  if (isBufferSource(value)) return bytesView(value);
  return USVString(value, context);
};
const blobParts = sequence(blobPart);

function joinParts(parts: readonly Part[], endings: "transparent" | "native"): Uint8Array {
  const pieces = parts.map((part) => {
    if (typeof part !== "string") return part;
    return ops.textEncode(endings === "native" ? part.replace(/\r\n?/g, "\n") : part);
  });
  const total = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
  const bytes = new Uint8Array(total);
  let offset = 0;
  for (const piece of pieces) {
    bytes.set(piece, offset);
    offset += piece.byteLength;
  }
  return bytes;
}

function normalType(type: string): string {
  return /[^\x20-\x7e]/.test(type) ? "" : type.toLowerCase();
}

/** A blob's insides, handed over with `internalToken` so that slices need no copy. */
interface Inside {
  bytes: Uint8Array;
  type: string;
}

let insideOf: (blob: Blob) => Inside;
let isBlobValue: (value: object) => boolean;

export class Blob {
  #inside: Inside;

  constructor(parts: unknown = undefined, options: unknown = undefined) {
    if (parts === internalToken) {
      this.#inside = options as Inside;
      return;
    }
    const converted = parts === undefined ? [] : blobParts(parts, "Blob constructor: blobParts");
    const { endings, type } = propertyBag(options, "Blob constructor: options");
    this.#inside = { bytes: joinParts(converted, endings), type: normalType(type) };
  }

  get size(): number {
    return this.#inside.bytes.byteLength;
  }

  get type(): string {
    return this.#inside.type;
  }

  slice(start: unknown = undefined, end: unknown = undefined, contentType: unknown = undefined): Blob {
    const { bytes } = this.#inside;
    const size = bytes.byteLength;
    const from = start === undefined ? 0 : longLongClamp(start, "Blob.slice: start");
    const to = end === undefined ? size : longLongClamp(end, "Blob.slice: end");
    const type = contentType === undefined ? "" : normalType(DOMString(contentType, "Blob.slice: contentType"));
    const first = from < 0 ? Math.max(size + from, 0) : Math.min(from, size);
    const last = to < 0 ? Math.max(size + to, 0) : Math.min(to, size);
    return blobFromBytes(bytes.subarray(first, Math.max(first, last)), type);
  }

  stream(): ReadableStream {
    const { bytes } = this.#inside;
    let offset = 0;
    const core = readableFromPull(
      () => {
        if (offset >= bytes.byteLength) return undefined;
        const chunk = bytes.slice(offset, offset + CHUNK_BYTES);
        offset += chunk.byteLength;
        return chunk;
      },
      undefined,
    );
    const stream = wrapReadable(core);
    setExpectedLength(stream, bytes.byteLength);
    return stream;
  }

  async text(): Promise<string> {
    return ops.textDecodeUtf8(this.#inside.bytes, false, false);
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return this.#inside.bytes.slice().buffer as ArrayBuffer;
  }

  async bytes(): Promise<Uint8Array> {
    return this.#inside.bytes.slice();
  }

  static {
    insideOf = (blob) => blob.#inside;
    isBlobValue = (value) => #inside in value;
  }
}
defineInterface(Blob);

export function isBlob(value: unknown): value is Blob {
  return isObject(value) && isBlobValue(value);
}

/** The blob's own bytes: to read, never to change or to give away. */
export function blobBytes(blob: Blob): Uint8Array {
  return insideOf(blob).bytes;
}

/** A blob of bytes that nobody will change any more. */
export function blobFromBytes(bytes: Uint8Array, type: string): Blob {
  return new Blob(internalToken, { bytes, type } satisfies Inside);
}

let isFileValue: (value: object) => boolean;

export class File extends Blob {
  #name: string;
  #lastModified: number;

  constructor(parts: unknown, name: unknown, options: unknown = undefined) {
    requireArguments(arguments.length, 2, "File constructor");
    if (parts === internalToken) {
      const { bytes, type, name: given, lastModified } = options as Inside & { name: string; lastModified: number };
      super(internalToken, { bytes, type });
      this.#name = given;
      this.#lastModified = lastModified;
      return;
    }
    const converted = blobParts(parts, "File constructor: fileBits");
    const fileName = USVString(name, "File constructor: fileName");
    const { endings, lastModified, type } = fileBag(options, "File constructor: options");
    super(internalToken, { bytes: joinParts(converted, endings), type: normalType(type) } satisfies Inside);
    this.#name = fileName;
    this.#lastModified = lastModified ?? Math.floor(ops.timeNow());
  }

  get name(): string {
    return this.#name;
  }

  get lastModified(): number {
    return this.#lastModified;
  }

  static {
    isFileValue = (value) => #name in value;
  }
}
defineInterface(File);

export function isFile(value: unknown): value is File {
  return isObject(value) && isFileValue(value);
}

/** A file of bytes that nobody will change any more. */
export function fileFromBytes(bytes: Uint8Array, name: string, type: string, lastModified?: number): File {
  const date = lastModified ?? Math.floor(ops.timeNow());
  return new File(internalToken, undefined, { bytes, type, name, lastModified: date });
}
