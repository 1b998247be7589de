// What the file system consists of: files, devices, directories, symbolic links.
//
// Bytes of a file grow by doubling. Times are nanoseconds since the epoch, as BigInts.
//
// Invariant: files that a Worker made together take at most `STORED_BYTES_MAX`.

import { ops } from "../../ops.ts";
import { fsError } from "./errors.ts";

/** Bytes that one file may have, as in Workers. */
const FILE_BYTES_MAX = 128 * 1024 * 1024;

/** Bytes of all files of a Worker; its process has about twice as much memory. */
const STORED_BYTES_MAX = 128 * 1024 * 1024;

const NO_BYTES = new Uint8Array(0);

/** What is left of the bytes of all files; a file that nobody holds gives its own back. */
const budget = { left: STORED_BYTES_MAX };
const dropped = new FinalizationRegistry<{ bytes: number }>((held) => {
  budget.left += held.bytes;
});

export type Node = FileNode | Directory | SymbolicLink;

export function nowNs(): bigint {
  return BigInt(Math.floor(ops.timeNow() * 1000)) * 1000n;
}

export abstract class FileNode {
  readonly kind = "file";
  abstract readonly device: boolean;
  abstract readonly writable: boolean;
  abstract readonly size: number;
  readonly created: bigint = 0n;
  modified: bigint = 0n;

  abstract read(into: Uint8Array, position: number): number;
  abstract readAll(syscall: string): Uint8Array;
  abstract write(bytes: Uint8Array, position: number, syscall: string): number;
  abstract resize(size: number, syscall: string): void;
  abstract clone(syscall: string): FileNode;
}

/** A file in memory. */
export class MemoryFile extends FileNode {
  readonly device = false;
  readonly writable = true;
  override readonly created: bigint = nowNs();
  // As in Workers, a file that was never written to has no time of its last change.
  override modified: bigint = 0n;
  readonly #held = { bytes: 0 };
  #room: Uint8Array = NO_BYTES;
  #size = 0;

