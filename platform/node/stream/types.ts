// The shape of streams, as the files here see each other's objects.
//
// Streams are functions with prototypes, not classes: code written for Node.js calls them without `new`
// and on objects of its own.

import type { Buffer } from "../buffer.ts";
import type { StringDecoder } from "../string-decoder.ts";
import type { EventEmitter } from "../events.ts";

export type Callback = (error?: unknown, value?: unknown) => void;

export interface ReadableState {
  objectMode: boolean;
  highWaterMark: number;
  buffer: unknown[];
  bufferIndex: number;
  length: number;
  pipes: Writable[];
  flowing: boolean | null;
  ended: boolean;
  endEmitted: boolean;
  reading: boolean;
  constructed: boolean;
  sync: boolean;
  needReadable: boolean;
  emittedReadable: boolean;
  readableListening: boolean;
  resumeScheduled: boolean;
  errorEmitted: boolean;
  emitClose: boolean;
  autoDestroy: boolean;
  destroyed: boolean;
  errored: unknown;
  closed: boolean;
  closeEmitted: boolean;
  defaultEncoding: string;
  awaitDrainWriters: Writable | Set<Writable> | null;
  multiAwaitDrain: boolean;
  readingMore: boolean;
  dataEmitted: boolean;
  decoder: StringDecoder | null;
  encoding: string | null;
  paused: boolean | null;
  readable?: boolean;
}

export interface Pending {
  chunk: unknown;
  encoding: string;
  callback: Callback;
}

export interface WritableState {
  objectMode: boolean;
  highWaterMark: number;
  finalCalled: boolean;
  needDrain: boolean;
  ending: boolean;
  ended: boolean;
  finished: boolean;
  destroyed: boolean;
  decodeStrings: boolean;
  defaultEncoding: string;
  length: number;
  writing: boolean;
  corked: number;
  sync: boolean;
  bufferProcessing: boolean;
  onwrite: Callback;
  writecb: Callback | null;
  writelen: number;
  afterWriteTickInfo: { count: number; callback: Callback; stream: Writable; state: WritableState } | null;
  buffered: Pending[];
  bufferedIndex: number;
  allBuffers: boolean;
  allNoop: boolean;
  pendingcb: number;
  constructed: boolean;
  prefinished: boolean;
  errorEmitted: boolean;
  emitClose: boolean;
  autoDestroy: boolean;
  errored: unknown;
  closed: boolean;
  closeEmitted: boolean;
  writable?: boolean;
  onFinished: Callback[];
  readonly bufferedRequestCount: number;
  getBuffer(): Pending[];
}

export interface Stream extends EventEmitter {
  pipe<T>(destination: T, options?: { end?: boolean }): T;
  destroy(error?: unknown, callback?: Callback): this;
  _destroy(error: unknown, callback: Callback): void;
  _construct?: (callback: Callback) => void;
  destroyed: boolean;
  readonly closed: boolean;
  readonly errored: unknown;
  _readableState?: ReadableState;
  _writableState?: WritableState;
}

export interface Readable extends Stream {
  _readableState: ReadableState;
  readable: boolean;
  readonly readableObjectMode: boolean;
  readonly readableEnded: boolean;
  readonly readableAborted: boolean;
  readonly readableDidRead: boolean;
  readonly readableHighWaterMark: number;
  _read(size: number): void;
  push(chunk: unknown, encoding?: string): boolean;
  unshift(chunk: unknown, encoding?: string): boolean;
  read(size?: number): unknown;
  pause(): this;
  resume(): this;
  isPaused(): boolean;
  setEncoding(encoding: string): this;
  unpipe(destination?: Writable, info?: { hasUnpiped: boolean }): this;
  wrap(stream: EventEmitter): this;
  iterator(options?: { destroyOnReturn?: boolean }): AsyncIterableIterator<unknown>;
  [Symbol.asyncIterator](): AsyncIterableIterator<unknown>;
}

export interface Writable extends Stream {
  _writableState: WritableState;
  writable: boolean;
  readonly writableEnded: boolean;
  readonly writableFinished: boolean;
  readonly writableNeedDrain: boolean;
  readonly writableObjectMode: boolean;
  readonly writableLength: number;
  readonly writableHighWaterMark: number;
  _write(chunk: unknown, encoding: string, callback: Callback): void;
  _writev?: ((chunks: Pending[], callback: Callback) => void) | null;
  _final?: (callback: Callback) => void;
  write(chunk: unknown, encoding?: unknown, callback?: unknown): boolean;
  end(chunk?: unknown, encoding?: unknown, callback?: unknown): this;
  cork(): void;
  uncork(): void;
}

export interface Duplex extends Readable, Omit<Writable, keyof Stream> {
  _readableState: ReadableState;
  _writableState: WritableState;
  allowHalfOpen: boolean;
}

export interface StreamOptions {
  [name: string]: unknown;
  objectMode?: boolean;
  readableObjectMode?: boolean;
  writableObjectMode?: boolean;
  highWaterMark?: number | null;
  signal?: unknown;
  autoDestroy?: boolean;
  emitClose?: boolean;
  encoding?: string;
  defaultEncoding?: string;
}

export type Bytes = Buffer;

/** A constructor that may also be called on an object. */
export interface StreamClass<T> {
  new (options?: StreamOptions): T;
  (options?: StreamOptions): T;
  (this: object, options?: StreamOptions): void;
  readonly prototype: T;
}
