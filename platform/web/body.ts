// Body: what Request and Response share (Fetch), as the class Workers expose under that name.
//
// A body is text, bytes, or a stream. Text and bytes stay what they are until `.body` is touched:
// no stream is made for a body that is read whole, cloned, or sent on. What crosses to the wire is
// in `fetch-wire.ts`; multipart is in `form-data.ts`.
//
// Invariant: at most one of `text`, `bytes` and `stream` of a `BodyState` is set; none means that the
// body is null, or that it was read (`used`). Bytes in `bytes` belong to the platform: user code never
// holds a view on them, so they may be handed out once without a copy.

import { has } from "../cloudflare/compat.ts";
import { ops } from "../ops.ts";
import { type Blob, blobBytes, blobFromBytes, isBlob } from "./blob.ts";
import { type FormData, isFormData, parseFormData, serializeFormData } from "./form-data.ts";
import { type Headers, defaultHeader, headerOf } from "./headers.ts";
import { extractMimeType, mimeEssence, serializeMimeType } from "./mime.ts";
import {
  chunkBytes,
  expectedLength,
  isDisturbed,
  isLocked,
  readAllBoxed,
  readAllBytes,
  readableFromBytes,
  readableFromIterable,
  readableFromPull,
  tee,
} from "./streams/internal.ts";
import { DefaultReaderCore } from "./streams/readable-core.ts";
import { moveReadable } from "./streams/wire.ts";
import { type ReadableStream, isReadableStream, readableCore, wrapReadable } from "./streams/readable.ts";
import { type URLSearchParams, isURLSearchParams, urlEncodedBody } from "./url.ts";
import { warnIfNotText, warnOfFormData } from "./warnings.ts";
import {
  SymbolAsyncIterator,
  USVString,
  bytesCopy,
  defineInterface,
  isBufferSource,
  isObject,
  requireInternal,
} from "./webidl.ts";

export type BodyInit = ReadableStream | Blob | ArrayBuffer | ArrayBufferView | FormData | URLSearchParams | string;

/** A body and what it is made from. Request and Response own one each, or none for a null body. */
export interface BodyState {
  text: string | undefined;
  bytes: Uint8Array | undefined;
  stream: ReadableStream | undefined;
  /** Bytes that a stream will give, where that is known before. */
  length: number | undefined;
  /** Text or bytes were read. A stream knows by itself. */
  used: boolean;
  /** `bytes` belongs to a clone as well, so that what is handed out must be a copy. */
  shared: boolean;
}

/** What `BodyInit` amounts to, with the content type it implies. */
export interface ExtractedBody {
  state: BodyState;
  type: string | null;
}

const BODY_USED =
  "Body has already been used. It can only be used once. Use tee() first if you need to read it twice.";
const STREAM_USED =
  "This ReadableStream is disturbed (has already been read from), and cannot be used as a body.";
const STREAM_LOCKED = "This ReadableStream is locked to a reader, and cannot be used as a body.";

const BYTE_ORDER_MARK = 0xfeff;

const parseJson = JSON.parse;

/** Streams that this module made from bytes: as long as nobody read one, its bytes are the body. */
const bytesBehind = new WeakMap<ReadableStream, Uint8Array>();

let stateOf: (body: Body) => BodyState | undefined;
let install: (body: Body, state: BodyState | undefined, headers: Headers) => void;

export class Body {
  #state: BodyState | undefined;
  #headers: Headers | undefined;

  constructor(token: unknown) {
    requireInternal(token);
  }

  static {
    stateOf = (body) => body.#state;
    install = (body, state, headers) => {
      body.#state = state;
      body.#headers = headers;
    };
  }

  get body(): ReadableStream | null {
    const state = this.#state;
    return state === undefined ? null : streamOf(state);
  }

