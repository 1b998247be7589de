// FormData, and its two encodings: multipart/form-data both ways, urlencoded to read.
//
// A multipart body is parsed whole: the search for boundaries runs over the bytes as a Latin-1
// string, so that indices in it are indices of the bytes.
//
// Deliberately absent: forms as elements; `filename*`, which the standard forbids.
//
// Invariant: an entry's value is a string or a File, never a bare Blob.

import { has } from "../cloudflare/compat.ts";
import { ops } from "../ops.ts";
import { blobBytes, fileFromBytes, isBlob, isFile } from "./blob.ts";
import type { Blob, File } from "./blob.ts";
import { parseMimeType, serializeMimeType } from "./mime.ts";
import { parseUrlEncoded } from "./url.ts";
import { USVString, defineInterface, definePairIterable, isObject, requireArguments } from "./webidl.ts";

/** Parts of one multipart body: what Workers' own parser allows within its size limits is far fewer. */
const PARTS_MAX = 65_536;

export type FormDataEntryValue = string | File;
type Entry = readonly [name: string, value: FormDataEntryValue];

let entriesOf: (data: FormData) => Entry[];
let isFormDataValue: (value: object) => boolean;

export class FormData {
  #entries: Entry[] = [];

  constructor(form: unknown = undefined) {
    if (form !== undefined) throw new TypeError("FormData constructor: there are no form elements here");
  }

  append(name: unknown, value: unknown, filename: unknown = undefined): void {
    const entries = this.#entries;
    requireArguments(arguments.length, 2, "FormData.append");
    entries.push(makeEntry(name, value, filename, "FormData.append"));
  }

  delete(name: unknown): void {
    const entries = this.#entries;
    requireArguments(arguments.length, 1, "FormData.delete");
    const key = USVString(name, "FormData.delete: name");
    for (let i = entries.length - 1; i >= 0; i--) if (entries[i]?.[0] === key) entries.splice(i, 1);
  }

  get(name: unknown): FormDataEntryValue | null {
    const entries = this.#entries;
    requireArguments(arguments.length, 1, "FormData.get");
    const key = USVString(name, "FormData.get: name");
    for (const [other, value] of entries) if (other === key) return value;
    return null;
  }

  getAll(name: unknown): FormDataEntryValue[] {
    const entries = this.#entries;
    requireArguments(arguments.length, 1, "FormData.getAll");
    const key = USVString(name, "FormData.getAll: name");
    return entries.filter(([other]) => other === key).map(([, value]) => value);
  }

  has(name: unknown): boolean {
    const entries = this.#entries;
    requireArguments(arguments.length, 1, "FormData.has");
    const key = USVString(name, "FormData.has: name");
    return entries.some(([other]) => other === key);
  }

  set(name: unknown, value: unknown, filename: unknown = undefined): void {
    const entries = this.#entries;
    requireArguments(arguments.length, 2, "FormData.set");
    const entry = makeEntry(name, value, filename, "FormData.set");
    const place = entries.findIndex(([other]) => other === entry[0]);
    if (place === -1) {
      entries.push(entry);
      return;
    }
    entries[place] = entry;
    for (let i = entries.length - 1; i > place; i--) if (entries[i]?.[0] === entry[0]) entries.splice(i, 1);
  }

  static {
    entriesOf = (data) => data.#entries;
    isFormDataValue = (value) => #entries in value;
  }
}

/** What `definePairIterable` puts on the prototype. */
export interface FormData {
  entries(): IterableIterator<[string, FormDataEntryValue]>;
  keys(): IterableIterator<string>;
  values(): IterableIterator<FormDataEntryValue>;
  forEach(callback: (value: FormDataEntryValue, key: string, parent: FormData) => void, thisArg?: unknown): void;
  [Symbol.iterator](): IterableIterator<[string, FormDataEntryValue]>;
}
definePairIterable(FormData, "FormData", (data, index) => entriesOf(data)[index]);
defineInterface(FormData);

export function isFormData(value: unknown): value is FormData {
  return isObject(value) && isFormDataValue(value);
}

function makeEntry(name: unknown, value: unknown, filename: unknown, context: string): Entry {
  const key = USVString(name, `${context}: name`);
  if (isBlob(value)) {
    const given = filename === undefined ? undefined : USVString(filename, `${context}: filename`);
    return [key, asFile(value, given)];
  }
  if (filename !== undefined) throw new TypeError(`${context}: value is not a Blob, so it cannot have a filename`);
  return [key, USVString(value, `${context}: value`)];
}

