// Messages of a WebSocket as bytes of a stream, and back.
//
// A message is one or more parcels: a kind, a length, a payload. `crates/wall/wire/src/parcel.rs` is the
// same in Rust, with the reasons. What arrives may come from another Worker, so it is checked.
//
// Invariant: a message that is given out is whole and within its bound.

import { ops } from "../ops.ts";
import { domException } from "../cloudflare/errors.ts";

/** Bytes of one message: Cloudflare's documented limit. In step with `wire/src/bounds.rs`. */
export const MESSAGE_BYTES_MAX = 32 * 1024 * 1024;

export const HEADER_BYTES = 5;
const TEXT = 1;
const BINARY = 2;
const CLOSE = 3;
const MORE = 0x80;

/** Bytes of a close: a code and a reason, as much as a frame of a WebSocket may carry. */
const CLOSE_BYTES_MAX = 125;

/** The code of a close that says none. */
export const NO_CODE = 1005;

/** The last word of a direction. */
export class Close {
  readonly code: number;
  readonly reason: string;

  constructor(code: number, reason: string) {
    this.code = code;
    this.reason = reason;
  }
}

/** What one end says and the other hears. Bytes belong to whoever gets them. */
export type Said = string | Uint8Array | Close;

function parcel(kind: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + payload.length);
  bytes[0] = kind;
  new DataView(bytes.buffer).setUint32(1, payload.length, true);
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

export function encodeSaid(said: Said): Uint8Array {
  if (said instanceof Uint8Array) return parcel(BINARY, said);
  if (typeof said === "string") return parcel(TEXT, ops.textEncode(said));
  if (said.code === NO_CODE) return parcel(CLOSE, new Uint8Array(0));
  const [, reason] = ops.textEncodeInto(said.reason, CLOSE_BYTES_MAX - 2);
  const words = new Uint8Array(2 + reason.length);
  new DataView(words.buffer).setUint16(0, said.code, true);
  words.set(reason, 2);
  return parcel(CLOSE, words);
}

/** Cuts bytes into messages again. */
export class Parcels {
  #chunks: Uint8Array[] = [];
  /** Bytes of the first chunk that are used up. */
  #offset = 0;
  #available = 0;
  #consumed = 0;
  /** The parcel under way. */
  #kind = 0;
  #left = -1;
  /** The message under way. */
  #parts: Uint8Array[] = [];
  #bytes = 0;

  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#chunks.push(bytes);
    this.#available += bytes.length;
  }

  get empty(): boolean {
    return this.#available === 0;
  }

  /** How many bytes were used up since this was last asked. */
  takeConsumed(): number {
    const consumed = this.#consumed;
    this.#consumed = 0;
    return consumed;
  }

  /** The next whole message, as soon as all of it is here. Throws when the bytes are none. */
  next(): Said | undefined {
    for (;;) {
      if (this.#left === -1) {
        if (this.#available < HEADER_BYTES) return undefined;
        this.#begin(this.#take(HEADER_BYTES));
      }
      while (this.#left > 0 && this.#available > 0) {
        const part = this.#take(Math.min(this.#left, this.#available, this.#firstBytes()));
        this.#parts.push(part);
        this.#left -= part.length;
      }
      if (this.#left > 0) return undefined;
      this.#left = -1;
      if ((this.#kind & MORE) === 0) return this.#whole();
    }
  }

  #begin(header: Uint8Array): void {
    const kind = header[0] as number;
    const length = new DataView(header.buffer, header.byteOffset).getUint32(1, true);
    const bare = kind & ~MORE;
    const goesOn = this.#parts.length > 0 || (this.#kind & MORE) !== 0;
    if ((goesOn && bare !== (this.#kind & ~MORE)) || bare < TEXT || bare > CLOSE || kind === (CLOSE | MORE)) {
      throw domException("The WebSocket's peer sent what is no message.", "NetworkError");
    }
    this.#bytes += length;
    const limit = bare === CLOSE ? CLOSE_BYTES_MAX : MESSAGE_BYTES_MAX;
    if (this.#bytes > limit) throw new Error(`Message is too large: ${this.#bytes} > ${limit}`);
    this.#kind = kind;
    this.#left = length;
  }

  #firstBytes(): number {
    return (this.#chunks[0] as Uint8Array).length - this.#offset;
  }

  /** `count` bytes that are there; a view of a chunk where one holds them all. */
  #take(count: number): Uint8Array {
    this.#available -= count;
    this.#consumed += count;
    const first = this.#chunks[0] as Uint8Array;
    if (this.#firstBytes() >= count) {
      const view = first.subarray(this.#offset, this.#offset + count);
      this.#advance(count);
      return view;
    }
    const bytes = new Uint8Array(count);
    for (let at = 0; at < count; ) {
      const part = Math.min(count - at, this.#firstBytes());
      bytes.set((this.#chunks[0] as Uint8Array).subarray(this.#offset, this.#offset + part), at);
      this.#advance(part);
      at += part;
    }
    return bytes;
  }

  #advance(count: number): void {
    this.#offset += count;
    if (this.#offset === (this.#chunks[0] as Uint8Array).length) {
      this.#chunks.shift();
      this.#offset = 0;
    }
  }

  #whole(): Said {
    const bytes = new Uint8Array(this.#bytes);
    let at = 0;
    for (const part of this.#parts) {
      bytes.set(part, at);
      at += part.length;
    }
    const kind = this.#kind;
    this.#parts = [];
    this.#bytes = 0;
    this.#kind = 0;
    if (kind === BINARY) return bytes;
    if (kind === TEXT) return ops.textDecodeUtf8(bytes, false, true);
    if (bytes.length < 2) return new Close(NO_CODE, "");
    const code = new DataView(bytes.buffer).getUint16(0, true);
    return new Close(code, ops.textDecodeUtf8(bytes.subarray(2), false, true));
  }
}
