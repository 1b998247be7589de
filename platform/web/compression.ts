// CompressionStream and DecompressionStream over the native coders.
//
// Input is fed in slices, and each slice waits until the reader has room for what it gives: a small
// body that unpacks into a huge one fills memory no faster than it is read. Brotli and zstd are
// there beside the standard's three formats.
//
// Invariant: the native coder is freed at the end, on failure and on cancel, once; a coder whose
// stream is dropped half-way is freed by the collector.

import { has } from "../cloudflare/compat.ts";
import { ops } from "../ops.ts";
import { joinBytes } from "./streams/internal.ts";
import { RESOLVED, react, rejectedWith } from "./streams/promises.ts";
import { TransformCore } from "./streams/transform.ts";
import { wrapReadable } from "./streams/readable.ts";
import type { ReadableStream } from "./streams/readable.ts";
import { wrapWritable } from "./streams/writable.ts";
import type { WritableStream } from "./streams/writable.ts";
import {
  DOMString,
  bufferSource,
  bufferSourceAllowShared,
  bytesCopy,
  bytesView,
  defineInterface,
  isArrayBufferView,
  isSharedArrayBuffer,
  requireArguments,
  viewBuffer,
} from "./webidl.ts";

/** Input bytes of one step. Deflate unpacks at most about a thousandfold, so a step gives 16 MiB at worst. */
const SLICE_BYTES = 16 * 1024;

/**
 * Output that may wait for a reader. Workers' own streams take writes before anyone reads, and code
 * that awaits its writes first relies on that; beyond this many bytes a write waits.
 */
const OUTPUT_BYTES_MAX = 8 * 1024 * 1024;

/**
 * Compressed output smaller than this waits for more or for the end (unpacked output never does): a gzip header alone in a chunk of its own
 * helps nobody, and code that takes the first chunk for the whole of a small body is common.
 */
const OUTPUT_BYTES_MIN = 1024;

/** The coder's own choice of level. */
const LEVEL_DEFAULT = -1;

const NO_BYTES = new Uint8Array(0);

const FORMATS = ["deflate", "deflate-raw", "gzip", "brotli", "zstd"] as const;
function formatOf(value: unknown, context: string): (typeof FORMATS)[number] {
  const text = DOMString(value, context);
  const found = FORMATS.find((format) => format === text);
  if (found === undefined) throw new TypeError("The compression format must be either 'deflate', 'deflate-raw' or 'gzip'.");
  return found;
}

const opFormat = { deflate: "deflate", "deflate-raw": "deflate-raw", gzip: "gzip", brotli: "br", zstd: "zstd" } as const;

interface CoderManner {
  /** Output below this is held back. */
  outputBytesMin: number;
  /** What a failure before the end is called; undefined leaves the coder's own words. */
  failure: string | undefined;
}

const COMPRESSING: CoderManner = { outputBytesMin: OUTPUT_BYTES_MIN, failure: undefined };
const DECOMPRESSING: CoderManner = { outputBytesMin: 0, failure: "Decompression failed." };

const dropped = new FinalizationRegistry<Coder>((coder) => coder.free());

/** The handle alone, so that the registry does not keep its stream alive. */
class Coder {
  #handle: number | undefined;
  #held: Uint8Array = NO_BYTES;
  #manner: CoderManner;

  constructor(handle: number, manner: CoderManner) {
    this.#handle = handle;
    this.#manner = manner;
  }

  push(bytes: Uint8Array, last: boolean): Uint8Array {
    if (this.#handle === undefined) return NO_BYTES;
    try {
      const fresh = ops.compressPush(this.#handle, bytes, last);
      const held = this.#held;
      this.#held = NO_BYTES;
      const output = held.byteLength === 0 ? fresh : joinBytes([held, fresh], held.byteLength + fresh.byteLength);
      if (last) {
        this.free();
      } else if (output.byteLength < this.#manner.outputBytesMin) {
        this.#held = output;
        return NO_BYTES;
      }
      return output;
    } catch (error) {
      this.free();
      const { failure } = this.#manner;
      if (last || failure === undefined) throw error;
      throw new TypeError(failure, { cause: error });
    }
  }

  free(): void {
    if (this.#handle !== undefined) ops.compressFree(this.#handle);
    this.#handle = undefined;
  }
}

function bufferOf(source: BufferSource): ArrayBufferLike {
  return isArrayBufferView(source) ? viewBuffer(source) : source;
}

function startCoding(coder: Coder, context: string): TransformCore {
  const step = (bytes: Uint8Array, offset: number, controller: TransformCore): Promise<unknown> | undefined => {
    const output = coder.push(bytes.subarray(offset, offset + SLICE_BYTES), false);
    if (output.byteLength > 0) controller.enqueue(output);
    const next = offset + SLICE_BYTES;
    if (next >= bytes.byteLength) return undefined;
    // Only a slice that gave something can have filled the reader's side.
    const room = output.byteLength > 0 ? controller.room() : undefined;
    return react(room ?? RESOLVED, () => step(bytes, next, controller), undefined);
  };
  const core = new TransformCore(
    {
      transform(chunk, controller) {
        try {
          // Workers take shared memory too, as it is at this moment.
          const source = has("pedantic_wpt")
            ? bufferSource(chunk, `${context}: chunk`)
            : bufferSourceAllowShared(chunk, `${context}: chunk`);
          // Only what waits for a later step can change under us.
          const own = source.byteLength > SLICE_BYTES || isSharedArrayBuffer(bufferOf(source));
          const bytes = own ? bytesCopy(source) : bytesView(source);
          return step(bytes, 0, controller);
        } catch (error) {
          return rejectedWith(error);
        }
      },
      flush(controller) {
        try {
          const output = coder.push(NO_BYTES, true);
          if (output.byteLength > 0) controller.enqueue(output);
          return undefined;
        } catch (error) {
          return rejectedWith(error);
        }
      },
      cancel() {
        coder.free();
        return undefined;
      },
    },
    { highWaterMark: 1, size: undefined },
    { highWaterMark: OUTPUT_BYTES_MAX, size: (chunk) => (chunk as Uint8Array).byteLength },
  );
  core.readable.cancelFailsReads = true;
  core.start(RESOLVED);
  dropped.register(core, coder);
  return core;
}

export class CompressionStream {
  #core: TransformCore;

  constructor(format: unknown) {
    requireArguments(arguments.length, 1, "CompressionStream constructor");
    const name = opFormat[formatOf(format, "CompressionStream constructor: format")];
    this.#core = startCoding(new Coder(ops.compressNew(name, LEVEL_DEFAULT), COMPRESSING), "CompressionStream");
  }

  get readable(): ReadableStream {
    return wrapReadable(this.#core.readable);
  }

  get writable(): WritableStream {
    return wrapWritable(this.#core.writable);
  }
}
defineInterface(CompressionStream);

export class DecompressionStream {
  #core: TransformCore;

  constructor(format: unknown) {
    requireArguments(arguments.length, 1, "DecompressionStream constructor");
    const name = opFormat[formatOf(format, "DecompressionStream constructor: format")];
    this.#core = startCoding(new Coder(ops.decompressNew(name), DECOMPRESSING), "DecompressionStream");
  }

  get readable(): ReadableStream {
    return wrapReadable(this.#core.readable);
  }

  get writable(): WritableStream {
    return wrapWritable(this.#core.writable);
  }
}
defineInterface(DecompressionStream);