  get bodyUsed(): boolean {
    const state = this.#state;
    return state !== undefined && isUsed(state);
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return bufferOf(await consumeBytes(this.#state));
  }

  async bytes(): Promise<Uint8Array> {
    return new Uint8Array(bufferOf(await consumeBytes(this.#state)));
  }

  async text(): Promise<string> {
    const headers = this.#headers;
    if (this.#state !== undefined && headers !== undefined) warnIfNotText(headerOf(headers, "content-type") ?? undefined);
    return consumeText(this.#state);
  }

  async json(): Promise<unknown> {
    return parseJson(await consumeText(this.#state)) as unknown;
  }

  async blob(): Promise<Blob> {
    const state = this.#state;
    const headers = this.#headers as Headers;
    const { bytes } = await consumeBytes(state);
    const mime = extractMimeType(headerOf(headers, "content-type"));
    return blobFromBytes(bytes, mime === undefined ? "" : serializeMimeType(mime));
  }

  async formData(): Promise<FormData> {
    const state = this.#state;
    const headers = this.#headers as Headers;
    if (state !== undefined) {
      assertUsable(state);
    }
    const mime = extractMimeType(headerOf(headers, "content-type"));
    // What is wrong with the body itself comes first.
    const { bytes } = await consumeBytes(state);
    if (mime === undefined) {
      throw new TypeError("Parsing a Body as FormData requires a Content-Type header.");
    }
    return parseFormData(bytes, mimeEssence(mime), mime.parameters);
  }
}

defineInterface(Body);

// ---- For Request, Response and the wire --------------------------------------------------------

/** Gives a freshly constructed Request or Response its body. */
export function setBody(body: Body, state: BodyState | undefined, headers: Headers): void {
  install(body, state, headers);
}

export function bodyState(body: Body): BodyState | undefined {
  return stateOf(body);
}

function newState(): BodyState {
  return { text: undefined, bytes: undefined, stream: undefined, length: undefined, used: false, shared: false };
}

/** The bytes become the platform's. */
export function bodyFromBytes(bytes: Uint8Array): BodyState {
  const state = newState();
  state.bytes = bytes;
  return state;
}

export function bodyFromStream(stream: ReadableStream, length: number | undefined): BodyState {
  const state = newState();
  state.stream = stream;
  state.length = length;
  return state;
}

function bodyFromText(text: string): BodyState {
  const state = newState();
  state.text = text;
  return state;
}

/** The type that a body implies, where the message names none. */
export function typeByDefault(headers: Headers, type: string): void {
  if (!defaultHeader(headers, "content-type", type) && type.startsWith("multipart/form-data")) warnOfFormData();
}

/** "Extract a body" from `BodyInit`. */
export function extractBody(init: unknown, context: string): ExtractedBody {
  if (typeof init === "string") {
    return { state: bodyFromText(USVString(init, context)), type: "text/plain;charset=UTF-8" };
  }
  if (isObject(init)) {
    const extracted = extractFromObject(init);
    if (extracted !== undefined) {
      return extracted;
    }
  }
  return { state: bodyFromText(USVString(init, context)), type: "text/plain;charset=UTF-8" };
}

function extractFromObject(init: object): ExtractedBody | undefined {
  if (isReadableStream(init)) {
    if (isDisturbed(init)) {
      throw new TypeError(STREAM_USED);
    }
    if (isLocked(init)) {
      throw new TypeError(STREAM_LOCKED);
    }
    return { state: bodyFromStream(init, expectedLength(init)), type: null };
  }
  if (isBufferSource(init)) {
    return { state: bodyFromBytes(bytesCopy(init)), type: null };
  }
  if (isURLSearchParams(init)) {
    return { state: bodyFromText(urlEncodedBody(init)), type: "application/x-www-form-urlencoded;charset=UTF-8" };
  }
  if (isFormData(init)) {
    const { bytes, boundary } = serializeFormData(init);
    return { state: bodyFromBytes(bytes), type: `multipart/form-data; boundary=${boundary}` };
  }
  if (isBlob(init)) {
    const state = bodyFromBytes(blobBytes(init));
    // A Blob's bytes stay its own.
    state.shared = true;
    return { state, type: init.type === "" ? null : init.type };
  }
  if (typeof (init as { [Symbol.asyncIterator]?: unknown })[SymbolAsyncIterator] === "function") {
    return { state: bodyFromStream(readableFromIterable(init), undefined), type: null };
  }
  return undefined;
}

/** Whether the body has been read from. */
export function isUsed(state: BodyState): boolean {
  return state.stream === undefined ? state.used : isDisturbed(state.stream);
}

function isUnusable(state: BodyState): boolean {
  return isUsed(state) || (state.stream !== undefined && isLocked(state.stream));
}

export function assertUsable(state: BodyState): void {
  if (isUsed(state)) {
    throw new TypeError(BODY_USED);
  }
  if (isUnusable(state)) {
    throw new TypeError("This ReadableStream is currently locked to a reader.");
  }
}

/** The bytes of a body whose whole content is at hand, undefined for one that must be waited for. */
export function bytesAtHand(state: BodyState): Uint8Array | undefined {
  if (state.text !== undefined) {
    return ops.textEncode(state.text);
  }
  return state.bytes ?? (state.stream === undefined ? undefined : bytesBehind.get(state.stream));
}

/** The bytes of a body at hand, which stays as it is: for sending it a second time. */
export function keepBytes(state: BodyState): Uint8Array | undefined {
  if (state.text !== undefined) {
    state.bytes = ops.textEncode(state.text);
    state.text = undefined;
  }
  state.shared = true;
  return bytesAtHand(state);
}

/** Marks the body as read, after `bytesAtHand` gave its content. */
export function markUsed(state: BodyState): void {
  if (state.stream !== undefined) {
    // Locks and disturbs it, as any other reading does. Its bytes are in memory: this cannot fail.
    void readAllBytes(state.stream);
  }
  state.used = true;
  state.text = undefined;
  state.bytes = undefined;
}

/** The body's stream, made now if there was none. */
export function streamOf(state: BodyState): ReadableStream {
  if (state.stream !== undefined) {
    return state.stream;
  }
  const bytes = state.used ? new Uint8Array(0) : (bytesAtHand(state) as Uint8Array);
  const stream = readableFromBytes(state.shared ? bytes.slice() : bytes);
  state.length = bytes.length;
  if (state.used) {
    void readAllBytes(stream);
  } else {
    // `bytesAtHand` is only asked of streams that nobody has disturbed.
    bytesBehind.set(stream, bytes);
  }
  state.text = undefined;
  state.bytes = undefined;
  state.stream = stream;
  return stream;
}

/** The same body twice: once in `state`, once in the result. */
export function cloneBody(state: BodyState): BodyState {
  const clone = newState();
  clone.length = state.length;
  if (state.stream === undefined) {
    clone.text = state.text;
    clone.bytes = state.bytes;
    clone.shared = state.shared = true;
    return clone;
  }
  const [mine, theirs] = tee(state.stream, true);
  state.stream = mine;
  clone.stream = theirs;
  return clone;
}

/** Fails what is left of the body with `reason`, as when the fetch that it came from is aborted. */
export function failBody(state: BodyState, reason: unknown): void {
  if (state.stream === undefined) {
    if (state.used) return;
    state.text = undefined;
    state.bytes = undefined;
    state.stream = wrapReadable(readableFromPull(() => undefined, undefined));
  }
  const core = readableCore(state.stream);
  if (core.state !== "readable") return;
  bytesBehind.delete(state.stream);
  void core.controller.cancelSteps(reason)?.catch(() => {});
  core.controller.error(reason);
}

/** Moves the body out; what stays behind is a used one. */
export function takeBody(state: BodyState): BodyState {
  const taken = { ...state };
  if (state.stream !== undefined) {
    // "Create a proxy": the old stream is left locked and disturbed, the new one has its content.
    const bytes = bytesBehind.get(state.stream);
    if (bytes === undefined) {
      const moved = moveReadable(readableCore(state.stream));
      taken.stream = moved === undefined ? proxyOf(state.stream) : wrapReadable(moved);
    } else {
      taken.stream = undefined;
      taken.bytes = bytes.slice();
      markUsed(state);
    }
    return taken;
  }
  markUsed(state);
  return taken;
}

function proxyOf(stream: ReadableStream): ReadableStream {
  const source = readableCore(stream);
  const reader = new DefaultReaderCore(source);
  const next = (): Promise<Uint8Array | undefined> => {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array | undefined>();
    reader.read({
      chunk(value) {
        try {
          const bytes = chunkBytes(value);
          // Nothing to pass on: no bytes would mean the end.
          resolve(bytes.byteLength === 0 ? next() : bytes);
        } catch (error) {
          reject(error);
        }
      },
      close: () => resolve(undefined),
      error: reject,
    });
    return promise;
  };
  const proxy = readableFromPull(next, (reason) => reader.cancel(reason));
  proxy.expectedLength = source.expectedLength;
  source.disturbed = true;
  return wrapReadable(proxy);
}

// ---- Reading -----------------------------------------------------------------------------------

/** Without a prototype where it settles a promise, as `Boxed` is. */
interface Content {
  bytes: Uint8Array;
  /** Somebody else has the same memory. */
  shared: boolean;
}

async function consumeBytes(state: BodyState | undefined): Promise<Content> {
  if (state === undefined) {
    return { __proto__: null, bytes: new Uint8Array(0), shared: false } as Content;
  }
  assertUsable(state);
  if (state.stream === undefined) {
    const shared = state.shared && state.text === undefined;
    const content = { __proto__: null, bytes: bytesAtHand(state) as Uint8Array, shared } as Content;
    markUsed(state);
    return content;
  }
  const { bytes } = await readAllBoxed(state.stream);
  return { __proto__: null, bytes, shared: false } as Content;
}

async function consumeText(state: BodyState | undefined): Promise<string> {
  if (state?.text !== undefined) {
    const { text } = state;
    markUsed(state);
    // What decoding UTF-8 would do with a byte order mark.
    return text.charCodeAt(0) === BYTE_ORDER_MARK && stripsMark() ? text.slice(1) : text;
  }
  const { bytes } = await consumeBytes(state);
  return ops.textDecodeUtf8(bytes, false, !stripsMark());
}

/** Older Workers keep a byte order mark in what `text()` gives. */
function stripsMark(): boolean {
  return has("strip_bom_in_read_all_text");
}

function bufferOf({ bytes, shared }: Content): ArrayBuffer {
  const buffer = bytes.buffer as ArrayBuffer;
  return !shared && bytes.byteLength === buffer.byteLength ? buffer : (bytes.slice().buffer as ArrayBuffer);
}