function asFile(blob: Blob, filename: string | undefined): File {
  if (isFile(blob)) {
    if (filename === undefined) return blob;
    return fileFromBytes(blobBytes(blob), filename, blob.type, blob.lastModified);
  }
  return fileFromBytes(blobBytes(blob), filename ?? "blob", blob.type);
}

// ---- Writing multipart -----------------------------------------------------------------------

const BOUNDARY_RANDOM_BYTES = 16;

function newBoundary(): string {
  let boundary = "----formdata-";
  for (const byte of ops.randomBytes(BOUNDARY_RANDOM_BYTES)) boundary += byte.toString(16).padStart(2, "0");
  return boundary;
}

function crlf(text: string): string {
  return text.replace(/\r\n?|\n/g, "\r\n");
}

function quoted(text: string): string {
  return text.replace(/\n/g, "%0A").replace(/\r/g, "%0D").replace(/"/g, "%22");
}

/** The whole body; its length is known because blobs are in memory. */
export function serializeFormData(data: FormData): { bytes: Uint8Array; boundary: string } {
  const boundary = newBoundary();
  const pieces: Uint8Array[] = [];
  let text = "";
  for (const [name, value] of entriesOf(data)) {
    text += `--${boundary}\r\nContent-Disposition: form-data; name="${quoted(crlf(name))}"`;
    if (typeof value === "string") {
      text += `\r\n\r\n${crlf(value)}\r\n`;
      continue;
    }
    const type = value.type === "" ? "application/octet-stream" : value.type;
    text += `; filename="${quoted(value.name)}"\r\nContent-Type: ${type}\r\n\r\n`;
    pieces.push(ops.textEncode(text), blobBytes(value));
    text = "\r\n";
  }
  pieces.push(ops.textEncode(`${text}--${boundary}--\r\n`));
  const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.byteLength, 0));
  let offset = 0;
  for (const piece of pieces) {
    bytes.set(piece, offset);
    offset += piece.byteLength;
  }
  return { bytes, boundary };
}

// ---- Reading ---------------------------------------------------------------------------------

/** A body as FormData, by its MIME type; throws a TypeError when it is neither kind or malformed. */
export function parseFormData(bytes: Uint8Array, essence: string, parameters: ReadonlyMap<string, string>): FormData {
  if (essence === "multipart/form-data") {
    const boundary = parameters.get("boundary");
    if (boundary === undefined || boundary === "") {
      throw new TypeError(
        "No boundary string in Content-Type header. The multipart/form-data MIME type requires a boundary parameter, " +
          "e.g. 'Content-Type: multipart/form-data; boundary=\"abcd\"'. See RFC 7578, section 4.",
      );
    }
    return parseMultipart(bytes, boundary);
  }
  if (essence === "application/x-www-form-urlencoded") {
    // The standard decodes as UTF-8 whatever is said.
    const charset = has("pedantic_wpt") ? undefined : parameters.get("charset");
    if (charset !== undefined && !/^utf-?8$/i.test(charset)) {
      throw new TypeError("Non-utf-8 application/x-www-form-urlencoded body.");
    }
    return fromUrlEncoded(bytes);
  }
  throw new TypeError(
    "Unrecognized Content-Type header value. FormData can only parse the following MIME types: multipart/form-data, " +
      "application/x-www-form-urlencoded",
  );
}

function fromUrlEncoded(bytes: Uint8Array): FormData {
  const data = new FormData();
  const flat = parseUrlEncoded(ops.textDecodeUtf8(bytes, false, true));
  for (let i = 0; i + 1 < flat.length; i += 2) entriesOf(data).push([flat[i] as string, flat[i + 1] as string]);
  return data;
}

const UNENDED_HEADERS = "No multipart message header termination found.";
const UNNAMED_PART = "No valid Content-Disposition header found in FormData part.";

