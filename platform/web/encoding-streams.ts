// TextEncoderStream and TextDecoderStream.
//
// What they add over encoding.ts: a surrogate pair cut in two by chunks is joined again, and a native
// decoder is freed when its stream ends, fails, is cancelled or is dropped.
//
// Invariant: `#high` is a lone high surrogate of the last chunk, or empty.

import { ops } from "../ops.ts";
import { TransformCore, createTransform } from "./streams/transform.ts";
import { wrapReadable } from "./streams/readable.ts";
import type { ReadableStream } from "./streams/readable.ts";
import { wrapWritable } from "./streams/writable.ts";
import type { WritableStream } from "./streams/writable.ts";
import {
  DOMString,
  boolean,
  bufferSourceAllowShared,
  bytesCopy,
  bytesView,
  defineInterface,
  dictionary,
  isArrayBuffer,
  viewBuffer,
  withDefault,
} from "./webidl.ts";
import type { BufferSource } from "./webidl.ts";

const NO_BYTES = new Uint8Array(0);

export class TextEncoderStream {
  #core: TransformCore;
  #high = "";

  constructor() {
    this.#core = createTransform(
      (chunk, controller) => {
        const bytes = this.#encode(DOMString(chunk, "TextEncoderStream: chunk"));
        if (bytes.byteLength > 0) controller.enqueue(bytes);
      },
      (controller) => {
        if (this.#high !== "") controller.enqueue(ops.textEncode("\ufffd"));
      },
    );
  }

  #encode(chunk: string): Uint8Array {
    if (chunk === "") return NO_BYTES;
    let text = this.#high + chunk;
    this.#high = "";
    const last = text.charCodeAt(text.length - 1);
    if (last >= 0xd800 && last <= 0xdbff) {
      this.#high = text.slice(-1);
      text = text.slice(0, -1);
    }
    return ops.textEncode(text.toWellFormed());
  }

  get encoding(): string {
    void this.#core;
    return "utf-8";
  }

  get readable(): ReadableStream {
    return wrapReadable(this.#core.readable);
  }

  get writable(): WritableStream {
    return wrapWritable(this.#core.writable);
  }
}
defineInterface(TextEncoderStream);

const decoderOptions = dictionary("TextDecoderOptions", {
  fatal: withDefault(boolean, () => false),
  ignoreBOM: withDefault(boolean, () => false),
});

/** Native code takes no shared memory, so that is copied. */
function plainBytes(source: BufferSource): Uint8Array {
  const bytes = bytesView(source);
  return isArrayBuffer(viewBuffer(bytes)) ? bytes : bytesCopy(bytes);
}

/** Apart from its stream, so that the registry does not keep that alive. */
class NativeDecoder {
  #encoding: string;
  #fatal: boolean;
  #ignoreBom: boolean;
  /** Made by the first chunk, so that an unused stream holds none. */
  #handle: number | undefined;

  constructor(encoding: string, fatal: boolean, ignoreBom: boolean) {
    this.#encoding = encoding;
    this.#fatal = fatal;
    this.#ignoreBom = ignoreBom;
  }

  decode(bytes: Uint8Array, last: boolean): string {
    this.#handle ??= ops.textDecoderNew(this.#encoding, this.#fatal, this.#ignoreBom);
    try {
      const text = ops.textDecoderDecode(this.#handle, bytes, last);
      if (last) this.free();
      return text;
    } catch (error) {
      this.free();
      throw error;
    }
  }

  free(): void {
    if (this.#handle !== undefined) ops.textDecoderFree(this.#handle);
    this.#handle = undefined;
  }
}

const dropped = new FinalizationRegistry<NativeDecoder>((decoder) => decoder.free());

export class TextDecoderStream {
  #core: TransformCore;
  #encoding: string;
  #fatal: boolean;
  #ignoreBom: boolean;

  constructor(label: unknown = "utf-8", options: unknown = undefined) {
    const given = DOMString(label, "TextDecoderStream constructor: label");
    const { fatal, ignoreBOM } = decoderOptions(options, "TextDecoderStream constructor: options");
    const name = ops.textEncodingName(given);
    if (name === undefined || name === "replacement") {
      throw new RangeError(`"${given}" is not a valid encoding.`);
    }
    this.#encoding = name;
    this.#fatal = fatal;
    this.#ignoreBom = ignoreBOM;
    const decoder = new NativeDecoder(name, fatal, ignoreBOM);
    this.#core = createTransform(
      (chunk, controller) => {
        const source = bufferSourceAllowShared(chunk, "TextDecoderStream: chunk");
        const text = decoder.decode(plainBytes(source), false);
        if (text !== "") controller.enqueue(text);
      },
      (controller) => {
        const text = decoder.decode(NO_BYTES, true);
        if (text !== "") controller.enqueue(text);
      },
      () => decoder.free(),
    );
    dropped.register(this.#core, decoder);
  }

  get encoding(): string {
    return this.#encoding;
  }

  get fatal(): boolean {
    return this.#fatal;
  }

  get ignoreBOM(): boolean {
    return this.#ignoreBom;
  }

  get readable(): ReadableStream {
    return wrapReadable(this.#core.readable);
  }

  get writable(): WritableStream {
    return wrapWritable(this.#core.writable);
  }
}
defineInterface(TextDecoderStream);
