// node:stream and the modules below it.

import { Blob } from "../../web/blob.ts";
import { TextDecoder } from "../../web/encoding.ts";
import { globals as webStreams } from "../../web/globals-streams.ts";
import { Buffer } from "../buffer.ts";
import { promisifySymbol } from "../promisify.ts";
import { addAbortSignal } from "./abort.ts";
import { compose } from "./compose.ts";
import { destroyer } from "./destroy.ts";
import { Duplex, duplexPair } from "./duplex.ts";
import { finished, finishedPromise } from "./end-of-stream.ts";
import { isDestroyed, isDisturbed, isErrored, isReadable, isWritable } from "./kinds.ts";
import { isUint8Array, isView, Stream, toBuffer } from "./legacy.ts";
import { getDefaultHighWaterMark, setDefaultHighWaterMark } from "./marks.ts";
import { compose as composeMethod, promiseHelpers, streamHelpers } from "./operators.ts";
import { pipeline, pipelinePromise } from "./pipeline.ts";
import { Readable, ReadableStateClass } from "./readable.ts";
import { PassThrough, Transform } from "./transform.ts";
import type { Readable as ReadableType } from "./types.ts";
import "./web.ts";
import { Writable, WritableStateClass } from "./writable.ts";

type AnyFunction = (...args: never[]) => unknown;

for (const [name, helper] of Object.entries(streamHelpers)) {
  const method = function (this: ReadableType, ...args: never[]): unknown {
    const made = Reflect.apply(helper as AnyFunction, this, args);
    return (Readable["from"] as (iterable: unknown) => unknown)(made);
  };
  Object.defineProperty(method, "name", { value: name, configurable: true });
  Object.defineProperty(method, "length", { value: helper.length, configurable: true });
  defineHidden(name, method);
}
for (const [name, helper] of Object.entries(promiseHelpers)) defineHidden(name, helper);
defineHidden("compose", composeMethod);

function defineHidden(name: string, value: unknown): void {
  Object.defineProperty(Readable.prototype, name, { value, writable: true, enumerable: false, configurable: true });
}

const promises = { finished: finishedPromise, pipeline: pipelinePromise };
Object.defineProperty(pipeline, promisifySymbol, { value: pipelinePromise, enumerable: true });
Object.defineProperty(finished, promisifySymbol, { value: finishedPromise, enumerable: true });

const members: Record<string, unknown> = {
  Duplex,
  PassThrough,
  Readable,
  Stream,
  Transform,
  Writable,
  _isArrayBufferView: isView,
  _isUint8Array: isUint8Array,
  _uint8ArrayToBuffer: toBuffer,
  addAbortSignal,
  compose,
  destroy: destroyer,
  duplexPair,
  finished,
  getDefaultHighWaterMark,
  isDestroyed,
  isDisturbed,
  isErrored,
  isReadable,
  isWritable,
  pipeline,
  promises,
  setDefaultHighWaterMark,
};
Object.assign(Stream, members);

export const streamModule: Record<string, unknown> = { ...members, default: Stream };
export const streamPromisesModule: Record<string, unknown> = { ...promises, default: promises };

// ---- stream/web --------------------------------------------------------------------------------

const WEB = [
  "ByteLengthQueuingStrategy", "CompressionStream", "CountQueuingStrategy", "DecompressionStream", "ReadableByteStreamController",
  "ReadableStream", "ReadableStreamBYOBReader", "ReadableStreamBYOBRequest", "ReadableStreamDefaultController",
  "ReadableStreamDefaultReader", "TextDecoderStream", "TextEncoderStream", "TransformStream", "TransformStreamDefaultController",
  "WritableStream", "WritableStreamDefaultController", "WritableStreamDefaultWriter",
];
const web = Object.fromEntries(WEB.map((name) => [name, (webStreams as Readonly<Record<string, unknown>>)[name]]).filter(([, value]) => value !== undefined)) as Record<string, unknown>;
export const streamWebModule: Record<string, unknown> = { ...web, default: web };

// ---- stream/consumers --------------------------------------------------------------------------

type Source = AsyncIterable<unknown>;

async function blob(source: Source): Promise<Blob> {
  const parts: unknown[] = [];
  for await (const part of source) parts.push(part);
  return new Blob(parts);
}

async function arrayBuffer(source: Source): Promise<ArrayBuffer> {
  return (await blob(source)).arrayBuffer();
}

async function buffer(source: Source): Promise<Buffer> {
  return Buffer.from(await arrayBuffer(source));
}

async function bytes(source: Source): Promise<Uint8Array> {
  return new Uint8Array(await arrayBuffer(source));
}

async function text(source: Source): Promise<string> {
  const decoder = new TextDecoder();
  let whole = "";
  for await (const part of source) whole += typeof part === "string" ? part : decoder.decode(part, { stream: true });
  return whole + decoder.decode();
}

async function json(source: Source): Promise<unknown> {
  return JSON.parse(await text(source));
}

const consumers = { arrayBuffer, blob, buffer, bytes, json, text };
export const streamConsumersModule: Record<string, unknown> = { ...consumers, default: consumers };

// ---- The old names -----------------------------------------------------------------------------

function single(name: string, value: unknown, extra: Record<string, unknown> = {}): Record<string, unknown> {
  return { [name]: value, ...extra, default: value };
}

export const streamReadableModule = single("Readable", Readable, {
  ReadableState: ReadableStateClass,
  from: Readable["from"],
  fromWeb: Readable["fromWeb"],
  toWeb: Readable["toWeb"],
  wrap: Readable["wrap"],
});
export const streamWritableModule = single("Writable", Writable, { WritableState: WritableStateClass, fromWeb: Writable["fromWeb"], toWeb: Writable["toWeb"] });
export const streamDuplexModule = single("Duplex", Duplex, { from: Duplex["from"], fromWeb: Duplex["fromWeb"], toWeb: Duplex["toWeb"] });
export const streamTransformModule = single("Transform", Transform);
export const streamPassThroughModule = single("PassThrough", PassThrough);