  constructor() {
    super();
    dropped.register(this, this.#held);
  }

  get size(): number {
    return this.#size;
  }

  read(into: Uint8Array, position: number): number {
    if (position >= this.#size) return 0;
    const part = this.#room.subarray(position, Math.min(this.#size, position + into.length));
    into.set(part);
    return part.length;
  }

  readAll(): Uint8Array {
    return this.#room.slice(0, this.#size);
  }

  write(bytes: Uint8Array, position: number, syscall: string): number {
    const end = position + bytes.length;
    if (end > this.#size) this.#grow(end, syscall);
    this.#room.set(bytes, position);
    this.modified = nowNs();
    return bytes.length;
  }

  resize(size: number, syscall: string): void {
    if (size > this.#size) {
      this.#grow(size, syscall);
    } else {
      // What comes back when the file grows again is zero.
      this.#room.fill(0, size, this.#size);
      this.#size = size;
    }
    this.modified = nowNs();
  }

  clone(syscall: string): FileNode {
    const copy = new MemoryFile();
    copy.write(this.#room.subarray(0, this.#size), 0, syscall);
    return copy;
  }

  #grow(size: number, syscall: string): void {
    if (size > FILE_BYTES_MAX) throw fsError("EFBIG", syscall);
    if (size > this.#room.length) {
      const wanted = Math.min(FILE_BYTES_MAX, Math.max(size, this.#room.length * 2));
      const more = wanted - this.#held.bytes;
      if (more > budget.left) throw fsError("ENOSPC", syscall);
      const room = new Uint8Array(wanted);
      room.set(this.#room.subarray(0, this.#size));
      this.#room = room;
      budget.left -= more;
      this.#held.bytes = wanted;
    }
    this.#size = size;
  }
}

/** A file whose bytes are somewhere else and never change: a module of the bundle. */
export class BundledFile extends FileNode {
  readonly device = false;
  readonly writable = false;
  readonly #load: () => Uint8Array;
  #bytes: Uint8Array | undefined;

  constructor(load: () => Uint8Array) {
    super();
    this.#load = load;
  }

  get size(): number {
    return this.#content().length;
  }

  read(into: Uint8Array, position: number): number {
    const part = this.#content().subarray(position, position + into.length);
    into.set(part);
    return part.length;
  }

  readAll(): Uint8Array {
    return this.#content().slice();
  }

  write(_bytes: Uint8Array, _position: number, syscall: string): number {
    throw fsError("EPERM", syscall);
  }

  resize(_size: number, syscall: string): void {
    throw fsError("EPERM", syscall);
  }

  clone(syscall: string): FileNode {
    const copy = new MemoryFile();
    copy.write(this.#content(), 0, syscall);
    return copy;
  }

  #content(): Uint8Array {
    return (this.#bytes ??= this.#load());
  }
}

/** How a device answers; what it does not say it does like `/dev/null`. */
interface Behaviour {
  fill?: (into: Uint8Array) => void;
  /** Where nothing may be written. (Of `/dev/full` Linux says ENOSPC, Workers do not.) */
  refuse?: boolean;
  log?: (bytes: Uint8Array) => void;
}

export class Device extends FileNode {
  readonly device: boolean;
  readonly writable = true;
  readonly size = 0;
  readonly #behaviour: Behaviour;

  constructor(behaviour: Behaviour, looks: "device" | "file" = "device") {
    super();
    this.#behaviour = behaviour;
    this.device = looks === "device";
  }

  read(into: Uint8Array): number {
    if (this.#behaviour.fill === undefined) return 0;
    this.#behaviour.fill(into);
    return into.length;
  }

  readAll(syscall: string): Uint8Array {
    // There is no end to it.
    if (this.#behaviour.fill !== undefined) throw fsError("EPERM", syscall);
    return new Uint8Array(0);
  }

  write(bytes: Uint8Array, _position: number, syscall: string): number {
    if (this.#behaviour.refuse === true) throw fsError("EPERM", syscall);
    this.#behaviour.log?.(bytes);
    return bytes.length;
  }

  resize(_size: number, syscall: string): void {
    if (this.#behaviour.refuse === true) throw fsError("EPERM", syscall);
  }

  clone(): FileNode {
    return this;
  }
}

export class Directory {
  readonly kind = "directory";
  readonly entries: Map<string, Node> = new Map();
  readonly writable: boolean;
  readonly created: bigint;
  modified: bigint;

  constructor(writable: boolean) {
    this.writable = writable;
    this.created = writable ? nowNs() : 0n;
    this.modified = this.created;
  }

  add(name: string, node: Node, syscall: string, path?: string): void {
    if (!this.writable) throw fsError("EPERM", syscall, path);
    if (this.entries.has(name)) throw fsError("EEXIST", syscall, path);
    this.entries.set(name, node);
  }

  /** Whether there was anything of that name. */
  remove(name: string, recursive: boolean, syscall: string, path?: string): boolean {
    if (!this.writable) throw fsError("EPERM", syscall, path);
    const node = this.entries.get(name);
    if (node === undefined) return false;
    if (node.kind === "directory" && !recursive && node.entries.size > 0) throw fsError("ENOTEMPTY", syscall, path);
    return this.entries.delete(name);
  }
}

export class SymbolicLink {
  readonly kind = "symlink";
  readonly writable = true;
  readonly created: bigint = nowNs();
  modified: bigint = this.created;
  /** An absolute path. */
  readonly target: string;

  constructor(target: string) {
    this.target = target;
  }
}

export interface NodeStat {
  type: "file" | "directory" | "symlink";
  size: number;
  writable: boolean;
  device: boolean;
  created: bigint;
  modified: bigint;
}

export function statOf(node: Node): NodeStat {
  const { kind: type, writable, created, modified } = node;
  return { type, writable, created, modified, size: node.kind === "file" ? node.size : 0, device: node.kind === "file" && node.device };
}