function parseMultipart(bytes: Uint8Array, boundary: string): FormData {
  const data = new FormData();
  const entries = entriesOf(data);
  const text = ops.textLatin1Decode(bytes);
  const dashed = `--${boundary}`;
  // Lines may end without a carriage return.
  const separator = `\n${dashed}`;
  // An optional preamble may stand before the first boundary.
  const first = text.startsWith(dashed) ? 0 : text.indexOf(separator) + 1;
  if (first === 0 && !text.startsWith(dashed)) {
    throw new TypeError("No initial boundary string (or you have a truncated message).");
  }
  for (let at = first + dashed.length; ; ) {
    if (text.startsWith("--", at)) return data;
    // Padding after a boundary is allowed by MIME.
    while (text[at] === " " || text[at] === "\t") at++;
    const line = lineBreak(text, at);
    if (line === 0) throw new TypeError("Boundary string was not succeeded by CRLF, LF, or '--'.");
    at += line;
    const blank = lineBreak(text, at);
    HEADERS_END.lastIndex = at;
    const ended = blank > 0 ? undefined : HEADERS_END.exec(text);
    if (ended === null) throw new TypeError(UNENDED_HEADERS);
    const headers = partHeaders(bytes, text, at, ended === undefined ? at : ended.index);
    const begin = ended === undefined ? at + blank : HEADERS_END.lastIndex;
    const newline = text.indexOf(separator, begin);
    if (newline === -1) throw new TypeError("No subsequent boundary string after multipart message.");
    if (entries.length >= PARTS_MAX) throw new TypeError(`A form has at most ${PARTS_MAX} parts.`);
    const end = newline > begin && text[newline - 1] === "\r" ? newline - 1 : newline;
    entries.push(partEntry(headers, bytes.subarray(begin, end)));
    at = newline + separator.length;
  }
}

const HEADERS_END = /\r?\n\r?\n/g;

/** Characters of the line break at `at`, 0 if there is none. */
function lineBreak(text: string, at: number): number {
  return text.startsWith("\r\n", at) ? 2 : text[at] === "\n" ? 1 : 0;
}

interface PartHeaders {
  name: string;
  filename: string | undefined;
  type: string | undefined;
}

function partEntry(headers: PartHeaders, content: Uint8Array): Entry {
  const { name, filename, type } = headers;
  // Older Workers gave files as strings.
  if (filename === undefined || !has("formdata_parser_supports_files")) return [name, ops.textDecodeUtf8(content, false, true)];
  return [name, fileFromBytes(content.slice(), filename, partType(type))];
}

function partType(type: string | undefined): string {
  if (type === undefined) return "text/plain";
  const parsed = parseMimeType(type);
  return parsed === undefined ? type.toLowerCase() : serializeMimeType(parsed);
}

function partHeaders(bytes: Uint8Array, text: string, start: number, end: number): PartHeaders {
  let name: string | undefined;
  let filename: string | undefined;
  let type: string | undefined;
  let disposed = false;
  for (let at = start; at < end; ) {
    const newline = text.indexOf("\n", at);
    const lineEnd = newline === -1 || newline > end ? end : newline - (text[newline - 1] === "\r" ? 1 : 0);
    const colon = text.indexOf(":", at);
    if (colon === -1 || colon >= lineEnd) throw new TypeError(UNNAMED_PART);
    const header = text.slice(at, colon).toLowerCase();
    if (header === "content-disposition") {
      disposed = true;
      // Names are UTF-8, so the line is decoded anew from the bytes.
      const line = ops.textDecodeUtf8(bytes.subarray(colon + 1, lineEnd), false, true);
      ({ name, filename } = disposition(line));
    } else if (header === "content-type") {
      type = text.slice(colon + 1, lineEnd).trim();
    }
    at = newline === -1 || newline > end ? end : newline + 1;
  }
  if (!disposed) throw new TypeError(UNNAMED_PART);
  if (name === undefined) throw new TypeError("Content-Disposition header in FormData part is missing a name.");
  return { name, filename, type };
}

function disposition(line: string): { name: string | undefined; filename: string | undefined } {
  const result: { name: string | undefined; filename: string | undefined } = { name: undefined, filename: undefined };
  const rest = /^\s*form-data\s*(?:;|$)/i.exec(line);
  if (rest === null) {
    const got = JSON.stringify((line.split(";", 1)[0] as string).trim());
    throw new TypeError(
      'Content-Disposition header for FormData part must have the value "form-data", possibly followed by parameters. ' +
        `Got: ${got}`,
    );
  }
  const parameter = /\s*([^\s=;]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;]*))\s*(?:;|$)/gy;
  parameter.lastIndex = rest[0].length;
  for (let match = parameter.exec(line); match !== null; match = parameter.exec(line)) {
    const key = (match[1] as string).toLowerCase();
    const value = match[2] === undefined ? (match[3] as string).trim() : unquoted(match[2]);
    if (key === "name") result.name = value;
    else if (key === "filename") result.filename = value;
    if (parameter.lastIndex >= line.length) break;
  }
  return result;
}

function unquoted(text: string): string {
  return text.replace(/\\"/g, '"').replace(/%0A/gi, "\n").replace(/%0D/gi, "\r").replace(/%22/g, '"');
}
