// TextEncoder and TextDecoder (WHATWG Encoding).
//
// All transcoding is native. What this file adds over the ops: Web IDL, the default of UTF-8 in one
// call without a decoder object, and the life of a native decoder, which exists only between a
// `decode(…, { stream: true })` and the call that ends the stream.
//
// Invariant: a decoder handle is freed by the call that ends its stream, by an error, or by the
// collector when its TextDecoder goes away in the middle of one.

import { ops } from "../ops.ts";
import {
  DOMString,
  USVString,
  boolean,
  bufferSourceAllowShared,
  bytesView,
  defineInterface,
  dictionary,
  isSharedArrayBuffer,
  isUint8Array,
  requireArguments,
  uint8Array,
  viewBuffer,
  withDefault,
} from "./webidl.ts";

const NO_BYTES = new Uint8Array(0);

export interface TextEncoderEncodeIntoResult {
  read: number;
  written: number;
}

export class TextEncoder {
  // The field is what a brand check reads.
  #encoding = "utf-8";

  get encoding(): string {
    return this.#encoding;
  }

  encode(input: string | undefined = undefined): Uint8Array {
    this.#encoding;
    return input === undefined ? new Uint8Array(0) : ops.textEncode(USVString(input, "TextEncoder.encode: input"));
  }

  encodeInto(source: string, destination: Uint8Array): TextEncoderEncodeIntoResult {
    this.#encoding;
    requireArguments(arguments.length, 2, "TextEncoder.encodeInto");
    const text = USVString(source, "TextEncoder.encodeInto: source");
    const target = uint8Array(destination, "TextEncoder.encodeInto: destination");
    // A detached target has no room, and nothing can be set in it.
    if (target.length === 0) return { read: 0, written: 0 };
    const [read, bytes] = ops.textEncodeInto(text, target.length);
    target.set(bytes);
    return { read, written: bytes.length };
  }
}

const decoderOptions = dictionary("TextDecoderOptions", {
  fatal: withDefault(boolean, () => false),
  ignoreBOM: withDefault(boolean, () => false),
});

const decodeOptions = dictionary("TextDecodeOptions", {
  stream: withDefault(boolean, () => false),
});

/** The flags of a Worker may take the global away. */
const Registry = FinalizationRegistry;
let abandoned: FinalizationRegistry<number> | undefined;

export class TextDecoder {
  #encoding: string;
  #fatal = false;
  #ignoreBom = false;
  /** The native decoder while a stream is under way; otherwise undefined. */
  #handle: number | undefined;

  constructor(label: string = "utf-8", options: unknown = undefined) {
    const name = label === "utf-8" ? "utf-8" : ops.textEncodingName(DOMString(label, "TextDecoder constructor: label"));
    if (options !== undefined) {
      const { fatal, ignoreBOM } = decoderOptions(options, "TextDecoder constructor: options");
      this.#fatal = fatal;
      this.#ignoreBom = ignoreBOM;
    }
    if (name === undefined || name === "replacement") {
      throw new RangeError(`"${label}" is not a valid encoding.`);
    }
    this.#encoding = name;
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

  decode(input: unknown = undefined, options: unknown = undefined): string {
    const bytes = input === undefined ? NO_BYTES : inputBytes(input);
    const last = options === undefined || !decodeOptions(options, "TextDecoder.decode: options").stream;
    if (this.#handle === undefined && last && this.#encoding === "utf-8") {
      return this.#decodeWhole(bytes);
    }
    return this.#decodePart(bytes, last);
  }

  #decodeWhole(bytes: Uint8Array): string {
    if (!this.#fatal) {
      return ops.textDecodeUtf8(bytes, false, this.#ignoreBom);
    }
    try {
      return ops.textDecodeUtf8(bytes, true, this.#ignoreBom);
    } catch {
      throw new TypeError("Failed to decode input.");
    }
  }

  #decodePart(bytes: Uint8Array, last: boolean): string {
    const handle = (this.#handle ??= ops.textDecoderNew(this.#encoding, this.#fatal, this.#ignoreBom));
    let ended = true;
    try {
      const text = ops.textDecoderDecode(handle, bytes, last);
      ended = last;
      return text;
    } catch {
      throw new TypeError("Failed to decode input.");
    } finally {
      if (ended) {
        this.#free(handle);
      } else {
        this.#watch(handle);
      }
    }
  }

  #watch(handle: number): void {
    abandoned ??= new Registry((left) => ops.textDecoderFree(left));
    abandoned.unregister(this);
    abandoned.register(this, handle, this);
  }

  #free(handle: number): void {
    abandoned?.unregister(this);
    this.#handle = undefined;
    ops.textDecoderFree(handle);
  }
}

function inputBytes(input: unknown): Uint8Array {
  if (isUint8Array(input) && !isSharedArrayBuffer(input.buffer)) {
    return input;
  }
  const source = bufferSourceAllowShared(input, "TextDecoder.decode: input");
  const view = bytesView(source);
  return isSharedArrayBuffer(viewBuffer(view)) ? new Uint8Array(view) : view;
}

defineInterface(TextEncoder);
defineInterface(TextDecoder);
