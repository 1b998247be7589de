// FileHandle: an open file with promises.
//
// Invariant: a handle that nobody holds any more closes its file when it is collected.

import { ReadableStream } from "../../web/streams/readable.ts";
import { Buffer } from "../buffer.ts";
import { EventEmitter } from "../events.ts";
import { invalidState, requireBoolean, requireObject } from "../errors.ts";
import { optionsOf } from "./arguments.ts";
import type { Options } from "./arguments.ts";
import { fsError } from "./errors.ts";
import type { Stats } from "./stats.ts";
import {
  appendFileSync, closeSync, fchmodSync, fchownSync, fdatasyncSync, fstatSync, fsyncSync, ftruncateSync, futimesSync, readFileSync,
  readSync, readvSync, writeFileSync, writeSync, writevSync,
} from "./sync.ts";
import { isOpen } from "./vfs.ts";

const badge: unique symbol = Symbol("badge");

/** Bytes of one read where nobody says how many. */
const CHUNK_BYTES = 16 * 1024;

const dropped = new FinalizationRegistry<number>((fd) => {
  if (isOpen(fd)) closeSync(fd);
});

/** `streams.ts` builds on handles, so it tells what makes its streams. */
export const streamMakers: { read: (handle: FileHandle, options: Options) => unknown; write: (handle: FileHandle, options: Options) => unknown; lines: (handle: FileHandle, options: Options) => unknown } = {
  read: () => undefined,
  write: () => undefined,
  lines: () => undefined,
};

export class FileHandle extends EventEmitter {
  #fd: number | undefined;

  constructor(token: unknown, fd: number) {
    if (token !== badge) throw new TypeError("Illegal constructor");
    super();
    this.#fd = fd;
    dropped.register(this, fd, this);
  }

  get fd(): number | undefined {
    return this.#fd;
  }

  #open(): number {
    if (this.#fd === undefined) throw fsError("EBADF", "stat");
    return this.#fd;
  }

  async appendFile(data: unknown, options?: unknown): Promise<void> {
    appendFileSync(this.#open(), data, options);
  }

  async chmod(mode: unknown): Promise<void> {
    fchmodSync(this.#open(), mode);
  }

  async chown(uid: unknown, gid: unknown): Promise<void> {
    fchownSync(this.#open(), uid, gid);
  }

  async datasync(): Promise<void> {
    fdatasyncSync(this.#open());
  }

  async sync(): Promise<void> {
    fsyncSync(this.#open());
  }

  async stat(options?: unknown): Promise<Stats> {
    return fstatSync(this.#open(), options);
  }

  async truncate(length: unknown = 0): Promise<void> {
    ftruncateSync(this.#open(), length);
  }

  async utimes(atime: unknown, mtime: unknown): Promise<void> {
    futimesSync(this.#open(), atime, mtime);
  }

  async read(bufferOrOptions?: unknown, offsetOrOptions?: unknown, length?: unknown, position?: unknown): Promise<{ bytesRead: number; buffer: unknown }> {
    const fd = this.#open();
    if (ArrayBuffer.isView(bufferOrOptions)) {
      const given = typeof offsetOrOptions === "object" ? offsetOrOptions : (offsetOrOptions ?? 0);
      return { bytesRead: readSync(fd, bufferOrOptions, given, length, position), buffer: bufferOrOptions };
    }
    const options = bufferOrOptions === undefined || bufferOrOptions === null ? {} : requireObject(bufferOrOptions, "options");
    const { buffer = Buffer.alloc(CHUNK_BYTES), ...rest } = options;
    return { bytesRead: readSync(fd, buffer, rest), buffer };
  }

  async readv(buffers: unknown, position?: unknown): Promise<{ bytesRead: number; buffers: unknown }> {
    return { bytesRead: readvSync(this.#open(), buffers, position), buffers };
  }

  async readFile(options?: unknown): Promise<string | Buffer> {
    return readFileSync(this.#open(), options);
  }

  async write(buffer: unknown, offsetOrOptions?: unknown, lengthOrEncoding?: unknown, position?: unknown): Promise<{ bytesWritten: number; buffer: unknown }> {
    return { bytesWritten: writeSync(this.#open(), buffer, offsetOrOptions, lengthOrEncoding, position), buffer };
  }

  async writev(buffers: unknown, position?: unknown): Promise<{ bytesWritten: number; buffers: unknown }> {
    return { bytesWritten: writevSync(this.#open(), buffers, position), buffers };
  }

  async writeFile(data: unknown, options?: unknown): Promise<void> {
    const fd = this.#open();
    if (typeof data === "string" || ArrayBuffer.isView(data)) {
      writeFileSync(fd, data, options);
      return;
    }
    // A stream or another iterable, piece by piece.
    const { encoding = "utf8" } = optionsOf(options);
    for await (const piece of data as AsyncIterable<unknown>) writeSync(fd, typeof piece === "string" ? Buffer.from(piece, encoding) : piece);
  }

  async close(): Promise<void> {
    const fd = this.#fd;
    if (fd === undefined) return;
    this.#fd = undefined;
    dropped.unregister(this);
    closeSync(fd);
    this.emit("close");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  readableWebStream(options: unknown = {}): ReadableStream {
    const fd = this.#open();
    const { autoClose = false } = requireObject(options, "options");
    const closes = requireBoolean(autoClose, "options.autoClose");
    if (this.#isStreaming) throw invalidState("The FileHandle is locked");
    this.#isStreaming = true;
    const end = async (): Promise<void> => {
      this.#isStreaming = false;
      if (closes) await this.close();
    };
    return new ReadableStream({
      type: "bytes",
      pull: async (controller: { enqueue(chunk: Uint8Array): void; close(): void }) => {
        const buffer = new Uint8Array(CHUNK_BYTES);
        const count = readSync(fd, buffer);
        if (count > 0) {
          controller.enqueue(buffer.slice(0, count));
          return;
        }
        controller.close();
        await end();
      },
      cancel: end,
    });
  }
  #isStreaming = false;

  readLines(options: unknown = {}): unknown {
    this.#open();
    return streamMakers.lines(this, requireObject(options, "options"));
  }

  createReadStream(options: unknown = {}): unknown {
    this.#open();
    return streamMakers.read(this, requireObject(options, "options"));
  }

  createWriteStream(options: unknown = {}): unknown {
    this.#open();
    return streamMakers.write(this, requireObject(options, "options"));
  }
}

export function makeHandle(fd: number): FileHandle {
  return new FileHandle(badge, fd);
}
