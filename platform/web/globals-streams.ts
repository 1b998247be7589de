// The names of streams, events, blobs and their kin that boot puts on the global object.
//
// The global's own event-target methods are here too: called bare, they act on the global.
//
// Invariant: every value is what user code sees under that name; nothing internal.

import { AbortController, AbortSignal } from "./abort.ts";
import { Blob, File } from "./blob.ts";
import { CompressionStream, DecompressionStream } from "./compression.ts";
import { DOMException } from "./dom-exception.ts";
import { TextDecoderStream, TextEncoderStream } from "./encoding-streams.ts";
import {
  CloseEvent,
  CustomEvent,
  ErrorEvent,
  Event,
  EventTarget,
  MessageEvent,
  PromiseRejectionEvent,
} from "./events.ts";
import { FormData } from "./form-data.ts";
import { MessageChannel, MessagePort } from "./message-channel.ts";
import { Performance, PerformanceEntry, PerformanceMark, PerformanceMeasure, PerformanceResourceTiming, performance } from "./performance.ts";
import { PerformanceObserver, PerformanceObserverEntryList } from "./performance-observer.ts";
import {
  ByteLengthQueuingStrategy,
  CountQueuingStrategy,
  FixedLengthStream,
  IdentityTransformStream,
  ReadableByteStreamController,
  ReadableStream,
  ReadableStreamBYOBReader,
  ReadableStreamBYOBRequest,
  ReadableStreamDefaultController,
  ReadableStreamDefaultReader,
  TransformStream,
  TransformStreamDefaultController,
  WritableStream,
  WritableStreamDefaultController,
  WritableStreamDefaultWriter,
} from "./streams/index.ts";

// In Workers these are TransformStreams, though each has state of its own.
for (const kind of [CompressionStream, DecompressionStream, IdentityTransformStream]) {
  Object.setPrototypeOf(kind, TransformStream);
  Object.setPrototypeOf(kind.prototype, TransformStream.prototype);
}

export const globals: Record<string, unknown> = {
  AbortController,
  AbortSignal,
  Blob,
  ByteLengthQueuingStrategy,
  CloseEvent,
  CompressionStream,
  CountQueuingStrategy,
  CustomEvent,
  DOMException,
  DecompressionStream,
  ErrorEvent,
  Event,
  EventTarget,
  File,
  FixedLengthStream,
  FormData,
  IdentityTransformStream,
  MessageChannel,
  MessageEvent,
  MessagePort,
  Performance,
  PerformanceEntry,
  PerformanceMark,
  PerformanceMeasure,
  PerformanceObserver,
  PerformanceObserverEntryList,
  PerformanceResourceTiming,
  PromiseRejectionEvent,
  ReadableByteStreamController,
  ReadableStream,
  ReadableStreamBYOBReader,
  ReadableStreamBYOBRequest,
  ReadableStreamDefaultController,
  ReadableStreamDefaultReader,
  TextDecoderStream,
  TextEncoderStream,
  TransformStream,
  TransformStreamDefaultController,
  WritableStream,
  WritableStreamDefaultController,
  WritableStreamDefaultWriter,
  addEventListener: EventTarget.prototype.addEventListener,
  dispatchEvent: EventTarget.prototype.dispatchEvent,
  performance,
  removeEventListener: EventTarget.prototype.removeEventListener,
};
